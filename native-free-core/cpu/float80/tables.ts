// Tables of the transcendental functions in WebAssembly: where they lie in the guest's memory, and their contents.
// Owns their layout; they are filled when TypeScript first carries one of the instructions out.
// Never part of a vCPU's state: they are the same for every guest.

import { X87_TABLES } from '../../memory/layout.ts';
import { arcTangent, ln2, logarithm, pi, powerOfTwo, sineAndCosine } from '../system/x87-fixed-point.ts';

/** Addresses. Entries are of 16 bytes, low half first, unless said otherwise. */
export const Table = {
  /** i32: 1 when the tables are filled. */
  filled: X87_TABLES,
  /** |2^(k/32) - 1| * 2^127 for k from -32 to 32. */
  powers: X87_TABLES + 0x10,
  /** -log2(c / 256) * 2^112 of the 64 values c below. */
  logarithms: X87_TABLES + 0x420,
  /** i32 each: 256 / m for the 64 segments of m from 1 to 2; exact at both ends. */
  reciprocals: X87_TABLES + 0x820,
  /** atan(k/32) * 2^125 for k from 0 to 32. */
  arcTangents: X87_TABLES + 0x920,
  /** sin(k/32) * 2^127, then cos(k/32) * 2^127: 32 bytes each, for k from 0 to 25. */
  sines: X87_TABLES + 0xb30,
} as const;

/** Steps a unit of the arguments of powers, arc tangents and sines. */
export const STEPS = 32n;
const LOGARITHMS = 64;
const SINES = 26;
const BITS = 160n;

/** Fills the tables if they are not. `view` covers the guest's memory. */
export function readyTables(view: DataView): void {
  if (view.getInt32(Table.filled, true) !== 0) return;
  const put = (address: number, value: bigint, scale: bigint): void => {
    const scaled = value >> (BITS - scale);
    view.setBigUint64(address, scaled & 0xffff_ffff_ffff_ffffn, true);
    view.setBigUint64(address + 8, scaled >> 64n, true);
  };
  const one = 1n << BITS;
  for (let k = -STEPS; k <= STEPS; k++) {
    const rest = powerOfTwo(k, BITS) - one;
    put(Table.powers + Number(k + STEPS) * 16, rest < 0n ? -rest : rest, 127n);
  }
  for (let segment = 0; segment < LOGARITHMS; segment++) {
    const last = LOGARITHMS - 1;
    // By the middle of the segment; at the ends so that the logarithm of numbers close to 1 keeps its leading bits.
    const c = segment === 0 ? 256 : segment === last ? 128 : Math.round(256 / (1 + (2 * segment + 1) / 128));
    view.setInt32(Table.reciprocals + segment * 4, c, true);
    const value = segment === last ? one : (-logarithm(BigInt(c), 256n, BITS + 16n) << BITS) / ln2(BITS + 16n);
    put(Table.logarithms + segment * 16, value, 112n);
  }
  for (let k = 0n; k <= STEPS; k++) put(Table.arcTangents + Number(k) * 16, arcTangent(k, STEPS, BITS), 125n);
  for (let k = 0; k < SINES; k++) {
    const { sine, cosine } = sineAndCosine((BigInt(k) << BITS) / STEPS, BITS);
    put(Table.sines + k * 32, sine, 127n);
    put(Table.sines + k * 32 + 16, cosine, 127n);
  }
  view.setInt32(Table.filled, 1, true);
}

/** Constants that code carries with it, in units of 2^-scale. */
export const constantOf = {
  ln2: (scale: bigint): bigint => ln2(BITS) >> (BITS - scale),
  log2e: (scale: bigint): bigint => (1n << (BITS + scale)) / ln2(BITS),
  pi: (scale: bigint): bigint => pi(BITS) >> (BITS - scale),
} as const;
