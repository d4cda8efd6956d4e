// Arithmetic on 128-bit quantities as pairs of WebAssembly locals: fixed point, and normalized numbers with an exponent.
// Owns the code sequences that the transcendental functions are put together from.
// Never rounds to a register and never raises anything: see rounding.ts.

import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  cf64,
  extendU,
  ltU,
  mul,
  type Node,
  neg,
  op,
  or,
  pure,
  shl,
  shrS,
  shrU,
  sub,
  xor,
} from '../builder/nodes.ts';
import { type Local, multiplyWide } from './parts.ts';

/** An unsigned 128-bit integer. */
export interface Wide {
  readonly high: Local;
  readonly low: Local;
}

/** The number ±(high:low / 2^127) * 2^exponent; bit 127 is set. `negative` is an i32, 0 or 1. */
export interface Number128 extends Wide {
  readonly exponent: Local;
  readonly negative: Local;
}

const HALF = c64(32);
const LOW_HALF = c64(0xffffffffn);
const WORD = 1n << 64n;

export const wide = (f: FunctionBuilder, high: Node, low: Node): Wide => ({ high: f.let(high), low: f.let(low) });
/** A constant of up to 128 bits. */
export const wideConstant = (f: FunctionBuilder, value: bigint): Wide =>
  wide(f, c64(value >> 64n), c64(value & (WORD - 1n)));

/** High 64 bits of a product, at most 3 too small. The operands are locals or constants. */
export function highProduct(f: FunctionBuilder, a: Node, b: Node): Local {
  const ah = f.let(shrU(a, HALF));
  const bh = f.let(shrU(b, HALF));
  const cross = add(shrU(mul(ah, and(b, LOW_HALF)), HALF), shrU(mul(bh, and(a, LOW_HALF)), HALF));
  const high = f.let(add(mul(ah, bh), cross));
  f.release(ah);
  f.release(bh);
  return high;
}

/** `to` += value, in place. */
export function addWide(f: FunctionBuilder, to: Wide, value: Wide): void {
  f.set(to.low, add(to.low, value.low));
  f.set(to.high, add(add(to.high, value.high), extendU(ltU(to.low, value.low))));
}

/** `from` -= value, in place. */
export function subtractWide(f: FunctionBuilder, from: Wide, value: Wide): void {
  f.set(from.high, sub(sub(from.high, value.high), extendU(ltU(from.low, value.low))));
  f.set(from.low, sub(from.low, value.low));
}

/** Two's complement, in place, where the i64 `mask` is all ones; nothing where it is 0. */
export function negateWhere(f: FunctionBuilder, value: Wide, mask: Local): void {
  f.set(value.low, sub(xor(value.low, mask), mask));
  // The carry out of the low half is there only where it became 0.
  f.set(value.high, add(xor(value.high, mask), and(neg(mask), extendU(pure(op.i64_eqz, value.low)))));
}

/** Top 128 bits of the product with a 64-bit value: off by a few units of the last place. */
export function multiplyBy64(f: FunctionBuilder, a: Wide, b: Local): Wide {
  const { high, low } = multiplyWide(f, a.high, b);
  const rest = highProduct(f, a.low, b);
  f.set(low, add(low, rest));
  f.set(high, add(high, extendU(ltU(low, rest))));
  f.release(rest);
  return { high, low };
}

/** Top 128 bits of a product of two 128-bit values: off by a few units of the last place. */
export function multiplyByWide(f: FunctionBuilder, a: Wide, b: Wide): Wide {
  const product = multiplyBy64(f, a, b.high);
  const rest = highProduct(f, a.high, b.low);
  f.set(product.low, add(product.low, rest));
  f.set(product.high, add(product.high, extendU(ltU(product.low, rest))));
  f.release(rest);
  return product;
}

/** Low 128 bits of the product with a value below 2^32, exactly. */
export function multiplyBySmall(f: FunctionBuilder, a: Wide, b: Local): Wide {
  const carry = shrU(add(mul(shrU(a.low, HALF), b), shrU(mul(and(a.low, LOW_HALF), b), HALF)), HALF);
  return wide(f, add(mul(a.high, b), carry), mul(a.low, b));
}

/** The value shifted right by 1 to 63 bits, known now. */
export const shiftedRight = (f: FunctionBuilder, value: Wide, bits: number): Wide =>
  wide(f, shrU(value.high, c64(bits)), or(shl(value.high, c64(64 - bits)), shrU(value.low, c64(bits))));

/** Shifts right by `count` (an i32 local, not negative), in place; from 128 on nothing is left. */
export function shiftWideRight(f: FunctionBuilder, value: Wide, count: Local): void {
  const wideCount = f.let(extendU(count));
  f.if(
    ltU(count, c32(64)),
    () => {
      // Shifting in two steps keeps a count of 0 right.
      const down = shl(shl(value.high, c64(1)), xor(wideCount, c64(63)));
      f.set(value.low, or(shrU(value.low, wideCount), down));
      f.set(value.high, shrU(value.high, wideCount));
    },
    () => {
      f.if(
        ltU(count, c32(128)),
        () => f.set(value.low, shrU(value.high, wideCount)),
        () => f.set(value.low, c64(0)),
      );
      f.set(value.high, c64(0));
    },
  );
  f.release(wideCount);
}

export const float = (value: Local): Node => pure(op.f64_convert_i64_u, value);
export const times = (a: Node, b: Node): Node => pure(op.f64_mul, a, b);
export const plus = (a: Node, b: Node): Node => pure(op.f64_add, a, b);
export const over = (a: Node, b: Node): Node => pure(op.f64_div, a, b);
/** value * 2^scale, truncated to a signed integer. */
export const toFixed = (value: Node, scale: number): Node =>
  pure(op.i64_trunc_sat_f64_s, times(value, cf64(2 ** scale)));

