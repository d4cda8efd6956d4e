// FNSTENV, FLDENV, FNSAVE and FRSTOR: the environment in its four formats, and with it the registers.
// Owns the formats: 16- and 32-bit, of protected and of real or virtual-8086 mode (Intel SDM volume 1, figures 8-9 to 8-12).
// Never does FXSAVE or XSAVE: see instructions/state-save.ts.

import type { DecodedInstruction } from '../decoder/instruction.ts';
import { updateFpuTrap } from '../semantics/x87-control.ts';
import { S, Seg } from '../state.ts';
import type { SystemCpu } from './core.ts';
import type { ColdFunction } from './dispatch.ts';
import { memoryAddress } from './operands.ts';
import { exponentOf, isZero, X87 } from './x87.ts';

const MASK_32 = 0xffff_ffffn;
/** Environment and saved state in bytes by operand size. */
const ENVIRONMENT = { 16: 14, 32: 28 } as const;
const REGISTERS = 80;

const widthOf = (insn: DecodedInstruction): 16 | 32 => (insn.operandSize === 16 ? 16 : 32);

/** Linear addresses of the operand's bytes, `step` apart; all of them checked. */
function places(
  cpu: SystemCpu,
  insn: DecodedInstruction,
  from: number,
  bytes: number,
  step: 2 | 4,
  write: boolean,
): bigint[] {
  const found: bigint[] = [];
  for (let skip = from; skip < from + bytes; skip += step) {
    const linear = memoryAddress(cpu, insn, step, write, skip);
    if (write) cpu.probeWrite(linear, step);
    found.push(linear);
  }
  return found;
}

/** The full tag word: two bits a physical register: 0 valid, 1 zero, 2 special, 3 empty. */
function fullTags(x87: X87): number {
  let tags = 0;
  for (let position = 0; position < 8; position++) {
    const v = x87.read(position);
    const exponent = exponentOf(v);
    const special = exponent === 0 || exponent === 0x7fff || v.significand < 1n << 63n;
    const tag = x87.isEmpty(position) ? 3 : isZero(v) ? 1 : special ? 2 : 0;
    tags |= tag << (2 * ((x87.top + position) & 7));
  }
  return tags;
}

/** The environment as words of the operand size. */
function environment(cpu: SystemCpu, width: 16 | 32): number[] {
  const x87 = new X87(cpu);
  const upper = width === 32 ? 0xffff0000 : 0;
  const status = x87.status | (x87.top << 11);
  const fop = cpu.get32(S.fop) & 0x7ff;
  const fip = cpu.get64(S.fip);
  const fdp = cpu.get64(S.fdp);
  const words = [x87.control | upper, status | upper, fullTags(x87) | upper];
  if (cpu.realOrVirtual8086) {
    // Linear addresses, the opcode beside the instruction's; 0 where there was no instruction since FNINIT.
    const ip = fip === 0n ? 0 : Number((fip + cpu.base(Seg.cs)) & MASK_32);
    const dp = Number(fdp & MASK_32);
    if (width === 16) words.push(ip & 0xffff, ((ip >>> 4) & 0xf000) | fop, dp & 0xffff, (dp >>> 4) & 0xf000);
    else {
      words.push((ip & 0xffff) | upper, (((ip >>> 16) & 0xffff) << 12) | fop);
      words.push((dp & 0xffff) | upper, ((dp >>> 16) & 0xffff) << 12);
    }
    return words;
  }
  const offset = fdp === 0n ? 0 : Number((fdp - (cpu.code64 ? 0n : cpu.base(Seg.ds))) & MASK_32);
  const ip = Number(fip & MASK_32);
  // The selectors are announced as deprecated: they read as 0.
  if (width === 16) words.push(ip & 0xffff, 0, offset & 0xffff, 0);
  else words.push(ip, fop << 16, offset, upper);
  return words;
}

