// Pipes and FIFOs: bytes in order from those who write to those who read.
// Owns the buffer, its bound, and what either side sees when the other is gone (pipe(7)).
// Never blocks anybody: EAGAIN does.

import { errno } from '../errno.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../vfs/constants.ts';
import { type Inode, OpenFile, type UserMemory } from '../vfs/types.ts';

/** Bytes of a pipe, and most that are written as one piece. */
export const PIPE_BYTES = 65536;
const PIPE_BUF = 4096;
const FIONREAD = 0x541b;

export class Pipe {
  readers = 0;
  writers = 0;
  /** How often either end has been opened: who waits for the other side to come must not miss one that left again. */
  readerOpenings = 0;
  writerOpenings = 0;
  readonly changed = new WaitQueue();
  capacity = PIPE_BYTES;
  /** A FIFO: who opens one side waits for the other. */
  isNamed = false;
  /** What is opened where it is opened by its place, if not one of its ends: of pipes that lead to the host. */
  opener: (() => PipeFile) | undefined;
  private ring = new Uint8Array(PIPE_BUF);
  private start = 0;
  private length = 0;

  get used(): number {
    return this.length;
  }

  read(into: Uint8Array): number {
    if (into.length === 0) return 0;
    if (this.length === 0) {
      if (this.writers === 0) return 0;
      throw errno('EAGAIN');
    }
    const count = Math.min(into.length, this.length);
    this.copyOut(into.subarray(0, count));
    this.consume(count);
    return count;
  }

  private copyOut(into: Uint8Array): void {
    const first = Math.min(into.length, this.ring.length - this.start);
    into.set(this.ring.subarray(this.start, this.start + first));
    into.set(this.ring.subarray(0, into.length - first), first);
  }

  /** The next bytes, which stay. */
  peek(most: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(most, this.length));
    this.copyOut(bytes);
    return bytes;
  }

  /** Takes the next bytes away; there are as many. */
  consume(count: number): void {
    this.start = (this.start + count) % this.ring.length;
    this.length -= count;
    if (this.length === 0) this.start = 0;
    this.changed.wake();
  }

  /** `mayTear`: as much as there is room for, however short it is. */
  write(from: Uint8Array, mayTear = false): number {
    if (this.readers === 0) throw errno('EPIPE');
    const room = this.capacity - this.length;
    // What is not longer than PIPE_BUF is never torn apart.
    if (from.length > 0 && (room === 0 || (!mayTear && from.length <= PIPE_BUF && room < from.length)))
      throw errno('EAGAIN');
    const count = Math.min(from.length, room);
    this.reserve(this.length + count);
    const end = (this.start + this.length) % this.ring.length;
    const first = Math.min(count, this.ring.length - end);
    this.ring.set(from.subarray(0, first), end);
    this.ring.set(from.subarray(first, count), 0);
    this.length += count;
    if (count > 0) this.changed.wake();
    return count;
  }

  private reserve(bytes: number): void {
    if (bytes <= this.ring.length) return;
    let size = this.ring.length;
    while (size < bytes) size *= 2;
    const ring = new Uint8Array(size);
    const first = Math.min(this.length, this.ring.length - this.start);
    ring.set(this.ring.subarray(this.start, this.start + first));
    ring.set(this.ring.subarray(0, this.length - first), first);
    this.ring = ring;
    this.start = 0;
  }

  /** F_SETPIPE_SZ: the size there then is. Throws EBUSY where more than that waits. */
  resize(bytes: number): number {
    let size = PIPE_BUF;
    while (size < bytes) size *= 2;
    if (size < this.length) throw errno('EBUSY');
    this.capacity = size;
    this.changed.wake();
    return size;
  }
}

/** One open end of a pipe, or both: a FIFO that was opened for reading and writing. */
export class PipeFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null;
  readonly pipe: Pipe;
  private readonly reads: boolean;
  private readonly writes: boolean;

  constructor(pipe: Pipe, reads: boolean, writes: boolean, inode: Inode | null = null) {
    super();
    this.pipe = pipe;
    this.inode = inode;
    this.reads = reads;
    this.writes = writes;
    if (reads) {
      pipe.readers++;
      pipe.readerOpenings++;
    }
    if (writes) {
      pipe.writers++;
      pipe.writerOpenings++;
    }
    pipe.changed.wake();
  }

  get isReader(): boolean {
    return this.reads;
  }

  override read(into: Uint8Array): number {
    return this.pipe.read(into);
  }

  override write(from: Uint8Array): number {
    return this.pipe.write(from);
  }

  override ioctl(request: number, argument: number, memory: UserMemory): number {
    if (request !== FIONREAD) throw errno('ENOTTY');
    memory.write(argument, new Uint8Array(Int32Array.of(this.pipe.used).buffer));
    return 0;
  }

  override poll(): number {
    const { pipe } = this;
    let mask = 0;
    if (this.reads) {
      if (pipe.used > 0) mask |= POLLIN | POLLRDNORM;
      if (pipe.writers === 0) mask |= POLLHUP;
    }
    if (this.writes) {
      if (pipe.capacity - pipe.used >= PIPE_BUF) mask |= POLLOUT | POLLWRNORM;
      if (pipe.readers === 0) mask |= POLLERR;
    }
    return mask;
  }

  override onReady(waiter: () => void): () => void {
    return this.pipe.changed.add(waiter);
  }

  override release(): void {
    if (this.reads) this.pipe.readers--;
    if (this.writes) this.pipe.writers--;
    this.pipe.changed.wake();
  }
}
