// Transcendental functions of 80-bit numbers in WebAssembly, to the last bit: 2^x - 1, y log2 x, y log2 (x + 1), atan.
// Owns the cases that programs meet: operands of ordinary size. Whatever else there is, TypeScript carries out.
// Never guesses: a result too close to where rounding changes is refused, and TypeScript computes it with more bits.
//
// Each function gives 1 when it has written the result, and 0, with nothing changed, when it has not. The method is Ziv's:
// about 76 bits by tables and short series, then the distance to the next rounding boundary against the error's bound.

import { op, ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  cf64,
  clz,
  eq,
  eqz,
  extendS,
  extendU,
  field,
  geS,
  geU,
  gtS,
  load,
  loadOp,
  ltS,
  ltU,
  type Node,
  ne,
  or,
  pure,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { divideWide } from './arithmetic.ts';
import { ONE_OPERAND, oneOperand, TWO_OPERANDS, twoOperands } from './operands.ts';
import { EXPONENT_BIAS, exponentOf, INTEGER_BIT, isNormal, type Local, normalize, type Reach } from './parts.ts';
import { emitRound } from './rounding.ts';
import { constantOf, Table } from './tables.ts';
import {
  addWide,
  evenSeries,
  float,
  multiplyBy64,
  multiplyBySmall,
  multiplyByWide,
  type Number128,
  negateWhere,
  normalizeOnce,
  over,
  plus,
  powerSeries,
  scaled,
  shiftWideRight,
  signMask,
  squareOf,
  subtractWide,
  times,
  type Wide,
  wide,
  wideConstant,
} from './wide.ts';

const { i32 } = ValueType;

const ln2 = constantOf.ln2(128n);
const log2e = constantOf.log2e(127n);
const halfPi = constantOf.pi(124n);
const wholePi = constantOf.pi(125n);
const WORD = 0xffff_ffff_ffff_ffffn;

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
/** (e^z - 1) / z */
const exponentialSeries = {
  alternates: false,
  third: 6n,
  fourth: 24n,
  rest: [5, 6, 7, 8, 9, 10, 11, 12].map((n) => 1 / factorial(n)),
};
/** ln(1 + z) / z */
const logarithmSeries = {
  alternates: true,
  third: 3n,
  fourth: 4n,
  rest: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14].map((n) => 1 / n),
};
const arcTangentSeries = { a: 3n, b: 5n, rest: [1 / 7, -1 / 9, 1 / 11, -1 / 13, 1 / 15, -1 / 17] };

export const refuse = (f: FunctionBuilder, condition: Node): void => f.if(condition, () => f.return(c32(0)));

/** Refuses until TypeScript has filled the tables. */
export const needTables = (f: FunctionBuilder): void => refuse(f, eqz(field(loadOp.i32_load, Table.filled)));

const tableEntry = (f: FunctionBuilder, table: number, index: Local): Wide => {
  const at = f.let(shl(index, c32(4)));
  const entry = wide(f, load(loadOp.i64_load, at, table + 8), load(loadOp.i64_load, at, table));
  f.release(at);
  return entry;
};

/** A register's number with all of its bits: it must be normal. */
export const numberOf = (f: FunctionBuilder, significand: Local, se: Local): Number128 => ({
  high: f.let(significand),
  low: f.let(c64(0)),
  exponent: f.let(sub(exponentOf(se), c32(EXPONENT_BIAS))),
  negative: f.let(and(shrU(se, c32(15)), c32(1))),
});

/** A fixed-point number in units of 2^-127 * 2^scale, normalized. It must not be 0. */
export function normalized(f: FunctionBuilder, value: Wide, scale: number, negative: Local): Number128 {
  const exponent = f.let(c32(scale));
  normalize(f, value.high, value.low, exponent);
  return { ...value, exponent, negative };
}

/** value -> the i64 mask of its sign, and value made positive. */
export function takeSign(f: FunctionBuilder, value: Wide): Local {
  const mask = f.let(shrS(value.high, c64(63)));
  negateWhere(f, value, mask);
  return mask;
}

/** Bound of the error of a result of 128 bits, in units of its last place: relative errors stay below 2^-75. */
const ERROR = 1n << 53n;

/** Refuses where the error of a result that is never exact leaves open how it rounds, in any mode, and extreme exponents. */
export function refuseUndecided(f: FunctionBuilder, r: Number128): void {
  refuse(f, geU(add(r.exponent, c32(EXPONENT_BIAS - 64)), c32(0x7f00)));
  // Boundaries lie at multiples of half a unit of the last place.
  refuse(f, ltU(shl(add(r.low, c64(ERROR)), c64(1)), c64(4n * ERROR)));
}

