// Standard streams that lead to the host: what a program without a terminal reads, and where it writes.
// Owns the bytes of standard input that the program has yet to take.
// Never waits for the host: what is written is the host's at once.

import { errno } from '../errno.ts';
import { Pipe, PipeFile } from './pipe.ts';

/** Standard input: a pipe, at whose other end is the host. */
export class HostInput {
  private readonly pipe = new Pipe();
  /** The host's end: as long as it is open there may be more to come. */
  private end: PipeFile | undefined;
  private readonly queue: Uint8Array[] = [];
  private ending = false;
  private readonly taken: (bytes: number) => void;
  private moving = false;

  /** `taken`: bytes have gone into the pipe, and as many more may be sent. */
  constructor(taken: (bytes: number) => void) {
    this.taken = taken;
    this.end = new PipeFile(this.pipe, false, true);
    this.pipe.changed.add(() => this.move());
  }

  /** What the program has as its standard input. */
  open(): PipeFile {
    return new PipeFile(this.pipe, true, false);
  }

  write(bytes: Uint8Array): void {
    if (this.ending || bytes.length === 0) return;
    this.queue.push(bytes);
    this.move();
  }

  /** The end of the input, behind what was written. */
  finish(): void {
    this.ending = true;
    this.move();
  }

  private move(): void {
    // Writing into the pipe tells of a change, which comes back here.
    if (this.moving || !this.end) return;
    this.moving = true;
    let moved = 0;
    for (let piece = this.queue[0]; piece; piece = this.queue[0]) {
      // Nobody reads any more: it is taken, and gone.
      const room = this.pipe.readers === 0 && this.pipe.readerOpenings > 0 ? piece.length : this.room;
      if (room === 0) break;
      const part = piece.subarray(0, room);
      if (this.pipe.readers > 0) this.pipe.write(part);
      moved += part.length;
      if (part.length < piece.length) this.queue[0] = piece.subarray(part.length);
      else this.queue.shift();
    }
    if (this.ending && this.queue.length === 0) {
      this.end.release();
      this.end = undefined;
    }
    this.moving = false;
    if (moved > 0) this.taken(moved);
  }

  private get room(): number {
    return this.pipe.readers === 0 ? 0 : this.pipe.capacity - this.pipe.used;
  }
}

/** Standard output, or standard error: a pipe as the program sees it, whose reader takes everything at once. */
export class HostOutput extends PipeFile {
  private readonly show: (bytes: Uint8Array) => void;
  private readonly state: { isHeld: boolean };

  constructor(show: (bytes: Uint8Array) => void, pipe = new Pipe(), state = { isHeld: false }) {
    super(pipe, false, true);
    // Somebody reads as long as there is a host.
    pipe.readers = 1;
    pipe.opener = () => new HostOutput(show, pipe, state);
    this.show = show;
    this.state = state;
  }

  /** While it is held the host takes nothing, and who writes waits. */
  hold(held: boolean): void {
    this.state.isHeld = held;
    this.pipe.changed.wake();
  }

  override write(from: Uint8Array): number {
    if (this.state.isHeld) throw errno('EAGAIN');
    if (from.length > 0) this.show(from.slice());
    return from.length;
  }

  override poll(): number {
    return this.state.isHeld ? 0 : super.poll();
  }
}
