// Exact SSE conversions and rounding on one lane: integer to float, float to integer, float to float, ROUNDxx.
// Owns the helper functions sse.toInt, sse.fromInt, sse.narrow, sse.widen and sse.integral.
// Never writes MXCSR: flags gather in S.sseRaised, see soft-numbers.ts.

import { call, type FunctionBuilder } from '../../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  eq,
  eqz,
  extendU,
  ltS,
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
} from '../../builder/nodes.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import type { HelperFunction } from '../row.ts';
import {
  bitsOf,
  constant,
  F32,
  F64,
  FORMATS,
  type Format,
  fromBits,
  i32,
  i64,
  type Local,
  scalarOp,
} from './common.ts';
import {
  denormals,
  exponentOf,
  flush,
  helper,
  implicitBit,
  infinityBits,
  isNan,
  isSignalingNan,
  isZero,
  magnitude,
  normalized,
  quietBit,
  raise,
  signMask,
  signOf,
} from './soft-numbers.ts';

/** Rounds a scalar local to an integral value; `mode` is an i32: 0 nearest even, 1 down, 2 up, 3 towards zero. */
function toIntegral(f: FunctionBuilder, format: Format, value: Local, mode: Node): Local {
  const result = f.local(value.type);
  const by = (name: string) => () => f.set(result, pure(scalarOp(format, name), value));
  const kept = f.let(mode);
  f.if(
    and(kept, c32(1)),
    () => f.if(and(kept, c32(2)), by('trunc'), by('floor')),
    () => f.if(and(kept, c32(2)), by('ceil'), by('nearest')),
  );
  return result;
}

/**
 * sse.toInt32 and sse.toInt64: (value f64, mode i32) -> i64: the integer, or the integer indefinite with IE. Floats of
 * 32 bits come promoted, which is exact; DE is not among these instructions' exceptions.
 */
function toInt(bits: 32 | 64): HelperFunction {
  const limit = 2 ** (bits - 1);
  return helper(`sse.toInt${bits}`, [i64, i32], i64, (f) => {
    const pattern = f.parameter(0, i64);
    flush(f, F64, pattern);
    const x = f.let(fromBits(F64, pattern));
    const rounded = toIntegral(f, F64, x, f.parameter(1, i32));
    f.if(
      eqz(and(pure(op.f64_ge, rounded, constant(F64, -limit)), pure(op.f64_lt, rounded, constant(F64, limit)))),
      () => {
        raise(f, c32(Mxcsr.ie));
        f.return(c64(bits === 64 ? -(1n << 63n) : -(1n << 31n)));
      },
    );
    f.if(pure(op.f64_ne, rounded, x), () => raise(f, c32(Mxcsr.pe)));
    f.return(pure(op.i64_trunc_f64_s, rounded));
    f.unreachable();
  });
}

/** sse.toWide: bits of a 32-bit float -> bits of the same number as a 64-bit one; no flags, DAZ heeded, NaNs stay NaNs. */
const toWide = helper('sse.toWide', [i64], i64, (f) => {
  const a = f.parameter(0, i64);
  flush(f, F32, a);
  f.return(bitsOf(F64, pure(op.f64_promote_f32, fromBits(F32, a))));
  f.unreachable();
});

/** sse.fromInt: (value i64) -> bits of the float, rounded by MXCSR. */
function fromInt(format: Format): HelperFunction {
  return helper(`sse.fromInt${format.bits}`, [i64], i64, (f, reference) => {
    const value = f.parameter(0, i64);
    const sign = f.let(ltS(value, c64(0)));
    f.if(eqz(value), () => f.return(c64(0)));
    f.if(sign, () => f.set(value, sub(c64(0), value)));
    const exponent = f.let(c32(format.bias + 62));
    f.if(
      ltS(value, c64(0)),
      () => {
        // Only -2^63 has its magnitude's top bit set.
        f.set(value, shrU(value, c64(1)));
        f.set(exponent, add(exponent, c32(1)));
      },
      () => {
        const spare = f.let(sub(clz(value), c64(1)));
        f.set(value, shl(value, spare));
        f.set(exponent, sub(exponent, wrap(spare)));
      },
    );
    f.return(call(reference(`sse.round${format.bits}`), sign, exponent, value));
    f.unreachable();
  });
}