/** Rounds such a result into a register. */
export function roundTo(f: FunctionBuilder, reach: Reach, r: Number128, destination: Local): void {
  const biased = f.let(add(r.exponent, c32(EXPONENT_BIAS)));
  f.set(r.low, or(r.low, c64(1)));
  emitRound(f, reach, f.let(shl(r.negative, c32(15))), biased, r.high, r.low, destination, false);
}

/** Ends a function with its result. */
function finish(f: FunctionBuilder, reach: Reach, r: Number128, destination: Local): void {
  refuseUndecided(f, r);
  roundTo(f, reach, r, destination);
  f.return(c32(1));
}

/**
 * The quotient of two normalized numbers of 128 bits, whose exponents' difference is `exponent` (which is spent): 64 bits
 * by long division, the rest, with what the divisor's low half takes away, in f64.
 */
export function quotientOf(
  f: FunctionBuilder,
  numerator: Wide,
  denominator: Wide,
  exponent: Local,
  negative: Local,
): Number128 {
  f.set(exponent, sub(exponent, c32(1)));
  f.if(geU(numerator.high, denominator.high), () => {
    f.set(numerator.low, or(shrU(numerator.low, c64(1)), shl(numerator.high, c64(63))));
    f.set(numerator.high, shrU(numerator.high, c64(1)));
    f.set(exponent, add(exponent, c32(1)));
  });
  const { quotient, remainder } = divideWide(f, numerator.high, numerator.low, denominator.high);
  const taken = times(times(float(quotient), float(denominator.low)), cf64(2 ** -64));
  const rest = over(pure(op.f64_sub, float(remainder), taken), float(denominator.high));
  const low = f.let(pure(op.i64_trunc_sat_f64_s, times(rest, cf64(2 ** 60))));
  const result = wide(f, add(quotient, shrS(low, c64(60))), shl(low, c64(4)));
  refuse(f, eqz(result.high));
  normalize(f, result.high, result.low, exponent);
  return { ...result, exponent, negative };
}

/** (significand, sign and exponent, destination) -> 1 when done: 2^x - 1. */
const exponential: HelperFunction = {
  name: 'f80.exponential',
  parameters: ONE_OPERAND,
  result: i32,
  build(f, reach) {
    const { a: significand, aSe: se, destination } = oneOperand(f);
    needTables(f);
    refuse(f, eqz(isNormal(significand, se)));
    const x = numberOf(f, significand, se);
    refuse(f, geS(x.exponent, c32(0)));
    // x = k/32 + r, |r| at most 1/64. Whenever k is not 0 the exponent is at least -6, and r an integer in units of 2^-69.
    const k = f.let(c32(0));
    f.if(geS(x.exponent, c32(-6)), () => {
      const fraction = f.let(shrU(significand, extendU(sub(c32(-1), x.exponent))));
      f.set(k, shrU(add(wrap(shrU(fraction, c64(58))), c32(1)), c32(1)));
    });
    const negative = f.let(x.negative);
    f.if(k, () => {
      const rest = f.let(shl(significand, extendU(add(x.exponent, c32(6)))));
      refuse(f, eqz(rest));
      const mask = f.let(shrS(rest, c64(63)));
      f.set(rest, sub(xor(rest, mask), mask));
      f.set(x.negative, xor(x.negative, and(wrap(mask), c32(1))));
      const zeros = f.let(clz(rest));
      f.set(x.high, shl(rest, zeros));
      f.set(x.exponent, sub(c32(-6), wrap(zeros)));
    });
    const z = multiplyBy64(f, wideConstant(f, ln2), x.high);
    normalizeOnce(f, z, x.exponent);
    const p = powerSeries(f, { ...z, exponent: x.exponent, negative: x.negative }, exponentialSeries);
    f.if(k, () => {
      // 2^(k/32) (1 + p) - 1 = D + p (1 + D)
      const index = f.let(add(c32(32), select(negative, sub(c32(0), k), k)));
      const d = tableEntry(f, Table.powers, index);
      const power = wide(f, shrU(d.high, c64(1)), or(shrU(d.low, c64(1)), shl(d.high, c64(63))));
      negateWhere(f, power, signMask(f, negative));
      f.set(power.high, add(power.high, c64(1n << 62n)));
      const product = multiplyByWide(f, p, power);
      shiftWideRight(f, product, f.let(sub(c32(-2), p.exponent)));
      negateWhere(f, product, signMask(f, xor(p.negative, negative)));
      addWide(f, d, product);
      finish(f, reach, normalized(f, d, 0, negative), destination);
    });
    finish(f, reach, p, destination);
    f.unreachable();
  },
};

