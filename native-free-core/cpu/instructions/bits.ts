// Shifts, rotates, bit tests and scans, population counts, BMI1 and BMI2.
// Owns the rows and meanings of that family.
// Never touches vector registers.

import { ValueType } from '../../wasm/opcodes.ts';
import {
  and,
  asSize,
  c32,
  c64,
  clz,
  constLike,
  ctz,
  eqz,
  extendU,
  geU,
  gtU,
  mul,
  type Node,
  ne,
  neg,
  not,
  or,
  popcnt,
  remU,
  rotl,
  rotr,
  type Size,
  select,
  shl,
  shrS,
  shrU,
  signBit,
  signExtend,
  sub,
  typeOf,
  wrap,
  xor,
  zeroExtend,
} from '../builder/nodes.ts';
import { FlagKind } from '../semantics/flags.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { multiplyWide } from '../semantics/multiply.ts';
import { Flag } from '../state.ts';
import type { InstructionFamily, Row } from './row.ts';

const { i32, i64 } = ValueType;
const ALL = 'OSZAPC';

/** The count operand, masked as the processor does (to 5 bits, or 6 for 64-bit operands), as an i32 local. */
function shiftCount(m: Meaning, operand: number): Node & { kind: 'local' } {
  const raw = m.operands[operand].kind === 'imm' ? m.immediate(operand, 32) : m.read(operand, 8);
  return m.let(and(raw, c32(m.size === 64 ? 63 : 31)));
}

/** Runs `body` unless the count is 0, in which case neither flags nor destination change (memory is still accessed). */
function shift(kind: FlagKind, compute: (size: Size, a: Node, count: Node) => Node) {
  return (m: Meaning): void => {
    const count = shiftCount(m, 1);
    m.modify(0, (a) => {
      const by = m.let(asSize(m.size, count));
      m.if(count, () => {
        m.setFlags(kind, a, c32(0));
        m.setFlagsOperandB(extendU(count));
      });
      return compute(m.size, a, by);
    });
  };
}

// A count of up to 31 may exceed an 8- or 16-bit operand; the i32 it lives in is wide enough for the true result.
const shiftLeft = shift(FlagKind.shiftLeft, (_size, a, count) => shl(a, count));
const shiftRight = shift(FlagKind.shiftRight, (size, a, count) => shrU(zeroExtend(size, a), count));
const shiftArithmetic = shift(FlagKind.shiftArithmetic, (size, a, count) => shrS(signExtend(size, a), count));

/** CF and OF after a rotate; the others stay. OF is defined for counts of one; processors compute it the same for all. */
function rotateFlags(m: Meaning, carry: Node, overflow: Node): void {
  m.setCarryOverflow(m.let(or(carry, shl(overflow, c32(11)))));
}

function rotate(left: boolean) {
  return (m: Meaning): void => {
    const size = m.size;
    const count = shiftCount(m, 1);
    m.modify(0, (a) => {
      const result = m.local(typeOf(size));
      if (size === 64) m.set(result, (left ? rotl : rotr)(a, extendU(count)));
      else if (size === 32) m.set(result, (left ? rotl : rotr)(a, count));
      else {
        // Two copies (or four) side by side turn a narrow rotate into a wide one.
        const doubled = size === 16 ? or(a, shl(a, c32(16))) : mul(a, c32(0x01010101));
        m.set(result, zeroExtend(size, (left ? rotl : rotr)(doubled, count)));
      }
      m.if(count, () => {
        const top = m.let(signBit(size, result));
        if (left) {
          const low = m.let(and(wrap(result), c32(1)));
          rotateFlags(m, low, xor(top, low));
        } else {
          rotateFlags(m, top, xor(top, and(wrap(shrU(result, constLike(result, size - 2))), c32(1))));
        }
      });
      return result;
    });
  };
}

