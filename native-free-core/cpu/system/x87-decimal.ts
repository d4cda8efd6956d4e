// FBLD and FBSTP: packed decimals of eighteen digits.
// Owns the format (Intel SDM volume 1, section 4.7).
// Never rounds to anything but an integer.

import { Exception, Status } from '../float80/parts.ts';
import { S } from '../state.ts';
import type { ColdFunction } from './dispatch.ts';
import { memoryAddress, readMemory } from './operands.ts';
import {
  BIAS,
  bitLength,
  exponentOf,
  INDEFINITE,
  isInfinity,
  isNan,
  isNegative,
  isUnsupported,
  STACK_FAULT,
  WITHHELD,
  withX87,
  X87,
  zero,
} from './x87.ts';

const LIMIT = 10n ** 18n;
/** The packed indefinite: FFFF C000 0000 0000 0000h. */
const INDEFINITE_LOW = 0xc000000000000000n;

export const loadDecimal: ColdFunction = (cpu, insn, start) =>
  withX87(cpu, start, (x87) => {
    const low = readMemory(cpu, insn, 8);
    const high = Number(readMemory(cpu, insn, 2, 8));
    x87.setConditions(Status.c1, 0);
    if (!x87.isEmpty(7)) {
      x87.require(STACK_FAULT | Status.c1);
      x87.push(INDEFINITE);
      return;
    }
    let value = BigInt((high >> 4) & 15) * 10n + BigInt(high & 15);
    for (let shift = 60n; shift >= 0n; shift -= 4n) value = value * 10n + ((low >> shift) & 15n);
    const negative = (high & 0x8000) !== 0;
    // Eighteen digits fit into 64 bits; digits beyond nine are undefined and may not.
    x87.push(value === 0n ? zero(negative) : exact(negative, value));
  });

function exact(negative: boolean, value: bigint): { significand: bigint; se: number } {
  const length = bitLength(value);
  return { significand: value << BigInt(64 - length), se: (negative ? 0x8000 : 0) | (BIAS + length - 1) };
}

/** ST(0) rounded to an integer, as low 64 and high 16 bits of the packed decimal. */
function pack(x87: X87): readonly [bigint, number] {
  x87.setConditions(Status.c1, 0);
  if (x87.isEmpty(0)) {
    x87.require(STACK_FAULT);
    return [INDEFINITE_LOW, 0xffff];
  }
  const v = x87.read(0);
  const invalid = (): readonly [bigint, number] => {
    x87.require(Exception.invalid);
    return [INDEFINITE_LOW, 0xffff];
  };
  if (isNan(v) || isInfinity(v) || isUnsupported(v) || exponentOf(v) > BIAS + 59) return invalid();
  const negative = isNegative(v);
  const drop = BigInt(Math.min(BIAS + 63 - exponentOf(v), 70));
  let value = v.significand >> drop;
  const tail = v.significand - (value << drop);
  const half = 1n << (drop - 1n);
  const mode = (x87.control >> 10) & 3;
  const nearest = tail > half || (tail === half && (value & 1n) === 1n);
  const up = tail !== 0n && (mode === 0 ? nearest : mode === 1 ? negative : mode === 2 ? !negative : false);
  if (up) value++;
  if (value >= LIMIT) return invalid();
  if (tail !== 0n) x87.raise(Exception.precision | (up ? Status.c1 : 0));
  let packed = 0n;
  for (let shift = 0n; shift < 72n; shift += 4n) {
    packed |= (value % 10n) << shift;
    value /= 10n;
  }
  return [packed & 0xffff_ffff_ffff_ffffn, Number(packed >> 64n) | (negative ? 0x8000 : 0)];
}

export const storeDecimal: ColdFunction = (cpu, insn, start) => {
  X87.requireReady(cpu);
  const low = memoryAddress(cpu, insn, 8, true);
  const high = memoryAddress(cpu, insn, 2, true, 8);
  // Both probed before the conversion sets flags.
  cpu.probeWrite(low, 8);
  cpu.probeWrite(high, 2);
  cpu.set64(S.fip, start);
  const x87 = new X87(cpu);
  try {
    const [bits, top] = pack(x87);
    cpu.store(low, 8, bits);
    cpu.store(high, 2, BigInt(top));
    x87.pop();
  } catch (reason) {
    if (reason !== WITHHELD) throw reason;
  }
};

export const decimalRows: readonly (readonly [string, ColdFunction])[] = [
  ['FBLD', loadDecimal],
  ['FBSTP', storeDecimal],
];
