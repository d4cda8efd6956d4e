// Integer arithmetic and logic: the eight ALU operations, INC to IDIV, CMPXCHG and XADD, decimal adjust.
// Owns the rows and meanings of that family.
// Never touches bits and shifts (bits.ts) or strings (strings.ts).

import { ValueType } from '../../wasm/opcodes.ts';
import {
  add,
  and,
  asSize,
  c32,
  c64,
  constLike,
  divS,
  divU,
  eq,
  eqz,
  extendS,
  extendU,
  geU,
  gtU,
  ltU,
  mul,
  type Node,
  ne,
  neg,
  not,
  or,
  remS,
  remU,
  select,
  shl,
  shrS,
  shrU,
  signExtend,
  sub,
  wrap,
  xor,
  zeroExtend,
} from '../builder/nodes.ts';
import { FlagKind, parityOf } from '../semantics/flags.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { multiplyWide } from '../semantics/multiply.ts';
import { Flag, Vector } from '../state.ts';
import type { InstructionFamily, Row } from './row.ts';

const { i32, i64 } = ValueType;

/** Encodings of one of the eight ALU operations: opcode 8n to 8n+5 and groups 80, 81, 83. */
function aluEncodings(n: number, lock: string): string[] {
  const byte = (offset: number): string => (n * 8 + offset).toString(16).toUpperCase().padStart(2, '0');
  return [
    `${byte(0)} Eb,Gb ${lock}`,
    `${byte(1)} Ev,Gv ${lock}`,
    `${byte(2)} Gb,Eb`,
    `${byte(3)} Gv,Ev`,
    `${byte(4)} AL,Ib`,
    `${byte(5)} rAX,Iz`,
    `80/${n} Eb,Ib ${lock}`,
    `82/${n} Eb,Ib ${lock} :no64`,
    `81/${n} Ev,Iz ${lock}`,
    `83/${n} Ev,Ibs ${lock}`,
  ].map((text) => text.trim());
}

const ALL = 'OSZAPC';
const LOGIC_FLAGS = { written: ALL, undefined: 'A' };

function addition(m: Meaning): void {
  const b = m.let(m.read(1));
  m.modify(0, (a) => {
    m.setFlags(FlagKind.add, a, b);
    return add(a, b);
  });
}

function additionWithCarry(m: Meaning): void {
  const b = m.let(m.read(1));
  const carry = m.let(m.flag('cf'));
  m.modify(0, (a) => {
    m.setFlagsWithCarry(FlagKind.add, a, b, carry);
    return add(add(a, b), asSize(m.size, carry));
  });
}

function subtraction(m: Meaning): void {
  const b = m.let(m.read(1));
  m.modify(0, (a) => {
    m.setFlags(FlagKind.sub, a, b);
    return sub(a, b);
  });
}

function subtractionWithBorrow(m: Meaning): void {
  const b = m.let(m.read(1));
  const carry = m.let(m.flag('cf'));
  m.modify(0, (a) => {
    m.setFlagsWithCarry(FlagKind.sub, a, b, carry);
    return sub(sub(a, b), asSize(m.size, carry));
  });
}

function logic(operation: (a: Node, b: Node) => Node) {
  return (m: Meaning): void => {
    const b = m.let(m.read(1));
    m.modify(0, (a) => {
      const result = m.let(operation(a, b));
      m.setFlagsLogic(result);
      return result;
    });
  };
}

function compare(m: Meaning): void {
  const a = m.let(m.read(0));
  const b = m.let(m.read(1));
  m.setFlags(FlagKind.sub, a, b);
}

function test(m: Meaning): void {
  const a = m.let(m.read(0));
  m.setFlagsLogic(m.let(and(a, m.read(1))));
}

function step(kind: typeof FlagKind.increment | typeof FlagKind.decrement) {
  return (m: Meaning): void => {
    const carry = m.let(m.flag('cf'));
    m.modify(0, (a) => {
      const one = constLike(a, 1);
      const result = m.let(kind === FlagKind.increment ? add(a, one) : sub(a, one));
      m.setFlags(kind, result, c32(0));
      m.setFlagsOperandB(extendU(carry));
      return result;
    });
  };
}

function negate(m: Meaning): void {
  m.modify(0, (a) => {
    m.setFlags(FlagKind.sub, constLike(a, 0), a);
    return neg(a);
  });
}

/** High half of the signed product, from the unsigned one: less b where a is negative, less a where b is. */
function signedHigh(m: Meaning, a: Node, b: Node, high: Node): Node {
  return m.let(sub(sub(high, and(shrS(a, c64(63)), b)), and(shrS(b, c64(63)), a)));
}

