// Lazy arithmetic flags: the last operation and its operands are kept, a flag is computed when it is asked for.
// Owns the kinds, their encoding in `ccOp`, and the WebAssembly functions that compute flags from them.
// Never decides which instruction sets what: that is each meaning's statement.
//
// Operands a and b are kept as i64, sign-extended from the operand size; that keeps signed and unsigned order, so that
// a comparison needs no size. ccOp = kind << 2 | log2(bytes).

import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts';
import { ValueType } from '../../wasm/opcodes.ts';
import { FunctionBuilder } from '../builder/function.ts';
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
  leU,
  loadOp,
  ltS,
  ltU,
  type Node,
  ne,
  not,
  op,
  or,
  pure,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import { Flag, S } from '../state.ts';

const { i32 } = ValueType;

/** What set the flags last. `r` is the result. */
export const FlagKind = {
  /** a holds OF SF ZF AF PF CF at their places in EFLAGS. */
  explicit: 0,
  /** r = a + b */
  add: 1,
  /** r = a + b + 1 */
  addCarry: 2,
  /** r = a - b */
  sub: 3,
  /** r = a - b - 1 */
  subBorrow: 4,
  /** r = a; CF, OF and AF clear. */
  logic: 5,
  /** r = a, CF = b */
  increment: 6,
  /** r = a, CF = b */
  decrement: 7,
  /** r = a << b, b from 1 on */
  shiftLeft: 8,
  /** r = a >> b unsigned, b from 1 on */
  shiftRight: 9,
  /** r = a >> b signed, b from 1 on */
  shiftArithmetic: 10,
  /** r = a, CF = OF = b */
  multiply: 11,
} as const;
export type FlagKind = (typeof FlagKind)[keyof typeof FlagKind];
const KINDS = 12;

/** The functions that compute flags, as indexes that meanings can call. All take nothing and give an i32. */
export interface FlagFunctions {
  cf: FunctionReference;
  pf: FunctionReference;
  af: FunctionReference;
  zf: FunctionReference;
  sf: FunctionReference;
  of: FunctionReference;
  /** All six at their places in EFLAGS. */
  all: FunctionReference;
  /** The sixteen conditions of Jcc, SETcc and CMOVcc by number: 0 or 1. */
  conditions: FunctionReference[];
}

/** Declares the functions; {@link defineFlagFunctions} gives their bodies once every import is declared. */
export function declareFlagFunctions(module: ModuleBuilder): FlagFunctions {
  const declare = (name: string): FunctionReference => module.declare(name, [], i32, true);
  return {
    cf: declare('flag_cf'),
    pf: declare('flag_pf'),
    af: declare('flag_af'),
    zf: declare('flag_zf'),
    sf: declare('flag_sf'),
    of: declare('flag_of'),
    all: declare('flags_all'),
    conditions: Array.from({ length: 16 }, (_, code) => declare(`condition_${code}`)),
  };
}

const ccOp = field(loadOp.i32_load, S.ccOp);
const ccA = field(loadOp.i64_load, S.ccA);
const ccB = field(loadOp.i64_load, S.ccB);

class FlagFunction extends FunctionBuilder {
  /** 64 less the operand's bits: shifting left by it brings the operand's sign bit to bit 63. */
  spare(): Node {
    return extendU(sub(c32(64), shl(c32(8), and(ccOp, c32(3)))));
  }

  /** One branch a kind, in the order of FlagKind. Each yields the flag, 0 or 1, as an i32. */
  byKind(result: (kind: FlagKind) => Node): void {
    // Equal answers share a branch only by accident of V8; clarity first, these run on cold paths.
    const labels: { depth: number }[] = [];
    const nest = (kind: number): void => {
      if (kind === KINDS) {
        this.brTable(shrU(ccOp, c32(2)), labels.slice().reverse(), labels[labels.length - 1]);
        return;
      }
      this.block((label) => {
        labels.push(label);
        nest(kind + 1);
      });
      this.return(result((KINDS - 1 - kind) as FlagKind));
    };
    nest(0);
    this.unreachable();
  }

