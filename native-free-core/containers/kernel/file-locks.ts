// Locks on files: flock, and those of byte ranges by fcntl.
// Owns who holds which, conflicts, and who waits (flock(2), fcntl(2)).
// Never stops anybody from reading or writing: all locks are advisory.

import { errno } from '../errno.ts';
import type { Inode } from '../vfs/types.ts';
import type { Description } from './descriptors.ts';
import { Process } from './process.ts';
import { BLOCKED, type Task } from './task.ts';
import { WaitQueue } from './wait-queue.ts';

interface Range {
  readonly owner: object;
  readonly exclusive: boolean;
  readonly start: number;
  /** Behind the last byte; Infinity: to the end of the file, wherever that is. */
  readonly end: number;
}

class Locks {
  ranges: Range[] = [];
  readonly whole = new Map<Description, boolean>();
  readonly changed = new WaitQueue();
}

const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

function locksOf(inode: Inode | null): Locks {
  if (!inode) throw errno('EINVAL');
  inode.locks ??= new Locks();
  return inode.locks as Locks;
}

const conflict = (locks: Locks, wanted: Range): Range | undefined =>
  locks.ranges.find(
    ({ owner, exclusive, start, end }) =>
      owner !== wanted.owner && (exclusive || wanted.exclusive) && start < wanted.end && wanted.start < end,
  );

/** Puts a lock in place of what its owner has there; `undefined` exclusive: takes it away. */
function place(locks: Locks, wanted: Range, unlock: boolean): void {
  const kept: Range[] = [];
  for (const range of locks.ranges) {
    if (range.owner !== wanted.owner || range.end <= wanted.start || wanted.end <= range.start) kept.push(range);
    else {
      if (range.start < wanted.start) kept.push({ ...range, end: wanted.start });
      if (range.end > wanted.end) kept.push({ ...range, start: wanted.end });
    }
  }
  if (!unlock) kept.push(wanted);
  locks.ranges = kept;
  locks.changed.wake();
}

/** `how`: 0 F_GETLK, 1 F_SETLK, 2 F_SETLKW. `owner`: a process, or a description for OFD locks. */
export function fileLock(task: Task, description: Description, how: number, address: number, owner: object): number {
  const { space } = task;
  const { inode } = description.file;
  const locks = locksOf(inode);
  const type = space.readU32(address) & 0xffff;
  const whence = space.readU32(address) >>> 16;
  const from = space.readI64(address + 8);
  const length = space.readI64(address + 16);
  if (type > F_UNLCK || whence > 2) throw errno('EINVAL');
  let start = [0, description.offset, inode!.size][whence] + from;
  let end = length === 0 ? Infinity : start + length;
  if (length < 0) [start, end] = [end, start];
  if (start < 0) throw errno('EINVAL');
  const wanted: Range = { owner, exclusive: type === F_WRLCK, start, end };
  if (how === 0) {
    const other = conflict(locks, wanted);
    space.writeU32(
      address,
      (space.readU32(address) & 0xffff0000) | (other ? (other.exclusive ? F_WRLCK : F_RDLCK) : F_UNLCK),
    );
    if (!other) return 0;
    space.writeI64(address + 8, other.start);
    space.writeI64(address + 16, other.end === Infinity ? 0 : other.end - other.start);
    space.writeU32(address + 24, other.owner instanceof Process ? task.pidSeen(other.owner.pid) : 0xffffffff);
    return 0;
  }
  return task.block({
    attempt: () => {
      if (type !== F_UNLCK && conflict(locks, wanted)) {
        if (how === 1) throw errno('EAGAIN');
        return BLOCKED;
      }
      place(locks, wanted, type === F_UNLCK);
      return 0;
    },
    on: [locks.changed],
    interrupted: 'restart',
  });
}

/** A process closes any descriptor of a file: its locks on it are gone. */
export function forgetLocks({ file }: Description, owner: object): void {
  const locks = file.inode?.locks as Locks | null | undefined;
  if (!locks?.ranges.some((range) => range.owner === owner)) return;
  place(locks, { owner, exclusive: false, start: 0, end: Infinity }, true);
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** flock(2): of the whole file, held by the open file description. */
export function flock(task: Task, description: Description, operation: number): number {
  const locks = locksOf(description.file.inode);
  const kind = operation & ~LOCK_NB;
  if (kind !== LOCK_SH && kind !== LOCK_EX && kind !== LOCK_UN) throw errno('EINVAL');
  if (kind === LOCK_UN) {
    locks.whole.delete(description);
    locks.changed.wake();
    return 0;
  }
  const exclusive = kind === LOCK_EX;
  return task.block({
    attempt: () => {
      for (const [holder, isExclusive] of locks.whole)
        if (holder !== description && (exclusive || isExclusive)) {
          if (operation & LOCK_NB) throw errno('EAGAIN');
          return BLOCKED;
        }
      if (!locks.whole.has(description))
        description.onRelease.push(() => {
          locks.whole.delete(description);
          locks.changed.wake();
        });
      locks.whole.set(description, exclusive);
      return 0;
    },
    on: [locks.changed],
    interrupted: 'restart',
  });
}
