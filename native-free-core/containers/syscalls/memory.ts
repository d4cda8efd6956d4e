// mmap and its kin.
// Owns their flags and arguments.
// Never maps anything itself: memory/address-space.ts does.

import { errno } from '../errno.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { sharedPagesOf } from '../kernel/mapped-files.ts';
import type { Task } from '../kernel/task.ts';
import { PAGE } from '../memory/page-pool.ts';
import { HIGHEST } from '../memory/regions.ts';
import { SharedPages } from '../memory/shared-pages.ts';
import { MS_NOEXEC, O_ACCMODE, O_RDWR, O_WRONLY } from '../vfs/constants.ts';
import { F_SEAL_FUTURE_WRITE, F_SEAL_WRITE, MemoryFile } from '../vfs/memory-file.ts';
import { pathOf } from '../vfs/walk.ts';
import { descriptionOf } from './arguments.ts';

const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_VALIDATE = 3;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_GROWSDOWN = 0x100;
const MAP_POPULATE = 0x8000;
const MAP_FIXED_NOREPLACE = 0x100000;
const MREMAP_MAYMOVE = 1;
const MREMAP_FIXED = 2;
const MADV_DONTNEED = 4;
const MADV_FREE = 8;
const MADV_REMOVE = 9;
const MS_ASYNC = 1;
const MS_INVALIDATE = 2;
const MS_SYNC = 4;

const roundUp = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;

/** A range of whole pages. Throws EINVAL, and ENOMEM where it is not in a program's addresses. */
function pages(address: number, length: number): number {
  if (address % PAGE !== 0) throw errno('EINVAL');
  const whole = roundUp(length);
  if (address < 0 || whole < 0 || address + whole > HIGHEST) throw errno('ENOMEM');
  return whole;
}

const mmap: SystemCall = (task, address, length, protection, flags, fd, offset) => {
  if (length === 0 || offset % PAGE !== 0 || offset < 0) throw errno('EINVAL');
  if (length < 0 || length > HIGHEST) throw errno('ENOMEM');
  const kind = flags & 3;
  if (kind !== MAP_SHARED && kind !== MAP_PRIVATE && kind !== MAP_SHARED_VALIDATE) throw errno('EINVAL');
  const shared = kind !== MAP_PRIVATE;
  const fixed = flags & MAP_FIXED_NOREPLACE ? 'keep' : flags & MAP_FIXED ? 'replace' : undefined;
  const request = {
    address: Math.max(0, address),
    length,
    protection: protection & 7,
    shared,
    isStack: (flags & MAP_GROWSDOWN) !== 0,
    ...(fixed ? { fixed: fixed as 'keep' | 'replace' } : {}),
  };
  let at: number;
  if (flags & MAP_ANONYMOUS) {
    const anonymous = shared ? { pages: new SharedPages(task.kernel.pool), name: '/dev/zero (deleted)' } : {};
    at = task.space.map({ ...request, ...anonymous });
  } else at = mapFile(task, request, fd, offset);
  if (flags & MAP_POPULATE) populate(task, at, roundUp(length), protection);
  return at;
};

function mapFile(task: Task, request: Parameters<Task['space']['map']>[0], fd: number, offset: number): number {
  const description = descriptionOf(task, fd);
  const access = description.flags & O_ACCMODE;
  if (access === O_WRONLY) throw errno('EACCES');
  if (request.shared && request.protection & 2 && access !== O_RDWR) throw errno('EACCES');
  const { inode } = description.file;
  const { location } = description;
  if (location && location.mount.flags & MS_NOEXEC && request.protection & 4) throw errno('EPERM');
  const seals = inode instanceof MemoryFile ? inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) : 0;
  if (seals !== 0 && request.shared && request.protection & 2) throw errno('EPERM');
  const anonymous = task.kernel.mapsAnonymously(description.file);
  if (anonymous)
    return task.space.map({ ...request, ...(request.shared ? { pages: new SharedPages(task.kernel.pool) } : {}) });
  const shared = inode && sharedPagesOf(task.kernel, inode);
  if (!shared) throw errno('ENODEV');
  shared.keep(description);
  return task.space.map({
    ...request,
    pages: shared,
    firstPage: offset / PAGE,
    name: location ? (pathOf(location, task.fs.root) ?? '') : '',
    maxProtection: request.shared && (access !== O_RDWR || seals !== 0) ? 5 : 7,
  });
}

