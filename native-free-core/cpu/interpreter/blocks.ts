// Blocks of decoded code: micro-ops by physical address, found, made and dropped.
// Owns the block table and the micro-op arena.
// Never executes a micro-op, and never asks what one means.

import {
  BLOCK_TABLE_BASE,
  BLOCK_TABLE_ENTRIES,
  BLOCK_TABLE_ENTRY_BYTES,
  JUMP_CACHE_BASE,
  JUMP_CACHE_ENTRIES,
  JUMP_CACHE_ENTRY_BYTES,
  MICRO_OP_BASE,
  MICRO_OP_LIMIT,
} from '../../memory/layout.ts';
import { DecodeResult, type Decoder } from '../decoder/decoder.ts';
import { BASE_RIP, DecodedInstruction } from '../decoder/instruction.ts';
import { numberAt, type Place, placeOf } from '../decoder/operand-places.ts';
import type { Encoding } from '../instructions/row.ts';
import { codeSizeOf, Exit, ModeBit, S, Seg, Slot } from '../state.ts';
import type { SystemCpu } from '../system/core.ts';
import { FETCH_DEVICE, FETCH_FAULT } from '../system/paging.ts';
import { type CodeBlock, CodePages } from './code-pages.ts';
import { type EncodingHandlers, type Handlers, variantIndex } from './handler-numbers.ts';
import { implicitlyFlat } from './implicit-memory.ts';
import { MICRO_OP_BYTES, SpecialHandler, U } from './micro-op.ts';
import { blockHash, blockKeyHigh, blockKeyLow } from './module.ts';

/** Instructions of a block at most; its ordinals fit a byte and interrupts wait for no longer than this. */
export const BLOCK_INSTRUCTIONS = 64;
/** Micro-ops that a block can have: two checks and an address before each instruction, a check of the page and an end. */
const BLOCK_MICRO_OPS = 4 * BLOCK_INSTRUCTIONS + 2;
/** Blocks that are not kept (single steps, code near a limit or in device memory) are decoded here. */
const SCRATCH_BASE = MICRO_OP_LIMIT - BLOCK_MICRO_OPS * MICRO_OP_BYTES;
/** Of a profile micro-op, i32: how often it has counted down. Behind its count, in the immediate's upper half. */
const PROFILE_ROUNDS = U.immediate + 4;
/** Decoded instructions that TypeScript carries out, kept until everything is dropped. */
const COLD_LIMIT = 1 << 18;
const PAGE = 0x1000;
const LONGEST_INSTRUCTION = 15;

/** What an encoding's micro-ops need, worked out once. */
export interface Plan {
  readonly handlers: EncodingHandlers;
  readonly places: readonly (Place | undefined)[];
  /** The operand is a general register (byte offsets), of a byte if `byte`. */
  readonly general: readonly boolean[];
  readonly byte: readonly boolean[];
  readonly mmx: readonly boolean[];
  readonly relative: boolean;
  readonly hasImmediate: boolean;
  readonly ends: boolean;
  readonly cold: boolean;
  /** Bytes of the memory operand by its width letter; 0 where the operand size says. */
  readonly memoryBytes: number;
}

const MEMORY_BYTES: Record<string, number> = { b: 1, w: 2, d: 4, q: 8, o: 16 };

export class BlockCache {
  /** Instructions that micro-ops of the cold handler stand for, by the micro-op's immediate. */
  readonly coldInstructions: DecodedInstruction[] = [];
  /** Blocks decoded, and blocks dropped because their bytes changed, since the vCPU exists. */
  decoded = 0;
  invalidated = 0;
  /** How often everything was dropped: the arena or the translated code had reached its bound, or the vCPU was reset. */
  flushes = 0;

