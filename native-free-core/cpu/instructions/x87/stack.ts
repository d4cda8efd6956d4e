// The x87 register stack in WebAssembly: tags, TOP, stack faults, and the operations of float80/ on stack registers.
// Owns the helpers that x87 meanings call; each does the whole work of an instruction on registers.
// Never computes: values are float80's. Source: Intel SDM volume 1, chapter 8.

import { storeOp, ValueType } from '../../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendS,
  extendU,
  field,
  loadOp,
  ltU,
  type Node,
  ne,
  neg,
  not,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
} from '../../builder/nodes.ts';
import { COMPARE_WITHHELD } from '../../float80/comparison.ts';
import {
  clearC1,
  EXPONENT_BIAS,
  Exception,
  exponentOf,
  fcw,
  fsw,
  ftop,
  ftw,
  INTEGER_BIT,
  isDenormal,
  isInfinity,
  isNan,
  isSignaling,
  isUnsupported,
  isZero,
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
  TRAP_PENDING,
  unpack,
} from '../../float80/parts.ts';
import { S } from '../../state.ts';
import type { HelperFunction } from '../row.ts';

const { i32, i64 } = ValueType;

/** Stack position that stands for the memory operand: the entry behind the registers, never empty. */
export const OPERAND = 8;
const CONDITIONS = Status.c0 | Status.c2 | Status.c3;
const STACK_FAULT = Exception.invalid | Status.stackFault;

const setTop = (f: FunctionBuilder, value: Node): void => f.storeField(storeOp.i32_store, S.ftop, value);
const setTags = (f: FunctionBuilder, value: Node): void => f.storeField(storeOp.i32_store, S.ftw, value);

/** Physical number of ST(position); the operand entry is number 8. */
const physical = (top: Node, position: Node): Node =>
  position.kind === 'const'
    ? position.value === OPERAND
      ? position
      : and(add(top, position), c32(7))
    : select(and(position, c32(OPERAND)), c32(OPERAND), and(add(top, position), c32(7)));
const addressOf = (number: Node): Node => add(c32(S.fpu), shl(number, c32(4)));
/** 1 unless the register is empty. */
const holds = (number: Node): Node => and(shrU(or(ftw, c32(1 << OPERAND)), number), c32(1));
const fill = (f: FunctionBuilder, number: Node): void => setTags(f, or(ftw, shl(c32(1), number)));

/** Pops the stack: marks ST(0) empty and moves TOP. */
export function pop(f: FunctionBuilder): void {
  setTags(f, and(ftw, not(shl(c32(1), ftop))));
  setTop(f, and(add(ftop, c32(1)), c32(7)));
}
const popTimes = (f: FunctionBuilder, times: Node): void => {
  f.if(times, () => {
    pop(f);
    f.if(eq(times, c32(2)), () => pop(f));
  });
};

/** (physical register) -> 0 when unmasked: an empty register was read; the masked response writes the indefinite NaN. */
const underflow: HelperFunction = {
  name: 'x87.underflow',
  parameters: [i32],
  result: i32,
  build(f, reach) {
    const number = f.parameter(0, i32);
    clearC1(f);
    f.if(raise(f, reach, c32(STACK_FAULT)), () => f.return(c32(0)));
    putIndefinite(f, f.let(addressOf(number)));
    fill(f, number);
    f.return(c32(1));
    f.unreachable();
  },
};

/** (stack position a, b, destination, 1 to pop): a binary operation among registers or with the memory operand. */
const binary = (operation: string): HelperFunction => ({
  name: `x87.${operation}`,
  parameters: [i32, i32, i32, i32],
  result: undefined,
  build(f, reach) {
    const top = f.let(ftop);
    const a = f.let(physical(top, f.parameter(0, i32)));
    const b = f.let(physical(top, f.parameter(1, i32)));
    const destination = f.let(physical(top, f.parameter(2, i32)));
    const stored = f.local(i32);
    f.if(
      and(holds(a), holds(b)),
      () => {
        const pa = f.let(addressOf(a));
        const pb = f.let(addressOf(b));
        f.set(stored, {
          kind: 'call',
          type: i32,
          index: reach(`f80.${operation}`).index,
          args: [significandAt(pa), signExponentAt(pa), significandAt(pb), signExponentAt(pb), addressOf(destination)],
        });
      },
      () => f.set(stored, f.callResult(reach('x87.underflow'), destination)),
    );
    f.if(and(stored, f.parameter(3, i32)), () => pop(f));
  },
});

/** (): an operation on ST(0) alone. */
const unary = (name: string, operation: string): HelperFunction => ({
  name,
  parameters: [],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const top = f.let(ftop);
    f.if(
      holds(top),
      () => {
        const p = f.let(addressOf(top));
        f.call(reach(operation), significandAt(p), signExponentAt(p), p);
      },
      () => f.call(reach('x87.underflow'), top),
    );
  },
});

