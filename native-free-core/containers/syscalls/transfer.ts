// read, write and their kin: bytes between open files and programs' memory.
// Owns offsets, vectored and positioned transfers, and copies from file to file.
// Never knows what an open file is.

import { errno } from '../errno.ts';
import type { Cgroup } from '../kernel/cgroups.ts';
import type { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { afterPunch, afterResize, afterWrite, beforeRead } from '../kernel/mapped-files.ts';
import { Rlimit } from '../kernel/process.ts';
import { SiCode, Signal } from '../kernel/signal-numbers.ts';
import { sendToTask } from '../kernel/signals.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { MSG_DONTWAIT } from '../sockets/constants.ts';
import { Socket } from '../sockets/socket.ts';
import {
  isDirectory,
  isRegular,
  O_ACCMODE,
  O_APPEND,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  S_IFIFO,
  S_IFMT,
} from '../vfs/constants.ts';
import type { OpenFile } from '../vfs/types.ts';
import { IN_ACCESS, IN_MODIFY, tellFile } from '../vfs/watch.ts';
import { type Buffer, descriptionOf, TRANSFER_MAX, vectorAt, waitFor } from './arguments.ts';
import { bufferOf, receiveBuffers, sendBuffers } from './messages.ts';

/** File systems whose files are a disk's in a guest's eyes: its root, and folders of the host. */
const OUTSIDE_MEMORY: ReadonlySet<string> = new Set(['overlay', 'fuse.trivisor']);

/** Bytes that go through the kernel at once. */
export const CHUNK = 256 << 10;

export function readable(task: Task, fd: number): Description {
  const description = descriptionOf(task, fd);
  if (description.flags & O_PATH || (description.flags & O_ACCMODE) === O_WRONLY) throw errno('EBADF');
  const { inode } = description.file;
  if (inode && isDirectory(inode.mode)) throw errno('EISDIR');
  return description;
}

export function writable(task: Task, fd: number): Description {
  const description = descriptionOf(task, fd);
  if (description.flags & O_PATH || (description.flags & O_ACCMODE) === O_RDONLY) throw errno('EBADF');
  return description;
}

/** Nobody reads what is written any more: SIGPIPE. */
function noteBroken(task: Task, error: unknown): void {
  if (error === errno('EPIPE'))
    sendToTask(task.kernel, task, { signal: Signal.SIGPIPE, code: SiCode.SI_USER, pid: task.process.pid });
}

/** How much may be written before RLIMIT_FSIZE. Throws EFBIG, with SIGXFSZ. */
function withinLimit(task: Task, { inode }: OpenFile, from: number, length: number): number {
  const limit = task.process.limit(Rlimit.fileSize);
  if (limit === Infinity || !inode || !isRegular(inode.mode) || length === 0) return length;
  if (from < limit) return Math.min(length, limit - from);
  sendToTask(task.kernel, task, { signal: Signal.SIGXFSZ, code: SiCode.SI_KERNEL });
  throw errno('EFBIG');
}

/** Tells whoever watches the file of a transfer. */
function tell({ location }: Description, event: number): void {
  if (location) tellFile(location.dentry, event);
}

/** A transfer of a file that lies outside memory, when the task's cgroups let it, and counted for them. */
function limited(task: Task, { inode }: OpenFile, isWrite: boolean, act: () => number): number {
  if (!inode || !isRegular(inode.mode) || !OUTSIDE_MEMORY.has(inode.fileSystem.type)) return act();
  const { device } = inode.fileSystem;
  const { kernel } = task;
  const counted = (): number => {
    const moved = act();
    if (moved > 0) task.process.io[isWrite ? 'writeBytes' : 'readBytes'] += moved;
    for (let at: Cgroup | null = task.process.cgroup; moved > 0 && at; at = at.parent)
      at.io.moved(device, isWrite, moved, kernel.now());
    return moved;
  };
  let from = 0;
  for (let at: Cgroup | null = task.process.cgroup; at; at = at.parent)
    from = Math.max(from, at.io.allowedFrom(device, isWrite));
  if (from <= kernel.now()) return counted();
  return task.block({
    attempt: () => (kernel.now() >= from ? counted() : BLOCKED),
    deadline: from,
    interrupted: 'restart',
  });
}

/** Reads into buffers from an offset; moves the description's own where `offset` is undefined. */
export function readInto(
  task: Task,
  description: Description,
  buffers: readonly Buffer[],
  offset?: number,
  flags = description.flags,
): number {
  const { file } = description;
  const { io } = task.process;
  const once = (): number => {
    const count = part();
    if (count > 0) tell(description, IN_ACCESS);
    io.rchar += count;
    io.syscr++;
    return count;
  };
  const part = (): number => {
    beforeRead(file.inode);
    let done = 0;
    for (const { address, length } of buffers) {
      for (let at = 0; at < length; ) {
        const bytes = new Uint8Array(Math.min(CHUNK, length - at));
        let count: number;
        try {
          count = file.read(bytes, (offset ?? description.offset) + (offset === undefined ? 0 : done));
        } catch (error) {
          if (done > 0) return done;
          throw error;
        }
        task.space.write(address + at, count === bytes.length ? bytes : bytes.subarray(0, count));
        if (offset === undefined) description.offset += count;
        done += count;
        at += count;
        if (count < bytes.length) return done;
      }
      // What may have to wait gives what there is, once.
      if (!file.seekable && done > 0) return done;
    }
    return done;
  };
  return file.seekable ? limited(task, file, false, once) : waitFor(task, { file, flags }, once);
}

/** Writes all of the buffers, waiting for room where it has to. */
export function writeFrom(
  task: Task,
  description: Description,
  buffers: readonly Buffer[],
  offset?: number,
  flags = description.flags,
): number {
  const { file } = description;
  const { io } = task.process;
  io.syscw++;
  const all = buffers.flatMap(({ address, length }) => {
    const pieces: Buffer[] = [];
    for (let at = 0; at < length; at += CHUNK)
      pieces.push({ address: address + at, length: Math.min(CHUNK, length - at) });
    return pieces;
  });
  let done = 0;
  let piece = 0;
  let inPiece = 0;
  const step = (): number => {
    while (piece < all.length) {
      const { address, length } = all[piece];
      const bytes = task.space.bytes(address + inPiece, length - inPiece);
      let at = offset === undefined ? description.offset : offset + done;
      if (file.seekable && flags & O_APPEND && file.inode) at = file.inode.size;
      const count = file.write(
        file.seekable ? bytes.subarray(0, withinLimit(task, file, at, bytes.length)) : bytes,
        at,
      );
      if (file.seekable) afterWrite(file.inode, at, count === bytes.length ? bytes : bytes.subarray(0, count));
      if (offset === undefined) description.offset = at + count;
      if (count > 0) tell(description, IN_MODIFY);
      done += count;
      io.wchar += count;
      inPiece += count;
      if (inPiece === length) {
        piece++;
        inPiece = 0;
      } else if (file.seekable) return done;
    }
    return done;
  };
  const attempt = (): number => {
    try {
      if (all.length === 0) return file.write(new Uint8Array(0), description.offset);
      return step();
    } catch (error) {
      noteBroken(task, error);
      if (done > 0 && (error !== errno('EAGAIN') || flags & O_NONBLOCK)) return done;
      throw error;
    }
  };
  if (file.seekable) return limited(task, file, true, attempt);
  return waitFor(task, { file, flags }, attempt, { onInterrupt: () => (done > 0 ? done : -4) });
}

function read(task: Task, fd: number, buffers: readonly Buffer[]): number {
  const description = readable(task, fd);
  if (description.file instanceof Socket) return receiveBuffers(task, fd, { buffers, flags: 0 });
  return readInto(task, description, buffers);
}

function write(task: Task, fd: number, buffers: readonly Buffer[]): number {
  const description = writable(task, fd);
  if (description.file instanceof Socket) return sendBuffers(task, fd, { buffers, flags: 0, address: null });
  return writeFrom(task, description, buffers);
}

function positioned(description: Description, offset: number): number {
  if (!description.file.seekable) throw errno('ESPIPE');
  if (offset < 0) throw errno('EINVAL');
  return offset;
}

const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

const lseek: SystemCall = (task, fd, offset, whence) => {
  const description = descriptionOf(task, fd);
  const { file } = description;
  if (description.flags & O_PATH) throw errno('EBADF');
  if (!file.seekable) throw errno('ESPIPE');
  const size = file.inode?.size ?? 0;
  let to: number;
  if (whence === SEEK_DATA || whence === SEEK_HOLE) {
    if (offset < 0 || offset >= size) throw errno('ENXIO');
    to = whence === SEEK_DATA ? offset : size;
  } else if (whence >= 0 && whence <= SEEK_END) to = [0, description.offset, size][whence] + offset;
  else throw errno('EINVAL');
  if (to < 0) throw errno('EINVAL');
  description.offset = to;
  return to;
};

/** Copies from file to file through the kernel: sendfile, copy_file_range and splice. */
function copy(
  task: Task,
  from: Description,
  to: Description,
  offsets: { from?: number; to?: number },
  count: number,
): { copied: number; blocked: boolean } {
  let copied = 0;
  while (copied < count) {
    const bytes = new Uint8Array(Math.min(CHUNK, count - copied));
    beforeRead(from.file.inode);
    let read: number;
    try {
      read = from.file.read(bytes, (offsets.from ?? from.offset) + (offsets.from === undefined ? 0 : copied));
      if (read === 0) break;
      const at =
        to.flags & O_APPEND && to.file.inode && to.file.seekable
          ? to.file.inode.size
          : offsets.to === undefined
            ? to.offset
            : offsets.to + copied;
      const written = to.file.write(bytes.subarray(0, read), at);
      if (to.file.seekable) afterWrite(to.file.inode, at, bytes.subarray(0, written));
      if (offsets.to === undefined) to.offset = at + written;
      if (offsets.from === undefined) from.offset += written;
      copied += written;
      tell(from, IN_ACCESS);
      tell(to, IN_MODIFY);
      if (written < read) break;
    } catch (error) {
      noteBroken(task, error);
      if (copied > 0) break;
      throw error;
    }
  }
  return { copied, blocked: false };
}

/** Waits for either end where nothing could be copied yet. */
export function copyWaiting(
  task: Task,
  from: Description,
  to: Description,
  act: () => number,
  nonblocking: boolean,
): number {
  const again = errno('EAGAIN');
  return task.block({
    attempt: () => {
      try {
        return act();
      } catch (error) {
        noteBroken(task, error);
        if (error !== again || nonblocking) throw error;
        return BLOCKED;
      }
    },
    on: [from, to].map(({ file }) => ({ add: (waiter: () => void) => file.onReady(waiter) })),
    interrupted: 'restart',
  });
}

const sendfile: SystemCall = (task, out, input, offsetAt, count) => {
  const from = readable(task, input);
  const to = writable(task, out);
  if (!from.file.seekable) throw errno('EINVAL');
  if (to.flags & O_APPEND) throw errno('EINVAL');
  return copyWaiting(
    task,
    from,
    to,
    () => {
      const offset = offsetAt === 0 ? undefined : task.space.readI64(offsetAt);
      const { copied } = copy(task, from, to, offset === undefined ? {} : { from: offset }, Math.min(count, CHUNK * 8));
      if (offset !== undefined) task.space.writeI64(offsetAt, offset + copied);
      return copied;
    },
    (to.flags & O_NONBLOCK) !== 0,
  );
};

const copyFileRange: SystemCall = (task, input, inputAt, output, outputAt, length, flags) => {
  if (flags !== 0) throw errno('EINVAL');
  const from = readable(task, input);
  const to = writable(task, output);
  if (!from.file.seekable || !to.file.seekable) throw errno('EINVAL');
  if (to.flags & O_APPEND) throw errno('EBADF');
  const fromOffset = inputAt === 0 ? undefined : task.space.readI64(inputAt);
  const toOffset = outputAt === 0 ? undefined : task.space.readI64(outputAt);
  const [source, target] = [fromOffset ?? from.offset, toOffset ?? to.offset];
  if (source < 0 || target < 0) throw errno('EINVAL');
  if (from.file.inode === to.file.inode && source < target + length && target < source + length) throw errno('EINVAL');
  const { copied } = copy(
    task,
    from,
    to,
    { ...(fromOffset === undefined ? {} : { from: fromOffset }), ...(toOffset === undefined ? {} : { to: toOffset }) },
    Math.min(length, TRANSFER_MAX),
  );
  if (fromOffset !== undefined) task.space.writeI64(inputAt, fromOffset + copied);
  if (toOffset !== undefined) task.space.writeI64(outputAt, toOffset + copied);
  return copied;
};

const ftruncate: SystemCall = (task, fd, size) => {
  const description = writable(task, fd);
  const { file } = description;
  if (!file.inode || !file.seekable || size < 0) throw errno('EINVAL');
  if (size > file.inode.size) withinLimit(task, file, Math.max(0, size - 1), 1);
  file.inode.setattr({ size });
  afterResize(task.kernel, file.inode, size);
  tell(description, IN_MODIFY);
  return 0;
};

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;

const isPipe = ({ file: { inode } }: Description): boolean => inode !== null && (inode.mode & S_IFMT) === S_IFIFO;

const fallocate: SystemCall = (task, fd, mode, offset, length) => {
  if (offset < 0 || length <= 0) throw errno('EINVAL');
  const zeros = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) !== 0;
  const keeps = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) throw errno('EOPNOTSUPP');
  if (mode & FALLOC_FL_PUNCH_HOLE && (!keeps || mode & FALLOC_FL_ZERO_RANGE)) throw errno('EOPNOTSUPP');
  const description = writable(task, fd);
  const { inode } = description.file;
  if (!inode || !description.file.seekable) throw errno(isPipe(description) ? 'ESPIPE' : 'ENODEV');
  if (!isRegular(inode.mode)) throw errno('ENODEV');
  const end = offset + length;
  if (!Number.isSafeInteger(end)) throw errno('EFBIG');
  if (zeros) {
    inode.punch(offset, length);
    afterPunch(inode, offset, length);
  }
  if (!keeps && end > inode.size) inode.setattr({ size: end });
  tell(description, IN_MODIFY);
  return 0;
};

