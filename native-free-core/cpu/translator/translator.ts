// Translates hot regions to WebAssembly and installs them in the interpreter's function table.
// Owns the choice of what to translate, the modules, and the table's slots.
// Never executes a region: the interpreter does, by a micro-op at its entry.

import { RAM_BASE } from '../../memory/layout.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { ValueType } from '../../wasm/opcodes.ts';
import type { Size } from '../builder/nodes.ts';
import type { Decoder } from '../decoder/decoder.ts';
import type { DecodedInstruction } from '../decoder/instruction.ts';
import { placeOf } from '../decoder/operand-places.ts';
import type { Encoding } from '../instructions/row.ts';
import type { BlockCache } from '../interpreter/blocks.ts';
import { type HandlerSet, operandShapes, variantIndex } from '../interpreter/handlers.ts';
import { implicitlyFlat } from '../interpreter/implicit-memory.ts';
import type { HandlerTraits } from '../interpreter/interpreter-meaning.ts';
import { SpecialHandler, U } from '../interpreter/micro-op.ts';
import { type InterpreterExports, REGION_SLOTS } from '../interpreter/module.ts';
import type { OperandShape } from '../semantics/meaning.ts';
import { codeSizeOf, S } from '../state.ts';
import type { SystemCpu } from '../system/core.ts';
import { GuestCode } from './guest-code.ts';
import { ImportedFunctions } from './imported-functions.ts';
import { type BasicBlock, discoverRegion, pageOf, type Region } from './region.ts';
import { emitStructured } from './structure.ts';
import { type Subject, TranslatorMeaning } from './translator-meaning.ts';

/** Values that S.mode can have. */
const MODES = 16;
const ALL_FLAGS = 'OSZAPC';
/** Letters of MMX operands in encodings. */
const MMX_OPERANDS: ReadonlySet<string> = new Set(['P', 'Q', 'N']);
/** Most bytes of one function's code: a region that needs more is left to the interpreter. */
export const FUNCTION_BYTES = 128 * 1024;
/** Bytes of translated code that can be installed at once; beyond, everything decoded is dropped. V8 needs a multiple. */
export const TRANSLATED_BYTES = 16 << 20;

/** What the translator asks of an encoding again and again. */
interface EncodingFacts {
  readonly places: Subject['places'];
  /** Operand shapes by log2 of the operand's bytes, register forms first, then memory forms; made when first needed. */
  readonly shapes: (readonly OperandShape[] | undefined)[];
  readonly written: number;
  readonly read: number;
  readonly conditional: boolean;
  /** Always ends its block, or leaves WebAssembly. */
  readonly leaves: boolean;
}

export class Translator {
  /** Regions translated since the vCPU exists, and the bytes of their code. */
  regions = 0;
  bytes = 0;
  /** Those that are installed. */
  liveRegions = 0;
  liveBytes = 0;
  /** The most of each that one region had since the vCPU exists; bytes are those of its module. */
  readonly largest = { blocks: 0, instructions: 0, bytes: 0 };
  private readonly system: SystemCpu;
  private readonly blocks: BlockCache;
  private readonly handlers: HandlerSet;
  private readonly decoder: Decoder;
  private readonly imports: WebAssembly.Imports;
  private readonly exports: InterpreterExports;
  private readonly memoryPages: number;
  /**
   * Entries of the function table by block, kept until everything is dropped: those of a block that is translated anew stay
   * the same, so that links to them hold.
   */
  private readonly slots = new Map<number, number>();
  private readonly slotBytes = new Uint32Array(REGION_SLOTS);
  private readonly facts = new Map<Encoding, EncodingFacts>();

  constructor(
    system: SystemCpu,
    blocks: BlockCache,
    handlers: HandlerSet,
    decoder: Decoder,
    memory: WebAssembly.Memory,
    memoryPages: number,
    exports: InterpreterExports,
  ) {
    this.system = system;
    this.blocks = blocks;
    this.handlers = handlers;
    this.decoder = decoder;
    this.memoryPages = memoryPages;
    this.exports = exports;
    this.imports = { env: { memory, ...(exports as unknown as Record<string, WebAssembly.ImportValue>) } };
    blocks.onFlush = () => this.drop();
    blocks.onTranslationLost = (slot) => this.release(slot);
  }

  /** Every region becomes unreachable; their code is the garbage collector's. */
  private drop(): void {
    for (const slot of this.slots.values()) this.exports.table.set(slot, null);
    this.slots.clear();
    this.liveRegions = 0;
    this.liveBytes = 0;
  }

