// Exact SSE arithmetic on one lane: every rounding mode, DAZ, FTZ, NaNs, and all six exception flags.
// Owns the helper functions sse.add64 and the like; a float travels as the i64 of its bits (32-bit ones zero-extended).
// Never writes MXCSR: helpers gather flags, the meaning commits them (mxcsr.ts).

import { call, type FunctionBuilder } from '../../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  ctz,
  eq,
  eqz,
  extendU,
  geS,
  geU,
  gtU,
  mul,
  type Node,
  ne,
  op,
  or,
  pure,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
} from '../../builder/nodes.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import type { HelperFunction } from '../row.ts';
import { bitsOf, constant, FORMATS, type Format, fromBits, i64, scalarOp, smallestNormal } from './common.ts';

import {
  denormals,
  exponentOf,
  fractionOf,
  helper,
  implicitBit,
  infinityBits,
  invalid,
  isInfinite,
  isNan,
  isSmall,
  isZero,
  magnitude,
  mxcsr,
  normalized,
  raise,
  roundingControl,
  signed,
  signMask,
  signOf,
} from './soft-numbers.ts';
// ---- the middle path: native arithmetic when the operands are harmless, with a test for exactness

/** 1 when MXCSR rounds to nearest and masks every exception. DAZ and FTZ do not matter to harmless operands. */
export const nearestAndMasked = (): Node => eq(and(mxcsr(), c32(Mxcsr.round | Mxcsr.masks)), c32(Mxcsr.masks));

/** 1 for a zero, or a number whose magnitude is from 2^low to below 2^high. */
function harmless(format: Format, value: Node, low: number, high: number): Node {
  const size = (): Node => pure(scalarOp(format, 'abs'), value);
  const inside = and(
    pure(scalarOp(format, 'ge'), size(), constant(format, 2 ** low)),
    pure(scalarOp(format, 'lt'), size(), constant(format, 2 ** high)),
  );
  return or(inside, pure(scalarOp(format, 'eq'), value, constant(format, 0)));
}

/** Zero bits below the lowest one of a normal number's significand. */
const trailingZeros = (format: Format, bits: Node): Node => wrap(ctz(or(bits, c64(implicitBit(format)))));

/** 1 when the product of two normal numbers, whose rounded product is `product`, needs no rounding. All are bits. */
function exactProduct(format: Format, a: Node, b: Node, product: Node): Node {
  // Significands of p bits make a product of 2p - 1 or 2p: which, the exponents tell (a carry from rounding means inexact).
  const longer = sub(
    exponentOf(format, product),
    sub(add(exponentOf(format, a), exponentOf(format, b)), c32(format.bias)),
  );
  return geS(add(trailingZeros(format, a), trailingZeros(format, b)), add(c32(format.fraction), longer));
}

const raiseInexactUnless = (f: FunctionBuilder, exact: Node): void => f.if(eqz(exact), () => raise(f, c32(Mxcsr.pe)));

// ---- add, subtract, multiply, divide, square root