/** (1 for FPREM1): ST(0) = remainder of ST(0) by ST(1). */
const remainder: HelperFunction = {
  name: 'x87.rem',
  parameters: [i32],
  result: undefined,
  build(f, reach) {
    setStatus(f, and(fsw, c32(~(Status.c1 | Status.c2))));
    const top = f.let(ftop);
    const other = f.let(physical(top, c32(1)));
    f.if(
      and(holds(top), holds(other)),
      () => {
        const pa = f.let(addressOf(top));
        const pb = f.let(addressOf(other));
        f.call(
          reach('f80.rem'),
          significandAt(pa),
          signExponentAt(pa),
          significandAt(pb),
          signExponentAt(pb),
          pa,
          f.parameter(0, i32),
        );
      },
      () => f.call(reach('x87.underflow'), top),
    );
  },
};

/** (mask kept of sign and exponent, bits inverted): FABS and FCHS. */
const changeSign: HelperFunction = {
  name: 'x87.changeSign',
  parameters: [i32, i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const top = f.let(ftop);
    f.if(
      holds(top),
      () => {
        const p = f.let(addressOf(top));
        f.store(storeOp.i32_store, p, xor(and(signExponentAt(p), f.parameter(0, i32)), f.parameter(1, i32)), 8);
      },
      () => f.call(reach('x87.underflow'), top),
    );
  },
};

/** (stack position, 1 if quiet NaNs are no error) -> condition codes of ST(0) compared with it; COMPARE_WITHHELD. */
const compareStack: HelperFunction = {
  name: 'x87.compareStack',
  parameters: [i32, i32],
  result: i32,
  build(f, reach) {
    const top = f.let(ftop);
    const other = f.let(physical(top, f.parameter(0, i32)));
    f.if(and(holds(top), holds(other)), () => {
      const pa = f.let(addressOf(top));
      const pb = f.let(addressOf(other));
      f.returnCall(
        reach('f80.compare'),
        significandAt(pa),
        signExponentAt(pa),
        significandAt(pb),
        signExponentAt(pb),
        f.parameter(1, i32),
      );
    });
    clearC1(f);
    f.if(raise(f, reach, c32(STACK_FAULT)), () => f.return(c32(CONDITIONS | COMPARE_WITHHELD)));
    f.return(c32(CONDITIONS));
    f.unreachable();
  },
};

/** (stack position, 1 if quiet NaNs are no error, pops 0 to 2): compares into the condition codes. */
const compare: HelperFunction = {
  name: 'x87.compare',
  parameters: [i32, i32, i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const codes = f.callResult(reach('x87.compareStack'), f.parameter(0, i32), f.parameter(1, i32));
    setStatus(f, or(and(fsw, c32(~CONDITIONS)), and(codes, c32(CONDITIONS))));
    f.if(eqz(and(codes, c32(COMPARE_WITHHELD))), () => popTimes(f, f.parameter(2, i32)));
  },
};

/** (stack position, 1 if quiet NaNs are no error, 1 to pop) -> ZF, PF, CF as they stand in EFLAGS. */
const compareToFlags: HelperFunction = {
  name: 'x87.compareToFlags',
  parameters: [i32, i32, i32],
  result: i32,
  build(f, reach) {
    const codes = f.callResult(reach('x87.compareStack'), f.parameter(0, i32), f.parameter(1, i32));
    f.if(and(f.parameter(2, i32), eqz(and(codes, c32(COMPARE_WITHHELD)))), () => pop(f));
    f.return(shrU(and(codes, c32(CONDITIONS)), c32(8)));
    f.unreachable();
  },
};

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

/** (stack position): FXCH. */
const exchange: HelperFunction = {
  name: 'x87.exchange',
  parameters: [i32],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const top = f.let(ftop);
    const other = f.let(physical(top, f.parameter(0, i32)));
    const pa = f.let(addressOf(top));
    const pb = f.let(addressOf(other));
    f.if(eqz(and(holds(top), holds(other))), () => {
      f.if(raise(f, reach, c32(STACK_FAULT)), () => f.return());
      for (const [number, address] of [
        [top, pa],
        [other, pb],
      ] as const) {
        f.if(eqz(holds(number)), () => putIndefinite(f, address));
        fill(f, number);
      }
    });
    const significand = f.let(significandAt(pa));
    const se = f.let(signExponentAt(pa));
    put(f, pa, significandAt(pb), signExponentAt(pb));
    put(f, pb, significand, se);
  },
};