/** RCL and RCR: the carry is one more bit of what rotates. */
function rotateThroughCarry(left: boolean) {
  return (m: Meaning): void => {
    const size = m.size;
    const masked = shiftCount(m, 1);
    const count = size < 32 ? m.let(remU(masked, c32(size + 1))) : masked;
    const carry = m.let(m.flag('cf'));
    m.modify(0, (a) => {
      const result = m.let(a);
      m.if(count, () => {
        const type = typeOf(size);
        const by = m.let(asSize(size, count));
        const width = constLike(result, size);
        const one = constLike(result, 1);
        const carryWide = asSize(size, carry);
        const rest = m.let(sub(width, by));
        // The bits that come round, in two shifts because one of a whole width would do nothing.
        const round = m.local(type);
        const out = m.local(i32);
        if (left) {
          m.set(round, shrU(shrU(a, rest), one));
          m.set(out, and(wrap(shrU(a, rest)), c32(1)));
          m.set(result, or(or(shl(a, by), shl(carryWide, sub(by, one))), round));
        } else {
          m.set(round, shl(shl(a, rest), one));
          m.set(out, and(wrap(shrU(a, sub(by, one))), c32(1)));
          m.set(result, or(or(shrU(a, by), shl(carryWide, rest)), round));
        }
        m.set(result, zeroExtend(size, result));
        const top = m.let(signBit(size, result));
        const overflow = left ? xor(top, out) : xor(top, and(wrap(shrU(result, constLike(result, size - 2))), c32(1)));
        rotateFlags(m, out, overflow);
      });
      return result;
    });
  };
}

/** SHLD and SHRD. Counts beyond a 16-bit operand are undefined; here the operands repeat as on common processors. */
function doubleShift(left: boolean) {
  return (m: Meaning): void => {
    const size = m.size;
    const count = shiftCount(m, 2);
    const filler = m.let(m.read(1));
    m.modify(0, (a) => {
      const result = m.let(a);
      m.if(count, () => {
        if (size === 16) {
          const by = count;
          const wide = m.let(
            left
              ? or(shl(extendU(a), c64(32)), or(shl(extendU(filler), c64(16)), extendU(a)))
              : or(extendU(a), or(shl(extendU(filler), c64(16)), shl(extendU(a), c64(32)))),
          );
          m.set(result, zeroExtend(16, wrap(left ? shrU(wide, extendU(sub(c32(32), by))) : shrU(wide, extendU(by)))));
          const out = wrap(left ? shrU(wide, extendU(sub(c32(48), by))) : shrU(wide, extendU(sub(by, c32(1)))));
          doubleShiftFlags(m, a, result, and(out, c32(1)));
        } else {
          const by = m.let(asSize(size, count));
          const rest = sub(constLike(a, size), by);
          m.set(result, left ? or(shl(a, by), shrU(filler, rest)) : or(shrU(a, by), shl(filler, rest)));
          const out = left ? shrU(a, rest) : shrU(a, sub(by, constLike(a, 1)));
          doubleShiftFlags(m, a, result, and(wrap(out), c32(1)));
        }
      });
      return result;
    });
  };
}

/** Flags of a double shift: by the result, CF the last bit out, OF when the sign changed. */
function doubleShiftFlags(m: Meaning, before: Node, result: Node, carry: Node): void {
  const size = m.size;
  const bit = m.let(carry);
  const overflow = m.let(xor(signBit(size, before), signBit(size, result)));
  m.setFlagsLogic(result);
  m.setCarryOverflow(m.let(or(bit, shl(overflow, c32(11)))));
}

type BitChange = ((a: Node, mask: Node) => Node) | undefined;

/** BT, BTS, BTR, BTC. With a register offset a memory operand reaches beyond its own bytes. */
function bitTest(change: BitChange) {
  return (m: Meaning): void => {
    const size = m.size;
    const offset = m.let(m.operands[1].kind === 'imm' ? m.immediate(1, size) : m.read(1, size));
    const place = m.let(and(offset, constLike(offset, size - 1)));
    const finish = (a: Node): Node => {
      const bit = m.let(and(wrap(shrU(a, place)), c32(1)));
      const result = change ? m.let(change(a, shl(constLike(a, 1), place))) : a;
      m.setCarry(bit);
      return result;
    };
    if (m.operands[0].kind === 'mem') {
      const linear = m.operands[1].kind === 'imm' ? m.address(0) : m.bitAddress(0, offset);
      if (change) {
        const { target, value } = m.beginWrite(linear, size);
        m.finishWrite(target, m.let(finish(value)));
      } else finish(m.readMemory(linear, size));
      return;
    }
    const a = m.let(m.read(0));
    const result = finish(a);
    if (change) m.write(0, result);
  };
}

