// The I/O bus of a machine: which handler answers a port or a guest-physical address that is not RAM.
// Owns the tables of claims and the last-hit cache; splits accesses that no single handler covers.
// Never knows RAM, a CPU or what any device does.

import type { AccessSize, Bus, MmioHandler, PortHandler } from './device.ts';

const PORT_COUNT = 0x10000;

/** Two claims overlap. PCI catches it (a guest may program that); everywhere else it is an error of the wiring. */
export class ClaimOverlapError extends Error {}

interface MmioClaim {
  readonly base: number;
  /** First byte after the claim. */
  readonly end: number;
  readonly handler: MmioHandler;
}

/** All ones, as a bus that nobody drives reads. */
export function floatingValue(size: AccessSize): number {
  return size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff;
}

const nobody: PortHandler & MmioHandler = {
  readPort: (_port, size) => floatingValue(size),
  writePort: () => {},
  readMmio: (_offset, size) => floatingValue(size),
  writeMmio: () => {},
};

const hex = (value: number) => `0x${value.toString(16)}`;

/** Dispatches port I/O and MMIO to the devices that claimed the addresses. */
export class IoBus implements Bus {
  private readonly ports: PortHandler[] = new Array(PORT_COUNT).fill(nobody);
  /** Sorted by base. */
  private mmio: MmioClaim[] = [];
  private last: MmioClaim = { base: 0, end: 0, handler: nobody };

  claimPorts(first: number, last: number, handler: PortHandler): void {
    if (!(first >= 0 && first <= last && last < PORT_COUNT)) {
      throw new RangeError(`ports ${hex(first)} to ${hex(last)} are not a range of I/O ports`);
    }
    for (let port = first; port <= last; port++) {
      if (this.ports[port] !== nobody) throw new ClaimOverlapError(`port ${hex(port)} is claimed twice`);
    }
    this.ports.fill(handler, first, last + 1);
  }

  releasePorts(first: number, last: number): void {
    this.ports.fill(nobody, first, last + 1);
  }

  claimMmio(base: number, length: number, handler: MmioHandler): void {
    const end = base + length;
    if (!(base >= 0 && length > 0 && Number.isSafeInteger(end))) {
      throw new RangeError(`${length} bytes at ${hex(base)} are not a range of physical addresses`);
    }
    const index = this.firstEndingAfter(base);
    const next = this.mmio[index];
    if (next !== undefined && next.base < end) {
      throw new ClaimOverlapError(`physical address ${hex(Math.max(base, next.base))} is claimed twice`);
    }
    this.mmio.splice(index, 0, { base, end, handler });
  }

  releaseMmio(base: number): void {
    this.mmio = this.mmio.filter((claim) => claim.base !== base);
    this.last = { base: 0, end: 0, handler: nobody };
  }

  /**
   * Reads a port; unclaimed bytes read as all ones. An access goes whole to a handler that has its first and its
   * last port, and is otherwise split into bytes, as an 8-bit ISA bus does.
   */
  readPort(port: number, size: 1 | 2 | 4): number {
    const handler = this.ports[port];
    if (size === 1 || handler === this.ports[port + size - 1]) return handler.readPort(port, size);
    let value = 0;
    for (let i = 0; i < size; i++)
      value += this.ports[(port + i) & 0xffff].readPort((port + i) & 0xffff, 1) * 2 ** (8 * i);
    return value;
  }

  /** Writes a port, split as {@link readPort} splits. */
  writePort(port: number, size: 1 | 2 | 4, value: number): void {
    const handler = this.ports[port];
    if (size === 1 || handler === this.ports[port + size - 1]) {
      handler.writePort(port, size, value);
      return;
    }
    for (let i = 0; i < size; i++) {
      this.ports[(port + i) & 0xffff].writePort((port + i) & 0xffff, 1, (value >>> (8 * i)) & 0xff);
    }
  }

  /** Reads guest-physical bytes that are not RAM; unclaimed ones read as all ones. */
  readMmio(address: number, size: 1 | 2 | 4): number {
    const claim = this.find(address);
    if (address + size <= claim.end) return claim.handler.readMmio(address - claim.base, size);
    let value = 0;
    for (let i = 0; i < size; i++) {
      const owner = this.find(address + i);
      value += owner.handler.readMmio(address + i - owner.base, 1) * 2 ** (8 * i);
    }
    return value;
  }

  /** Writes guest-physical bytes that are not RAM. */
  writeMmio(address: number, size: 1 | 2 | 4, value: number): void {
    const claim = this.find(address);
    if (address + size <= claim.end) {
      claim.handler.writeMmio(address - claim.base, size, value);
      return;
    }
    for (let i = 0; i < size; i++) {
      const owner = this.find(address + i);
      owner.handler.writeMmio(address + i - owner.base, 1, (value >>> (8 * i)) & 0xff);
    }
  }

  /** Reads 8 bytes as two 4-byte accesses, low half first. */
  readMmio64(address: number): bigint {
    const low = this.readMmio(address, 4);
    return (BigInt(this.readMmio(address + 4, 4)) << 32n) | BigInt(low);
  }

  /** Writes 8 bytes as two 4-byte accesses, low half first. */
  writeMmio64(address: number, value: bigint): void {
    this.writeMmio(address, 4, Number(value & 0xffffffffn));
    this.writeMmio(address + 4, 4, Number((value >> 32n) & 0xffffffffn));
  }

  /** Whether some device claimed this guest-physical byte. */
  claimsMmio(address: number): boolean {
    return this.find(address).handler !== nobody;
  }

  private find(address: number): MmioClaim {
    const last = this.last;
    if (address >= last.base && address < last.end) return last;
    const claim = this.mmio[this.firstEndingAfter(address)];
    if (claim !== undefined && claim.base <= address) return (this.last = claim);
    // The gap up to the next claim; not cached, because claims may come to lie in it.
    return { base: address, end: claim === undefined ? Number.MAX_SAFE_INTEGER : claim.base, handler: nobody };
  }

  /** Index of the first claim that ends after `address`; the only one that may hold it. */
  private firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.mmio.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.mmio[middle].end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