  private readonly system: SystemCpu;
  private readonly handlers: Handlers;
  private readonly decoder: Decoder;
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly u32: Uint32Array;
  private readonly instruction = new DecodedInstruction();
  private readonly plans = new Map<Encoding, Plan>();
  private readonly pages: CodePages;
  /** Every block that is kept, by its key: also those whose place in the table another one has taken. */
  private readonly known = new Map<number, number>();
  private readonly crossing = new Uint8Array(32);
  private readonly fetched = new Uint8Array(LONGEST_INSTRUCTION);
  /** By handler: its micro-ops hold a link to another block. */
  private readonly linking: Uint8Array;
  private top = MICRO_OP_BASE;
  private flushDue = false;
  /** Entries after which a block counts as hot; 0: blocks are not counted. */
  hotness = 0;
  /** Instructions executed so far: by them, pages that were once changed are forgiven. */
  executed: () => number = () => 0;
  /** Called when everything decoded is dropped. */
  onFlush: () => void = () => {};
  /** Called when a block goes that was translated, with its entry of the function table. */
  onTranslationLost: (slot: number) => void = () => {};

  constructor(system: SystemCpu, handlers: Handlers, decoder: Decoder) {
    this.system = system;
    this.handlers = handlers;
    this.decoder = decoder;
    this.u8 = system.u8;
    this.u16 = system.u16;
    this.u32 = system.u32;
    this.pages = new CodePages(system.u32, () => this.executed());
    this.linking = new Uint8Array(handlers.count);
    this.linking[SpecialHandler.next] = 1;
  }

  /** The block at S.ip, decoding it if needed; 0 with a fault in the state when the code cannot be fetched. */
  find(): number {
    return this.locate(BLOCK_INSTRUCTIONS, true);
  }

  /** A block of the one instruction at S.ip, for single steps. Overwritten by the next such call. */
  single(): number {
    return this.locate(1, false);
  }

  /** Drops everything when the next block is looked for: now, micro-ops are being executed. */
  flushSoon(): void {
    this.flushDue = true;
  }

  /** Drops everything. Micro-op addresses from before are void. */
  flush(): void {
    this.onFlush();
    this.flushes++;
    this.flushDue = false;
    this.top = MICRO_OP_BASE;
    this.coldInstructions.length = 0;
    this.u8.fill(0, BLOCK_TABLE_BASE, BLOCK_TABLE_BASE + BLOCK_TABLE_ENTRIES * BLOCK_TABLE_ENTRY_BYTES);
    this.u8.fill(0, JUMP_CACHE_BASE, JUMP_CACHE_BASE + JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_BYTES);
    this.pages.clear();
    this.known.clear();
    this.u32[S.blockGeneration >>> 2]++;
  }

  /** Bytes of a page, by host address, have changed: blocks that were made from any of them go stale, also the running one. */
  invalidate(host: number, bytes: number): void {
    this.drop(host, this.pages.take(host, bytes));
  }

  /** Whether any of `bytes` at a host address, all in one page, is decoded code. */
  holdsCode(host: number, bytes: number): boolean {
    return this.pages.holds(host, bytes);
  }

  /**
   * The page behind a page-crossing instruction was not found as its block expects it. Brings the page into the TLB; when
   * it is another one now, the block is dropped. 0: look S.ip up anew; 1: there is a fault in the state.
   */
  recheckNextPage(pc: number): 0 | 1 {
    const { system, u32 } = this;
    const base = system.get64(S.regs + Slot.codeBase * 8) + 0x1000n;
    const linear = system.code64 ? BigInt.asUintN(64, base) : BigInt.asUintN(32, base + system.base(Seg.cs));
    const host = system.mmu.fetch(Number(linear & 0xffffffffn), Number(linear >> 32n));
    if (host === FETCH_FAULT) return 1;
    const page = Math.floor(system.mmu.fetchPhysical / PAGE);
    if (host === FETCH_DEVICE || page !== u32[(pc + U.immediate) >>> 2]) {
      const expected = system.physical.readAddress(u32[(pc + U.immediate) >>> 2] * PAGE);
      this.drop(expected, this.pages.takeBlockOf(expected, pc));
    }
    return 0;
  }