/** log2 m + n for m from 1 to 2 in units of 2^-127, neither 1 nor 2, with three zero bits at its end at least. */
function binaryLogarithm(f: FunctionBuilder, m: Wide, n: Local): Number128 {
  // m c / 256 = 1 + t with c from a table, |t| below 2^-6; t in units of 2^-132.
  const segment = f.let(and(wrap(shrU(m.high, c64(57))), c32(63)));
  const c = f.let(pure(op.i64_extend_i32_u, load(loadOp.i32_load, f.let(shl(segment, c32(2))), Table.reciprocals)));
  f.set(m.low, or(shrU(m.low, c64(3)), shl(m.high, c64(61))));
  f.set(m.high, shrU(m.high, c64(3)));
  // The 1 is 2^132, beyond what is kept.
  const t = multiplyBySmall(f, m, c);
  const negative = f.let(and(wrap(takeSign(f, t)), c32(1)));
  const z = normalized(f, t, -5, negative);
  const l = scaled(f, powerSeries(f, z, logarithmSeries), wideConstant(f, log2e));
  // Where n + log2(256 / c) is 0 that is all.
  const whole = tableEntry(f, Table.logarithms, segment);
  f.set(whole.high, add(whole.high, shl(extendS(n), c64(48))));
  f.if(ne(or(whole.high, whole.low), c64(0)), () => {
    shiftWideRight(f, l, f.let(sub(c32(15), l.exponent)));
    negateWhere(f, l, signMask(f, l.negative));
    addWide(f, whole, l);
    f.set(l.negative, and(wrap(takeSign(f, whole)), c32(1)));
    f.set(l.high, whole.high);
    f.set(l.low, whole.low);
    f.set(l.exponent, c32(15));
    normalize(f, l.high, l.low, l.exponent);
  });
  return l;
}

/** y * l, rounded. */
function timesFactor(f: FunctionBuilder, reach: Reach, l: Number128, y: Number128, destination: Local): void {
  const product = multiplyBy64(f, l, y.high);
  const exponent = f.let(add(add(l.exponent, y.exponent), c32(1)));
  normalizeOnce(f, product, exponent);
  const negative = f.let(xor(l.negative, y.negative));
  finish(f, reach, { ...product, exponent, negative }, destination);
}

/** (x significand, x sign and exponent, y the same, destination) -> 1 when done. */
const withLogarithm = (
  name: string,
  argument: (f: FunctionBuilder, x: Number128, n: Local) => Wide,
): HelperFunction => ({
  name,
  parameters: TWO_OPERANDS,
  result: i32,
  build(f, reach) {
    const { a: x, aSe: xSe, b: y, bSe: ySe, destination } = twoOperands(f);
    needTables(f);
    refuse(f, eqz(and(isNormal(x, xSe), isNormal(y, ySe))));
    const factor = numberOf(f, y, ySe);
    const n = f.let(c32(0));
    const m = argument(f, numberOf(f, x, xSe), n);
    timesFactor(f, reach, binaryLogarithm(f, m, n), factor, destination);
    f.unreachable();
  },
});

/** y * log2 x. Powers of two may have exact results. */
const logarithm = withLogarithm('f80.logarithm', (f, x, n) => {
  refuse(f, or(x.negative, eq(x.high, c64(INTEGER_BIT))));
  f.set(n, x.exponent);
  return x;
});

/** y * log2(x + 1) for x from -1/2 to 1. */
const logarithmOfSum: HelperFunction = {
  name: 'f80.logarithmOfSum',
  parameters: TWO_OPERANDS,
  result: i32,
  build(f, reach) {
    const { a: x, aSe: xSe, b: y, bSe: ySe, destination } = twoOperands(f);
    needTables(f);
    refuse(f, eqz(and(isNormal(x, xSe), isNormal(y, ySe))));
    const a = numberOf(f, x, xSe);
    const b = numberOf(f, y, ySe);
    f.if(ltS(a.exponent, c32(-6)), () => {
      const l = scaled(f, powerSeries(f, a, logarithmSeries), wideConstant(f, log2e));
      timesFactor(f, reach, l, b, destination);
    });
    refuse(f, gtS(a.exponent, sub(c32(-1), a.negative)));
    // 1 + x in units of 2^-127; a negative x makes it less than 1.
    const n = f.let(sub(c32(0), a.negative));
    shiftWideRight(f, a, f.let(sub(c32(0), a.exponent)));
    negateWhere(f, a, signMask(f, a.negative));
    f.set(a.high, add(a.high, c64(INTEGER_BIT)));
    f.if(a.negative, () => {
      f.set(a.high, or(shl(a.high, c64(1)), shrU(a.low, c64(63))));
      f.set(a.low, shl(a.low, c64(1)));
    });
    timesFactor(f, reach, binaryLogarithm(f, a, n), b, destination);
    f.unreachable();
  },
};