/** BSF and BSR: with a zero source the destination stays, as processors do. */
function bitScan(reverse: boolean) {
  return (m: Meaning): void => {
    const source = m.let(m.read(1));
    m.if(source.type === i64 ? ne(source, c64(0)) : source, () => {
      m.write(0, reverse ? sub(constLike(source, source.type === i64 ? 63 : 31), clz(source)) : ctz(source));
    });
    m.setFlagsLogic(source);
  };
}

/** LZCNT and TZCNT: the operand size when the source is zero, which CF tells. */
function countZeros(leading: boolean) {
  return (m: Meaning): void => {
    const size = m.size;
    const source = m.let(m.read(1));
    const count =
      size === 16
        ? leading
          ? sub(clz(source), c32(16))
          : ctz(or(source, c32(0x10000)))
        : leading
          ? clz(source)
          : ctz(source);
    const result = m.let(count);
    m.write(0, result);
    m.updateFlags(Flag.cf | Flag.zf, or(eqz(source), shl(eqz(result), c32(6))));
  };
}

function populationCount(m: Meaning): void {
  const source = m.let(m.read(1));
  m.write(0, popcnt(source));
  m.setFlagsExplicit(shl(eqz(source), c32(6)));
}

/** Flags of the BMI1 logical group: SF and ZF by the result, OF clear, CF as given. */
function bmiFlags(m: Meaning, result: Node, carry: Node): void {
  const bit = m.let(carry);
  m.setFlagsLogic(result);
  m.setCarryOverflow(bit);
}

/** Parallel deposit and extract by walking the mask's ones. */
function parallelBits(deposit: boolean) {
  return (m: Meaning): void => {
    const source = m.let(m.read(1));
    const mask = m.let(m.read(2));
    const type = source.type;
    const result = m.local(type);
    m.set(result, constLike(source, 0));
    const place = m.let(constLike(source, 1));
    const nonZero = (value: Node): Node => (type === i64 ? ne(value, c64(0)) : value);
    m.block((done) => {
      m.loop((again) => {
        m.brIf(done, eqz(mask));
        const lowest = m.let(and(mask, neg(mask)));
        const from = deposit ? place : lowest;
        const to = deposit ? lowest : place;
        m.if(nonZero(and(source, from)), () => m.set(result, or(result, to)));
        m.set(mask, and(mask, sub(mask, constLike(mask, 1))));
        m.set(place, shl(place, constLike(place, 1)));
        m.br(again);
      });
    });
    m.write(0, result);
  };
}

function bitFieldExtract(m: Meaning): void {
  const source = m.let(m.read(1));
  const control = m.let(wrap(m.read(2)));
  const start = m.let(and(control, c32(0xff)));
  const length = m.let(and(shrU(control, c32(8)), c32(0xff)));
  const width = c32(m.size);
  const shifted = m.let(select(geU(start, width), constLike(source, 0), shrU(source, asSize(m.size, start))));
  const mask = sub(shl(constLike(source, 1), asSize(m.size, length)), constLike(source, 1));
  const result = m.let(select(geU(length, width), shifted, and(shifted, mask)));
  m.write(0, result);
  bmiFlags(m, result, c32(0));
}

function zeroHighBits(m: Meaning): void {
  const source = m.let(m.read(1));
  const index = m.let(and(wrap(m.read(2)), c32(0xff)));
  const beyond = m.let(gtU(index, c32(m.size - 1)));
  const mask = sub(shl(constLike(source, 1), asSize(m.size, index)), constLike(source, 1));
  const result = m.let(select(beyond, source, and(source, mask)));
  m.write(0, result);
  bmiFlags(m, result, beyond);
}

