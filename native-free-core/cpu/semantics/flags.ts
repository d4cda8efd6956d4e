// Lazy arithmetic flags: the last operation and its operands are kept, a flag is computed when it is asked for.
// Owns the kinds, their encoding in `ccOp`, and the WebAssembly functions that compute flags from them.
// Never decides which instruction sets what: that is each meaning's statement.
//
// Operands a and b are kept as i64, sign-extended from the operand size; that keeps signed and unsigned order, so that
// a comparison needs no size. ccOp = kind << 2 | log2(bytes), and CARRY_OVERFLOW_APART where CF and OF have been
// set since.

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
  isConst,
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
/** Added to ccOp: CF and OF are those in ccC. What rotates and bit tests leave, which keep the other flags. */
export const CARRY_OVERFLOW_APART = 0x100;

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
  /** A condition of Jcc, SETcc and CMOVcc by number, 0 to 15: 0 or 1. */
  condition(code: number): FunctionReference;
}

/** Declares the functions; {@link defineFlagFunctions} gives their bodies once every import is declared. */
export function declareFlagFunctions(module: ModuleBuilder): FlagFunctions {
  const declare = (name: string): FunctionReference => module.declare(name, [], i32, true);
  const conditions = Array.from({ length: 16 }, (_, code) => declare(`condition_${code}`));
  return {
    cf: declare('flag_cf'),
    pf: declare('flag_pf'),
    af: declare('flag_af'),
    zf: declare('flag_zf'),
    sf: declare('flag_sf'),
    of: declare('flag_of'),
    all: declare('flags_all'),
    condition: (code) => conditions[code],
  };
}

const ccOp = field(loadOp.i32_load, S.ccOp);
const ccA = field(loadOp.i64_load, S.ccA);
const ccB = field(loadOp.i64_load, S.ccB);
const ccC = field(loadOp.i32_load, S.ccC);

/** The flags of a kind of operation as expressions over its operands: one definition for functions and translations. */
export class FlagFormulas {
  private readonly f: FunctionBuilder;
  private readonly a: Node;
  private readonly b: Node;
  /** 64 less the operand's bits, as an i64: shifting left by it brings the operand's sign bit to bit 63. */
  private readonly spare: Node;

  constructor(f: FunctionBuilder, a: Node, b: Node, spare: Node) {
    this.f = f;
    this.a = a;
    this.b = b;
    this.spare = spare;
  }

  /** 1 when a value is the operand size's lowest negative number. */
  private isLowest(value: Node): Node {
    const cut = this.cut(value);
    return eq(cut, cut.type === i32 ? c32(0x80000000) : c64(-0x8000000000000000n));
  }

  /** The result, sign-extended or with garbage above the operand size. */
  result(kind: FlagKind): Node {
    switch (kind) {
      case FlagKind.add:
        return add(this.a, this.b);
      case FlagKind.addCarry:
        return add(add(this.a, this.b), c64(1));
      case FlagKind.sub:
        return sub(this.a, this.b);
      case FlagKind.subBorrow:
        return sub(sub(this.a, this.b), c64(1));
      case FlagKind.shiftLeft:
        return shl(this.a, this.b);
      case FlagKind.shiftRight:
        return shrU(shrU(shl(this.a, this.spare), this.spare), this.b);
      case FlagKind.shiftArithmetic:
        return shrS(this.a, this.b);
      default:
        return this.a;
    }
  }

  /** Bit 63 of a value as 0 or 1. */
  private top(value: Node): Node {
    return wrap(shrU(value, c64(63)));
  }

  /** The operand's bits of a value, so that they compare as they do in the operand size: in an i32 where that is 32 bits. */
  private cut(value: Node): Node {
    return isConst(this.spare) && this.spare.value === 32 ? wrap(value) : shl(value, this.spare);
  }

  /** The operand's sign bit of a value as 0 or 1. */
  private signOf(value: Node): Node {
    const cut = this.cut(value);
    return cut.type === i32 ? shrU(cut, c32(31)) : this.top(cut);
  }

  carry(kind: FlagKind): Node {
    const a = (): Node => this.cut(this.a);
    switch (kind) {
      case FlagKind.explicit:
        return and(wrap(this.a), c32(Flag.cf));
      case FlagKind.add:
        return ltU(this.cut(this.result(kind)), a());
      case FlagKind.addCarry:
        return leU(this.cut(this.result(kind)), a());
      case FlagKind.sub:
        return ltU(this.a, this.b);
      case FlagKind.subBorrow:
        return leU(this.a, this.b);
      case FlagKind.logic:
        return c32(0);
      case FlagKind.increment:
      case FlagKind.decrement:
      case FlagKind.multiply:
        return wrap(this.b);
      case FlagKind.shiftLeft: {
        // The last bit shifted out; past the operand's width (8- and 16-bit shifts only) zeros follow.
        return this.top(shl(shl(this.a, this.spare), sub(this.b, c64(1))));
      }
      case FlagKind.shiftRight:
        return and(wrap(shrU(shrU(shl(this.a, this.spare), this.spare), sub(this.b, c64(1)))), c32(1));
      case FlagKind.shiftArithmetic:
        return and(wrap(shrS(this.a, sub(this.b, c64(1)))), c32(1));
    }
  }

