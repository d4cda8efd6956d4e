// open and the calls on descriptors themselves: close, dup, fcntl, pipe, ioctl.
// Owns their flags and arguments.
// Never reads or writes.

import { Pipe, PipeFile } from '../devices/pipe.ts';
import { errno } from '../errno.ts';
import { ownerOf, setAsync, setOwner } from '../kernel/async-io.ts';
import { Description } from '../kernel/descriptors.ts';
import { fileLock } from '../kernel/file-locks.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { afterResize } from '../kernel/mapped-files.ts';
import { PathFile } from '../kernel/path-file.ts';
import { Rlimit } from '../kernel/process.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { PAGE } from '../memory/page-pool.ts';
import {
  isDevice,
  MS_NODEV,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
} from '../vfs/constants.ts';
import { openAt as walkAndOpen } from '../vfs/operations.ts';
import type { Location } from '../vfs/types.ts';
import { IN_OPEN, tellFile } from '../vfs/watch.ts';
import { descriptionOf, pathAt, startAt } from './arguments.ts';
import { addSeals, sealsOf } from './memory-files.ts';

const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_GETLK = 5;
const F_SETLK = 6;
const F_SETLKW = 7;
const F_SETOWN = 8;
const F_GETOWN = 9;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_OFD_SETLKW = 38;
const F_DUPFD_CLOEXEC = 1030;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const FD_CLOEXEC = 1;

/** Flags that matter only while opening. */
const OPENING = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
/** What F_SETFL changes. */
const O_ASYNC = 0o20000;
const SETTABLE = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
const FIONBIO = 0x5421;
const FIOASYNC = 0x5452;
const FIOCLEX = 0x5451;
const FIONCLEX = 0x5450;

/** Every O_* there is. */
const OPEN_KNOWN = 0o37777703 | O_TMPFILE;
const OPEN_HOW_BYTES = 24;

const openat2: SystemCall = (task, fd, address, howAt, size) => {
  if (size < OPEN_HOW_BYTES) throw errno('EINVAL');
  if (size > PAGE) throw errno('E2BIG');
  if (task.space.bytes(howAt + OPEN_HOW_BYTES, size - OPEN_HOW_BYTES).some((byte) => byte !== 0)) throw errno('E2BIG');
  const flags = task.space.readI64(howAt);
  const mode = task.space.readI64(howAt + 8);
  const resolution = task.space.readI64(howAt + 16);
  if (flags !== (flags | 0) || flags & ~OPEN_KNOWN) throw errno('EINVAL');
  const makes = (flags & O_CREAT) !== 0 || (flags & O_TMPFILE) === O_TMPFILE;
  if (makes ? mode < 0 || mode > 0o7777 : mode !== 0) throw errno('EINVAL');
  if (flags & O_PATH && flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) throw errno('EINVAL');
  const scope = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
  if (resolution < 0 || resolution > RESOLVE_KNOWN || (resolution & scope) === scope) throw errno('EINVAL');
  // No name is kept so that it could be walked to without asking a file system.
  if (resolution & RESOLVE_CACHED) throw errno('EAGAIN');
  const path = pathAt(task, address);
  const start = resolution & scope && path.startsWith('/') ? startAt(task, fd, '') : startAt(task, fd, path);
  const walk = { ...task.walk, resolution, ...(resolution & scope ? { scope: start ?? task.fs.cwd } : {}) };
  return open(task, start, path, flags, mode, walk);
};
const RESOLVE_KNOWN = 0x3f;

/** A number that no descriptor reaches: RLIMIT_NOFILE, and the kernel's own bound. */
export const filesLimit = (task: Task): number => Math.min(task.process.limit(Rlimit.files), 1 << 20);

/** Gives a task a descriptor for a description. */
export function addDescriptor(task: Task, description: Description, closeOnExec: boolean): number {
  return task.files.add(description, closeOnExec, filesLimit(task));
}

function open(task: Task, start: Location | null, path: string, flags: number, mode: number, walk = task.walk): number {
  if (path === '') throw errno('ENOENT');
  const { location, inode } = walkAndOpen(walk, start, path, flags, mode);
  const add = (description: Description): number => addDescriptor(task, description, (flags & O_CLOEXEC) !== 0);
  const kept = flags & ~OPENING;
  if (flags & O_PATH) return add(new Description(new PathFile(inode), location, kept));
  if (isDevice(inode.mode) && location.mount.flags & MS_NODEV) throw errno('EACCES');
  if (flags & O_TRUNC) afterResize(task.kernel, inode, inode.size);
  const file = task.kernel.devices.open(task, inode, flags);
  const description = new Description(file, location, kept);
  tellFile(location.dentry, IN_OPEN);
  if (file instanceof PipeFile && file.pipe.isNamed) return openFifo(task, description, add);
  return add(description);
}

/** Waits for a FIFO's other side (fifo(7)). */
function openFifo(task: Task, description: Description, add: (description: Description) => number): number {
  const { pipe } = description.file as PipeFile;
  const access = description.flags & O_ACCMODE;
  const nonblocking = (description.flags & O_NONBLOCK) !== 0;
  const { readerOpenings, writerOpenings } = pipe;
  const isAlone = (): boolean =>
    (access === O_RDONLY && pipe.writers === 0 && pipe.writerOpenings === writerOpenings) ||
    (access === O_WRONLY && pipe.readers === 0 && pipe.readerOpenings === readerOpenings);
  description.hold();
  return task.block({
    attempt: () => (isAlone() && !nonblocking ? BLOCKED : add(description)),
    on: [pipe.changed],
    interrupted: 'restart',
    finish: () => description.drop(),
  });
}

