// The x87 as TypeScript sees it: registers by stack position, exceptions, and rounding of results of any precision.
// Owns what the cold x87 instructions share.
// Never does what WebAssembly's helpers do at speed: see float80/ and instructions/x87/.

import { BIAS_ADJUST, Exception, INDEFINITE_SE, INDEFINITE_SIGNIFICAND, Status } from '../float80/parts.ts';
import { S, Vector } from '../state.ts';
import type { SystemCpu } from './core.ts';
import { GuestFault } from './fault.ts';

/** A register's content: significand, and sign with exponent. */
export interface Extended {
  readonly significand: bigint;
  readonly se: number;
}

export const INTEGER = 1n << 63n;
const QUIET = 1n << 62n;
export const BIAS = 16383;
export const INDEFINITE: Extended = { significand: INDEFINITE_SIGNIFICAND, se: INDEFINITE_SE };
export const STACK_FAULT = Exception.invalid | Status.stackFault;

export const exponentOf = ({ se }: Extended): number => se & 0x7fff;
export const isNegative = ({ se }: Extended): boolean => (se & 0x8000) !== 0;
export const isZero = (v: Extended): boolean => exponentOf(v) === 0 && v.significand === 0n;
export const isInfinity = (v: Extended): boolean => exponentOf(v) === 0x7fff && v.significand === INTEGER;
export const isNan = (v: Extended): boolean => exponentOf(v) === 0x7fff && v.significand > INTEGER;
export const isUnsupported = (v: Extended): boolean => exponentOf(v) !== 0 && v.significand < INTEGER;
export const isDenormal = (v: Extended): boolean => exponentOf(v) === 0 && v.significand !== 0n;
export const zero = (negative: boolean): Extended => ({ significand: 0n, se: negative ? 0x8000 : 0 });
export const infinity = (negative: boolean): Extended => ({ significand: INTEGER, se: negative ? 0xffff : 0x7fff });
export const ONE: Extended = { significand: INTEGER, se: BIAS };

/** Number of bits of a positive integer. */
export function bitLength(value: bigint): number {
  const text = value.toString(16);
  return text.length * 4 + 28 - Math.clz32(Number.parseInt(text[0], 16));
}

/** What an instruction throws to leave its operands as they are: an unmasked exception withholds its result. */
export const WITHHELD = Symbol('withheld');

export class X87 {
  readonly cpu: SystemCpu;

  constructor(cpu: SystemCpu) {
    this.cpu = cpu;
  }

  /** #NM with CR0.EM or CR0.TS. */
  static requireAvailable(cpu: SystemCpu): void {
    if (cpu.get32(S.fpuTrap) & 0xc) throw new GuestFault(Vector.deviceNotAvailable);
  }

  /** The same, then #MF for a pending exception: what a waiting instruction begins with. */
  static requireReady(cpu: SystemCpu): void {
    X87.requireAvailable(cpu);
    if (cpu.get32(S.fpuTrap)) throw new GuestFault(Vector.x87);
  }

  get top(): number {
    return this.cpu.get32(S.ftop);
  }

  get control(): number {
    return this.cpu.get32(S.fcw);
  }

  get status(): number {
    return this.cpu.get32(S.fsw);
  }

  setConditions(mask: number, value: number): void {
    this.cpu.set32(S.fsw, (this.status & ~mask) | value);
  }

  private address(position: number): number {
    return S.fpu + ((this.top + position) & 7) * 16;
  }

  read(position: number): Extended {
    const at = this.address(position);
    return { significand: this.cpu.get64(at), se: this.cpu.get32(at + 8) & 0xffff };
  }

  /** Writes a register and marks it as not empty. */
  write(position: number, value: Extended): void {
    const at = this.address(position);
    this.cpu.set64(at, value.significand);
    this.cpu.set32(at + 8, value.se);
    this.cpu.set32(S.ftw, this.cpu.get32(S.ftw) | (1 << ((this.top + position) & 7)));
  }

  isEmpty(position: number): boolean {
    return ((this.cpu.get32(S.ftw) >> ((this.top + position) & 7)) & 1) === 0;
  }

  push(value: Extended): void {
    this.cpu.set32(S.ftop, (this.top + 7) & 7);
    this.write(0, value);
  }

  pop(): void {
    this.cpu.set32(S.ftw, this.cpu.get32(S.ftw) & ~(1 << this.top));
    this.cpu.set32(S.ftop, (this.top + 1) & 7);
  }