/** MULX: unsigned rDX times the source, high half to operand 0, low half to operand 1, flags untouched. */
function multiplyExtended(m: Meaning): void {
  const a = m.let(m.getReg(2, m.size));
  const b = m.let(m.read(2));
  if (m.size === 32) {
    const product = m.let(mul(extendU(a), extendU(b)));
    m.write(1, wrap(product));
    m.write(0, wrap(shrU(product, c64(32))));
    return;
  }
  const [bottom, top] = multiplyWide(m, a, b);
  m.write(1, bottom);
  m.write(0, top);
}

/** SHLX, SHRX, SARX and RORX: no flags. */
function flaglessShift(compute: (a: Node, count: Node) => Node) {
  return (m: Meaning): void => {
    const source = m.let(m.read(1));
    const raw = m.operands[2].kind === 'imm' ? m.immediate(2, m.size) : m.read(2);
    m.write(0, compute(source, m.let(and(raw, constLike(source, m.size - 1)))));
  };
}

/** BLSR, BLSMSK, BLSI: destination is operand 0 (vvvv), source operand 1. */
function lowestBit(compute: (a: Node) => Node, carryWhenZero: boolean) {
  return (m: Meaning): void => {
    const source = m.let(m.read(1));
    const result = m.let(compute(source));
    m.write(0, result);
    bmiFlags(m, result, carryWhenZero ? eqz(source) : ne(source, constLike(source, 0)));
  };
}

const shiftRow = (
  name: string,
  digits: number[],
  meaning: (m: Meaning) => void,
  flags: NonNullable<Row['flags']>,
): Row => ({
  name,
  encodings: digits.flatMap((digit) => [
    `C0/${digit} Eb,Ib`,
    `C1/${digit} Ev,Ib`,
    `D0/${digit} Eb,1`,
    `D1/${digit} Ev,1`,
    `D2/${digit} Eb,CL`,
    `D3/${digit} Ev,CL`,
  ]),
  meaning,
  flags,
});

// Shifts: OF is undefined for counts other than 1, AF for any but 0, CF past an 8- or 16-bit operand.
const SHIFT_FLAGS = { written: ALL, undefined: 'OA', conditional: true } as const;
// Rotates: OF is undefined for counts other than 1.
const ROTATE_FLAGS = { written: 'OC', undefined: 'O', conditional: true } as const;
const CARRY_ROTATE_FLAGS = { ...ROTATE_FLAGS, read: 'C' };

const bitTestRow = (name: string, opcode: string, digit: number, change: BitChange): Row => ({
  name,
  encodings: [
    `0F ${opcode} Ev,Gv ${change ? ':lock' : ''}`.trim(),
    `0F BA/${digit} Ev,Ib ${change ? ':lock' : ''}`.trim(),
  ],
  meaning: bitTest(change),
  flags: { written: 'C', undefined: 'OSAP' },
});

