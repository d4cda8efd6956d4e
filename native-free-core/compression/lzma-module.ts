// The LZMA decoder, the x86 branch filter and CRC-32 as one WebAssembly module, built from expressions.
// Owns the meaning of a compressed bit and of a packet (LZMA specification 23.00; the filter as .xz format 5.3.2 names it).
// Never checks containers: lzma.ts and xz.ts hand over chunks whose lengths are known to lie inside the memory.

import { FunctionBuilder, type Label } from '../cpu/builder/function.ts';
import {
  add,
  and,
  c32,
  eq,
  eqz,
  field,
  geU,
  gtU,
  leU,
  load,
  loadOp,
  ltU,
  mul,
  type Node,
  ne,
  or,
  select,
  shl,
  shrU,
  sub,
  xor,
} from '../cpu/builder/nodes.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { storeOp, ValueType } from '../wasm/opcodes.ts';
import { CRC_TABLES, Field, Length, LITERAL_BYTES, Probability } from './lzma-layout.ts';

const { i32 } = ValueType;
const { i32_load: load32, i32_load8_u: load8, i32_load16_u: load16 } = loadOp;
const { i32_store: store32, i32_store8: store8, i32_store16: store16 } = storeOp;
type Local = ReturnType<FunctionBuilder['local']>;

/** What `decode` answers. */
export const Decoded = {
  /** The output asked for is there (a packet more or less), or the chunk's end is reached. */
  more: 0,
  /** A distance before the dictionary's beginning, or a match beyond the chunk's end. */
  corrupt: 1,
  /** The end marker. */
  marker: 2,
  /** The input is used up. */
  truncated: 3,
} as const;

const TOP = 1 << 24;
const PROBABILITY_BITS = 11;
const MOVE_BITS = 5;
/** Distance slots from here on have their low bits without probabilities, but for the last four. */
const DIRECT_SLOTS = 14;

export interface LzmaExports {
  /** Decodes packets until the output has reached `until`, an address. */
  decode(until: number): number;
  /** CRC-32 of `bytes` bytes at `from`, continued from `crc`. */
  crc32(from: number, bytes: number, crc: number): number;
  /** Undoes the x86 branch filter on all of `bytes` bytes, whose first was at `position` of the stream. */
  x86(from: number, bytes: number, position: number): void;
}

/** The range decoder's registers as locals, and what is built with them. */
class RangeDecoder {
  private readonly f: FunctionBuilder;
  readonly range: Local;
  readonly code: Local;
  readonly input: Local;

  constructor(f: FunctionBuilder) {
    this.f = f;
    this.range = f.let(field(load32, Field.range));
    this.code = f.let(field(load32, Field.code));
    this.input = f.let(field(load32, Field.input));
  }

  save(): void {
    const { f } = this;
    f.storeField(store32, Field.range, this.range);
    f.storeField(store32, Field.code, this.code);
    f.storeField(store32, Field.input, this.input);
  }

  private normalize(): void {
    const { f, range, code, input } = this;
    f.if(
      ltU(range, c32(TOP)),
      () => {
        f.set(range, shl(range, c32(8)));
        f.set(code, or(shl(code, c32(8)), load(load8, input)));
        f.set(input, add(input, c32(1)));
      },
      undefined,
      false,
    );
  }

  /** One bit by the probability at `address` (+ `offset`). */
  bit(address: Node, offset: number, zero: () => void, one: () => void): void {
    const { f, range, code } = this;
    f.scope(() => {
      const at = address.kind === 'local' || address.kind === 'const' ? address : f.let(address);
      this.normalize();
      const probability = f.let(load(load16, at, offset));
      const bound = f.let(mul(shrU(range, c32(PROBABILITY_BITS)), probability));
      f.if(
        ltU(code, bound),
        () => {
          f.set(range, bound);
          const toOne = shrU(sub(c32(1 << PROBABILITY_BITS), probability), c32(MOVE_BITS));
          f.store(store16, at, add(probability, toOne), offset);
          zero();
        },
        () => {
          f.set(range, sub(range, bound));
          f.set(code, sub(code, bound));
          f.store(store16, at, sub(probability, shrU(probability, c32(MOVE_BITS))), offset);
          one();
        },
      );
    });
  }