/** (x significand, x sign and exponent, y the same, destination) -> 1 when done: the angle of the point (x, y). */
const angle: HelperFunction = {
  name: 'f80.angle',
  parameters: TWO_OPERANDS,
  result: i32,
  build(f, reach) {
    const { a: x, aSe: xSe, b: y, bSe: ySe, destination } = twoOperands(f);
    needTables(f);
    refuse(f, eqz(and(isNormal(x, xSe), isNormal(y, ySe))));
    // a / b is the ratio of the smaller to the larger magnitude.
    const distance = f.let(sub(exponentOf(xSe), exponentOf(ySe)));
    const swapped = f.let(or(ltS(distance, c32(0)), and(eqz(distance), ltU(x, y))));
    f.if(swapped, () => f.set(distance, sub(c32(0), distance)));
    refuse(f, gtS(distance, c32(60)));
    const a = f.let(select(swapped, x, y));
    const b = f.let(select(swapped, y, x));
    const scale = pure(op.f64_reinterpret_i64, shl(extendU(sub(c32(1023 + 5), distance)), c64(52)));
    const estimate = plus(times(over(float(a), float(b)), scale), cf64(0.5));
    const k = f.let(pure(op.i32_trunc_sat_f64_s, estimate));
    // a/b = tan(atan(k/32) + atan t), t = (32 a - k b) / (32 b + k a).
    const numerator = wide(f, a, c64(0));
    const denominator = wide(f, b, c64(0));
    const exponent = f.let(sub(c32(0), distance));
    const negative = f.let(c32(0));
    f.if(k, () => {
      const distance64 = f.let(extendU(distance));
      const k64 = f.let(extendU(k));
      const wideB = wide(f, shrU(shrU(b, c64(1)), sub(c64(63), distance64)), shl(b, distance64));
      const thirtyTwo = (high: Node, low: Node): Wide =>
        wide(f, or(shl(high, c64(5)), shrU(low, c64(59))), shl(low, c64(5)));
      const top = thirtyTwo(c64(0), a);
      subtractWide(f, top, multiplyBySmall(f, wideB, k64));
      const bottom = thirtyTwo(wideB.high, wideB.low);
      addWide(f, bottom, multiplyBySmall(f, wide(f, c64(0), a), k64));
      refuse(f, eqz(or(top.high, top.low)));
      f.set(negative, and(wrap(takeSign(f, top)), c32(1)));
      f.set(exponent, c32(0));
      normalize(f, top.high, top.low, exponent);
      const other = f.let(c32(0));
      normalize(f, bottom.high, bottom.low, other);
      f.set(exponent, sub(exponent, other));
      for (const [to, from] of [
        [numerator, top],
        [denominator, bottom],
      ] as const) {
        f.set(to.high, from.high);
        f.set(to.low, from.low);
      }
    });
    const t = quotientOf(f, numerator, denominator, exponent, negative);
    // The estimate that k comes from may be off by a hair.
    refuse(f, gtS(t.exponent, c32(-7)));
    const result = scaled(f, t, evenSeries(f, squareOf(f, t), arcTangentSeries));
    const xNegative = f.let(and(shrU(xSe, c32(15)), c32(1)));
    const yNegative = f.let(and(shrU(ySe, c32(15)), c32(1)));
    f.if(or(or(k, swapped), xNegative), () => {
      // In units of 2^-125.
      const sum = tableEntry(f, Table.arcTangents, k);
      shiftWideRight(f, result, f.let(sub(c32(2), result.exponent)));
      negateWhere(f, result, signMask(f, negative));
      addWide(f, sum, result);
      f.if(or(swapped, xNegative), () => {
        negateWhere(f, sum, signMask(f, ne(swapped, xNegative)));
        const high = select(swapped, c64(halfPi >> 64n), c64(wholePi >> 64n));
        addWide(f, sum, wide(f, high, select(swapped, c64(halfPi & WORD), c64(wholePi & WORD))));
      });
      finish(f, reach, normalized(f, sum, 2, yNegative), destination);
    });
    finish(f, reach, { ...result, negative: yNegative }, destination);
    f.unreachable();
  },
};

export const transcendentalHelpers: readonly HelperFunction[] = [exponential, logarithm, logarithmOfSum, angle];
