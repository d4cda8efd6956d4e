// SSE packed integers: arithmetic, comparison, logic, shifts, packing, unpacking, widening, tests.
// Owns one table of two-operand operations, from which the vector rows and SSE's and SSSE3's MMX rows both come.
// Never shuffles by an immediate: see shuffles.ts.

import {
  and,
  c32,
  c64,
  eqz,
  extract,
  gtU,
  type Node,
  op,
  or,
  pure,
  replace,
  select,
  shl,
  shuffle,
  wrap,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import type { Row } from '../row.ts';
import { bytes, F64, keep, type Local, operation, readHalf, row, splatBits, words, zero128 } from './common.ts';
import { mmx, mmxVector, writeMmx } from './mmx-registers.ts';

/** A result from the destination's and the source's vector, both locals. */
type Combine = (m: Meaning, a: Local, b: Local) => Node;
interface Operation {
  readonly name: string;
  /** Opcode behind 66: `0F xx` or `0F 38 xx`. */
  readonly opcode: string;
  readonly combine: Combine;
  /** The MMX form that SSE, SSE2 or SSSE3 added: the same on lower halves, or a function of its own. */
  readonly mmx?: true | Combine;
}

const simple =
  (name: string): Combine =>
  (_m, a, b) =>
    pure(operation(name), a, b);
const swapped =
  (name: string): Combine =>
  (_m, a, b) =>
    pure(operation(name), b, a);
const sourceOnly =
  (name: string): Combine =>
  (_m, _a, b) =>
    pure(operation(name), b);
const shuffled =
  (lanes: readonly number[]): Combine =>
  (_m, a, b) =>
    shuffle(a, b, lanes);

/** Interleaves lanes of `width` bytes of the lower (0) or upper (8) halves. */
function interleave(width: number, from: 0 | 8): number[] {
  const lanes: number[] = [];
  for (let lane = from; lane < from + 8; lane += width)
    for (const vector of [0, 16]) for (let byte = 0; byte < width; byte++) lanes.push(vector + lane + byte);
  return lanes;
}

/** Even (0) or odd (1) lanes of `width` bytes of both vectors, a's first. */
function everyOther(width: number, odd: 0 | 1): number[] {
  const lanes: number[] = [];
  for (let from = odd * width; from < 32; from += 2 * width)
    for (let byte = 0; byte < width; byte++) lanes.push(from + byte);
  return lanes;
}

const EVEN_WORDS_UPPER = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];
/** Upper words of the eight 32-bit products. */
const highProducts =
  (sign: 's' | 'u'): Combine =>
  (m, a, b) => {
    const low = m.let(pure(operation(`i32x4_extmul_low_i16x8_${sign}`), a, b));
    return shuffle(low, pure(operation(`i32x4_extmul_high_i16x8_${sign}`), a, b), EVEN_WORDS_UPPER);
  };

/** PMULHRSW differs from the saturating WebAssembly operation only in -1 times -1, which stays -1. */
const roundedProducts: Combine = (_m, a, b) => {
  const minusOne = words(...Array<number>(8).fill(0x8000));
  const both = pure(op.v128_and, pure(op.i16x8_eq, a, minusOne), pure(op.i16x8_eq, b, minusOne));
  return pure(op.v128_xor, pure(op.i16x8_q15mulr_sat_s, a, b), both);
};

/** PMADDUBSW: unsigned bytes of the destination times signed ones of the source, neighbours added with saturation. */
const multiplyAddBytes: Combine = (_m, a, b) => {
  const even = pure(
    op.i16x8_mul,
    pure(op.v128_and, a, words(...Array<number>(8).fill(0xff))),
    pure(op.i16x8_shr_s, pure(op.i16x8_shl, b, c32(8)), c32(8)),
  );
  const odd = pure(op.i16x8_mul, pure(op.i16x8_shr_u, a, c32(8)), pure(op.i16x8_shr_s, b, c32(8)));
  return pure(op.i16x8_add_sat_s, even, odd);
};