  /** The result, sign-extended or with garbage above the operand size. */
  result(kind: FlagKind): Node {
    switch (kind) {
      case FlagKind.add:
        return add(ccA, ccB);
      case FlagKind.addCarry:
        return add(add(ccA, ccB), c64(1));
      case FlagKind.sub:
        return sub(ccA, ccB);
      case FlagKind.subBorrow:
        return sub(sub(ccA, ccB), c64(1));
      case FlagKind.shiftLeft:
        return shl(ccA, ccB);
      case FlagKind.shiftRight:
        return shrU(shrU(shl(ccA, this.spare()), this.spare()), ccB);
      case FlagKind.shiftArithmetic:
        return shrS(ccA, ccB);
      default:
        return ccA;
    }
  }

  /** Bit 63 of a value as 0 or 1. */
  top(value: Node): Node {
    return wrap(shrU(value, c64(63)));
  }

  carry(kind: FlagKind): Node {
    const a = (): Node => shl(ccA, this.spare());
    switch (kind) {
      case FlagKind.explicit:
        return and(wrap(ccA), c32(Flag.cf));
      case FlagKind.add:
        return ltU(shl(this.result(kind), this.spare()), a());
      case FlagKind.addCarry:
        return leU(shl(this.result(kind), this.spare()), a());
      case FlagKind.sub:
        return ltU(ccA, ccB);
      case FlagKind.subBorrow:
        return leU(ccA, ccB);
      case FlagKind.logic:
        return c32(0);
      case FlagKind.increment:
      case FlagKind.decrement:
      case FlagKind.multiply:
        return wrap(ccB);
      case FlagKind.shiftLeft: {
        // The last bit shifted out; past the operand's width (8- and 16-bit shifts only) zeros follow.
        const out = this.top(shl(a(), sub(ccB, c64(1))));
        return out;
      }
      case FlagKind.shiftRight:
        return and(wrap(shrU(shrU(shl(ccA, this.spare()), this.spare()), sub(ccB, c64(1)))), c32(1));
      case FlagKind.shiftArithmetic:
        return and(wrap(shrS(ccA, sub(ccB, c64(1)))), c32(1));
    }
  }

  overflow(kind: FlagKind): Node {
    const atTop = (value: Node): Node => this.top(shl(value, this.spare()));
    switch (kind) {
      case FlagKind.explicit:
        return and(shrU(wrap(ccA), c32(11)), c32(1));
      case FlagKind.add:
      case FlagKind.addCarry: {
        const r = this.let(this.result(kind));
        return atTop(and(xor(ccA, r), xor(ccB, r)));
      }
      case FlagKind.sub:
      case FlagKind.subBorrow: {
        const r = this.let(this.result(kind));
        return atTop(and(xor(ccA, ccB), xor(ccA, r)));
      }
      case FlagKind.logic:
      case FlagKind.shiftArithmetic:
        return c32(0);
      case FlagKind.increment:
        return eq(shl(ccA, this.spare()), c64(-0x8000000000000000n));
      case FlagKind.decrement:
        return eq(shl(not(ccA), this.spare()), c64(-0x8000000000000000n));
      case FlagKind.multiply:
        return wrap(ccB);
      case FlagKind.shiftLeft:
        return xor(atTop(this.result(kind)), this.carry(kind));
      case FlagKind.shiftRight:
        // Defined for a count of one, where it is the operand's sign; the same formula serves the rest.
        return atTop(shl(this.result(kind), c64(1)));
    }
  }

  adjust(kind: FlagKind): Node {
    switch (kind) {
      case FlagKind.explicit:
        return and(shrU(wrap(ccA), c32(4)), c32(1));
      case FlagKind.add:
      case FlagKind.addCarry:
      case FlagKind.sub:
      case FlagKind.subBorrow:
        return and(wrap(shrU(xor(xor(ccA, ccB), this.result(kind)), c64(4))), c32(1));
      case FlagKind.increment:
        return eqz(and(wrap(ccA), c32(15)));
      case FlagKind.decrement:
        return eq(and(wrap(ccA), c32(15)), c32(15));
      default:
        return c32(0);
    }
  }

  zero(kind: FlagKind): Node {
    if (kind === FlagKind.explicit) return and(shrU(wrap(ccA), c32(6)), c32(1));
    if (kind === FlagKind.sub) return eq(ccA, ccB);
    return eqz(shl(this.result(kind), this.spare()));
  }

