// Comparison, remainder, scaling and extraction of 80-bit numbers in WebAssembly.
// Owns the operations that give condition codes, or take exponents apart.
// Never looks at the register stack.

import { ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  eq,
  eqz,
  extendU,
  geS,
  geU,
  gtS,
  gtU,
  ltS,
  ltU,
  type Node,
  ne,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { divideWide } from './arithmetic.ts';
import { answerNans, raiseDenormal, TWO_OPERANDS, twoOperands } from './operands.ts';
import {
  BIAS_ADJUST,
  clearC1,
  EXPONENT_BIAS,
  Exception,
  exponentOf,
  fcw,
  fsw,
  INTEGER_BIT,
  isDenormal,
  isInfinity,
  isNan,
  isNormal,
  isSignaling,
  isUnsupported,
  isZero,
  type Local,
  put,
  type Reach,
  raise,
  Status,
  setStatus,
  signOf,
  unpack,
} from './parts.ts';

const { i32, i64 } = ValueType;

/** Set beside the condition codes when an unmasked exception withholds what follows the comparison: flags and pops. */
export const COMPARE_WITHHELD = 0x10000;
const UNORDERED = Status.c0 | Status.c2 | Status.c3;

/**
 * (a significand, a sign and exponent, b the same, 1 if quiet NaNs are no error) -> C0, C2, C3 as they stand in the
 * status word for a compared with b, with {@link COMPARE_WITHHELD}.
 */
const compareFunction: HelperFunction = {
  name: 'f80.compare',
  parameters: [i64, i32, i64, i32, i32],
  result: i32,
  build(f, reach) {
    const { a, aSe, b, bSe, destination: quiet } = twoOperands(f);
    /** The order of two numbers whose integer bits tell their magnitude; `also` is or-ed to the codes. */
    const answer = (also: Node): void => {
      const negative = signOf(aSe);
      f.if(ne(negative, signOf(bSe)), () => f.return(or(also, select(negative, c32(Status.c0), c32(0)))));
      // Pseudo-denormals have the exponent that 1 stands for.
      const exponent = (significand: Local, se: Local): Node =>
        add(exponentOf(se), and(eqz(exponentOf(se)), wrap(shrU(significand, c64(63)))));
      const ea = f.let(exponent(a, aSe));
      const eb = f.let(exponent(b, bSe));
      f.if(and(eq(ea, eb), eq(a, b)), () => f.return(or(also, c32(Status.c3))));
      const smaller = or(ltS(ea, eb), and(eq(ea, eb), ltU(a, b)));
      f.return(or(also, select(xor(smaller, ne(negative, c32(0))), c32(Status.c0), c32(0))));
    };
    f.if(and(isNormal(a, aSe), isNormal(b, bSe)), () => answer(c32(0)));
    const unsupported = f.let(or(isUnsupported(a, aSe), isUnsupported(b, bSe)));
    f.if(or(unsupported, or(isNan(a, aSe), isNan(b, bSe))), () => {
      f.if(or(or(eqz(quiet), unsupported), or(isSignaling(a, aSe), isSignaling(b, bSe))), () =>
        f.if(raise(f, reach, c32(Exception.invalid)), () => f.return(c32(UNORDERED | COMPARE_WITHHELD))),
      );
      f.return(c32(UNORDERED));
    });
    // The codes tell the order even where the denormal exception is unmasked.
    const withheld = f.let(c32(0));
    f.if(or(isDenormal(a, aSe), isDenormal(b, bSe)), () =>
      f.if(raise(f, reach, c32(Exception.denormal)), () => f.set(withheld, c32(COMPARE_WITHHELD))),
    );
    f.if(and(eqz(a), eqz(b)), () => f.return(or(withheld, c32(Status.c3))));
    answer(withheld);
    f.unreachable();
  },
};

/** Writes an exact result of unlimited exponent range that has no bits below the smallest denormal's. */
function putExact(
  f: FunctionBuilder,
  reach: Reach,
  destination: Local,
  significand: Local,
  sign: Node,
  exponent: Local,
): void {
  f.if(gtS(exponent, c32(0)), () => {
    put(f, destination, significand, or(sign, exponent));
    f.return(c32(1));
  });
  f.if(
    and(fcw, c32(Exception.underflow)),
    () => put(f, destination, shrU(significand, extendU(sub(c32(1), exponent))), sign),
    () => {
      f.drop(raise(f, reach, c32(Exception.underflow)));
      put(f, destination, significand, or(sign, add(exponent, c32(BIAS_ADJUST))));
    },
  );
}

/**
 * (a significand, a sign and exponent, b the same, destination, 1 for FPREM1) -> 0 when an unmasked exception withholds
 * the result. Sets C0, C1 and C3 to the quotient's low bits, C2 when the reduction is not complete; C1 and C2 were clear.
 */
const remainder: HelperFunction = {
  name: 'f80.rem',
  parameters: [...TWO_OPERANDS, i32],
  result: i32,
  build(f, reach) {
    const operands = twoOperands(f);
    const { a, aSe, b, bSe, destination } = operands;
    const toNearest = f.parameter(5, i32);
    answerNans(f, reach, operands);
    f.if(or(isInfinity(a, aSe), isZero(b, bSe)), () => f.returnCall(reach('f80.invalid'), destination));
    raiseDenormal(f, reach, operands);
    setStatus(f, and(fsw, c32(~(Status.c0 | Status.c3))));
    f.if(isZero(a, aSe), () => {
      put(f, destination, a, aSe);
      f.return(c32(1));
    });
    const sign = f.let(signOf(aSe));
    const ea = unpack(f, a, aSe);
    f.if(isInfinity(b, bSe), () => {
      putExact(f, reach, destination, a, sign, ea);
      f.return(c32(1));
    });
    const eb = unpack(f, b, bSe);
    const distance = f.let(sub(ea, eb));
    const quotient = f.let(c64(0));
    f.if(geS(distance, c32(64)), () => {
      // Reduces by 2^N, N from 32 to 63, so that whole steps of 32 are left (as processors do).
      const steps = f.let(or(and(distance, c32(31)), c32(32)));
      f.set(ea, sub(ea, steps));
      f.set(distance, steps);
      setStatus(f, or(fsw, c32(Status.c2)));
      longDivision(f, a, b, quotient, distance);
      f.if(eqz(a), () => {
        put(f, destination, c64(0), sign);
        f.return(c32(1));
      });
      const count = f.let(clz(a));
      f.set(a, shl(a, count));
      f.set(ea, sub(ea, wrap(count)));
      putExact(f, reach, destination, a, sign, ea);
      f.return(c32(1));
    });
    f.if(
      geS(distance, c32(0)),
      () => {
        longDivision(f, a, b, quotient, distance);
        f.set(ea, eb);
      },
      () => {
        // |a| < |b|: nothing to take away, unless rounding the quotient to nearest makes it 1.
        f.if(or(eqz(toNearest), ltS(distance, c32(-1))), () => {
          putExact(f, reach, destination, a, sign, ea);
          f.return(c32(1));
        });
      },
    );
    f.if(toNearest, () => {
      // What is left against half of b: at b's exponent compare with b - a; one below it, a stands for a / 2.
      f.if(
        eq(ea, eb),
        () => {
          const other = f.let(sub(b, a));
          f.if(or(gtU(a, other), and(eq(a, other), wrap(and(quotient, c64(1))))), () => {
            f.set(a, other);
            f.set(sign, xor(sign, c32(0x8000)));
            f.set(quotient, add(quotient, c64(1)));
          });
        },
        () =>
          // |a| = a / 2 in b's units: more than half of b exactly when a > b; the rest is b - a / 2 = (2b - a) / 2.
          f.if(gtU(a, b), () => {
            f.set(a, sub(shl(b, c64(1)), a));
            f.set(sign, xor(sign, c32(0x8000)));
            f.set(quotient, c64(1));
          }),
      );
    });
    const q = f.let(wrap(quotient));
    setStatus(
      f,
      or(fsw, or(or(shl(and(q, c32(4)), c32(6)), shl(and(q, c32(2)), c32(13))), shl(and(q, c32(1)), c32(9)))),
    );
    f.if(eqz(a), () => {
      put(f, destination, c64(0), signOf(aSe));
      f.return(c32(1));
    });
    const count = f.let(clz(a));
    f.set(a, shl(a, count));
    f.set(ea, sub(ea, wrap(count)));
    putExact(f, reach, destination, a, sign, ea);
    f.return(c32(1));
    f.unreachable();
  },
};

/** a becomes (a << steps) mod b for up to 63 steps, `quotient` the quotient's low 64 bits. Both are normalized. */
function longDivision(f: FunctionBuilder, a: Local, b: Local, quotient: Local, steps: Local): void {
  const count = f.let(extendU(steps));
  f.if(geU(a, b), () => {
    f.set(a, sub(a, b));
    f.set(quotient, shl(c64(1), count));
  });
  const high = f.let(shrU(shrU(a, c64(1)), xor(count, c64(63))));
  const low = f.let(shl(a, count));
  const divided = divideWide(f, high, low, b);
  f.set(quotient, add(quotient, divided.quotient));
  f.set(a, divided.remainder);
  for (const local of [count, high, low, divided.quotient, divided.remainder]) f.release(local);
}

/** (a significand, a sign and exponent, b the same, destination) -> 0 when withheld: a * 2^trunc(b). FSCALE. */
const scale: HelperFunction = {
  name: 'f80.scale',
  parameters: TWO_OPERANDS,
  result: i32,
  build(f, reach) {
    const operands = twoOperands(f);
    const { a, aSe, b, bSe, destination } = operands;
    clearC1(f);
    answerNans(f, reach, operands);
    const aZero = f.let(isZero(a, aSe));
    const aInfinite = f.let(isInfinity(a, aSe));
    const down = f.let(signOf(bSe));
    const denormal = (): void => raiseDenormal(f, reach, operands);
    f.if(isInfinity(b, bSe), () => {
      f.if(select(down, aInfinite, aZero), () => f.returnCall(reach('f80.invalid'), destination));
      denormal();
      f.if(
        down,
        () => put(f, destination, c64(0), signOf(aSe)),
        () => put(f, destination, c64(INTEGER_BIT), or(signOf(aSe), c32(0x7fff))),
      );
      f.return(c32(1));
    });
    denormal();
    f.if(or(aZero, aInfinite), () => {
      put(f, destination, a, aSe);
      f.return(c32(1));
    });
    const exponent = unpack(f, a, aSe);
    const bExponent = f.let(exponentOf(bSe));
    // Beyond 2^16 every scale overflows or underflows, even after the bias adjustment.
    const amount = f.let(
      select(
        ltS(bExponent, c32(EXPONENT_BIAS)),
        c32(0),
        select(
          gtS(bExponent, c32(EXPONENT_BIAS + 16)),
          c32(0x10000),
          wrap(shrU(b, extendU(sub(c32(EXPONENT_BIAS + 63), bExponent)))),
        ),
      ),
    );
    const sign = f.let(signOf(aSe));
    f.set(exponent, add(exponent, select(down, sub(c32(0), amount), amount)));
    f.call(reach('f80.roundFull'), sign, exponent, a, c64(0), destination);
    f.return(c32(1));
    f.unreachable();
  },
};

export const comparisonHelpers: readonly HelperFunction[] = [compareFunction, remainder, scale];