function populate(task: Task, address: number, length: number, protection: number): void {
  const need = protection & 2 ? 2 : protection & 1 ? 1 : 4;
  if ((protection & 7) === 0) return;
  for (let at = address; at < address + length; at += PAGE) if (task.space.resolve(at, need) === 0) return;
}

export const memoryCalls: Record<string, SystemCall> = {
  mmap,
  munmap: (task, address, length) => {
    if (length === 0 || address % PAGE !== 0 || address < 0 || address + roundUp(length) > HIGHEST)
      throw errno('EINVAL');
    task.space.unmap(address, roundUp(length));
    return 0;
  },
  mprotect: (task, address, length, protection) => {
    if (address % PAGE !== 0) throw errno('EINVAL');
    const whole = pages(address, length);
    if (whole > 0) task.space.protect(address, whole, protection & 7);
    return 0;
  },
  pkey_mprotect: (task, address, length, protection, key) => {
    if ((key | 0) !== -1) throw errno('EINVAL');
    return memoryCalls.mprotect(task, address, length, protection, 0, 0, 0);
  },
  mremap: (task, address, oldLength, newLength, flags, target) => {
    if (address % PAGE !== 0 || newLength <= 0 || oldLength < 0) throw errno('EINVAL');
    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) !== 0) throw errno('EINVAL');
    if (flags & MREMAP_FIXED && (!(flags & MREMAP_MAYMOVE) || target % PAGE !== 0)) throw errno('EINVAL');
    const to = flags & MREMAP_FIXED ? target : flags & MREMAP_MAYMOVE ? ('anywhere' as const) : undefined;
    return task.space.remap(address, roundUp(oldLength), roundUp(newLength), to);
  },
  brk: (task, end) => task.space.setHeapEnd(end),
  madvise: (task, address, length, advice) => {
    const whole = pages(address, length);
    if (advice === MADV_DONTNEED || advice === MADV_FREE) task.space.discard(address, whole);
    else if (advice === MADV_REMOVE) throw errno('EINVAL');
    else if (advice < 0 || (advice > 25 && advice !== 100 && advice !== 101)) throw errno('EINVAL');
    return 0;
  },
  msync: (task, address, length, flags) => {
    const whole = pages(address, length);
    if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || (flags & MS_ASYNC && flags & MS_SYNC)) throw errno('EINVAL');
    if (whole > 0 && !task.space.regions.covers(address, address + whole)) throw errno('ENOMEM');
    for (const region of task.space.regions)
      if (region.shared && region.start < address + whole && region.end > address) region.pages?.flush();
    return 0;
  },
  mincore: (task, address, length, vector) => {
    const whole = pages(address, length);
    if (!task.space.regions.covers(address, address + whole)) throw errno('ENOMEM');
    const bytes = new Uint8Array(whole / PAGE);
    for (let index = 0; index < bytes.length; index++)
      bytes[index] = task.space.table.get(address + index * PAGE) === 0 ? 0 : 1;
    task.space.write(vector, bytes);
    return 0;
  },
  // Nothing is ever swapped out.
  mlock: (task, address, length) => {
    const start = address - (address % PAGE);
    if (!task.space.regions.covers(start, roundUp(address + length))) throw errno('ENOMEM');
    return 0;
  },
  mlock2: (task, address, length) => memoryCalls.mlock(task, address, length, 0, 0, 0, 0),
  munlock: (task, address, length) => memoryCalls.mlock(task, address, length, 0, 0, 0, 0),
  mlockall: () => 0,
  munlockall: () => 0,
  membarrier: (_task, command) => {
    // One vCPU executes everything: each barrier is there already. MEMBARRIER_CMD_QUERY names what there is.
    if (command === 0) return 0x1 | 0x8 | 0x10 | 0x2 | 0x4;
    if ([1, 2, 4, 8, 16].includes(command)) return 0;
    throw errno('EINVAL');
  },
};
