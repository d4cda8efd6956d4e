// x87 arithmetic, comparison and constants on the register stack and memory operands.
// Owns the rows D8 to DF of those instructions.
// Never moves data out of the x87: see transfer.ts.

import { storeOp, ValueType } from '../../../wasm/opcodes.ts';
import { and, c32, c64, eqz, type Node, or, shrU, signExtendTo64, xor } from '../../builder/nodes.ts';
import { COMPARE_WITHHELD } from '../../float80/comparison.ts';
import { integerValue, widened } from '../../float80/conversion.ts';
import { fsw, type Local, OPERAND_ADDRESS, put, setStatus, signExponentAt } from '../../float80/parts.ts';
import type { Meaning, MemorySize } from '../../semantics/meaning.ts';
import { NEXT } from '../../semantics/x87-stack.ts';
import type { MeaningFunction, Row } from '../row.ts';
import { begin, noteOperand, onStack, positionOf, valueAt } from './common.ts';
import { CONDITIONS, OPERAND } from './stack-access.ts';

/** Kinds of memory operand that arithmetic takes. */
export type OperandFormat = 'F32' | 'F64' | 'I16' | 'I32' | 'I64';

/** A memory operand as a register would have it; denormals are marked (WAS_DENORMAL), and signaling NaNs still are. */
interface MemoryOperand {
  readonly value: readonly [Node, Node];
  /** Puts it into the operand entry, for helpers. */
  toEntry(): void;
}

/** Reads the bits of memory operand 0. */
export function readBits(m: Meaning, format: OperandFormat): Local {
  const linear = m.address(0);
  const bits = m.readMemory(linear, Number(format.slice(1)) as MemorySize);
  noteOperand(m, linear);
  return bits;
}

/** Bits of an integer operand, as the i64 that it stands for. */
export const integerOf = (m: Meaning, format: OperandFormat, bits: Local): Local =>
  m.let(signExtendTo64(Number(format.slice(1)) as 16 | 32 | 64, bits));

/** Reads memory operand 0. */
function readOperand(m: Meaning, format: OperandFormat): MemoryOperand {
  const bits = readBits(m, format);
  const significand = m.local(ValueType.i64);
  const se = m.local(ValueType.i32);
  const set = (s: Node, e: Node): void => {
    m.set(significand, s);
    m.set(se, e);
  };
  if (format === 'F32' || format === 'F64') {
    const { normal, significand: s, signExponent: e } = widened(m, format, bits);
    m.if(
      normal,
      () => set(s, e),
      () => {
        m.helperCall(`f80.from${format}`, bits);
        set(...valueAt(m.let(c32(OPERAND_ADDRESS))));
      },
      true,
    );
  } else {
    const { significand: s, signExponent: e } = integerValue(m, integerOf(m, format, bits));
    set(s, e);
  }
  return { value: [significand, se], toEntry: () => put(m, c32(OPERAND_ADDRESS), significand, se) };
}

const ST0 = c32(0);
const ST1 = c32(1);
const MEMORY = c32(OPERAND);
const yes = c32(1);
const no = c32(0);
const inOrder = <T>(reversed: boolean, a: T, b: T): [T, T] => (reversed ? [b, a] : [a, b]);

interface Binary {
  readonly name: string;
  /** Of f80.* for values and x87.* for the stack. */
  readonly operation: string;
  /** The other operand is the minuend or dividend. */
  readonly reversed: boolean;
  /** reg field in D8, DA, DC and DE with memory, and D8 with registers. */
  readonly digit: number;
}
const binaries: readonly Binary[] = [
  { name: 'FADD', operation: 'add', reversed: false, digit: 0 },
  { name: 'FMUL', operation: 'mul', reversed: false, digit: 1 },
  { name: 'FSUB', operation: 'sub', reversed: false, digit: 4 },
  { name: 'FSUBR', operation: 'sub', reversed: true, digit: 5 },
  { name: 'FDIV', operation: 'div', reversed: false, digit: 6 },
  { name: 'FDIVR', operation: 'div', reversed: true, digit: 7 },
];

