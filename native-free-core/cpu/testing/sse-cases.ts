// Generated states for SSE instructions: special and random operands, every mode of MXCSR.
// Owns the generator; the same seed gives the same states for ever, because recorded results hang on them.
// Never runs anything.

import type { Encoding } from '../instructions/row.ts';

/** What an SSE instruction can read or change. */
export interface SseState {
  mxcsr: number;
  /** RAX, RCX, RDX. */
  general: bigint[];
  /** OF SF ZF AF PF CF at their places in EFLAGS. */
  flags: number;
  /** XMM0, XMM1, XMM2. */
  vectors: Uint8Array;
  /** MM0, MM1, MM2. */
  mmx: bigint[];
  /** 32 bytes at the memory operand's address, which is a multiple of 32. */
  memory: Uint8Array;
}

export interface SseCase {
  readonly state: SseState;
  /** Immediate byte, 0 to 255. */
  readonly immediate: number;
}

/** A form of an encoding: operand size (0 where it has none) and whether its operand is in memory. */
export interface SseForm {
  readonly size: 0 | 16 | 32 | 64;
  readonly memory: boolean;
}

/** Every form of an encoding. */
export function formsOf(encoding: Encoding): SseForm[] {
  const wheres = encoding.operands.map((operand) => operand.where);
  const memory = wheres.includes('M')
    ? [true]
    : wheres.some((where) => 'EWQ'.includes(where))
      ? [false, true]
      : [false];
  const wide = encoding.attributes.has('y') || encoding.operands.some((operand) => operand.width === 'y');
  const sizes: SseForm['size'][] = encoding.attributes.has('v') ? [16, 32, 64] : wide ? [32, 64] : [0];
  return sizes.flatMap((size) => memory.map((each) => ({ size, memory: each })));
}

/** A small generator of 32-bit numbers (mulberry32). */
export class Random {
  private seed: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
  }

  next(): number {
    this.seed = (this.seed + 0x6d2b79f5) >>> 0;
    let t = this.seed;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  next64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.next() % values.length];
  }
}

/** Zeros, denormals, edges of the normal numbers, infinities, NaNs, edges of the integers, ties. */
const SPECIAL_32 = [
  0, 0x80000000, 1, 0x80000001, 0x7fffff, 0x807fffff, 0x400000, 0x800000, 0x800001, 0x80800000, 0x3f800000, 0xbf800000,
  0x3f800001, 0x3f7fffff, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001,
  0xffa00000, 0x4f000000, 0xcf000000, 0x4effffff, 0xcf000001, 0x5f000000, 0xdf000000, 0x5effffff, 0x3f000000,
  0x3fc00000, 0x40200000, 0xbf000000, 0xbfc00000, 0x4b000001, 0x34000000, 0x33800000, 0x33800001, 0x00ffffff,
  0x01000000, 0x7f000000, 0x20000000, 0x1f800000, 0x40000000, 0x40400000, 0x3eaaaaab,
];
const SPECIAL_64 = [
  0n,
  0x8000000000000000n,
  1n,
  0x8000000000000001n,
  0xfffffffffffffn,
  0x8000000000000n,
  0x10000000000000n,
  0x10000000000001n,
  0x8010000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x3ff0000000000001n,
  0x3fefffffffffffffn,
  0x7fefffffffffffffn,
  0xffefffffffffffffn,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8123456789abcn,
  0x7ff0000000000001n,
  0xfff4000000000000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x41dfffffffc00000n,
  0x41dfffffffe00000n,
  0xc1e0000000100000n,
  0xc1e0000000200000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x43dfffffffffffffn,
  0x3fe0000000000000n,
  0x3ff8000000000000n,
  0x4004000000000000n,
  0xbfe0000000000000n,
  0x4330000000000001n,
  0x3cb0000000000000n,
  0x3ca0000000000000n,
  0x3ca0000000000001n,
  0x1fffffffffffffn,
  0x7fe0000000000000n,
  0x2000000000000000n,
  0x1ff0000000000000n,
  0x3810000000000000n,
  0x380ffffff0000000n,
  0x380fffffefffffffn,
  0x36a0000000000000n,
  0x3690000000000000n,
  0x3690000000000001n,
  0x47efffffe0000000n,
  0x47effffff0000000n,
  0x47efffffefffffffn,
  0x4000000000000000n,
  0x4008000000000000n,
  0x3fd5555555555555n,
];
const SPECIAL_WORDS = [0, 1, 0x7fff, 0x8000, 0xffff, 0xfffe, 0x8001, 0x100, 0xff, 0x80, 0x7f, 15, 16];

