// Far RET and IRET in every mode.
// Owns the way back: same level, to an outer level, to virtual-8086 mode, to the interrupted task.
// Never goes inward. SDM volume 2 (RET, IRET/IRETD/IRETQ).

import { Flag, S, Seg } from '../state.ts';
import { Attribute } from './architecture.ts';
import { checkCodeSize, checkOffset, enterCode, enterRealCode, is64BitCode } from './code-segment.ts';
import type { Bytes, SystemCpu } from './core.ts';
import {
  type Descriptor,
  dplOf,
  fetchDescriptor,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isWritableData,
} from './descriptors.ts';
import { generalProtection, notPresent, selectorCode, stackFault } from './fault.ts';
import { dropInnerSegments, loadRealSegment, setFromDescriptor, setNullStack } from './segments.ts';
import { StackCursor } from './stack.ts';
import { returnToPreviousTask } from './tasks.ts';

const MASK_64 = 0xffff_ffff_ffff_ffffn;

/** Far RET that discards `extra` bytes of parameters. `bytes`: operand size. */
export function farReturn(cpu: SystemCpu, bytes: 2 | 4 | 8, extra: number): void {
  const stack = StackCursor.current(cpu);
  const offset = stack.pop(bytes);
  const selector = Number(stack.pop(bytes) & 0xffffn);
  if (cpu.realOrVirtual8086) {
    enterRealCode(cpu, selector, offset);
    stack.skip(extra);
    stack.commit();
    return;
  }
  const d = returnTarget(cpu, selector);
  const rpl = selector & 3;
  if (rpl === cpu.cpl) {
    checkOffset(cpu, d, offset);
    enterCode(cpu, selector, d, rpl, offset);
    stack.skip(extra);
    stack.commit();
    cpu.updateMode();
    return;
  }
  stack.skip(extra);
  const pointer = stack.pop(bytes);
  const ss = Number(stack.pop(bytes) & 0xffffn);
  const load = outerStack(cpu, ss, rpl, is64BitCode(cpu, d));
  checkOffset(cpu, d, offset);
  enterCode(cpu, selector, d, rpl, offset);
  load();
  setOuterPointer(cpu, pointer, extra);
  dropInnerSegments(cpu);
  cpu.updateMode();
}

/** The code segment that a far return names, checked. */
function returnTarget(cpu: SystemCpu, selector: number): Descriptor {
  if (isNull(selector)) throw generalProtection();
  const d = fetchDescriptor(cpu, selector);
  const code = selectorCode(selector);
  const rpl = selector & 3;
  if (!isCode(d.attributes) || rpl < cpu.cpl) throw generalProtection(code);
  checkCodeSize(cpu, selector, d);
  const dpl = dplOf(d.attributes);
  if (isConforming(d.attributes) ? dpl > rpl : dpl !== rpl) throw generalProtection(code);
  if (!isPresent(d.attributes)) throw notPresent(code);
  return d;
}

/** Checks a stack segment for privilege level `cpl` that a return brings; gives what loads it. */
function outerStack(cpu: SystemCpu, selector: number, cpl: number, to64: boolean): () => void {
  if (isNull(selector)) {
    // Only 64-bit supervisor code runs without a stack segment, and only with matching RPL.
    if (!to64 || cpl === 3 || (selector & 3) !== cpl) throw generalProtection();
    return () => setNullStack(cpu, selector);
  }
  const d = fetchDescriptor(cpu, selector);
  const code = selectorCode(selector);
  if ((selector & 3) !== cpl || !isWritableData(d.attributes) || dplOf(d.attributes) !== cpl)
    throw generalProtection(code);
  if (!isPresent(d.attributes)) throw stackFault(code);
  return () => setFromDescriptor(cpu, Seg.ss, selector, d);
}

/** The stack pointer after a return that changed stacks: by the new stack's size. */
function setOuterPointer(cpu: SystemCpu, pointer: bigint, extra: number): void {
  const long = cpu.longMode && (cpu.attributes(Seg.cs) & Attribute.long) !== 0;
  const value = pointer + BigInt(extra);
  if (long) cpu.setReg(4, value & MASK_64);
  else if (cpu.attributes(Seg.ss) & Attribute.big) cpu.setReg(4, value & 0xffff_ffffn);
  else cpu.setReg(4, (cpu.reg(4) & ~0xffffn & MASK_64) | (value & 0xffffn));
}

// ---- IRET

