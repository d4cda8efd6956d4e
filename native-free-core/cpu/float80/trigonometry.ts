// Sine, cosine and tangent of 80-bit numbers in WebAssembly, to the last bit, for arguments from 2^-30 to 2^30.
// Owns their reduction by a pi of 66 bits, as processors do it, and what FSIN, FCOS, FSINCOS and FPTAN write.
// Never guesses: see transcendental.ts, whose rules these functions follow.

import { op, storeOp, ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  cf64,
  eqz,
  extendU,
  field,
  geU,
  gtS,
  load,
  loadOp,
  type Node,
  or,
  pure,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { S } from '../state.ts';
import { fsw, isNormal, type Local, Status, setStatus } from './parts.ts';
import { Table } from './tables.ts';
import {
  needTables,
  normalized,
  numberOf,
  quotientOf,
  refuse,
  refuseUndecided,
  roundTo,
  takeSign,
} from './transcendental.ts';
import {
  addWide,
  evenSeries,
  float,
  multiplyBySmall,
  multiplyByWide,
  type Number128,
  negateWhere,
  plus,
  scaled,
  shiftWideRight,
  squareOf,
  subtractWide,
  times,
  type Wide,
  wide,
  wideConstant,
} from './wide.ts';

const { i32, i64 } = ValueType;

/** Pi with 66 bits behind the point: half of half of it in the units of the reduction, 2^-68. */
const PI_66 = 0xc90fdaa22168c234cn;
const LARGEST = 30;

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
const alternating = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i % 2 ? -1 : 1) / factorial(from + 2 * i));
/** sin z / z and cos z */
const sineSeries = { a: 6n, b: 120n, rest: alternating(7, 4) };
const cosineSeries = { a: 2n, b: 24n, rest: alternating(6, 4) };

/** Where f80.turn leaves sine and cosine: high and low half of both, exponents, signs. */
const Result = {
  sine: S.scratch,
  cosine: S.scratch + 16,
  exponents: S.scratch + 32,
  signs: S.scratch + 40,
} as const;

function keep(f: FunctionBuilder, which: 0 | 1, value: Number128): void {
  const at = which === 0 ? Result.sine : Result.cosine;
  f.storeField(storeOp.i64_store, at, value.high);
  f.storeField(storeOp.i64_store, at + 8, value.low);
  f.storeField(storeOp.i32_store, Result.exponents + 4 * which, value.exponent);
  f.storeField(storeOp.i32_store, Result.signs + 4 * which, value.negative);
}

function kept(f: FunctionBuilder, which: 0 | 1): Number128 {
  const at = which === 0 ? Result.sine : Result.cosine;
  return {
    ...wide(f, field(loadOp.i64_load, at), field(loadOp.i64_load, at + 8)),
    exponent: f.let(field(loadOp.i32_load, Result.exponents + 4 * which)),
    negative: f.let(field(loadOp.i32_load, Result.signs + 4 * which)),
  };
}

/** x becomes what is left of its magnitude after quarter turns, with that sign; the result is their number. */
function reduce(f: FunctionBuilder, x: Number128): Local {
  const quarters = f.let(c32(0));
  f.set(x.negative, c32(0));
  f.if(gtS(x.exponent, c32(-2)), () => {
    const power = pure(op.f64_reinterpret_i64, shl(extendU(add(x.exponent, c32(1023 - 63))), c64(52)));
    const estimate = plus(times(times(float(x.high), power), cf64(2 / Math.PI)), cf64(0.5));
    f.set(quarters, pure(op.i32_trunc_sat_f64_s, estimate));
    const rest = wide(f, x.high, c64(0));
    shiftWideRight(f, rest, f.let(sub(c32(59), x.exponent)));
    subtractWide(f, rest, multiplyBySmall(f, wideConstant(f, 2n * PI_66), f.let(extendU(quarters))));
    f.set(x.negative, and(wrap(takeSign(f, rest)), c32(1)));
    refuse(f, eqz(or(rest.high, rest.low)));
    // The estimate may be off where what is left is half a quarter: only the exact number has the bits of processors.
    const border = wideConstant(f, PI_66);
    subtractWide(f, border, rest);
    refuse(f, pure(op.i64_lt_s, border.high, c64(0)));
    refuse(f, eqz(or(border.high, border.low)));
    const left = normalized(f, rest, 59, x.negative);
    f.set(x.high, left.high);
    f.set(x.low, left.low);
    f.set(x.exponent, left.exponent);
  });
  return quarters;
}