  overflow(kind: FlagKind): Node {
    switch (kind) {
      case FlagKind.explicit:
        return and(shrU(wrap(this.a), c32(11)), c32(1));
      case FlagKind.add:
      case FlagKind.addCarry: {
        const r = this.f.let(this.result(kind));
        return this.signOf(and(xor(this.a, r), xor(this.b, r)));
      }
      case FlagKind.sub:
      case FlagKind.subBorrow: {
        const r = this.f.let(this.result(kind));
        return this.signOf(and(xor(this.a, this.b), xor(this.a, r)));
      }
      case FlagKind.logic:
      case FlagKind.shiftArithmetic:
        return c32(0);
      case FlagKind.increment:
        return this.isLowest(this.a);
      case FlagKind.decrement:
        return this.isLowest(not(this.a));
      case FlagKind.multiply:
        return wrap(this.b);
      case FlagKind.shiftLeft:
        return xor(this.signOf(this.result(kind)), this.carry(kind));
      case FlagKind.shiftRight:
        // Defined for a count of one, where it is the operand's sign; the same formula serves the rest.
        return this.signOf(shl(this.result(kind), c64(1)));
    }
  }

  adjust(kind: FlagKind): Node {
    switch (kind) {
      case FlagKind.explicit:
        return and(shrU(wrap(this.a), c32(4)), c32(1));
      case FlagKind.add:
      case FlagKind.addCarry:
      case FlagKind.sub:
      case FlagKind.subBorrow:
        return and(wrap(shrU(xor(xor(this.a, this.b), this.result(kind)), c64(4))), c32(1));
      case FlagKind.increment:
        return eqz(and(wrap(this.a), c32(15)));
      case FlagKind.decrement:
        return eq(and(wrap(this.a), c32(15)), c32(15));
      default:
        return c32(0);
    }
  }

  zero(kind: FlagKind): Node {
    if (kind === FlagKind.explicit) return and(shrU(wrap(this.a), c32(6)), c32(1));
    if (kind === FlagKind.sub) return eq(this.a, this.b);
    return eqz(this.cut(this.result(kind)));
  }

  sign(kind: FlagKind): Node {
    if (kind === FlagKind.explicit) return and(shrU(wrap(this.a), c32(7)), c32(1));
    return this.signOf(this.result(kind));
  }

  parity(kind: FlagKind): Node {
    if (kind === FlagKind.explicit) return and(shrU(wrap(this.a), c32(2)), c32(1));
    return parityOf(wrap(this.result(kind)));
  }

  /** A condition of Jcc by number, 0 or 1. */
  condition(kind: FlagKind, code: number): Node {
    if (kind === FlagKind.sub) {
      const compared = compareCondition(code, this.a, this.b);
      if (compared) return compared;
    }
    if (kind === FlagKind.logic) {
      // CF and OF are clear, so that every comparison is one with zero.
      const compared = compareCondition(code, this.a, c64(0));
      if (compared) return compared;
    }
    const less = (): Node => xor(this.sign(kind), this.overflow(kind));
    const base = [
      () => this.overflow(kind),
      () => this.carry(kind),
      () => this.zero(kind),
      () => or(this.carry(kind), this.zero(kind)),
      () => this.sign(kind),
      () => this.parity(kind),
      less,
      () => or(this.zero(kind), less()),
    ][code >> 1]();
    return code & 1 ? eqz(base) : base;
  }
}

/** Builds a function that gives a flag, 0 or 1, by the kind that ccOp holds. */
function byKind(f: FunctionBuilder, result: (formulas: FlagFormulas, kind: FlagKind) => Node): void {
  const spare = extendU(sub(c32(64), shl(c32(8), and(ccOp, c32(3)))));
  const formulas = new FlagFormulas(f, ccA, ccB, spare);
  const labels: { depth: number }[] = [];
  const nest = (kind: number): void => {
    if (kind === KINDS) {
      f.brTable(and(shrU(ccOp, c32(2)), c32(63)), labels.slice().reverse(), labels[labels.length - 1]);
      return;
    }
    f.block((label) => {
      labels.push(label);
      nest(kind + 1);
    });
    f.return(result(formulas, (KINDS - 1 - kind) as FlagKind));
  };
  nest(0);
  f.unreachable();
}

/** 1 when the low byte has an even number of ones. */
export function parityOf(value: Node): Node {
  return xor(and(pure(op.i32_popcnt, and(value, c32(0xff))), c32(1)), c32(1));
}

/**
 * A condition over the lazy flags when the last operation is known to be `a - b`: the whole of a compare-and-branch. A
 * constant `b` is zero, where a - b has the sign of a.
 */
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
    case 8:
      return isConst(b) ? ltS(a, b) : undefined;
    case 9:
      return isConst(b) ? geS(a, b) : undefined;
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
  const define = (reference: FunctionReference, answer: (f: FlagFormulas, kind: FlagKind) => Node): void => {
    const f = new FunctionBuilder();
    const place = reference === functions.cf ? 0 : reference === functions.of ? 11 : -1;
    if (place >= 0) {
      f.if(and(ccOp, c32(CARRY_OVERFLOW_APART)), () => f.return(and(shrU(ccC, c32(place)), c32(1))));
    }
    byKind(f, answer);
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

  for (let code = 0; code < 16; code++) {
    const reference = functions.condition(code);
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
  }
}

/** ccOp of a kind at an operand size in bits. */
export const ccOpOf = (kind: FlagKind, size: number): number => (kind << 2) | (31 - Math.clz32(size >> 3));

/** `kind` when the i32 `condition` is 0, else `otherwise`, as a ccOp. */
export const ccOpSelect = (condition: Node, kind: FlagKind, otherwise: FlagKind, size: number): Node =>
  select(condition, c32(ccOpOf(otherwise, size)), c32(ccOpOf(kind, size)));