  /** A bit appended to `symbol`, by the probability that the symbol so far names in a tree. */
  treeBit(tree: Node, offset: number, symbol: Local): void {
    const { f } = this;
    this.bit(
      add(tree, shl(symbol, c32(1))),
      offset,
      () => f.set(symbol, shl(symbol, c32(1))),
      () => f.set(symbol, or(shl(symbol, c32(1)), c32(1))),
    );
  }

  /** A symbol of `bits` bits from a tree, highest bit first. */
  tree(tree: Node, offset: number, bits: number): Local {
    const { f } = this;
    const base = f.let(tree);
    const symbol = f.let(c32(1));
    f.loop((again) => {
      this.treeBit(base, offset, symbol);
      f.brIf(again, ltU(symbol, c32(1 << bits)));
    });
    f.set(symbol, sub(symbol, c32(1 << bits)));
    return symbol;
  }

  /** Adds to `into` a symbol of `bits` bits (a local) from a tree, lowest bit first. */
  reverseTree(tree: Node, offset: number, bits: Node, into: Local): void {
    const { f } = this;
    const base = f.let(tree);
    const symbol = f.let(c32(1));
    const weight = f.let(c32(1));
    const end = f.let(shl(c32(1), bits));
    f.loop((again) => {
      this.bit(
        add(base, shl(symbol, c32(1))),
        offset,
        () => f.set(symbol, shl(symbol, c32(1))),
        () => {
          f.set(symbol, or(shl(symbol, c32(1)), c32(1)));
          f.set(into, add(into, weight));
        },
      );
      f.set(weight, shl(weight, c32(1)));
      f.brIf(again, ltU(weight, end));
    });
  }

  /** `count` (at least one) bits of equal chance, highest first. */
  direct(count: Node): Local {
    const { f, range, code } = this;
    const left = f.let(count);
    const value = f.let(c32(0));
    f.loop((again) => {
      this.normalize();
      f.set(range, shrU(range, c32(1)));
      f.if(
        geU(code, range),
        () => {
          f.set(code, sub(code, range));
          f.set(value, or(shl(value, c32(1)), c32(1)));
        },
        () => f.set(value, shl(value, c32(1))),
      );
      f.set(left, sub(left, c32(1)));
      f.brIf(again, left);
    });
    return value;
  }

  /** The length of a match, 2 to 273, by one of the two length coders. */
  matchLength(coder: number, positionState: Node, into: Local): void {
    const { f } = this;
    this.bit(
      c32(coder),
      Length.choice,
      () => f.set(into, add(this.tree(shl(positionState, c32(4)), coder + Length.low, 3), c32(2))),
      () =>
        this.bit(
          c32(coder),
          Length.choice2,
          () => f.set(into, add(this.tree(shl(positionState, c32(4)), coder + Length.middle, 3), c32(10))),
          () => f.set(into, add(this.tree(c32(coder), Length.high, 8), c32(18))),
        ),
    );
  }
}

