// Hardware task switches: JMP and CALL to a TSS or task gate, interrupts through task gates, IRET with NT.
// Owns the layouts of 16- and 32-bit TSSs, busy bits, back links, and which faults belong to which task.
// Never used in long mode. SDM volume 3, chapter 7.

import { Flag, S, Seg, Vector } from '../state.ts';
import { Attribute, Cr0, SystemType } from './architecture.ts';
import { writeCr3ForTask } from './control.ts';
import type { SystemCpu } from './core.ts';
import { updateWatches } from './debug.ts';
import {
  baseOf,
  type Descriptor,
  dplOf,
  fetchDescriptor,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSegment,
  isWritableData,
  limitOf,
  readDescriptorAt,
  SYSTEM,
  typeOf,
  writeTypeByte,
} from './descriptors.ts';
import { GuestFault, invalidTss, notPresent, selectorCode } from './fault.ts';
import { loadRealSegment, setFromDescriptor } from './segments.ts';
import { StackCursor } from './stack.ts';

/** What makes a task switch: it decides busy bits, NT and the back link. */
export const TaskSwitch = { jump: 0, call: 1, interrupt: 2, return: 3 } as const;
export type TaskSwitch = (typeof TaskSwitch)[keyof typeof TaskSwitch];

export interface TaskTarget {
  readonly selector: number;
  readonly descriptor: Descriptor;
}

/** The order of segment registers in both TSS layouts. */
const SEGMENTS = [Seg.es, Seg.cs, Seg.ss, Seg.ds, Seg.fs, Seg.gs] as const;
const TSS32 = { cr3: 0x1c, eip: 0x20, eflags: 0x24, regs: 0x28, segments: 0x48, ldt: 0x60, trap: 0x64, size: 104 };
const TSS16 = { ip: 0x0e, flags: 0x10, regs: 0x12, segments: 0x22, ldt: 0x2a, size: 44 };

interface TaskImage {
  readonly cr3: number | undefined;
  readonly eip: number;
  readonly eflags: number;
  readonly regs: readonly number[];
  readonly segments: readonly number[];
  readonly ldt: number;
  readonly trap: boolean;
}

const isWide = (attributes: number): boolean => (typeOf(attributes) & 8) !== 0;

/** What an interrupt through a task gate adds to a task switch. */
export interface TaskEvent {
  readonly ext: number;
  /** Pushed on the new task's stack, or -1. */
  readonly errorCode: number;
  /** Where the old task goes on. */
  readonly returnIp: bigint;
  /** EFLAGS to save in the old task. */
  readonly flags: number;
}

/**
 * Switches to the task of a TSS descriptor that has been found to be a TSS, present, and allowed. The saved EIP is
 * `cpu.nextIp`, except for an interrupt, whose `event` says more.
 */
export function switchTask(cpu: SystemCpu, target: TaskTarget, how: TaskSwitch, event?: TaskEvent): void {
  const { selector, descriptor } = target;
  const wide = isWide(descriptor.attributes);
  const limit = limitOf(descriptor);
  const ext = event?.ext ?? 0;
  if (limit < (wide ? TSS32.size : TSS16.size) - 1) throw invalidTss(selectorCode(selector, ext));

  const newBase = baseOf(descriptor);
  const at = (base: bigint, offset: number): bigint => BigInt.asUintN(32, base + BigInt(offset));
  const oldBase = cpu.base(Seg.tr);
  const oldWide = isWide(cpu.attributes(Seg.tr));
  const oldSelector = cpu.selector(Seg.tr);

  // Everything that the switch touches is read or probed first, so that page faults happen in the old task.
  const image = wide ? readTss32(cpu, newBase) : readTss16(cpu, newBase);
  cpu.probeWrite(at(oldBase, oldWide ? TSS32.eip : TSS16.ip), 1, SYSTEM);
  cpu.probeWrite(at(oldBase, oldWide ? 0x5d : 0x29), 1, SYSTEM);
  const nested = how === TaskSwitch.call || how === TaskSwitch.interrupt;
  if (nested) cpu.probeWrite(newBase, 2, SYSTEM);

  let oldFlags = event?.flags ?? cpu.flags();
  if (how === TaskSwitch.jump || how === TaskSwitch.return) clearBusy(cpu, oldSelector);
  if (how === TaskSwitch.return) oldFlags &= ~Flag.nt;
  const ip = Number((event?.returnIp ?? cpu.nextIp) & 0xffff_ffffn);
  if (oldWide) saveTss32(cpu, oldBase, ip, oldFlags);
  else saveTss16(cpu, oldBase, ip, oldFlags);
  if (nested) cpu.store32(newBase, 2, oldSelector, SYSTEM);

  const busy = descriptor.attributes | 2;
  if (how !== TaskSwitch.return) writeTypeByte(cpu, descriptor, busy);
  cpu.setSegment(Seg.tr, selector, newBase, limit, busy);
  cpu.set32(S.cr0, cpu.cr0 | Cr0.ts);
  cpu.updateFloating();
  loadTask(cpu, image, wide, nested, ext, event?.errorCode ?? -1);
}

