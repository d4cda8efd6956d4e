// The x87's transcendental instructions, to the last bit: F2XM1, FYL2X, FYL2XP1, FPATAN, FPTAN, FSIN, FCOS, FSINCOS.
// Owns their special cases (Intel SDM volume 2) and their argument reduction by a pi of 66 bits, as processors do it.
// The ordinary cases are WebAssembly's (float80/transcendental.ts, trigonometry.ts), which gives the same bits.
// Never evaluates a series itself: see x87-fixed-point.ts.

import { Exception, Status } from '../float80/parts.ts';
import { readyTables } from '../float80/tables.ts';
import type { SystemCpu } from './core.ts';
import type { ColdFunction } from './dispatch.ts';
import {
  BIAS,
  bitLength,
  type Extended,
  exponentOf,
  INDEFINITE,
  INTEGER,
  infinity,
  isInfinity,
  isNegative,
  isZero,
  ONE,
  STACK_FAULT,
  withX87,
  type X87,
  zero,
} from './x87.ts';
import { arcTangent, exponentialMinusOne, ln2, logarithm, pi, powerOfTwo, sineAndCosine } from './x87-fixed-point.ts';

/** Bits computed beyond those of the result. */
const GUARD = 64;
const PRECISION = BigInt(64 + GUARD);

/** A finite number other than zero: magnitude * 2^exponent. */
interface Parts {
  readonly magnitude: bigint;
  readonly exponent: number;
  readonly negative: boolean;
}

/** The significand is normalized, so that the number lies in [2^(exponent + 63), 2^(exponent + 64)). */
function partsOf(v: Extended): Parts {
  const shift = 64 - bitLength(v.significand);
  return {
    magnitude: v.significand << BigInt(shift),
    exponent: Math.max(exponentOf(v), 1) - BIAS - 63 - shift,
    negative: isNegative(v),
  };
}

const absolute = (value: bigint): bigint => (value < 0n ? -value : value);

/** The number in fixed point, truncated. */
function fixed({ magnitude, exponent, negative }: Parts, bits: bigint): bigint {
  const shift = BigInt(exponent) + bits;
  const value = shift >= 0n ? magnitude << shift : magnitude >> -shift;
  return negative ? -value : value;
}

/** Rounds a fixed-point result that is never exact. */
const roundFixed = (x87: X87, value: bigint, bits: bigint): Extended =>
  x87.round(value < 0n, absolute(value), Number(bits), true);

/** The number next to v, a little nearer to zero (or farther): what rounding needs to know of x - x^3/6. */
function nearly(x87: X87, { magnitude, exponent, negative }: Parts, smaller: boolean): Extended {
  const scaled = magnitude << 64n;
  return x87.round(negative, smaller ? scaled - 1n : scaled, 64 - exponent, true);
}

// ---- 2^x - 1

function exponential(x87: X87, v: Extended): Extended {
  const special = x87.nan(v);
  if (special) return special;
  if (isZero(v)) return v;
  if (isInfinity(v)) return isNegative(v) ? { significand: INTEGER, se: 0x8000 | BIAS } : v;
  x87.checkDenormal(v);
  const x = partsOf(v);
  const top = x.exponent + 63;
  // Results always count as inexact, also those that are not.
  if (top >= 0) x87.raise(Exception.precision);
  // Beyond -1 to 1 the result is undefined; the operand stays.
  if (top > 0 || (top === 0 && x.magnitude !== INTEGER)) return v;
  if (top === 0) return x.negative ? { significand: INTEGER, se: 0x8000 | (BIAS - 1) } : ONE;
  if (top < -70) {
    const product = x.magnitude * ln2(PRECISION);
    return x87.round(x.negative, product, Number(PRECISION) - x.exponent, true);
  }
  // Small arguments need as many more bits as they have leading zeros.
  const bits = PRECISION + BigInt(-top);
  const argument = fixed(x, bits);
  const one = 1n << bits;
  const k = (argument * 32n + (one >> 1n)) >> bits;
  const rest = exponentialMinusOne(((argument - (k << bits) / 32n) * ln2(bits)) >> bits, bits);
  const value = k === 0n ? rest : ((powerOfTwo(k, bits) * (one + rest)) >> bits) - one;
  return roundFixed(x87, value, bits);
}

// ---- y * log2(x)

/** y * value / ln 2, rounded; `value` is a natural logarithm in fixed point, not 0. */
function timesLogarithm(x87: X87, y: Parts, value: bigint, bits: bigint): Extended {
  const quotient = (absolute(value) << bits) / ln2(bits);
  return x87.round(y.negative !== value < 0n, quotient * y.magnitude, Number(bits) - y.exponent, true);
}

