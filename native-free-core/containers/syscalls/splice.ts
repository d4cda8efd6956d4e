// splice, tee, vmsplice: bytes between pipes and other files, without a detour through a program's memory.
// Owns their arguments, offsets and flags.
// Never takes a byte out of a pipe that the other end has not taken.

import { PipeFile } from '../devices/pipe.ts';
import { errno } from '../errno.ts';
import type { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { afterWrite, beforeRead } from '../kernel/mapped-files.ts';
import type { Task } from '../kernel/task.ts';
import { O_ACCMODE, O_APPEND, O_NONBLOCK, O_WRONLY } from '../vfs/constants.ts';
import { vectorAt } from './arguments.ts';
import { CHUNK, copyWaiting, readable, readInto, writable, writeFrom } from './transfer.ts';

const SPLICE_F_NONBLOCK = 2;
const SPLICE_F_KNOWN = 15;

const pipeOf = ({ file }: Description): PipeFile | undefined => (file instanceof PipeFile ? file : undefined);

/** Bytes that wait in a pipe, without taking them: none at its end. Throws EAGAIN. */
function waiting({ pipe }: PipeFile, most: number): Uint8Array {
  if (pipe.used === 0 && pipe.writers > 0) throw errno('EAGAIN');
  return pipe.peek(Math.min(most, CHUNK));
}

const splice: SystemCall = (task, input, inputAt, output, outputAt, length, flags) => {
  if (flags & ~SPLICE_F_KNOWN) throw errno('EINVAL');
  const from = readable(task, input);
  const to = writable(task, output);
  const source = pipeOf(from);
  const target = pipeOf(to);
  if (!source && !target) throw errno('EINVAL');
  if ((source && inputAt !== 0) || (target && outputAt !== 0)) throw errno('ESPIPE');
  if (!target && to.flags & O_APPEND) throw errno('EINVAL');
  if (source && target && source.pipe === target.pipe) throw errno('EINVAL');
  if ((inputAt !== 0 && !from.file.seekable) || (outputAt !== 0 && !to.file.seekable)) throw errno('EINVAL');
  if (length === 0) return 0;
  if (length < 0) throw errno('EINVAL');
  const readFrom = inputAt === 0 ? undefined : task.space.readI64(inputAt);
  const writeTo = outputAt === 0 ? undefined : task.space.readI64(outputAt);
  if ((readFrom ?? 0) < 0 || (writeTo ?? 0) < 0) throw errno('EINVAL');

  const move = (): number => {
    if (source) {
      const bytes = waiting(source, length);
      if (bytes.length === 0) return 0;
      const at = writeTo ?? to.offset;
      const count = to.file.write(bytes, at);
      if (to.file.seekable) {
        afterWrite(to.file.inode, at, bytes.subarray(0, count));
        if (writeTo === undefined) to.offset += count;
        else task.space.writeI64(outputAt, writeTo + count);
      }
      source.pipe.consume(count);
      return count;
    }
    const { pipe } = target!;
    if (pipe.readers === 0) throw errno('EPIPE');
    const room = Math.min(length, pipe.capacity - pipe.used, CHUNK);
    if (room === 0) throw errno('EAGAIN');
    const bytes = new Uint8Array(room);
    beforeRead(from.file.inode);
    const count = from.file.read(bytes, readFrom ?? from.offset);
    if (from.file.seekable) {
      if (readFrom === undefined) from.offset += count;
      else task.space.writeI64(inputAt, readFrom + count);
    }
    return count === 0 ? 0 : pipe.write(bytes.subarray(0, count), true);
  };
  return copyWaiting(task, from, to, move, mustNotWait(flags, from, to));
};

const mustNotWait = (flags: number, from: Description, to: Description): boolean =>
  (flags & SPLICE_F_NONBLOCK) !== 0 || ((from.flags | to.flags) & O_NONBLOCK) !== 0;

const tee: SystemCall = (task, input, output, length, flags) => {
  if (flags & ~SPLICE_F_KNOWN) throw errno('EINVAL');
  const from = readable(task, input);
  const to = writable(task, output);
  const source = pipeOf(from);
  const target = pipeOf(to);
  if (!source || !target || source.pipe === target.pipe) throw errno('EINVAL');
  if (length === 0) return 0;
  const move = (): number => {
    if (target.pipe.readers === 0) throw errno('EPIPE');
    const bytes = waiting(source, length);
    return bytes.length === 0 ? 0 : target.pipe.write(bytes, true);
  };
  return copyWaiting(task, from, to, move, mustNotWait(flags, from, to));
};

function vmsplice(task: Task, fd: number, address: number, count: number, flags: number): number {
  if (flags & ~SPLICE_F_KNOWN) throw errno('EINVAL');
  const description = task.files.get(fd | 0);
  if (!pipeOf(description)) throw errno('EBADF');
  const buffers = vectorAt(task, address, count);
  if (buffers.length === 0) return 0;
  return (description.flags & O_ACCMODE) === O_WRONLY || !pipeOf(description)!.isReader
    ? writeFrom(task, description, buffers)
    : readInto(task, description, buffers);
}

export const spliceCalls: Record<string, SystemCall> = { splice, tee, vmsplice };
