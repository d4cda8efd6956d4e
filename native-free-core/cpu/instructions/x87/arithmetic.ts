// x87 arithmetic, comparison and constants on the register stack and memory operands.
// Owns the rows D8 to DF of those instructions.
// Never moves data out of the x87: see transfer.ts.

import { c32, c64, type Node, signExtendTo64 } from '../../builder/nodes.ts';
import { OPERAND_ADDRESS } from '../../float80/parts.ts';
import type { Meaning, MemorySize } from '../../semantics/meaning.ts';
import type { MeaningFunction, Row } from '../row.ts';
import { begin, noteOperand } from './common.ts';
import { OPERAND } from './stack-access.ts';

/** Kinds of memory operand that arithmetic takes. */
export type OperandFormat = 'F32' | 'F64' | 'I16' | 'I32' | 'I64';

/** Reads memory operand 0 into the operand entry, as its value in 80 bits. */
export function readOperand(m: Meaning, format: OperandFormat): void {
  const size = Number(format.slice(1)) as MemorySize;
  const linear = m.address(0);
  const value = m.readMemory(linear, size);
  noteOperand(m, linear);
  if (format === 'F32' || format === 'F64') m.helperCall(`f80.from${format}`, value);
  else m.helperCall('f80.fromInteger', signExtendTo64(size as 16 | 32 | 64, value), c32(OPERAND_ADDRESS));
}

const ST0 = c32(0);
const MEMORY = c32(OPERAND);
const yes = c32(1);
const no = c32(0);

interface Binary {
  readonly name: string;
  readonly helper: string;
  /** The other operand is the minuend or dividend. */
  readonly reversed: boolean;
  /** reg field in D8, DA, DC and DE with memory, and D8 with registers. */
  readonly digit: number;
}
const binaries: readonly Binary[] = [
  { name: 'FADD', helper: 'x87.add', reversed: false, digit: 0 },
  { name: 'FMUL', helper: 'x87.mul', reversed: false, digit: 1 },
  { name: 'FSUB', helper: 'x87.sub', reversed: false, digit: 4 },
  { name: 'FSUBR', helper: 'x87.sub', reversed: true, digit: 5 },
  { name: 'FDIV', helper: 'x87.div', reversed: false, digit: 6 },
  { name: 'FDIVR', helper: 'x87.div', reversed: true, digit: 7 },
];

const withMemory =
  ({ helper, reversed }: Binary, format: OperandFormat): MeaningFunction =>
  (m) => {
    begin(m);
    readOperand(m, format);
    m.helperCall(helper, reversed ? MEMORY : ST0, reversed ? ST0 : MEMORY, ST0, no);
  };

/** ST(0) op ST(i) to ST(0), or ST(i) op ST(0) to ST(i). */
const withRegister =
  ({ helper, reversed }: Binary, toOther: boolean, pops: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    const other = m.let(m.registerNumber(0));
    const destination: Node = toOther ? other : ST0;
    const source: Node = toOther ? ST0 : other;
    m.helperCall(
      helper,
      reversed ? source : destination,
      reversed ? destination : source,
      destination,
      pops ? yes : no,
    );
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

const compareMemory =
  (format: OperandFormat, pops: number): MeaningFunction =>
  (m) => {
    begin(m);
    readOperand(m, format);
    m.helperCall('x87.compare', MEMORY, no, c32(pops));
  };
const compareRegister =
  (quiet: boolean, pops: number): MeaningFunction =>
  (m) => {
    begin(m);
    m.helperCall('x87.compare', m.registerNumber(0), quiet ? yes : no, c32(pops));
  };
const compareSecond =
  (quiet: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    m.helperCall('x87.compare', c32(1), quiet ? yes : no, c32(2));
  };
const compareFlags =
  (quiet: boolean, pops: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    m.setFlagsExplicit(m.helper('x87.compareToFlags', m.registerNumber(0), quiet ? yes : no, pops ? yes : no));
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
      m.helperCall('f80.fromInteger', c64(0), c32(OPERAND_ADDRESS));
      m.helperCall('x87.compare', MEMORY, no, no);
    },
  },
];

const helper =
  (name: string, ...args: Node[]): MeaningFunction =>
  (m) => {
    begin(m);
    m.helperCall(name, ...args);
  };

const unaryRows: readonly Row[] = [
  { name: 'FCHS', encodings: ['D9 E0'], meaning: helper('x87.changeSign', c32(0xffff), c32(0x8000)) },
  { name: 'FABS', encodings: ['D9 E1'], meaning: helper('x87.changeSign', c32(0x7fff), no) },
  { name: 'FXAM', encodings: ['D9 E5'], meaning: helper('x87.examine') },
  { name: 'FXTRACT', encodings: ['D9 F4'], meaning: helper('x87.extract') },
  { name: 'FPREM1', encodings: ['D9 F5'], meaning: helper('x87.rem', yes) },
  { name: 'FPREM', encodings: ['D9 F8'], meaning: helper('x87.rem', no) },
  { name: 'FSQRT', encodings: ['D9 FA'], meaning: helper('x87.sqrt') },
  { name: 'FRNDINT', encodings: ['D9 FC'], meaning: helper('x87.round') },
  { name: 'FSCALE', encodings: ['D9 FD'], meaning: helper('x87.scale', ST0, c32(1), ST0, no) },
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
    meaning: helper('x87.pushConstant', c64(significand), c32(se), up ? yes : no, inexact ? yes : no),
  };
});

export const arithmeticRows: readonly Row[] = [
  ...binaries.flatMap(binaryRows),
  ...comparisonRows,
  ...unaryRows,
  ...constantRows,
];
