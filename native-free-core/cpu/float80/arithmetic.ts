// Addition, subtraction, multiplication and division of 80-bit numbers in WebAssembly.
// Owns the operations on values; operands come as significand and sign-exponent, the result goes to an address.
// Never looks at the register stack: see instructions/x87.

import { op, ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  divU,
  eq,
  eqz,
  extendU,
  geU,
  gtU,
  ltU,
  mul,
  type Node,
  ne,
  neg,
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
import {
  answerNan,
  answerNans,
  ONE_OPERAND,
  oneOperand,
  raiseDenormal,
  TWO_OPERANDS,
  twoOperands,
} from './operands.ts';
import {
  clearC1,
  EXPONENT_BIAS,
  Exception,
  exponentOf,
  fcw,
  INTEGER_BIT,
  isInfinity,
  isNormal,
  isZero,
  type Local,
  multiplyWide,
  put,
  type Reach,
  raise,
  shiftRightSticky,
  signOf,
  unpack,
} from './parts.ts';
import { emitRound } from './rounding.ts';

const { i32, i64 } = ValueType;

/** A finite operand that is not zero: sign 0 or 0x8000, exponent of unlimited range, normalized significand. */
interface Finite {
  readonly sign: Local;
  readonly exponent: Local;
  readonly significand: Local;
}

/** What distinguishes one binary operation from another. */
interface Operation {
  readonly name: string;
  /** b's sign is inverted, unless b is a NaN. */
  readonly negateB?: boolean;
  finite(f: FunctionBuilder, reach: Reach, a: Finite, b: Finite, destination: Local): void;
  /** The operands are numbers and at least one is zero or infinite. `denormal()` raises the denormal exception if due. */
  special(
    f: FunctionBuilder,
    reach: Reach,
    a: { significand: Local; se: Local },
    b: { significand: Local; se: Local },
    destination: Local,
    denormal: () => void,
  ): void;
}

/** (a significand, a sign and exponent, b the same, destination) -> 0 when an unmasked exception withholds the result. */
const binary = (operation: Operation): HelperFunction => ({
  name: operation.name,
  parameters: TWO_OPERANDS,
  result: i32,
  build(f, reach) {
    const operands = twoOperands(f);
    const { a, aSe, b, bSe, destination } = operands;
    const bSign = (): Node => (operation.negateB ? xor(signOf(bSe), c32(0x8000)) : signOf(bSe));
    f.if(and(isNormal(a, aSe), isNormal(b, bSe)), () => {
      const fa = { sign: f.let(signOf(aSe)), exponent: f.let(exponentOf(aSe)), significand: a };
      const fb = { sign: f.let(bSign()), exponent: f.let(exponentOf(bSe)), significand: b };
      operation.finite(f, reach, fa, fb, destination);
      f.return(c32(1));
    });
    clearC1(f);
    answerNans(f, reach, operands);
    if (operation.negateB) f.set(bSe, xor(bSe, c32(0x8000)));
    const denormal = (): void => raiseDenormal(f, reach, operands);
    f.if(or(or(isZero(a, aSe), isZero(b, bSe)), or(isInfinity(a, aSe), isInfinity(b, bSe))), () => {
      operation.special(f, reach, { significand: a, se: aSe }, { significand: b, se: bSe }, destination, denormal);
      f.return(c32(1));
    });
    denormal();
    const fa = { sign: f.let(signOf(aSe)), exponent: unpack(f, a, aSe), significand: a };
    const fb = { sign: f.let(signOf(bSe)), exponent: unpack(f, b, bSe), significand: b };
    operation.finite(f, reach, fa, fb, destination);
    f.return(c32(1));
    f.unreachable();
  },
});

/** Sign of an exact zero sum of operands of different signs: minus only when rounding down. */
const zeroSumSign = (): Node => select(eq(and(fcw, c32(0xc00)), c32(0x400)), c32(0x8000), c32(0));

/** No branch here depends on the operands' order or a carry, which nothing could predict. */
function addFinite(f: FunctionBuilder, reach: Reach, a: Finite, b: Finite, destination: Local): void {
  const distance = f.let(sub(a.exponent, b.exponent));
  const swapped = f.let(or(pure(op.i32_lt_s, distance, c32(0)), and(eqz(distance), ltU(a.significand, b.significand))));
  const high = f.let(select(swapped, b.significand, a.significand));
  const small = f.let(select(swapped, a.significand, b.significand));
  const sign = f.let(select(swapped, b.sign, a.sign));
  const exponent = f.let(select(swapped, b.exponent, a.exponent));
  f.set(distance, select(swapped, sub(c32(0), distance), distance));
  const low = f.let(c64(0));
  f.if(
    ltU(distance, c32(64)),
    () => {
      const count = f.let(extendU(distance));
      // In two steps, so that a distance of 0 leaves nothing.
      f.set(low, shl(shl(small, c64(1)), xor(count, c64(63))));
      f.set(small, shrU(small, count));
      f.release(count);
    },
    () => shiftRightSticky(f, small, low, distance),
    true,
  );
  f.if(
    eq(a.sign, b.sign),
    () => {
      f.set(high, add(high, small));
      const carry = f.let(extendU(ltU(high, small)));
      f.set(low, or(or(shrU(low, carry), and(low, carry)), and(neg(carry), shl(high, c64(63)))));
      f.set(high, or(shrU(high, carry), shl(carry, c64(63))));
      f.set(exponent, add(exponent, wrap(carry)));
    },
    () => {
      f.set(high, sub(sub(high, small), extendU(ne(low, c64(0)))));
      f.set(low, neg(low));
      f.if(
        eqz(high),
        () => {
          f.if(eqz(low), () => {
            clearC1(f);
            put(f, destination, c64(0), zeroSumSign());
            f.return(c32(1));
          });
          f.set(high, low);
          f.set(low, c64(0));
          f.set(exponent, sub(exponent, c32(64)));
        },
        undefined,
        false,
      );
      const count = f.let(clz(high));
      f.set(high, or(shl(high, count), shrU(shrU(low, c64(1)), xor(count, c64(63)))));
      f.set(low, shl(low, count));
      f.set(exponent, sub(exponent, wrap(count)));
    },
  );
  emitRound(f, reach, sign, exponent, high, low, destination);
}

const addition = (name: string, negateB: boolean): HelperFunction =>
  binary({
    name,
    negateB,
    finite: addFinite,
    special(f, reach, a, b, destination, denormal) {
      f.if(isInfinity(a.significand, a.se), () => {
        f.if(and(isInfinity(b.significand, b.se), ne(signOf(a.se), signOf(b.se))), () =>
          f.returnCall(reach('f80.invalid'), destination),
        );
        denormal();
        put(f, destination, a.significand, a.se);
        f.return(c32(1));
      });
      denormal();
      f.if(isInfinity(b.significand, b.se), () => {
        put(f, destination, b.significand, and(b.se, c32(0xffff)));
        f.return(c32(1));
      });
      f.if(and(eqz(a.significand), eqz(b.significand)), () => {
        put(f, destination, c64(0), select(eq(signOf(a.se), signOf(b.se)), signOf(a.se), zeroSumSign()));
        f.return(c32(1));
      });
      // Zero and a number: the number, rounded to the precision in force.
      const bIsZero = f.let(eqz(b.significand));
      const high = f.let(select(bIsZero, a.significand, b.significand));
      const se = f.let(select(bIsZero, a.se, b.se));
      const sign = f.let(signOf(se));
      const exponent = unpack(f, high, se);
      const low = f.let(c64(0));
      emitRound(f, reach, sign, exponent, high, low, destination);
    },
  });

const multiplication = binary({
  name: 'f80.mul',
  finite(f, reach, a, b, destination) {
    const sign = f.let(xor(a.sign, b.sign));
    const exponent = f.let(sub(add(a.exponent, b.exponent), c32(EXPONENT_BIAS - 1)));
    const { high, low } = multiplyWide(f, a.significand, b.significand);
    // At most one leading zero.
    const zeros = f.let(xor(shrU(high, c64(63)), c64(1)));
    f.set(high, or(shl(high, zeros), and(neg(zeros), shrU(low, c64(63)))));
    f.set(low, shl(low, zeros));
    f.set(exponent, sub(exponent, wrap(zeros)));
    emitRound(f, reach, sign, exponent, high, low, destination);
  },
  special(f, reach, a, b, destination, denormal) {
    const sign = f.let(signOf(xor(a.se, b.se)));
    const infinite = f.let(or(isInfinity(a.significand, a.se), isInfinity(b.significand, b.se)));
    f.if(and(infinite, or(isZero(a.significand, a.se), isZero(b.significand, b.se))), () =>
      f.returnCall(reach('f80.invalid'), destination),
    );
    denormal();
    f.if(
      infinite,
      () => put(f, destination, c64(INTEGER_BIT), or(sign, c32(0x7fff))),
      () => put(f, destination, c64(0), sign),
    );
  },
});

/**
 * Quotient of high:low by `divisor`, whose top bit is set, where high < divisor; `remainder` is what is left. Two steps
 * of long division in base 2^32 (Knuth, The Art of Computer Programming 4.3.1, algorithm D).
 */
export function divideWide(
  f: FunctionBuilder,
  high: Local,
  low: Local,
  divisor: Local,
): { quotient: Local; remainder: Local } {
  const mask = c64(0xffffffffn);
  const half = c64(32);
  const dHigh = f.let(shrU(divisor, half));
  const dLow = f.let(and(divisor, mask));
  const digit = (top: Local, next: Local): Local => {
    const q = f.let(divU(top, dHigh));
    const rest = f.let(sub(top, mul(q, dHigh)));
    f.block((done) =>
      f.loop((again) => {
        f.brIf(done, eqz(or(ne(shrU(q, half), c64(0)), gtU(mul(q, dLow), or(shl(rest, half), next)))));
        f.set(q, sub(q, c64(1)));
        f.set(rest, add(rest, dHigh));
        f.brIf(again, eqz(shrU(rest, half)));
      }),
    );
    f.release(rest);
    return q;
  };
  const next = f.let(shrU(low, half));
  const q1 = digit(high, next);
  const middle = f.let(sub(or(shl(high, half), next), mul(q1, divisor)));
  f.set(next, and(low, mask));
  const q0 = digit(middle, next);
  const remainder = f.let(sub(or(shl(middle, half), next), mul(q0, divisor)));
  f.set(q1, add(shl(q1, half), q0));
  for (const local of [dHigh, dLow, next, middle, q0]) f.release(local);
  return { quotient: q1, remainder };
}

const division = binary({
  name: 'f80.div',
  finite(f, reach, a, b, destination) {
    const sign = f.let(xor(a.sign, b.sign));
    const exponent = f.let(add(sub(a.exponent, b.exponent), c32(EXPONENT_BIAS - 1)));
    const high = f.let(a.significand);
    const low = f.let(c64(0));
    f.if(geU(high, b.significand), () => {
      f.set(low, shl(high, c64(63)));
      f.set(high, shrU(high, c64(1)));
      f.set(exponent, add(exponent, c32(1)));
    });
    const { quotient, remainder } = divideWide(f, high, low, b.significand);
    // The fraction behind the quotient matters only as nothing, less than, exactly, or more than a half.
    const rest = f.let(sub(b.significand, remainder));
    const fraction = f.let(
      select(ltU(remainder, rest), extendU(ne(remainder, c64(0))), or(c64(INTEGER_BIT), extendU(gtU(remainder, rest)))),
    );
    emitRound(f, reach, sign, exponent, quotient, fraction, destination);
  },
  special(f, reach, a, b, destination, denormal) {
    const sign = f.let(signOf(xor(a.se, b.se)));
    const aInfinite = f.let(isInfinity(a.significand, a.se));
    const bInfinite = f.let(isInfinity(b.significand, b.se));
    const aZero = f.let(isZero(a.significand, a.se));
    const bZero = f.let(isZero(b.significand, b.se));
    f.if(or(and(aInfinite, bInfinite), and(aZero, bZero)), () => f.returnCall(reach('f80.invalid'), destination));
    f.if(
      and(bZero, eqz(aInfinite)),
      () => f.if(raise(f, reach, c32(Exception.zeroDivide)), () => f.return(c32(0))),
      denormal,
    );
    f.if(
      or(aInfinite, bZero),
      () => put(f, destination, c64(INTEGER_BIT), or(sign, c32(0x7fff))),
      () => put(f, destination, c64(0), sign),
    );
  },
});

/** (significand, sign and exponent, destination) -> 0 when an unmasked exception withholds the result. */
const squareRoot: HelperFunction = {
  name: 'f80.sqrt',
  parameters: ONE_OPERAND,
  result: i32,
  build(f, reach) {
    const operand = oneOperand(f);
    const { a, aSe: se, destination } = operand;
    answerNan(f, reach, operand);
    f.if(isZero(a, se), () => {
      put(f, destination, a, se);
      f.return(c32(1));
    });
    f.if(signOf(se), () => f.returnCall(reach('f80.invalid'), destination));
    f.if(isInfinity(a, se), () => {
      put(f, destination, a, se);
      f.return(c32(1));
    });
    raiseDenormal(f, reach, operand);
    const exponent = unpack(f, a, se);
    f.set(exponent, sub(exponent, c32(EXPONENT_BIAS)));
    // The radicand high:low lies in [2^126, 2^128), so that its root has exactly 64 bits.
    const high = f.let(a);
    const low = f.let(c64(0));
    f.if(eqz(and(exponent, c32(1))), () => {
      f.set(low, shl(a, c64(63)));
      f.set(high, shrU(a, c64(1)));
    });
    const resultExponent = f.let(add(pure(op.i32_shr_s, exponent, c32(1)), c32(EXPONENT_BIAS)));
    // An estimate of 52 bits, one step of Newton's in f64, then exact correction by at most a few units.
    const two32 = { kind: 'const', type: ValueType.f64, value: 2 ** 32 } as const;
    const toFloat = (value: Node): Node => pure(op.f64_convert_i64_u, value);
    const times = (x: Node, y: Node): Node => pure(op.f64_mul, x, y);
    const root = f.let(pure(op.i64_trunc_sat_f64_u, times(pure(op.f64_sqrt, toFloat(high)), two32)));
    const rLow = f.local(i64);
    const rHigh = f.local(i64);
    const residue = (): void => {
      const square = multiplyWide(f, root, root);
      f.set(rHigh, sub(sub(high, square.high), extendU(ltU(low, square.low))));
      f.set(rLow, sub(low, square.low));
      f.release(square.high);
      f.release(square.low);
    };
    residue();
    const two64 = { kind: 'const', type: ValueType.f64, value: 2 ** 64 } as const;
    const rest = pure(op.f64_add, times(pure(op.f64_convert_i64_s, rHigh), two64), toFloat(rLow));
    const step = pure(op.f64_div, rest, times(toFloat(root), { kind: 'const', type: ValueType.f64, value: 2 }));
    f.set(root, add(root, pure(op.i64_trunc_sat_f64_s, step)));
    // A root just below 2^64 may have wrapped to 0.
    f.if(pure(op.i64_ge_s, root, c64(0)), () => f.set(root, c64(-1)));
    residue();
    f.block((done) =>
      f.loop((again) => {
        f.brIf(done, pure(op.i64_ge_s, rHigh, c64(0)));
        // Too large: root - 1 leaves residue + 2 root - 1.
        f.set(root, sub(root, c64(1)));
        const twice = f.let(or(shl(root, c64(1)), c64(1)));
        f.set(rLow, add(rLow, twice));
        f.set(rHigh, add(add(rHigh, shrU(root, c64(63))), extendU(ltU(rLow, twice))));
        f.release(twice);
        f.br(again);
      }),
    );
    f.block((done) =>
      f.loop((again) => {
        // Too small while residue > 2 root.
        const twice = f.let(shl(root, c64(1)));
        f.brIf(done, or(ltU(rHigh, shrU(root, c64(63))), and(eq(rHigh, shrU(root, c64(63))), eqz(gtU(rLow, twice)))));
        f.set(twice, or(twice, c64(1)));
        f.set(rHigh, sub(sub(rHigh, shrU(root, c64(63))), extendU(ltU(rLow, twice))));
        f.set(rLow, sub(rLow, twice));
        f.set(root, add(root, c64(1)));
        f.release(twice);
        f.br(again);
      }),
    );
    // A root of 64 bits is never exactly halfway between two others.
    const fraction = f.let(
      select(or(ne(rHigh, c64(0)), gtU(rLow, root)), c64(INTEGER_BIT | 1n), extendU(ne(rLow, c64(0)))),
    );
    const sign = f.let(c32(0));
    emitRound(f, reach, sign, resultExponent, root, fraction, destination);
    f.return(c32(1));
    f.unreachable();
  },
};

export const arithmeticHelpers: readonly HelperFunction[] = [
  addition('f80.add', false),
  addition('f80.sub', true),
  multiplication,
  division,
  squareRoot,
];
