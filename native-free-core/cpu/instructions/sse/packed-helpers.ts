// Exact packed float operations: the one-lane helpers applied to each lane of a vector.
// Owns the helper functions named like sse.addps.
// Never writes MXCSR or raises: the meaning commits the flags of all lanes together.

import { call } from '../../builder/function.ts';
import { extract, type Node, op, pure, replace } from '../../builder/nodes.ts';
import type { HelperFunction } from '../row.ts';
import { F32, F64, FORMATS, type Format, i32, v128, zero128 } from './common.ts';
import { helper, raisedUnmasked } from './soft-numbers.ts';

/** One lane's bits as the i64 that the helpers take. */
export const laneBits = (format: Format, vector: Node, lane: number): Node =>
  format.bits === 64 ? extract('i64', lane, vector) : pure(op.i64_extend_i32_u, extract('i32', lane, vector));
/** The vector with one lane exchanged for a helper's i64. */
export const withLane = (format: Format, vector: Node, lane: number, bits: Node): Node =>
  format.bits === 64 ? replace('i64', lane, vector, bits) : replace('i32', lane, vector, pure(op.i32_wrap_i64, bits));

export const lanesOf = (format: Format): number => 128 / format.bits;

/** Applies the lane helper `name(lane)` to every lane of two vectors. */
function binary(packedName: string, format: Format, name: (lane: number) => string): HelperFunction {
  return helper(`sse.${packedName}${format.packed.toLowerCase()}`, [v128, v128], v128, (f, reference) => {
    const a = f.parameter(0, v128);
    const b = f.parameter(1, v128);
    const result = f.local(v128);
    f.set(result, a);
    for (let lane = 0; lane < lanesOf(format); lane++) {
      const value = call(reference(name(lane)), laneBits(format, a, lane), laneBits(format, b, lane));
      f.set(result, withLane(format, result, lane, value));
    }
    f.return(result);
    f.unreachable();
  });
}

/** Applies a lane helper of one operand, with an i32 argument for all lanes if `extra`. */
function unary(packedName: string, format: Format, name: string, extra = false): HelperFunction {
  return helper(`sse.${packedName}`, extra ? [v128, i32] : [v128], v128, (f, reference) => {
    const a = f.parameter(0, v128);
    const result = f.local(v128);
    f.set(result, a);
    for (let lane = 0; lane < lanesOf(format); lane++) {
      const rest = extra ? [f.parameter(1, i32)] : [];
      f.set(result, withLane(format, result, lane, call(reference(name), laneBits(format, a, lane), ...rest)));
    }
    f.return(result);
    f.unreachable();
  });
}

/** sse.compareps and sse.comparepd: (a, b, predicate 0 to 7) -> mask of all ones or zeros a lane. */
function compare(format: Format): HelperFunction {
  return helper(`sse.compare${format.packed.toLowerCase()}`, [v128, v128, i32], v128, (f, reference) => {
    const a = f.parameter(0, v128);
    const b = f.parameter(1, v128);
    const result = f.local(v128);
    f.set(result, zero128());
    for (let lane = 0; lane < lanesOf(format); lane++) {
      const mask = call(
        reference(`sse.predicate${format.bits}`),
        laneBits(format, a, lane),
        laneBits(format, b, lane),
        f.parameter(2, i32),
      );
      f.set(result, withLane(format, result, lane, mask));
    }
    f.return(result);
    f.unreachable();
  });
}

/** sse.cvtps2dq: (vector, mode) -> four integers. */
const toDwords = helper('sse.cvtps2dq', [v128, i32], v128, (f, reference) => {
  const a = f.parameter(0, v128);
  const result = f.local(v128);
  f.set(result, a);
  for (let lane = 0; lane < 4; lane++) {
    const wide = call(reference('sse.toWide'), laneBits(F32, a, lane));
    f.set(result, withLane(F32, result, lane, call(reference('sse.toInt32'), wide, f.parameter(1, i32))));
  }
  f.return(result);
  f.unreachable();
});