function logarithmTimes(x87: X87, x: Extended, y: Extended): Extended {
  const special = x87.nan(x, y);
  if (special) return special;
  if (isNegative(x) && !isZero(x)) return x87.invalid();
  if (isZero(x)) {
    if (isZero(y)) return x87.invalid();
    if (isInfinity(y)) return infinity(!isNegative(y));
    x87.require(Exception.zeroDivide);
    return infinity(!isNegative(y));
  }
  if (isInfinity(x)) {
    if (isZero(y)) return x87.invalid();
    x87.checkDenormal(y);
    return infinity(isNegative(y));
  }
  const p = partsOf(x);
  const isOne = p.magnitude === INTEGER && p.exponent === -63;
  if (isInfinity(y)) {
    if (isOne) return x87.invalid();
    x87.checkDenormal(x);
    return infinity(isNegative(y) !== p.exponent < -63);
  }
  x87.checkDenormal(x, y);
  if (isZero(y)) return zero(isNegative(y) !== p.exponent < -63);
  if (isOne) return zero(isNegative(y));
  if (p.magnitude === INTEGER) {
    // A power of two: the logarithm is an integer and the product may be exact.
    const n = p.exponent + 63;
    const factor = partsOf(y);
    x87.raise(Exception.precision);
    return x87.round(factor.negative !== n < 0, factor.magnitude * BigInt(Math.abs(n)), -factor.exponent, false);
  }
  // x = m * 2^n with m from 3/4 to 3/2, so that log2 m does not cancel n.
  const large = p.magnitude > 0xc000000000000000n;
  const n = p.exponent + (large ? 64 : 63);
  const unit = large ? 1n << 64n : INTEGER;
  // Where x is close to 1 its logarithm has leading zeros.
  const bits = n === 0 ? PRECISION + 64n : PRECISION;
  const value = logarithm(p.magnitude, unit, bits) + BigInt(n) * ln2(bits);
  return timesLogarithm(x87, partsOf(y), value, bits);
}

/** y * log2(x + 1) */
function logarithmOfSumTimes(x87: X87, x: Extended, y: Extended): Extended {
  const special = x87.nan(x, y);
  if (special) return special;
  if (isInfinity(x)) {
    if (isNegative(x) || isZero(y)) return x87.invalid();
    x87.checkDenormal(y);
    return infinity(isNegative(y));
  }
  if (isZero(x)) {
    if (isInfinity(y)) return x87.invalid();
    x87.checkDenormal(y);
    return zero(isNegative(x) !== isNegative(y));
  }
  if (isInfinity(y)) {
    x87.checkDenormal(x);
    return infinity(isNegative(x) !== isNegative(y));
  }
  x87.checkDenormal(x, y);
  if (isZero(y)) return zero(isNegative(x) !== isNegative(y));
  const p = partsOf(x);
  const factor = partsOf(y);
  const top = p.exponent + 63;
  if (top < -70) {
    const quotient = (p.magnitude << (2n * PRECISION)) / ln2(PRECISION);
    const scale = Number(PRECISION) - p.exponent - factor.exponent;
    return x87.round(p.negative !== factor.negative, quotient * factor.magnitude, scale, true);
  }
  // Beyond 1 - sqrt(1/2) the result is undefined; above -1 the logarithm still has a value.
  if (p.negative && top >= 0) {
    x87.raise(Exception.precision);
    return x;
  }
  if (top > 130) {
    // Adding 1 is beyond notice.
    const large = logarithm(p.magnitude, INTEGER, PRECISION) + BigInt(top) * ln2(PRECISION);
    return timesLogarithm(x87, factor, large, PRECISION);
  }
  const bits = PRECISION + BigInt(Math.max(-top, 0));
  const one = 1n << bits;
  let m = one + fixed(p, bits);
  let n = 0;
  for (; m > one + (one >> 1n); n++) m = (m >> 1n) + (m & 1n);
  for (; m < one - (one >> 2n); n--) m <<= 1n;
  const value = logarithm(m, one, bits) + BigInt(n) * ln2(bits);
  return timesLogarithm(x87, factor, value, bits);
}

// ---- arc tangent of y / x

/** eighths * pi / 8, rounded. */
const fractionOfPi = (x87: X87, eighths: bigint, negative: boolean): Extended =>
  x87.round(negative, pi(PRECISION) * eighths, Number(PRECISION) + 3, true);

