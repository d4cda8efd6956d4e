// Segment and gate descriptors: finding them in the GDT and LDT, and taking them apart.
// Owns the layout of descriptors and the checks of table limits.
// Never decides whether a descriptor suits its use: see segments.ts and transfers.ts.

import { S, Seg, Vector } from '../state.ts';
import { Attribute } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import { GuestFault, selectorCode } from './fault.ts';

/** One descriptor as it lies in its table. */
export interface Descriptor {
  /** Linear address of its first byte. */
  readonly address: bigint;
  readonly low: number;
  readonly high: number;
  /** Bits 40 to 55, as the state keeps them. */
  readonly attributes: number;
}

/** Descriptor tables and TSSs are read with supervisor privilege, whatever CPL is. */
export const SYSTEM = false;

export const typeOf = (attributes: number): number => attributes & Attribute.typeMask;
export const dplOf = (attributes: number): number => (attributes >>> Attribute.dplShift) & 3;
export const isPresent = (attributes: number): boolean => (attributes & Attribute.present) !== 0;
/** A code or data segment rather than a system descriptor. */
export const isSegment = (attributes: number): boolean => (attributes & Attribute.segment) !== 0;
export const isCode = (attributes: number): boolean =>
  (attributes & (Attribute.segment | Attribute.code)) === (Attribute.segment | Attribute.code);
export const isData = (attributes: number): boolean =>
  (attributes & (Attribute.segment | Attribute.code)) === Attribute.segment;
export const isWritableData = (attributes: number): boolean =>
  isData(attributes) && (attributes & Attribute.writable) !== 0;
export const isConforming = (attributes: number): boolean => (attributes & Attribute.conforming) !== 0;
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

/** 32-bit base of a segment descriptor. */
export const baseOf = (d: Descriptor): bigint =>
  BigInt(((d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff000000)) >>> 0);

/** Limit in bytes, inclusive. */
export function limitOf(d: Descriptor): number {
  const limit = (d.low & 0xffff) | (d.high & 0xf0000);
  return d.attributes & Attribute.granular ? ((limit << 12) | 0xfff) >>> 0 : limit;
}

/** Selector and offset of a call, interrupt or trap gate of 32 bits. */
export const gateSelector = (d: Descriptor): number => d.low >>> 16;
export const gateOffset32 = (d: Descriptor): number => ((d.low & 0xffff) | (d.high & 0xffff0000)) >>> 0;
export const gateOffset16 = (d: Descriptor): number => d.low & 0xffff;

/** Linear address of a selector's descriptor of `bytes` bytes, or undefined when it is outside its table. */
export function descriptorAddress(cpu: SystemCpu, selector: number, bytes = 8): bigint | undefined {
  const offset = selector & 0xfff8;
  if (selector & 4) {
    if (!isPresent(cpu.attributes(Seg.ldtr)) || offset + bytes - 1 > cpu.limit(Seg.ldtr)) return undefined;
    return wrapSystem(cpu, cpu.base(Seg.ldtr) + BigInt(offset));
  }
  if (offset + bytes - 1 > cpu.get32(S.gdtLimit)) return undefined;
  return wrapSystem(cpu, cpu.get64(S.gdtBase) + BigInt(offset));
}

/** Addresses of system tables wrap at 4 GiB outside long mode. */
export const wrapSystem = (cpu: SystemCpu, linear: bigint): bigint => BigInt.asUintN(cpu.longMode ? 64 : 32, linear);

export function readDescriptorAt(cpu: SystemCpu, address: bigint): Descriptor {
  const value = cpu.load(address, 8, SYSTEM);
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n);
  return { address, low, high, attributes: (high >>> 8) & 0xffff };
}

/** The descriptor a selector names. Outside its table: the exception `vector` with the selector and EXT as its code. */
export function fetchDescriptor(
  cpu: SystemCpu,
  selector: number,
  vector: number = Vector.generalProtection,
  ext = 0,
): Descriptor {
  const address = descriptorAddress(cpu, selector);
  if (address === undefined) throw new GuestFault(vector, selectorCode(selector, ext));
  return readDescriptorAt(cpu, address);
}

/** Bits 32 to 63 of a base or offset: the second half of a 16-byte system descriptor in long mode. */
export function readUpperHalf(cpu: SystemCpu, d: Descriptor): { high: number; reserved: number } {
  const value = cpu.load(wrapSystem(cpu, d.address + 8n), 8, SYSTEM);
  return { high: Number(value & 0xffff_ffffn), reserved: Number(value >> 32n) };
}

/** Writes the byte of a descriptor that holds its type. */
export function writeTypeByte(cpu: SystemCpu, d: Descriptor, attributes: number): void {
  cpu.store32(wrapSystem(cpu, d.address + 5n), 1, attributes & 0xff, SYSTEM);
}

/** Sets the accessed bit of a code or data descriptor in memory; gives the attributes with it. */
export function markAccessed(cpu: SystemCpu, d: Descriptor): number {
  const marked = d.attributes | Attribute.accessed;
  if (marked !== d.attributes) writeTypeByte(cpu, d, marked);
  return marked;
}