/** MUL and one-operand IMUL. */
function multiplyAccumulator(signed: boolean) {
  return (m: Meaning): void => {
    const size = m.size;
    const source = m.let(m.read(0));
    const rax = m.let(m.getReg(0, size));
    if (size === 64) {
      const [low, unsignedHigh] = multiplyWide(m, rax, source);
      const high = signed ? signedHigh(m, rax, source, unsignedHigh) : unsignedHigh;
      m.setReg(0, 64, low);
      m.setReg(2, 64, high);
      const overflow = signed ? ne(high, shrS(low, c64(63))) : ne(high, c64(0));
      m.setFlags(FlagKind.multiply, low, c64(0));
      m.setFlagsOperandB(extendU(overflow));
      return;
    }
    const wide = (value: Node): Node => (signed ? extendS(signExtend(size, value)) : extendU(value));
    const product = m.let(mul(wide(rax), wide(source)));
    const low = m.let(wrap(product));
    if (size === 8) {
      m.setReg(0, 16, low);
    } else {
      m.setReg(0, size, low);
      m.setReg(2, size, wrap(shrU(product, c64(size))));
    }
    const fits = signed ? extendS(signExtend(size, low)) : extendU(zeroExtend(size, low));
    m.setFlags(FlagKind.multiply, low, c32(0));
    m.setFlagsOperandB(extendU(ne(product, fits)));
  };
}

/** IMUL with two or three operands: destination 0, sources `first` and `second`. */
function multiplySigned(first: number, second: number) {
  return (m: Meaning): void => {
    const size = m.size;
    const a = m.let(m.read(first));
    const b = m.let(m.read(second));
    if (size === 64) {
      const [low, unsignedHigh] = multiplyWide(m, a, b);
      const high = signedHigh(m, a, b, unsignedHigh);
      m.write(0, low);
      m.setFlags(FlagKind.multiply, low, c64(0));
      m.setFlagsOperandB(extendU(ne(high, shrS(low, c64(63)))));
      return;
    }
    const product = m.let(mul(extendS(signExtend(size, a)), extendS(signExtend(size, b))));
    const low = m.let(wrap(product));
    m.write(0, low);
    m.setFlags(FlagKind.multiply, low, c32(0));
    m.setFlagsOperandB(extendU(ne(product, extendS(signExtend(size, low)))));
  };
}

function divide(signed: boolean) {
  return (m: Meaning): void => {
    const size = m.size;
    const divisor = m.let(m.read(0));
    m.raiseIf(eqz(divisor), Vector.divideError);
    if (size === 64) {
      divideWide(m, signed, divisor);
      return;
    }
    const type = size === 32 ? i64 : i32;
    const dividend = m.local(type);
    if (size === 8) m.set(dividend, signed ? signExtend(16, m.getReg(0, 16)) : m.getReg(0, 16));
    else if (size === 16) m.set(dividend, or(shl(m.getReg(2, 16), c32(16)), m.getReg(0, 16)));
    else m.set(dividend, or(shl(extendU(m.getReg(2, 32)), c64(32)), extendU(m.getReg(0, 32))));
    const by = m.let(
      size === 32 ? (signed ? extendS(divisor) : extendU(divisor)) : signed ? signExtend(size, divisor) : divisor,
    );
    if (signed) {
      // The one quotient that WebAssembly's division traps on; it overflows here as well.
      const lowest = size === 32 ? c64(-0x8000000000000000n) : c32(-0x80000000);
      m.raiseIf(and(eq(by, constLike(by, -1)), eq(dividend, lowest)), Vector.divideError);
    }
    const quotient = m.let(signed ? divS(dividend, by) : divU(dividend, by));
    const narrow = m.let(wrap(quotient));
    const fits = signed ? signExtend(size, narrow) : zeroExtend(size, narrow);
    const back = size === 32 ? (signed ? extendS(narrow) : extendU(narrow)) : fits;
    m.raiseIf(ne(quotient, back), Vector.divideError);
    const remainder = m.let(wrap(signed ? remS(dividend, by) : remU(dividend, by)));
    if (size === 8) {
      m.setReg(0, 16, or(and(narrow, c32(0xff)), shl(and(remainder, c32(0xff)), c32(8))));
    } else {
      m.setReg(0, size, narrow);
      m.setReg(2, size, remainder);
    }
  };
}