const RWF_NOWAIT = 8;
const RWF_APPEND = 16;
const RWF_KNOWN = 31;

/** preadv2 and pwritev2: an offset of -1 is the file's own. */
function vectored(
  task: Task,
  fd: number,
  vector: number,
  count: number,
  offset: number,
  flags: number,
  isWrite: boolean,
): number {
  const description = isWrite ? writable(task, fd) : readable(task, fd);
  const buffers = vectorAt(task, vector, count);
  const from = offset === -1 ? undefined : positioned(description, offset);
  if (flags & ~RWF_KNOWN || (flags & RWF_APPEND && !isWrite)) throw errno('EOPNOTSUPP');
  if (description.file instanceof Socket) {
    const message = { buffers, flags: flags & RWF_NOWAIT ? MSG_DONTWAIT : 0 };
    return isWrite ? sendBuffers(task, fd, { ...message, address: null }) : receiveBuffers(task, fd, message);
  }
  const how =
    description.flags | (flags & RWF_NOWAIT ? O_NONBLOCK : 0) | (flags & RWF_APPEND && isWrite ? O_APPEND : 0);
  return (isWrite ? writeFrom : readInto)(task, description, buffers, from, how);
}

export const transferCalls: Record<string, SystemCall> = {
  read: (task, fd, address, length) => read(task, fd, bufferOf(address, length)),
  write: (task, fd, address, length) => write(task, fd, bufferOf(address, length)),
  readv: (task, fd, address, count) => read(task, fd, vectorAt(task, address, count)),
  writev: (task, fd, address, count) => write(task, fd, vectorAt(task, address, count)),
  pread64: (task, fd, address, length, offset) => {
    const description = readable(task, fd);
    return readInto(task, description, bufferOf(address, length), positioned(description, offset));
  },
  pwrite64: (task, fd, address, length, offset) => {
    const description = writable(task, fd);
    return writeFrom(task, description, bufferOf(address, length), positioned(description, offset));
  },
  preadv: (task, fd, address, count, offset) => {
    const description = readable(task, fd);
    return readInto(task, description, vectorAt(task, address, count), positioned(description, offset));
  },
  pwritev: (task, fd, address, count, offset) => {
    const description = writable(task, fd);
    return writeFrom(task, description, vectorAt(task, address, count), positioned(description, offset));
  },
  preadv2: (task, fd, address, count, offset, _high, flags) => vectored(task, fd, address, count, offset, flags, false),
  pwritev2: (task, fd, address, count, offset, _high, flags) => vectored(task, fd, address, count, offset, flags, true),
  lseek,
  sendfile,
  copy_file_range: copyFileRange,
  ftruncate,
  fallocate,
  fsync: (task, fd) => {
    const { file } = descriptionOf(task, fd);
    beforeRead(file.inode);
    file.fsync();
    return 0;
  },
  fdatasync: (task, fd) => {
    const { file } = descriptionOf(task, fd);
    beforeRead(file.inode);
    file.fsync();
    return 0;
  },
  fadvise64: (task, fd) => {
    descriptionOf(task, fd);
    return 0;
  },
  readahead: (task, fd) => {
    descriptionOf(task, fd);
    return 0;
  },
  sync_file_range: (task, fd) => {
    descriptionOf(task, fd);
    return 0;
  },
};
