// Rounding and exceptions of 80-bit arithmetic in WebAssembly.
// Owns the one place where a result of any precision meets precision control, rounding control, overflow and underflow.
// Never computes a result; sources: Intel SDM volume 1, sections 4.8, 4.9 and 8.5.

import { storeOp, ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  field,
  geS,
  leS,
  loadOp,
  ltS,
  ltU,
  type Node,
  ne,
  not,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { S } from '../state.ts';
import { TWO_OPERANDS, twoOperands } from './operands.ts';
import {
  BIAS_ADJUST,
  Exception,
  fcw,
  fsw,
  INTEGER_BIT,
  isNan,
  isSignaling,
  isUnsupported,
  type Local,
  put,
  putIndefinite,
  QUIET_BIT,
  type Reach,
  raise,
  Status,
  setStatus,
  shiftRightSticky,
  signOf,
  TRAP_PENDING,
} from './parts.ts';

const { i32, i64 } = ValueType;

/** (flags) -> unmasked ones among them, which are then pending. */
const raiseFunction: HelperFunction = {
  name: 'f80.raise',
  parameters: [i32],
  result: i32,
  build(f) {
    const flags = f.parameter(0, i32);
    const unmasked = f.let(and(and(flags, not(fcw)), c32(0x3f)));
    setStatus(f, or(fsw, flags));
    f.if(unmasked, () => {
      setStatus(f, or(fsw, c32(Status.summary | Status.busy)));
      f.storeField(storeOp.i32_store, S.fpuTrap, or(field(loadOp.i32_load, S.fpuTrap), c32(TRAP_PENDING)));
    });
    f.return(unmasked);
    f.unreachable();
  },
};

/** Whether to round away from zero, from the sign, the result's lowest bit and the fraction behind it (an i64, not 0 if inexact). */
export function roundsUp(sign: Node, lowestBit: Node, fraction: Node): Node {
  const mode = and(fcw, c32(0xc00));
  const nearest = and(wrap(shrU(fraction, c64(63))), or(lowestBit, ne(shl(fraction, c64(1)), c64(0))));
  const inexact = ne(fraction, c64(0));
  return select(
    eqz(mode),
    nearest,
    and(inexact, or(and(eq(mode, c32(0x400)), ne(sign, c32(0))), and(eq(mode, c32(0x800)), eqz(sign)))),
  );
}

/** Moves what precision control leaves no room for from the significand into the fraction. `unit` is its lowest bit. */
function reducePrecision(f: FunctionBuilder, high: Local, low: Local): Local {
  const unit = f.let(c64(1));
  const control = f.let(and(fcw, c32(0x300)));
  const cut = (bits: number): void => {
    f.set(low, or(shl(high, c64(64 - bits)), extendU(ne(low, c64(0)))));
    f.set(high, and(high, c64(-(1n << BigInt(bits)))));
    f.set(unit, c64(1n << BigInt(bits)));
  };
  f.if(eqz(control), () => cut(40));
  f.if(eq(control, c32(0x200)), () => cut(11));
  f.release(control);
  return unit;
}

/**
 * (sign 0 or 0x8000, biased exponent of unlimited range, high, low, destination): rounds the 128-bit significand, whose
 * top bit is set, by the control word, and writes the register. `f80.roundFull` heeds no precision control, which is
 * for additions, multiplications, divisions and square roots alone.
 */
const roundFunction = (name: string, precisionControl: boolean): HelperFunction => ({
  name,
  parameters: [i32, i32, i64, i64, i32],
  result: undefined,
  build(f, reach) {
    const sign = f.parameter(0, i32);
    const exponent = f.parameter(1, i32);
    const high = f.parameter(2, i64);
    const low = f.parameter(3, i64);
    const destination = f.parameter(4, i32);
    const fullHigh = f.let(high);
    const fullLow = f.let(low);
    const flags = f.let(c32(0));
    const unit = precisionControl ? reducePrecision(f, high, low) : f.let(c64(1));
    const up = f.let(roundsUp(sign, ne(and(high, unit), c64(0)), low));
    const applyRounding = (): void => {
      f.set(high, add(high, select(up, unit, c64(0))));
      f.if(and(up, ltU(high, unit)), () => {
        f.set(high, c64(INTEGER_BIT));
        f.set(exponent, add(exponent, c32(1)));
      });
      f.if(ne(low, c64(0)), () => f.set(flags, or(flags, or(c32(Exception.precision), shl(up, c32(9))))));
    };
    f.if(leS(exponent, c32(0)), () => {
      // Tiny after rounding as if the exponent had no bound: only a carry out of exponent 0 escapes.
      const tiny = f.let(or(ltS(exponent, c32(0)), eqz(and(up, eqz(add(high, unit))))));
      f.if(
        and(tiny, eqz(and(fcw, c32(Exception.underflow)))),
        () => {
          f.set(exponent, add(exponent, c32(BIAS_ADJUST)));
          f.set(flags, c32(Exception.underflow));
          // Only FSCALE gets so far.
          f.if(leS(exponent, c32(0)), () => {
            f.drop(raise(f, reach, c32(Exception.underflow | Exception.precision)));
            put(f, destination, c64(0), sign);
            f.return();
          });
        },
        () => {
          f.set(high, fullHigh);
          f.set(low, fullLow);
          const count = f.let(sub(c32(1), exponent));
          shiftRightSticky(f, high, low, count);
          if (precisionControl) f.release(reducePrecision(f, high, low));
          f.set(up, roundsUp(sign, ne(and(high, unit), c64(0)), low));
          f.set(high, add(high, select(up, unit, c64(0))));
          f.if(ne(low, c64(0)), () => {
            f.set(flags, or(c32(Exception.precision), or(shl(up, c32(9)), shl(tiny, c32(4)))));
            f.drop(raise(f, reach, flags));
          });
          put(f, destination, high, or(sign, wrap(shrU(high, c64(63)))));
          f.return();
        },
      );
    });
    applyRounding();
    f.if(geS(exponent, c32(0x7fff)), () => {
      f.if(
        and(fcw, c32(Exception.overflow)),
        () => {
          const mode = f.let(and(fcw, c32(0xc00)));
          const toInfinity = f.let(
            or(eqz(mode), or(and(eq(mode, c32(0x400)), ne(sign, c32(0))), and(eq(mode, c32(0x800)), eqz(sign)))),
          );
          f.set(flags, or(c32(Exception.overflow | Exception.precision), shl(toInfinity, c32(9))));
          f.drop(raise(f, reach, flags));
          f.if(
            toInfinity,
            () => put(f, destination, c64(INTEGER_BIT), or(sign, c32(0x7fff))),
            () => put(f, destination, sub(c64(0), unit), or(sign, c32(0x7ffe))),
          );
          f.return();
        },
        () => {
          f.set(exponent, sub(exponent, c32(BIAS_ADJUST)));
          f.set(flags, or(flags, c32(Exception.overflow)));
          // Only FSCALE gets so far.
          f.if(geS(exponent, c32(0x7fff)), () => {
            f.set(exponent, c32(0x7fff));
            f.set(high, c64(INTEGER_BIT));
            f.set(flags, or(flags, c32(Exception.precision | Status.c1)));
          });
        },
      );
    });
    f.if(flags, () => f.drop(raise(f, reach, flags)));
    put(f, destination, high, or(sign, exponent));
  },
});

/**
 * Rounds and stores, with the common case inline: to nearest, to 53 or 64 bits, precision exception masked, exponent in
 * range. Sets C1 and the precision flag in one go. All locals are spent. Without precision control, to 64 bits.
 */
export function emitRound(
  f: FunctionBuilder,
  reach: Reach,
  sign: Local,
  exponent: Local,
  high: Local,
  low: Local,
  destination: Local,
  precisionControl = true,
): void {
  // The upper bit of precision control is set for 53 bits (10) and for 64 (11).
  const usual = precisionControl ? eq(and(fcw, c32(0xe20)), c32(0x220)) : eq(and(fcw, c32(0xc20)), c32(0x20));
  f.if(
    and(usual, ltU(sub(exponent, c32(1)), c32(0x7ffd))),
    () => {
      const kept = and(fsw, c32(~Status.c1));
      const unit = f.let(c64(1));
      if (precisionControl) {
        f.if(eqz(and(fcw, c32(0x100))), () => {
          f.set(low, or(shl(high, c64(53)), extendU(ne(low, c64(0)))));
          f.set(high, and(high, c64(-0x800)));
          f.set(unit, c64(0x800));
        });
      }
      const inexact = (): void => {
        const odd = ne(and(high, unit), c64(0));
        const up = f.let(and(wrap(shrU(low, c64(63))), or(odd, ne(shl(low, c64(1)), c64(0)))));
        f.set(high, add(high, select(up, unit, c64(0))));
        f.if(
          eqz(high),
          () => {
            f.set(high, c64(INTEGER_BIT));
            f.set(exponent, add(exponent, c32(1)));
          },
          undefined,
          false,
        );
        setStatus(f, or(kept, or(c32(Exception.precision), shl(up, c32(9)))));
        f.release(up);
      };
      f.if(ne(low, c64(0)), inexact, () => setStatus(f, kept));
      put(f, destination, high, or(sign, exponent));
      f.release(unit);
    },
    () => {
      setStatus(f, and(fsw, c32(~Status.c1)));
      f.call(reach(precisionControl ? 'f80.round' : 'f80.roundFull'), sign, exponent, high, low, destination);
    },
    true,
  );
}

/**
 * (a significand, a sign and exponent, b the same, destination) -> 0 when an unmasked exception withholds the result.
 * One of the operands is a NaN or unsupported: writes what the operation gives then (SDM volume 1, table 4-7).
 */
const nanFunction: HelperFunction = {
  name: 'f80.nan',
  parameters: TWO_OPERANDS,
  result: i32,
  build(f, reach) {
    const { a, aSe, b, bSe, destination } = twoOperands(f);
    const invalid = (): void => f.if(raise(f, reach, c32(Exception.invalid)), () => f.return(c32(0)));
    f.if(or(isUnsupported(a, aSe), isUnsupported(b, bSe)), () => {
      invalid();
      putIndefinite(f, destination);
      f.return(c32(1));
    });
    const aSignals = f.let(isSignaling(a, aSe));
    const bSignals = f.let(isSignaling(b, bSe));
    f.if(or(aSignals, bSignals), invalid);
    const aNan = f.let(isNan(a, aSe));
    const bNan = f.let(isNan(b, bSe));
    const takeA = f.let(c32(0));
    f.if(
      and(aNan, bNan),
      () =>
        f.if(
          ne(aSignals, bSignals),
          // The quiet one wins.
          () => f.set(takeA, bSignals),
          () =>
            f.set(
              takeA,
              // The larger significand wins, then the positive one.
              select(eq(a, b), eqz(signOf(aSe)), ltU(b, a)),
            ),
        ),
      () => f.set(takeA, aNan),
    );
    put(f, destination, or(select(takeA, a, b), c64(QUIET_BIT)), and(select(takeA, aSe, bSe), c32(0xffff)));
    f.return(c32(1));
    f.unreachable();
  },
};

/** (destination) -> 1 when the masked invalid exception wrote the indefinite NaN. */
const invalidFunction: HelperFunction = {
  name: 'f80.invalid',
  parameters: [i32],
  result: i32,
  build(f, reach) {
    f.if(raise(f, reach, c32(Exception.invalid)), () => f.return(c32(0)));
    putIndefinite(f, f.parameter(0, i32));
    f.return(c32(1));
    f.unreachable();
  },
};

export const roundingHelpers: readonly HelperFunction[] = [
  raiseFunction,
  roundFunction('f80.round', true),
  roundFunction('f80.roundFull', false),
  nanFunction,
  invalidFunction,
];
