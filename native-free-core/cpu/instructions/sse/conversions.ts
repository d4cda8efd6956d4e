// SSE conversions among integers and floats, in vector, general and MMX registers.
// Owns the fast paths; out-of-range values, NaNs and MXCSR's special modes go to soft-conversion.ts.
// Never rounds to integral floats: ROUNDxx is in arithmetic.ts.

import { and, c32, extract, type Node, op, pure, replace, shrU, shuffle } from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import { S } from '../../state.ts';
import type { Row } from '../row.ts';
import {
  allOrdinary,
  bitsOf,
  constant,
  every,
  F32,
  F64,
  FORMATS,
  type Format,
  fromBits,
  guarded,
  isOrdinary,
  packedOp,
  readHalf,
  readScalar,
  row,
  scalarOp,
  splatBits,
} from './common.ts';
import { checkMmx, mmxVector, touchMmx, writeMmx } from './mmx-registers.ts';

/** Rounding mode of a conversion to integers: MXCSR's, or towards zero. */
const modeOf = (m: Meaning, truncate: boolean): Node =>
  truncate ? c32(3) : and(shrU(m.state32(S.mxcsr), c32(Mxcsr.roundShift)), c32(3));

/** Bits that sse.toInt takes. */
const wideBits = (m: Meaning, format: Format, value: Node): Node =>
  format === F64 ? bitsOf(F64, value) : m.helper('sse.toWide', bitsOf(F32, value));

// ---- scalars and general registers

function toGeneral(name: string, opcode: string, truncate: boolean): Row[] {
  return FORMATS.map((format) =>
    row(`${name}${format.single}2SI`, `${format.scalarPrefix} 0F ${opcode} Gy,W${format.width}`, (m) => {
      const wide = m.operands[0].size === 64;
      const bits = wide ? 64 : 32;
      const value = m.let(readScalar(m, 1, format));
      // The fast path is taken only where MXCSR rounds to nearest and PE is set.
      const rounded = m.let(pure(scalarOp(format, truncate ? 'trunc' : 'nearest'), value));
      const limit = 2 ** (bits - 1);
      const inRange = and(
        pure(scalarOp(format, 'ge'), rounded, constant(format, -limit)),
        pure(scalarOp(format, 'lt'), rounded, constant(format, limit)),
      );
      // The saturating operation never traps; where it would saturate, the helper answers.
      const fast = pure(
        wide
          ? format === F64
            ? op.i64_trunc_sat_f64_s
            : op.i64_trunc_sat_f32_s
          : format === F64
            ? op.i32_trunc_sat_f64_s
            : op.i32_trunc_sat_f32_s,
        rounded,
      );
      const result = guarded(
        m,
        fast,
        () => inRange,
        () => {
          const exact = m.helper(`sse.toInt${bits}`, wideBits(m, format, value), modeOf(m, truncate));
          return wide ? exact : pure(op.i32_wrap_i64, exact);
        },
      );
      m.write(0, result);
    }),
  );
}

function fromGeneral(): Row[] {
  return FORMATS.map((format) =>
    row(`CVTSI2${format.single}`, `${format.scalarPrefix} 0F 2A Vo,Ey`, (m) => {
      const wide = m.operands[1].size === 64;
      const value = m.let(m.read(1));
      const fast = pure(
        format === F64
          ? wide
            ? op.f64_convert_i64_s
            : op.f64_convert_i32_s
          : wide
            ? op.f32_convert_i64_s
            : op.f32_convert_i32_s,
        value,
      );
      const vector = m.let(m.readVector(0));
      // 32-bit integers are all exact in 64-bit floats.
      const result =
        format === F64 && !wide
          ? fast
          : guarded(
              m,
              fast,
              () => c32(1),
              () =>
                fromBits(
                  format,
                  m.helper(`sse.fromInt${format.bits}`, wide ? value : pure(op.i64_extend_i32_s, value)),
                ),
            );
      m.writeVector(0, replace(format.lane, 0, vector, result));
    }),
  );
}

// ---- float to float

const betweenFloats: readonly Row[] = [
  row('CVTSS2SD', 'F3. 0F 5A Vo,Wd', (m) => {
    const value = m.let(readScalar(m, 1, F32));
    const result = guarded(
      m,
      pure(op.f64_promote_f32, value),
      (wide) => pure(op.f64_eq, wide, wide),
      () => fromBits(F64, m.helper('sse.widen', bitsOf(F32, value))),
    );
    m.writeVector(0, replace('f64', 0, m.readVector(0), result));
  }),
  row('CVTSD2SS', 'F2. 0F 5A Vo,Wq', (m) => {
    const value = m.let(readScalar(m, 1, F64));
    const result = guarded(
      m,
      pure(op.f32_demote_f64, value),
      (narrow) => isOrdinary(F32, narrow),
      () => fromBits(F32, m.helper('sse.narrow', bitsOf(F64, value))),
    );
    m.writeVector(0, replace('f32', 0, m.readVector(0), result));
  }),
  row('CVTPS2PD', 'NP. 0F 5A Vo,Wq', (m) => {
    const value = m.let(readHalf(m, 1));
    m.writeVector(
      0,
      guarded(
        m,
        pure(op.f64x2_promote_low_f32x4, value),
        (wide) => every(F64, pure(op.f64x2_eq, wide, wide)),
        () => m.helper('sse.cvtps2pd', value),
      ),
    );
  }),
  row('CVTPD2PS', '66. 0F 5A Vo,Wo', (m) => {
    const value = m.let(m.readVector(1, true));
    m.writeVector(
      0,
      guarded(
        m,
        pure(op.f32x4_demote_f64x2_zero, value),
        // Only the lower lanes hold results; twice the same passes or fails alike.
        (narrow) => allOrdinary(F32, shuffle(narrow, narrow, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7])),
        () => m.helper('sse.cvtpd2ps', value),
      ),
    );
  }),
];