/** IRET, IRETD or IRETQ by operand size. */
export function interruptReturn(cpu: SystemCpu, bytes: 2 | 4 | 8): void {
  cpu.set32(S.nmiBlocked, 0);
  if (cpu.realMode) {
    const stack = StackCursor.current(cpu);
    const offset = stack.pop(bytes);
    const selector = Number(stack.pop(bytes) & 0xffffn);
    const flags = Number(stack.pop(bytes) & 0xffff_ffffn);
    enterRealCode(cpu, selector, offset);
    stack.commit();
    returnFlags(cpu, flags, bytes, 0);
    cpu.updateMode();
    return;
  }
  if (cpu.virtual8086) {
    if (cpu.iopl < 3) throw generalProtection();
    const stack = StackCursor.current(cpu);
    const offset = stack.pop(bytes);
    const selector = Number(stack.pop(bytes) & 0xffffn);
    const flags = Number(stack.pop(bytes) & 0xffff_ffffn);
    enterRealCode(cpu, selector, offset);
    stack.commit();
    // IOPL and VM stay as they are.
    setReturnedFlags(cpu, flags, bytes, Flag.iopl | Flag.vm);
    cpu.updateMode();
    return;
  }
  if (cpu.get32(S.eflags) & Flag.nt) {
    if (cpu.longMode) throw generalProtection();
    returnToPreviousTask(cpu);
    return;
  }
  const stack = StackCursor.current(cpu);
  const offset = stack.pop(bytes);
  const selector = Number(stack.pop(bytes) & 0xffffn);
  const flags = Number(stack.pop(bytes) & 0xffff_ffffn);
  if (flags & Flag.vm && bytes === 4 && cpu.cpl === 0 && !cpu.longMode) {
    returnToVirtual8086(cpu, stack, selector, offset, flags);
    return;
  }
  returnInProtectedMode(cpu, stack, bytes, selector, offset, flags);
}

function returnInProtectedMode(
  cpu: SystemCpu,
  stack: StackCursor,
  bytes: 2 | 4 | 8,
  selector: number,
  offset: bigint,
  flags: number,
): void {
  const d = returnTarget(cpu, selector);
  const rpl = selector & 3;
  const cpl = cpu.cpl;
  if (rpl === cpl && !cpu.code64) {
    checkOffset(cpu, d, offset);
    enterCode(cpu, selector, d, rpl, offset);
    stack.commit();
  } else {
    // 64-bit code always brings its stack, whatever the level.
    const pointer = stack.pop(bytes);
    const ss = Number(stack.pop(bytes) & 0xffffn);
    const load = outerStack(cpu, ss, rpl, is64BitCode(cpu, d));
    checkOffset(cpu, d, offset);
    enterCode(cpu, selector, d, rpl, offset);
    load();
    setOuterPointer(cpu, pointer, 0);
    if (rpl !== cpl) dropInnerSegments(cpu);
  }
  returnFlags(cpu, flags, bytes, cpl);
  cpu.updateMode();
}

/** Flags as IRET at `cpl` may change them. VM is never changed here. */
function returnFlags(cpu: SystemCpu, flags: number, bytes: Bytes, cpl: number): void {
  let keep: number = Flag.vm;
  if (cpl !== 0) keep |= Flag.iopl;
  if (cpl > cpu.iopl) keep |= Flag.if;
  setReturnedFlags(cpu, flags, bytes, keep);
}

function setReturnedFlags(cpu: SystemCpu, flags: number, bytes: Bytes, keep: number): void {
  const kept = keep | (bytes === 2 ? 0xffff0000 : 0);
  const value = (cpu.flags() & kept) | (flags & ~kept);
  cpu.setFlags(value & ~Flag.rf);
  // RF matters only to instruction breakpoints; without any it would only slow execution down.
  if (value & Flag.rf && cpu.get32(S.debug + 7 * 8) & 0xff) cpu.set32(S.eflags, cpu.get32(S.eflags) | Flag.rf);
}

function returnToVirtual8086(
  cpu: SystemCpu,
  stack: StackCursor,
  selector: number,
  offset: bigint,
  flags: number,
): void {
  const pointer = stack.pop(4);
  const segments = [Seg.ss, Seg.es, Seg.ds, Seg.fs, Seg.gs].map(
    (segment) => [segment, Number(stack.pop(4) & 0xffffn)] as const,
  );
  if (offset > 0xffffn) throw generalProtection();
  cpu.setFlags(flags & ~Flag.rf);
  cpu.set32(S.cpl, 3);
  loadRealSegment(cpu, Seg.cs, selector);
  for (const [segment, value] of segments) loadRealSegment(cpu, segment, value);
  cpu.setReg(4, pointer);
  cpu.ip = offset;
  cpu.updateMode();
}