/** PSADBW: sums of the eight absolute byte differences of each half. */
const absoluteDifferences: Combine = (m, a, b) => {
  const difference = pure(op.i8x16_sub, pure(op.i8x16_max_u, a, b), pure(op.i8x16_min_u, a, b));
  const dwords = m.let(pure(op.i32x4_extadd_pairwise_i16x8_u, pure(op.i16x8_extadd_pairwise_i8x16_u, difference)));
  const low = pure(op.v128_and, dwords, splatBits(F64, 0xffffffffn));
  return pure(op.i64x2_add, low, pure(op.i64x2_shr_u, dwords, c32(32)));
};

/** Products of the lower dwords of each half. */
const dwordProducts =
  (sign: 's' | 'u'): Combine =>
  (_m, a, b) => {
    const evens = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
    return pure(operation(`i64x2_extmul_low_i32x4_${sign}`), shuffle(a, a, evens), shuffle(b, b, evens));
  };

/** PSIGN: the destination negated, zeroed or kept by the sign of the source. */
const signs =
  (shape: string): Combine =>
  (m, a, b) => {
    const negative = m.let(pure(operation(`${shape}_lt_s`), b, zero128()));
    const flipped = pure(operation(`${shape}_sub`), pure(op.v128_xor, a, negative), negative);
    return pure(op.v128_andnot, flipped, pure(operation(`${shape}_eq`), b, zero128()));
  };

/** PHADD and PHSUB: neighbours of both vectors combined. */
const neighbours =
  (name: string, width: 2 | 4): Combine =>
  (_m, a, b) =>
    pure(operation(name), shuffle(a, b, everyOther(width, 0)), shuffle(a, b, everyOther(width, 1)));

/** The same for MMX: both operands lie side by side in one vector, and so do the results. */
const neighboursMmx =
  (name: string, width: 2 | 4): Combine =>
  (m, a, b) => {
    const both = m.let(shuffle(a, b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]));
    return pure(operation(name), shuffle(both, both, everyOther(width, 0)), shuffle(both, both, everyOther(width, 1)));
  };

/** PSHUFB: bytes of the destination by the source's numbers; bit 7 clears. */
const byteShuffle =
  (mask: number): Combine =>
  (_m, a, b) =>
    pure(op.i8x16_swizzle, a, pure(op.v128_and, b, bytes(...Array<number>(16).fill(mask))));

const entry = (name: string, opcode: string, combine: Combine, mmxForm?: true | Combine): Operation =>
  mmxForm ? { name, opcode, combine, mmx: mmxForm } : { name, opcode, combine };

/** The SSSE3 horizontal operations. */
const horizontal = (
  [
    ['PHADDW', '01', 'i16x8_add', 2],
    ['PHADDD', '02', 'i32x4_add', 4],
    ['PHADDSW', '03', 'i16x8_add_sat_s', 2],
    ['PHSUBW', '05', 'i16x8_sub', 2],
    ['PHSUBD', '06', 'i32x4_sub', 4],
    ['PHSUBSW', '07', 'i16x8_sub_sat_s', 2],
  ] as const
).map(([name, opcode, by, width]) => entry(name, `0F 38 ${opcode}`, neighbours(by, width), neighboursMmx(by, width)));