/** IRET with NT set: back to the task that the back link names. */
export function returnToPreviousTask(cpu: SystemCpu): void {
  const link = cpu.load32(cpu.base(Seg.tr), 2, SYSTEM);
  const code = selectorCode(link);
  if (link & 4 || isNull(link)) throw invalidTss(code);
  const descriptor = fetchDescriptor(cpu, link, Vector.invalidTss);
  const type = typeOf(descriptor.attributes);
  if (isSegment(descriptor.attributes) || (type !== SystemType.tss16Busy && type !== SystemType.tss32Busy))
    throw invalidTss(code);
  if (!isPresent(descriptor.attributes)) throw notPresent(code);
  switchTask(cpu, { selector: link, descriptor }, TaskSwitch.return);
}

function clearBusy(cpu: SystemCpu, selector: number): void {
  const d = readDescriptorAt(cpu, BigInt.asUintN(32, cpu.get64(S.gdtBase) + BigInt(selector & 0xfff8)));
  writeTypeByte(cpu, d, d.attributes & ~2);
}

function saveTss32(cpu: SystemCpu, base: bigint, eip: number, flags: number): void {
  const put = (offset: number, value: number): void =>
    cpu.store32(BigInt.asUintN(32, base + BigInt(offset)), 4, value, SYSTEM);
  put(TSS32.eip, eip);
  put(TSS32.eflags, flags);
  for (let register = 0; register < 8; register++) put(TSS32.regs + register * 4, cpu.reg32(register));
  for (const [index, segment] of SEGMENTS.entries())
    cpu.store32(BigInt.asUintN(32, base + BigInt(TSS32.segments + index * 4)), 2, cpu.selector(segment), SYSTEM);
}

function saveTss16(cpu: SystemCpu, base: bigint, ip: number, flags: number): void {
  const put = (offset: number, value: number): void =>
    cpu.store32(BigInt.asUintN(32, base + BigInt(offset)), 2, value & 0xffff, SYSTEM);
  put(TSS16.ip, ip);
  put(TSS16.flags, flags);
  for (let register = 0; register < 8; register++) put(TSS16.regs + register * 2, cpu.reg16(register));
  for (let index = 0; index < 4; index++) put(TSS16.segments + index * 2, cpu.selector(SEGMENTS[index]));
}

function readTss32(cpu: SystemCpu, base: bigint): TaskImage {
  const get = (offset: number, bytes: 2 | 4 = 4): number =>
    cpu.load32(BigInt.asUintN(32, base + BigInt(offset)), bytes, SYSTEM);
  return {
    cr3: get(TSS32.cr3),
    eip: get(TSS32.eip),
    eflags: get(TSS32.eflags),
    regs: Array.from({ length: 8 }, (_, register) => get(TSS32.regs + register * 4)),
    segments: SEGMENTS.map((_, index) => get(TSS32.segments + index * 4, 2)),
    ldt: get(TSS32.ldt, 2),
    trap: (get(TSS32.trap, 2) & 1) !== 0,
  };
}

function readTss16(cpu: SystemCpu, base: bigint): TaskImage {
  const get = (offset: number): number => cpu.load32(BigInt.asUintN(32, base + BigInt(offset)), 2, SYSTEM);
  return {
    cr3: undefined,
    eip: get(TSS16.ip),
    eflags: get(TSS16.flags),
    // The upper halves of the registers are undefined after a switch to a 16-bit task; processors set them.
    regs: Array.from({ length: 8 }, (_, register) => (get(TSS16.regs + register * 2) | 0xffff0000) >>> 0),
    segments: SEGMENTS.map((_, index) => (index < 4 ? get(TSS16.segments + index * 2) : 0)),
    ldt: get(TSS16.ldt),
    trap: false,
  };
}

