// Makes WebAssembly modules of the regions that requests ask for.
// Owns discovery and emission from request to module; executes in whichever thread translates.
// Never touches the function table or a block: the guest's thread installs what comes out.

import { ByteWriter } from '../../wasm/bytes.ts';
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.ts';
import { ValueType } from '../../wasm/opcodes.ts';
import type { Size } from '../builder/nodes.ts';
import type { Decoder } from '../decoder/decoder.ts';
import type { DecodedInstruction } from '../decoder/instruction.ts';
import { placeOf } from '../decoder/operand-places.ts';
import type { Encoding } from '../instructions/row.ts';
import { builtInterpreter, MEMORY_MAXIMUM_PAGES } from '../interpreter/built.ts';
import { type EncodingHandlers, type Handlers, variantIndex } from '../interpreter/handler-numbers.ts';
import { operandShapes } from '../interpreter/handlers.ts';
import { implicitlyFlat } from '../interpreter/implicit-memory.ts';
import type { HandlerTraits } from '../interpreter/interpreter-meaning.ts';
import { REGION_SLOTS } from '../interpreter/module.ts';
import type { OperandShape } from '../semantics/meaning.ts';
import { codeSizeOf } from '../state.ts';
import { type FoundWindows, foundOnBoth, nothingFound, stackWindow, windowsOf } from './found-memory.ts';
import { GuestCode } from './guest-code.ts';
import { ImportedFunctions } from './imported-functions.ts';
import { TranslationRecords } from './records.ts';
import { type BasicBlock, discoverRegion, pageOf, type Region } from './region.ts';
import { emitStructured } from './structure.ts';
import type { TranslatedBytes, Translation, TranslationReply, TranslationRequest } from './translation.ts';
import { type BehindCall, type Subject, TranslatorMeaning } from './translator-meaning.ts';

const PAGE = 0x1000;
const ALL_FLAGS = 'OSZAPC';
/** Letters of MMX operands in encodings. */
const MMX_OPERANDS: ReadonlySet<string> = new Set(['P', 'Q', 'N']);
/** Most bytes of one function's code: a region that needs more is left to the interpreter. */
export const FUNCTION_BYTES = 128 * 1024;
/** Regions of one module at most: together they lie closer than alone, and V8 has less to keep of each. */
export const MODULE_REGIONS = 16;

/** What the translator asks of an encoding again and again. */
interface EncodingFacts {
  /** The interpreter's handlers by variant. */
  readonly handlers: EncodingHandlers;
  readonly places: Subject['places'];
  /** Operand shapes by log2 of the operand's bytes, register forms first, then memory forms; made when first needed. */
  readonly shapes: (readonly OperandShape[] | undefined)[];
  readonly written: number;
  readonly read: number;
  readonly conditional: boolean;
  /** Always ends its block, or leaves WebAssembly. */
  readonly leaves: boolean;
}

interface Emitted {
  readonly body: FunctionBody;
  readonly cold: Translation['cold'];
}

export class RegionCompiler {
  private readonly decoder: Decoder;
  private readonly handlers: Handlers;
  private readonly records: TranslationRecords;
  private readonly view: GuestCode;
  private readonly facts = new Map<Encoding, EncodingFacts>();
  private generation = -1;

  /** `memory` is the guest's. */
  constructor(memory: WebAssembly.Memory) {
    const { interpreter, decoder } = builtInterpreter();
    this.decoder = decoder;
    this.handlers = interpreter.handlers;
    const u32 = new Uint32Array(memory.buffer);
    this.records = new TranslationRecords(u32);
    this.view = new GuestCode(new Uint8Array(memory.buffer), u32);
  }

  /** Takes note of what a request says beyond its own region; to be called in the order in which requests come. */
  note({ changing }: TranslationRequest): void {
    if (changing) this.view.setChanging(changing);
  }