const OPERATIONS: readonly Operation[] = [
  entry('PUNPCKLBW', '0F 60', shuffled(interleave(1, 0))),
  entry('PUNPCKLWD', '0F 61', shuffled(interleave(2, 0))),
  entry('PUNPCKLDQ', '0F 62', shuffled(interleave(4, 0))),
  entry('PUNPCKLQDQ', '0F 6C', shuffled(interleave(8, 0))),
  entry('PUNPCKHBW', '0F 68', shuffled(interleave(1, 8))),
  entry('PUNPCKHWD', '0F 69', shuffled(interleave(2, 8))),
  entry('PUNPCKHDQ', '0F 6A', shuffled(interleave(4, 8))),
  entry('PUNPCKHQDQ', '0F 6D', shuffled(interleave(8, 8))),
  entry('PACKSSWB', '0F 63', simple('i8x16_narrow_i16x8_s')),
  entry('PACKUSWB', '0F 67', simple('i8x16_narrow_i16x8_u')),
  entry('PACKSSDW', '0F 6B', simple('i16x8_narrow_i32x4_s')),
  entry('PACKUSDW', '0F 38 2B', simple('i16x8_narrow_i32x4_u')),
  entry('PCMPGTB', '0F 64', simple('i8x16_gt_s')),
  entry('PCMPGTW', '0F 65', simple('i16x8_gt_s')),
  entry('PCMPGTD', '0F 66', simple('i32x4_gt_s')),
  entry('PCMPGTQ', '0F 38 37', simple('i64x2_gt_s')),
  entry('PCMPEQB', '0F 74', simple('i8x16_eq')),
  entry('PCMPEQW', '0F 75', simple('i16x8_eq')),
  entry('PCMPEQD', '0F 76', simple('i32x4_eq')),
  entry('PCMPEQQ', '0F 38 29', simple('i64x2_eq')),
  entry('PADDB', '0F FC', simple('i8x16_add')),
  entry('PADDW', '0F FD', simple('i16x8_add')),
  entry('PADDD', '0F FE', simple('i32x4_add')),
  entry('PADDQ', '0F D4', simple('i64x2_add'), true),
  entry('PADDSB', '0F EC', simple('i8x16_add_sat_s')),
  entry('PADDSW', '0F ED', simple('i16x8_add_sat_s')),
  entry('PADDUSB', '0F DC', simple('i8x16_add_sat_u')),
  entry('PADDUSW', '0F DD', simple('i16x8_add_sat_u')),
  entry('PSUBB', '0F F8', simple('i8x16_sub')),
  entry('PSUBW', '0F F9', simple('i16x8_sub')),
  entry('PSUBD', '0F FA', simple('i32x4_sub')),
  entry('PSUBQ', '0F FB', simple('i64x2_sub'), true),
  entry('PSUBSB', '0F E8', simple('i8x16_sub_sat_s')),
  entry('PSUBSW', '0F E9', simple('i16x8_sub_sat_s')),
  entry('PSUBUSB', '0F D8', simple('i8x16_sub_sat_u')),
  entry('PSUBUSW', '0F D9', simple('i16x8_sub_sat_u')),
  entry('PMINUB', '0F DA', simple('i8x16_min_u'), true),
  entry('PMAXUB', '0F DE', simple('i8x16_max_u'), true),
  entry('PMINSW', '0F EA', simple('i16x8_min_s'), true),
  entry('PMAXSW', '0F EE', simple('i16x8_max_s'), true),
  entry('PMINSB', '0F 38 38', simple('i8x16_min_s')),
  entry('PMINSD', '0F 38 39', simple('i32x4_min_s')),
  entry('PMINUW', '0F 38 3A', simple('i16x8_min_u')),
  entry('PMINUD', '0F 38 3B', simple('i32x4_min_u')),
  entry('PMAXSB', '0F 38 3C', simple('i8x16_max_s')),
  entry('PMAXSD', '0F 38 3D', simple('i32x4_max_s')),
  entry('PMAXUW', '0F 38 3E', simple('i16x8_max_u')),
  entry('PMAXUD', '0F 38 3F', simple('i32x4_max_u')),
  entry('PAVGB', '0F E0', simple('i8x16_avgr_u'), true),
  entry('PAVGW', '0F E3', simple('i16x8_avgr_u'), true),
  entry('PSADBW', '0F F6', absoluteDifferences, true),
  entry('PMULLW', '0F D5', simple('i16x8_mul')),
  entry('PMULLD', '0F 38 40', simple('i32x4_mul')),
  entry('PMULHW', '0F E5', highProducts('s')),
  entry('PMULHUW', '0F E4', highProducts('u'), true),
  entry('PMULHRSW', '0F 38 0B', roundedProducts, true),
  entry('PMULUDQ', '0F F4', dwordProducts('u'), true),
  entry('PMULDQ', '0F 38 28', dwordProducts('s')),
  entry('PMADDWD', '0F F5', simple('i32x4_dot_i16x8_s')),
  entry('PMADDUBSW', '0F 38 04', multiplyAddBytes, true),
  entry('PAND', '0F DB', simple('v128_and')),
  entry('PANDN', '0F DF', swapped('v128_andnot')),
  entry('POR', '0F EB', simple('v128_or')),
  entry('PXOR', '0F EF', simple('v128_xor')),
  entry('ANDPD', '0F 54', simple('v128_and')),
  entry('ANDNPD', '0F 55', swapped('v128_andnot')),
  entry('ORPD', '0F 56', simple('v128_or')),
  entry('XORPD', '0F 57', simple('v128_xor')),
  entry('UNPCKLPD', '0F 14', shuffled(interleave(8, 0))),
  entry('UNPCKHPD', '0F 15', shuffled(interleave(8, 8))),
  entry('PABSB', '0F 38 1C', sourceOnly('i8x16_abs'), true),
  entry('PABSW', '0F 38 1D', sourceOnly('i16x8_abs'), true),
  entry('PABSD', '0F 38 1E', sourceOnly('i32x4_abs'), true),
  entry('PSIGNB', '0F 38 08', signs('i8x16'), true),
  entry('PSIGNW', '0F 38 09', signs('i16x8'), true),
  entry('PSIGND', '0F 38 0A', signs('i32x4'), true),
  entry('PSHUFB', '0F 38 00', byteShuffle(0x8f), byteShuffle(0x87)),
  ...horizontal,
];