  /** Makes blocks stale that {@link CodePages} has forgotten. */
  private drop(host: number, blocks: readonly CodeBlock[]): void {
    if (blocks.length === 0) return;
    const { u16, u32 } = this;
    let lost = false;
    for (const { start, end, entry } of blocks) {
      if (u16[start >>> 1] === SpecialHandler.translated) {
        this.onTranslationLost(u32[(start + U.immediate) >>> 2]);
        lost = true;
      }
      for (let at = start; at < end; at += MICRO_OP_BYTES) {
        // What a block ends with holds whatever its instructions were: it goes on behind the last that was executed.
        if (u16[at >>> 1] !== SpecialHandler.next) u16[at >>> 1] = SpecialHandler.stale;
      }
      const word = (BLOCK_TABLE_BASE + entry * BLOCK_TABLE_ENTRY_BYTES) >>> 2;
      if (u32[word + 2] === start) u32.fill(0, word, word + 3);
    }
    // Once a write, however many translations it hit: a patched function may be part of many.
    if (lost) this.pages.lostTranslation(host);
    this.invalidated += blocks.length;
    for (const block of this.pages.blocksOf(host)) this.unlink(block);
  }

  /** Links lead to blocks of the same page. Those to stale ones are looked up anew, instead of by way of TypeScript. */
  private unlink({ start, end }: CodeBlock): void {
    const { u16, u32, linking } = this;
    for (let at = start; at < end; at += MICRO_OP_BYTES) {
      if (linking[u16[at >>> 1]] === 0) continue;
      const link = (at + U.link) >>> 2;
      if (u16[u32[link] >>> 1] === SpecialHandler.stale) u32[link] = 0;
    }
  }

  // ---- finding

  private locate(instructions: number, keep: boolean): number {
    const { system, u32 } = this;
    const mode = u32[S.mode >>> 2];
    const code64 = (mode & ModeBit.codeMask) === ModeBit.code64;
    const ipLow = u32[S.ip >>> 2];
    const ipHigh = u32[(S.ip >>> 2) + 1];
    const low = code64 ? ipLow : (ipLow + u32[(S.segBase + Seg.cs * 8) >>> 2]) >>> 0;
    const high = code64 ? ipHigh : 0;
    const offset = low & (PAGE - 1);
    let limit = PAGE;
    if (!code64) {
      const beyond = u32[(S.segLimit + Seg.cs * 4) >>> 2] + 1 - ipLow;
      if (beyond <= 0) return this.fault(13, 0);
      limit = Math.min(PAGE, offset + beyond);
    }
    const host = system.mmu.fetch(low, high);
    if (host === FETCH_FAULT) return this.leaveFault();
    this.setCodeBase(ipLow, ipHigh, offset);
    if (host === FETCH_DEVICE) return this.fromDevice(low, high, limit, mode);
    const physicalPage = Math.floor(system.mmu.fetchPhysical / PAGE);
    const entry = blockHash(physicalPage, offset);
    if (!keep || limit < PAGE)
      return this.decode((host & ~(PAGE - 1)) >>> 0, offset, limit, mode, instructions, -1, low, high);
    const word = (BLOCK_TABLE_BASE + entry * BLOCK_TABLE_ENTRY_BYTES) >>> 2;
    const keyLow = blockKeyLow(physicalPage, offset, mode);
    const keyHigh = blockKeyHigh(physicalPage);
    if (u32[word + 2] !== 0 && u32[word] === keyLow && u32[word + 1] === keyHigh) return u32[word + 2];
    // Blocks whose places in the table collide take turns in it; none is decoded twice for that.
    const key = keyHigh * 2 ** 32 + keyLow;
    const known = this.known.get(key);
    if (known !== undefined && this.u16[known >>> 1] !== SpecialHandler.stale) {
      u32[word] = keyLow;
      u32[word + 1] = keyHigh;
      u32[word + 2] = known;
      return known;
    }
    if (
      this.flushDue ||
      this.top + BLOCK_MICRO_OPS * MICRO_OP_BYTES > SCRATCH_BASE ||
      this.coldInstructions.length > COLD_LIMIT
    ) {
      this.flush();
    }
    const start = this.decode((host & ~(PAGE - 1)) >>> 0, offset, limit, mode, instructions, entry, low, high);
    if (start !== 0 && start < SCRATCH_BASE) {
      u32[word] = keyLow;
      u32[word + 1] = keyHigh;
      u32[word + 2] = start;
      this.known.set(key, start);
    }
    return start;
  }

  // ---- what translated regions keep here