/** (significand, sign and exponent) -> 1 when sine and cosine are at {@link Result}. */
const turn: HelperFunction = {
  name: 'f80.turn',
  parameters: [i64, i32],
  result: i32,
  build(f) {
    const significand = f.parameter(0, i64);
    const se = f.parameter(1, i32);
    needTables(f);
    refuse(f, eqz(isNormal(significand, se)));
    const r = numberOf(f, significand, se);
    refuse(f, geU(add(r.exponent, c32(LARGEST)), c32(2 * LARGEST)));
    const negative = f.let(r.negative);
    const quarters = reduce(f, r);
    // |r| = k/32 + d, |d| at most 1/64; d in units of 2^-128.
    const rest = wide(f, r.high, r.low);
    shiftWideRight(f, rest, f.let(sub(c32(-1), r.exponent)));
    const k = f.let(shrU(add(wrap(shrU(rest.high, c64(58))), c32(1)), c32(1)));
    f.set(rest.high, sub(rest.high, shl(extendU(k), c64(59))));
    const restMask = takeSign(f, rest);
    refuse(f, eqz(or(rest.high, rest.low)));
    const restNegative = f.let(and(wrap(restMask), c32(1)));
    const d = normalized(f, rest, -1, restNegative);
    refuse(f, gtS(d.exponent, c32(-7)));
    const square = squareOf(f, d);
    const sine = scaled(f, d, evenSeries(f, square, sineSeries));
    const cosine = evenSeries(f, square, cosineSeries);
    // By the sums' formulas, in units of 2^-126.
    const at = f.let(shl(k, c32(5)));
    const entry = (offset: number): Wide =>
      wide(f, load(loadOp.i64_load, at, Table.sines + offset + 8), load(loadOp.i64_load, at, Table.sines + offset));
    const sineK = entry(0);
    const cosineK = entry(16);
    const shift = f.let(sub(c32(0), sine.exponent));
    const part = (factor: Wide, mask: Local): Wide => {
      const product = multiplyByWide(f, sine, factor);
      shiftWideRight(f, product, shift);
      negateWhere(f, product, mask);
      return product;
    };
    const sineSum = multiplyByWide(f, cosine, sineK);
    addWide(f, sineSum, part(cosineK, restMask));
    const cosineSum = multiplyByWide(f, cosine, cosineK);
    addWide(f, cosineSum, part(sineK, f.let(xor(restMask, c64(-1)))));
    const c = normalized(f, cosineSum, 1, f.let(c32(0)));
    const s: Number128 = {
      ...wide(f, sine.high, sine.low),
      exponent: f.let(sine.exponent),
      negative: r.negative,
    };
    f.if(k, () => {
      const sum = normalized(f, sineSum, 1, r.negative);
      f.set(s.high, sum.high);
      f.set(s.low, sum.low);
      f.set(s.exponent, sum.exponent);
    });
    // Quarter turns exchange them, and change signs.
    const odd = f.let(and(quarters, c32(1)));
    const half = f.let(and(shrU(quarters, c32(1)), c32(1)));
    const chosen = (first: Number128, second: Number128, sign: Node): Number128 => ({
      ...wide(f, select(odd, second.high, first.high), select(odd, second.low, first.low)),
      exponent: f.let(select(odd, second.exponent, first.exponent)),
      negative: f.let(sign),
    });
    keep(f, 0, chosen(s, c, xor(xor(negative, half), select(odd, c32(0), s.negative))));
    keep(f, 1, chosen(c, s, xor(half, select(odd, xor(s.negative, c32(1)), c32(0)))));
    f.return(c32(1));
    f.unreachable();
  },
};

const clearC2 = (f: FunctionBuilder): void => setStatus(f, and(fsw, c32(~Status.c2)));

/** (significand, sign and exponent, destination) -> 1 when done. */
const single = (name: string, value: (f: FunctionBuilder) => Number128): HelperFunction => ({
  name,
  parameters: [i64, i32, i32],
  result: i32,
  build(f, reach) {
    refuse(f, eqz(f.callResult(reach('f80.turn'), f.parameter(0, i64), f.parameter(1, i32))));
    const result = value(f);
    refuseUndecided(f, result);
    clearC2(f);
    roundTo(f, reach, result, f.parameter(2, i32));
    f.return(c32(1));
    f.unreachable();
  },
});

/** (significand, sign and exponent, destination of the sine, of the cosine) -> 1 when done. C1 is what either sets. */
const both: HelperFunction = {
  name: 'f80.sineAndCosine',
  parameters: [i64, i32, i32, i32],
  result: i32,
  build(f, reach) {
    refuse(f, eqz(f.callResult(reach('f80.turn'), f.parameter(0, i64), f.parameter(1, i32))));
    const sine = kept(f, 0);
    const cosine = kept(f, 1);
    refuseUndecided(f, sine);
    refuseUndecided(f, cosine);
    clearC2(f);
    roundTo(f, reach, sine, f.parameter(2, i32));
    const c1 = f.let(and(fsw, c32(Status.c1)));
    roundTo(f, reach, cosine, f.parameter(3, i32));
    setStatus(f, or(fsw, c1));
    f.return(c32(1));
    f.unreachable();
  },
};

export const trigonometryHelpers: readonly HelperFunction[] = [
  turn,
  single('f80.sine', (f) => kept(f, 0)),
  single('f80.cosine', (f) => kept(f, 1)),
  single('f80.tangent', (f) => {
    const sine = kept(f, 0);
    const cosine = kept(f, 1);
    f.set(sine.negative, xor(sine.negative, cosine.negative));
    const exponent = f.let(sub(sine.exponent, cosine.exponent));
    return quotientOf(f, sine, cosine, exponent, sine.negative);
  }),
  both,
];
