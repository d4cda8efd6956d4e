// The interpreter's handlers: which there are, and the body of each, built from the instruction table.
// Owns the numbering: (encoding, operand size, form, …) to handler, which it leaves behind as plain data.
// Never executes anything.

import type { FunctionBody } from '../../wasm/module.ts';
import { storeOp } from '../../wasm/opcodes.ts';
import {
  add,
  and,
  asSize,
  c64,
  extendU,
  load,
  loadOp,
  type Node,
  type Size,
  shl,
  shrS,
  signExtendTo64,
} from '../builder/nodes.ts';
import { type DecodeEntry, decodeEntry } from '../decoder/tables.ts';
import type { Encoding, OperandCode } from '../instructions/row.ts';
import type { OperandKind, OperandShape } from '../semantics/meaning.ts';
import { S, Slot } from '../state.ts';
import { type EncodingHandlers, type HandlerNumbers, VARIANTS, variantIndex } from './handler-numbers.ts';
import {
  type HandlerShape,
  type HandlerTraits,
  type InterpreterFunctions,
  InterpreterMeaning,
} from './interpreter-meaning.ts';
import { U } from './micro-op.ts';

const SIZES: readonly Size[] = [8, 16, 32, 64];
const ADDRESS_SIZES = [16, 32, 64] as const;
const REPS = [0, 0xf3, 0xf2] as const;

export interface Handler {
  readonly name: string;
  readonly body: FunctionBody;
  readonly traits: HandlerTraits;
  /** What it is built from; special handlers have none. */
  readonly source?: {
    readonly row: string;
    readonly shape: HandlerShape;
    readonly meaning: (m: InterpreterMeaning) => void;
  };
}

const KIND_OF: Record<string, OperandKind> = {
  G: 'reg',
  Z: 'reg',
  B: 'reg',
  R: 'reg',
  fixed: 'reg',
  I: 'imm',
  '1': 'imm',
  J: 'relative',
  S: 'segment',
  C: 'control',
  D: 'debug',
  V: 'xmm',
  U: 'xmm',
  P: 'mmx',
  N: 'mmx',
  T: 'st',
  M: 'mem',
  O: 'mem',
};

function widthOf(code: OperandCode, size: Size, wide: boolean): number {
  switch (code.width) {
    case 'b':
    case 'h':
    case 'bs':
      return code.width === 'bs' ? size : 8;
    case 'w':
      return 16;
    case 'd':
      return 32;
    case 'q':
      return 64;
    case 't':
      return 80;
    case 'o':
      return 128;
    case 'v':
      return size;
    case 'z':
      return code.where === 'I' ? size : size === 16 ? 16 : 32;
    case 'y':
      return wide ? 64 : 32;
    default:
      return 0;
  }
}

/** Shapes of an encoding's operands at an operand size, in its memory or its register form. */
export function operandShapes(encoding: Encoding, size: Size, memory: boolean): OperandShape[] {
  return encoding.operands.map((code): OperandShape => {
    const width = widthOf(code, size, size === 64);
    if (code.where === '1') return { kind: 'imm', size: 8, fixed: 1 };
    if (code.where === 'E') return { kind: memory ? 'mem' : 'reg', size: width };
    if (code.where === 'W') return { kind: memory ? 'mem' : 'xmm', size: width };
    if (code.where === 'Q') return { kind: memory ? 'mem' : 'mmx', size: width };
    const kind = KIND_OF[code.where];
    return code.register === undefined ? { kind, size: width } : { kind, size: width, fixed: code.register };
  });
}

/** Numbers the handlers of a table and builds their bodies. */
export class HandlerSet {
  readonly handlers: Handler[] = [];
  private readonly bySignature = new Map<string, number>();
  private readonly functions: InterpreterFunctions;
  private readonly coldHandler: number;
  private readonly addressLinear = new Map<number, number>();
  private readonly addressOffset = new Map<number, number>();
  private readonly addressBits = new Map<string, number>();

  constructor(functions: InterpreterFunctions, firstHandlers: readonly Handler[], coldHandler: number) {
    this.functions = functions;
    this.handlers.push(...firstHandlers);
    this.coldHandler = coldHandler;
    for (const addressSize of ADDRESS_SIZES) {
      this.addressLinear.set(addressSize, this.addressMicroOp(addressSize, 'linear', undefined));
      this.addressOffset.set(addressSize, this.addressMicroOp(addressSize, 'offset', undefined));
      for (const size of [16, 32, 64] as const) {
        this.addressBits.set(`${addressSize}/${size}`, this.addressMicroOp(addressSize, 'linear', size));
      }
    }
  }