/** RDX:RAX by a 64-bit divisor: native where the dividend fits 64 bits, else one bit at a time. */
function divideWide(m: Meaning, signed: boolean, divisor: Node): void {
  const high = m.let(m.getReg(2, 64));
  const low = m.let(m.getReg(0, 64));
  const negative = m.local(i32);
  const divisorNegative = m.local(i32);
  const by = m.let(divisor);
  if (signed) {
    m.set(negative, wrap(shrU(high, c64(63))));
    m.set(divisorNegative, wrap(shrU(by, c64(63))));
    m.if(negative, () => {
      const borrow = m.let(extendU(ne(low, c64(0))));
      m.set(low, sub(c64(0), low));
      m.set(high, sub(sub(c64(0), high), borrow));
    });
    m.if(divisorNegative, () => m.set(by, sub(c64(0), by)));
  }
  m.raiseIf(geU(high, by), Vector.divideError);
  const quotient = m.local(i64);
  const remainder = m.local(i64);
  m.if(
    eqz(high),
    () => {
      m.set(quotient, divU(low, by));
      m.set(remainder, remU(low, by));
    },
    () => {
      // Restoring division; `high` stays below the divisor, so one bit of carry is all that can be lost.
      const count = m.let(c32(64));
      m.set(quotient, low);
      m.set(remainder, high);
      m.loop((again) => {
        const carry = m.let(shrU(remainder, c64(63)));
        m.set(remainder, or(shl(remainder, c64(1)), shrU(quotient, c64(63))));
        m.set(quotient, shl(quotient, c64(1)));
        m.if(or(wrap(carry), geU(remainder, by)), () => {
          m.set(remainder, sub(remainder, by));
          m.set(quotient, or(quotient, c64(1)));
        });
        m.set(count, sub(count, c32(1)));
        m.brIf(again, count);
      });
    },
  );
  if (signed) {
    const differ = m.let(xor(negative, divisorNegative));
    const limit = add(c64(0x7fffffffffffffffn), extendU(differ));
    m.raiseIf(gtU(quotient, limit), Vector.divideError);
    m.if(differ, () => m.set(quotient, sub(c64(0), quotient)));
    m.if(negative, () => m.set(remainder, sub(c64(0), remainder)));
  }
  m.setReg(0, 64, quotient);
  m.setReg(2, 64, remainder);
}

function compareExchange(m: Meaning): void {
  const size = m.size;
  const source = m.let(m.read(1));
  const expected = m.let(m.getReg(0, size));
  const seen = m.local(size === 64 ? i64 : i32);
  if (m.operands[0].kind === 'reg') {
    // A register keeps its upper half when the comparison fails: it is not written.
    m.set(seen, m.read(0));
    m.if(eq(seen, expected), () => m.write(0, source));
  } else {
    // Memory is written in either case, with what it holds when the comparison fails.
    m.modify(0, (old) => {
      m.set(seen, old);
      return select(eq(seen, expected), source, seen);
    });
  }
  m.if(ne(seen, expected), () => m.setReg(0, size, seen));
  m.setFlags(FlagKind.sub, expected, seen);
}

/** CMPXCHG8B and CMPXCHG16B: the operand's halves against EDX:EAX or RDX:RAX. */
function compareExchangePair(m: Meaning): void {
  if (m.size === 64) {
    const linear = m.address(0);
    m.requireAlignment(linear, 16);
    const upper = m.let(add(linear, c64(8)));
    const low = m.beginWrite(linear, 64);
    const high = m.beginWrite(upper, 64);
    const same = m.let(and(eq(low.value, m.getReg(0, 64)), eq(high.value, m.getReg(2, 64))));
    m.finishWrite(low.target, m.let(select(same, m.getReg(3, 64), low.value)));
    m.finishWrite(high.target, m.let(select(same, m.getReg(1, 64), high.value)));
    m.if(eqz(same), () => {
      m.setReg(0, 64, low.value);
      m.setReg(2, 64, high.value);
    });
    m.updateFlags(Flag.zf, shl(same, c32(6)));
    return;
  }
  const { target, value } = m.beginWrite(m.address(0), 64);
  const pair = (high: number, low: number): Node =>
    or(shl(extendU(m.getReg(high, 32)), c64(32)), extendU(m.getReg(low, 32)));
  const same = m.let(eq(value, pair(2, 0)));
  m.finishWrite(target, m.let(select(same, pair(1, 3), value)));
  m.if(eqz(same), () => {
    m.setReg(0, 32, wrap(value));
    m.setReg(2, 32, wrap(shrU(value, c64(32))));
  });
  m.updateFlags(Flag.zf, shl(same, c32(6)));
}

