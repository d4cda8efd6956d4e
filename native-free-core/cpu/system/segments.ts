// Loading segment registers, LDTR and TR with the checks of every mode; limit checks of segmented accesses.
// Owns what MOV to a segment register, LDS, POP and LLDT and LTR do, and the slow half of segmented addresses.
// Never transfers control: CS is loaded by transfers.ts, interrupts.ts and tasks.ts. SDM volume 3, chapter 5.

import { S, Seg } from '../state.ts';
import { Attribute, Efer, SystemType } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import {
  baseOf,
  type Descriptor,
  descriptorAddress,
  dplOf,
  fetchDescriptor,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSegment,
  isWritableData,
  limitOf,
  markAccessed,
  readDescriptorAt,
  readUpperHalf,
  typeOf,
  writeTypeByte,
} from './descriptors.ts';
import { GuestFault, generalProtection, invalidOpcode, notPresent, selectorCode, stackFault } from './fault.ts';

/** Attributes of every segment in virtual-8086 mode: present, DPL 3, writable data, accessed. */
export const V86_ATTRIBUTES = 0xf3;

/** Loads any data segment register by a paragraph number, as real and virtual-8086 mode do. */
export function loadRealSegment(cpu: SystemCpu, segment: number, selector: number): void {
  const base = BigInt(selector & 0xffff) << 4n;
  if (cpu.virtual8086) cpu.setSegment(segment, selector, base, 0xffff, V86_ATTRIBUTES);
  else {
    // The hidden limit stays, which is what "unreal" mode lives by; an unusable segment becomes an ordinary one.
    const old = cpu.attributes(segment);
    const usable = isPresent(old) && isSegment(old);
    const type = segment === Seg.cs ? old & (Attribute.big | Attribute.granular | 0xf00) : old & 0xff00;
    cpu.setSegment(segment, selector, base, usable ? cpu.limit(segment) : 0xffff, (usable ? type : 0) | 0x93);
  }
}

/** Loads ES, SS, DS, FS or GS, with every check of the mode. `updateMode` is done. */
export function loadSegment(cpu: SystemCpu, segment: number, selector: number): void {
  if (cpu.realOrVirtual8086) loadRealSegment(cpu, segment, selector);
  else if (segment === Seg.ss) loadStack(cpu, selector);
  else loadData(cpu, segment, selector);
  cpu.updateMode();
}

function loadData(cpu: SystemCpu, segment: number, selector: number): void {
  if (isNull(selector)) {
    cpu.setSegment(segment, selector, 0n, 0, 0);
    return;
  }
  const d = fetchDescriptor(cpu, selector);
  const code = selectorCode(selector);
  if (!isSegment(d.attributes)) throw generalProtection(code);
  if (isCode(d.attributes) && (d.attributes & Attribute.readable) === 0) throw generalProtection(code);
  if (!isCode(d.attributes) || !isConforming(d.attributes)) {
    const dpl = dplOf(d.attributes);
    if ((selector & 3) > dpl || cpu.cpl > dpl) throw generalProtection(code);
  }
  if (!isPresent(d.attributes)) throw notPresent(code);
  setFromDescriptor(cpu, segment, selector, d);
}

function loadStack(cpu: SystemCpu, selector: number): void {
  const cpl = cpu.cpl;
  if (isNull(selector)) {
    if (!cpu.code64 || cpl === 3 || (selector & 3) !== cpl) throw generalProtection();
    setNullStack(cpu, selector);
    return;
  }
  const d = fetchDescriptor(cpu, selector);
  const code = selectorCode(selector);
  if ((selector & 3) !== cpl || !isWritableData(d.attributes) || dplOf(d.attributes) !== cpl)
    throw generalProtection(code);
  if (!isPresent(d.attributes)) throw stackFault(code);
  setFromDescriptor(cpu, Seg.ss, selector, d);
}

/** The null stack segment of 64-bit supervisor code. */
export function setNullStack(cpu: SystemCpu, selector: number): void {
  cpu.setSegment(Seg.ss, selector, 0n, 0, 0);
}

