// Operations of float80/ on registers of the x87 stack, in WebAssembly, with stack faults and their masked responses.
// Owns the helpers of arithmetic, comparison, exchange and the like; loads and stores are in stack-transfer.ts.
// Never computes: values are float80's. Source: Intel SDM volume 1, chapter 8.

import { storeOp, ValueType } from '../../../wasm/opcodes.ts';
import {
  and,
  c32,
  c64,
  eqz,
  extendS,
  field,
  loadOp,
  type Node,
  ne,
  not,
  or,
  select,
  shl,
  shrU,
  sub,
  xor,
} from '../../builder/nodes.ts';
import { COMPARE_WITHHELD } from '../../float80/comparison.ts';
import {
  clearC1,
  EXPONENT_BIAS,
  Exception,
  fcw,
  fsw,
  ftop,
  INTEGER_BIT,
  isDenormal,
  isInfinity,
  isNan,
  isUnsupported,
  isZero,
  put,
  putIndefinite,
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

import { addressOf, CONDITIONS, fill, holds, physical, pop, popTimes, STACK_FAULT, setTop } from './stack-access.ts';

const { i32 } = ValueType;

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

/** (): the summary bit, S.fpuIgnored and S.fpuTrap anew, after the control or status word changed. */
const summarize: HelperFunction = {
  name: 'x87.summarize',
  parameters: [],
  result: undefined,
  build(f) {
    const pending = f.let(ne(and(and(fsw, not(fcw)), c32(0x3f)), c32(0)));
    const both = c32(Status.summary | Status.busy);
    setStatus(f, or(and(fsw, not(both)), select(pending, both, c32(0))));
    const trap = field(loadOp.i32_load, S.fpuTrap);
    const bit = f.let(select(pending, c32(TRAP_PENDING), c32(0)));
    const ignored = f.let(and(field(loadOp.i32_load, S.fpuIgnored), bit));
    f.storeField(storeOp.i32_store, S.fpuIgnored, ignored);
    f.storeField(storeOp.i32_store, S.fpuTrap, or(and(trap, c32(~TRAP_PENDING)), xor(bit, ignored)));
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
  exchange,
  moveIf,
  examine,
  extract,
  summarize,
];
