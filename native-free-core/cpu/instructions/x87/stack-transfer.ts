// Loads and stores of the x87 stack in WebAssembly: pushing operands, constants and registers, and what stores take out.
// Owns those helpers; each does the whole work of an instruction but its access to memory.
// Never converts formats: see float80/conversion.ts.

import { storeOp, ValueType } from '../../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  ltU,
  type Node,
  ne,
  neg,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../../builder/nodes.ts';
import {
  clearC1,
  EXPONENT_BIAS,
  Exception,
  exponentOf,
  fcw,
  fsw,
  ftop,
  INTEGER_BIT,
  isDenormal,
  isSignaling,
  type Local,
  put,
  putIndefinite,
  QUIET_BIT,
  type Reach,
  raise,
  Status,
  setStatus,
  signExponentAt,
  significandAt,
  signOf,
} from '../../float80/parts.ts';
import { S } from '../../state.ts';
import type { HelperFunction } from '../row.ts';

import { addressOf, fill, holds, OPERAND, physical, pop, STACK_FAULT, setTop } from './stack-access.ts';

const { i32, i64 } = ValueType;

/** Moves TOP for a push. Returns from the function when the stack overflows (the masked response has then been made). */
function beginPush(f: FunctionBuilder, reach: Reach): Local {
  const number = f.let(and(sub(ftop, c32(1)), c32(7)));
  f.if(holds(number), () => {
    f.if(eqz(raise(f, reach, c32(STACK_FAULT | Status.c1))), () => {
      putIndefinite(f, f.let(addressOf(number)));
      setTop(f, number);
    });
    f.return();
  });
  return number;
}

function finishPush(f: FunctionBuilder, number: Local, significand: Node, signExponent: Node): void {
  put(f, f.let(addressOf(number)), significand, signExponent);
  setTop(f, number);
  fill(f, number);
}

/** (1 if the operand came from f32 or f64: signaling NaNs and denormals count): pushes the memory operand. */
const pushOperand: HelperFunction = {
  name: 'x87.pushOperand',
  parameters: [i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const number = beginPush(f, reach);
    const p = f.let(addressOf(c32(OPERAND)));
    const significand = f.let(significandAt(p));
    const se = f.let(signExponentAt(p));
    f.if(f.parameter(0, i32), () => {
      f.if(isSignaling(significand, se), () => {
        f.if(raise(f, reach, c32(Exception.invalid)), () => f.return());
        f.set(significand, or(significand, c64(QUIET_BIT)));
      });
      // Loaded even where the exception is unmasked.
      f.if(isDenormal(significand, se), () => f.drop(raise(f, reach, c32(Exception.denormal))));
    });
    finishPush(f, number, significand, and(se, c32(0xffff)));
  },
};

/**
 * (bits): FLD of an f32 or f64. Normal numbers with room on the stack go straight to their register.
 */
const loadFloat = (format: 'F32' | 'F64'): HelperFunction => ({
  name: `x87.load${format}`,
  parameters: [format === 'F64' ? i64 : i32],
  result: undefined,
  build(f, reach) {
    const bits = f.parameter(0, format === 'F64' ? i64 : i32);
    const wide = f.let(extendU(bits));
    const [fraction, top, bias, signShift] = format === 'F64' ? [52, 0x7ff, 1023, 48] : [23, 0xff, 127, 16];
    const exponent = f.let(and(wrap(shrU(wide, c64(fraction))), c32(top)));
    const number = f.let(and(sub(ftop, c32(1)), c32(7)));
    f.if(and(ltU(sub(exponent, c32(1)), c32(top - 1)), eqz(holds(number))), () => {
      clearC1(f);
      const sign = and(wrap(shrU(wide, c64(signShift))), c32(0x8000));
      finishPush(
        f,
        number,
        or(shl(wide, c64(63 - fraction)), c64(INTEGER_BIT)),
        or(sign, add(exponent, c32(EXPONENT_BIAS - bias))),
      );
      f.return();
    });
    f.call(reach(`f80.from${format}`), bits);
    f.call(reach('x87.pushOperand'), c32(1));
  },
});

/** (significand truncated to 64 bits, sign and exponent, 1 if nearest rounds it up, 1 if inexact): pushes a constant. */
const pushConstant: HelperFunction = {
  name: 'x87.pushConstant',
  parameters: [i64, i32, i32, i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const number = beginPush(f, reach);
    const mode = and(fcw, c32(0xc00));
    const up = select(eqz(mode), f.parameter(2, i32), and(f.parameter(3, i32), eq(mode, c32(0x800))));
    finishPush(f, number, add(f.parameter(0, i64), extendU(up)), f.parameter(1, i32));
  },
};

/** (stack position): FLD ST(i). */
const pushRegister: HelperFunction = {
  name: 'x87.pushRegister',
  parameters: [i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const source = f.let(physical(ftop, f.parameter(0, i32)));
    f.if(eqz(holds(source)), () => {
      const destination = f.let(and(sub(ftop, c32(1)), c32(7)));
      f.if(f.callResult(reach('x87.underflow'), destination), () => setTop(f, destination));
      f.return();
    });
    const number = beginPush(f, reach);
    const p = f.let(addressOf(source));
    finishPush(f, number, significandAt(p), signExponentAt(p));
  },
};