/** Fills a segment register from a descriptor that has passed its checks, and marks that accessed. */
export function setFromDescriptor(cpu: SystemCpu, segment: number, selector: number, d: Descriptor): void {
  const attributes = markAccessed(cpu, d);
  cpu.setSegment(segment, selector, baseOf(d), limitOf(d), attributes);
}

/** Makes data segments that the new, outer privilege level may not use null; what returns to an outer level do. */
export function dropInnerSegments(cpu: SystemCpu): void {
  for (const segment of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) {
    const attributes = cpu.attributes(segment);
    const usable = isPresent(attributes);
    if (usable && isCode(attributes) && isConforming(attributes)) continue;
    if (usable && dplOf(attributes) >= cpu.cpl) continue;
    if (!usable && isNull(cpu.selector(segment))) continue;
    cpu.setSegment(segment, 0, 0n, 0, 0);
  }
}

// ---- LDTR and TR

/** LLDT. */
export function loadLdt(cpu: SystemCpu, selector: number): void {
  if (cpu.realOrVirtual8086) throw invalidOpcode();
  cpu.requireCpl0();
  if (isNull(selector)) {
    cpu.setSegment(Seg.ldtr, selector, 0n, 0, 0);
    return;
  }
  const d = fetchSystemDescriptor(cpu, selector);
  const code = selectorCode(selector);
  if (isSegment(d.attributes) || typeOf(d.attributes) !== SystemType.ldt) throw generalProtection(code);
  if (!isPresent(d.attributes)) throw notPresent(code);
  cpu.setSegment(Seg.ldtr, selector, systemBase(cpu, d, code), limitOf(d), d.attributes);
}

/** LTR. */
export function loadTaskRegister(cpu: SystemCpu, selector: number): void {
  if (cpu.realOrVirtual8086) throw invalidOpcode();
  cpu.requireCpl0();
  if (isNull(selector)) throw generalProtection();
  const d = fetchSystemDescriptor(cpu, selector);
  const code = selectorCode(selector);
  const type = typeOf(d.attributes);
  const available = type === SystemType.tss32 || (type === SystemType.tss16 && !cpu.longMode);
  if (isSegment(d.attributes) || !available) throw generalProtection(code);
  if (!isPresent(d.attributes)) throw notPresent(code);
  const base = systemBase(cpu, d, code);
  const busy = d.attributes | 2;
  writeTypeByte(cpu, d, busy);
  cpu.setSegment(Seg.tr, selector, base, limitOf(d), busy);
}

/** A descriptor in the GDT, 16 bytes long in long mode. */
function fetchSystemDescriptor(cpu: SystemCpu, selector: number): Descriptor {
  const address = selector & 4 ? undefined : descriptorAddress(cpu, selector, cpu.longMode ? 16 : 8);
  if (address === undefined) throw generalProtection(selectorCode(selector));
  return readDescriptorAt(cpu, address);
}

function systemBase(cpu: SystemCpu, d: Descriptor, code: number): bigint {
  if (!cpu.longMode) return baseOf(d);
  const upper = readUpperHalf(cpu, d);
  const base = baseOf(d) | (BigInt(upper.high) << 32n);
  if (upper.reserved & 0x1f00 || !cpu.canonical(base)) throw generalProtection(code);
  return base;
}

// ---- addresses

/** Whether `bytes` at `offset` are inside a segment's limit. Not for 64-bit code. */
export function withinLimit(attributes: number, limit: number, offset: number, bytes: number): boolean {
  const last = offset + bytes - 1;
  const expandDown = (attributes & (Attribute.code | Attribute.expandDown)) === Attribute.expandDown;
  if (!expandDown) return last <= limit;
  return offset > limit && last <= (attributes & Attribute.big ? 0xffffffff : 0xffff);
}

/**
 * Linear address of `offset` (masked to the address size) in a segment, after the checks of an access of `bytes`.
 * Throws #GP(0), or #SS(0) for SS.
 */
