// Far JMP and far CALL: to code segments, through call gates, and to tasks.
// Owns privilege checks on the way to more privileged code, and the stacks of call gates.
// Never returns: RET and IRET are in returns.ts. SDM volume 2 (CALL, JMP), volume 3, section 5.8.

import { Seg, Vector } from '../state.ts';
import { SystemType } from './architecture.ts';
import { checkCodeSize, checkDirectCode, checkOffset, enterCode, enterRealCode, is64BitCode } from './code-segment.ts';
import type { Bytes, SystemCpu } from './core.ts';
import {
  baseOf,
  type Descriptor,
  descriptorAddress,
  dplOf,
  fetchDescriptor,
  gateOffset16,
  gateOffset32,
  gateSelector,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSegment,
  isWritableData,
  limitOf,
  readUpperHalf,
  SYSTEM,
  typeOf,
} from './descriptors.ts';
import { GuestFault, generalProtection, invalidTss, notPresent, selectorCode } from './fault.ts';
import { setFromDescriptor, setNullStack } from './segments.ts';
import { StackCursor } from './stack.ts';
import { switchTask, TaskSwitch } from './tasks.ts';

/** Far JMP to a selector and an offset that is already cut to the operand size. */
export function farJump(cpu: SystemCpu, selector: number, offset: bigint): void {
  if (cpu.realOrVirtual8086) {
    enterRealCode(cpu, selector, offset);
    return;
  }
  if (isNull(selector)) throw generalProtection();
  const d = fetchDescriptor(cpu, selector);
  if (!isSegment(d.attributes)) {
    jumpThroughSystem(cpu, selector, d);
    return;
  }
  if (!isCode(d.attributes)) throw generalProtection(selectorCode(selector));
  checkDirectCode(cpu, selector, d);
  checkOffset(cpu, d, offset);
  enterCode(cpu, selector, d, cpu.cpl, offset);
  cpu.updateMode();
}

/** Far CALL with return addresses of `bytes` bytes each. */
export function farCall(cpu: SystemCpu, selector: number, offset: bigint, bytes: 2 | 4 | 8): void {
  if (cpu.realOrVirtual8086) {
    const stack = StackCursor.current(cpu);
    stack.push(bytes, BigInt(cpu.selector(Seg.cs)));
    stack.push(bytes, cpu.nextIp);
    enterRealCode(cpu, selector, offset);
    stack.commit();
    return;
  }
  if (isNull(selector)) throw generalProtection();
  const d = fetchDescriptor(cpu, selector);
  if (!isSegment(d.attributes)) {
    callThroughSystem(cpu, selector, d);
    return;
  }
  if (!isCode(d.attributes)) throw generalProtection(selectorCode(selector));
  checkDirectCode(cpu, selector, d);
  const stack = StackCursor.current(cpu);
  pushReturn(cpu, stack, bytes);
  checkOffset(cpu, d, offset);
  enterCode(cpu, selector, d, cpu.cpl, offset);
  stack.commit();
  cpu.updateMode();
}

function pushReturn(cpu: SystemCpu, stack: StackCursor, bytes: Bytes): void {
  stack.push(bytes, BigInt(cpu.selector(Seg.cs)));
  stack.push(bytes, cpu.nextIp);
}

/** #GP unless a gate or TSS may be used from CPL with this selector's RPL; then #NP unless it is present. */
function checkSystemPrivilege(cpu: SystemCpu, selector: number, d: Descriptor): void {
  const code = selectorCode(selector);
  const dpl = dplOf(d.attributes);
  if (dpl < cpu.cpl || dpl < (selector & 3)) throw generalProtection(code);
}

function checkPresent(selector: number, d: Descriptor): void {
  if (!isPresent(d.attributes)) throw notPresent(selectorCode(selector));
}

function jumpThroughSystem(cpu: SystemCpu, selector: number, d: Descriptor): void {
  const type = typeOf(d.attributes);
  if (type === SystemType.callGate32 || (type === SystemType.callGate16 && !cpu.longMode)) {
    checkSystemPrivilege(cpu, selector, d);
    checkPresent(selector, d);
    const target = gateTarget(cpu, selector, d);
    const dpl = dplOf(target.descriptor.attributes);
    const allowed = isConforming(target.descriptor.attributes) ? dpl <= cpu.cpl : dpl === cpu.cpl;
    if (!allowed) throw generalProtection(selectorCode(target.selector));
    checkPresent(target.selector, target.descriptor);
    checkOffset(cpu, target.descriptor, target.offset);
    enterCode(cpu, target.selector, target.descriptor, cpu.cpl, target.offset);
    cpu.updateMode();
    return;
  }
  switchToTask(cpu, selector, d, TaskSwitch.jump);
}