/** The logic and unpacking of SSE's first generation, which have no mandatory prefix. */
const UNPREFIXED: readonly Operation[] = [
  entry('ANDPS', '0F 54', simple('v128_and')),
  entry('ANDNPS', '0F 55', swapped('v128_andnot')),
  entry('ORPS', '0F 56', simple('v128_or')),
  entry('XORPS', '0F 57', simple('v128_xor')),
  entry('UNPCKLPS', '0F 14', shuffled(interleave(4, 0))),
  entry('UNPCKHPS', '0F 15', shuffled(interleave(4, 8))),
];

const vectorRow = (prefix: string, { name, opcode, combine }: Operation): Row =>
  row(name, `${prefix} ${opcode} Vo,Wo`, (m) => {
    const b = m.let(m.readVector(1, true));
    const a = m.let(m.readVector(0));
    m.writeVector(0, combine(m, a, b));
  });

function mmxRow({ name, opcode, combine, mmx: form }: Operation): Row {
  const by = typeof form === 'function' ? form : combine;
  return {
    name,
    encodings: [`NP. ${opcode} Pq,Qq`],
    meaning: mmx((m) => {
      const b = m.let(mmxVector(m, 1));
      const a = m.let(mmxVector(m, 0));
      writeMmx(m, 0, extract('i64', 0, by(m, a, b)));
    }),
  };
}

// ---- shifts: counts beyond the lane clear it, or fill it with the sign

type Shift = 'shl' | 'shr_u' | 'shr_s';

/** Shifts every lane by a count that is an i32 or i64 of any size. */
function shift(width: 16 | 32 | 64, kind: Shift, vector: Node, count: Node): Node {
  const by = operation(`i${width}x${128 / width}_${kind}`);
  const limit = count.type === c64(0).type ? c64(width - 1) : c32(width - 1);
  const beyond = gtU(count, limit);
  if (kind === 'shr_s') return pure(by, vector, select(beyond, c32(width - 1), wrap(count)));
  return select(beyond, zero128(), pure(by, vector, wrap(count)));
}

function shifts(name: string, width: 16 | 32 | 64, kind: Shift, opcode: string, immediate: string): Row[] {
  return [
    row(name, `66. 0F ${opcode} Vo,Wo`, (m) => {
      const count = m.let(extract('i64', 0, m.readVector(1, true)));
      m.writeVector(0, shift(width, kind, m.readVector(0), count));
    }),
    row(name, `66. 0F ${immediate} Uo,Ib`, (m) => {
      const count = keep(m, and(m.immediate(1, 8), c32(0xff)));
      m.writeVector(0, shift(width, kind, m.readVector(0), count));
    }),
  ];
}

// ---- widening: PMOVSX and PMOVZX

