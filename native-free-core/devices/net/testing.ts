// Stand-ins that the tests of network cards share: guest memory and a port that remembers.
// Owns nothing but what a test tells it.
// Never used outside tests.

import type { DmaMemory } from '../dma.ts';
import type { PacketPort } from '../packets.ts';

/** Guest memory from address 0 on. */
export class TestMemory implements DmaMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(size = 0x40000) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  read(physical: number, into: Uint8Array): boolean {
    if (physical + into.length > this.bytes.length) return false;
    into.set(this.bytes.subarray(physical, physical + into.length));
    return true;
  }

  write(physical: number, bytes: Uint8Array): boolean {
    if (physical + bytes.length > this.bytes.length) return false;
    this.bytes.set(bytes, physical);
    return true;
  }
}

/** A port whose frames are kept, and given, by a test. */
export class TestPort implements PacketPort {
  isUp = true;
  /** Frames that it takes before it is full. */
  room = Infinity;
  readonly sent: Uint8Array[] = [];
  readonly waiting: Uint8Array[] = [];

  send(frame: Uint8Array): boolean {
    if (this.sent.length >= this.room) return false;
    this.sent.push(frame.slice());
    return true;
  }

  next(): Uint8Array | undefined {
    return this.waiting[0];
  }

  advance(): void {
    this.waiting.shift();
  }
}

export const TEST_ADDRESS = Uint8Array.of(0x02, 0x11, 0x22, 0x33, 0x44, 0x55);

/** A frame of `length` bytes, to `to` from somebody, whose payload counts. */
export function testFrame(length: number, to: ArrayLike<number> = TEST_ADDRESS): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => i & 0xff);
  frame.set(Uint8Array.from(to));
  frame.set([2, 0, 0, 0, 0, 9, 0x88, 0xb5], 6);
  return frame;
}
