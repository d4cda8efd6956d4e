// Building blocks of 80-bit floating point in WebAssembly: field access, flags, wide multiplication and shifts.
// Owns the constants of the format and the code sequences that several operations share.
// Never a whole operation: see the files beside this one.

import type { FunctionReference } from '../../wasm/module.ts';
import { storeOp } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  eq,
  eqz,
  extendU,
  field,
  gtU,
  load,
  loadOp,
  ltU,
  mul,
  type Node,
  ne,
  neg,
  op,
  or,
  pure,
  shl,
  shrU,
  sub,
} from '../builder/nodes.ts';
import { S } from '../state.ts';

export type Local = Node & { kind: 'local' };
/** Reaches another helper by name, while a helper is being built. */
export type Reach = (name: string) => FunctionReference;

/** Exception flags of the status word, which are also the masks of the control word. */
export const Exception = { invalid: 1, denormal: 2, zeroDivide: 4, overflow: 8, underflow: 16, precision: 32 } as const;
export const Status = {
  stackFault: 0x40,
  summary: 0x80,
  c0: 0x100,
  c1: 0x200,
  c2: 0x400,
  c3: 0x4000,
  busy: 0x8000,
} as const;
/** The bit of S.fpuTrap that stands for a pending unmasked exception. */
export const TRAP_PENDING = 0x80;

export const EXPONENT_BIAS = 16383;
/** Exponents wrap by this much when an unmasked overflow or underflow delivers its result (SDM volume 1, 8.5.4). */
export const BIAS_ADJUST = 24576;
export const INTEGER_BIT = 0x8000000000000000n;
export const QUIET_BIT = 0x4000000000000000n;
/** Sign and exponent of the default NaN; its significand is {@link INDEFINITE_SIGNIFICAND}. */
export const INDEFINITE_SE = 0xffff;
export const INDEFINITE_SIGNIFICAND = 0xc000000000000000n;
/**
 * Set beside sign and exponent of a memory operand that was denormal in its narrower format: its value is normal in 80
 * bits, yet the denormal exception is due.
 */
export const WAS_DENORMAL = 0x10000;
/** Where the memory operand of an instruction lies in 80 bits: the entry behind the eight registers. */
export const OPERAND_ADDRESS = S.fpu + 128;

export const fcw = field(loadOp.i32_load, S.fcw);
export const fsw = field(loadOp.i32_load, S.fsw);
export const ftop = field(loadOp.i32_load, S.ftop);
export const ftw = field(loadOp.i32_load, S.ftw);

export const significandAt = (address: Node): Node => load(loadOp.i64_load, address);
export const signExponentAt = (address: Node): Node => load(loadOp.i32_load, address, 8);

export function setStatus(f: FunctionBuilder, value: Node): void {
  f.storeField(storeOp.i32_store, S.fsw, value);
}
export function clearC1(f: FunctionBuilder): void {
  setStatus(f, and(fsw, c32(~Status.c1)));
}

/** Writes a register: address is a local or a constant. */
export function put(f: FunctionBuilder, address: Node, significand: Node, signExponent: Node): void {
  f.store(storeOp.i64_store, address, significand);
  f.store(storeOp.i32_store, address, signExponent, 8);
}

export function putIndefinite(f: FunctionBuilder, address: Node): void {
  put(f, address, c64(INDEFINITE_SIGNIFICAND), c32(INDEFINITE_SE));
}

export const exponentOf = (signExponent: Node): Node => and(signExponent, c32(0x7fff));
export const signOf = (signExponent: Node): Node => and(signExponent, c32(0x8000));

/** 1 when the operand is a normal number: integer bit set, exponent neither zero nor all ones, not {@link WAS_DENORMAL}. */
export const isNormal = (significand: Node, signExponent: Node): Node =>
  and(
    ltU(sub(and(signExponent, c32(WAS_DENORMAL | 0x7fff)), c32(1)), c32(0x7ffe)),
    pure(op.i64_lt_s, significand, c64(0)),
  );
/** 1 for zero. */
export const isZero = (significand: Node, signExponent: Node): Node =>
  and(eqz(exponentOf(signExponent)), eqz(significand));
export const isInfinity = (significand: Node, signExponent: Node): Node =>
  and(eq(exponentOf(signExponent), c32(0x7fff)), eq(significand, c64(INTEGER_BIT)));
