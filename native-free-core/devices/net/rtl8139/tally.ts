// The tally counters of the RTL8139C+, which it writes to memory when it is asked to.
// Owns the counts and their layout there (Realtek RTL8139C(L)+ datasheet 1.6, 6.3).
// Never touches memory itself.

import type { FrameKind } from './descriptors.ts';

const DUMP_BYTES = 64;

export class Tally {
  /** Frames sent and received, and of the latter those for one station, for all and for a group. */
  readonly counts = [0, 0, 0, 0, 0];

  sent(): void {
    this.counts[0]++;
  }

  received(kind: FrameKind): void {
    this.counts[1]++;
    if (kind === 'own' || kind === 'other') this.counts[2]++;
    else if (kind === 'broadcast') this.counts[3]++;
    else this.counts[4]++;
  }

  /** The counters as they stand in memory; errors and collisions there are none of. */
  dump(): Uint8Array {
    const bytes = new Uint8Array(DUMP_BYTES);
    const view = new DataView(bytes.buffer);
    const [sent, received, own, broadcast, multicast] = this.counts;
    view.setBigUint64(0, BigInt(sent), true);
    view.setBigUint64(8, BigInt(received), true);
    view.setBigUint64(40, BigInt(own), true);
    view.setBigUint64(48, BigInt(broadcast), true);
    view.setUint32(56, multicast % 2 ** 32, true);
    return bytes;
  }

  reset(): void {
    this.counts.fill(0);
  }
}