/** (stack position, condition): FCMOVcc. */
const moveIf: HelperFunction = {
  name: 'x87.moveIf',
  parameters: [i32, i32],
  result: undefined,
  build(f, reach) {
    const top = f.let(ftop);
    const other = f.let(physical(top, f.parameter(0, i32)));
    f.if(
      and(holds(top), holds(other)),
      () =>
        f.if(f.parameter(1, i32), () => {
          const p = f.let(addressOf(other));
          put(f, f.let(addressOf(top)), significandAt(p), signExponentAt(p));
        }),
      () => f.call(reach('x87.underflow'), top),
    );
  },
};

/** (): FXAM. */
const examine: HelperFunction = {
  name: 'x87.examine',
  parameters: [],
  result: undefined,
  build(f) {
    const top = f.let(ftop);
    const p = f.let(addressOf(top));
    const significand = f.let(significandAt(p));
    const se = f.let(signExponentAt(p));
    const { c0, c2, c3 } = Status;
    const classes: readonly (readonly [Node, number])[] = [
      [eqz(holds(top)), c3 | c0],
      [isUnsupported(significand, se), 0],
      [isNan(significand, se), c0],
      [isInfinity(significand, se), c2 | c0],
      [isZero(significand, se), c3],
      [isDenormal(significand, se), c3 | c2],
    ];
    const codes = classes.reduceRight((rest, [condition, value]) => select(condition, c32(value), rest), c32(c2));
    const sign = shrU(signOf(se), c32(6));
    setStatus(f, or(and(fsw, c32(~(CONDITIONS | Status.c1))), or(codes, sign)));
  },
};

/** (): FXTRACT: ST(0) becomes its exponent, then its significand is pushed. */
const extract: HelperFunction = {
  name: 'x87.extract',
  parameters: [],
  result: undefined,
  build(f, reach) {
    clearC1(f);
    const top = f.let(ftop);
    const number = f.let(and(sub(top, c32(1)), c32(7)));
    const p = f.let(addressOf(top));
    const q = f.let(addressOf(number));
    const finish = (): void => {
      setTop(f, number);
      fill(f, number);
    };
    f.if(or(eqz(holds(top)), holds(number)), () => {
      const overflow = f.let(and(holds(top), c32(1)));
      f.if(raise(f, reach, or(c32(STACK_FAULT), shl(overflow, c32(9)))), () => f.return());
      putIndefinite(f, p);
      putIndefinite(f, q);
      fill(f, top);
      finish();
      f.return();
    });
    const significand = f.let(significandAt(p));
    const se = f.let(signExponentAt(p));
    f.if(or(isNan(significand, se), isUnsupported(significand, se)), () => {
      f.if(f.callResult(reach('f80.nan'), significand, se, c64(0), c32(0), p), () => {
        put(f, q, significandAt(p), signExponentAt(p));
        finish();
      });
      f.return();
    });
    f.if(isZero(significand, se), () => {
      f.if(raise(f, reach, c32(Exception.zeroDivide)), () => f.return());
      put(f, p, c64(INTEGER_BIT), c32(0xffff));
      put(f, q, c64(0), se);
      finish();
      f.return();
    });
    f.if(isInfinity(significand, se), () => {
      put(f, p, c64(INTEGER_BIT), c32(0x7fff));
      put(f, q, c64(INTEGER_BIT), se);
      finish();
      f.return();
    });
    f.if(isDenormal(significand, se), () => f.if(raise(f, reach, c32(Exception.denormal)), () => f.return()));
    const exponent = unpack(f, significand, se);
    f.call(reach('f80.fromInteger'), extendS(sub(exponent, c32(EXPONENT_BIAS))), p);
    put(f, q, significand, or(signOf(se), c32(EXPONENT_BIAS)));
    finish();
  },
};

/** (): the summary bit and S.fpuTrap anew, after the control or status word changed. */
const summarize: HelperFunction = {
  name: 'x87.summarize',
  parameters: [],
  result: undefined,
  build(f) {
    const pending = f.let(ne(and(and(fsw, not(fcw)), c32(0x3f)), c32(0)));
    const both = c32(Status.summary | Status.busy);
    setStatus(f, or(and(fsw, not(both)), select(pending, both, c32(0))));
    const trap = field(loadOp.i32_load, S.fpuTrap);
    f.storeField(
      storeOp.i32_store,
      S.fpuTrap,
      or(and(trap, c32(~TRAP_PENDING)), select(pending, c32(TRAP_PENDING), c32(0))),
    );
  },
};

export const stackHelpers: readonly HelperFunction[] = [
  underflow,
  ...['add', 'sub', 'mul', 'div', 'scale'].map(binary),
  unary('x87.sqrt', 'f80.sqrt'),
  unary('x87.round', 'f80.roundToInteger'),
  remainder,
  changeSign,
  compareStack,
  compare,
  compareToFlags,
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
  exchange,
  moveIf,
  examine,
  extract,
  summarize,
];
