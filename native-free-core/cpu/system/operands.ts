// Operands of cold instructions: registers and memory as a decoded instruction names them.
// Owns effective addresses and operand reads and writes in TypeScript.
// Never changes anything before the access that may fault has succeeded.

import { BASE_RIP, type DecodedInstruction } from '../decoder/instruction.ts';
import type { Bytes, SystemCpu } from './core.ts';
import { segmentAddress } from './segments.ts';

const MASKS = { 8: 0xffn, 16: 0xffffn, 32: 0xffff_ffffn, 64: 0xffff_ffff_ffff_ffffn } as const;

/** All ones of an operand or address size in bits. */
export const maskOf = (bits: 8 | 16 | 32 | 64): bigint => MASKS[bits];

/** Operand size in bytes, for stack and memory operands of 16, 32 or 64 bits. */
export const operandBytes = (insn: DecodedInstruction): 2 | 4 | 8 => (insn.operandSize >> 3) as 2 | 4 | 8;

/** Offset part of the memory operand, masked to the address size. */
export function effectiveAddress(cpu: SystemCpu, insn: DecodedInstruction): bigint {
  let offset = (BigInt(insn.displacementHigh) << 32n) | BigInt(insn.displacement >>> 0);
  if (insn.base === BASE_RIP) offset += cpu.nextIp;
  else if (insn.base >= 0) offset += cpu.reg(insn.base);
  if (insn.index >= 0) offset += cpu.reg(insn.index) << BigInt(insn.scale);
  return offset & MASKS[insn.addressSize];
}

/** Linear address of the memory operand, `skip` bytes in, after its segment's checks. */
export function memoryAddress(
  cpu: SystemCpu,
  insn: DecodedInstruction,
  bytes: number,
  write: boolean,
  skip = 0,
): bigint {
  const offset = (effectiveAddress(cpu, insn) + BigInt(skip)) & MASKS[insn.addressSize];
  return segmentAddress(cpu, insn.segment, offset, bytes, write);
}

/** Reads the memory operand, `skip` bytes in. */
export function readMemory(cpu: SystemCpu, insn: DecodedInstruction, bytes: Bytes, skip = 0): bigint {
  return cpu.load(memoryAddress(cpu, insn, bytes, false, skip), bytes);
}

export function writeMemory(cpu: SystemCpu, insn: DecodedInstruction, bytes: Bytes, value: bigint, skip = 0): void {
  cpu.store(memoryAddress(cpu, insn, bytes, true, skip), bytes, value);
}

/** A 16-bit operand in a register or memory: most selectors are one. */
export function readSelector(cpu: SystemCpu, insn: DecodedInstruction): number {
  return insn.isMemory ? Number(readMemory(cpu, insn, 2)) : cpu.reg16(insn.rm);
}

/** Writes a 16-bit system value: memory takes 16 bits, a register the operand size, zero-extended. */
export function writeSelector(cpu: SystemCpu, insn: DecodedInstruction, value: number): void {
  if (insn.isMemory) writeMemory(cpu, insn, 2, BigInt(value));
  else cpu.setRegSized(insn.rm, insn.operandSize, BigInt(value));
}