// ---- packed integers

/** 1 when every lane rounds into a 32-bit integer, given the rounded lanes: magnitude below 2^31. */
const packedInRange = (format: Format, rounded: Node): Node =>
  every(
    format,
    pure(
      packedOp(format, 'lt'),
      pure(packedOp(format, 'abs'), rounded),
      splatBits(format, format === F32 ? 0x4f000000n : 0x41e0000000000000n),
    ),
  );

/** The conversion of a vector of `format` to dwords; two results leave the upper half zero. */
function toDwords(
  m: Meaning,
  format: Format,
  value: Node & { kind: 'local' },
  truncate: boolean,
  beforeFault = (): void => {},
): Node {
  const rounded = m.let(pure(packedOp(format, truncate ? 'trunc' : 'nearest'), value));
  const fast = pure(format === F32 ? op.i32x4_trunc_sat_f32x4_s : op.i32x4_trunc_sat_f64x2_s_zero, rounded);
  const helper = format === F32 ? 'sse.cvtps2dq' : 'sse.cvtpd2dq';
  return guarded(
    m,
    fast,
    () => packedInRange(format, rounded),
    () => {
      const result = m.helper(helper, value, modeOf(m, truncate));
      beforeFault();
      return result;
    },
  );
}

const fromDwords = (m: Meaning, value: Node & { kind: 'local' }): Node =>
  guarded(
    m,
    pure(op.f32x4_convert_i32x4_s, value),
    () => c32(1),
    () => m.helper('sse.cvtdq2ps', value),
  );

const packed: readonly Row[] = [
  row('CVTPS2DQ', '66. 0F 5B Vo,Wo', (m) => m.writeVector(0, toDwords(m, F32, m.let(m.readVector(1, true)), false))),
  row('CVTTPS2DQ', 'F3. 0F 5B Vo,Wo', (m) => m.writeVector(0, toDwords(m, F32, m.let(m.readVector(1, true)), true))),
  row('CVTPD2DQ', 'F2. 0F E6 Vo,Wo', (m) => m.writeVector(0, toDwords(m, F64, m.let(m.readVector(1, true)), false))),
  row('CVTTPD2DQ', '66. 0F E6 Vo,Wo', (m) => m.writeVector(0, toDwords(m, F64, m.let(m.readVector(1, true)), true))),
  row('CVTDQ2PS', 'NP. 0F 5B Vo,Wo', (m) => m.writeVector(0, fromDwords(m, m.let(m.readVector(1, true))))),
  row('CVTDQ2PD', 'F3. 0F E6 Vo,Wq', (m) => m.writeVector(0, pure(op.f64x2_convert_low_i32x4_s, readHalf(m, 1)))),
];

// ---- MMX registers: an operand there changes the x87's state, even when the conversion then raises #XM

/** The lower two floats twice, so that the upper half raises nothing of its own. */
const lowTwice = (vector: Node): Node => pure(op.i64x2_splat, extract('i64', 0, vector));

function toMmx(name: string, opcode: string, truncate: boolean): Row[] {
  return [
    row(`${name}PS2PI`, `NP. 0F ${opcode} Pq,Wq`, (m) => {
      checkMmx(m);
      const value = m.let(lowTwice(readHalf(m, 1)));
      writeMmx(
        m,
        0,
        extract(
          'i64',
          0,
          toDwords(m, F32, value, truncate, () => touchMmx(m)),
        ),
      );
    }),
    row(`${name}PD2PI`, `66. 0F ${opcode} Pq,Wo`, (m) => {
      checkMmx(m);
      const value = m.let(m.readVector(1, true));
      writeMmx(
        m,
        0,
        extract(
          'i64',
          0,
          toDwords(m, F64, value, truncate, () => touchMmx(m)),
        ),
      );
    }),
  ];
}

/** Two integers from an MMX register, or from memory, where they are of no concern to the x87. */
function readPair(m: Meaning): Node & { kind: 'local' } {
  const register = m.operands[1].kind === 'mmx';
  if (register) checkMmx(m);
  const value = m.let(mmxVector(m, 1));
  if (register) touchMmx(m);
  return value;
}

const fromMmx: readonly Row[] = [
  row('CVTPI2PS', 'NP. 0F 2A Vo,Qq', (m) => {
    const value = readPair(m);
    const floats = fromDwords(m, value);
    m.writeVector(0, replace('i64', 0, m.readVector(0), extract('i64', 0, floats)));
  }),
  row('CVTPI2PD', '66. 0F 2A Vo,Qq', (m) => {
    const value = readPair(m);
    m.writeVector(0, pure(op.f64x2_convert_low_i32x4_s, value));
  }),
];

export const conversionRows: readonly Row[] = [
  ...toGeneral('CVT', '2D', false),
  ...toGeneral('CVTT', '2C', true),
  ...fromGeneral(),
  ...betweenFloats,
  ...packed,
  ...toMmx('CVT', '2D', false),
  ...toMmx('CVTT', '2C', true),
  ...fromMmx,
];
