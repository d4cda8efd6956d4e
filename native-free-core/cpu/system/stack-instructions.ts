// POPF, STI, PUSHA, POPA, ENTER and POP to memory.
// Owns who may change which flag, and stack frames that take several pushes.
// Never leaves a half-moved stack pointer: faults come first.

import type { DecodedInstruction } from '../decoder/instruction.ts';
import { ARITHMETIC_FLAGS, Flag, S, Seg } from '../state.ts';
import type { SystemCpu } from './core.ts';
import { GuestFault, generalProtection } from './fault.ts';
import { operandBytes, writeMemory } from './operands.ts';
import { segmentAddress } from './segments.ts';
import { StackCursor } from './stack.ts';

/** STI needs IOPL at least CPL; virtual-8086 mode runs at CPL 3. */
function requireIoPrivilege(cpu: SystemCpu): void {
  if (!cpu.realMode && cpu.cpl > cpu.iopl) throw generalProtection();
}

export function sti(cpu: SystemCpu): void {
  requireIoPrivilege(cpu);
  const flags = cpu.get32(S.eflags);
  if (!(flags & Flag.if)) cpu.castShadow(1);
  cpu.set32(S.eflags, flags | Flag.if);
}

export function popFlags(cpu: SystemCpu, insn: DecodedInstruction): void {
  if (cpu.virtual8086 && cpu.iopl < 3) throw generalProtection();
  const bytes = operandBytes(insn);
  const stack = StackCursor.current(cpu);
  const value = Number(stack.pop(bytes) & 0xffff_ffffn);
  stack.commit();
  let changes = ARITHMETIC_FLAGS | Flag.tf | Flag.df | Flag.nt;
  if (bytes !== 2) changes |= Flag.ac | Flag.id;
  if (cpu.realMode || cpu.cpl <= cpu.iopl) changes |= Flag.if;
  if (cpu.realMode || cpu.cpl === 0) changes |= Flag.iopl;
  const old = cpu.flags();
  cpu.setFlags(((old & ~changes) | (value & changes)) & ~Flag.rf);
  if ((old ^ value) & changes & Flag.ac) cpu.updateTlb();
}

export function pushAll(cpu: SystemCpu, insn: DecodedInstruction): void {
  const bytes = operandBytes(insn);
  const stack = StackCursor.current(cpu);
  for (let register = 0; register < 8; register++) stack.push(bytes, cpu.reg(register));
  stack.commit();
}

export function popAll(cpu: SystemCpu, insn: DecodedInstruction): void {
  const bytes = operandBytes(insn);
  const stack = StackCursor.current(cpu);
  const values: bigint[] = [];
  for (let register = 7; register >= 0; register--) values[register] = stack.pop(bytes);
  stack.commit();
  for (let register = 0; register < 8; register++)
    if (register !== 4) cpu.setRegSized(register, insn.operandSize, values[register]);
}

/** ENTER: `immediate` is the frame's size, `immediate2` the nesting level. SDM volume 2. */
export function enter(cpu: SystemCpu, insn: DecodedInstruction): void {
  const bytes = operandBytes(insn);
  const frameSize = insn.immediate & 0xffff;
  const level = insn.immediate2 & 31;
  const stack = StackCursor.current(cpu);
  const mask = cpu.get64(S.stackMask);
  stack.push(bytes, cpu.reg(5));
  const frame = stack.pointer;
  let outer = cpu.reg(5) & mask;
  for (let index = 1; index < level; index++) {
    outer = (outer - BigInt(bytes)) & mask;
    stack.push(bytes, cpu.load(segmentAddress(cpu, Seg.ss, outer, bytes, false), bytes));
  }
  if (level > 0) stack.push(bytes, frame);
  const top = (stack.pointer - BigInt(frameSize)) & mask;
  // The new top of the stack must be writable, though nothing is written there.
  cpu.probeWrite(segmentAddress(cpu, Seg.ss, top, 1, true), 1);
  stack.skip(-frameSize);
  stack.commit();
  cpu.setRegSized(5, insn.operandSize, frame);
}

/** POP to memory. An address based on the stack pointer uses its value after the pop. */
export function popOperand(cpu: SystemCpu, insn: DecodedInstruction): void {
  const bytes = operandBytes(insn);
  const stack = StackCursor.current(cpu);
  const value = stack.pop(bytes);
  const old = cpu.reg(4);
  stack.commit();
  try {
    writeMemory(cpu, insn, bytes, value);
  } catch (fault) {
    if (fault instanceof GuestFault) cpu.setReg(4, old);
    throw fault;
  }
}
