// What the SSE families share: the entry check, formats, the guard around float operations, masks and permutations.
// Owns the fast path's shape: compute natively, leave for a helper only where x86 and WebAssembly could differ.
// Never computes an exact float result itself: see soft-arithmetic.ts and its kin.

import { ValueType } from '../../../wasm/opcodes.ts';
import {
  add,
  c32,
  c64,
  cv64x2,
  cv128,
  extract,
  isConst,
  ltU,
  type Node,
  op,
  pure,
  shl,
  shuffle,
  sub,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { S } from '../../state.ts';
import type { MeaningFunction, Row } from '../row.ts';

export const { i32, i64, f32, f64, v128 } = ValueType;
export type Local = Node & { kind: 'local' };

/** An IEEE format as SSE has it. */
export interface Format {
  readonly bits: 32 | 64;
  /** Bits of the fraction. */
  readonly fraction: 23 | 52;
  /** The exponent field of infinities and NaNs. */
  readonly maxExponent: number;
  readonly bias: number;
  readonly scalar: typeof f32 | typeof f64;
  readonly lane: 'f32' | 'f64';
  /** Suffixes of packed and scalar instructions, and the mandatory prefixes of both. */
  readonly packed: 'PS' | 'PD';
  readonly single: 'SS' | 'SD';
  readonly packedPrefix: 'NP.' | '66.';
  readonly scalarPrefix: 'F3.' | 'F2.';
  /** Operand width letter of the scalar. */
  readonly width: 'd' | 'q';
}

export const F32: Format = {
  bits: 32,
  fraction: 23,
  maxExponent: 255,
  bias: 127,
  scalar: f32,
  lane: 'f32',
  packed: 'PS',
  single: 'SS',
  packedPrefix: 'NP.',
  scalarPrefix: 'F3.',
  width: 'd',
};
export const F64: Format = {
  bits: 64,
  fraction: 52,
  maxExponent: 2047,
  bias: 1023,
  scalar: f64,
  lane: 'f64',
  packed: 'PD',
  single: 'SD',
  packedPrefix: '66.',
  scalarPrefix: 'F2.',
  width: 'q',
};
export const FORMATS = [F32, F64] as const;

/** An operation by its name in WebAssembly; a name that does not exist is a mistake of ours, found when rows are built. */
export function operation(name: string): (typeof op)[keyof typeof op] {
  const found = (op as Record<string, (typeof op)[keyof typeof op]>)[name];
  if (!found) throw new Error(`WebAssembly has no operation ${name}.`);
  return found;
}
/** The packed (`f64x2_add`) or scalar (`f64_add`) operation of a format. */
export const packedOp = (format: Format, name: string): (typeof op)[keyof typeof op] =>
  operation(`${format.lane}x${128 / format.bits}_${name}`);
export const scalarOp = (format: Format, name: string): (typeof op)[keyof typeof op] =>
  operation(`${format.lane}_${name}`);

/** Raises the exception whose vector an i32 local holds; there is no error code. */
export function raiseVector(m: Meaning, vector: Node): void {
  m.setState32(S.faultVector, vector);
  m.setState32(S.faultCode, c32(-1));
  m.leaveFault();
}

/** Raises #UD or #NM where CR0 and CR4 forbid SSE. */
export function checkSse(m: Meaning): void {
  m.beginsWith('sse');
  // CR0 and CR4 change by instructions that end their block.
  m.oncePerBlock('sse', () => {
    m.if(m.state32(S.sseTrap), () => raiseVector(m, m.state32(S.sseTrap)), undefined, false);
  });
}

/** A meaning that starts with {@link checkSse}. */
export function sse(body: (m: Meaning) => void): MeaningFunction {
  return (m) => {
    checkSse(m);
    body(m);
  };
}

/** A row of one encoding whose meaning is an SSE one. */
export const row = (name: string, encoding: string, body: (m: Meaning) => void): Row => ({
  name,
  encodings: [encoding],
  meaning: sse(body),
});

/**
 * Adds the flags that helpers have raised to MXCSR, and raises #XM (or #UD) where one is not masked. Call it after each
 * instruction's last helper that may raise flags, before the destination changes.
 */
export function commit(m: Meaning): void {
  const vector = m.helper('sse.commit');
  m.if(vector, () => raiseVector(m, vector), undefined, false);
  m.release(vector);
}

/** Builds `slow` for when MXCSR asks for more than WebAssembly does, or the i32 `ordinary` is 0. */
export function unless(m: Meaning, ordinary: Node, slow: () => void): void {
  m.block((done) => {
    m.block((rare) => {
      m.brIf(rare, m.state32(S.sseSlow), false);
      m.brIf(done, ordinary, true);
    });
    slow();
  });
}

/**
 * A float result: `fast` where MXCSR is ordinary and `ordinary(result)` holds, else what `slow` gives with exact flags.
 * `slow` is emitted in the slow branch, followed by {@link commit}.
 */
export function guarded(m: Meaning, fast: Node, ordinary: (result: Node) => Node, slow: () => Node): Local {
  const result = m.let(fast);
  unless(m, ordinary(result), () => {
    m.set(result, slow());
    commit(m);
  });
  return result;
}

/** A vector with the same 64 bits twice. */
const twice = (bits: bigint): Node => cv64x2(bits, bits);
/** A vector constant with a value in each lane of the format. */
export const splatBits = (format: Format, bits: bigint): Node =>
  twice(format.bits === 64 ? bits : (bits << 32n) | (bits & 0xffffffffn));
const LIMITS = {
  32: { infinity: 0x7f800000n, smallest: 0x00800000n, minimum: 2 ** -126 },
  64: { infinity: 0x7ff0000000000000n, smallest: 0x0010000000000000n, minimum: 2 ** -1022 },
} as const;

export const constant = (format: Format, value: number): Node => ({ kind: 'const', type: format.scalar, value });
export const smallestNormal = (format: Format): number => LIMITS[format.bits].minimum;

/** A scalar's bits without its sign, moved to the top of its integer: they order like its magnitude. */
const magnitude = (format: Format, value: Node): Node =>
  format.bits === 64
    ? shl(pure(op.i64_reinterpret_f64, value), c64(1))
    : shl(pure(op.i32_reinterpret_f32, value), c32(1));
const magnitudeConst = (format: Format, bits: bigint): Node =>
  format.bits === 64 ? c64(bits << 1n) : c32(Number(BigInt.asIntN(32, bits << 1n)));

/** 1 when a scalar is neither infinite nor NaN. */
export const isFiniteScalar = (format: Format, value: Node): Node =>
  ltU(magnitude(format, value), magnitudeConst(format, LIMITS[format.bits].infinity));
/** 1 when a scalar's magnitude is finite and above the smallest normal number: no overflow, underflow, zero or NaN. */
export const isOrdinary = (format: Format, value: Node): Node => {
  const { infinity, smallest } = LIMITS[format.bits];
  const above = sub(magnitude(format, value), magnitudeConst(format, smallest + 1n));
  return ltU(above, magnitudeConst(format, infinity - smallest - 1n));
};

const allTrue = (format: Format, mask: Node): Node =>
  pure(operation(`i${format.bits}x${128 / format.bits}_all_true`), mask);
/** The same of every lane of a vector. */
export const allFinite = (format: Format, value: Node): Node =>
  allTrue(
    format,
    pure(packedOp(format, 'lt'), pure(packedOp(format, 'abs'), value), splatBits(format, LIMITS[format.bits].infinity)),
  );
/** Lanes that are ordinary, as a mask. */
export const lanesOrdinary = (format: Format, value: Node): Node =>
  pure(
    op.v128_and,
    pure(packedOp(format, 'lt'), pure(packedOp(format, 'abs'), value), splatBits(format, LIMITS[format.bits].infinity)),
    pure(packedOp(format, 'gt'), pure(packedOp(format, 'abs'), value), splatBits(format, LIMITS[format.bits].smallest)),
  );
export const allOrdinary = (format: Format, value: Node): Node => allTrue(format, lanesOrdinary(format, value));
/** 1 when every lane of a comparison's result is set. */
export const every = allTrue;

/** Bits of a scalar as the i64 that the exact helpers take. */
export const bitsOf = (format: Format, value: Node): Node =>
  format.bits === 64
    ? pure(op.i64_reinterpret_f64, value)
    : pure(op.i64_extend_i32_u, pure(op.i32_reinterpret_f32, value));
/** The scalar of an exact helper's i64. */
export const fromBits = (format: Format, bits: Node): Node =>
  format.bits === 64 ? pure(op.f64_reinterpret_i64, bits) : pure(op.f32_reinterpret_i32, pure(op.i32_wrap_i64, bits));

/** Lowest lane of a vector operand, or a memory operand of the scalar's width. */
export function readScalar(m: Meaning, index: number, format: Format): Node {
  if (m.operands[index].kind === 'xmm') return extract(format.lane, 0, m.readVector(index));
  const bits = m.read(index, format.bits);
  return pure(format.bits === 64 ? op.f64_reinterpret_i64 : op.f32_reinterpret_i32, bits);
}

/** A 64-bit half: the low one of a vector register, or 8 bytes of memory, as a vector whose upper half is anything. */
export function readHalf(m: Meaning, index: number): Node {
  if (m.operands[index].kind === 'xmm') return m.readVector(index);
  return pure(op.i64x2_splat, m.read(index, 64));
}

export const zero128 = (): Node => cv64x2(0n, 0n);
/** Bytes 0 to 15. */
export const byteNumbers = (): Node => cv128(Uint8Array.from({ length: 16 }, (_, index) => index));
export const bytes = (...values: number[]): Node => cv128(Uint8Array.from(values));
export const words = (...values: number[]): Node => cv128(new Uint8Array(Uint16Array.from(values).buffer));
export const dwords = (...values: number[]): Node => cv128(new Uint8Array(Uint32Array.from(values).buffer));

/** Keeps a value for repeated use; a constant stays one, so that what follows from it still folds. */
export const keep = (m: Meaning, value: Node): Node => (isConst(value) ? value : m.let(value));

/** The value of an immediate byte if it is known when code is built (translator), else undefined (interpreter). */
export function knownByte(immediate: Node): number | undefined {
  return isConst(immediate) ? Number(immediate.value) & 0xff : undefined;
}

/** Dword lane numbers of a shuffle immediate as a byte permutation: two bits a lane. */
export function dwordPermutation(immediate: Node): Node {
  const numbers = pure(
    op.v128_and,
    pure(op.i32x4_shr_u, pure(op.i32x4_mul, pure(op.i32x4_splat, immediate), dwords(64, 16, 4, 1)), c32(6)),
    dwords(3, 3, 3, 3),
  );
  return pure(
    op.i32x4_add,
    pure(op.i32x4_mul, numbers, dwords(0x04040404, 0x04040404, 0x04040404, 0x04040404)),
    dwords(0x03020100, 0x03020100, 0x03020100, 0x03020100),
  );
}

/** Rearranges the dwords of a vector by a shuffle immediate (PSHUFD). */
export function permuteDwords(vector: Node, immediate: Node): Node {
  const known = knownByte(immediate);
  if (known === undefined) return pure(op.i8x16_swizzle, vector, dwordPermutation(immediate));
  const lanes = [0, 1, 2, 3].flatMap((lane) => {
    const from = (known >> (2 * lane)) & 3;
    return [0, 1, 2, 3].map((byte) => from * 4 + byte);
  });
  return shuffle(vector, zero128(), lanes);
}

/** Lanes of `count` (2, 4, 8) whose bit in an immediate is set, as a mask of all ones; `bit` is the lowest lane's. */
export function laneMask(immediate: Node, count: 2 | 4 | 8, bit = 0): Node {
  if (count === 8) {
    const selected = words(...Array.from({ length: 8 }, (_, lane) => 1 << lane));
    return pure(op.i16x8_eq, pure(op.v128_and, pure(op.i16x8_splat, immediate), selected), selected);
  }
  const lanes = Array.from({ length: 4 }, (_, lane) => 1 << (bit + (count === 4 ? lane : lane >> 1)));
  return pure(op.i32x4_eq, pure(op.v128_and, pure(op.i32x4_splat, immediate), dwords(...lanes)), dwords(...lanes));
}

/** Sum of nodes of one type. */
export const sum = (first: Node, ...rest: Node[]): Node => rest.reduce((total, next) => add(total, next), first);
