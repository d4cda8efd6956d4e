// Memory of a device that guests reach as they reach RAM: a display's frame buffer, a ROM.
// Owns the windows through which it can be seen at guest-physical addresses, and what is known of writes to it.
// Never knows what the bytes mean.

import type { PhysicalMemory } from './physical.ts';

const PAGE = 0x1000;

/**
 * What writes to a window do: change the memory; nothing (a ROM); or change the RAM that the window hides, while reads go on
 * to find the memory (a ROM being shadowed). Only below 1 MiB is there RAM to hide.
 */
export type WindowWrites = 'memory' | 'ignored' | 'beneath';

/**
 * A range of guest-physical addresses at which a part of the memory can be seen. Below 1 MiB it hides RAM; above, RAM hides
 * it, as a host bridge decodes that first. Windows of memories that were allocated first hide later ones'.
 */
export class DirectWindow {
  /** Guest-physical bytes [base, end); both 0 while the window is not mapped. */
  base = 0;
  end = 0;
  /** Host address of its first byte. */
  host = 0;
  readonly writes: WindowWrites;
  /** Windows of lower rank go first. */
  readonly rank: number;
  private readonly physical: PhysicalMemory;
  private readonly memory: { readonly host: number; readonly length: number };

  constructor(
    physical: PhysicalMemory,
    memory: { readonly host: number; readonly length: number },
    rank: number,
    writes: WindowWrites,
  ) {
    this.physical = physical;
    this.memory = memory;
    this.rank = rank;
    this.writes = writes;
  }

  /**
   * Shows `length` bytes of the memory from `offset` on at guest-physical address `physical`, and nothing elsewhere any more.
   * All are multiples of 4096 (RangeError). The guest may be executing: it sees the change with its next access.
   */
  map(physical: number, offset: number, length: number): void {
    const fits = offset >= 0 && length > 0 && offset + length <= this.memory.length;
    if (!fits || physical < 0 || !Number.isSafeInteger(physical + length))
      throw new RangeError(`${length} bytes from ${offset} are not a part of a memory of ${this.memory.length} bytes`);
    if (physical % PAGE !== 0 || offset % PAGE !== 0 || length % PAGE !== 0)
      throw new RangeError('a window consists of whole pages of 4096 bytes');
    const host = this.memory.host + offset;
    if (this.base === physical && this.end === physical + length && this.host === host) return;
    this.unmap();
    this.base = physical;
    this.end = physical + length;
    this.host = host;
    this.physical.showWindow(this, this.rank);
  }

  unmap(): void {
    if (this.end === 0) return;
    this.physical.hideWindow(this);
    this.base = this.end = 0;
  }
}

export class DirectMemory {
  /** The whole memory. Whoever writes to it says so with {@link touch}. */
  readonly bytes: Uint8Array;
  private readonly physical: PhysicalMemory;
  private readonly host: number;
  private readonly rank: number;

  /** For {@link PhysicalMemory.allocate}. `host` is the address of the first byte in the guest's whole memory. */
  constructor(physical: PhysicalMemory, bytes: Uint8Array, host: number, rank: number) {
    this.physical = physical;
    this.bytes = bytes;
    this.host = host;
    this.rank = rank;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** A new window, not mapped yet. */
  window(writes: WindowWrites = 'memory'): DirectWindow {
    return new DirectWindow(this.physical, { host: this.host, length: this.length }, this.rank, writes);
  }

  /** Says that the device itself has changed bytes: they are dirty, and code that was decoded from them goes stale. */
  touch(offset: number, length: number): void {
    const end = Math.min(this.length, offset + length);
    for (let at = Math.max(0, offset); at < end; ) {
      const next = Math.min(end, at - (at % PAGE) + PAGE);
      this.physical.noteHostWrite(this.host + at, next - at);
      at = next;
    }
  }

  /**
   * Calls `page` with the offset of each page of 4096 bytes in [from, to) that guest or device have written to since it was
   * last given. Costs a pass over the TLBs where there are any, so once a picture is often enough.
   */
  takeDirty(from: number, to: number, page: (offset: number) => void): void {
    const [first, end] = [Math.max(0, from), Math.min(this.length, to)];
    if (first < end) this.physical.takeDirty(this.host + first, this.host + end, (host) => page(host - this.host));
  }
}