function callThroughSystem(cpu: SystemCpu, selector: number, d: Descriptor): void {
  const type = typeOf(d.attributes);
  if (type === SystemType.callGate32 || (type === SystemType.callGate16 && !cpu.longMode)) {
    checkSystemPrivilege(cpu, selector, d);
    checkPresent(selector, d);
    callThroughGate(cpu, selector, d);
    return;
  }
  switchToTask(cpu, selector, d, TaskSwitch.call);
}

function switchToTask(cpu: SystemCpu, selector: number, d: Descriptor, how: TaskSwitch): void {
  const type = typeOf(d.attributes);
  const code = selectorCode(selector);
  if (cpu.longMode) throw generalProtection(code);
  if (type === SystemType.taskGate) {
    checkSystemPrivilege(cpu, selector, d);
    checkPresent(selector, d);
    switchTask(cpu, taskOfGate(cpu, d, 0), how);
    return;
  }
  if (type !== SystemType.tss16 && type !== SystemType.tss32) throw generalProtection(code);
  checkSystemPrivilege(cpu, selector, d);
  checkPresent(selector, d);
  switchTask(cpu, { selector, descriptor: d }, how);
}

/** The TSS that a task gate names: in the GDT, available, present. */
export function taskOfGate(
  cpu: SystemCpu,
  gate: Descriptor,
  ext: number,
): { selector: number; descriptor: Descriptor } {
  const selector = gateSelector(gate);
  const code = selectorCode(selector, ext);
  if (selector & 4 || isNull(selector)) throw generalProtection(code);
  const descriptor = fetchDescriptor(cpu, selector, Vector.generalProtection, ext);
  const type = typeOf(descriptor.attributes);
  if (isSegment(descriptor.attributes) || (type !== SystemType.tss16 && type !== SystemType.tss32))
    throw generalProtection(code);
  if (!isPresent(descriptor.attributes)) throw notPresent(code);
  return { selector, descriptor };
}

interface GateTarget {
  readonly selector: number;
  readonly descriptor: Descriptor;
  readonly offset: bigint;
}

/** What a call gate leads to, checked to be code of a kind that the mode allows; not yet its privilege or presence. */
function gateTarget(cpu: SystemCpu, gateSelf: number, gate: Descriptor): GateTarget {
  let offset = BigInt(typeOf(gate.attributes) === SystemType.callGate16 ? gateOffset16(gate) : gateOffset32(gate));
  if (cpu.longMode) {
    if (descriptorAddress(cpu, gateSelf, 16) === undefined) throw generalProtection(selectorCode(gateSelf));
    const upper = readUpperHalf(cpu, gate);
    if (upper.reserved & 0x1f00) throw generalProtection(selectorCode(gateSelf));
    offset |= BigInt(upper.high) << 32n;
  }
  const selector = gateSelector(gate);
  if (isNull(selector)) throw generalProtection();
  const descriptor = fetchDescriptor(cpu, selector);
  if (!isCode(descriptor.attributes)) throw generalProtection(selectorCode(selector));
  checkCodeSize(cpu, selector, descriptor);
  if (cpu.longMode && !is64BitCode(cpu, descriptor)) throw generalProtection(selectorCode(selector));
  return { selector, descriptor, offset };
}