function addition(format: Format, subtract: boolean): HelperFunction {
  const top = 61 - format.fraction;
  return helper(`sse.${subtract ? 'sub' : 'add'}${format.bits}`, [i64, i64], i64, (f, reference) => {
    const a = f.parameter(0, i64);
    const b = f.parameter(1, i64);
    const high = format.maxExponent - format.bias - 3;
    const low = 1 - format.bias;
    f.if(nearestAndMasked(), () => {
      const x = f.let(fromBits(format, a));
      const y = f.let(fromBits(format, subtract ? xor(b, c64(signMask(format))) : b));
      f.if(and(harmless(format, x, low, high), harmless(format, y, low, high)), () => {
        const r = f.let(pure(scalarOp(format, 'add'), x, y));
        const size = pure(scalarOp(format, 'abs'), r);
        // A denormal sum is exact, but FTZ would flush it.
        f.if(
          or(
            pure(scalarOp(format, 'ge'), size, constant(format, smallestNormal(format))),
            pure(scalarOp(format, 'eq'), r, constant(format, 0)),
          ),
          () => {
            // Knuth's two-sum: the error of a rounded sum, exactly.
            const minus = (p: Node, q: Node): Node => pure(scalarOp(format, 'sub'), p, q);
            const back = f.let(minus(r, x));
            const error = pure(scalarOp(format, 'add'), minus(x, minus(r, back)), minus(y, back));
            raiseInexactUnless(f, pure(scalarOp(format, 'eq'), error, constant(format, 0)));
            f.return(bitsOf(format, r));
          },
        );
      });
    });
    f.if(or(isNan(format, a), isNan(format, b)), () => f.return(call(reference(`sse.nan${format.bits}`), a, b)));
    if (subtract) f.set(b, xor(b, c64(signMask(format))));
    denormals(f, format, a, b);
    f.if(isInfinite(format, a), () => {
      f.if(and(isInfinite(format, b), ne(a, b)), () => invalid(f, format));
      f.return(a);
    });
    f.if(isInfinite(format, b), () => f.return(b));
    // The larger magnitude first; then the difference of magnitudes is never negative.
    f.if(gtU(magnitude(format, b), magnitude(format, a)), () => {
      const swapped = f.let(a);
      f.set(a, b);
      f.set(b, swapped);
    });
    const significand = (bits: Node): Node =>
      shl(or(fractionOf(format, bits), select(isSmall(format, bits), c64(0), c64(implicitBit(format)))), c64(top));
    const exponent = (bits: Node): Node => add(exponentOf(format, bits), isSmall(format, bits));
    const exp = f.let(exponent(a));
    const shift = f.let(extendU(sub(exp, exponent(b))));
    const small = f.let(significand(b));
    f.if(
      gtU(shift, c64(62)),
      () => f.set(small, extendU(ne(small, c64(0)))),
      () =>
        f.if(ne(shift, c64(0)), () =>
          f.set(small, or(shrU(small, shift), extendU(ne(shl(small, sub(c64(64), shift)), c64(0))))),
        ),
    );
    const opposite = f.let(ne(signOf(format, a), signOf(format, b)));
    const total = f.let(select(opposite, sub(significand(a), small), add(significand(a), small)));
    f.if(eqz(total), () => {
      f.if(opposite, () => f.return(select(eq(roundingControl(), c32(1)), c64(signMask(format)), c64(0))));
      f.return(a);
    });
    const spare = f.let(sub(clz(total), c64(1)));
    f.return(
      call(
        reference(`sse.round${format.bits}`),
        signOf(format, a),
        sub(add(exp, c32(1)), wrap(spare)),
        shl(total, spare),
      ),
    );
    f.unreachable();
  });
}

function multiplication(format: Format): HelperFunction {
  return helper(`sse.mul${format.bits}`, [i64, i64], i64, (f, reference) => {
    const a = f.parameter(0, i64);
    const b = f.parameter(1, i64);
    const low = 1 - format.bias;
    const high = format.maxExponent - format.bias;
    f.if(nearestAndMasked(), () => {
      const x = f.let(fromBits(format, a));
      const y = f.let(fromBits(format, b));
      f.if(and(harmless(format, x, low, high), harmless(format, y, low, high)), () => {
        const r = f.let(bitsOf(format, pure(scalarOp(format, 'mul'), x, y)));
        f.if(or(isZero(format, a), isZero(format, b)), () => f.return(r));
        f.if(
          and(
            gtU(magnitude(format, r), c64(implicitBit(format))),
            gtU(c64(infinityBits(format)), magnitude(format, r)),
          ),
          () => {
            raiseInexactUnless(f, exactProduct(format, a, b, r));
            f.return(r);
          },
        );
      });
    });
    f.if(or(isNan(format, a), isNan(format, b)), () => f.return(call(reference(`sse.nan${format.bits}`), a, b)));
    const sign = f.let(xor(signOf(format, a), signOf(format, b)));
    denormals(f, format, a, b);
    f.if(or(isInfinite(format, a), isInfinite(format, b)), () => {
      f.if(or(isZero(format, a), isZero(format, b)), () => invalid(f, format));
      f.return(or(signed(format, sign), c64(infinityBits(format))));
    });
    f.if(or(isZero(format, a), isZero(format, b)), () => f.return(signed(format, sign)));
    const left = normalized(f, format, a);
    const right = normalized(f, format, b);
    const exponent = f.let(sub(add(left.exponent, right.exponent), c32(format.bias - 1)));
    const product = f.let(call(reference('sse.mulhigh'), left.significand, shl(right.significand, c64(1))));
    f.if(eqz(shrU(product, c64(62))), () => {
      f.set(product, shl(product, c64(1)));
      f.set(exponent, sub(exponent, c32(1)));
    });
    f.return(call(reference(`sse.round${format.bits}`), sign, exponent, product));
    f.unreachable();
  });
}