function exchangeAdd(m: Meaning): void {
  const b = m.let(m.read(1));
  const seen = m.local(m.size === 64 ? i64 : i32);
  const sum = m.local(m.size === 64 ? i64 : i32);
  if (m.operands[0].kind === 'mem') {
    const { target, value } = m.beginWrite(m.address(0), m.size);
    m.set(seen, value);
    m.set(sum, add(seen, b));
    m.finishWrite(target, sum);
    m.write(1, seen);
  } else {
    m.set(seen, m.read(0));
    m.set(sum, add(seen, b));
    m.write(1, seen);
    m.write(0, sum);
  }
  m.setFlags(FlagKind.add, seen, b);
}

/** SF, ZF and PF of AL with the CF and AF given: what decimal adjusts leave. */
function decimalFlags(m: Meaning, al: Node, carry: Node, adjust: Node): void {
  const sign = and(al, c32(0x80));
  const zero = shl(eqz(and(al, c32(0xff))), c32(6));
  m.setFlagsExplicit(or(or(or(carry, shl(adjust, c32(4))), or(sign, zero)), shl(parityOf(al), c32(2))));
}

function decimalAdjust(subtract: boolean) {
  return (m: Meaning): void => {
    const old = m.let(m.getReg(0, 8));
    const carryIn = m.let(m.flag('cf'));
    const adjust = m.let(or(gtU(and(old, c32(15)), c32(9)), m.flag('af')));
    const al = m.let(old);
    const carry = m.let(or(carryIn, gtU(old, c32(0x99))));
    const by = (amount: number): Node => (subtract ? sub(al, c32(amount)) : add(al, c32(amount)));
    // DAS also carries when the low digit's adjustment borrows past the byte.
    const flagged = subtract ? m.let(or(carry, and(adjust, or(carryIn, ltU(old, c32(6)))))) : carry;
    m.if(adjust, () => m.set(al, by(6)));
    m.if(carry, () => m.set(al, by(0x60)));
    m.set(al, and(al, c32(0xff)));
    m.setReg(0, 8, al);
    decimalFlags(m, al, flagged, adjust);
  };
}

function asciiAdjust(subtract: boolean) {
  return (m: Meaning): void => {
    const ax = m.let(m.getReg(0, 16));
    const adjust = m.let(or(gtU(and(ax, c32(15)), c32(9)), m.flag('af')));
    m.if(adjust, () => m.set(ax, subtract ? sub(ax, c32(0x106)) : add(ax, c32(0x106))));
    m.setReg(0, 16, and(ax, c32(0xff0f)));
    decimalFlags(m, m.let(and(ax, c32(15))), adjust, adjust);
  };
}

function asciiMultiply(m: Meaning): void {
  const base = m.let(m.immediate(0, 8));
  const by = m.let(and(base, c32(0xff)));
  m.raiseIf(eqz(by), Vector.divideError);
  const al = m.let(m.getReg(0, 8));
  const low = m.let(remU(al, by));
  m.setReg(0, 16, or(shl(divU(al, by), c32(8)), low));
  m.setFlagsLogic(low, 8);
}

function asciiDivide(m: Meaning): void {
  const ax = m.let(m.getReg(0, 16));
  const al = m.let(and(add(ax, mul(shrU(ax, c32(8)), m.immediate(0, 8))), c32(0xff)));
  m.setReg(0, 16, al);
  m.setFlagsLogic(al, 8);
}

/** ADCX and ADOX: addition through one flag alone. */
function additionThrough(flag: 'cf' | 'of', mask: number, place: number) {
  return (m: Meaning): void => {
    const a = m.let(m.read(0));
    const b = m.let(m.read(1));
    const carry = m.let(m.flag(flag));
    const partial = m.let(add(a, b));
    const sum = m.let(add(partial, asSize(m.size, carry)));
    const out = m.let(or(ltU(partial, a), ltU(sum, partial)));
    m.write(0, sum);
    m.updateFlags(mask, shl(out, c32(place)));
  };
}

const alu = (name: string, n: number, meaning: (m: Meaning) => void, flags: Row['flags'], lock = ':lock'): Row => ({
  name,
  encodings: aluEncodings(n, lock),
  meaning,
  ...(flags ? { flags } : {}),
});