/** 1 for NaNs with the integer bit set: the ones that the processor knows. */
export const isNan = (significand: Node, signExponent: Node): Node =>
  and(eq(exponentOf(signExponent), c32(0x7fff)), gtU(significand, c64(INTEGER_BIT)));
/** 1 for a NaN that is signaling. */
export const isSignaling = (significand: Node, signExponent: Node): Node =>
  and(isNan(significand, signExponent), eqz(and(significand, c64(QUIET_BIT))));
/** 1 for encodings without a value: pseudo-NaN, pseudo-infinity, unnormal (SDM volume 1, table 8-3). */
export const isUnsupported = (significand: Node, signExponent: Node): Node =>
  and(ne(exponentOf(signExponent), c32(0)), pure(op.i64_ge_s, significand, c64(0)));
/** 1 for denormals, pseudo-denormals and memory operands that were denormal. */
export const isDenormal = (significand: Node, signExponent: Node): Node =>
  or(and(eqz(exponentOf(signExponent)), ne(significand, c64(0))), ne(and(signExponent, c32(WAS_DENORMAL)), c32(0)));

/** Sets exception flags (an i32 node); the result is not 0 when one of them is unmasked. */
export function raise(f: FunctionBuilder, reach: Reach, flags: Node): Local {
  return f.callResult(reach('f80.raise'), flags);
}

/** High and low 64 bits of a 64 by 64 bit product. */
export function multiplyWide(f: FunctionBuilder, a: Local, b: Local): { high: Local; low: Local } {
  const mask = c64(0xffffffffn);
  const half = c64(32);
  const al = f.let(and(a, mask));
  const ah = f.let(shrU(a, half));
  const bl = f.let(and(b, mask));
  const bh = f.let(shrU(b, half));
  const lh = f.let(mul(al, bh));
  const hl = f.let(mul(ah, bl));
  const middle = add(add(shrU(mul(al, bl), half), and(lh, mask)), and(hl, mask));
  const high = f.let(add(add(mul(ah, bh), add(shrU(lh, half), shrU(hl, half))), shrU(middle, half)));
  const low = f.let(mul(a, b));
  for (const local of [al, ah, bl, bh, lh, hl]) f.release(local);
  return { high, low };
}

/**
 * Shifts high:low right by `count` (i32 local, at least 1) in place; whatever falls out is or-ed into the lowest bit, so
 * that rounding still sees it.
 */
export function shiftRightSticky(f: FunctionBuilder, high: Local, low: Local, count: Local): void {
  const sticky = (value: Node): Node => extendU(ne(value, c64(0)));
  const wide = f.let(extendU(count));
  f.if(
    ltU(count, c32(64)),
    () => {
      f.set(low, or(or(shl(high, neg(wide)), shrU(low, wide)), sticky(shl(low, neg(wide)))));
      f.set(high, shrU(high, wide));
    },
    () => {
      f.if(
        eq(count, c32(64)),
        () => f.set(low, or(high, sticky(low))),
        () =>
          f.if(
            ltU(count, c32(128)),
            () => f.set(low, or(shrU(high, wide), sticky(or(shl(high, neg(wide)), low)))),
            () => f.set(low, sticky(or(high, low))),
          ),
      );
      f.set(high, c64(0));
    },
  );
  f.release(wide);
}

/** Makes bit 127 of high:low (not both zero) set, and counts the exponent down by as much. */
export function normalize(f: FunctionBuilder, high: Local, low: Local, exponent: Local): void {
  f.if(eqz(high), () => {
    f.set(high, low);
    f.set(low, c64(0));
    f.set(exponent, sub(exponent, c32(64)));
  });
  const count = f.let(clz(high));
  f.if(ne(count, c64(0)), () => {
    f.set(high, or(shl(high, count), shrU(low, neg(count))));
    f.set(low, shl(low, count));
    f.set(exponent, sub(exponent, pure(op.i32_wrap_i64, count)));
  });
  f.release(count);
}

/** Exponent of an operand that is not zero, as if it had an unlimited range; its significand becomes normalized. */
export function unpack(f: FunctionBuilder, significand: Local, signExponent: Node): Local {
  const exponent = f.let(exponentOf(signExponent));
  f.if(eqz(exponent), () => {
    const count = f.let(clz(significand));
    f.set(significand, shl(significand, count));
    f.set(exponent, sub(c32(1), pure(op.i32_wrap_i64, count)));
    f.release(count);
  });
  return exponent;
}