/** sse.mulhigh: the upper 64 bits of an unsigned product; its lowest bit is sticky. */
const mulHigh = helper('sse.mulhigh', [i64, i64], i64, (f) => {
  const a = f.parameter(0, i64);
  const b = f.parameter(1, i64);
  const low = (value: Node): Node => and(value, c64(0xffffffffn));
  const up = (value: Node): Node => shrU(value, c64(32));
  const bottom = f.let(mul(low(a), low(b)));
  const middle = f.let(add(mul(up(a), low(b)), up(bottom)));
  const other = f.let(add(mul(low(a), up(b)), low(middle)));
  const high = add(add(mul(up(a), up(b)), up(middle)), up(other));
  f.return(or(high, extendU(ne(or(low(bottom), low(other)), c64(0)))));
  f.unreachable();
});

function division(format: Format): HelperFunction {
  return helper(`sse.div${format.bits}`, [i64, i64], i64, (f, reference) => {
    const a = f.parameter(0, i64);
    const b = f.parameter(1, i64);
    const low = 1 - format.bias;
    const high = format.maxExponent - format.bias;
    f.if(nearestAndMasked(), () => {
      const x = f.let(fromBits(format, a));
      const y = f.let(fromBits(format, b));
      f.if(and(harmless(format, x, low + 3, high), harmless(format, y, low, high)), () => {
        f.if(eqz(isZero(format, b)), () => {
          const quotient = f.let(pure(scalarOp(format, 'div'), x, y));
          const r = f.let(bitsOf(format, quotient));
          f.if(isZero(format, a), () => f.return(r));
          f.if(
            and(
              gtU(magnitude(format, r), c64(implicitBit(format))),
              gtU(c64(infinityBits(format)), magnitude(format, r)),
            ),
            () => {
              // A quotient is exact when multiplying it back is exact and gives the dividend.
              raiseInexactUnless(
                f,
                and(
                  pure(scalarOp(format, 'eq'), pure(scalarOp(format, 'mul'), quotient, y), x),
                  exactProduct(format, r, b, a),
                ),
              );
              f.return(r);
            },
          );
        });
      });
    });
    f.if(or(isNan(format, a), isNan(format, b)), () => f.return(call(reference(`sse.nan${format.bits}`), a, b)));
    const sign = f.let(xor(signOf(format, a), signOf(format, b)));
    const infinity = or(signed(format, sign), c64(infinityBits(format)));
    // Zero over zero and division by zero come before a denormal operand.
    const daz = f.let(ne(and(mxcsr(), c32(Mxcsr.daz)), c32(0)));
    const flushed = (bits: Node): Node => or(isZero(format, bits), and(ne(daz, c32(0)), isSmall(format, bits)));
    f.if(isInfinite(format, a), () => {
      f.if(isInfinite(format, b), () => invalid(f, format));
      denormals(f, format, b);
      f.return(infinity);
    });
    f.if(flushed(b), () => {
      f.if(flushed(a), () => invalid(f, format));
      raise(f, c32(Mxcsr.ze));
      f.return(infinity);
    });
    denormals(f, format, a, b);
    f.if(or(isInfinite(format, b), isZero(format, a)), () => f.return(signed(format, sign)));
    const left = normalized(f, format, a);
    const right = normalized(f, format, b);
    const exponent = f.let(add(sub(left.exponent, right.exponent), c32(format.bias)));
    const rest = left.significand;
    f.if(gtU(right.significand, rest), () => {
      f.set(rest, shl(rest, c64(1)));
      f.set(exponent, sub(exponent, c32(1)));
    });
    const quotient = f.let(c64(0));
    const steps = f.let(c32(63));
    f.loop((again) => {
      f.set(quotient, shl(quotient, c64(1)));
      f.if(geU(rest, right.significand), () => {
        f.set(rest, sub(rest, right.significand));
        f.set(quotient, or(quotient, c64(1)));
      });
      f.set(rest, shl(rest, c64(1)));
      f.set(steps, sub(steps, c32(1)));
      f.brIf(again, steps);
    });
    f.return(call(reference(`sse.round${format.bits}`), sign, exponent, or(quotient, extendU(ne(rest, c64(0))))));
    f.unreachable();
  });
}

