// Inputs for x87 instructions: machine states drawn from a generator, the same ones for every run.
// Owns the choice of operands: ordinary, extreme and malformed ones of each format.
// Never knows what comes out: see x87-run.ts and the recorded digests.

/** A state of the x87 and what an instruction finds around it. Registers are in stack order, ST(0) first. */
export interface X87State {
  fcw: number;
  /** With TOP. */
  fsw: number;
  /** One bit a physical register, set when not empty. */
  ftw: number;
  /** Arithmetic flags. */
  eflags: number;
  significand: bigint[];
  signExponent: number[];
  /** 16 bytes at the memory operand. */
  memory: Uint8Array;
  ax: number;
}

/** A small generator of 32-bit numbers (sfc32), the same everywhere. */
export class Random {
  private a: number;
  private b = 0x9e3779b9;
  private c = 0x243f6a88;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed | 0;
    for (let i = 0; i < 12; i++) this.next();
  }

  next(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t >>> 0;
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  wide(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }
}

const TOP = 1n << 63n;
const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

/** A significand with its integer bit set: random, sparse, dense, or close to a rounding boundary. */
function significand(random: Random): bigint {
  switch (random.below(8)) {
    case 0:
      return TOP;
    case 1:
      return mask(64) ^ (random.below(2) ? 0n : 1n << BigInt(random.below(63)));
    case 2:
      return TOP | (random.wide() & ~mask(random.below(64)) & mask(63));
    case 3: {
      // All ones, or a half, below a bit where some format ends.
      const at = random.pick([40, 39, 41, 11, 10, 12, 1, 2, 53, 24]);
      const half = 1n << BigInt(at - 1);
      const low = random.pick([half, half - 1n, half + 1n, mask(at), 0n, 1n]);
      return (TOP | (random.wide() & mask(63) & ~mask(at)) | low) & mask(64);
    }
    default:
      return TOP | (random.wide() & mask(63));
  }
}

const BORDER_EXPONENTS = [
  16383 - 16445,
  1,
  2,
  0x7ffe,
  0x7ffd,
  16383,
  16383 + 127,
  16383 + 128,
  16383 - 126,
  16383 - 127,
  16383 - 149,
  16383 - 150,
  16383 + 1023,
  16383 + 1024,
  16383 - 1022,
  16383 - 1023,
  16383 - 1074,
  16383 - 1075,
  16383 + 14,
  16383 + 15,
  16383 + 30,
  16383 + 31,
  16383 + 62,
  16383 + 63,
  16383 + 64,
  16383 - 1,
  16383 - 2,
  16383 - 64,
  0x3fff + 0x2000,
  0x3fff - 0x2000,
];

function extended(random: Random, near: number): [bigint, number] {
  const sign = random.below(2) << 15;
  const kind = random.below(24);
  if (kind < 3) return [significand(random), sign | (1 + random.below(0x7ffe))];
  if (kind < 8) return [significand(random), sign | (16383 - 70 + random.below(140))];
  if (kind < 12)
    return [significand(random), sign | Math.min(0x7ffe, Math.max(1, (near & 0x7fff) - 66 + random.below(132)))];
  if (kind < 14)
    return [significand(random), sign | Math.min(0x7ffe, Math.max(1, (near & 0x7fff) - 2 + random.below(5)))];
  if (kind < 17) return [significand(random), sign | Math.max(1, random.pick(BORDER_EXPONENTS) - 1 + random.below(3))];
  if (kind < 19) {
    const value = random.pick([1n, 2n, 3n, 5n, 10n, 100n, 32767n, 32768n, 65535n, BigInt(random.below(1 << 20)) + 1n]);
    const length = value.toString(2).length;
    return [value << BigInt(64 - length), sign | (16383 + length - 1)];
  }
  switch (random.below(12)) {
    case 0:
    case 1:
      return [0n, sign];
    case 2:
      return [TOP, sign | 0x7fff];
    case 3:
      return [TOP | (random.wide() >> BigInt(1 + random.below(60))) | 1n, sign | 0x7fff];
    case 4:
      return [TOP | (1n << 62n) | (random.wide() >> BigInt(2 + random.below(60))), sign | 0x7fff];
    case 5:
      return [0xc000000000000000n, 0xffff];
    case 6:
      return [(random.wide() >> BigInt(1 + random.below(62))) | 1n, sign];
    case 7:
      return [TOP | random.wide(), sign];
    case 8:
      return [random.wide() & mask(63), sign | (1 + random.below(0x7ffe))];
    case 9:
      return [random.wide() & mask(63), sign | 0x7fff];
    case 10:
      return [mask(64), sign | 0x7ffe];
    default:
      return [TOP, sign | 1];
  }
}