  /** Sets exception flags; true when one of them is unmasked and so pending now. */
  raise(flags: number): boolean {
    const unmasked = (flags & ~this.control & 0x3f) !== 0;
    this.cpu.set32(S.fsw, this.status | flags | (unmasked ? Status.summary | Status.busy : 0));
    if (unmasked) this.cpu.set32(S.fpuTrap, this.cpu.get32(S.fpuTrap) | 0x80);
    return unmasked;
  }

  /** Raises an exception that withholds the result where it is unmasked. */
  require(flags: number): void {
    if (this.raise(flags)) throw WITHHELD;
  }

  /** The invalid operation's masked result. */
  invalid(): Extended {
    this.require(Exception.invalid);
    return INDEFINITE;
  }

  /** Raises the denormal exception if one of the operands is denormal. */
  checkDenormal(...operands: readonly Extended[]): void {
    if (operands.some(isDenormal)) this.require(Exception.denormal);
  }

  /** The result where an operand is a NaN or unsupported, else undefined (SDM volume 1, table 4-7). */
  nan(...operands: readonly Extended[]): Extended | undefined {
    if (operands.some(isUnsupported)) return this.invalid();
    const nans = operands.filter(isNan);
    if (nans.length === 0) return undefined;
    const quiet = nans.filter(({ significand }) => (significand & QUIET) !== 0n);
    if (quiet.length < nans.length) this.require(Exception.invalid);
    // Quiet ones go first, then the larger significand, then the positive one.
    const candidates = quiet.length > 0 ? quiet : nans;
    const best = candidates.reduce((a, b) =>
      b.significand > a.significand || (b.significand === a.significand && b.se < a.se) ? b : a,
    );
    return { significand: best.significand | QUIET, se: best.se };
  }

  /**
   * Rounds (-1)^negative * magnitude * 2^-scale to 64 bits by the rounding control and raises what that entails.
   * `inexact`: the magnitude is truncated, the true one lies above it by less than its last bit.
   */
  round(negative: boolean, magnitude: bigint, scale: number, inexact: boolean): Extended {
    const sign = negative ? 0x8000 : 0;
    const length = bitLength(magnitude);
    let exponent = length - 1 - scale + BIAS;
    let flags = 0;
    const mode = (this.control >> 10) & 3;
    const at = (drop: number): { value: bigint; rest: boolean; up: boolean } => {
      if (drop <= 0) {
        const up = inexact && ((mode === 1 && negative) || (mode === 2 && !negative));
        return { value: magnitude << BigInt(-drop), rest: inexact, up };
      }
      const value = magnitude >> BigInt(drop);
      const tail = magnitude - (value << BigInt(drop));
      const half = 1n << BigInt(drop - 1);
      const rest = inexact || tail !== 0n;
      const nearest = tail > half || (tail === half && (inexact || (value & 1n) === 1n));
      const up = rest && (mode === 0 ? nearest : mode === 1 ? negative : mode === 2 ? !negative : false);
      return { value, rest, up };
    };
    let { value, rest, up } = at(length - 64);
    const carries = up && value === (1n << 64n) - 1n;
    if (exponent < 0 || (exponent === 0 && !carries)) {
      if ((this.control & Exception.underflow) === 0) {
        exponent += BIAS_ADJUST;
        flags |= Exception.underflow;
      } else {
        ({ value, rest, up } = at(length - 64 + 1 - exponent));
        if (up) value++;
        if (rest) this.raise(Exception.underflow | Exception.precision | (up ? Status.c1 : 0));
        return { significand: value, se: sign | (value >= INTEGER ? 1 : 0) };
      }
    }
    if (up) {
      value++;
      if (value >> 64n) {
        value >>= 1n;
        exponent++;
      }
    }
    if (rest) flags |= Exception.precision | (up ? Status.c1 : 0);
    if (exponent >= 0x7fff) {
      if (this.control & Exception.overflow) {
        const toInfinity = mode === 0 || (mode === 1 && negative) || (mode === 2 && !negative);
        this.raise(Exception.overflow | Exception.precision | (toInfinity ? Status.c1 : 0));
        return toInfinity ? infinity(negative) : { significand: (1n << 64n) - 1n, se: sign | 0x7ffe };
      }
      exponent -= BIAS_ADJUST;
      flags |= Exception.overflow;
    }
    if (flags) this.raise(flags);
    return { significand: value, se: sign | exponent };
  }
}

/** Runs the work of an x87 instruction that begins at `start`; a withheld result ends it quietly. */
export function withX87(cpu: SystemCpu, start: bigint, work: (x87: X87) => void): void {
  X87.requireReady(cpu);
  cpu.set64(S.fip, start);
  try {
    work(new X87(cpu));
  } catch (reason) {
    if (reason !== WITHHELD) throw reason;
  }
}
