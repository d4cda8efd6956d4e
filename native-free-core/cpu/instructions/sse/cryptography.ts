// AES-NI and PCLMULQDQ.
// Owns the S-boxes, computed from the field they are defined on, and the carry-less product.
// Never branches or addresses memory by secret data: substitution is sixteen vector look-ups, always all of them.
//
// AES as in FIPS 197; byte 4c + r of a vector is row r of column c.

import { call } from '../../builder/function.ts';
import {
  and,
  c32,
  c64,
  cv128,
  extract,
  mul,
  type Node,
  op,
  or,
  pure,
  replace,
  select,
  shl,
  shrU,
  shuffle,
  xor,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import type { HelperFunction, Row } from '../row.ts';
import { bytes, i64, keep, type Local, row, v128, zero128 } from './common.ts';
import { helper } from './soft-numbers.ts';

// ---- the field of 256 elements, at build time

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) {
    if ((b >> bit) & 1) product ^= a << bit;
  }
  for (let bit = 14; bit >= 8; bit--) {
    if ((product >> bit) & 1) product ^= 0x11b << (bit - 8);
  }
  return product;
}

let knownBox: Uint8Array | undefined;

/** The S-box: the inverse in the field, then an affine map (FIPS 197, 5.1.1). Only who builds the interpreter asks. */
function substitutionBox(): Uint8Array {
  knownBox ??= Uint8Array.from({ length: 256 }, (_, value) => {
    let inverse = 1;
    // The inverse is the 254th power; that of zero is zero.
    for (let i = 0; i < 254; i++) inverse = multiply(inverse, value);
    const rotated = (by: number): number => ((inverse << by) | (inverse >> (8 - by))) & 0xff;
    return inverse ^ rotated(1) ^ rotated(2) ^ rotated(3) ^ rotated(4) ^ 0x63;
  });
  return knownBox;
}

function invertedBox(): Uint8Array {
  const inverse = new Uint8Array(256);
  substitutionBox().forEach((to, from) => {
    inverse[to] = from;
  });
  return inverse;
}

// ---- the steps of a round

/** A helper that replaces every byte by its entry in a table of 256. */
const substitution = (name: string, tableOf: () => Uint8Array): HelperFunction =>
  helper(name, [v128], v128, (f) => {
    const index = f.parameter(0, v128);
    const result = f.local(v128);
    const table = tableOf();
    f.set(result, zero128());
    for (let first = 0; first < 256; first += 16) {
      // A swizzle gives zero for the bytes that belong to the other fifteen parts.
      const part = pure(op.i8x16_swizzle, cv128(table.slice(first, first + 16)), index);
      f.set(result, pure(op.v128_or, result, part));
      f.set(index, pure(op.i8x16_sub, index, bytes(...Array<number>(16).fill(16))));
    }
    f.return(result);
    f.unreachable();
  });

/** Byte numbers of a state whose row r is rotated left by `step` times r. */
const rowShift = (step: 1 | -1): number[] =>
  Array.from({ length: 16 }, (_, byte) => ((((byte >> 2) + step * (byte & 3)) & 3) << 2) + (byte & 3));
const shiftRows = (state: Node, step: 1 | -1): Node => shuffle(state, zero128(), rowShift(step));

/** Each column rotated up by a number of bytes. */
const rotateColumns = (state: Node, by: number): Node =>
  shuffle(
    state,
    zero128(),
    Array.from({ length: 16 }, (_, byte) => (byte & 12) | ((byte + by) & 3)),
  );

/** Every byte times x in the field. */
const timesX = (state: Local): Node =>
  pure(
    op.v128_xor,
    pure(op.i8x16_shl, state, c32(1)),
    pure(op.v128_and, pure(op.i8x16_shr_s, state, c32(7)), bytes(...Array<number>(16).fill(0x1b))),
  );
const exclusive = (...parts: Node[]): Node => parts.reduce((sum, part) => pure(op.v128_xor, sum, part));

/** sse.mixColumns: (state) -> state; each column times 3x^3 + x^2 + x + 2. */
const mixColumns = helper('sse.mixColumns', [v128], v128, (f) => {
  const state = f.parameter(0, v128);
  const next = f.let(rotateColumns(state, 1));
  const both = f.let(exclusive(state, next));
  f.return(exclusive(timesX(both), next, rotateColumns(state, 2), rotateColumns(state, 3)));
  f.unreachable();
});

/** sse.unmixColumns: its inverse, which is the same after multiplying each column by 4x^2 + 5. */
const unmixColumns = helper('sse.unmixColumns', [v128], v128, (f, reference) => {
  const state = f.parameter(0, v128);
  const pair = f.let(exclusive(state, rotateColumns(state, 2)));
  const doubled = f.let(timesX(pair));
  f.return(call(reference('sse.mixColumns'), exclusive(state, timesX(doubled))));
  f.unreachable();
});

type RoundStep = (m: Meaning, state: Node) => Node;
const substitute: RoundStep = (m, state) => m.helper('sse.substitute', shiftRows(state, 1));
const unsubstitute: RoundStep = (m, state) => m.helper('sse.unsubstitute', shiftRows(state, -1));