  /** Translates one to {@link MODULE_REGIONS} requests of one generation into one module. */
  compile(requests: readonly TranslationRequest[]): TranslationReply {
    const module = new ModuleBuilder();
    module.importMemory(1, MEMORY_MAXIMUM_PAGES);
    module.functionTable(this.handlers.count + REGION_SLOTS, true);
    const regionType = module.type([], ValueType.i32);
    const shared = new ImportedFunctions(module);
    const bodies: FunctionBody[] = [];
    const translations: Translation[] = [];
    const rejected: number[] = [];
    let full = false;
    if (requests[0].generation !== this.generation) {
      this.generation = requests[0].generation;
      this.records.clear();
    }
    for (const request of requests) {
      this.view.open(request);
      // Where everything is translated at once, which is for tests, kernels are too.
      const behindCalls = request.user || request.everything;
      const region = discoverRegion(this.decoder, this.view, request.offset, codeSizeOf(request.mode), behindCalls);
      if (region && !this.records.hasRoom(3 * region.instructionCount + 16)) {
        full = true;
        break;
      }
      const emitted = region && this.emit(region, request.mode, shared, regionType);
      if (!region || !emitted) {
        rejected.push(request.pc);
        continue;
      }
      translations.push({
        pc: request.pc,
        mode: request.mode,
        name: `region${bodies.length}`,
        ranges: region.ranges.map(([from, to]) => this.translatedBytes(from, to)),
        cold: emitted.cold,
        blocks: region.blocks.length,
        instructions: region.instructionCount,
        codeBytes: emitted.body.code.length,
      });
      bodies.push(emitted.body);
    }
    bodies.forEach((body, index) => {
      module.define(module.declare(translations[index].name, [], ValueType.i32, true), body);
    });
    const bytes = bodies.length > 0 ? module.build() : undefined;
    return {
      module: bytes && new WebAssembly.Module(bytes),
      bytes: bytes?.length ?? 0,
      translations,
      rejected,
      full,
      generation: this.generation,
      requests: requests.length,
      besideNanoseconds: 0,
    };
  }

  private translatedBytes(from: number, to: number): TranslatedBytes {
    const page = pageOf(from);
    const offset = from - page * PAGE;
    const at = this.view.page(page) + offset;
    const bytes = this.view.bytes.slice(at, at + to - from);
    return { physicalPage: this.view.physicalPage(page), offset, bytes };
  }