  /** Takes over a record of the cold handler that a translation made for an instruction at an offset of its page. */
  adoptCold(record: number, instruction: DecodedInstruction, offset: number): void {
    this.special(SpecialHandler.cold, record, offset, 1, offset + instruction.length);
    this.u32[(record + U.immediate) >>> 2] = this.coldInstructions.length;
    this.coldInstructions.push(instruction);
  }

  /** Begins counting a block's entries anew, by its profile micro-op. */
  rearm(pc: number): void {
    this.u32[(pc + U.immediate) >>> 2] = this.hotness;
  }

  /**
   * Whether a block whose profile has counted down is to be translated now. Code that changes again and again is left to
   * the interpreter for longer each time: the profile starts over until it has done so often enough.
   */
  isRipe(pc: number): boolean {
    const { u32 } = this;
    const rounds = ++u32[(pc + PROFILE_ROUNDS) >>> 2];
    if (rounds >= 2 ** this.pages.backOff(u32[(pc + U.target) >>> 2])) return true;
    this.rearm(pc);
    return false;
  }

  /** Grows whenever {@link changing} gets or loses a page. */
  get changes(): number {
    return this.pages.changes;
  }

  /** Pages, by physical number, whose translations have lately been lost to writes. */
  get changing(): readonly number[] {
    const { physical } = this.system;
    return this.pages.changing.map((host) => Math.floor(physical.physicalAddress(host) / PAGE)).filter((n) => n >= 0);
  }

  /**
   * Notes that the translation of a block, by its profile micro-op, is made from bytes [from, to) of pages (host addresses):
   * a write to any of them drops the block. False where it has been dropped before, and the translation is not to be used.
   */
  cover(pc: number, pieces: readonly { page: number; from: number; to: number }[]): boolean {
    const entryPage = this.u32[(pc + U.target) >>> 2];
    const block = this.pages.blockAt(entryPage, pc);
    if (!block) return false;
    for (const { page, from, to } of pieces) this.register(page, from, to, block);
    this.pages.madeTranslation(entryPage);
    return true;
  }

  private setCodeBase(ipLow: number, ipHigh: number, offset: number): void {
    const word = (S.regs + Slot.codeBase * 8) >>> 2;
    this.u32[word] = ipLow - offset;
    this.u32[word + 1] = ipLow < offset ? ipHigh - 1 : ipHigh;
  }

  private fault(vector: number, code: number): 0 {
    this.system.raise(vector, code);
    return this.leaveFault();
  }

  /** The fault belongs to the fetch: no micro-op, S.ip is where it happened. */
  private leaveFault(): 0 {
    this.u32[S.exit >>> 2] = Exit.fault;
    this.u32[S.exitPc >>> 2] = 0;
    return 0;
  }

  // ---- decoding

