// What system calls' arguments mean: paths, descriptors, times, vectors of buffers.
// Owns their decoding from registers and a program's memory, and the waiting of calls on open files.
// Never carries out a call.

import { errno } from '../errno.ts';
import type { Description } from '../kernel/descriptors.ts';
import { BLOCKED, type Task, type Wait } from '../kernel/task.ts';
import { AT_EMPTY_PATH, AT_FDCWD, O_NONBLOCK, PATH_MAX } from '../vfs/constants.ts';
import type { Location } from '../vfs/types.ts';
import { resolve } from '../vfs/walk.ts';

export const SECOND = 1e9;
/** Most bytes that one read or write moves: MAX_RW_COUNT. */
export const TRANSFER_MAX = 0x7ffff000;
/** Most buffers of one vectored call: UIO_MAXIOV. */
const VECTOR_MAX = 1024;

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A path in the program's memory. Throws EFAULT, ENAMETOOLONG. */
export const pathAt = (task: Task, address: number): string => task.space.readString(address, PATH_MAX);

export const descriptionOf = (task: Task, fd: number): Description => task.files.get(fd | 0);

/** Where a relative path of an *at call begins; null: at the working directory. Throws EBADF, ENOTDIR. */
export function startAt(task: Task, fd: number, path: string): Location | null {
  if ((fd | 0) === AT_FDCWD || path.startsWith('/')) return null;
  const { location } = descriptionOf(task, fd);
  if (!location) throw errno('ENOTDIR');
  return location;
}

/** The place that an *at call means; with AT_EMPTY_PATH an empty path is the descriptor itself. */
export function placeAt(task: Task, fd: number, address: number, flags: number, follow: boolean): Location {
  const path = flags & AT_EMPTY_PATH && address === 0 ? '' : pathAt(task, address);
  if (path === '' && flags & AT_EMPTY_PATH) {
    if ((fd | 0) === AT_FDCWD) return task.fs.cwd;
    const { location } = descriptionOf(task, fd);
    if (!location) throw errno('EBADF');
    return location;
  }
  return resolve(task.walk, startAt(task, fd, path), path, follow);
}

/** A struct timespec, in nanoseconds. Throws EFAULT, EINVAL. */
export function timespecAt(task: Task, address: number): number {
  const seconds = task.space.readI64(address);
  const nanoseconds = task.space.readI64(address + 8);
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= SECOND) throw errno('EINVAL');
  return seconds * SECOND + nanoseconds;
}

/** Two 64-bit numbers of whole seconds and what is left, in units of which a second has `units`. */
export function writeTime(task: Task, address: number, nanoseconds: number, units: number): void {
  const seconds = Math.floor(nanoseconds / SECOND);
  task.space.writeI64(address, seconds);
  task.space.writeI64(address + 8, Math.floor((nanoseconds - seconds * SECOND) / (SECOND / units)));
}

/** A sigset_t of 8 bytes. Throws EINVAL for another size. */
export function signalSetAt(task: Task, address: number, size: number): bigint {
  if (size !== 8) throw errno('EINVAL');
  return task.space.readBig(address);
}

export interface Buffer {
  readonly address: number;
  readonly length: number;
}

/** An array of struct iovec. Throws EFAULT, EINVAL. */
export function vectorAt(task: Task, address: number, count: number): Buffer[] {
  if (count < 0 || count > VECTOR_MAX) throw errno('EINVAL');
  const buffers: Buffer[] = [];
  let total = 0;
  for (let index = 0; index < count; index++) {
    const length = task.space.readI64(address + index * 16 + 8);
    if (length < 0) throw errno('EINVAL');
    const taken = Math.min(length, TRANSFER_MAX - total);
    total += taken;
    buffers.push({ address: task.space.readI64(address + index * 16), length: taken });
  }
  return buffers;
}

/** A null-terminated array of strings: argv and envp. Throws EFAULT, E2BIG. */
export function stringsAt(task: Task, address: number): string[] {
  const strings: string[] = [];
  if (address === 0) return strings;
  let total = 0;
  for (let at = address; ; at += 8) {
    const text = task.space.readI64(at);
    if (text === 0) return strings;
    strings.push(task.space.readString(text, 1 << 17, 'E2BIG'));
    total += strings[strings.length - 1].length + 9;
    if (total > 32 << 20) throw errno('E2BIG');
  }
}

/** Does what may have to wait for an open file to be ready, unless it was opened not to wait. */
export function waitFor(
  task: Task,
  { file, flags }: Pick<Description, 'file' | 'flags'>,
  act: () => number,
  more: Partial<Wait> = {},
): number {
  const again = errno('EAGAIN');
  const waits = (flags & O_NONBLOCK) === 0;
  return task.block({
    attempt: () => {
      try {
        return act();
      } catch (error) {
        if (error !== again || !waits) throw error;
        return BLOCKED;
      }
    },
    on: [{ add: (waiter) => file.onReady(waiter) }],
    interrupted: 'restart',
    ...more,
  });
}
