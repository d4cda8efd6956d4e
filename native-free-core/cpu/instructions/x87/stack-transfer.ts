// Loads and stores of the x87 stack in WebAssembly: pushing operands, constants and registers, and what stores take out.
// Owns those helpers; each does the whole work of an instruction but its access to memory.
// Never converts formats: see float80/conversion.ts.

import { storeOp, ValueType } from '../../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../../builder/function.ts';
import { add, and, c32, c64, eq, eqz, extendU, type Node, neg, or, select, shl, sub } from '../../builder/nodes.ts';
import {
  clearC1,
  Exception,
  fcw,
  ftop,
  isDenormal,
  isSignaling,
  type Local,
  put,
  putIndefinite,
  QUIET_BIT,
  type Reach,
  raise,
  Status,
  signExponentAt,
  significandAt,
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

/**
 * () -> 1 unless an unmasked exception forbids to load the memory operand: what a load of f32 or f64 makes of signaling
 * NaNs and denormals.
 */
const operandLoads: HelperFunction = {
  name: 'x87.operandLoads',
  parameters: [],
  result: i32,
  build(f, reach) {
    const p = f.let(addressOf(c32(OPERAND)));
    const significand = f.let(significandAt(p));
    const se = f.let(signExponentAt(p));
    f.if(isSignaling(significand, se), () => {
      f.if(raise(f, reach, c32(Exception.invalid)), () => f.return(c32(0)));
      f.set(significand, or(significand, c64(QUIET_BIT)));
    });
    // Loaded even where the exception is unmasked.
    f.if(isDenormal(significand, se), () => f.drop(raise(f, reach, c32(Exception.denormal))));
    put(f, p, significand, and(se, c32(0xffff)));
    f.return(c32(1));
    f.unreachable();
  },
};

/** (1 if the operand came from f32 or f64: signaling NaNs and denormals count): pushes the memory operand. */
const pushOperand: HelperFunction = {
  name: 'x87.pushOperand',
  parameters: [i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const number = beginPush(f, reach);
    f.if(f.parameter(0, i32), () => f.if(eqz(f.callResult(reach('x87.operandLoads'))), () => f.return()));
    const p = f.let(addressOf(c32(OPERAND)));
    finishPush(f, number, significandAt(p), signExponentAt(p));
  },
};

/** (significand truncated to 64 bits, 1 if nearest rounds it up) -> it rounded as the control word says. */
const roundConstant: HelperFunction = {
  name: 'f80.roundConstant',
  parameters: [i64, i32],
  result: i64,
  build(f) {
    const mode = and(fcw, c32(0xc00));
    const up = select(eqz(mode), f.parameter(1, i32), eq(mode, c32(0x800)));
    f.return(add(f.parameter(0, i64), extendU(up)));
    f.unreachable();
  },
};

/** (significand truncated to 64 bits, sign and exponent, 1 if nearest rounds it up, 1 if inexact): pushes a constant. */
const pushConstant: HelperFunction = {
  name: 'x87.pushConstant',
  parameters: [i64, i32, i32, i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const number = beginPush(f, reach);
    const significand = f.parameter(0, i64);
    f.if(f.parameter(3, i32), () =>
      f.set(significand, f.callResult(reach('f80.roundConstant'), significand, f.parameter(2, i32))),
    );
    finishPush(f, number, significand, f.parameter(1, i32));
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
    clearC1(f);
    if (format === 'F64') emptyStore(f, reach, c64(0xfff8000000000000n), c64(0));
    else emptyStore(f, reach, c32(0xffc00000), c32(0));
    const p = f.let(addressOf(ftop));
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
  operandLoads,
  pushOperand,
  roundConstant,
  pushConstant,
  pushRegister,
  storeRegister,
  narrow('F32'),
  narrow('F64'),
  toInteger,
  extendedSource,
];