/** A round: the destination is the state, the source the round key. */
const round = (name: string, opcode: string, step: RoundStep): Row =>
  row(name, `66. 0F 38 ${opcode} Vo,Wo`, (m) => {
    const key = m.let(m.readVector(1, true));
    const state = m.let(m.readVector(0));
    m.writeVector(0, pure(op.v128_xor, step(m, state), key));
  });

const keyAssist = row('AESKEYGENASSIST', '66. 0F 3A DF Vo,Wo,Ib', (m) => {
  const source = m.let(m.readVector(1, true));
  const substituted = m.helper('sse.substitute', source);
  // Dwords 1 and 3, each as it is and rotated right by a byte; the round constant joins the rotated ones.
  const spread = shuffle(substituted, zero128(), [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
  const constant = pure(op.i32x4_splat, and(m.immediate(2, 8), c32(0xff)));
  const placed = pure(op.v128_and, constant, bytes(0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0));
  m.writeVector(0, exclusive(spread, placed));
});

// ---- carry-less products

/** sse.carrylessLow: (a, b) -> lower 64 bits of their product over GF(2). */
const carrylessLow = helper('sse.carrylessLow', [i64, i64], i64, (f) => {
  // Ordinary products of numbers with only every fourth bit: sums of up to 15 ones stay within their four bits, the
  // lowest of which is their parity; the topmost sum of 16 carries out of the 64 bits.
  const lanes = [0x1111111111111111n, 0x2222222222222222n, 0x4444444444444444n, 0x8888888888888888n];
  const parts = (value: Node): Local[] => lanes.map((mask) => f.let(and(value, c64(mask))));
  const a = parts(f.parameter(0, i64));
  const b = parts(f.parameter(1, i64));
  const products = lanes.map((mask, lane) => {
    const terms = [0, 1, 2, 3].map((i) => mul(a[i], b[(lane - i) & 3]));
    return and(
      terms.reduce((sum, term) => xor(sum, term)),
      c64(mask),
    );
  });
  f.return(products.reduce((sum, part) => or(sum, part)));
  f.unreachable();
});

/** sse.reverseBits: (value) -> its 64 bits the other way round. */
const reverseBits = helper('sse.reverseBits', [i64], i64, (f) => {
  const value = f.parameter(0, i64);
  const steps = [
    [1, 0x5555555555555555n],
    [2, 0x3333333333333333n],
    [4, 0x0f0f0f0f0f0f0f0fn],
    [8, 0x00ff00ff00ff00ffn],
    [16, 0x0000ffff0000ffffn],
  ] as const;
  for (const [by, mask] of steps) {
    const up = shl(and(value, c64(mask)), c64(by));
    f.set(value, or(up, and(shrU(value, c64(by)), c64(mask))));
  }
  f.return(pure(op.i64_rotl, value, c64(32)));
  f.unreachable();
});

/** sse.carryless: (a, b) -> all 128 bits. The upper half is the lower half of the reversed operands' product, reversed. */
const carryless = helper('sse.carryless', [i64, i64], v128, (f, reference) => {
  const a = f.parameter(0, i64);
  const b = f.parameter(1, i64);
  const reversed = (value: Node): Node => call(reference('sse.reverseBits'), value);
  const low = call(reference('sse.carrylessLow'), a, b);
  const mirrored = call(reference('sse.carrylessLow'), reversed(a), reversed(b));
  f.return(replace('i64', 1, pure(op.i64x2_splat, low), shrU(reversed(mirrored), c64(1))));
  f.unreachable();
});

const carrylessProduct = row('PCLMULQDQ', '66. 0F 3A 44 Vo,Wo,Ib', (m) => {
  const source = m.let(m.readVector(1, true));
  const immediate = keep(m, m.immediate(2, 8));
  const destination = m.let(m.readVector(0));
  const half = (vector: Node, bit: number): Node =>
    select(and(immediate, c32(bit)), extract('i64', 1, vector), extract('i64', 0, vector));
  m.writeVector(0, m.helper('sse.carryless', half(destination, 1), half(source, 0x10)));
});

export const cryptographyHelpers: readonly HelperFunction[] = [
  substitution('sse.substitute', substitutionBox),
  substitution('sse.unsubstitute', invertedBox),
  mixColumns,
  unmixColumns,
  carrylessLow,
  reverseBits,
  carryless,
];

export const cryptographyRows: readonly Row[] = [
  round('AESENC', 'DC', (m, state) => m.helper('sse.mixColumns', substitute(m, state))),
  round('AESENCLAST', 'DD', substitute),
  round('AESDEC', 'DE', (m, state) => m.helper('sse.unmixColumns', unsubstitute(m, state))),
  round('AESDECLAST', 'DF', unsubstitute),
  row('AESIMC', '66. 0F 38 DB Vo,Wo', (m) => m.writeVector(0, m.helper('sse.unmixColumns', m.readVector(1, true)))),
  keyAssist,
  carrylessProduct,
];