/** ST(0) op memory to ST(0). */
const withMemory =
  ({ operation, reversed }: Binary, format: OperandFormat): MeaningFunction =>
  (m) => {
    begin(m);
    m.x87.expect([ST0], false);
    const operand = readOperand(m, format);
    onStack(
      m,
      [ST0],
      () => {
        const p = m.x87.address(ST0);
        const [a, b] = inOrder(reversed, valueAt(p), operand.value);
        m.helperCall(`f80.${operation}`, ...a, ...b, p);
      },
      () => {
        operand.toEntry();
        m.helperCall(`x87.${operation}`, ...inOrder(reversed, ST0, MEMORY), ST0, no);
      },
    );
  };

/** ST(a) op ST(b) to ST(destination), then pops. Positions may be emitted repeatedly. */
function onRegisters(m: Meaning, operation: string, a: Node, b: Node, destination: Node, pops: boolean): void {
  onStack(
    m,
    [a, b],
    () => {
      const values = [...valueAt(m.x87.address(a)), ...valueAt(m.x87.address(b))];
      const stored = m.helper(`f80.${operation}`, ...values, m.x87.address(destination));
      if (pops) m.if(stored, () => m.x87.pop(), undefined, true);
    },
    () => m.helperCall(`x87.${operation}`, a, b, destination, pops ? yes : no),
  );
}

/** ST(0) op ST(i) to ST(0), or ST(i) op ST(0) to ST(i). */
const withRegister =
  ({ operation, reversed }: Binary, toOther: boolean, pops: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    const other = positionOf(m, 0);
    const [destination, source] = inOrder(toOther, ST0, other);
    onRegisters(m, operation, ...inOrder(reversed, destination, source), destination, pops);
  };

const modrm = (digit: number): string => (0xc0 + 8 * digit).toString(16).toUpperCase();

function binaryRows(operation: Binary): Row[] {
  const { name, digit } = operation;
  // With ST(i) as destination the encodings of the plain and the reversed forms are exchanged.
  const swapped = digit < 4 ? digit : digit ^ 1;
  const integer = `FI${name.slice(1)}`;
  return [
    { name: `${name} m32`, encodings: [`D8/${digit} Md`], meaning: withMemory(operation, 'F32') },
    { name: `${name} m64`, encodings: [`DC/${digit} Mq`], meaning: withMemory(operation, 'F64') },
    { name: `${integer} m32`, encodings: [`DA/${digit} Md`], meaning: withMemory(operation, 'I32') },
    { name: `${integer} m16`, encodings: [`DE/${digit} Mw`], meaning: withMemory(operation, 'I16') },
    { name: `${name} ST0,STi`, encodings: [`D8 ${modrm(digit)}+i T`], meaning: withRegister(operation, false, false) },
    { name: `${name} STi,ST0`, encodings: [`DC ${modrm(swapped)}+i T`], meaning: withRegister(operation, true, false) },
    { name: `${name}P`, encodings: [`DE ${modrm(swapped)}+i T`], meaning: withRegister(operation, true, true) },
  ];
}

/** Condition codes of ST(0) compared with a value, and pops. Reads of the value come before anything changes. */
function compareWith(m: Meaning, value: readonly Node[], quiet: boolean, pops: number): void {
  m.x87.clearC1();
  const codes = m.helper('f80.compare', ...valueAt(m.x87.address(ST0)), ...value, quiet ? yes : no);
  setStatus(m, or(and(fsw, c32(~CONDITIONS)), and(codes, c32(CONDITIONS))));
  popUnlessWithheld(m, codes, pops);
}

function popUnlessWithheld(m: Meaning, codes: Node, pops: number): void {
  if (pops === 0) return;
  const withheld = and(codes, c32(COMPARE_WITHHELD));
  m.if(
    eqz(withheld),
    () => {
      for (let n = 0; n < pops; n++) m.x87.pop();
    },
    undefined,
    true,
  );
}

const compareMemory =
  (format: OperandFormat, pops: number): MeaningFunction =>
  (m) => {
    begin(m);
    m.x87.expect([ST0], false);
    const operand = readOperand(m, format);
    onStack(
      m,
      [ST0],
      () => compareWith(m, operand.value, false, pops),
      () => {
        operand.toEntry();
        m.helperCall('x87.compare', MEMORY, no, c32(pops));
      },
    );
  };