const rows: Row[] = [
  alu('ADD', 0, addition, { written: ALL }),
  alu('OR', 1, logic(or), LOGIC_FLAGS),
  alu('ADC', 2, additionWithCarry, { read: 'C', written: ALL }),
  alu('SBB', 3, subtractionWithBorrow, { read: 'C', written: ALL }),
  alu('AND', 4, logic(and), LOGIC_FLAGS),
  alu('SUB', 5, subtraction, { written: ALL }),
  alu('XOR', 6, logic(xor), LOGIC_FLAGS),
  alu('CMP', 7, compare, { written: ALL }, ''),
  {
    name: 'TEST',
    encodings: [
      '84 Eb,Gb',
      '85 Ev,Gv',
      'A8 AL,Ib',
      'A9 rAX,Iz',
      'F6/0 Eb,Ib',
      'F6/1 Eb,Ib',
      'F7/0 Ev,Iz',
      'F7/1 Ev,Iz',
    ],
    meaning: test,
    flags: LOGIC_FLAGS,
  },
  {
    name: 'INC',
    encodings: ['FE/0 Eb :lock', 'FF/0 Ev :lock', '40+r Zv :no64'],
    meaning: step(FlagKind.increment),
    flags: { read: 'C', written: 'OSZAPC' },
  },
  {
    name: 'DEC',
    encodings: ['FE/1 Eb :lock', 'FF/1 Ev :lock', '48+r Zv :no64'],
    meaning: step(FlagKind.decrement),
    flags: { read: 'C', written: 'OSZAPC' },
  },
  {
    name: 'NOT',
    encodings: ['F6/2 Eb :lock', 'F7/2 Ev :lock'],
    meaning: (m) => m.modify(0, not),
  },
  { name: 'NEG', encodings: ['F6/3 Eb :lock', 'F7/3 Ev :lock'], meaning: negate, flags: { written: ALL } },
  {
    name: 'MUL',
    encodings: ['F6/4 Eb', 'F7/4 Ev'],
    meaning: multiplyAccumulator(false),
    flags: { written: ALL, undefined: 'SZAP' },
  },
  {
    name: 'IMUL',
    encodings: ['F6/5 Eb', 'F7/5 Ev'],
    meaning: multiplyAccumulator(true),
    flags: { written: ALL, undefined: 'SZAP' },
  },
  {
    name: 'IMUL2',
    encodings: ['0F AF Gv,Ev'],
    meaning: multiplySigned(0, 1),
    flags: { written: ALL, undefined: 'SZAP' },
  },
  {
    name: 'IMUL3',
    encodings: ['69 Gv,Ev,Iz', '6B Gv,Ev,Ibs'],
    meaning: multiplySigned(1, 2),
    flags: { written: ALL, undefined: 'SZAP' },
  },
  { name: 'DIV', encodings: ['F6/6 Eb', 'F7/6 Ev'], meaning: divide(false), flags: { undefined: ALL } },
  { name: 'IDIV', encodings: ['F6/7 Eb', 'F7/7 Ev'], meaning: divide(true), flags: { undefined: ALL } },
  {
    name: 'CMPXCHG',
    encodings: ['0F B0 Eb,Gb :lock', '0F B1 Ev,Gv :lock'],
    meaning: compareExchange,
    flags: { written: ALL },
  },
  {
    name: 'CMPXCHG8B',
    encodings: ['0F C7/1 My :lock'],
    meaning: compareExchangePair,
    flags: { written: 'Z' },
  },
  {
    name: 'XADD',
    encodings: ['0F C0 Eb,Gb :lock', '0F C1 Ev,Gv :lock'],
    meaning: exchangeAdd,
    flags: { written: ALL },
  },
  {
    name: 'ADCX',
    encodings: ['66. 0F 38 F6 Gy,Ey'],
    meaning: additionThrough('cf', Flag.cf, 0),
    flags: { read: 'C', written: 'C' },
  },
  {
    name: 'ADOX',
    encodings: ['F3. 0F 38 F6 Gy,Ey'],
    meaning: additionThrough('of', Flag.of, 11),
    flags: { read: 'O', written: 'O' },
  },
  {
    name: 'DAA',
    encodings: ['27 :no64 :b'],
    meaning: decimalAdjust(false),
    flags: { read: 'CA', written: ALL, undefined: 'O' },
  },
  {
    name: 'DAS',
    encodings: ['2F :no64 :b'],
    meaning: decimalAdjust(true),
    flags: { read: 'CA', written: ALL, undefined: 'O' },
  },
  {
    name: 'AAA',
    encodings: ['37 :no64 :b'],
    meaning: asciiAdjust(false),
    flags: { read: 'A', written: ALL, undefined: 'OSZP' },
  },
  {
    name: 'AAS',
    encodings: ['3F :no64 :b'],
    meaning: asciiAdjust(true),
    flags: { read: 'A', written: ALL, undefined: 'OSZP' },
  },
  { name: 'AAM', encodings: ['D4 Ib :no64 :b'], meaning: asciiMultiply, flags: { written: ALL, undefined: 'OAC' } },
  { name: 'AAD', encodings: ['D5 Ib :no64 :b'], meaning: asciiDivide, flags: { written: ALL, undefined: 'OAC' } },
];

export const arithmetic: InstructionFamily = { rows };