/** sse.narrow: bits of a 64-bit float -> bits of a 32-bit one. */
const narrow = helper('sse.narrow', [i64], i64, (f, reference) => {
  const a = f.parameter(0, i64);
  const sign = f.let(signOf(F64, a));
  const placed = shl(extendU(sign), c64(31));
  f.if(isNan(F64, a), () => {
    f.if(isSignalingNan(F64, a), () => raise(f, c32(Mxcsr.ie)));
    const payload = and(shrU(a, c64(F64.fraction - F32.fraction)), c64(implicitBit(F32) - 1n));
    f.return(or(or(placed, payload), c64(infinityBits(F32) | quietBit(F32))));
  });
  denormals(f, F64, a);
  f.if(isZero(F64, a), () => f.return(placed));
  f.if(eq(magnitude(F64, a), c64(infinityBits(F64))), () => f.return(or(placed, c64(infinityBits(F32)))));
  const { exponent, significand } = normalized(f, F64, a);
  const rebiased = add(exponent, c32(F32.bias - F64.bias));
  f.return(call(reference('sse.round32'), sign, rebiased, significand));
  f.unreachable();
});

/** sse.widen: bits of a 32-bit float -> bits of a 64-bit one, with flags. */
const widen = helper('sse.widen', [i64], i64, (f) => {
  const a = f.parameter(0, i64);
  f.if(isNan(F32, a), () => {
    f.if(isSignalingNan(F32, a), () => raise(f, c32(Mxcsr.ie)));
    const payload = shl(and(a, c64(implicitBit(F32) - 1n)), c64(F64.fraction - F32.fraction));
    const sign = shl(extendU(signOf(F32, a)), c64(63));
    f.return(or(or(sign, payload), c64(infinityBits(F64) | quietBit(F64))));
  });
  denormals(f, F32, a);
  f.return(bitsOf(F64, pure(op.f64_promote_f32, fromBits(F32, a))));
  f.unreachable();
});

/**
 * sse.integral: (bits, control i32) -> bits rounded to an integral value. Control is ROUNDxx's immediate with MXCSR's
 * rounding already put in where bit 2 asked for it: mode in bits 0 and 1, bit 3 suppresses PE.
 */
function integral(format: Format): HelperFunction {
  return helper(`sse.integral${format.bits}`, [i64, i32], i64, (f, reference) => {
    const a = f.parameter(0, i64);
    const control = f.parameter(1, i32);
    f.if(isNan(format, a), () => f.return(call(reference(`sse.nan${format.bits}`), a, a)));
    flush(f, format, a);
    const x = f.let(fromBits(format, a));
    const rounded = toIntegral(f, format, x, control);
    f.if(and(pure(scalarOp(format, 'ne'), rounded, x), eqz(and(control, c32(8)))), () => raise(f, c32(Mxcsr.pe)));
    f.return(bitsOf(format, rounded));
    f.unreachable();
  });
}

/**
 * sse.reciprocal: (bits) -> an approximation's bits: within 1.5 * 2^-12 of 1/x or 1/sqrt(x), here correctly rounded to 32
 * bits. Denormals count as zeros and tiny results become zeros, whatever MXCSR says; no flags (Intel SDM, RCPPS).
 */
function approximation(name: 'rcp' | 'rsqrt'): HelperFunction {
  return helper(`sse.${name}`, [i64], i64, (f) => {
    const a = f.parameter(0, i64);
    f.if(isNan(F32, a), () => f.return(or(a, c64(quietBit(F32)))));
    f.if(eqz(exponentOf(F32, a)), () => f.return(or(and(a, c64(signMask(F32))), c64(infinityBits(F32)))));
    if (name === 'rsqrt') f.if(signOf(F32, a), () => f.return(c64(signMask(F32) | infinityBits(F32) | quietBit(F32))));
    const x = fromBits(F32, a);
    const divisor = name === 'rcp' ? x : pure(op.f32_sqrt, x);
    const r = f.let(bitsOf(F32, pure(op.f32_div, constant(F32, 1), divisor)));
    f.return(select(ne(exponentOf(F32, r), c32(0)), r, and(r, c64(signMask(F32)))));
    f.unreachable();
  });
}

export const conversionHelpers: readonly HelperFunction[] = [
  toInt(32),
  toInt(64),
  toWide,
  narrow,
  widen,
  approximation('rcp'),
  approximation('rsqrt'),
  ...FORMATS.flatMap((format) => [fromInt(format), integral(format)]),
];