function narrow(random: Random, fractionBits: number, exponentBits: number): bigint {
  const top = (1n << BigInt(exponentBits)) - 1n;
  const sign = BigInt(random.below(2)) << BigInt(fractionBits + exponentBits);
  const fraction = random.wide() & mask(fractionBits);
  const place = (exponent: bigint, low: bigint): bigint => sign | (exponent << BigInt(fractionBits)) | low;
  switch (random.below(10)) {
    case 0:
      return place(0n, 0n);
    case 1:
      return place(0n, fraction >> BigInt(random.below(fractionBits)));
    case 2:
      return place(top, random.below(2) ? 0n : fraction);
    case 3:
      return place(top >> 1n, random.below(2) ? 0n : fraction);
    case 4:
      return place((top >> 1n) + BigInt(random.below(20)), fraction & ~mask(random.below(fractionBits)));
    default:
      return place(1n + (random.wide() % (top - 1n)), fraction);
  }
}

/** What lies at the memory operand, by the encoding's name. */
function memoryFor(random: Random, name: string): bigint {
  if (name.startsWith('FI')) {
    const value = random.wide() >> BigInt(random.below(64));
    return BigInt.asUintN(64, random.below(2) ? value : -value);
  }
  if (name.endsWith('m32')) return narrow(random, 23, 8);
  if (name.endsWith('m64')) return narrow(random, 52, 11);
  if (name === 'FBLD') {
    let packed = BigInt(random.below(2)) << 79n;
    for (let digit = 0; digit < 18; digit++) packed |= BigInt(random.below(10)) << BigInt(4 * digit);
    return packed;
  }
  const [low, high] = extended(random, 16383);
  return low | (BigInt(high) << 64n);
}

/** Instructions that push, which need an empty register to be themselves. */
const PUSHES = /^(FLD|FILD|FBLD|FXTRACT|FPTAN|FSINCOS)/;

/** The next case for an instruction. */
export function nextState(random: Random, name: string): X87State {
  const masked = random.below(4) !== 0;
  const masks = masked ? 0x3f : random.below(64);
  const fcw = 0x40 | masks | (random.pick([0, 2, 3, 3]) << 8) | (random.below(4) << 10);
  const top = random.below(8);
  // Only masked exceptions may already be flagged: nothing is pending.
  const flags = random.below(2) ? 0 : random.below(64) & masks;
  const fsw = (top << 11) | flags | (random.next() & 0x4700);
  let ftw = random.below(8) === 0 ? random.below(256) : 0xff;
  if (PUSHES.test(name) && random.below(8) !== 0) ftw &= ~(1 << ((top + 7) & 7));
  const state: X87State = {
    fcw,
    fsw,
    ftw,
    eflags: 2 | (random.next() & 0x8d5),
    significand: [],
    signExponent: [],
    memory: new Uint8Array(16),
    ax: 0,
  };
  let near = 16383;
  for (let i = 0; i < 8; i++) {
    const [low, high] = extended(random, near);
    state.significand.push(low);
    state.signExponent.push(high);
    near = high;
  }
  const content = memoryFor(random, name) | (random.wide() << 80n);
  for (let i = 0; i < 16; i++) state.memory[i] = Number((content >> BigInt(8 * i)) & 0xffn);
  return state;
}
