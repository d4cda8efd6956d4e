// Conversions between 80-bit numbers and the narrower formats in WebAssembly, and rounding to an integer.
// Owns f32, f64 and the integers of 16, 32 and 64 bits; packed BCD is TypeScript's (system/x87-decimal.ts).
// Never touches memory operands or the register stack.

import { storeOp, ValueType } from '../../wasm/opcodes.ts';
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
  gtU,
  leS,
  ltS,
  ltU,
  type Node,
  ne,
  neg,
  or,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { S } from '../state.ts';
import { answerNan, ONE_OPERAND, oneOperand, raiseDenormal } from './operands.ts';
import {
  clearC1,
  EXPONENT_BIAS,
  Exception,
  exponentOf,
  fcw,
  fsw,
  INTEGER_BIT,
  isUnsupported,
  type Local,
  OPERAND_ADDRESS,
  put,
  QUIET_BIT,
  raise,
  Status,
  setStatus,
  shiftRightSticky,
  signOf,
  unpack,
  WAS_DENORMAL,
} from './parts.ts';
import { roundsUp } from './rounding.ts';

const { i32, i64 } = ValueType;

interface Format {
  readonly name: 'F32' | 'F64';
  readonly type: typeof i32 | typeof i64;
  /** Bits of the fraction, the integer bit not counted. */
  readonly fraction: number;
  readonly bias: number;
}
const single: Format = { name: 'F32', type: i32, fraction: 23, bias: 127 };
const double: Format = { name: 'F64', type: i64, fraction: 52, bias: 1023 };

/** The value of an f32 or f64 as a register has it, and whether it is a normal number: else it is something else. */
export function widened(
  f: FunctionBuilder,
  name: 'F32' | 'F64',
  bits: Node,
): { normal: Node; significand: Node; signExponent: Node } {
  const { fraction, bias } = name === 'F64' ? double : single;
  const value = f.let(extendU(bits));
  const top = 2 * bias + 1;
  const exponent = f.let(and(wrap(shrU(value, c64(fraction))), c32(top)));
  const sign = and(wrap(shrU(value, c64(name === 'F64' ? 48 : 16))), c32(0x8000));
  return {
    normal: ltU(sub(exponent, c32(1)), c32(top - 1)),
    significand: or(shl(value, c64(63 - fraction)), c64(INTEGER_BIT)),
    signExponent: or(sign, add(exponent, c32(EXPONENT_BIAS - bias))),
  };
}

/** An integer (an i64) as a register has it. */
export function integerValue(f: FunctionBuilder, value: Node): { significand: Node; signExponent: Node } {
  const kept = f.let(value);
  const mask = f.let(shrS(kept, c64(63)));
  const magnitude = f.let(sub(xor(kept, mask), mask));
  const zeros = f.let(clz(magnitude));
  const exponent = sub(c32(EXPONENT_BIAS + 63), wrap(zeros));
  return {
    significand: shl(magnitude, zeros),
    signExponent: select(eqz(magnitude), c32(0), or(and(wrap(mask), c32(0x8000)), exponent)),
  };
}

/** (bits): the value, exactly, into the operand entry. Signaling NaNs stay so; denormals are marked. */
const widen = (format: Format): HelperFunction => ({
  name: `f80.from${format.name}`,
  parameters: [format.type],
  result: undefined,
  build(f) {
    const { normal, significand, signExponent } = widened(f, format.name, f.parameter(0, format.type));
    const destination = c32(OPERAND_ADDRESS);
    f.if(normal, () => {
      put(f, destination, significand, signExponent);
      f.return();
    });
    const bits = f.let(extendU(f.parameter(0, format.type)));
    const exponent = and(wrap(shrU(bits, c64(format.fraction))), c32(2 * format.bias + 1));
    const sign = f.let(shl(wrap(shrU(bits, c64(format === double ? 63 : 31))), c32(15)));
    const fraction = f.let(shl(bits, c64(64 - format.fraction)));
    f.if(exponent, () => {
      put(f, destination, significand, or(sign, c32(0x7fff)));
      f.return();
    });
    f.if(eqz(fraction), () => {
      put(f, destination, c64(0), sign);
      f.return();
    });
    const count = f.let(clz(fraction));
    put(
      f,
      destination,
      shl(fraction, count),
      or(or(sign, c32(WAS_DENORMAL)), sub(c32(EXPONENT_BIAS - format.bias), wrap(count))),
    );
  },
});

const withhold = (f: FunctionBuilder): void => f.storeField(storeOp.i32_store, S.fpuWithheld, c32(1));