  sign(kind: FlagKind): Node {
    if (kind === FlagKind.explicit) return and(shrU(wrap(ccA), c32(7)), c32(1));
    return this.top(shl(this.result(kind), this.spare()));
  }

  parity(kind: FlagKind): Node {
    if (kind === FlagKind.explicit) return and(shrU(wrap(ccA), c32(2)), c32(1));
    return parityOf(wrap(this.result(kind)));
  }
}

/** 1 when the low byte has an even number of ones. */
export function parityOf(value: Node): Node {
  return xor(and(pure(op.i32_popcnt, and(value, c32(0xff))), c32(1)), c32(1));
}

/** A condition over the lazy flags when the last operation is known to be `a - b`: the whole of a compare-and-branch. */
export function compareCondition(code: number, a: Node, b: Node): Node | undefined {
  switch (code) {
    case 2:
      return ltU(a, b);
    case 3:
      return eqz(ltU(a, b));
    case 4:
      return eq(a, b);
    case 5:
      return ne(a, b);
    case 6:
      return leU(a, b);
    case 7:
      return eqz(leU(a, b));
    case 12:
      return ltS(a, b);
    case 13:
      return geS(a, b);
    case 14:
      return eqz(ltS(b, a));
    case 15:
      return ltS(b, a);
    default:
      return undefined;
  }
}

/** Gives the declared functions their bodies. */
export function defineFlagFunctions(module: ModuleBuilder, functions: FlagFunctions): void {
  const define = (reference: FunctionReference, answer: (f: FlagFunction, kind: FlagKind) => Node): void => {
    const f = new FlagFunction();
    f.byKind((kind) => answer(f, kind));
    module.define(reference, f.finish());
  };
  define(functions.cf, (f, kind) => f.carry(kind));
  define(functions.pf, (f, kind) => f.parity(kind));
  define(functions.af, (f, kind) => f.adjust(kind));
  define(functions.zf, (f, kind) => f.zero(kind));
  define(functions.sf, (f, kind) => f.sign(kind));
  define(functions.of, (f, kind) => f.overflow(kind));

  const call = (reference: FunctionReference): Node => ({ kind: 'call', type: i32, index: reference.index, args: [] });
  const all = new FunctionBuilder();
  all.if(ltU(ccOp, c32(4)), () => all.return(wrap(ccA)));
  const placed = (reference: FunctionReference, bit: number): Node => shl(call(reference), c32(bit));
  all.return(
    or(
      or(or(call(functions.cf), placed(functions.pf, 2)), or(placed(functions.af, 4), placed(functions.zf, 6))),
      or(placed(functions.sf, 7), placed(functions.of, 11)),
    ),
  );
  all.unreachable();
  module.define(functions.all, all.finish());

  functions.conditions.forEach((reference, code) => {
    const f = new FunctionBuilder();
    const fast = compareCondition(code, ccA, ccB);
    if (fast) f.if(eq(shrU(ccOp, c32(2)), c32(FlagKind.sub)), () => f.return(fast));
    const flag = (name: 'cf' | 'pf' | 'zf' | 'sf' | 'of'): Node => call(functions[name]);
    const base = [
      () => flag('of'),
      () => flag('cf'),
      () => flag('zf'),
      () => or(flag('cf'), flag('zf')),
      () => flag('sf'),
      () => flag('pf'),
      () => xor(flag('sf'), flag('of')),
      () => or(flag('zf'), xor(flag('sf'), flag('of'))),
    ][code >> 1]();
    f.return(code & 1 ? eqz(base) : base);
    f.unreachable();
    module.define(reference, f.finish());
  });
}

/** ccOp of a kind at an operand size in bits. */
export const ccOpOf = (kind: FlagKind, size: number): number => (kind << 2) | (31 - Math.clz32(size >> 3));

/** `kind` when the i32 `condition` is 0, else `otherwise`, as a ccOp. */
export const ccOpSelect = (condition: Node, kind: FlagKind, otherwise: FlagKind, size: number): Node =>
  select(condition, c32(ccOpOf(otherwise, size)), c32(ccOpOf(kind, size)));