const rows: Row[] = [
  shiftRow('ROL', [0], rotate(true), ROTATE_FLAGS),
  shiftRow('ROR', [1], rotate(false), ROTATE_FLAGS),
  shiftRow('RCL', [2], rotateThroughCarry(true), CARRY_ROTATE_FLAGS),
  shiftRow('RCR', [3], rotateThroughCarry(false), CARRY_ROTATE_FLAGS),
  shiftRow('SHL', [4, 6], shiftLeft, SHIFT_FLAGS),
  shiftRow('SHR', [5], shiftRight, SHIFT_FLAGS),
  shiftRow('SAR', [7], shiftArithmetic, SHIFT_FLAGS),
  { name: 'SHLD', encodings: ['0F A4 Ev,Gv,Ib', '0F A5 Ev,Gv,CL'], meaning: doubleShift(true), flags: SHIFT_FLAGS },
  { name: 'SHRD', encodings: ['0F AC Ev,Gv,Ib', '0F AD Ev,Gv,CL'], meaning: doubleShift(false), flags: SHIFT_FLAGS },
  bitTestRow('BT', 'A3', 4, undefined),
  bitTestRow('BTS', 'AB', 5, or),
  bitTestRow('BTR', 'B3', 6, (a, mask) => and(a, not(mask))),
  bitTestRow('BTC', 'BB', 7, xor),
  {
    name: 'BSF',
    encodings: ['0F BC Gv,Ev'],
    meaning: bitScan(false),
    flags: { written: ALL, undefined: 'OSAPC' },
  },
  { name: 'BSR', encodings: ['0F BD Gv,Ev'], meaning: bitScan(true), flags: { written: ALL, undefined: 'OSAPC' } },
  {
    name: 'TZCNT',
    encodings: ['F3. 0F BC Gv,Ev'],
    meaning: countZeros(false),
    flags: { written: 'ZC', undefined: 'OSAP' },
  },
  {
    name: 'LZCNT',
    encodings: ['F3. 0F BD Gv,Ev'],
    meaning: countZeros(true),
    flags: { written: 'ZC', undefined: 'OSAP' },
  },
  { name: 'POPCNT', encodings: ['F3. 0F B8 Gv,Ev'], meaning: populationCount, flags: { written: ALL } },
  {
    name: 'ANDN',
    encodings: ['VEX.NP. 0F 38 F2 Gy,By,Ey'],
    meaning: (m) => {
      const inverted = m.let(not(m.read(1)));
      const result = m.let(and(inverted, m.read(2)));
      m.write(0, result);
      bmiFlags(m, result, c32(0));
    },
    flags: { written: ALL, undefined: 'AP' },
  },
  {
    name: 'BEXTR',
    encodings: ['VEX.NP. 0F 38 F7 Gy,Ey,By'],
    meaning: bitFieldExtract,
    flags: { written: ALL, undefined: 'SAP' },
  },
  {
    name: 'BZHI',
    encodings: ['VEX.NP. 0F 38 F5 Gy,Ey,By'],
    meaning: zeroHighBits,
    flags: { written: ALL, undefined: 'AP' },
  },
  {
    name: 'BLSR',
    encodings: ['VEX.NP. 0F 38 F3/1 By,Ey'],
    meaning: lowestBit((a) => and(a, sub(a, constLike(a, 1))), true),
    flags: { written: ALL, undefined: 'AP' },
  },
  {
    name: 'BLSMSK',
    encodings: ['VEX.NP. 0F 38 F3/2 By,Ey'],
    meaning: lowestBit((a) => xor(a, sub(a, constLike(a, 1))), true),
    flags: { written: ALL, undefined: 'AP' },
  },
  {
    name: 'BLSI',
    encodings: ['VEX.NP. 0F 38 F3/3 By,Ey'],
    meaning: lowestBit((a) => and(a, neg(a)), false),
    flags: { written: ALL, undefined: 'AP' },
  },
  { name: 'PDEP', encodings: ['VEX.F2. 0F 38 F5 Gy,By,Ey'], meaning: parallelBits(true) },
  { name: 'PEXT', encodings: ['VEX.F3. 0F 38 F5 Gy,By,Ey'], meaning: parallelBits(false) },
  { name: 'MULX', encodings: ['VEX.F2. 0F 38 F6 Gy,By,Ey'], meaning: multiplyExtended },
  { name: 'RORX', encodings: ['VEX.F2. 0F 3A F0 Gy,Ey,Ib'], meaning: flaglessShift(rotr) },
  { name: 'SHLX', encodings: ['VEX.66. 0F 38 F7 Gy,Ey,By'], meaning: flaglessShift(shl) },
  { name: 'SHRX', encodings: ['VEX.F2. 0F 38 F7 Gy,Ey,By'], meaning: flaglessShift(shrU) },
  { name: 'SARX', encodings: ['VEX.F3. 0F 38 F7 Gy,Ey,By'], meaning: flaglessShift(shrS) },
];

export const bits: InstructionFamily = { rows };
