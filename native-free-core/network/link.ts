// A cable with faults: cut, slow, late or lossy, each direction alike.
// Owns the frames that are on their way in it.
// Never reorders them, and never holds more than a switch's buffer would.

import type { Deliver } from './switch.ts';

export interface LinkConditions {
  /** The cable is whole. */
  isUp: boolean;
  /** Milliseconds that a frame takes. */
  delay: number;
  /** Bits a second; null for as many as there are. */
  rate: number | null;
  /** The share of frames that are lost, 0 to 1. */
  loss: number;
}

export const perfectLink: LinkConditions = { isUp: true, delay: 0, rate: null, loss: 0 };

export interface LinkHost {
  /** Milliseconds of a clock that does not go back. */
  now(): number;
  /** 0 up to 1. */
  random(): number;
  /** Calls back after so many milliseconds. */
  after(milliseconds: number, act: () => void): void;
}

/** Bytes that wait for their turn in one direction: a quarter of a second at 16 Mbit/s. */
const QUEUE_BYTES = 512 * 1024;
/** Frames that are on their way at once. */
const QUEUE_FRAMES = 4096;

/** One direction of a link. */
export class LinkDirection {
  private readonly host: LinkHost;
  private readonly deliver: Deliver;
  private conditions: LinkConditions = perfectLink;
  private readonly queue: { frame: Uint8Array; header: Uint8Array | undefined; at: number }[] = [];
  private waiting = 0;
  private isTimed = false;
  /** When the cable has sent all that it was given. */
  private freeAt = 0;
  /** Frames that were lost in it. */
  lost = 0;

  constructor(host: LinkHost, deliver: Deliver) {
    this.host = host;
    this.deliver = deliver;
  }

  set(conditions: LinkConditions): void {
    this.conditions = conditions;
    if (conditions.isUp) return;
    this.lost += this.queue.length;
    this.queue.length = 0;
    this.waiting = 0;
  }

  /** Whether frames come out at once, and all of them: only then unfinished ones are as good as finished ones. */
  get isPerfect(): boolean {
    const { isUp, delay, rate, loss } = this.conditions;
    return isUp && delay === 0 && rate === null && loss === 0;
  }

  /** A frame goes in; false if it found no room. Its bytes may be changed when this returns. */
  send(frame: Uint8Array, header?: Uint8Array): boolean {
    const { isUp, delay, rate, loss } = this.conditions;
    if (!isUp || (loss > 0 && this.host.random() < loss)) {
      // Whoever sent it does not learn of it.
      this.lost++;
      return true;
    }
    const isDirect = delay === 0 && rate === null;
    if (isDirect && this.queue.length === 0) return this.deliver(frame, header);
    if (this.waiting + frame.length > QUEUE_BYTES || this.queue.length >= QUEUE_FRAMES) return false;
    const now = this.host.now();
    const begin = Math.max(now, this.freeAt);
    this.freeAt = rate === null ? begin : begin + (frame.length * 8 * 1000) / rate;
    // Never before the frame in front of it.
    const at = Math.max(this.freeAt + delay, this.queue.at(-1)?.at ?? 0);
    this.queue.push({ frame: frame.slice(), header: header?.slice(), at });
    this.waiting += frame.length;
    this.wait(now);
    return true;
  }

  private wait(now: number): void {
    const [first] = this.queue;
    if (this.isTimed || first === undefined) return;
    this.isTimed = true;
    this.host.after(Math.max(0, first.at - now), () => {
      this.isTimed = false;
      this.release();
    });
  }

  private release(): void {
    const now = this.host.now();
    let count = 0;
    while (count < this.queue.length && this.queue[count].at <= now) count++;
    for (const { frame, header } of this.queue.splice(0, count)) {
      this.waiting -= frame.length;
      if (!this.deliver(frame, header)) this.lost++;
    }
    this.wait(now);
  }
}