  /**
   * Decodes from `offset` of the page at host address `page` on. `entry` is the block table's entry, or -1 for a block
   * that is not kept. `linearLow/High` is the first instruction's linear address.
   */
  private decode(
    page: number,
    offset: number,
    limit: number,
    mode: number,
    instructions: number,
    entry: number,
    linearLow: number,
    linearHigh: number,
  ): number {
    const kept = entry >= 0;
    const start = kept ? this.top : SCRATCH_BASE;
    if (!kept) this.u32[S.blockGeneration >>> 2]++;
    const codeSize = codeSizeOf(mode);
    let at = start;
    let here = offset;
    let ordinal = 0;
    let open = true;
    let nextPage = -1;
    let undefinedTo = 0;
    const instruction = this.instruction;
    if (kept && this.hotness > 0) {
      at = this.special(SpecialHandler.profile, at, offset, 0, offset);
      this.u32[(start + U.target) >>> 2] = page;
      this.rearm(start);
    }
    while (open && ordinal < instructions && here < limit) {
      let result = this.decoder.decode(this.u8, page + here, page + limit, codeSize, instruction);
      if (result === DecodeResult.truncated) {
        if (ordinal > 0) break;
        if (limit < PAGE) return this.fault(13, 0);
        nextPage = this.nextPage(page, here, linearLow, linearHigh);
        if (nextPage < 0)
          return nextPage === FETCH_FAULT ? this.leaveFault() : this.fromDevice(linearLow, linearHigh, limit, mode);
        result = this.decoder.decode(this.crossing, 0, PAGE - here + 15, codeSize, instruction);
        at = this.special(SpecialHandler.checkNextPage, at, here, ordinal + 1, here);
        this.u32[(at - MICRO_OP_BYTES + U.immediate) >>> 2] = Math.floor(this.system.mmu.fetchPhysical / PAGE);
      }
      ordinal++;
      if (result === DecodeResult.decoded) {
        const plan = this.planOf(instruction.encoding);
        at = this.emit(plan, at, here, ordinal, mode);
        open = !plan.ends && nextPage < 0;
        if (plan.ends) {
          here += instruction.length;
          break;
        }
        here += instruction.length;
      } else {
        const handler = result === DecodeResult.tooLong ? SpecialHandler.tooLong : SpecialHandler.undefined;
        at = this.special(handler, at, here, ordinal, here);
        open = false;
        // Whichever of its bytes it was that meant nothing: one of them may become another.
        undefinedTo = here + LONGEST_INSTRUCTION;
        break;
      }
    }
    // Whatever does not end by itself goes on behind its last instruction; harmless behind one that does.
    if (undefinedTo === 0) {
      const handler = kept || instructions > 1 ? SpecialHandler.next : SpecialHandler.stop;
      at = this.special(handler, at, here, ordinal, here);
    }
    this.decoded++;
    if (kept) {
      this.top = at;
      const block: CodeBlock = { start, end: at, entry, dropped: false };
      const last = undefinedTo || here;
      this.register(page, offset, Math.min(last, PAGE), block);
      if (nextPage >= 0) this.register(nextPage, 0, Math.max(1, last - PAGE), block);
    }
    return start;
  }

  /** Host address of the page behind, with the instruction's bytes of both put together; FETCH_FAULT or FETCH_DEVICE. */
  private nextPage(page: number, here: number, linearLow: number, linearHigh: number): number {
    const inFirst = PAGE - here;
    const low = (linearLow + inFirst) >>> 0;
    const high = low < linearLow ? (linearHigh + 1) >>> 0 : linearHigh;
    const host = this.system.mmu.fetch(low, high);
    if (host < 0) return host;
    this.crossing.set(this.u8.subarray(page + here, page + PAGE), 0);
    this.crossing.set(this.u8.subarray(host, host + 15), inFirst);
    return host;
  }

  /** One instruction of which some byte lies in device memory: they are fetched one by one. */
  private fromDevice(low: number, high: number, limit: number, mode: number): number {
    const { system, fetched } = this;
    const offset = low & (PAGE - 1);
    const codeSize = codeSizeOf(mode);
    const gather = (linearLow: number, linearHigh: number, from: number, to: number): boolean => {
      if (system.mmu.fetch(linearLow, linearHigh) === FETCH_FAULT) return false;
      const physical = system.mmu.fetchPhysical;
      for (let i = from; i < to; i++) {
        system.physical.readInto(physical + i - from, 1, S.scratch);
        fetched[i] = this.u8[S.scratch];
      }
      return true;
    };
    const inPage = Math.min(LONGEST_INSTRUCTION, limit - offset);
    if (!gather(low, high, 0, inPage)) return this.leaveFault();
    let result = this.decoder.decode(fetched, 0, inPage, codeSize, this.instruction);
    if (result === DecodeResult.truncated && inPage < LONGEST_INSTRUCTION) {
      if (limit < PAGE) return this.fault(13, 0);
      const next = (low + inPage) >>> 0;
      if (!gather(next, next < low ? (high + 1) >>> 0 : high, inPage, LONGEST_INSTRUCTION)) return this.leaveFault();
      result = this.decoder.decode(fetched, 0, LONGEST_INSTRUCTION, codeSize, this.instruction);
    }
    this.u32[S.blockGeneration >>> 2]++;
    if (result !== DecodeResult.decoded) {
      this.special(
        result === DecodeResult.undefined ? SpecialHandler.undefined : SpecialHandler.tooLong,
        SCRATCH_BASE,
        offset,
        1,
        offset,
      );
      return SCRATCH_BASE;
    }
    const at = this.emit(this.planOf(this.instruction.encoding), SCRATCH_BASE, offset, 1, mode);
    const next = offset + this.instruction.length;
    this.special(SpecialHandler.next, at, next, 1, next);
    return SCRATCH_BASE;
  }