const compareStack = (m: Meaning, other: Node, quiet: boolean, pops: number): void =>
  onStack(
    m,
    [ST0, other],
    () => compareWith(m, valueAt(m.x87.address(other)), quiet, pops),
    () => m.helperCall('x87.compare', other, quiet ? yes : no, c32(pops)),
  );
const compareRegister =
  (quiet: boolean, pops: number): MeaningFunction =>
  (m) => {
    begin(m);
    compareStack(m, positionOf(m, 0), quiet, pops);
  };
const compareSecond =
  (quiet: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    compareStack(m, ST1, quiet, 2);
  };
const compareFlags =
  (quiet: boolean, pops: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    const other = positionOf(m, 0);
    const flags = m.local(ValueType.i32);
    onStack(
      m,
      [ST0, other],
      () => {
        const values = [...valueAt(m.x87.address(ST0)), ...valueAt(m.x87.address(other))];
        const codes = m.helper('f80.compare', ...values, quiet ? yes : no);
        popUnlessWithheld(m, codes, pops ? 1 : 0);
        m.set(flags, shrU(and(codes, c32(CONDITIONS)), c32(8)));
      },
      () => m.set(flags, m.helper('x87.compareToFlags', other, quiet ? yes : no, pops ? yes : no)),
    );
    m.setFlagsExplicit(flags);
  };

const comparisonFlags = { written: 'OSZAPC' };
const comparisonRows: readonly Row[] = [
  { name: 'FCOM m32', encodings: ['D8/2 Md'], meaning: compareMemory('F32', 0) },
  { name: 'FCOM m64', encodings: ['DC/2 Mq'], meaning: compareMemory('F64', 0) },
  { name: 'FCOMP m32', encodings: ['D8/3 Md'], meaning: compareMemory('F32', 1) },
  { name: 'FCOMP m64', encodings: ['DC/3 Mq'], meaning: compareMemory('F64', 1) },
  { name: 'FICOM m32', encodings: ['DA/2 Md'], meaning: compareMemory('I32', 0) },
  { name: 'FICOM m16', encodings: ['DE/2 Mw'], meaning: compareMemory('I16', 0) },
  { name: 'FICOMP m32', encodings: ['DA/3 Md'], meaning: compareMemory('I32', 1) },
  { name: 'FICOMP m16', encodings: ['DE/3 Mw'], meaning: compareMemory('I16', 1) },
  // DC D0, DC D8 and DE D0 are the 8087's aliases, which processors still accept.
  { name: 'FCOM', encodings: ['D8 D0+i T', 'DC D0+i T'], meaning: compareRegister(false, 0) },
  { name: 'FCOMP', encodings: ['D8 D8+i T', 'DC D8+i T', 'DE D0+i T'], meaning: compareRegister(false, 1) },
  { name: 'FCOMPP', encodings: ['DE D9'], meaning: compareSecond(false) },
  { name: 'FUCOM', encodings: ['DD E0+i T'], meaning: compareRegister(true, 0) },
  { name: 'FUCOMP', encodings: ['DD E8+i T'], meaning: compareRegister(true, 1) },
  { name: 'FUCOMPP', encodings: ['DA E9'], meaning: compareSecond(true) },
  { name: 'FCOMI', encodings: ['DB F0+i T'], meaning: compareFlags(false, false), flags: comparisonFlags },
  { name: 'FCOMIP', encodings: ['DF F0+i T'], meaning: compareFlags(false, true), flags: comparisonFlags },
  { name: 'FUCOMI', encodings: ['DB E8+i T'], meaning: compareFlags(true, false), flags: comparisonFlags },
  { name: 'FUCOMIP', encodings: ['DF E8+i T'], meaning: compareFlags(true, true), flags: comparisonFlags },
  {
    name: 'FTST',
    encodings: ['D9 E4'],
    meaning(m) {
      begin(m);
      onStack(
        m,
        [ST0],
        () => compareWith(m, [c64(0), no], false, 0),
        () => {
          m.helperCall('f80.fromInteger', c64(0), c32(OPERAND_ADDRESS));
          m.helperCall('x87.compare', MEMORY, no, no);
        },
      );
    },
  },
];