/** Makes the image the CPU's state. From here on faults belong to the new task. */
function loadTask(
  cpu: SystemCpu,
  image: TaskImage,
  wide: boolean,
  nested: boolean,
  ext: number,
  errorCode: number,
): void {
  if (image.cr3 !== undefined && cpu.cr0 & Cr0.pg) writeCr3ForTask(cpu, image.cr3);
  cpu.ip = BigInt(image.eip);
  cpu.setFlags(image.eflags | (nested ? Flag.nt : 0));
  for (const [register, value] of image.regs.entries()) cpu.setReg32(register, value);

  // Selectors first, with nothing behind them: a fault on the way leaves the others unusable, not stale.
  for (const [index, segment] of SEGMENTS.entries()) cpu.setSegment(segment, image.segments[index], 0n, 0, 0);
  cpu.setSegment(Seg.ldtr, image.ldt, 0n, 0, 0);
  // CPL is the new CS's from the start; a null frame of privilege would let the loads below check too little.
  cpu.set32(S.cpl, cpu.virtual8086 ? 3 : image.segments[1] & 3);
  try {
    loadTaskLdt(cpu, image.ldt, ext);
    if (cpu.virtual8086) {
      for (const [index, segment] of SEGMENTS.entries()) loadRealSegment(cpu, segment, image.segments[index]);
    } else loadTaskSegments(cpu, image.segments, ext);
    cpu.updateMode();
    if (errorCode >= 0) {
      const stack = StackCursor.current(cpu);
      stack.push(wide ? 4 : 2, BigInt(errorCode));
      stack.commit();
    }
    if (BigInt(image.eip) > BigInt(cpu.limit(Seg.cs))) throw new GuestFault(Vector.generalProtection, ext);
  } catch (fault) {
    cpu.updateMode();
    if (fault instanceof GuestFault) throw new GuestFault(fault.vector, fault.code, true);
    throw fault;
  }
  // BT: a debug trap before the new task's first instruction. Local breakpoints end with the old task.
  cpu.set64(S.debug + 7 * 8, cpu.get64(S.debug + 7 * 8) & ~0x55n);
  updateWatches(cpu);
  if (image.trap) cpu.set32(S.pendingDebug, cpu.get32(S.pendingDebug) | (1 << 15));
}

function loadTaskLdt(cpu: SystemCpu, selector: number, ext: number): void {
  if (isNull(selector)) return;
  const code = selectorCode(selector, ext);
  if (selector & 4) throw invalidTss(code);
  const d = fetchDescriptor(cpu, selector, Vector.invalidTss, ext);
  if (isSegment(d.attributes) || typeOf(d.attributes) !== SystemType.ldt || !isPresent(d.attributes))
    throw invalidTss(code);
  cpu.setSegment(Seg.ldtr, selector, baseOf(d), limitOf(d), d.attributes);
}

function loadTaskSegments(cpu: SystemCpu, selectors: readonly number[], ext: number): void {
  const selectorOf = (segment: number): number => selectors[SEGMENTS.indexOf(segment as 0)];
  const cs = selectorOf(Seg.cs);
  const ss = selectorOf(Seg.ss);
  const cpl = cs & 3;
  // CS is checked first, but a good SS is loaded before: the handler of CS's fault needs a stack.
  const stackFaulted = capture(() => loadTaskStack(cpu, ss, cpl, ext));
  loadTaskCode(cpu, cs, ext);
  if (stackFaulted) throw stackFaulted;

  for (const segment of [Seg.ds, Seg.es, Seg.fs, Seg.gs]) {
    const selector = selectorOf(segment);
    if (isNull(selector)) continue;
    const d = fetchDescriptor(cpu, selector, Vector.invalidTss, ext);
    const error = selectorCode(selector, ext);
    const readable = isSegment(d.attributes) && (!isCode(d.attributes) || (d.attributes & Attribute.readable) !== 0);
    if (!readable) throw invalidTss(error);
    const free = isCode(d.attributes) && isConforming(d.attributes);
    if (!free && (dplOf(d.attributes) < cpl || dplOf(d.attributes) < (selector & 3))) throw invalidTss(error);
    if (!isPresent(d.attributes)) throw notPresent(error);
    setFromDescriptor(cpu, segment, selector, d);
  }
}

function capture(act: () => void): GuestFault | undefined {
  try {
    act();
    return undefined;
  } catch (fault) {
    if (fault instanceof GuestFault) return fault;
    throw fault;
  }
}

function loadTaskStack(cpu: SystemCpu, selector: number, cpl: number, ext: number): void {
  const code = selectorCode(selector, ext);
  if (isNull(selector)) throw invalidTss(code);
  const d = fetchDescriptor(cpu, selector, Vector.invalidTss, ext);
  if (!isWritableData(d.attributes) || dplOf(d.attributes) !== cpl || (selector & 3) !== cpl) throw invalidTss(code);
  if (!isPresent(d.attributes)) throw new GuestFault(Vector.stackFault, code);
  setFromDescriptor(cpu, Seg.ss, selector, d);
}

function loadTaskCode(cpu: SystemCpu, selector: number, ext: number): void {
  const code = selectorCode(selector, ext);
  if (isNull(selector)) throw invalidTss(code);
  const d = fetchDescriptor(cpu, selector, Vector.invalidTss, ext);
  if (!isCode(d.attributes)) throw invalidTss(code);
  const dpl = dplOf(d.attributes);
  const cpl = selector & 3;
  if (isConforming(d.attributes) ? dpl > cpl : dpl !== cpl) throw invalidTss(code);
  if (!isPresent(d.attributes)) throw notPresent(code);
  setFromDescriptor(cpu, Seg.cs, selector, d);
}