function squareRoot(format: Format): HelperFunction {
  return helper(`sse.sqrt${format.bits}`, [i64], i64, (f, reference) => {
    const a = f.parameter(0, i64);
    f.if(nearestAndMasked(), () => {
      const x = f.let(fromBits(format, a));
      f.if(
        and(
          pure(scalarOp(format, 'ge'), x, constant(format, 2 ** (4 - format.bias))),
          pure(scalarOp(format, 'lt'), x, constant(format, Number.POSITIVE_INFINITY)),
        ),
        () => {
          const root = f.let(pure(scalarOp(format, 'sqrt'), x));
          const r = f.let(bitsOf(format, root));
          raiseInexactUnless(
            f,
            and(
              pure(scalarOp(format, 'eq'), pure(scalarOp(format, 'mul'), root, root), x),
              exactProduct(format, r, r, a),
            ),
          );
          f.return(r);
        },
      );
    });
    f.if(isNan(format, a), () => f.return(call(reference(`sse.nan${format.bits}`), a, a)));
    f.if(
      and(
        signOf(format, a),
        and(eqz(isZero(format, a)), or(eqz(isSmall(format, a)), eqz(and(mxcsr(), c32(Mxcsr.daz))))),
      ),
      () => invalid(f, format),
    );
    denormals(f, format, a);
    f.if(or(isZero(format, a), isInfinite(format, a)), () => f.return(a));
    const { exponent, significand } = normalized(f, format, a);
    // m in [1, 4) with an even exponent; everything below is in units of 2^-58.
    const odd = f.let(and(xor(exponent, c32(format.bias)), c32(1)));
    f.set(exponent, sub(exponent, add(c32(format.bias), odd)));
    const one = 1n << 58n;
    const rest = f.let(sub(shl(shrU(significand, c64(4)), extendU(odd)), c64(one)));
    const root = f.let(c64(one));
    const bit = f.let(c64(one >> 1n));
    // Digit by digit: the remainder, doubled each time, against 2 root + bit.
    f.loop((again) => {
      f.set(rest, shl(rest, c64(1)));
      const trial = f.let(add(shl(root, c64(1)), bit));
      f.if(geU(rest, trial), () => {
        f.set(rest, sub(rest, trial));
        f.set(root, or(root, bit));
      });
      f.set(bit, shrU(bit, c64(1)));
      f.brIf(again, gtU(bit, c64(1)));
    });
    f.return(
      call(
        reference(`sse.round${format.bits}`),
        c32(0),
        add(pure(op.i32_shr_s, exponent, c32(1)), c32(format.bias)),
        or(shl(root, c64(4)), extendU(ne(rest, c64(0)))),
      ),
    );
    f.unreachable();
  });
}

export const arithmeticHelpers: readonly HelperFunction[] = [
  mulHigh,
  ...FORMATS.flatMap((format) => [
    addition(format, false),
    addition(format, true),
    multiplication(format),
    division(format),
    squareRoot(format),
  ]),
];
