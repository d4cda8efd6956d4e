// Resource descriptors of ACPI: the ports, memory and interrupts a device uses or a bridge passes on.
// Owns their encoding (ACPI 6.4, 6.4).
// Never knows which device they describe.

import { type Aml, buffer, concat, littleEndian } from './aml.ts';

/** A resource template: the descriptors and the end tag, as a buffer. The checksum of zero means "not summed". */
export function resourceTemplate(...descriptors: readonly Aml[]): Aml {
  return buffer(concat(...descriptors, [0x79, 0x00]));
}

/** `IO (Decode16, first, first, 1, length)`: ports that do not move. */
export function io(first: number, length: number): Aml {
  return concat([0x47, 0x01], littleEndian(first, 2), littleEndian(first, 2), [0x01, length]);
}

/** `IRQNoFlags () { irq }`: an edge-triggered ISA interrupt. */
export function irq(number: number): Aml {
  return concat([0x22], littleEndian(1 << number, 2));
}

/** `DMA (Compatibility, NotBusMaster, Transfer8) { channel }`, with 16-bit transfers on channels from 4 on. */
export function dma(channel: number): Aml {
  return concat([0x2a, 1 << channel, channel < 4 ? 0x00 : 0x02]);
}

/** `Interrupt (ResourceConsumer, Level, ActiveLow, Shared) { ... }`: interrupts of PCI. */
export function pciInterrupt(...numbers: readonly number[]): Aml {
  const body = concat([0x0d, numbers.length], ...numbers.map((number) => littleEndian(number, 4)));
  return concat([0x89], littleEndian(body.length, 2), body);
}

/** `Memory32Fixed (ReadWrite, base, length)`. */
export function memory32(base: number, length: number): Aml {
  return concat([0x86], littleEndian(9, 2), [0x01], littleEndian(base, 4), littleEndian(length, 4));
}

/** The kinds of address space a bridge passes on, with the type-specific flags each uses. */
const windowKinds = {
  bus: { type: 2, flags: 0x00 },
  /** The entire range, non-ISA and ISA ports. */
  io: { type: 1, flags: 0x03 },
  /** Read and write, not cacheable. */
  memory: { type: 0, flags: 0x01 },
} as const;

/** A window of a bridge, `first` to `last` both included, in the smallest of the word, dword and qword descriptors. */
export function window(kind: keyof typeof windowKinds, first: number, last: number): Aml {
  const { type, flags } = windowKinds[kind];
  const size = kind !== 'memory' ? 2 : last < 2 ** 32 ? 4 : 8;
  const tag = size === 2 ? 0x88 : size === 4 ? 0x87 : 0x8a;
  // Producer, positive decode, both ends fixed.
  const fields = [0, first, last, 0, last - first + 1].map((value) => littleEndian(value, size));
  const body = concat([type, 0x0c, flags], ...fields);
  return concat([tag], littleEndian(body.length, 2), body);
}