function decodeFunction(): FunctionBuilder {
  const f = new FunctionBuilder([i32]);
  const until = f.parameter(0, i32);
  const ranges = new RangeDecoder(f);
  const state = f.let(field(load32, Field.state));
  const rep0 = f.let(field(load32, Field.rep0));
  const output = f.let(field(load32, Field.output));
  const dictionary = f.let(field(load32, Field.dictionary));
  const result = f.let(c32(Decoded.more));
  const length = f.local(i32);
  const reps = [Field.rep1, Field.rep2, Field.rep3];

  const end = (answer: number, leave: Label): void => {
    f.set(result, c32(answer));
    f.br(leave);
  };

  const literal = (again: Label): void => {
    f.scope(() => {
      const previous = f.let(c32(0));
      f.if(gtU(output, dictionary), () => f.set(previous, load(load8, sub(output, c32(1)))));
      const contextBits = f.let(field(load32, Field.literalContextBits));
      const position = and(sub(output, dictionary), field(load32, Field.literalPositionMask));
      const context = add(shl(position, contextBits), shrU(previous, sub(c32(8), contextBits)));
      const tree = f.let(add(mul(context, c32(LITERAL_BYTES)), c32(Probability.literal)));
      const symbol = f.let(c32(1));
      f.if(
        geU(state, c32(7)),
        () => {
          // Behind a match, the byte that a repetition of it would give chooses the tree, as long as the bits agree with it.
          const matched = f.let(shl(load(load8, sub(sub(output, rep0), c32(1))), c32(1)));
          const offset = f.let(c32(0x100));
          f.loop((more) => {
            const bit = f.let(and(matched, offset));
            f.set(matched, shl(matched, c32(1)));
            ranges.bit(
              add(tree, shl(add(add(offset, bit), symbol), c32(1))),
              0,
              () => {
                f.set(symbol, shl(symbol, c32(1)));
                f.set(offset, and(offset, xor(bit, c32(-1))));
              },
              () => {
                f.set(symbol, or(shl(symbol, c32(1)), c32(1)));
                f.set(offset, and(offset, bit));
              },
            );
            f.brIf(more, ltU(symbol, c32(0x100)));
          });
        },
        () => {
          for (let bit = 0; bit < 8; bit++) ranges.treeBit(tree, 0, symbol);
        },
      );
      f.store(store8, output, symbol);
      f.set(output, add(output, c32(1)));
      // 0 to 3: 0; 4 to 9: three less; 10 and 11: six less.
      const less = select(ltU(state, c32(10)), c32(3), c32(6));
      f.set(state, select(ltU(state, c32(4)), c32(0), sub(state, less)));
    });
    f.br(again);
  };

  const distance = (leave: Label): void => {
    const lengthState = f.let(select(ltU(length, c32(6)), sub(length, c32(2)), c32(3)));
    const slot = ranges.tree(shl(lengthState, c32(7)), Probability.distanceSlot, 6);
    f.if(
      ltU(slot, c32(4)),
      () => f.set(rep0, slot),
      () => {
        const bits = f.let(sub(shrU(slot, c32(1)), c32(1)));
        f.set(rep0, shl(or(and(slot, c32(1)), c32(2)), bits));
        f.if(
          ltU(slot, c32(DIRECT_SLOTS)),
          // The tree of a slot begins where the distances of the slot would be, less the slot.
          () => ranges.reverseTree(shl(sub(rep0, slot), c32(1)), Probability.distanceSpecial, bits, rep0),
          () => {
            const high = ranges.direct(sub(bits, c32(4)));
            f.set(rep0, add(rep0, shl(high, c32(4))));
            ranges.reverseTree(c32(Probability.distanceAlign), 0, c32(4), rep0);
            f.if(eq(rep0, c32(-1)), () => end(Decoded.marker, leave), undefined, false);
          },
        );
      },
    );
  };

  const rotate = (count: number): void => {
    for (let index = count; index > 0; index--) f.storeField(store32, reps[index], field(load32, reps[index - 1]));
    f.storeField(store32, reps[0], rep0);
  };

  /** Takes the distance used `index` distances ago to the front. */
  const recall = (index: number): void => {
    const recalled = f.let(field(load32, reps[index]));
    rotate(index);
    f.set(rep0, recalled);
  };

  const repeated = (positionState: Node, again: Label, leave: Label): void => {
    f.if(eq(output, dictionary), () => end(Decoded.corrupt, leave), undefined, false);
    ranges.bit(
      shl(state, c32(1)),
      Probability.isRepG0,
      () =>
        ranges.bit(
          shl(add(shl(state, c32(4)), positionState), c32(1)),
          Probability.isRep0Long,
          () => {
            // One byte at the last distance.
            f.if(geU(rep0, sub(output, dictionary)), () => end(Decoded.corrupt, leave), undefined, false);
            f.store(store8, output, load(load8, sub(sub(output, rep0), c32(1))));
            f.set(output, add(output, c32(1)));
            f.set(state, select(ltU(state, c32(7)), c32(9), c32(11)));
            f.br(again);
          },
          () => {},
        ),
      () =>
        ranges.bit(
          shl(state, c32(1)),
          Probability.isRepG1,
          () => recall(0),
          () =>
            ranges.bit(
              shl(state, c32(1)),
              Probability.isRepG2,
              () => recall(1),
              () => recall(2),
            ),
        ),
    );
    ranges.matchLength(Probability.repeatLength, positionState, length);
    f.set(state, select(ltU(state, c32(7)), c32(8), c32(11)));
  };

  /** Copies the match, which may overlap what it makes. */
  const copy = (leave: Label): void => {
    const bad = or(geU(rep0, sub(output, dictionary)), gtU(length, sub(field(load32, Field.outputEnd), output)));
    f.if(bad, () => end(Decoded.corrupt, leave), undefined, false);
    const from = f.let(sub(sub(output, rep0), c32(1)));
    f.if(
      geU(rep0, sub(length, c32(1))),
      () => {
        f.memoryCopy(output, from, length);
        f.set(output, add(output, length));
      },
      () => {
        const stop = f.let(add(output, length));
        f.loop((more) => {
          f.store(store8, output, load(load8, from));
          f.set(output, add(output, c32(1)));
          f.set(from, add(from, c32(1)));
          f.brIf(more, ltU(output, stop));
        });
      },
    );
  };

  f.block((leave) => {
    f.loop((again) => {
      f.brIf(leave, geU(output, until));
      f.if(gtU(ranges.input, field(load32, Field.inputEnd)), () => end(Decoded.truncated, leave), undefined, false);
      const positionState = f.let(and(sub(output, dictionary), field(load32, Field.positionMask)));
      ranges.bit(
        shl(add(shl(state, c32(4)), positionState), c32(1)),
        Probability.isMatch,
        () => literal(again),
        () => {},
      );
      ranges.bit(
        shl(state, c32(1)),
        Probability.isRep,
        () => {
          rotate(2);
          ranges.matchLength(Probability.matchLength, positionState, length);
          f.set(state, select(ltU(state, c32(7)), c32(7), c32(10)));
          distance(leave);
        },
        () => repeated(positionState, again, leave),
      );
      copy(leave);
      f.br(again);
    });
  });
  ranges.save();
  f.storeField(store32, Field.state, state);
  f.storeField(store32, Field.rep0, rep0);
  f.storeField(store32, Field.output, output);
  f.return(result);
  return f;
}