  private emit(region: Region, mode: number, shared: ImportedFunctions, regionType: number): Emitted | undefined {
    const cold: { record: number; physicalPage: number; offset: number }[] = [];
    const coldMicroOp = (offset: number): number => {
      const record = this.records.coldMicroOp();
      const page = pageOf(offset);
      cold.push({ record, physicalPage: this.view.physicalPage(page), offset: offset - page * PAGE });
      return record;
    };
    let onward: (offset: number, size?: Size) => void = () => {};
    let expected: number | undefined;
    let behind: BehindCall | undefined;
    const none = (reaches: (encoding: Encoding) => boolean): boolean =>
      !region.blocks.some(({ instructions }) => instructions.some(({ encoding }) => reaches(encoding)));
    const windows = windowsOf(
      region.blocks.flatMap(({ instructions }) =>
        instructions.map((instruction) => ({ instruction, traits: this.traitsOf(instruction, mode) })),
      ),
    );
    const stack =
      codeSizeOf(mode) === 16 ? undefined : stackWindow(region.blocks.map(({ instructions }) => instructions));
    const locals = {
      windows: stack ? [...windows, stack] : windows,
      vectorsInLocals: none(({ row }) => row.wholeVectorState === true),
      x87InLocals: none(reachesX87State),
    };
    const m = new TranslatorMeaning(shared, mode, regionType, locals, {
      onward: (offset, size) => onward(offset, size),
      linkSlot: (offset) => this.records.linkSlot(offset),
      expectedReturn: () => expected,
      behindCall: () => behind,
    });
    /** What is known of windows where a block begins: on all ways to it so far. */
    const foundAt = new Map<BasicBlock, FoundWindows>();
    const guards = new Map<number, number>();
    const guardOf = (page: number): number => {
      const slot = guards.get(page) ?? this.records.guardSlot(this.view.physicalPage(page));
      guards.set(page, slot);
      return slot;
    };
    m.region(() =>
      emitStructured(m, region.blocks, {
        block: (block, go, isLoopHead) => {
          const targets = new Map(block.successors.map((successor) => [successor.offset, successor]));
          onward = (offset, size) => {
            const to = targets.get(offset);
            if (behind) m.callTo(offset, behind);
            else if (to) goOn(to);
            else m.exitTo(offset, size);
          };
          const goOn = (to: BasicBlock): void => {
            const saved = { onward, behind };
            const found = m.foundHere;
            const other = foundAt.get(to);
            foundAt.set(to, other ? foundOnBoth(other, found) : found);
            const page = pageOf(to.offset);
            if (page === 0 || page === pageOf(block.offset)) go(to);
            else m.guardPage(guardOf(page), to.offset, () => go(to));
            ({ onward, behind } = saved);
            m.goBackTo(found);
          };
          const [after] = block.successors;
          behind = block.end.kind === 'outside' && after ? { offset: after.offset, go: () => goOn(after) } : undefined;
          expected = block.end.kind === 'return' && block.successors.length > 0 ? block.end.target : undefined;
          // Ways back to a loop's head come from code that is not built yet.
          const found = (isLoopHead ? undefined : foundAt.get(block)) ?? nothingFound;
          this.emitBlock(m, block, mode, found, (offset) => onward(offset), coldMicroOp);
        },
        backEdge: (to) => m.checkBudget(to.offset),
        irreducible: (to) => m.exitTo(to.offset),
      }),
    );
    if (m.byteLength > FUNCTION_BYTES) return undefined;
    const finished = m.finish();
    // The writer that the body is in serves the next region too.
    const code = new ByteWriter(finished.code.length);
    code.append(finished.code);
    return { body: { ...finished, code }, cold };
  }

  private emitBlock(
    m: TranslatorMeaning,
    block: BasicBlock,
    mode: number,
    found: FoundWindows,
    onward: (offset: number) => void,
    coldMicroOp: (offset: number) => number,
  ): void {
    const { instructions } = block;
    const traits = instructions.map((instruction) => this.traitsOf(instruction, mode));
    const facts = instructions.map(({ encoding }) => this.factsOf(encoding));
    const dead = deadFlags(instructions, facts, traits);
    m.beginBlock(instructions.length, found);
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
        coldMicroOp: () => coldMicroOp(at),
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
      handlers: this.handlers.of(encoding),
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
    const { handlers } = this.factsOf(instruction.encoding);
    const { operandSize, isMemory, addressSize, rep } = instruction;
    const number = handlers[variantIndex(operandSize, isMemory, implicitlyFlat(instruction, mode), addressSize, rep)];
    return this.handlers.traits(number);
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
    // Repeated comparisons look at their own flags.
    dead[index] = written !== 0 && (written & live) === 0 && !isRepeated(instructions[index]);
    if (leaves || traits[index].mayLeave) live = EVERY_FLAG;
    else {
      if (!conditional || countIsKnown(instructions[index])) live &= ~written;
      live |= read;
    }
  }
  return dead;
}

function isRepeated({ rep, encoding }: DecodedInstruction): boolean {
  return rep !== 0 && encoding.attributes.has('rep');
}

/** Whether a shift's or rotate's count is an immediate other than zero. */
function countIsKnown(instruction: DecodedInstruction): boolean {
  const { operands } = instruction.encoding;
  const count = operands[operands.length - 1];
  return count?.where === '1' || (count?.where === 'I' && (instruction.immediate & 31) !== 0);
}