/** c0 + x (c1 + x (c2 + …)) in f64. */
export const polynomial = (x: Node, coefficients: readonly number[]): Node =>
  coefficients.reduceRight<Node | undefined>(
    (rest, coefficient) => (rest ? plus(cf64(coefficient), times(x, rest)) : cf64(coefficient)),
    undefined,
  )!;

/** 2^64 / divisor, rounded: a coefficient in fixed point. */
const reciprocal = (divisor: bigint): Node => c64((WORD + divisor / 2n) / divisor);

/** Value with the sign that the i64 `mask` (0 or all ones) says. */
const signed = (value: Node, mask: Local): Node => sub(xor(value, mask), mask);

/** Mask of all ones for a negative number. */
export const signMask = (f: FunctionBuilder, negative: Node): Local => f.let(neg(extendU(negative)));

/** z * 2^(127 + shift) / 2^127 of a number below 2^-shift: its fixed-point form with `shift` zero bits cut off the top. */
export function fixedBelow(f: FunctionBuilder, z: Number128, shift: number): Wide {
  const fixed = wide(f, z.high, z.low);
  const count = f.let(sub(c32(-shift - 1), z.exponent));
  shiftWideRight(f, fixed, count);
  f.release(count);
  return fixed;
}

/** z * g for g from 1/2 to 2 in units of 2^-127, normalized. */
export function scaled(f: FunctionBuilder, z: Number128, g: Wide): Number128 {
  const product = multiplyByWide(f, z, g);
  const exponent = f.let(add(z.exponent, c32(1)));
  normalizeOnce(f, product, exponent);
  normalizeOnce(f, product, exponent);
  return { ...product, exponent, negative: z.negative };
}

/** One step of normalizing, where at most so many are needed. */
export function normalizeOnce(f: FunctionBuilder, value: Wide, exponent: Local): void {
  const clear = f.let(xor(shrU(value.high, c64(63)), c64(1)));
  f.set(value.high, or(shl(value.high, clear), shrU(shrU(value.low, c64(63)), xor(clear, c64(1)))));
  f.set(value.low, shl(value.low, clear));
  f.set(exponent, sub(exponent, pure(op.i32_wrap_i64, clear)));
  f.release(clear);
}

/** The coefficients of z (1 + z a + z^2 (1/b + z (1/c + z F(z)))), a = ±1/2; negative b, c and F's signs go with z. */
export interface PowerSeries {
  /** 1 where the terms alternate: the sign of a and of every second one after it. */
  readonly alternates: boolean;
  /** Reciprocals of the coefficients of z^2 and z^3 in the parenthesis. */
  readonly third: bigint;
  readonly fourth: bigint;
  /** The coefficients from z^4 on, without signs. */
  readonly rest: readonly number[];
}

/**
 * Value of a {@link PowerSeries} for |z| < 2^-6, z not 0. Relative error below 2^-76: the terms count for less and less,
 * and so need fewer bits: 128, 64, then those of f64.
 */
export function powerSeries(f: FunctionBuilder, z: Number128, series: PowerSeries): Number128 {
  const fixed = fixedBelow(f, z, 6);
  // The terms' sign depends on z's, and alternates with it or against it.
  const mask = signMask(f, series.alternates ? xor(z.negative, c32(1)) : z.negative);
  const x = f.let(times(pure(op.f64_convert_i64_s, f.let(signed(shrU(fixed.high, c64(1)), mask))), cf64(2 ** -69)));
  const fourth = f.let(add(reciprocal(series.fourth), toFixed(times(x, polynomial(x, series.rest)), 64)));
  // z^2 in units of 2^-140, and z (1/c + …) in those of 2^-70.
  const square = multiplyByWide(f, fixed, fixed);
  const inner = highProduct(f, fixed.high, fourth);
  const cube = multiplyWide(f, square.high, inner);
  negateWhere(f, cube, mask);
  // z / 2 with the sign, in units of 2^-127, then 1 + that + the rest.
  const g = shiftedRight(f, fixed, 8);
  negateWhere(f, g, mask);
  f.set(g.high, add(g.high, c64(1n << 63n)));
  addWide(f, g, shiftedRight(f, multiplyBy64(f, square, f.let(reciprocal(series.third))), 13));
  addWide(f, g, wide(f, shrS(cube.high, c64(19)), or(shl(cube.high, c64(45)), shrU(cube.low, c64(19)))));
  return scaled(f, z, g);
}

/** 1 - u/a + u^2 (1/b - u F(u)), u = z^2. */
export interface EvenSeries {
  readonly a: bigint;
  readonly b: bigint;
  /** Coefficients of F, with their signs. */
  readonly rest: readonly number[];
}

/** Values of such series in units of 2^-127 for z^2 in units of 2^-140, |z| < 2^-6. Error below 2^-76. */
export function evenSeries(f: FunctionBuilder, square: Wide, { a, b, rest }: EvenSeries): Wide {
  const u = square.high;
  const x = f.let(times(float(u), cf64(2 ** -76)));
  const inner = f.let(sub(reciprocal(b), toFixed(times(x, polynomial(x, rest)), 64)));
  const product = highProduct(f, u, inner);
  const g = wide(f, c64(1n << 63n), c64(0));
  subtractWide(f, g, shiftedRight(f, multiplyBy64(f, square, f.let(reciprocal(a))), 13));
  addWide(f, g, shiftedRight(f, multiplyWide(f, u, product), 25));
  return g;
}

/** z^2 in units of 2^-140 for |z| < 2^-6. */
export function squareOf(f: FunctionBuilder, z: Number128): Wide {
  const fixed = fixedBelow(f, z, 6);
  return multiplyByWide(f, fixed, fixed);
}