function callThroughGate(cpu: SystemCpu, gateSelf: number, gate: Descriptor): void {
  const target = gateTarget(cpu, gateSelf, gate);
  const dpl = dplOf(target.descriptor.attributes);
  if (dpl > cpu.cpl) throw generalProtection(selectorCode(target.selector));
  checkPresent(target.selector, target.descriptor);
  const bytes: Bytes = cpu.longMode ? 8 : typeOf(gate.attributes) === SystemType.callGate32 ? 4 : 2;
  if (isConforming(target.descriptor.attributes) || dpl === cpu.cpl) {
    const current = StackCursor.current(cpu);
    const stack = cpu.longMode ? longStack(cpu, current.pointer, cpu.cpl) : current;
    pushReturn(cpu, stack, bytes);
    checkOffset(cpu, target.descriptor, target.offset);
    enterCode(cpu, target.selector, target.descriptor, cpu.cpl, target.offset);
    stack.commit();
    cpu.updateMode();
    return;
  }
  const outer = StackCursor.current(cpu);
  const inner = innerStack(cpu, dpl, 0);
  inner.cursor.push(bytes, BigInt(cpu.selector(Seg.ss)));
  inner.cursor.push(bytes, cpu.reg(4) & outerMask(cpu));
  if (!cpu.longMode) {
    const parameters = gate.high & 0x1f;
    for (let index = parameters - 1; index >= 0; index--) inner.cursor.push(bytes, outer.peek(bytes, index * bytes));
  }
  pushReturn(cpu, inner.cursor, bytes);
  checkOffset(cpu, target.descriptor, target.offset);
  enterCode(cpu, target.selector, target.descriptor, dpl, target.offset);
  inner.load();
  cpu.updateMode();
}

const outerMask = (cpu: SystemCpu): bigint => (cpu.code64 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn);

/** A cursor over 64-bit stack memory, at a pointer and for a privilege level. */
export function longStack(cpu: SystemCpu, pointer: bigint, cpl: number, ext = 0): StackCursor {
  return new StackCursor(cpu, { base: 0n, limit: 0, attributes: 0, pointer, long: true }, cpl === 3, ext);
}

/** A new stack, and how to make it the current one. */
export interface InnerStack {
  readonly cursor: StackCursor;
  /** Loads SS and RSP. CPL must be the new one already. */
  load(): void;
}

/** The stack that the TSS has for privilege level `cpl` (0 to 2), with the checks of a stack switch. */
export function innerStack(cpu: SystemCpu, cpl: number, ext: number): InnerStack {
  if (cpu.longMode) {
    const cursor = longStack(cpu, tssStackPointer(cpu, 4 + cpl * 8, ext), cpl, ext);
    return {
      cursor,
      load: () => {
        setNullStack(cpu, cpl);
        cursor.commit();
      },
    };
  }
  const { selector, pointer } = legacyTssStack(cpu, cpl, ext);
  if (isNull(selector)) throw invalidTss(ext);
  const code = selectorCode(selector, ext);
  const d = fetchDescriptor(cpu, selector, Vector.invalidTss, ext);
  if ((selector & 3) !== cpl || dplOf(d.attributes) !== cpl || !isWritableData(d.attributes)) throw invalidTss(code);
  if (!isPresent(d.attributes)) throw new GuestFault(Vector.stackFault, code);
  const stack = { base: baseOf(d), limit: limitOf(d), attributes: d.attributes, pointer: BigInt(pointer), long: false };
  const cursor = new StackCursor(cpu, stack, cpl === 3, code);
  return {
    cursor,
    load: () => {
      setFromDescriptor(cpu, Seg.ss, selector, d);
      cursor.commit();
    },
  };
}

/** A 64-bit stack pointer at an offset in the long-mode TSS: RSP0 to RSP2, or an IST entry. */
export function tssStackPointer(cpu: SystemCpu, offset: number, ext: number): bigint {
  if (offset + 7 > cpu.limit(Seg.tr)) throw invalidTss(selectorCode(cpu.selector(Seg.tr), ext));
  const pointer = cpu.load(BigInt.asUintN(64, cpu.base(Seg.tr) + BigInt(offset)), 8, SYSTEM);
  if (!cpu.canonical(pointer)) throw new GuestFault(Vector.stackFault, ext);
  return pointer;
}

function legacyTssStack(cpu: SystemCpu, cpl: number, ext: number): { selector: number; pointer: number } {
  const wide = (typeOf(cpu.attributes(Seg.tr)) & 8) !== 0;
  const offset = wide ? 4 + cpl * 8 : 2 + cpl * 4;
  const size = wide ? 4 : 2;
  if (offset + size + 1 > cpu.limit(Seg.tr)) throw invalidTss(selectorCode(cpu.selector(Seg.tr), ext));
  const at = (delta: number): bigint => BigInt.asUintN(32, cpu.base(Seg.tr) + BigInt(offset + delta));
  const pointer = cpu.load32(at(0), size, SYSTEM);
  return { selector: cpu.load32(at(size), 2, SYSTEM), pointer };
}
