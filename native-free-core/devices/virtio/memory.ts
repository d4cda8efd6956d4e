// Guest memory as the queues of virtio devices reach it: numbers and byte ranges at guest-physical addresses.
// Owns the check that every byte is plain memory; what is not is the guest's fault, told by a QueueFault.
// Never knows a ring or a device.

import type { DmaMemory } from '../dma.ts';

/** A driver broke the rules of a queue or of a device: one sentence. The device stops until it is reset. */
export class QueueFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'QueueFault';
  }
}

/** No physical address is beyond this: sums of addresses and lengths stay exact. */
const ADDRESS_MAX = 2 ** 52;

/** Descriptors of a table that is read at once. */
export const TABLE_MAX = 1024;

const hex = (value: number) => `0x${value.toString(16)}`;

/** Little-endian numbers and bytes of guest memory. Each access throws a {@link QueueFault} where there is no memory. */
export class QueueMemory {
  private readonly memory: DmaMemory;
  private readonly two = new Uint8Array(2);
  private readonly four = new Uint8Array(4);
  private readonly record = new Uint8Array(16);
  private readonly view = new DataView(this.record.buffer);
  private readonly records = new Uint8Array(16 * TABLE_MAX);
  private readonly recordsView = new DataView(this.records.buffer);

  constructor(memory: DmaMemory) {
    this.memory = memory;
  }

  read(address: number, into: Uint8Array): void {
    if (address + into.length > ADDRESS_MAX || !this.memory.read(address, into))
      throw new QueueFault(`There is no memory to read ${into.length} bytes of at ${hex(address)}.`);
  }

  write(address: number, bytes: Uint8Array): void {
    if (address + bytes.length > ADDRESS_MAX || !this.memory.write(address, bytes))
      throw new QueueFault(`There is no memory to write ${bytes.length} bytes to at ${hex(address)}.`);
  }

  u16(address: number): number {
    const { two } = this;
    this.read(address, two);
    return two[0] | (two[1] << 8);
  }

  setU16(address: number, value: number): void {
    const { two } = this;
    two[0] = value & 0xff;
    two[1] = (value >> 8) & 0xff;
    this.write(address, two);
  }

  setU32(address: number, value: number): void {
    const { four } = this;
    for (let i = 0; i < 4; i++) four[i] = (value >>> (8 * i)) & 0xff;
    this.write(address, four);
  }

  /** Sixteen bytes: what a descriptor is. The view is valid until the next call. */
  descriptor(address: number): DataView {
    this.read(address, this.record);
    return this.view;
  }

  /** A table of descriptors, {@link TABLE_MAX} at most, read at once. The view is valid until the next call. */
  table(address: number, count: number): DataView {
    this.read(address, this.records.subarray(0, 16 * count));
    return this.recordsView;
  }
}

/** A 64-bit number of a record as a plain one: what is beyond any address stays beyond it. */
export function address64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
}
