// Message-signalled interrupts of PCI functions: the MSI capability, and MSI-X with its table.
// Owns the capabilities' registers, masks and pending bits; a message is a write that the sink carries out.
// Never knows what a message does where it arrives.

import type { AccessSize, MmioHandler, SavedState } from './device.ts';
import { openState } from './saved-state.ts';

/** Carries out a function's memory write of 32 bits at a physical address: interrupt controllers see those in their window. */
export interface MessageSink {
  write(address: number, data: number): void;
}

/** What a capability needs of its function. */
export interface MessageFunction {
  readonly config: Uint8Array;
  readonly writable: Uint8Array;
  /** Whether the function may write to memory: a message is such a write. */
  readonly busMaster: boolean;
  addCapability(id: number, length: number): number;
}

const MSI_ID = 0x05;
const MSIX_ID = 0x11;
const MSI_64_BITS = 0x0080;
const MSI_MASKABLE = 0x0100;
const MSIX_ENABLE = 0x80;
const MSIX_FUNCTION_MASK = 0x40;
const MSIX_VECTORS_MAX = 2048;
const ENTRY_BYTES = 16;
const ENTRY_MASKED = 1;

const dwordAt = (bytes: Uint8Array, at: number) =>
  (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;

function setDword(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = (value >>> (8 * i)) & 0xff;
}

/** The MSI capability (PCI Local Bus 3.0, 6.8.1): 64-bit address, a mask bit a vector. */
export class Msi {
  private readonly pci: MessageFunction;
  private readonly sink: MessageSink;
  private readonly at: number;
  private readonly vectorsLog2: number;

  /** `vectors` is a power of two from 1 to 32. */
  constructor(pci: MessageFunction, sink: MessageSink, vectors = 1) {
    this.vectorsLog2 = Math.log2(vectors);
    if (![0, 1, 2, 3, 4, 5].includes(this.vectorsLog2)) throw new RangeError(`MSI has no ${vectors} vectors`);
    this.pci = pci;
    this.sink = sink;
    this.at = pci.addCapability(MSI_ID, 24);
    pci.writable[this.at + 2] = 0x71;
    pci.writable.fill(0xff, this.at + 4, this.at + 14);
    pci.writable[this.at + 4] = 0xfc;
    const implemented = vectors === 32 ? 0xffffffff : 2 ** vectors - 1;
    setDword(pci.writable, this.at + 16, implemented);
    this.reset();
  }

  get enabled(): boolean {
    return (this.pci.config[this.at + 2] & 1) !== 0;
  }

  private get masks(): number {
    return dwordAt(this.pci.config, this.at + 16);
  }

  /** Requests interrupt `vector`; one that the guest did not give us a vector for is folded into those it did. */
  send(vector: number): void {
    if (!this.enabled || !this.pci.busMaster) return;
    const { config } = this.pci;
    const granted = Math.min((config[this.at + 2] >> 4) & 7, this.vectorsLog2);
    const index = vector & (2 ** granted - 1);
    if (((this.masks >>> index) & 1) !== 0) {
      setDword(config, this.at + 20, (dwordAt(config, this.at + 20) | (1 << index)) >>> 0);
      return;
    }
    const address = dwordAt(config, this.at + 4) + dwordAt(config, this.at + 8) * 2 ** 32;
    const data = config[this.at + 12] | (config[this.at + 13] << 8);
    this.sink.write(address, (data & ~(2 ** granted - 1)) | index);
  }

  /** Call after configuration writes: what was pending and is no longer masked goes out. */
  configWritten(offset: number, size: number): void {
    if (offset >= this.at + 24 || offset + size <= this.at + 2 || !this.enabled) return;
    const { config } = this.pci;
    const pending = dwordAt(config, this.at + 20);
    const ready = (pending & ~this.masks) >>> 0;
    if (ready === 0) return;
    setDword(config, this.at + 20, (pending & ~ready) >>> 0);
    for (let vector = 0; vector < 32; vector++) if ((ready >>> vector) & 1) this.send(vector);
  }

  reset(): void {
    const { config } = this.pci;
    config.fill(0, this.at + 2, this.at + 24);
    const control = MSI_64_BITS | MSI_MASKABLE | (this.vectorsLog2 << 1);
    config[this.at + 2] = control & 0xff;
    config[this.at + 3] = control >> 8;
  }
}

export interface MsixPlaces {
  vectors: number;
  /** The memory BAR that holds the table and the pending bits, and their offsets in it, multiples of 8. */
  bar: number;
  table: number;
  pending: number;
}

/**
 * MSI-X (PCI Local Bus 3.0, 6.8.2). The device's BAR handler passes accesses inside the table and the pending bits to
 * {@link covers}, {@link readMmio} and {@link writeMmio}.
 */
export class Msix implements MmioHandler {
  private readonly pci: MessageFunction;
  private readonly sink: MessageSink;
  private readonly places: MsixPlaces;
  private readonly at: number;
  private readonly entries: Uint8Array;
  private readonly pendingBits: Uint8Array;

  constructor(pci: MessageFunction, sink: MessageSink, places: MsixPlaces) {
    const { vectors, bar, table, pending } = places;
    if (!(vectors >= 1 && vectors <= MSIX_VECTORS_MAX) || table % 8 !== 0 || pending % 8 !== 0)
      throw new RangeError(`MSI-X cannot have ${vectors} vectors at ${table} and ${pending}`);
    this.pci = pci;
    this.sink = sink;
    this.places = places;
    this.entries = new Uint8Array(vectors * ENTRY_BYTES);
    this.pendingBits = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.at = pci.addCapability(MSIX_ID, 12);
    pci.writable[this.at + 3] = MSIX_ENABLE | MSIX_FUNCTION_MASK;
    pci.config[this.at + 2] = (vectors - 1) & 0xff;
    pci.config[this.at + 3] = (vectors - 1) >> 8;
    setDword(pci.config, this.at + 4, table | bar);
    setDword(pci.config, this.at + 8, pending | bar);
    this.reset();
  }

  get enabled(): boolean {
    return (this.pci.config[this.at + 3] & MSIX_ENABLE) !== 0;
  }

  private isMasked(vector: number): boolean {
    if ((this.pci.config[this.at + 3] & MSIX_FUNCTION_MASK) !== 0) return true;
    return (this.entries[vector * ENTRY_BYTES + 12] & ENTRY_MASKED) !== 0;
  }

  /** Requests interrupt `vector`, one of those there are. */
  send(vector: number): void {
    if (
      !this.enabled ||
      !this.pci.busMaster ||
      !(Number.isInteger(vector) && vector >= 0 && vector < this.places.vectors)
    )
      return;
    if (this.isMasked(vector)) {
      this.pendingBits[vector >> 3] |= 1 << (vector & 7);
      return;
    }
    this.pendingBits[vector >> 3] &= ~(1 << (vector & 7));
    const entry = vector * ENTRY_BYTES;
    const address = dwordAt(this.entries, entry) + dwordAt(this.entries, entry + 4) * 2 ** 32;
    this.sink.write(address, dwordAt(this.entries, entry + 8));
  }

  private sendPending(): void {
    for (let vector = 0; vector < this.places.vectors; vector++) {
      if ((this.pendingBits[vector >> 3] & (1 << (vector & 7))) !== 0 && !this.isMasked(vector)) this.send(vector);
    }
  }

  /** Call after configuration writes: the function mask may have been lifted. */
  configWritten(offset: number, size: number): void {
    if (offset < this.at + 4 && offset + size > this.at + 3 && this.enabled) this.sendPending();
  }

  /** Whether an offset in the BAR is this table's or its pending bits'. */
  covers(offset: number): boolean {
    const { table, pending } = this.places;
    return (
      (offset >= table && offset < table + this.entries.length) ||
      (offset >= pending && offset < pending + this.pendingBits.length)
    );
  }

  readMmio(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.byteAt(offset + i) * 2 ** (8 * i);
    return value;
  }

  private byteAt(offset: number): number {
    const { table, pending } = this.places;
    return this.entries[offset - table] ?? this.pendingBits[offset - pending] ?? 0;
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    const at = offset - this.places.table;
    if (at < 0 || at + size > this.entries.length) return;
    for (let i = 0; i < size; i++) this.entries[at + i] = (value >>> (8 * i)) & 0xff;
    const entry = at - (at % ENTRY_BYTES);
    this.entries[entry] &= ~3;
    this.entries.fill(0, entry + 13, entry + 16);
    this.entries[entry + 12] &= ENTRY_MASKED;
    if (this.enabled) this.sendPending();
  }

  reset(): void {
    this.entries.fill(0);
    for (let entry = 0; entry < this.entries.length; entry += ENTRY_BYTES) this.entries[entry + 12] = ENTRY_MASKED;
    this.pendingBits.fill(0);
    this.pci.config[this.at + 3] &= ~(MSIX_ENABLE | MSIX_FUNCTION_MASK);
  }

  save(): SavedState {
    return { version: 1, entries: this.entries.slice(), pending: this.pendingBits.slice() };
  }

  restore(state: SavedState): void {
    const reader = openState('MSI-X table', 1, state);
    this.entries.set(reader.bytes('entries', this.entries.length));
    this.pendingBits.set(reader.bytes('pending', this.pendingBits.length));
  }
}