/** (significand, sign and exponent) -> bits, rounded; C1 tells how. Sets S.fpuWithheld when an unmasked exception withholds them. */
const narrow = (format: Format): HelperFunction => ({
  name: `f80.to${format.name}`,
  parameters: [i64, i32],
  result: format.type,
  build(f, reach) {
    const significand = f.parameter(0, i64);
    const se = f.parameter(1, i32);
    const drop = 63 - format.fraction;
    const top = 2 * format.bias + 1;
    const integerBit = 1n << BigInt(format.fraction);
    const infinity = BigInt(top) << BigInt(format.fraction);
    const answer = (bits: ReturnType<typeof c64>): void => f.return(format.type === i64 ? bits : wrap(bits));
    // Normal numbers that stay normal, rounded to nearest with the precision exception masked, need no more than this.
    const narrowed = f.let(sub(exponentOf(se), c32(EXPONENT_BIAS - format.bias)));
    const usual = eq(and(fcw, c32(0xc20)), c32(0x20));
    const inRange = ltU(sub(narrowed, c32(1)), c32(2 * format.bias - 2));
    f.if(and(and(usual, inRange), wrap(shrU(significand, c64(63)))), () => {
      const high = f.let(shrU(significand, c64(drop)));
      const low = f.let(and(significand, c64((1n << BigInt(drop)) - 1n)));
      const half = c64(1n << BigInt(drop - 1));
      const up = f.let(extendU(ltU(half, add(low, and(high, c64(1))))));
      const kept = and(fsw, c32(~Status.c1));
      const inexact = or(c32(Exception.precision), shl(wrap(up), c32(9)));
      setStatus(f, select(ne(low, c64(0)), or(kept, inexact), kept));
      // The integer bit adds 1 to the exponent field, and so does a carry out of the fraction.
      const field = shl(extendU(sub(narrowed, c32(1))), c64(format.fraction));
      const sign = shl(extendU(signOf(se)), c64(format === double ? 48 : 16));
      answer(or(sign, add(field, add(high, up))));
    });
    clearC1(f);
    const sign = f.let(shl(extendU(signOf(se)), c64(format === double ? 48 : 16)));
    const giveUp = (): void => {
      withhold(f);
      answer(c64(0));
    };
    const exponent = f.let(exponentOf(se));
    f.if(eqz(or(exponent, wrap(or(significand, shrU(significand, c64(32)))))), () => answer(sign));
    f.if(isUnsupported(significand, se), () => {
      f.if(raise(f, reach, c32(Exception.invalid)), giveUp);
      answer(c64(-(integerBit >> 1n)));
    });
    f.if(eq(exponent, c32(0x7fff)), () => {
      const fraction = f.let(shrU(shl(significand, c64(1)), c64(drop + 1)));
      f.if(ne(shl(significand, c64(1)), c64(0)), () => {
        f.if(eqz(and(significand, c64(QUIET_BIT))), () => f.if(raise(f, reach, c32(Exception.invalid)), giveUp));
        f.set(fraction, or(fraction, c64(integerBit >> 1n)));
      });
      answer(or(or(sign, c64(infinity)), fraction));
    });
    const biased = unpack(f, significand, se);
    f.set(biased, sub(biased, c32(EXPONENT_BIAS - format.bias)));
    const seSign = f.let(signOf(se));
    const low = f.let(shl(significand, c64(64 - drop)));
    const high = f.let(shrU(significand, c64(drop)));
    const up = f.let(extendU(roundsUp(seSign, and(wrap(high), c32(1)), low)));
    const precision = (): ReturnType<typeof c32> => or(c32(Exception.precision), shl(wrap(up), c32(9)));
    f.if(leS(biased, c32(0)), () => {
      const tiny = f.let(or(ltS(biased, c32(0)), ne(add(high, up), c64(integerBit << 1n))));
      f.if(and(tiny, eqz(and(fcw, c32(Exception.underflow)))), () => {
        f.drop(raise(f, reach, c32(Exception.underflow)));
        giveUp();
      });
      f.set(high, significand);
      f.set(low, c64(0));
      const count = f.let(sub(c32(drop + 1), biased));
      shiftRightSticky(f, high, low, count);
      f.set(up, extendU(roundsUp(seSign, and(wrap(high), c32(1)), low)));
      f.if(ne(low, c64(0)), () =>
        f.drop(raise(f, reach, or(precision(), select(tiny, c32(Exception.underflow), c32(0))))),
      );
      // A carry into the integer bit makes the exponent 1, as it should.
      answer(or(sign, add(high, up)));
    });
    f.set(high, add(high, up));
    f.if(eq(high, c64(integerBit << 1n)), () => f.set(biased, add(biased, c32(1))));
    f.if(geS(biased, c32(top)), () => {
      f.if(eqz(and(fcw, c32(Exception.overflow))), () => {
        f.drop(raise(f, reach, c32(Exception.overflow)));
        giveUp();
      });
      // Rounding away from the largest finite number reaches infinity; a full fraction stands for that decision.
      const toInfinity = f.let(roundsUp(seSign, c32(1), c64(INTEGER_BIT)));
      f.drop(raise(f, reach, or(c32(Exception.overflow | Exception.precision), shl(toInfinity, c32(9)))));
      answer(or(sign, sub(c64(infinity), extendU(eqz(toInfinity)))));
    });
    f.if(ne(low, c64(0)), () => f.drop(raise(f, reach, precision())));
    answer(or(or(sign, and(high, c64(integerBit - 1n))), shl(extendU(biased), c64(format.fraction))));
    f.unreachable();
  },
});