function pipe(task: Task, address: number, flags: number): number {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) throw errno('EINVAL');
  const both = new Pipe();
  const { inode, location } = task.kernel.anonymous.pipe(task.credentials);
  task.kernel.devices.adoptPipe(inode, both);
  const closeOnExec = (flags & O_CLOEXEC) !== 0;
  const status = flags & O_NONBLOCK;
  const input = new Description(new PipeFile(both, true, false, inode), location, O_RDONLY | status);
  const output = new Description(new PipeFile(both, false, true, inode), location, O_WRONLY | status);
  const first = addDescriptor(task, input, closeOnExec);
  let second: number;
  try {
    second = addDescriptor(task, output, closeOnExec);
  } catch (error) {
    task.files.close(first);
    throw error;
  }
  task.space.writeU32(address, first);
  task.space.writeU32(address + 4, second);
  return 0;
}

const fcntl: SystemCall = (task, fd, command, argument) => {
  const description = descriptionOf(task, fd);
  const { files } = task;
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      const from = argument | 0;
      if (from < 0 || from >= filesLimit(task)) throw errno('EINVAL');
      return files.add(description, command === F_DUPFD_CLOEXEC, filesLimit(task), from);
    }
    case F_GETFD:
      return files.closesOnExec(fd | 0) ? FD_CLOEXEC : 0;
    case F_SETFD:
      files.setCloseOnExec(fd | 0, (argument & FD_CLOEXEC) !== 0);
      return 0;
    case F_GETFL:
      return description.flags | 0o100000;
    case F_SETFL:
      description.flags = (description.flags & ~SETTABLE) | (argument & SETTABLE);
      setAsync(task.kernel, description, (argument & O_ASYNC) !== 0);
      return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
      return fileLock(task, description, command - F_GETLK, argument, task.process);
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return fileLock(task, description, command - F_OFD_GETLK, argument, description);
    case F_SETOWN:
      setOwner(description, argument | 0);
      return 0;
    case F_GETOWN:
      return ownerOf(description);
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ: {
      if (!(description.file instanceof PipeFile)) throw errno('EBADF');
      const { pipe: of } = description.file;
      if (command === F_GETPIPE_SZ) return of.capacity;
      if (argument <= 0) throw errno('EINVAL');
      if (argument > 1 << 20) throw errno('EPERM');
      return of.resize(argument);
    }
    case F_ADD_SEALS:
      return addSeals(task, description, argument);
    case F_GET_SEALS:
      return sealsOf(description);
    default:
      task.kernel.notImplemented(`fcntl: command ${command}`);
      throw errno('EINVAL');
  }
};

const ioctl: SystemCall = (task, fd, request, argument) => {
  const description = descriptionOf(task, fd);
  if (description.flags & O_PATH) throw errno('EBADF');
  switch (request >>> 0) {
    case FIONBIO:
      description.flags = (description.flags & ~O_NONBLOCK) | (task.space.readU32(argument) ? O_NONBLOCK : 0);
      return 0;
    case FIOASYNC: {
      const isAsync = task.space.readU32(argument) !== 0;
      description.flags = (description.flags & ~O_ASYNC) | (isAsync ? O_ASYNC : 0);
      setAsync(task.kernel, description, isAsync);
      return 0;
    }
    case FIOCLEX:
    case FIONCLEX:
      task.files.setCloseOnExec(fd | 0, request >>> 0 === FIOCLEX);
      return 0;
    default:
      return description.file.ioctl(request >>> 0, argument, task.space);
  }
};

function dupTo(task: Task, from: number, to: number, closeOnExec: boolean): number {
  const description = descriptionOf(task, from);
  if (to < 0 || to >= filesLimit(task)) throw errno('EBADF');
  task.files.put(to, description, closeOnExec);
  return to;
}

const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;

const closeRange: SystemCall = (task, first, last, flags) => {
  if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) throw errno('EINVAL');
  const [from, to] = [first >>> 0, last >>> 0];
  if (from > to) throw errno('EINVAL');
  if (flags & CLOSE_RANGE_UNSHARE && task.files.users > 1) {
    task.files.users--;
    task.files = task.files.fork();
  }
  for (const fd of [...task.files.numbers()]) {
    if (fd < from || fd > to) continue;
    if (flags & CLOSE_RANGE_CLOEXEC) task.files.setCloseOnExec(fd, true);
    else task.files.close(fd);
  }
  return 0;
};

export const openCalls: Record<string, SystemCall> = {
  open: (task, path, flags, mode) => open(task, null, pathAt(task, path), flags, mode),
  openat: (task, fd, address, flags, mode) => {
    const path = pathAt(task, address);
    return open(task, startAt(task, fd, path), path, flags, mode);
  },
  openat2,
  creat: (task, path, mode) => open(task, null, pathAt(task, path), O_CREAT | O_WRONLY | O_TRUNC, mode),
  close: (task, fd) => {
    const description = descriptionOf(task, fd);
    task.kernel.forgetLocks(description, task.process);
    task.files.close(fd | 0);
    return 0;
  },
  close_range: closeRange,
  dup: (task, fd) => addDescriptor(task, descriptionOf(task, fd), false),
  dup2: (task, from, to) => {
    if ((from | 0) === (to | 0)) {
      descriptionOf(task, from);
      return to | 0;
    }
    return dupTo(task, from, to | 0, false);
  },
  dup3: (task, from, to, flags) => {
    if ((from | 0) === (to | 0) || flags & ~O_CLOEXEC) throw errno('EINVAL');
    return dupTo(task, from, to | 0, (flags & O_CLOEXEC) !== 0);
  },
  pipe: (task, address) => pipe(task, address, 0),
  pipe2: pipe,
  fcntl,
  ioctl,
};