  /** The same for one. It may be executing: its caller still holds it. Links to it look for what is there now. */
  private release(slot: number): void {
    this.exports.table.set(slot, this.exports.enter);
    this.liveRegions--;
    this.liveBytes -= this.slotBytes[slot - this.handlers.handlers.length];
  }

  private install(key: number, region: unknown, bytes: number): number {
    const first = this.handlers.handlers.length;
    const slot = this.slots.get(key) ?? first + this.slots.size;
    this.slots.set(key, slot);
    this.exports.table.set(slot, region);
    this.slotBytes[slot - first] = bytes;
    this.liveRegions++;
    this.liveBytes += bytes;
    this.regions++;
    this.bytes += bytes;
    return slot;
  }

  /** Translates the region that begins at the block of a profile micro-op, or marks the block as not worth it. */
  translate(pc: number): void {
    const { u16, u32 } = this.system;
    u16[pc >>> 1] = SpecialHandler.pass;
    if (this.slots.size >= REGION_SLOTS || this.liveBytes >= TRANSLATED_BYTES) {
      this.blocks.flushSoon();
      return;
    }
    const offset = u16[(pc + U.offset) >>> 1];
    const page = u32[(pc + U.target) >>> 2];
    const mode = u32[S.mode >>> 2];
    const key = (page - RAM_BASE + offset) * MODES + mode;
    const view = new GuestCode(this.system, this.blocks, page, mode);
    const region = discoverRegion(this.decoder, view, offset, codeSizeOf(mode));
    if (!region || !this.blocks.hasRoom(3 * region.instructionCount + 16)) return;
    const bytes = this.build(region, view, mode);
    if (!bytes) return;
    for (const [from, to] of region.ranges) {
      const inPage = from & 0xfff;
      if (!this.blocks.cover(pc, page, view.page(pageOf(from)), inPage, inPage + to - from)) return;
    }
    this.blocks.translated(page);
    const { largest } = this;
    largest.blocks = Math.max(largest.blocks, region.blocks.length);
    largest.instructions = Math.max(largest.instructions, region.instructionCount);
    largest.bytes = Math.max(largest.bytes, bytes.length);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), this.imports);
    u32[(pc + U.immediate) >>> 2] = this.install(key, instance.exports.region, bytes.length);
    u16[pc >>> 1] = SpecialHandler.translated;
  }

  private build(region: Region, view: GuestCode, mode: number): Uint8Array<ArrayBuffer> | undefined {
    const module = new ModuleBuilder();
    module.importMemory(1, this.memoryPages);
    module.functionTable(this.exports.table.length, true);
    const regionType = module.type([], ValueType.i32);
    const shared = new ImportedFunctions(module);
    let onward: (offset: number, size?: Size) => void = () => {};
    let expected: number | undefined;
    const none = (reaches: (encoding: Encoding) => boolean): boolean =>
      !region.blocks.some(({ instructions }) => instructions.some(({ encoding }) => reaches(encoding)));
    const locals = {
      vectorsInLocals: none(({ row }) => row.wholeVectorState === true),
      x87InLocals: none(reachesX87State),
    };
    const m = new TranslatorMeaning(shared, mode, regionType, locals, {
      onward: (offset, size) => onward(offset, size),
      linkSlot: (offset) => this.blocks.linkSlot(offset),
      expectedReturn: () => expected,
    });
    const guards = new Map<number, number>();
    const guardOf = (page: number): number => {
      const slot = guards.get(page) ?? this.blocks.guardSlot(view.physicalPage(page));
      guards.set(page, slot);
      return slot;
    };
    m.region(() =>
      emitStructured(m, region.blocks, {
        block: (block, go) => {
          const targets = new Map(block.successors.map((successor) => [successor.offset, successor]));
          onward = (offset, size) => {
            const to = targets.get(offset);
            const saved = onward;
            const page = pageOf(offset);
            if (!to) m.exitTo(offset, size);
            else if (page === 0 || page === pageOf(block.offset)) go(to);
            else m.guardPage(guardOf(page), offset, () => go(to));
            onward = saved;
          };
          expected = block.end.kind === 'return' && block.successors.length > 0 ? block.end.target : undefined;
          this.emitBlock(m, block, mode, (offset) => onward(offset));
        },
        backEdge: (to) => m.checkBudget(to.offset),
        irreducible: (to) => m.exitTo(to.offset),
      }),
    );
    if (m.byteLength > FUNCTION_BYTES) return undefined;
    const reference = module.declare('region', [], ValueType.i32, true);
    module.define(reference, m.finish());
    return module.build();
  }

  private emitBlock(m: TranslatorMeaning, block: BasicBlock, mode: number, onward: (offset: number) => void): void {
    const { instructions } = block;
    const traits = instructions.map((instruction) => this.traitsOf(instruction, mode));
    const facts = instructions.map(({ encoding }) => this.factsOf(encoding));
    const dead = deadFlags(instructions, facts, traits);
    m.beginBlock(instructions.length);
    let offset = block.offset;
    instructions.forEach((instruction, index) => {
      const at = offset;
      const subject: Subject = {
        instruction,
        offset: at,
        operands: shapesOf(facts[index], instruction),
        places: facts[index].places,
        traits: traits[index],
        remaining: instructions.length - index,
        flagsDead: dead[index],
        coldMicroOp: () => this.blocks.coldMicroOp(instruction, at - pageOf(at) * 0x1000),
      };
      m.become(subject);
      const { meaning } = instruction.encoding.row;
      if (meaning === 'cold') m.cold();
      else m.scope(() => meaning(m));
      offset += instruction.length;
    });
    if (block.end.kind === 'fall') onward(block.end.next);
    // Behind a jump this is never reached; other instructions that end a block go on at the next one.
    else if (block.end.kind === 'other') m.leaveTo(block.end.next);
  }

  private factsOf(encoding: Encoding): EncodingFacts {
    const known = this.facts.get(encoding);
    if (known) return known;
    const { row, attributes, operands } = encoding;
    const facts: EncodingFacts = {
      places: operands.map((operand) => placeOf(operand.where)),
      shapes: new Array(8),
      // Undefined flags are not added: some that manuals call undefined are in truth kept.
      written: flagBits(row.flags?.written ?? ''),
      read: flagBits(row.flags?.read ?? ''),
      conditional: row.flags?.conditional === true,
      leaves: row.meaning === 'cold' || attributes.has('end') || attributes.has('if'),
    };
    this.facts.set(encoding, facts);
    return facts;
  }

  /** What the interpreter's handler of the same instruction showed about it. */
  private traitsOf(instruction: DecodedInstruction, mode: number): HandlerTraits {
    const { handlers } = this.blocks.planOf(instruction.encoding);
    const { operandSize, isMemory, addressSize, rep } = instruction;
    const number = handlers[variantIndex(operandSize, isMemory, implicitlyFlat(instruction, mode), addressSize, rep)];
    return this.handlers.handlers[number].traits;
  }
}