function arcTangentOf(x87: X87, x: Extended, y: Extended): Extended {
  const special = x87.nan(x, y);
  if (special) return special;
  const negative = isNegative(y);
  x87.checkDenormal(x, y);
  if (isInfinity(y)) {
    return fractionOfPi(x87, isInfinity(x) ? (isNegative(x) ? 6n : 2n) : 4n, negative);
  }
  if (isZero(y) || isInfinity(x)) return isNegative(x) ? fractionOfPi(x87, 8n, negative) : zero(negative);
  if (isZero(x)) return fractionOfPi(x87, 4n, negative);
  const p = partsOf(x);
  const q = partsOf(y);
  const distance = q.exponent - p.exponent;
  const bits = PRECISION + 80n;
  if (distance > 70) {
    // A hair less than pi/2, or more where x is negative.
    const hair = p.negative ? 1n : -1n;
    return x87.round(negative, pi(bits) / 2n + hair, Number(bits), true);
  }
  if (distance < -70) {
    if (p.negative) return x87.round(negative, pi(bits) - 1n, Number(bits), true);
    const quotient = (q.magnitude << 192n) / p.magnitude;
    return x87.round(negative, quotient - 1n, 192 - distance, true);
  }
  const a = distance > 0 ? q.magnitude << BigInt(distance) : q.magnitude;
  const b = distance < 0 ? p.magnitude << BigInt(-distance) : p.magnitude;
  let angle = a <= b ? arcTangent(a, b, bits) : pi(bits) / 2n - arcTangent(b, a, bits);
  if (p.negative) angle = pi(bits) - angle;
  return x87.round(negative, angle, Number(bits), true);
}

// ---- trigonometry

/** Pi with 66 bits behind the point: what processors reduce arguments by. */
const PI_66 = 0xc90fdaa22168c234cn;

interface Angle {
  /** Sine and cosine in fixed point. */
  readonly sine: bigint;
  readonly cosine: bigint;
  readonly bits: bigint;
}

/** Sine and cosine of |x| from 2^-34 to 2^63. */
function trigonometry(x: Parts): Angle {
  // Exact in units of 2^-unit: the argument, and multiples of half of PI_66.
  const unit = Math.max(67, -x.exponent);
  const argument = x.magnitude << BigInt(x.exponent + unit);
  const half = PI_66 << BigInt(unit - 67);
  const quarters = (2n * argument + half) / (2n * half);
  const rest = argument - quarters * half;
  // What is left may be tiny, and its sine with it.
  const zeros = rest === 0n ? 0 : Math.max(unit - bitLength(absolute(rest)), 0);
  const bits = PRECISION + BigInt(zeros);
  const shift = bits - BigInt(unit);
  const reduced = shift >= 0n ? rest << shift : rest >> -shift;
  const { sine, cosine } = sineAndCosine(reduced, bits);
  const turned: readonly (readonly [bigint, bigint])[] = [
    [sine, cosine],
    [cosine, -sine],
    [-sine, -cosine],
    [-cosine, sine],
  ];
  const [s, c] = turned[Number(quarters & 3n)];
  return { sine: x.negative ? -s : s, cosine: c, bits };
}

/** Arguments beyond this set C2 and change nothing. */
const isTooLarge = (v: Extended): boolean => exponentOf(v) >= BIAS + 63;
const isTiny = (x: Parts): boolean => x.exponent + 63 < -34;
const justBelowOne = (x87: X87): Extended => x87.round(false, (1n << 128n) - 1n, 128, true);

function sineOf(x87: X87, x: Parts, angle: Angle | undefined): Extended {
  return angle ? roundFixed(x87, angle.sine, angle.bits) : nearly(x87, x, true);
}

function cosineOf(x87: X87, angle: Angle | undefined): Extended {
  return angle ? roundFixed(x87, angle.cosine, angle.bits) : justBelowOne(x87);
}

function tangentOf(x87: X87, x: Parts, angle: Angle | undefined): Extended {
  if (!angle) return nearly(x87, x, false);
  const { sine, cosine, bits } = angle;
  const quotient = (absolute(sine) << (bits + 64n)) / absolute(cosine);
  return x87.round(sine < 0n !== cosine < 0n, quotient, Number(bits) + 64, true);
}

// ---- the instructions

/** Runs one; from then on WebAssembly has what it needs for the ordinary cases. */
function withTables(cpu: SystemCpu, start: bigint, work: (x87: X87) => void): void {
  readyTables(cpu.view);
  withX87(cpu, start, work);
}

const CLEAR_C1 = (x87: X87): void => x87.setConditions(Status.c1, 0);