  /** Builds the handlers of a table's encodings that are missing, and gives the numbers of all. */
  numbersOf(encodings: readonly Encoding[]): HandlerNumbers {
    const byEncoding = new Int16Array(encodings.length * VARIANTS).fill(-1);
    encodings.forEach((encoding, place) => {
      this.build(encoding, byEncoding.subarray(place * VARIANTS, (place + 1) * VARIANTS));
    });
    const kinds = new Map<string, number>();
    const known: HandlerTraits[] = [];
    const kindOf = Uint16Array.from(this.handlers, ({ traits }) => {
      const text = JSON.stringify(traits);
      const kind = kinds.get(text) ?? known.push(traits) - 1;
      kinds.set(text, kind);
      return kind;
    });
    const { addressLinear, addressOffset, addressBits } = this;
    return { byEncoding, kinds: known, kindOf, addressLinear, addressOffset, addressBits };
  }

  private build(encoding: Encoding, numbers: EncodingHandlers): void {
    const entry = decodeEntry(encoding);
    for (const size of sizesOf(entry)) {
      for (const memory of formsOf(encoding)) {
        for (const flat of [true, false]) {
          for (const addressSize of ADDRESS_SIZES) {
            for (const rep of REPS) {
              numbers[variantIndex(size, memory, flat, addressSize, rep)] = this.handler(encoding, {
                size,
                operands: operandShapes(encoding, size, memory),
                flat: encoding.row.implicitMemory === true ? flat : true,
                addressSize: encoding.row.usesAddressSize === true ? addressSize : 64,
                rep: encoding.attributes.has('rep') ? rep : 0,
              });
            }
          }
        }
      }
    }
  }

  private handler(encoding: Encoding, shape: HandlerShape): number {
    const { row } = encoding;
    const { meaning } = row;
    if (meaning === 'cold') return this.coldHandler;
    const operands = shape.operands
      .map((o) => `${o.kind}${o.size}${o.fixed !== undefined ? `=${o.fixed}` : ''}`)
      .join(',');
    const name = `${row.name}/${shape.size} ${operands} a${shape.addressSize} r${shape.rep} ${shape.flat ? 'flat' : 'segmented'}`;
    const known = this.bySignature.get(name);
    if (known !== undefined) return known;
    const m = new InterpreterMeaning(this.functions, shape);
    try {
      meaning(m);
    } catch (error) {
      throw new Error(`The meaning of ${name} cannot be built: ${(error as Error).message}`, { cause: error });
    }
    m.goOn();
    m.unreachable();
    const number = this.add({ name, body: m.finish(), traits: m.traits, source: { row: row.name, shape, meaning } });
    this.bySignature.set(name, number);
    return number;
  }

  private add(handler: Handler): number {
    this.handlers.push(handler);
    return this.handlers.length - 1;
  }

  /**
   * A micro-op that stands before one whose memory operand is not plain: it leaves the address in a pseudo-register.
   * Its immediate is the displacement, `target` the access (bytes | write << 8), operand 0 the bit offset's register.
   */
  private addressMicroOp(addressSize: 16 | 32 | 64, result: 'linear' | 'offset', bits: Size | undefined): number {
    const shape: HandlerShape = { size: 64, addressSize, operands: [{ kind: 'reg', size: 64 }], flat: false, rep: 0 };
    const m = new InterpreterMeaning(this.functions, shape);
    const base = load(loadOp.i64_load, load(loadOp.i32_load8_u, m.pc, U.base), S.regs);
    const index = load(loadOp.i64_load, load(loadOp.i32_load8_u, m.pc, U.index), S.regs);
    const scale = extendU(load(loadOp.i32_load8_u, m.pc, U.scale));
    let sum: Node = add(add(base, shl(index, scale)), load(loadOp.i64_load, m.pc, U.immediate));
    if (bits !== undefined) {
      const offset = m.let(signExtendTo64(bits, asSize(bits, m.read(0, bits))));
      const unit = Math.log2(bits);
      sum = add(sum, shl(shrS(offset, c64(unit)), c64(unit - 3)));
    }
    const mask = addressSize === 64 ? -1n : (1n << BigInt(addressSize)) - 1n;
    const masked = m.let(and(sum, c64(mask)));
    const address =
      result === 'offset' ? masked : m.linearOf(m.sourceSegment(), masked, load(loadOp.i32_load, m.pc, U.target));
    m.storeField(storeOp.i64_store, S.regs + Slot.address * 8, address);
    m.goOn();
    m.unreachable();
    return this.add({ name: `address ${result} a${addressSize} ${bits ?? ''}`, body: m.finish(), traits: m.traits });
  }
}

function sizesOf(entry: DecodeEntry): Size[] {
  if (entry.sizeRule === 'v') return [16, 32, 64];
  if (entry.sizeRule === 'y') return [32, 64];
  return SIZES.filter((size) => size === entry.sizeRule);
}

function formsOf(encoding: Encoding): boolean[] {
  const wheres = encoding.operands.map((operand) => operand.where);
  if (wheres.some((where) => where === 'M' || where === 'O')) return [true];
  if (encoding.exact >= 0 || wheres.some((where) => 'RUNT'.includes(where))) return [false];
  return wheres.some((where) => 'EWQ'.includes(where)) ? [true, false] : [false, true];
}