/** Eight bytes at a time, by the tables at CRC_TABLES ("slicing by 8": M. Kounavis, F. Berry, 2005). */
function crcFunction(): FunctionBuilder {
  const f = new FunctionBuilder([i32, i32, i32]);
  const [from, bytes, start] = [0, 1, 2].map((index) => f.parameter(index, i32)) as [Local, Local, Local];
  const crc = f.let(xor(start, c32(-1)));
  const table = (slice: number, index: Node): Node => load(load32, shl(index, c32(2)), CRC_TABLES + slice * 1024);
  const byteOf = (value: Node, index: number): Node => and(shrU(value, c32(8 * index)), c32(0xff));
  f.block((done) => {
    f.loop((again) => {
      f.brIf(done, ltU(bytes, c32(8)));
      const low = f.let(xor(crc, load(load32, from)));
      const high = f.let(load(load32, from, 4));
      let sum = table(7, byteOf(low, 0));
      for (let index = 1; index < 8; index++)
        sum = xor(sum, table(7 - index, byteOf(index < 4 ? low : high, index & 3)));
      f.set(crc, sum);
      f.set(from, add(from, c32(8)));
      f.set(bytes, sub(bytes, c32(8)));
      f.br(again);
    });
  });
  f.block((done) => {
    f.loop((again) => {
      f.brIf(done, eqz(bytes));
      f.set(crc, xor(table(0, and(xor(crc, load(load8, from)), c32(0xff))), shrU(crc, c32(8))));
      f.set(from, add(from, c32(1)));
      f.set(bytes, sub(bytes, c32(1)));
      f.br(again);
    });
  });
  f.return(xor(crc, c32(-1)));
  return f;
}

