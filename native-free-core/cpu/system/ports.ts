// IN, OUT, INS and OUTS, and the permission to use a port.
// Owns the I/O permission bitmap and the string loops. SDM volume 1, chapter 19.
// Never knows what is behind a port.

import type { DecodedInstruction } from '../decoder/instruction.ts';
import { Flag, S, Seg } from '../state.ts';
import type { SystemCpu } from './core.ts';
import { portBreakpoints } from './debug.ts';
import { isPresent, SYSTEM, typeOf } from './descriptors.ts';
import { generalProtection } from './fault.ts';
import { maskOf } from './operands.ts';
import { segmentAddress } from './segments.ts';

type PortSize = 1 | 2 | 4;

/** Iterations of a string instruction that are done before interrupts are looked at. */
const BATCH = 512;

/** #GP(0) unless the current privilege or the TSS's bitmap allows every byte of the access. */
export function checkPort(cpu: SystemCpu, port: number, size: PortSize): void {
  if (cpu.realMode || (!cpu.virtual8086 && cpu.cpl <= cpu.iopl)) return;
  const attributes = cpu.attributes(Seg.tr);
  const limit = cpu.limit(Seg.tr);
  if (!isPresent(attributes) || (typeOf(attributes) & 8) === 0 || limit < 103) throw generalProtection();
  const at = (offset: number): bigint => BigInt.asUintN(cpu.longMode ? 64 : 32, cpu.base(Seg.tr) + BigInt(offset));
  const map = cpu.load32(at(0x66), 2, SYSTEM);
  // Two bytes are always read, so that a word access at a byte's end is checked whole.
  const offset = map + (port >>> 3);
  if (offset + 1 > limit) throw generalProtection();
  const bits = cpu.load32(at(offset), 2, SYSTEM) >>> (port & 7);
  if (bits & ((1 << size) - 1)) throw generalProtection();
}

export function portIn(cpu: SystemCpu, port: number, size: PortSize): number {
  checkPort(cpu, port, size);
  portBreakpoints(cpu, port, size);
  return cpu.ports.readPort(port, size) >>> 0;
}

export function portOut(cpu: SystemCpu, port: number, size: PortSize, value: number): void {
  checkPort(cpu, port, size);
  portBreakpoints(cpu, port, size);
  cpu.ports.writePort(port, size, size === 4 ? value >>> 0 : value & ((1 << (size * 8)) - 1));
}

/** Width of a port access: the operand size, but never more than 32 bits. */
export const portSize = (insn: DecodedInstruction): PortSize => (Math.min(insn.operandSize, 32) >> 3) as PortSize;

/** Runs `step` once, or with REP up to a batch of times; what is left is taken up again at the same instruction. */
function repeat(cpu: SystemCpu, insn: DecodedInstruction, start: bigint, step: () => void): void {
  if (insn.rep === 0) {
    step();
    return;
  }
  const mask = maskOf(insn.addressSize);
  const batch = cpu.get32(S.eflags) & Flag.tf ? 1 : BATCH;
  for (let done = 0; done < batch; done++) {
    const count = cpu.reg(1) & mask;
    if (count === 0n) return;
    // The registers are up to date after each step: a fault in the next one finds them so.
    step();
    cpu.setRegSized(1, insn.addressSize, (count - 1n) & mask);
  }
  if ((cpu.reg(1) & mask) !== 0n) cpu.ip = start;
}

/** INS. `start` is the instruction's own address. */
export function inString(cpu: SystemCpu, insn: DecodedInstruction, start: bigint): void {
  const size = portSize(insn);
  const port = cpu.reg16(2);
  const mask = maskOf(insn.addressSize);
  const delta = BigInt(cpu.get32(S.eflags) & Flag.df ? -size : size);
  repeat(cpu, insn, start, () => {
    const offset = cpu.reg(7) & mask;
    checkPort(cpu, port, size);
    const linear = segmentAddress(cpu, Seg.es, offset, size, true);
    // A device must not be read for a value that cannot be stored.
    cpu.probeWrite(linear, size);
    cpu.store32(linear, size, portIn(cpu, port, size));
    cpu.setRegSized(7, insn.addressSize, (offset + delta) & mask);
  });
}

/** OUTS. */
export function outString(cpu: SystemCpu, insn: DecodedInstruction, start: bigint): void {
  const size = portSize(insn);
  const port = cpu.reg16(2);
  const mask = maskOf(insn.addressSize);
  const segment = insn.segmentOverride >= 0 ? insn.segmentOverride : Seg.ds;
  const delta = BigInt(cpu.get32(S.eflags) & Flag.df ? -size : size);
  repeat(cpu, insn, start, () => {
    const offset = cpu.reg(6) & mask;
    checkPort(cpu, port, size);
    const value = cpu.load32(segmentAddress(cpu, segment, offset, size, false), size);
    portOut(cpu, port, size, value);
    cpu.setRegSized(6, insn.addressSize, (offset + delta) & mask);
  });
}