/** What needs the whole stack and is not worth more than a call. */
const helper =
  (name: string, ...args: Node[]): MeaningFunction =>
  (m) => {
    begin(m);
    m.x87.inMemory(() => m.helperCall(name, ...args));
  };

/** FABS and FCHS: what is kept of sign and exponent, and what is inverted. */
const changeSign =
  (kept: number, inverted: number): MeaningFunction =>
  (m) => {
    begin(m);
    onStack(
      m,
      [ST0],
      () => {
        m.x87.clearC1();
        const p = m.x87.address(ST0);
        m.store(storeOp.i32_store, p, xor(and(signExponentAt(p), c32(kept)), c32(inverted)), 8);
      },
      () => m.helperCall('x87.changeSign', c32(kept), c32(inverted)),
    );
  };

const unary =
  (name: string, operation: string): MeaningFunction =>
  (m) => {
    begin(m);
    onStack(
      m,
      [ST0],
      () => {
        m.x87.clearC1();
        const p = m.x87.address(ST0);
        m.helperCall(operation, ...valueAt(p), p);
      },
      () => m.helperCall(name),
    );
  };

const unaryRows: readonly Row[] = [
  { name: 'FCHS', encodings: ['D9 E0'], meaning: changeSign(0xffff, 0x8000) },
  { name: 'FABS', encodings: ['D9 E1'], meaning: changeSign(0x7fff, 0) },
  { name: 'FXAM', encodings: ['D9 E5'], meaning: helper('x87.examine') },
  { name: 'FXTRACT', encodings: ['D9 F4'], meaning: helper('x87.extract') },
  { name: 'FPREM1', encodings: ['D9 F5'], meaning: helper('x87.rem', yes) },
  { name: 'FPREM', encodings: ['D9 F8'], meaning: helper('x87.rem', no) },
  { name: 'FSQRT', encodings: ['D9 FA'], meaning: unary('x87.sqrt', 'f80.sqrt') },
  { name: 'FRNDINT', encodings: ['D9 FC'], meaning: unary('x87.round', 'f80.roundToInteger') },
  {
    name: 'FSCALE',
    encodings: ['D9 FD'],
    meaning(m) {
      begin(m);
      onRegisters(m, 'scale', ST0, ST1, ST0, false);
    },
  },
];

/** (name, ModRM, significand truncated, sign and exponent, whether nearest rounds up); all but 1 and 0 are inexact. */
const constants: readonly (readonly [string, string, bigint, number, boolean])[] = [
  ['FLD1', 'E8', 0x8000000000000000n, 0x3fff, false],
  ['FLDL2T', 'E9', 0xd49a784bcd1b8afen, 0x4000, false],
  ['FLDL2E', 'EA', 0xb8aa3b295c17f0bbn, 0x3fff, true],
  ['FLDPI', 'EB', 0xc90fdaa22168c234n, 0x4000, true],
  ['FLDLG2', 'EC', 0x9a209a84fbcff798n, 0x3ffd, true],
  ['FLDLN2', 'ED', 0xb17217f7d1cf79abn, 0x3ffe, true],
  ['FLDZ', 'EE', 0n, 0, false],
];
const constantRows = constants.map(([name, byte, significand, se, up]): Row => {
  const inexact = (significand & 0x7fffffffffffffffn) !== 0n;
  return {
    name,
    encodings: [`D9 ${byte}`],
    meaning(m) {
      begin(m);
      const pushed = c64(significand);
      onStack(
        m,
        [],
        () => {
          m.x87.clearC1();
          const rounded = inexact ? m.helper('f80.roundConstant', pushed, up ? yes : no) : pushed;
          put(m, m.x87.address(NEXT), rounded, c32(se));
          m.x87.push();
        },
        () => m.helperCall('x87.pushConstant', pushed, c32(se), up ? yes : no, inexact ? yes : no),
        true,
      );
    },
  };
});

export const arithmeticRows: readonly Row[] = [
  ...binaries.flatMap(binaryRows),
  ...comparisonRows,
  ...unaryRows,
  ...constantRows,
];