/** ST(0) = f(ST(0)). */
const onTop =
  (f: (x87: X87, v: Extended) => Extended): ColdFunction =>
  (cpu, _insn, start) =>
    withTables(cpu, start, (x87) => {
      CLEAR_C1(x87);
      if (x87.isEmpty(0)) {
        x87.require(STACK_FAULT);
        x87.write(0, INDEFINITE);
      } else x87.write(0, f(x87, x87.read(0)));
    });

/** ST(1) = f(ST(0), ST(1)), then pops. */
const onTwo =
  (f: (x87: X87, st0: Extended, st1: Extended) => Extended): ColdFunction =>
  (cpu, _insn, start) =>
    withTables(cpu, start, (x87) => {
      CLEAR_C1(x87);
      if (x87.isEmpty(0) || x87.isEmpty(1)) {
        x87.require(STACK_FAULT);
        x87.write(1, INDEFINITE);
      } else x87.write(1, f(x87, x87.read(0), x87.read(1)));
      x87.pop();
    });

/** An operation of a trigonometric instruction; undefined leaves everything and sets C2. */
const trigonometric = (x87: X87, v: Extended, compute: (x: Parts, angle: Angle | undefined) => Extended): Extended => {
  if (isInfinity(v)) return x87.invalid();
  x87.checkDenormal(v);
  const x = partsOf(v);
  return compute(x, isTiny(x) ? undefined : trigonometry(x));
};

const single =
  (
    atZero: (v: Extended) => Extended,
    compute: (x87: X87, x: Parts, angle: Angle | undefined) => Extended,
  ): ColdFunction =>
  (cpu, _insn, start) =>
    withTables(cpu, start, (x87) => {
      x87.setConditions(Status.c1 | Status.c2, 0);
      if (x87.isEmpty(0)) {
        x87.require(STACK_FAULT);
        x87.write(0, INDEFINITE);
        return;
      }
      const v = x87.read(0);
      const special = x87.nan(v) ?? (isZero(v) ? atZero(v) : undefined);
      if (special) x87.write(0, special);
      else if (isTooLarge(v) && !isInfinity(v)) x87.setConditions(Status.c2, Status.c2);
      else
        x87.write(
          0,
          trigonometric(x87, v, (x, angle) => compute(x87, x, angle)),
        );
    });

/** FPTAN and FSINCOS: a first result in place, a second pushed. */
const double =
  (
    atZero: (v: Extended) => readonly [Extended, Extended],
    compute: (x87: X87, x: Parts, angle: Angle | undefined) => readonly [Extended, Extended],
  ): ColdFunction =>
  (cpu, _insn, start) =>
    withTables(cpu, start, (x87) => {
      x87.setConditions(Status.c1 | Status.c2, 0);
      const place = (first: Extended, second: Extended): void => {
        x87.write(0, first);
        x87.push(second);
      };
      if (x87.isEmpty(0) || !x87.isEmpty(7)) {
        x87.require(STACK_FAULT | (x87.isEmpty(0) ? 0 : Status.c1));
        place(INDEFINITE, INDEFINITE);
        return;
      }
      const v = x87.read(0);
      const special = x87.nan(v);
      if (special) place(special, special);
      else if (isZero(v)) place(...atZero(v));
      else if (isInfinity(v)) {
        const indefinite = x87.invalid();
        place(indefinite, indefinite);
      } else if (isTooLarge(v)) x87.setConditions(Status.c2, Status.c2);
      else {
        x87.checkDenormal(v);
        const x = partsOf(v);
        place(...compute(x87, x, isTiny(x) ? undefined : trigonometry(x)));
      }
    });

export const transcendentalRows: readonly (readonly [string, ColdFunction])[] = [
  ['F2XM1', onTop(exponential)],
  ['FYL2X', onTwo(logarithmTimes)],
  ['FYL2XP1', onTwo(logarithmOfSumTimes)],
  ['FPATAN', onTwo(arcTangentOf)],
  ['FSIN', single((v) => v, sineOf)],
  [
    'FCOS',
    single(
      () => ONE,
      (x87, _x, angle) => cosineOf(x87, angle),
    ),
  ],
  [
    'FPTAN',
    double(
      (v) => [v, ONE],
      (x87, x, angle) => [tangentOf(x87, x, angle), ONE],
    ),
  ],
  [
    'FSINCOS',
    double(
      (v) => [v, ONE],
      (x87, x, angle) => [sineOf(x87, x, angle), cosineOf(x87, angle)],
    ),
  ],
];
