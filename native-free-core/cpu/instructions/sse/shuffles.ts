// SSE rearrangements: shuffles, blends, byte shifts, insertion and extraction of lanes.
// Owns both ways of each immediate: a fixed WebAssembly shuffle where it is known, computed lane numbers where it is not.
// Never widens or packs: see integer.ts.

import {
  and,
  c32,
  extract,
  gtU,
  lane as laneNode,
  laneOp,
  mul,
  type Node,
  op,
  pure,
  replace,
  select,
  shrU,
  shuffle,
  sub,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import type { Row } from '../row.ts';
import {
  byteNumbers,
  bytes,
  dwordPermutation,
  keep,
  knownByte,
  type Local,
  laneMask,
  permuteDwords,
  row,
  words,
  zero128,
} from './common.ts';
import { mmx, mmxVector, readMmx, touchMmx, writeMmx } from './mmx-registers.ts';

/** The immediate byte of operand `index`: a constant, or a local. */
const byteOperand = (m: Meaning, index: number): Node => keep(m, and(m.immediate(index, 8), c32(0xff)));

// ---- shuffles

/** Word lane numbers 0 to 3 of a shuffle immediate, in both halves, as a byte permutation within 8 bytes. */
function wordPermutation(immediate: Node): Node {
  const scale = words(64, 16, 4, 1, 64, 16, 4, 1);
  const numbers = pure(
    op.v128_and,
    pure(op.i16x8_shr_u, pure(op.i16x8_mul, pure(op.i16x8_splat, immediate), scale), c32(6)),
    words(3, 3, 3, 3, 3, 3, 3, 3),
  );
  const double = words(...Array<number>(8).fill(0x0202));
  return pure(op.i16x8_add, pure(op.i16x8_mul, numbers, double), words(...Array<number>(8).fill(0x0100)));
}

/** Rearranges four words of the lower (0) or upper (8) half and keeps the other half. */
function permuteWords(vector: Local, immediate: Node, half: 0 | 8): Node {
  const known = knownByte(immediate);
  if (known !== undefined) {
    const lanes = Array.from({ length: 16 }, (_, byte) => {
      if ((byte & 8) !== half) return byte;
      const word = (known >> (2 * ((byte & 7) >> 1))) & 3;
      return half + word * 2 + (byte & 1);
    });
    return shuffle(vector, vector, lanes);
  }
  const permutation = wordPermutation(immediate);
  const offset = pure(op.i8x16_splat, c32(half));
  const moved = pure(op.i8x16_add, permutation, offset);
  const lanes = half === 0 ? [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31] : undefined;
  const numbers = lanes
    ? shuffle(moved, byteNumbers(), lanes)
    : shuffle(byteNumbers(), moved, [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]);
  return pure(op.i8x16_swizzle, vector, numbers);
}

const shuffles: readonly Row[] = [
  row('PSHUFD', '66. 0F 70 Vo,Wo,Ib', (m) => {
    const source = m.let(m.readVector(1, true));
    m.writeVector(0, permuteDwords(source, byteOperand(m, 2)));
  }),
  row('PSHUFLW', 'F2. 0F 70 Vo,Wo,Ib', (m) => {
    const source = m.let(m.readVector(1, true));
    m.writeVector(0, permuteWords(source, byteOperand(m, 2), 0));
  }),
  row('PSHUFHW', 'F3. 0F 70 Vo,Wo,Ib', (m) => {
    const source = m.let(m.readVector(1, true));
    m.writeVector(0, permuteWords(source, byteOperand(m, 2), 8));
  }),
  row('SHUFPS', 'NP. 0F C6 Vo,Wo,Ib', (m) => {
    const b = m.let(m.readVector(1, true));
    const a = m.let(m.readVector(0));
    const immediate = byteOperand(m, 2);
    const known = knownByte(immediate);
    if (known !== undefined) {
      const lanes = Array.from({ length: 16 }, (_, byte) => {
        const from = (known >> (2 * (byte >> 2))) & 3;
        return (byte < 8 ? 0 : 16) + from * 4 + (byte & 3);
      });
      m.writeVector(0, shuffle(a, b, lanes));
      return;
    }
    const numbers = m.let(dwordPermutation(immediate));
    const moved = (vector: Node): Node => pure(op.i8x16_swizzle, vector, numbers);
    m.writeVector(0, shuffle(moved(a), moved(b), [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]));
  }),
  row('SHUFPD', '66. 0F C6 Vo,Wo,Ib', (m) => {
    const b = m.let(m.readVector(1, true));
    const a = m.let(m.readVector(0));
    const immediate = byteOperand(m, 2);
    const half = (vector: Node, bit: number): Node =>
      select(and(immediate, c32(bit)), extract('i64', 1, vector), extract('i64', 0, vector));
    m.writeVector(0, replace('i64', 1, pure(op.i64x2_splat, half(a, 1)), half(b, 2)));
  }),
];

// ---- byte shifts

/** Bytes of `low` and, above them, `high`, from number `count` (an i32 from 0 to 32) on. */
function concatenate(high: Node, low: Node, count: Node): Node {
  const known = knownByte(count);
  if (known !== undefined && known <= 16)
    return shuffle(
      low,
      high,
      Array.from({ length: 16 }, (_, byte) => byte + known),
    );
  const numbers = pure(op.i8x16_add, byteNumbers(), pure(op.i8x16_splat, count));
  const upper = pure(op.i8x16_sub, numbers, bytes(...Array<number>(16).fill(16)));
  // Numbers from 16 on, 240 and up included, give zero in a swizzle.
  return pure(op.v128_or, pure(op.i8x16_swizzle, low, numbers), pure(op.i8x16_swizzle, high, upper));
}

const atMost = (m: Meaning, value: Node, limit: number): Node =>
  keep(m, select(gtU(value, c32(limit)), c32(limit), value));

const byteShifts: readonly Row[] = [
  row('PALIGNR', '66. 0F 3A 0F Vo,Wo,Ib', (m) => {
    const source = m.let(m.readVector(1, true));
    const count = atMost(m, byteOperand(m, 2), 32);
    m.writeVector(0, concatenate(m.let(m.readVector(0)), source, count));
  }),
  {
    name: 'PALIGNR',
    encodings: ['NP. 0F 3A 0F Pq,Qq,Ib'],
    meaning: mmx((m) => {
      const source = m.let(mmxVector(m, 1));
      const both = m.let(replace('i64', 1, source, readMmx(m, 0)));
      const count = atMost(m, byteOperand(m, 2), 32);
      writeMmx(m, 0, extract('i64', 0, concatenate(zero128(), both, count)));
    }),
  },
  row('PSRLDQ', '66. 0F 73/3 Uo,Ib', (m) => {
    const count = atMost(m, byteOperand(m, 1), 16);
    m.writeVector(0, concatenate(zero128(), m.let(m.readVector(0)), count));
  }),
  row('PSLLDQ', '66. 0F 73/7 Uo,Ib', (m) => {
    const count = sub(c32(16), atMost(m, byteOperand(m, 1), 16));
    m.writeVector(0, concatenate(m.let(m.readVector(0)), zero128(), keep(m, count)));
  }),
];

// ---- blends

const choose = (mask: Node, yes: Node, no: Node): Node => pure(op.v128_bitselect, yes, no, mask);

const blends: readonly Row[] = [
  ...(
    [
      ['BLENDPS', '0C', 4],
      ['BLENDPD', '0D', 2],
      ['PBLENDW', '0E', 8],
    ] as const
  ).map(([name, opcode, count]) =>
    row(name, `66. 0F 3A ${opcode} Vo,Wo,Ib`, (m) => {
      const source = m.let(m.readVector(1, true));
      m.writeVector(0, choose(laneMask(byteOperand(m, 2), count), source, m.readVector(0)));
    }),
  ),
  // The mask is XMM0; its lanes' top bits decide.
  ...(
    [
      ['PBLENDVB', '10', op.i8x16_shr_s, 7],
      ['BLENDVPS', '14', op.i32x4_shr_s, 31],
      ['BLENDVPD', '15', op.i64x2_shr_s, 63],
    ] as const
  ).map(([name, opcode, spread, count]) =>
    row(name, `66. 0F 38 ${opcode} Vo,Wo`, (m) => {
      const source = m.let(m.readVector(1, true));
      m.writeVector(0, choose(pure(spread, m.getXmm(0), c32(count)), source, m.readVector(0)));
    }),
  ),
];

// ---- single lanes

/** Byte numbers of the lane of `width` bytes that `index` names, in the lowest lane. */
const laneBytes = (index: Node, width: 1 | 2 | 4 | 8): Node =>
  pure(op.i8x16_add, byteNumbers(), pure(op.i8x16_splat, mul(index, c32(width))));

/** One lane of a vector, by a number that may be known only at run time; more bits of `index` than count are ignored. */
function extractLane(vector: Node, index: Node, width: 1 | 2 | 4 | 8): Node {
  const operations = {
    1: laneOp.i8x16_extract_lane_u,
    2: laneOp.i16x8_extract_lane_u,
    4: laneOp.i32x4_extract_lane,
    8: laneOp.i64x2_extract_lane,
  } as const;
  const within = and(index, c32(16 / width - 1));
  const known = knownByte(within);
  if (known !== undefined) return laneNode(operations[width], known, vector);
  return laneNode(operations[width], 0, pure(op.i8x16_swizzle, vector, laneBytes(within, width)));
}

/** The vector with that lane exchanged. */
function insertLane(vector: Node, index: Node, width: 1 | 2 | 4 | 8, value: Node): Node {
  const operations = {
    1: laneOp.i8x16_replace_lane,
    2: laneOp.i16x8_replace_lane,
    4: laneOp.i32x4_replace_lane,
    8: laneOp.i64x2_replace_lane,
  } as const;
  const splats = { 1: op.i8x16_splat, 2: op.i16x8_splat, 4: op.i32x4_splat, 8: op.i64x2_splat } as const;
  const within = and(index, c32(16 / width - 1));
  const known = knownByte(within);
  if (known !== undefined) return laneNode(operations[width], known, vector, value);
  const laneOfByte = bytes(...Array.from({ length: 16 }, (_, byte) => Math.floor(byte / width)));
  const mask = pure(op.i8x16_eq, laneOfByte, pure(op.i8x16_splat, within));
  return choose(mask, pure(splats[width], value), vector);
}

/** Rows that extract to a general register (zero-extended) or to memory of the lane's width. */
function extraction(name: string, encodings: readonly string[], width: 1 | 2 | 4): Row {
  return {
    ...row(name, '', (m) => {
      const value = m.let(extractLane(m.readVector(1), byteOperand(m, 2), width));
      m.write(0, value, m.operands[0].kind === 'mem' ? ((8 * width) as 8 | 16 | 32) : 32);
    }),
    encodings,
  };
}

function insertion(name: string, encodings: readonly string[], width: 1 | 2): Row {
  return {
    ...row(name, '', (m) => {
      const value = m.let(m.read(1, m.operands[1].kind === 'mem' ? ((8 * width) as 8 | 16) : 32));
      m.writeVector(0, insertLane(m.let(m.readVector(0)), byteOperand(m, 2), width, value));
    }),
    encodings,
  };
}

const lanes: readonly Row[] = [
  extraction('PEXTRB', ['66. 0F 3A 14 Rd,Vo,Ib', '66. 0F 3A 14 Mb,Vo,Ib'], 1),
  extraction('PEXTRW', ['66. 0F C5 Gd,Uo,Ib', '66. 0F 3A 15 Rd,Vo,Ib', '66. 0F 3A 15 Mw,Vo,Ib'], 2),
  extraction('EXTRACTPS', ['66. 0F 3A 17 Ed,Vo,Ib'], 4),
  insertion('PINSRB', ['66. 0F 3A 20 Vo,Rd,Ib', '66. 0F 3A 20 Vo,Mb,Ib'], 1),
  insertion('PINSRW', ['66. 0F C4 Vo,Rd,Ib', '66. 0F C4 Vo,Mw,Ib'], 2),
  row('PEXTRD', '66. 0F 3A 16 Ey,Vo,Ib', (m) => {
    const width = m.operands[0].size === 64 ? 8 : 4;
    m.write(0, m.let(extractLane(m.readVector(1), byteOperand(m, 2), width)));
  }),
  row('PINSRD', '66. 0F 3A 22 Vo,Ey,Ib', (m) => {
    const width = m.operands[1].size === 64 ? 8 : 4;
    const value = m.let(m.read(1));
    m.writeVector(0, insertLane(m.let(m.readVector(0)), byteOperand(m, 2), width, value));
  }),
  // Bits 7-6 choose the source's lane (a register's only), 5-4 the destination's, 3-0 lanes to clear.
  row('INSERTPS', '66. 0F 3A 21 Vo,Wd,Ib', (m) => {
    const immediate = byteOperand(m, 2);
    const value =
      m.operands[1].kind === 'xmm' ? extractLane(m.readVector(1), shrU(immediate, c32(6)), 4) : m.read(1, 32);
    const kept = m.let(value);
    const inserted = insertLane(m.let(m.readVector(0)), shrU(immediate, c32(4)), 4, kept);
    m.writeVector(0, pure(op.v128_andnot, inserted, laneMask(immediate, 4)));
  }),
];

// ---- sums of absolute differences at eight offsets

const mpsadbw = row('MPSADBW', '66. 0F 3A 42 Vo,Wo,Ib', (m) => {
  const b = m.let(m.readVector(1, true));
  const a = m.let(m.readVector(0));
  const immediate = byteOperand(m, 2);
  const block = m.let(pure(op.i8x16_swizzle, b, laneBytes(and(immediate, c32(3)), 4)));
  // Bytes from offset 0 or 4 of the destination on.
  const window = m.let(pure(op.i8x16_swizzle, a, laneBytes(and(shrU(immediate, c32(2)), c32(1)), 4)));
  let total: Node | undefined;
  for (let k = 0; k < 4; k++) {
    const part = shuffle(
      window,
      zero128(),
      Array.from({ length: 16 }, (_, byte) => byte + k),
    );
    const one = pure(op.i8x16_splat, laneNode(laneOp.i8x16_extract_lane_u, k, block));
    const w = m.let(part);
    const s = m.let(one);
    const difference = pure(op.i8x16_sub, pure(op.i8x16_max_u, w, s), pure(op.i8x16_min_u, w, s));
    const wide = pure(op.i16x8_extend_low_i8x16_u, difference);
    total = m.let(total ? pure(op.i16x8_add, total, wide) : wide);
  }
  m.writeVector(0, total!);
});

// ---- MMX

const mmxRows: readonly Row[] = [
  {
    name: 'PSHUFW',
    encodings: ['NP. 0F 70 Pq,Qq,Ib'],
    meaning: mmx((m) => {
      const source = m.let(mmxVector(m, 1));
      writeMmx(m, 0, extract('i64', 0, permuteWords(source, byteOperand(m, 2), 0)));
    }),
  },
  {
    name: 'PINSRW',
    encodings: ['NP. 0F C4 Pq,Rd,Ib', 'NP. 0F C4 Pq,Mw,Ib'],
    meaning: mmx((m) => {
      const value = m.let(m.read(1, m.operands[1].kind === 'mem' ? 16 : 32));
      const vector = m.let(mmxVector(m, 0));
      writeMmx(m, 0, extract('i64', 0, insertLane(vector, and(byteOperand(m, 2), c32(3)), 2, value)));
    }),
  },
  {
    name: 'PEXTRW',
    encodings: ['NP. 0F C5 Gd,Nq,Ib'],
    meaning: mmx((m) => {
      m.write(0, m.let(extractLane(mmxVector(m, 1), and(byteOperand(m, 2), c32(3)), 2)), 32);
      touchMmx(m);
    }),
  },
  {
    name: 'PMOVMSKB',
    encodings: ['NP. 0F D7 Gd,Nq'],
    meaning: mmx((m) => {
      m.write(0, and(pure(op.i8x16_bitmask, mmxVector(m, 1)), c32(0xff)), 32);
      touchMmx(m);
    }),
  },
];

export const shuffleRows: readonly Row[] = [...shuffles, ...byteShifts, ...blends, ...lanes, mpsadbw, ...mmxRows];