/** sse.cvtpd2dq: (vector, mode) -> two integers, upper half zero. */
const toTwoDwords = helper('sse.cvtpd2dq', [v128, i32], v128, (f, reference) => {
  const a = f.parameter(0, v128);
  const result = f.local(v128);
  f.set(result, zero128());
  for (let lane = 0; lane < 2; lane++) {
    const value = call(reference('sse.toInt32'), laneBits(F64, a, lane), f.parameter(1, i32));
    f.set(result, withLane(F32, result, lane, value));
  }
  f.return(result);
  f.unreachable();
});

/** sse.cvtdq2ps: four integers -> four floats. */
const fromDwords = helper('sse.cvtdq2ps', [v128], v128, (f, reference) => {
  const a = f.parameter(0, v128);
  const result = f.local(v128);
  f.set(result, a);
  for (let lane = 0; lane < 4; lane++) {
    const value = pure(op.i64_extend_i32_s, extract('i32', lane, a));
    f.set(result, withLane(F32, result, lane, call(reference('sse.fromInt32'), value)));
  }
  f.return(result);
  f.unreachable();
});

/** sse.cvtpd2ps: two 64-bit floats -> two 32-bit ones, upper half zero. */
const narrowBoth = helper('sse.cvtpd2ps', [v128], v128, (f, reference) => {
  const a = f.parameter(0, v128);
  const result = f.local(v128);
  f.set(result, zero128());
  for (let lane = 0; lane < 2; lane++)
    f.set(result, withLane(F32, result, lane, call(reference('sse.narrow'), laneBits(F64, a, lane))));
  f.return(result);
  f.unreachable();
});

/** sse.cvtps2pd: the lower two 32-bit floats -> two 64-bit ones. */
const widenBoth = helper('sse.cvtps2pd', [v128], v128, (f, reference) => {
  const a = f.parameter(0, v128);
  const result = f.local(v128);
  f.set(result, a);
  for (let lane = 0; lane < 2; lane++)
    f.set(result, withLane(F64, result, lane, call(reference('sse.widen'), laneBits(F32, a, lane))));
  f.return(result);
  f.unreachable();
});

/** sse.dpps and sse.dppd: (a, b) with unselected lanes zeroed -> sum of products in every lane. */
function dot(format: Format): HelperFunction {
  const suffix = format.packed.toLowerCase();
  return helper(`sse.dp${suffix}`, [v128, v128], v128, (f, reference) => {
    const products = f.let(call(reference(`sse.mul${suffix}`), f.parameter(0, v128), f.parameter(1, v128)));
    // An unmasked exception of one step keeps the next from happening; masked ones are MXCSR's before the next begins.
    const stop = (): void => {
      f.if(raisedUnmasked(), () => f.return(products));
      f.call(reference('sse.commit'));
    };
    const plus = (p: Node, q: Node): Node => call(reference(`sse.add${format.bits}`), p, q);
    const part = (lane: number): Node => laneBits(format, products, lane);
    stop();
    const total = f.let(plus(part(0), part(1)));
    if (format.bits === 32) {
      const upper = f.let(plus(part(2), part(3)));
      stop();
      f.set(total, plus(total, upper));
    }
    f.return(format.bits === 64 ? pure(op.i64x2_splat, total) : pure(op.i32x4_splat, pure(op.i32_wrap_i64, total)));
    f.unreachable();
  });
}

export const packedHelpers: readonly HelperFunction[] = [
  toDwords,
  toTwoDwords,
  fromDwords,
  narrowBoth,
  widenBoth,
  unary('rcpps', F32, 'sse.rcp'),
  unary('rsqrtps', F32, 'sse.rsqrt'),
  ...FORMATS.flatMap((format) => [
    ...['add', 'sub', 'mul', 'div', 'min', 'max'].map((name) =>
      binary(name, format, () => `sse.${name}${format.bits}`),
    ),
    binary('addsub', format, (lane) => `sse.${lane & 1 ? 'add' : 'sub'}${format.bits}`),
    unary(`sqrt${format.packed.toLowerCase()}`, format, `sse.sqrt${format.bits}`),
    unary(`integral${format.packed.toLowerCase()}`, format, `sse.integral${format.bits}`, true),
    compare(format),
    dot(format),
  ]),
];