  /** Notes that bytes `from` to `to` of a page of RAM have been decoded. */
  private register(page: number, from: number, to: number, block: CodeBlock): void {
    if (!this.system.physical.pageHoldsCode(page)) this.system.mmu.protectCode(page);
    this.pages.cover(page, from, to, block);
  }

  planOf(encoding: Encoding): Plan {
    const known = this.plans.get(encoding);
    if (known) return known;
    const codes = encoding.operands;
    const memory = codes.find((code) => 'EMWQO'.includes(code.where));
    const plan: Plan = {
      handlers: this.handlers.of(encoding),
      places: codes.map((code) => placeOf(code.where)),
      general: codes.map((code) => 'ERZGB'.includes(code.where)),
      byte: codes.map((code) => code.width === 'b'),
      mmx: codes.map((code) => 'PQN'.includes(code.where)),
      relative: codes.some((code) => code.where === 'J'),
      hasImmediate: codes.some((code) => code.where === 'I'),
      ends: encoding.attributes.has('end') || encoding.row.meaning === 'cold',
      cold: encoding.row.meaning === 'cold',
      memoryBytes: memory ? (MEMORY_BYTES[memory.width] ?? 0) : 0,
    };
    if (plan.relative && !plan.cold) for (const handler of plan.handlers) if (handler >= 0) this.linking[handler] = 1;
    this.plans.set(encoding, plan);
    return plan;
  }

  /** Writes the micro-ops of the decoded instruction at arena address `at`; gives the address behind them. */
  private emit(plan: Plan, at: number, offset: number, ordinal: number, mode: number): number {
    const insn = this.instruction;
    const next = offset + insn.length;
    if (plan.cold) {
      const end = this.special(SpecialHandler.cold, at, offset, ordinal, next);
      this.u32[(at + U.immediate) >>> 2] = this.coldInstructions.length;
      this.coldInstructions.push(insn.copy());
      return end;
    }
    const flat = (mode & ModeBit.flat) !== 0;
    const handler =
      plan.handlers[
        variantIndex(insn.operandSize, insn.isMemory, implicitlyFlat(insn, mode), insn.addressSize, insn.rep)
      ];
    if (handler < 0) throw new Error(`No handler for ${insn.encoding.text} at ${insn.operandSize} bits.`);
    let base = insn.base === BASE_RIP ? Slot.codeBase : insn.base < 0 ? Slot.zero : insn.base;
    let index = insn.index < 0 ? Slot.zero : insn.index;
    let scale = insn.scale;
    const adjusted = insn.displacement + (insn.base === BASE_RIP ? next : 0);
    let displacement = adjusted | 0;
    if (insn.isMemory) {
      const { usesAddress, usesOffset, usesBitOffset } = this.handlers.traits(handler);
      if (usesAddress || usesOffset) {
        const code64 = (mode & ModeBit.codeMask) === ModeBit.code64;
        const plainSegment = usesOffset || (flat && insn.segment < Seg.fs && (code64 || insn.segment !== Seg.cs));
        const plain =
          insn.addressSize === (code64 ? 64 : 32) &&
          plainSegment &&
          !usesBitOffset &&
          displacement === adjusted &&
          insn.displacementHigh === insn.displacement >> 31;
        if (!plain) {
          at = this.emitAddress(plan, handler, at, offset, ordinal, next, base, index);
          base = Slot.address;
          index = Slot.zero;
          scale = 0;
          displacement = 0;
        }
      }
    }
    const { u8, u16, u32 } = this;
    u16[at >>> 1] = handler;
    u16[(at + U.offset) >>> 1] = offset;
    u8[at + U.length] = insn.length;
    u8[at + U.ordinal] = ordinal;
    for (let i = 0; i < 3; i++) u8[at + U.registers + i] = this.registerByte(plan, i);
    u8[at + U.base] = base * 8;
    u8[at + U.index] = index * 8;
    u8[at + U.scale] = scale;
    u32[(at + U.displacement) >>> 2] = displacement;
    if (plan.relative) {
      u32[(at + U.link) >>> 2] = 0;
      u32[(at + U.link + 4) >>> 2] = 0;
      u32[(at + U.target) >>> 2] = next + insn.immediate;
    } else {
      u32[(at + U.immediate) >>> 2] = insn.immediate;
      u32[(at + U.immediate + 4) >>> 2] = insn.immediateHigh;
      u32[(at + U.target) >>> 2] = insn.immediate2;
    }
    if (this.handlers.traits(handler).mayBeCold) {
      if (plan.relative || plan.hasImmediate) throw new Error(`${insn.encoding.text} has no room for its cold half.`);
      u32[(at + U.immediate) >>> 2] = this.coldInstructions.length;
      this.coldInstructions.push(insn.copy());
    }
    u16[(at + U.next) >>> 1] = next;
    u8[at + U.segment] = insn.isMemory ? insn.segment : insn.segmentOverride >= 0 ? insn.segmentOverride : Seg.ds;
    return at + MICRO_OP_BYTES;
  }

