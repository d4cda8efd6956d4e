// The parts of an IEEE number as bits, and what every exact helper does with them: flags, NaNs, denormals, rounding.
// Owns the gathering of exception flags in S.sseRaised and the helper functions sse.round and sse.nan.
// Never computes: see soft-arithmetic.ts, soft-comparison.ts and soft-conversion.ts.
//
// IEEE 754-2008 with the choices of the Intel SDM, volume 1: tininess is detected after rounding (4.9.1.5), the first
// NaN operand wins and is quieted (table 4-7), the default NaN is negative (4.8.3.7).

import type { FunctionReference } from '../../../wasm/module.ts';
import { loadOp, storeOp } from '../../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  eq,
  eqz,
  extendU,
  field,
  geS,
  geU,
  gtS,
  gtU,
  leS,
  ltS,
  type Node,
  ne,
  not,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../../builder/nodes.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import { S } from '../../state.ts';
import type { HelperFunction } from '../row.ts';
import { FORMATS, type Format, i32, i64, type Local } from './common.ts';

type Call = (name: string) => FunctionReference;
type Define = (f: FunctionBuilder, call: Call) => void;

export const helper = (
  name: string,
  parameters: HelperFunction['parameters'],
  result: HelperFunction['result'],
  build: Define,
): HelperFunction => ({ name, parameters, result, build });

export const mxcsr = (): Node => field(loadOp.i32_load, S.mxcsr);
export const raised = (): Node => field(loadOp.i32_load, S.sseRaised);
/** Adds exception flags (i32) to those that this instruction has raised. */
export const raise = (f: FunctionBuilder, flags: Node): void =>
  f.storeField(storeOp.i32_store, S.sseRaised, or(raised(), flags));
export const masked = (flag: number): Node => and(mxcsr(), c32(flag << Mxcsr.maskShift));
/** Flags raised so far that are not masked. */
export const raisedUnmasked = (): Node => and(raised(), not(shrU(mxcsr(), c32(Mxcsr.maskShift))));
/** Rounding control: 0 nearest even, 1 down, 2 up, 3 towards zero. */
export const roundingControl = (): Node => and(shrU(mxcsr(), c32(Mxcsr.roundShift)), c32(3));

// ---- the parts of a number

export const infinityBits = (format: Format): bigint => BigInt(format.maxExponent) << BigInt(format.fraction);
export const quietBit = (format: Format): bigint => 1n << BigInt(format.fraction - 1);
export const implicitBit = (format: Format): bigint => 1n << BigInt(format.fraction);
export const signMask = (format: Format): bigint => 1n << BigInt(format.bits - 1);
/** The NaN that an invalid operation gives. */
export const defaultNan = (format: Format): Node => c64(signMask(format) | infinityBits(format) | quietBit(format));
export const magnitude = (format: Format, bits: Node): Node => and(bits, c64(signMask(format) - 1n));
export const signOf = (format: Format, bits: Node): Node => wrap(shrU(bits, c64(format.bits - 1)));
export const exponentOf = (format: Format, bits: Node): Node =>
  and(wrap(shrU(bits, c64(format.fraction))), c32(format.maxExponent));
export const fractionOf = (format: Format, bits: Node): Node => and(bits, c64(implicitBit(format) - 1n));
export const signed = (format: Format, sign: Node): Node => shl(extendU(sign), c64(format.bits - 1));
export const isNan = (format: Format, bits: Node): Node => gtU(magnitude(format, bits), c64(infinityBits(format)));
/** 1 for a NaN without its quiet bit, given that it is a NaN. */
const isSignaling = (format: Format, bits: Node): Node => eqz(and(bits, c64(quietBit(format))));
export const isSignalingNan = (format: Format, bits: Node): Node => and(isNan(format, bits), isSignaling(format, bits));
export const isInfinite = (format: Format, bits: Node): Node => eq(magnitude(format, bits), c64(infinityBits(format)));
export const isZero = (format: Format, bits: Node): Node => eqz(magnitude(format, bits));
/** 1 for zeros and denormals alike. */
export const isSmall = (format: Format, bits: Node): Node => eqz(exponentOf(format, bits));

/** With DAZ, makes a denormal a zero; raises nothing. */
export function flush(f: FunctionBuilder, format: Format, value: Local): void {
  f.if(and(isSmall(format, value), ne(and(mxcsr(), c32(Mxcsr.daz)), c32(0))), () =>
    f.set(value, and(value, c64(signMask(format)))),
  );
}

/** With DAZ, makes denormal operands zeros; without, raises DE for them. Call it once NaNs have been dealt with. */
export function denormals(f: FunctionBuilder, format: Format, ...operands: Local[]): void {
  for (const operand of operands) {
    f.if(and(isSmall(format, operand), eqz(isZero(format, operand))), () => {
      f.if(
        and(mxcsr(), c32(Mxcsr.daz)),
        () => f.set(operand, and(operand, c64(signMask(format)))),
        () => raise(f, c32(Mxcsr.de)),
      );
    });
  }
}

