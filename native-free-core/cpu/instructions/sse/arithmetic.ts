// SSE float arithmetic: ADD, SUB, MUL, DIV, SQRT, MIN, MAX, RCP, RSQRT, HADD, HSUB, ADDSUB, DPP, ROUND.
// Owns the fast paths: one WebAssembly operation and one test of its result.
// Never decides a special case: the helpers of soft-arithmetic.ts do, whenever the test fails or MXCSR asks for it.
//
// What the test lets through without a helper, once PE is set in MXCSR: a finite sum, difference or root; a product or
// quotient whose magnitude is finite and above the smallest normal number. Those raise nothing but PE (set already) and
// DE, which is seen exactly until PE is set and after that only where the result is not ordinary: nothing reads DE.

import {
  and,
  c32,
  cv64x2,
  extract,
  type Node,
  op,
  or,
  pure,
  replace,
  select,
  shrU,
  shuffle,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import { S } from '../../state.ts';
import type { Row } from '../row.ts';
import {
  allFinite,
  allOrdinary,
  bitsOf,
  every,
  F32,
  FORMATS,
  type Format,
  fromBits,
  guarded,
  isFiniteScalar,
  isOrdinary,
  keep,
  knownByte,
  laneMask,
  lanesOrdinary,
  packedOp,
  readScalar,
  row,
  scalarOp,
} from './common.ts';

/** Which results need no second look. */
type Check = 'finite' | 'ordinary';

const packedCheck =
  (format: Format, check: Check) =>
  (result: Node): Node =>
    check === 'finite' ? allFinite(format, result) : allOrdinary(format, result);
const scalarCheck =
  (format: Format, check: Check) =>
  (result: Node): Node =>
    check === 'finite' ? isFiniteScalar(format, result) : isOrdinary(format, result);

function binary(name: string, opcode: string, check: Check): Row[] {
  const lower = name.toLowerCase();
  return FORMATS.flatMap((format) => [
    row(`${name}${format.packed}`, `${format.packedPrefix} 0F ${opcode} Vo,Wo`, (m) => {
      const b = m.let(m.readVector(1, true));
      const a = m.let(m.readVector(0));
      const helper = `sse.${lower}${format.packed.toLowerCase()}`;
      const fast = pure(packedOp(format, lower), a, b);
      m.writeVector(
        0,
        guarded(m, fast, packedCheck(format, check), () => m.helper(helper, a, b)),
      );
    }),
    row(`${name}${format.single}`, `${format.scalarPrefix} 0F ${opcode} Vo,W${format.width}`, (m) => {
      const b = m.let(readScalar(m, 1, format));
      const vector = m.let(m.readVector(0));
      const a = extract(format.lane, 0, vector);
      const result = guarded(m, pure(scalarOp(format, lower), a, b), scalarCheck(format, check), () =>
        fromBits(format, m.helper(`sse.${lower}${format.bits}`, bitsOf(format, a), bitsOf(format, b))),
      );
      m.writeVector(0, replace(format.lane, 0, vector, result));
    }),
  ]);
}

function squareRoots(): Row[] {
  return FORMATS.flatMap((format) => [
    row(`SQRT${format.packed}`, `${format.packedPrefix} 0F 51 Vo,Wo`, (m) => {
      const b = m.let(m.readVector(1, true));
      const fast = pure(packedOp(format, 'sqrt'), b);
      const helper = `sse.sqrt${format.packed.toLowerCase()}`;
      m.writeVector(
        0,
        guarded(m, fast, packedCheck(format, 'finite'), () => m.helper(helper, b)),
      );
    }),
    row(`SQRT${format.single}`, `${format.scalarPrefix} 0F 51 Vo,W${format.width}`, (m) => {
      const b = m.let(readScalar(m, 1, format));
      const result = guarded(m, pure(scalarOp(format, 'sqrt'), b), scalarCheck(format, 'finite'), () =>
        fromBits(format, m.helper(`sse.sqrt${format.bits}`, bitsOf(format, b))),
      );
      m.writeVector(0, replace(format.lane, 0, m.readVector(0), result));
    }),
  ]);
}

/** MIN and MAX give the second operand when either is a NaN or both are zeros: WebAssembly's pmin and pmax, swapped. */
function extremes(name: 'MIN' | 'MAX', opcode: string): Row[] {
  const lower = name.toLowerCase();
  return FORMATS.flatMap((format) => [
    row(`${name}${format.packed}`, `${format.packedPrefix} 0F ${opcode} Vo,Wo`, (m) => {
      const b = m.let(m.readVector(1, true));
      const a = m.let(m.readVector(0));
      const ordered = every(
        format,
        pure(op.v128_and, pure(packedOp(format, 'eq'), a, a), pure(packedOp(format, 'eq'), b, b)),
      );
      const helper = `sse.${lower}${format.packed.toLowerCase()}`;
      m.writeVector(
        0,
        guarded(
          m,
          pure(packedOp(format, `p${lower}`), b, a),
          () => ordered,
          () => m.helper(helper, a, b),
        ),
      );
    }),
    row(`${name}${format.single}`, `${format.scalarPrefix} 0F ${opcode} Vo,W${format.width}`, (m) => {
      const b = m.let(readScalar(m, 1, format));
      const vector = m.let(m.readVector(0));
      const a = m.let(extract(format.lane, 0, vector));
      const ordered = and(pure(scalarOp(format, 'eq'), a, a), pure(scalarOp(format, 'eq'), b, b));
      const first = pure(scalarOp(format, name === 'MIN' ? 'lt' : 'gt'), a, b);
      const result = guarded(
        m,
        select(first, a, b),
        () => ordered,
        () => fromBits(format, m.helper(`sse.${lower}${format.bits}`, bitsOf(format, a), bitsOf(format, b))),
      );
      m.writeVector(0, replace(format.lane, 0, vector, result));
    }),
  ]);
}

/** RCP and RSQRT: approximations without flags. */
function approximations(name: string, opcode: string): Row[] {
  const lower = name.toLowerCase();
  return [
    row(`${name}PS`, `NP. 0F ${opcode} Vo,Wo`, (m) => {
      m.writeVector(0, m.helper(`sse.${lower}ps`, m.readVector(1, true)));
    }),
    row(`${name}SS`, `F3. 0F ${opcode} Vo,Wd`, (m) => {
      const bits = bitsOf(F32, readScalar(m, 1, F32));
      const result = m.helper(`sse.${lower}`, bits);
      m.writeVector(0, replace('i32', 0, m.readVector(0), pure(op.i32_wrap_i64, result)));
    }),
  ];
}

/** Even and odd lanes of two vectors, a's before b's. */
function unzip(format: Format, a: Node, b: Node, odd: 0 | 1): Node {
  const bytes = format.bits / 8;
  const lanes: number[] = [];
  for (let from = odd * bytes; from < 32; from += 2 * bytes)
    for (let byte = 0; byte < bytes; byte++) lanes.push(from + byte);
  return shuffle(a, b, lanes);
}

/** HADD and HSUB: neighbours of the first operand, then of the second. */
function horizontal(name: 'HADD' | 'HSUB', opcode: string): Row[] {
  const operation = name === 'HADD' ? 'add' : 'sub';
  return FORMATS.map((format) => {
    const prefix = format === F32 ? 'F2.' : '66.';
    return row(`${name}${format.packed}`, `${prefix} 0F ${opcode} Vo,Wo`, (m) => {
      const b = m.let(m.readVector(1, true));
      const a = m.let(m.readVector(0));
      const even = m.let(unzip(format, a, b, 0));
      const odd = m.let(unzip(format, a, b, 1));
      const helper = `sse.${operation}${format.packed.toLowerCase()}`;
      m.writeVector(
        0,
        guarded(m, pure(packedOp(format, operation), even, odd), packedCheck(format, 'finite'), () =>
          m.helper(helper, even, odd),
        ),
      );
    });
  });
}

/** ADDSUB: subtracts in even lanes, adds in odd ones. */
function addSubtract(): Row[] {
  return FORMATS.map((format) => {
    const prefix = format === F32 ? 'F2.' : '66.';
    const signs = format === F32 ? cv64x2(0x80000000n, 0x80000000n) : cv64x2(1n << 63n, 0n);
    return row(`ADDSUB${format.packed}`, `${prefix} 0F D0 Vo,Wo`, (m) => {
      const b = m.let(m.readVector(1, true));
      const a = m.let(m.readVector(0));
      const fast = pure(packedOp(format, 'add'), a, pure(op.v128_xor, b, signs));
      const helper = `sse.addsub${format.packed.toLowerCase()}`;
      m.writeVector(
        0,
        guarded(m, fast, packedCheck(format, 'finite'), () => m.helper(helper, a, b)),
      );
    });
  });
}

/** DPPS and DPPD: products of the lanes that the immediate's upper half selects, their sum where its lower half says. */
function dotProducts(): Row[] {
  return FORMATS.map((format) => {
    const count = format === F32 ? 4 : 2;
    const suffix = format.packed.toLowerCase();
    return row(`DP${format.packed}`, `66. 0F 3A ${format === F32 ? '40' : '41'} Vo,Wo,Ib`, (m) => {
      const source = m.let(m.readVector(1, true));
      const immediate = keep(m, m.immediate(2, 8));
      const selected = m.let(laneMask(immediate, count, 4));
      const a = m.let(pure(op.v128_and, m.readVector(0), selected));
      const b = m.let(pure(op.v128_and, source, selected));
      const products = m.let(pure(packedOp(format, 'mul'), a, b));
      const plus = (p: Node, q: Node): Node => pure(packedOp(format, 'add'), p, q);
      const swap = (vector: Node, step: 1 | 2): Node =>
        shuffle(
          vector,
          vector,
          byteLanes(format, (lane) => (lane ^ step) % count),
        );
      let total = m.let(plus(products, swap(products, 1)));
      if (format === F32) total = m.let(plus(total, swap(total, 2)));
      const safe = every(format, pure(op.v128_or, lanesOrdinary(format, products), pure(op.v128_not, selected)));
      const result = guarded(
        m,
        shuffle(
          total,
          total,
          byteLanes(format, () => 0),
        ),
        (value) => and(safe, allFinite(format, value)),
        () => m.helper(`sse.dp${suffix}`, a, b),
      );
      m.writeVector(0, pure(op.v128_and, result, laneMask(immediate, count)));
    });
  });
}

/** Byte numbers of a shuffle that moves whole lanes. */
function byteLanes(format: Format, from: (lane: number) => number): number[] {
  const width = format.bits / 8;
  return Array.from({ length: 16 }, (_, byte) => from(Math.floor(byte / width)) * width + (byte % width));
}

const MODES = ['nearest', 'floor', 'ceil', 'trunc'] as const;

/** A rounding to integral values by mode, a node that may be known now or only at run time. */
function roundBy(m: Meaning, mode: Node, round: (name: (typeof MODES)[number]) => Node): Node {
  const known = knownByte(mode);
  if (known !== undefined) return round(MODES[known & 3]);
  const kept = m.let(mode);
  const choose = (yes: number, no: number) => () =>
    m.ifValue(
      round('nearest').type,
      and(kept, c32(2)),
      () => round(MODES[yes]),
      () => round(MODES[no]),
    );
  return m.ifValue(round('nearest').type, and(kept, c32(1)), choose(3, 1), choose(2, 0));
}

/** ROUNDxx's rounding mode where MXCSR rounds to nearest, which the fast path requires. */
const fastMode = (immediate: Node): Node => select(and(immediate, c32(4)), c32(0), and(immediate, c32(3)));
/** Control word of the helper sse.integral. */
const integralControl = (m: Meaning, immediate: Node): Node =>
  or(
    and(immediate, c32(8)),
    select(
      and(immediate, c32(4)),
      and(shrU(m.state32(S.mxcsr), c32(Mxcsr.roundShift)), c32(3)),
      and(immediate, c32(3)),
    ),
  );

function rounding(): Row[] {
  return FORMATS.flatMap((format, index) => [
    row(`ROUND${format.packed}`, `66. 0F 3A 0${8 + index} Vo,Wo,Ib`, (m) => {
      const b = m.let(m.readVector(1, true));
      const immediate = keep(m, m.immediate(2, 8));
      const fast = roundBy(m, fastMode(immediate), (name) => pure(packedOp(format, name), b));
      const numbers = (value: Node): Node => every(format, pure(packedOp(format, 'eq'), value, value));
      m.writeVector(
        0,
        guarded(m, fast, numbers, () =>
          m.helper(`sse.integral${format.packed.toLowerCase()}`, b, integralControl(m, immediate)),
        ),
      );
    }),
    row(`ROUND${format.single}`, `66. 0F 3A 0${index === 0 ? 'A' : 'B'} Vo,W${format.width},Ib`, (m) => {
      const b = m.let(readScalar(m, 1, format));
      const immediate = keep(m, m.immediate(2, 8));
      const fast = roundBy(m, fastMode(immediate), (name) => pure(scalarOp(format, name), b));
      const result = guarded(
        m,
        fast,
        (value) => pure(scalarOp(format, 'eq'), value, value),
        () =>
          fromBits(format, m.helper(`sse.integral${format.bits}`, bitsOf(format, b), integralControl(m, immediate))),
      );
      m.writeVector(0, replace(format.lane, 0, m.readVector(0), result));
    }),
  ]);
}

export const arithmeticRows: readonly Row[] = [
  ...binary('ADD', '58', 'finite'),
  ...binary('SUB', '5C', 'finite'),
  ...binary('MUL', '59', 'ordinary'),
  ...binary('DIV', '5E', 'ordinary'),
  ...squareRoots(),
  ...extremes('MIN', '5D'),
  ...extremes('MAX', '5F'),
  ...approximations('RCP', '53'),
  ...approximations('RSQRT', '52'),
  ...horizontal('HADD', '7C'),
  ...horizontal('HSUB', '7D'),
  ...addSubtract(),
  ...dotProducts(),
  ...rounding(),
];