/**
 * The filter made relative targets of CALL and JMP absolute where the operand's highest byte is 00h or FFh, unless an opcode
 * byte shortly before makes it likely that this one is an operand's. `recent` remembers those: bit n for n + 1 bytes ago.
 */
function x86Function(): FunctionBuilder {
  const f = new FunctionBuilder([i32, i32, i32]);
  const [from, bytes, position] = [0, 1, 2].map((index) => f.parameter(index, i32)) as [Local, Local, Local];
  const isSign = (byte: Node): Node => ltU(and(add(byte, c32(1)), c32(0xff)), c32(2));
  const at = f.let(from);
  const last = f.let(sub(add(from, bytes), c32(4)));
  /** Address behind the last opcode byte that counts. */
  const previous = f.let(sub(from, c32(1)));
  const recent = f.let(c32(0));
  f.if(leU(bytes, c32(4)), () => f.return());
  f.block((done) => {
    f.loop((again) => {
      f.brIf(done, geU(at, last));
      const here = f.let(at);
      f.set(at, add(at, c32(1)));
      f.brIf(again, ne(and(load(load8, here), c32(0xfe)), c32(0xe8)), true);
      const passed = f.let(sub(here, previous));
      f.set(previous, here);
      f.set(recent, select(gtU(passed, c32(3)), c32(0), and(shl(recent, sub(passed, c32(1))), c32(7))));
      /** How many bytes of the operand belong to the opcode byte that came before, by `recent`. */
      const shared = f.let(select(leU(recent, c32(2)), recent, c32(3)));
      const remember = (): void => f.set(recent, or(shl(recent, c32(1)), c32(1)));
      f.if(recent, () => {
        const allowed = or(leU(recent, c32(2)), eq(recent, c32(4)));
        const bad = or(eqz(allowed), isSign(load(load8, sub(add(here, c32(4)), shared))));
        f.if(bad, () => {
          remember();
          f.br(again);
        });
      });
      f.if(
        isSign(load(load8, here, 4)),
        () => {
          const source = f.let(load(load32, here, 1));
          const base = f.let(add(add(sub(here, from), position), c32(5)));
          const target = f.let(sub(source, base));
          f.if(recent, () => {
            f.block((found) => {
              f.loop((more) => {
                const bits = shl(shared, c32(3));
                f.brIf(found, eqz(isSign(shrU(target, sub(c32(24), bits)))));
                f.set(source, xor(target, sub(shl(c32(1), sub(c32(32), bits)), c32(1))));
                f.set(target, sub(source, base));
                f.br(more);
              });
            });
          });
          const kept = and(target, c32(0x01ffffff));
          f.store(store32, here, or(kept, sub(c32(0), and(target, c32(0x01000000)))), 1);
          f.set(at, add(here, c32(5)));
        },
        remember,
      );
      f.br(again);
    });
  });
  return f;
}

let compiled: WebAssembly.Module | undefined;

/** Most pages of 64 KiB that the module's memory may have: what `importMemory` of the instance must be made with. */
export const LZMA_PAGES_MAX = 65536;

/** The module, built at the first use. */
export function lzmaModule(): WebAssembly.Module {
  if (compiled) return compiled;
  const module = new ModuleBuilder();
  module.importMemory(1, LZMA_PAGES_MAX);
  const functions = [
    [module.declare('decode', [i32], i32, true), decodeFunction()],
    [module.declare('crc32', [i32, i32, i32], i32, true), crcFunction()],
    [module.declare('x86', [i32, i32, i32], undefined, true), x86Function()],
  ] as const;
  for (const [reference, builder] of functions) module.define(reference, builder.finish());
  compiled = new WebAssembly.Module(module.build());
  return compiled;
}