  private emitAddress(
    plan: Plan,
    handler: number,
    at: number,
    offset: number,
    ordinal: number,
    next: number,
    base: number,
    index: number,
  ): number {
    const insn = this.instruction;
    const { u8, u16, u32, handlers } = this;
    const traits = handlers.traits(handler);
    const set = traits.usesBitOffset
      ? handlers.numbers.addressBits.get(`${insn.addressSize}/${insn.operandSize}`)
      : traits.usesOffset
        ? handlers.numbers.addressOffset.get(insn.addressSize)
        : handlers.numbers.addressLinear.get(insn.addressSize);
    if (set === undefined) throw new Error(`No address micro-op for ${insn.encoding.text}.`);
    for (const check of traits.checks) at = this.special(SpecialHandler[check], at, offset, ordinal, next);
    const bytes = Math.max(plan.memoryBytes || insn.operandSize >> 3, traits.memoryBytes);
    u16[at >>> 1] = set;
    u16[(at + U.offset) >>> 1] = offset;
    u8[at + U.length] = insn.length;
    u8[at + U.ordinal] = ordinal;
    u8[at + U.registers] = traits.usesBitOffset ? insn.reg * 8 : 0;
    u8[at + U.base] = base * 8;
    u8[at + U.index] = index * 8;
    u8[at + U.scale] = insn.scale;
    // 64 bits of displacement, with the next instruction's offset in the page added where it is relative to that.
    const extra = insn.base === BASE_RIP ? next : 0;
    const low = (insn.displacement >>> 0) + extra;
    u32[(at + U.immediate) >>> 2] = low;
    u32[(at + U.immediate + 4) >>> 2] = insn.displacementHigh + (low > 0xffffffff ? 1 : 0);
    u32[(at + U.target) >>> 2] = bytes | (traits.writesMemory ? 0x100 : 0);
    u16[(at + U.next) >>> 1] = next;
    u8[at + U.segment] = insn.segment;
    return at + MICRO_OP_BYTES;
  }

  private registerByte(plan: Plan, operand: number): number {
    const insn = this.instruction;
    const place = plan.places[operand];
    if (place === undefined) return 0;
    const number = numberAt(insn, place);
    if (plan.general[operand]) {
      return plan.byte[operand] && insn.rex === 0 && number >= 4 && number < 8 ? (number - 4) * 8 + 1 : number * 8;
    }
    return plan.mmx[operand] ? number & 7 : number;
  }

  private special(handler: number, at: number, offset: number, ordinal: number, next: number): number {
    const { u8, u16, u32 } = this;
    u32.fill(0, at >>> 2, (at + MICRO_OP_BYTES) >>> 2);
    u16[at >>> 1] = handler;
    u16[(at + U.offset) >>> 1] = offset;
    u8[at + U.ordinal] = ordinal;
    u32[(at + U.target) >>> 2] = next;
    u16[(at + U.next) >>> 1] = next;
    return at + MICRO_OP_BYTES;
  }
}