/** Whether an instruction that is no x87 instruction reads or writes TOP or the tags where they lie in the state. */
function reachesX87State({ row, operands }: Encoding): boolean {
  return row.wholeX87State === true || operands.some(({ where }) => MMX_OPERANDS.has(where));
}

function shapesOf(facts: EncodingFacts, instruction: DecodedInstruction): readonly OperandShape[] {
  const { encoding, operandSize, isMemory } = instruction;
  const index = 31 - Math.clz32(operandSize >> 3) + (isMemory ? 4 : 0);
  facts.shapes[index] ??= operandShapes(encoding, operandSize, isMemory);
  return facts.shapes[index];
}

/** Flags as bits, in the order of ALL_FLAGS. */
function flagBits(letters: string): number {
  let bits = 0;
  for (const letter of letters) bits |= 1 << ALL_FLAGS.indexOf(letter);
  return bits;
}
const EVERY_FLAG = flagBits(ALL_FLAGS);

/** For each instruction of a block: whether all flags it sets are set again before anything can look at them. */
function deadFlags(
  instructions: readonly DecodedInstruction[],
  facts: readonly EncodingFacts[],
  traits: readonly HandlerTraits[],
): boolean[] {
  const dead: boolean[] = new Array(instructions.length);
  let live = EVERY_FLAG;
  for (let index = instructions.length - 1; index >= 0; index--) {
    const { written, read, conditional, leaves } = facts[index];
    dead[index] = written !== 0 && (written & live) === 0;
    if (leaves || traits[index].mayLeave) live = EVERY_FLAG;
    else {
      if (!conditional || countIsKnown(instructions[index])) live &= ~written;
      live |= read;
    }
  }
  return dead;
}

/** Whether a shift's or rotate's count is an immediate other than zero. */
function countIsKnown(instruction: DecodedInstruction): boolean {
  const { operands } = instruction.encoding;
  const count = operands[operands.length - 1];
  return count?.where === '1' || (count?.where === 'I' && (instruction.immediate & 31) !== 0);
}