/** (stack position, 1 to pop): FST ST(i). */
const storeRegister: HelperFunction = {
  name: 'x87.storeRegister',
  parameters: [i32, i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const top = f.let(ftop);
    const destination = f.let(physical(top, f.parameter(0, i32)));
    f.if(
      holds(top),
      () => {
        const p = f.let(addressOf(top));
        put(f, f.let(addressOf(destination)), significandAt(p), signExponentAt(p));
        fill(f, destination);
      },
      () => f.if(eqz(f.callResult(reach('x87.underflow'), destination)), () => f.return()),
    );
    f.if(f.parameter(1, i32), () => pop(f));
  },
};

/** Raises the fault of reading an empty ST(0) for a store; withholds or returns the masked response. */
function emptyStore(f: FunctionBuilder, reach: Reach, indefinite: Node, zero: Node): void {
  f.if(eqz(holds(ftop)), () => {
    f.if(raise(f, reach, c32(STACK_FAULT)), () => {
      f.storeField(storeOp.i32_store, S.fpuWithheld, c32(1));
      f.return(zero);
    });
    f.return(indefinite);
  });
}

/** () -> ST(0) in a narrower format; S.fpuWithheld says that it may not be stored. */
const narrow = (format: 'F32' | 'F64'): HelperFunction => ({
  name: `x87.to${format}`,
  parameters: [],
  result: format === 'F64' ? i64 : i32,
  build(f, reach) {
    const top = f.let(ftop);
    const p = f.let(addressOf(top));
    // Normal numbers that stay normal, rounded to nearest with the precision exception masked, need no more than this.
    const [fraction, bias] = format === 'F64' ? [52, 1023] : [23, 127];
    const significand = f.let(significandAt(p));
    const se = f.let(signExponentAt(p));
    const exponent = f.let(sub(exponentOf(se), c32(EXPONENT_BIAS - bias)));
    const usual = and(holds(top), eq(and(fcw, c32(0xc20)), c32(0x20)));
    const inRange = ltU(sub(exponent, c32(1)), c32(2 * bias - 2));
    f.if(and(and(usual, inRange), wrap(shrU(significand, c64(63)))), () => {
      const drop = 63 - fraction;
      const high = f.let(shrU(significand, c64(drop)));
      const low = f.let(and(significand, c64((1n << BigInt(drop)) - 1n)));
      const half = c64(1n << BigInt(drop - 1));
      const up = f.let(extendU(ltU(half, add(low, and(high, c64(1))))));
      const kept = and(fsw, c32(~Status.c1));
      const inexact = or(c32(Exception.precision), shl(wrap(up), c32(9)));
      setStatus(f, select(ne(low, c64(0)), or(kept, inexact), kept));
      // The integer bit adds 1 to the exponent field, and so does a carry out of the fraction.
      const field = shl(extendU(sub(exponent, c32(1))), c64(fraction));
      const sign = shl(extendU(signOf(se)), c64(format === 'F64' ? 48 : 16));
      const bits = or(sign, add(field, add(high, up)));
      f.return(format === 'F64' ? bits : wrap(bits));
    });
    clearC1(f);
    if (format === 'F64') emptyStore(f, reach, c64(0xfff8000000000000n), c64(0));
    else emptyStore(f, reach, c32(0xffc00000), c32(0));
    f.returnCall(reach(`f80.to${format}`), significandAt(p), signExponentAt(p));
    f.unreachable();
  },
});

/** (width, 1 to truncate) -> ST(0) as an integer; S.fpuWithheld says that it may not be stored. */
const toInteger: HelperFunction = {
  name: 'x87.toInteger',
  parameters: [i32, i32],
  result: i64,
  build(f, reach) {
    clearC1(f);
    const width = f.parameter(0, i32);
    emptyStore(f, reach, neg(shl(c64(1), extendU(sub(width, c32(1))))), c64(0));
    const p = f.let(addressOf(ftop));
    f.returnCall(reach('f80.toInteger'), significandAt(p), signExponentAt(p), width, f.parameter(1, i32));
    f.unreachable();
  },
};

/** () -> the physical address of what FSTP m80 stores; S.fpuWithheld says that it may not. */
const extendedSource: HelperFunction = {
  name: 'x87.extendedSource',
  parameters: [],
  result: i32,
  build(f, reach) {
    clearC1(f);
    const operand = addressOf(c32(OPERAND));
    f.if(eqz(holds(ftop)), () => {
      f.if(raise(f, reach, c32(STACK_FAULT)), () => f.storeField(storeOp.i32_store, S.fpuWithheld, c32(1)));
      putIndefinite(f, operand);
      f.return(operand);
    });
    f.return(addressOf(ftop));
    f.unreachable();
  },
};

export const transferHelpers: readonly HelperFunction[] = [
  pushOperand,
  loadFloat('F32'),
  loadFloat('F64'),
  pushConstant,
  pushRegister,
  storeRegister,
  narrow('F32'),
  narrow('F64'),
  toInteger,
  extendedSource,
];