/**
 * (significand, sign and exponent, width in bits 16, 32 or 64, 1 to truncate whatever the control word says) -> the
 * integer, sign-extended. Sets S.fpuWithheld when an unmasked exception withholds it.
 */
const toInteger: HelperFunction = {
  name: 'f80.toInteger',
  parameters: [i64, i32, i32, i32],
  result: i64,
  build(f, reach) {
    const significand = f.parameter(0, i64);
    const se = f.parameter(1, i32);
    const width = f.parameter(2, i32);
    const truncate = f.parameter(3, i32);
    const limit = f.let(shl(c64(1), extendU(sub(width, c32(1)))));
    f.block((invalid) => {
      f.brIf(invalid, isUnsupported(significand, se));
      const sign = f.let(signOf(se));
      const high = f.let(significand);
      const low = f.let(c64(0));
      // Distance of the significand's lowest bit from the units.
      const count = f.let(sub(c32(EXPONENT_BIAS + 63), exponentOf(se)));
      f.brIf(invalid, ltS(count, c32(0)));
      f.if(count, () => shiftRightSticky(f, high, low, count));
      const up = f.let(and(eqz(truncate), roundsUp(sign, and(wrap(high), c32(1)), low)));
      f.set(high, add(high, extendU(up)));
      // 2^64 after rounding up has wrapped to 0.
      f.brIf(invalid, and(up, eqz(high)));
      f.brIf(invalid, gtU(high, select(sign, limit, sub(limit, c64(1)))));
      f.if(ne(low, c64(0)), () => f.drop(raise(f, reach, or(c32(Exception.precision), shl(up, c32(9))))));
      f.return(select(sign, neg(high), high));
    });
    f.if(raise(f, reach, c32(Exception.invalid)), () => {
      withhold(f);
      f.return(c64(0));
    });
    f.return(neg(limit));
    f.unreachable();
  },
};

/** (significand, sign and exponent, destination) -> 0 when an unmasked exception withholds the result. FRNDINT. */
const roundToInteger: HelperFunction = {
  name: 'f80.roundToInteger',
  parameters: ONE_OPERAND,
  result: i32,
  build(f, reach) {
    const operand = oneOperand(f);
    const { a: significand, aSe: se, destination } = operand;
    answerNan(f, reach, operand);
    raiseDenormal(f, reach, operand);
    const exponent = f.let(exponentOf(se));
    f.if(or(geS(exponent, c32(EXPONENT_BIAS + 63)), eqz(significand)), () => {
      put(f, destination, significand, se);
      f.return(c32(1));
    });
    const sign = f.let(signOf(se));
    const high: Local = f.let(significand);
    const low = f.let(c64(0));
    const count = f.let(sub(c32(EXPONENT_BIAS + 63), exponent));
    shiftRightSticky(f, high, low, count);
    const up = f.let(roundsUp(sign, and(wrap(high), c32(1)), low));
    f.if(ne(low, c64(0)), () => f.drop(raise(f, reach, or(c32(Exception.precision), shl(up, c32(9))))));
    f.set(high, add(high, extendU(up)));
    f.if(
      eqz(high),
      () => put(f, destination, c64(0), sign),
      () => {
        const shift = f.let(clz(high));
        put(f, destination, shl(high, shift), or(sign, sub(c32(EXPONENT_BIAS + 63), wrap(shift))));
      },
    );
    f.return(c32(1));
    f.unreachable();
  },
};

/** (value, destination): an integer into a register, exactly. */
const fromInteger: HelperFunction = {
  name: 'f80.fromInteger',
  parameters: [i64, i32],
  result: undefined,
  build(f) {
    const { significand, signExponent } = integerValue(f, f.parameter(0, i64));
    put(f, f.parameter(1, i32), significand, signExponent);
  },
};

export const conversionHelpers: readonly HelperFunction[] = [
  fromInteger,
  widen(single),
  widen(double),
  narrow(single),
  narrow(double),
  toInteger,
  roundToInteger,
];