function loadEnvironment(cpu: SystemCpu, words: readonly number[], width: 16 | 32): void {
  const [control, status, tags, w3, w4, w5, w6] = words;
  cpu.set32(S.fcw, (control & 0x1f3f) | 0x40);
  cpu.set32(S.fsw, status & 0xffff & ~0x3800);
  cpu.set32(S.ftop, (status >> 11) & 7);
  let present = 0;
  for (let number = 0; number < 8; number++) if (((tags >> (2 * number)) & 3) !== 3) present |= 1 << number;
  cpu.set32(S.ftw, present);
  if (cpu.realOrVirtual8086) {
    const high = width === 16 ? (word: number) => (word & 0xf000) << 4 : (word: number) => (word & 0x0ffff000) << 4;
    const ip = BigInt(((w3 & 0xffff) | high(w4)) >>> 0);
    cpu.set64(S.fip, ip === 0n ? 0n : (ip - cpu.base(Seg.cs)) & MASK_32);
    cpu.set64(S.fdp, BigInt(((w5 & 0xffff) | high(w6)) >>> 0));
    cpu.set32(S.fop, w4 & 0x7ff);
  } else {
    cpu.set64(S.fip, BigInt(w3 >>> 0));
    if (width === 32) cpu.set32(S.fop, (w4 >>> 16) & 0x7ff);
    const offset = BigInt(w5 >>> 0);
    cpu.set64(S.fdp, offset === 0n ? 0n : (offset + (cpu.code64 ? 0n : cpu.base(Seg.ds))) & MASK_32);
  }
  updateFpuTrap(cpu.view);
}

function storeWords(cpu: SystemCpu, at: readonly bigint[], words: readonly number[], width: 16 | 32): void {
  words.forEach((word, i) => {
    cpu.store(at[i], width === 16 ? 2 : 4, BigInt(width === 16 ? word & 0xffff : word >>> 0));
  });
}

const readWords = (cpu: SystemCpu, at: readonly bigint[], width: 16 | 32): number[] =>
  at.map((linear) => cpu.load32(linear, width === 16 ? 2 : 4));

/** FNSTENV also masks all exceptions. */
const storeEnvironment: ColdFunction = (cpu, insn) => {
  X87.requireAvailable(cpu);
  const width = widthOf(insn);
  const at = places(cpu, insn, 0, ENVIRONMENT[width], width === 16 ? 2 : 4, true);
  storeWords(cpu, at, environment(cpu, width), width);
  cpu.set32(S.fcw, cpu.get32(S.fcw) | 0x3f);
  updateFpuTrap(cpu.view);
};

const fldenv: ColdFunction = (cpu, insn) => {
  X87.requireReady(cpu);
  const width = widthOf(insn);
  const at = places(cpu, insn, 0, ENVIRONMENT[width], width === 16 ? 2 : 4, false);
  loadEnvironment(cpu, readWords(cpu, at, width), width);
};

/** FNSAVE also does what FNINIT does. */
const fnsave: ColdFunction = (cpu, insn) => {
  X87.requireAvailable(cpu);
  const width = widthOf(insn);
  const at = places(cpu, insn, 0, ENVIRONMENT[width], width === 16 ? 2 : 4, true);
  const registers = places(cpu, insn, ENVIRONMENT[width], REGISTERS, 2, true);
  storeWords(cpu, at, environment(cpu, width), width);
  const x87 = new X87(cpu);
  for (let position = 0; position < 8; position++) {
    const { significand, se } = x87.read(position);
    const bits = significand | (BigInt(se) << 64n);
    for (let word = 0; word < 5; word++) {
      cpu.store(registers[position * 5 + word], 2, (bits >> BigInt(16 * word)) & 0xffffn);
    }
  }
  cpu.set32(S.fcw, 0x37f);
  for (const field of [S.fsw, S.ftop, S.ftw, S.fop]) cpu.set32(field, 0);
  cpu.set64(S.fip, 0n);
  cpu.set64(S.fdp, 0n);
  updateFpuTrap(cpu.view);
};

const frstor: ColdFunction = (cpu, insn) => {
  X87.requireReady(cpu);
  const width = widthOf(insn);
  const words = readWords(cpu, places(cpu, insn, 0, ENVIRONMENT[width], width === 16 ? 2 : 4, false), width);
  const saved = readWords(cpu, places(cpu, insn, ENVIRONMENT[width], REGISTERS, 2, false), 16);
  loadEnvironment(cpu, words, width);
  const top = cpu.get32(S.ftop);
  for (let position = 0; position < 8; position++) {
    const at = S.fpu + ((top + position) & 7) * 16;
    const [a, b, c, d, se] = saved.slice(position * 5, position * 5 + 5);
    cpu.set64(at, BigInt(a) | (BigInt(b) << 16n) | (BigInt(c) << 32n) | (BigInt(d) << 48n));
    cpu.set32(at + 8, se);
  }
};

export const environmentRows: readonly (readonly [string, ColdFunction])[] = [
  ['FNSTENV', storeEnvironment],
  ['FLDENV', fldenv],
  ['FNSAVE', fnsave],
  ['FRSTOR', frstor],
];
