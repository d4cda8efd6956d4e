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

export class RingPort implements PacketPort {
  private readonly outgoing: PacketRing;
  private readonly incoming: PacketRing;
  private readonly wake: () => void;

  /** `wake` rings for the thread that reads what the guest sends. */
  constructor(cable: CableBuffers, wake: () => void) {
    this.outgoing = new PacketRing(cable.fromGuest);
    this.incoming = new PacketRing(cable.toGuest);
    this.wake = wake;
  }

  get isUp(): boolean {
    return this.incoming.isOpen;
  }

  send(frame: Uint8Array): boolean {
    const result = this.outgoing.push(frame);
    if (result === 'first') this.wake();
    return result !== 'full';
  }

  sendUnfinished(frame: Uint8Array, header: Uint8Array): boolean {
    const result = this.outgoing.push(frame, header);
    if (result === 'first') this.wake();
    return result !== 'full';
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
    if (this.incoming.takeWaiting()) this.wake();
  }
}
