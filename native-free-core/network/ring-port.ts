// A card's port over two rings in shared memory: the way from a guest's thread to the thread of the networks.
// Owns nothing but which ring is which.
// Never waits; the other thread is woken through a doorbell that it is given.

import type { PacketPort } from '../devices/packets.ts';
import { PacketRing } from './packet-ring.ts';

/** The two rings of a cable, as both ends are told of them. */
export interface CableBuffers {
  /** Frames that the guest sends. */
  fromGuest: SharedArrayBuffer;
  /** Frames for the guest; this ring also tells whether the link is up. */
  toGuest: SharedArrayBuffer;
}

export function newCable(): CableBuffers {
  return { fromGuest: new PacketRing().buffer, toGuest: new PacketRing().buffer };
}

/**
 * Milliseconds after a ring in which nobody is rung for again at once: one that is woken for each frame of a stream costs more
 * than the frames do.
 */
const QUIET = 0.25;

export class RingPort implements PacketPort {
  private readonly outgoing: PacketRing;
  private readonly incoming: PacketRing;
  private readonly wake: () => void;
  private readonly now: () => number;
  private rungAt = -Infinity;
  private isRingDue = false;

  /** `wake` rings for the thread that reads what the guest sends; `now`: milliseconds of a clock that does not go back. */
  constructor(cable: CableBuffers, wake: () => void, now: () => number) {
    this.outgoing = new PacketRing(cable.fromGuest);
    this.incoming = new PacketRing(cable.toGuest);
    this.wake = wake;
    this.now = now;
  }

  get isUp(): boolean {
    return this.incoming.isOpen;
  }

  send(frame: Uint8Array, header?: Uint8Array): boolean {
    const result = this.outgoing.push(frame, header);
    if (result === 'first') this.ring();
    return result !== 'full';
  }

  sendUnfinished(frame: Uint8Array, header: Uint8Array): boolean {
    return this.send(frame, header);
  }

  take(kinds: number): void {
    this.incoming.takes = kinds;
  }

  get header(): Uint8Array | undefined {
    return this.incoming.header;
  }

  next(): Uint8Array | undefined {
    return this.incoming.next();
  }

  advance(): void {
    this.incoming.advance();
    // Whoever fills the ring may have more than it takes.
    if (this.incoming.takeWaiting()) this.ring();
  }

  flush(): void {
    if (!this.isRingDue) return;
    this.isRingDue = false;
    this.rungAt = this.now();
    this.wake();
  }

  private ring(): void {
    this.isRingDue = true;
    if (this.now() - this.rungAt >= QUIET) this.flush();
  }
}