/** Widens lanes step by step from `from` to `to` bits. */
function widen(vector: Node, from: number, to: number, sign: 's' | 'u'): Node {
  let result = vector;
  for (let bits = from; bits < to; bits *= 2)
    result = pure(operation(`i${bits * 2}x${64 / bits}_extend_low_i${bits}x${128 / bits}_${sign}`), result);
  return result;
}

function widening(): Row[] {
  const shapes = [
    ['BW', 8, 16, 'q'],
    ['BD', 8, 32, 'd'],
    ['BQ', 8, 64, 'w'],
    ['WD', 16, 32, 'q'],
    ['WQ', 16, 64, 'd'],
    ['DQ', 32, 64, 'q'],
  ] as const;
  return (['s', 'u'] as const).flatMap((sign) =>
    shapes.map(([letters, from, to, width], index) => {
      const name = `PMOV${sign === 's' ? 'S' : 'Z'}X${letters}`;
      return row(name, `66. 0F 38 ${sign === 's' ? 2 : 3}${index} Vo,W${width}`, (m) => {
        let source: Node;
        if (m.operands[1].kind === 'xmm') source = m.readVector(1);
        else if (width === 'q') source = readHalf(m, 1);
        else source = pure(op.i32x4_splat, m.read(1, width === 'd' ? 32 : 16));
        m.writeVector(0, widen(source, from, to, sign));
      });
    }),
  );
}

// ---- the odd ones

/** PHMINPOSUW: the smallest of eight words and its position. */
const minimumPosition = row('PHMINPOSUW', '66. 0F 38 41 Vo,Wo', (m) => {
  const source = m.let(m.readVector(1, true));
  // Each word above its position: the smallest such number is the first smallest word.
  const keyed = (half: 'low' | 'high', first: number): Node =>
    pure(
      op.v128_or,
      pure(op.i32x4_shl, pure(operation(`i32x4_extend_${half}_i16x8_u`), source), c32(3)),
      words(first, 0, first + 1, 0, first + 2, 0, first + 3, 0),
    );
  const four = m.let(pure(op.i32x4_min_u, keyed('low', 0), keyed('high', 4)));
  const two = m.let(
    pure(op.i32x4_min_u, four, shuffle(four, four, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])),
  );
  const one = pure(op.i32x4_min_u, two, shuffle(two, two, [4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]));
  const best = m.let(extract('i32', 0, one));
  const packed = or(pure(op.i32_shr_u, best, c32(3)), shl(and(best, c32(7)), c32(16)));
  m.writeVector(0, replace('i32', 0, zero128(), packed));
});

/** PTEST: ZF when no bit is set in both, CF when the source has no bit that the destination lacks. */
const test: Row = {
  ...row('PTEST', '66. 0F 38 17 Vo,Wo', (m) => {
    const b = m.let(m.readVector(1, true));
    const a = m.let(m.readVector(0));
    const none = eqz(pure(op.v128_any_true, pure(op.v128_and, a, b)));
    const within = eqz(pure(op.v128_any_true, pure(op.v128_andnot, b, a)));
    m.setFlagsExplicit(or(within, shl(none, c32(6))));
  }),
  flags: { written: 'OSZAPC' },
};

export const integerRows: readonly Row[] = [
  ...OPERATIONS.map((each) => vectorRow('66.', each)),
  ...UNPREFIXED.map((each) => vectorRow('NP.', each)),
  ...OPERATIONS.filter((each) => each.mmx).map(mmxRow),
  ...shifts('PSRLW', 16, 'shr_u', 'D1', '71/2'),
  ...shifts('PSRLD', 32, 'shr_u', 'D2', '72/2'),
  ...shifts('PSRLQ', 64, 'shr_u', 'D3', '73/2'),
  ...shifts('PSRAW', 16, 'shr_s', 'E1', '71/4'),
  ...shifts('PSRAD', 32, 'shr_s', 'E2', '72/4'),
  ...shifts('PSLLW', 16, 'shl', 'F1', '71/6'),
  ...shifts('PSLLD', 32, 'shl', 'F2', '72/6'),
  ...shifts('PSLLQ', 64, 'shl', 'F3', '73/6'),
  ...widening(),
  minimumPosition,
  test,
];