function float32(random: Random): number {
  const sign = random.next() & 0x80000000;
  switch (random.below(8)) {
    case 4:
      return random.next();
    case 5:
      return (sign | (0x3f800000 + (random.below(60) - 30) * 0x800000 + (random.next() & 0x7fffff))) >>> 0;
    case 6:
      return (sign | (0x3f800000 + (random.below(40) - 20) * 0x800000) | ((random.next() & 0xff) << 15)) >>> 0;
    case 7:
      return (sign | random.below(0x2000000)) >>> 0;
    default:
      return random.pick(SPECIAL_32);
  }
}

function float64(random: Random): bigint {
  const sign = BigInt(random.next() & 1) << 63n;
  const scale = (range: number): bigint =>
    0x3ff0000000000000n + BigInt(random.below(range) - (range >> 1)) * (1n << 52n);
  switch (random.below(8)) {
    case 4:
      return random.next64();
    case 5:
      return sign | (scale(120) + (random.next64() & 0xfffffffffffffn));
    case 6:
      return sign | scale(80) | (BigInt(random.next() & 0xff) << 44n);
    case 7:
      return sign | (random.next64() % (60n << 52n));
    default:
      return random.pick(SPECIAL_64);
  }
}

/** What an instruction's operands are likely to be. */
type Content = 'float32' | 'float64' | 'bytes' | 'words' | 'letters';

function fill(random: Random, content: Content, bytes: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes; ) {
    if (content === 'float32') view.setUint32(at, float32(random), true);
    else if (content === 'float64') view.setBigUint64(at, float64(random), true);
    else if (content === 'words') {
      view.setUint16(at, random.below(4) === 0 ? random.next() & 0xffff : random.pick(SPECIAL_WORDS), true);
    } else view.setUint8(at, content === 'letters' ? random.below(4) : random.next());
    at += { float32: 4, float64: 8, bytes: 1, words: 2, letters: 1 }[content];
  }
  return new Uint8Array(view.buffer);
}

function contentOf(random: Random, name: string): Content {
  if (/STR/.test(name)) return random.below(3) === 0 ? 'bytes' : 'letters';
  if (random.below(8) === 0) return random.pick(['float32', 'float64', 'bytes', 'words']);
  if (/S[SD]?2|[PS]S$|[PS]D$|^CVT|^MIN|^MAX/.test(name) && !/^P/.test(name)) {
    return /(PD|SD)(2|$)/.test(name) ? 'float64' : 'float32';
  }
  return random.pick(['bytes', 'words']);
}

/** Half of the states have an ordinary MXCSR, with and without flags set before. */
function mxcsr(random: Random): number {
  const round = random.below(4) << 13;
  const control = random.pick([0, 0, 0x40, 0x8000, 0x8040]);
  switch (random.below(4)) {
    case 0:
    case 1:
      return random.pick([0x1f80, 0x1f80, 0x1fa0, 0x1fa0, 0x1fbf, 0x1f81]);
    case 2:
      return 0x1f80 | round | control | (random.below(2) ? random.next() & 0x3f : 0);
    default:
      return round | control | (random.next() & 0x1f80) | (random.below(4) ? 0 : random.next() & 0x3f);
  }
}

const general = (random: Random): bigint =>
  random.pick([
    random.next64(),
    BigInt(random.below(32)),
    BigInt.asUintN(64, -BigInt(random.below(32))),
    1n << 63n,
    0xffffffffn,
    random.next64() >> 20n,
    0x8000000000000001n,
    random.next64() >> 9n,
  ]);

/** The cases of one encoding. */
export function casesOf(encoding: Encoding, seed: number, count: number): SseCase[] {
  const random = new Random(seed);
  const { name } = encoding.row;
  const shifts = /^PS[RL][AL]/.test(name);
  return Array.from({ length: count }, (): SseCase => {
    const content = contentOf(random, name);
    const vectors = fill(random, content, 48);
    if (random.below(8) === 0) vectors.copyWithin(32, 16, 32);
    const memory = fill(random, content, 32);
    const mmx = new BigUint64Array(fill(random, content, 24).buffer);
    if (shifts && random.below(4) > 0) {
      for (const bytes of [vectors.subarray(32, 40), memory.subarray(0, 8)]) {
        bytes.fill(0);
        bytes[0] = random.below(70);
      }
    }
    const immediate = random.next() & (shifts && random.below(4) > 0 ? 0x3f : 0xff);
    return {
      state: {
        mxcsr: mxcsr(random),
        general: [general(random), general(random), general(random)],
        flags: random.next() & 0x8d5,
        vectors,
        mmx: [...mmx],
        memory,
      },
      immediate,
    };
  });
}