export function segmentAddress(cpu: SystemCpu, segment: number, offset: bigint, bytes: number, write: boolean): bigint {
  const fault = (): GuestFault => (segment === Seg.ss ? stackFault() : generalProtection());
  if (cpu.code64) {
    const linear = segment >= Seg.fs ? BigInt.asUintN(64, cpu.base(segment) + offset) : offset;
    if (!cpu.canonical(linear) || !cpu.canonical(BigInt.asUintN(64, linear + BigInt(bytes - 1)))) throw fault();
    return linear;
  }
  const attributes = cpu.attributes(segment);
  if (!isPresent(attributes) || !isSegment(attributes)) throw fault();
  if (!cpu.realOrVirtual8086) {
    if (write ? !isWritableData(attributes) : isCode(attributes) && (attributes & Attribute.readable) === 0)
      throw fault();
  }
  if (!withinLimit(attributes, cpu.limit(segment), Number(offset), bytes)) throw fault();
  return BigInt.asUintN(32, cpu.base(segment) + offset);
}

/**
 * What the WebAssembly side imports as segmentLinear's slow half. `bytes` has 100h added for a write. On an exception
 * S.faulted is 1 and the result means nothing.
 */
export function segmentLinear(cpu: SystemCpu, segment: number, offset: bigint, bytes: number): bigint {
  try {
    const linear = segmentAddress(cpu, segment, BigInt.asUintN(64, offset), bytes & 0xff, (bytes & 0x100) !== 0);
    cpu.set32(S.faulted, 0);
    return linear;
  } catch (fault) {
    if (!(fault instanceof GuestFault)) throw fault;
    cpu.raise(fault.vector, fault.code);
    return 0n;
  }
}

// ---- LAR, LSL, VERR, VERW

/** The descriptor a selector names, if it is visible to CPL and RPL; undefined where LAR and its kin clear ZF. */
function visibleDescriptor(cpu: SystemCpu, selector: number): Descriptor | undefined {
  if (isNull(selector)) return undefined;
  const address = descriptorAddress(cpu, selector);
  if (address === undefined) return undefined;
  const d = readDescriptorAt(cpu, address);
  if (isCode(d.attributes) && isConforming(d.attributes)) return d;
  const dpl = dplOf(d.attributes);
  return cpu.cpl > dpl || (selector & 3) > dpl ? undefined : d;
}

const typeSet = (...types: number[]): number => types.reduce((set, type) => set | (1 << type), 0);
const LAR_LEGACY = typeSet(1, 2, 3, 4, 5, 9, 11, 12);
const LAR_LONG = typeSet(2, 9, 11, 12);
const LSL_LEGACY = typeSet(1, 2, 3, 9, 11);
const LSL_LONG = typeSet(2, 9, 11);

/** Access rights as LAR gives them (upper dword masked with 00F?FF00h), or undefined. */
export function accessRights(cpu: SystemCpu, selector: number): number | undefined {
  const d = visibleDescriptor(cpu, selector);
  if (!d) return undefined;
  if (!isSegment(d.attributes)) {
    const known = (cpu.efer & Efer.lma) !== 0 ? LAR_LONG : LAR_LEGACY;
    if (((known >>> typeOf(d.attributes)) & 1) === 0) return undefined;
  }
  return d.high & 0x00ffff00;
}

/** Limit in bytes as LSL gives it, or undefined. */
export function segmentLimit(cpu: SystemCpu, selector: number): number | undefined {
  const d = visibleDescriptor(cpu, selector);
  if (!d) return undefined;
  if (!isSegment(d.attributes)) {
    const known = (cpu.efer & Efer.lma) !== 0 ? LSL_LONG : LSL_LEGACY;
    if (((known >>> typeOf(d.attributes)) & 1) === 0) return undefined;
  }
  return limitOf(d);
}

/** VERR and VERW. */
export function verifySegment(cpu: SystemCpu, selector: number, write: boolean): boolean {
  const d = visibleDescriptor(cpu, selector);
  if (!d || !isSegment(d.attributes)) return false;
  if (write) return isWritableData(d.attributes);
  return !isCode(d.attributes) || (d.attributes & Attribute.readable) !== 0;
}