// ---- rounding

/**
 * sse.round: (sign i32, exponent i32, significand i64) -> bits. The significand's leading one is bit 62, its lowest bit
 * is sticky, the exponent is biased and may be far out of range.
 */
function round(format: Format): HelperFunction {
  const spare = 62 - format.fraction;
  const half = 1n << BigInt(spare - 1);
  const mask = (1n << BigInt(spare)) - 1n;
  return helper(`sse.round${format.bits}`, [i32, i32, i64], i64, (f) => {
    const sign = f.parameter(0, i32);
    const exponent = f.parameter(1, i32);
    const significand = f.parameter(2, i64);
    const mode = f.let(roundingControl());
    // Nearest adds a half, a directed mode away from zero adds all but one unit, the rest truncate.
    const increment = f.let(
      select(eqz(mode), c64(half), select(eq(mode, select(sign, c32(1), c32(2))), c64(mask), c64(0))),
    );
    const tiny = f.local(i32);
    f.set(tiny, c32(0));
    f.if(leS(exponent, c32(0)), () => {
      f.set(tiny, or(ltS(exponent, c32(0)), geS(add(significand, increment), c64(0))));
      f.if(and(tiny, eqz(masked(Mxcsr.ue))), () => {
        // The instruction will fault; the result does not matter.
        raise(f, or(c32(Mxcsr.ue), select(eqz(and(significand, c64(mask))), c32(0), c32(Mxcsr.pe))));
        f.return(signed(format, sign));
      });
      f.if(and(tiny, ne(and(mxcsr(), c32(Mxcsr.ftz)), c32(0))), () => {
        raise(f, c32(Mxcsr.ue | Mxcsr.pe));
        f.return(signed(format, sign));
      });
      const shift = f.let(sub(c32(1), exponent));
      f.if(
        gtS(shift, c32(62)),
        () => f.set(significand, c64(1)),
        () =>
          f.set(
            significand,
            or(shrU(significand, extendU(shift)), extendU(ne(shl(significand, sub(c64(64), extendU(shift))), c64(0)))),
          ),
      );
      f.set(exponent, c32(1));
    });
    const lost = f.let(and(significand, c64(mask)));
    const overflow = f.local(i32);
    const result = f.local(i64);
    f.set(significand, shrU(add(significand, increment), c64(spare)));
    f.if(and(eqz(mode), eq(lost, c64(half))), () => f.set(significand, and(significand, c64(-2))));
    f.set(overflow, geS(exponent, c32(format.maxExponent)));
    f.if(eqz(overflow), () => {
      // The leading one, where there is one, carries into the exponent field.
      f.set(result, add(shl(extendU(sub(exponent, c32(1))), c64(format.fraction)), significand));
      f.set(overflow, geU(result, c64(infinityBits(format))));
    });
    f.if(overflow, () => {
      raise(f, or(c32(Mxcsr.oe), select(or(masked(Mxcsr.oe), ne(lost, c64(0))), c32(Mxcsr.pe), c32(0))));
      f.return(or(signed(format, sign), sub(c64(infinityBits(format)), select(eqz(increment), c64(1), c64(0)))));
    });
    f.if(ne(lost, c64(0)), () => raise(f, or(c32(Mxcsr.pe), select(tiny, c32(Mxcsr.ue), c32(0)))));
    f.return(or(signed(format, sign), result));
    f.unreachable();
  });
}

/** sse.nan: (a, b) -> the NaN that an operation on a and b gives, one of which is a NaN; raises IE for signaling ones. */
function nan(format: Format): HelperFunction {
  return helper(`sse.nan${format.bits}`, [i64, i64], i64, (f) => {
    const a = f.parameter(0, i64);
    const b = f.parameter(1, i64);
    f.if(or(isSignalingNan(format, a), isSignalingNan(format, b)), () => raise(f, c32(Mxcsr.ie)));
    f.return(or(select(isNan(format, a), a, b), c64(quietBit(format))));
    f.unreachable();
  });
}

/** Raises a flag and gives the default NaN. */
export function invalid(f: FunctionBuilder, format: Format): void {
  raise(f, c32(Mxcsr.ie));
  f.return(defaultNan(format));
}

/** Significand with its leading one at bit 62, and the biased exponent that goes with it (below 1 for denormals). */
export function normalized(f: FunctionBuilder, format: Format, bits: Node): { exponent: Local; significand: Local } {
  const exponent = f.let(exponentOf(format, bits));
  const significand = f.let(shl(fractionOf(format, bits), c64(62 - format.fraction)));
  f.if(
    exponent,
    () => f.set(significand, or(significand, c64(1n << 62n))),
    () => {
      const spare = f.let(sub(clz(significand), c64(1)));
      f.set(significand, shl(significand, spare));
      f.set(exponent, sub(c32(1), wrap(spare)));
    },
  );
  return { exponent, significand };
}

export const numberHelpers: readonly HelperFunction[] = FORMATS.flatMap((format) => [round(format), nan(format)]);
