// The guest's side of translation: asks for hot regions, installs what comes back, drops what is stale.
// Owns the function table's entries behind the handlers, and the bounds of what is installed at once.
// Never emits code and never executes a region: the interpreter does, by a micro-op at its entry.

import { RAM_BASE, TlbKind } from '../../memory/layout.ts';
import { DecodeResult } from '../decoder/decoder.ts';
import { DecodedInstruction } from '../decoder/instruction.ts';
import type { BlockCache } from '../interpreter/blocks.ts';
import { builtInterpreter } from '../interpreter/built.ts';
import { SpecialHandler, U } from '../interpreter/micro-op.ts';
import { type InterpreterExports, REGION_SLOTS } from '../interpreter/module.ts';
import { codeSizeOf, S, Slot } from '../state.ts';
import type { SystemCpu } from '../system/core.ts';
import type { Translation, TranslationReply, TranslationThread } from './translation.ts';

const PAGE = 0x1000;
/** Values that S.mode can have. */
const MODES = 16;
/** Bytes of translated code that can be installed at once; beyond, everything decoded is dropped. V8 needs a multiple. */
export const TRANSLATED_BYTES = 24 << 20;
/** Requests that can wait at once; blocks that become hot beyond have to become so again. */
export const TRANSLATION_QUEUE = 512;

/** A module with regions that are installed: V8 keeps all of its code until the last of them is gone. */
interface InstalledModule {
  readonly bytes: number;
  regions: number;
}

export class Translator {
  /** Regions whose translations were installed since the vCPU exists, their modules, and the bytes of these. */
  regions = 0;
  modules = 0;
  bytes = 0;
  /** Those that are installed, and the bytes of all modules with any of them. */
  liveRegions = 0;
  liveBytes = 0;
  /** The others: dropped because their code was written to, and dropped with everything else. */
  invalidated = 0;
  flushed = 0;
  /** Translations that were never installed: what they were made from had changed, or been dropped, when they came. */
  discarded = 0;
  /** How long another thread has translated. */
  besideNanoseconds = 0;
  /** Requests that have not been answered. */
  waiting = 0;
  /** The most of each that one region had since the vCPU exists. */
  readonly largest = { blocks: 0, instructions: 0, bytes: 0 };
  /** No region takes in code that has not been executed, even where blocks are translated at once. */
  onlyExecuted = false;
  private readonly system: SystemCpu;
  private readonly blocks: BlockCache;
  private readonly thread: TranslationThread;
  private readonly imports: WebAssembly.Imports;
  private readonly exports: InterpreterExports;
  private readonly firstSlot: number;
  private readonly timed: (act: () => void) => void;
  /**
   * Entries of the function table by block, kept until everything is dropped: those of a block that is translated anew stay
   * the same, so that links to them hold.
   */
  private readonly slots = new Map<number, number>();
  private changesSent = -1;
  private readonly moduleOf = new Map<number, InstalledModule>();

  /** `firstSlot` is the function table's first entry for a region; `timed` does the work that counts as translating. */
  constructor(
    system: SystemCpu,
    blocks: BlockCache,
    firstSlot: number,
    exports: InterpreterExports,
    memory: WebAssembly.Memory,
    thread: TranslationThread,
    timed: (act: () => void) => void,
  ) {
    this.system = system;
    this.blocks = blocks;
    this.firstSlot = firstSlot;
    this.exports = exports;
    this.thread = thread;
    this.timed = timed;
    this.imports = { env: { memory, ...(exports as unknown as Record<string, WebAssembly.ImportValue>) } };
    blocks.onFlush = () => this.drop();
    blocks.onTranslationLost = (slot) => this.release(slot);
  }

  /** Every region becomes unreachable; their code is the garbage collector's. */
  private drop(): void {
    for (const slot of this.slots.values()) this.exports.table.set(slot, null);
    this.system.u32[S.translationsLost >>> 2]++;
    this.slots.clear();
    this.moduleOf.clear();
    this.waiting = 0;
    this.flushed += this.liveRegions;
    this.liveRegions = 0;
    this.liveBytes = 0;
  }

  /** The same for one. It may be executing: its caller still holds it. Links to it look for what is there now. */
  private release(slot: number): void {
    this.exports.table.set(slot, this.exports.enter);
    this.system.u32[S.translationsLost >>> 2]++;
    this.invalidated++;
    this.liveRegions--;
    const module = this.moduleOf.get(slot)!;
    this.moduleOf.delete(slot);
    if (--module.regions === 0) this.liveBytes -= module.bytes;
  }

  /** A block has become hot, by its profile micro-op; it is at S.ip's code base. */
  hot(pc: number): void {
    this.timed(() => this.ask(pc));
  }

  private ask(pc: number): void {
    const { u16, u32, physical } = this.system;
    if (!this.blocks.isRipe(pc)) return;
    if (this.slots.size >= REGION_SLOTS || this.liveBytes >= TRANSLATED_BYTES) {
      this.blocks.flushSoon();
      return;
    }
    if (this.waiting >= TRANSLATION_QUEUE) {
      this.blocks.rearm(pc);
      return;
    }
    const page = u32[(pc + U.target) >>> 2];
    const codeBase = (S.regs + Slot.codeBase * 8) >>> 2;
    this.waiting++;
    const reply = this.thread.request({
      pc,
      generation: this.blocks.flushes,
      page,
      physicalPage: Math.floor(physical.physicalAddress(page) / PAGE),
      offset: u16[(pc + U.offset) >>> 1],
      mode: u32[S.mode >>> 2],
      codeBaseLow: u32[codeBase],
      codeBaseHigh: u32[codeBase + 1],
      user: this.system.cpl === 3,
      executeTable: this.system.mmu.tlb.wordOf(TlbKind.execute, 0, this.system.cpl === 3) * 4,
      // With a base or a limit on the code segment, an instruction pointer says little about where the next page is.
      linear: u32[S.linkKey >>> 2] !== 0xffffffff,
      // Where everything is translated at once, nothing has been executed yet.
      everything: this.blocks.hotness <= 1 && !this.onlyExecuted,
      ...this.changing(),
    });
    if (reply) this.accept(reply);
  }

  /** The pages that keep changing, if they are others than the last time. */
  private changing(): { changing?: readonly number[] } {
    const { changes } = this.blocks;
    if (changes === this.changesSent) return {};
    this.changesSent = changes;
    return { changing: this.blocks.changing };
  }

  /** Installs the translations that have become ready. */
  collect(): void {
    for (let reply = this.thread.take(); reply; reply = this.thread.take()) {
      const ready = reply;
      this.timed(() => this.accept(ready));
    }
  }

  private accept(reply: TranslationReply): void {
    const { module, translations, rejected } = reply;
    const { u16 } = this.system;
    this.besideNanoseconds += reply.besideNanoseconds;
    // Everything has been dropped since: these were about micro-ops that are others now.
    if (reply.generation !== this.blocks.flushes) {
      this.discarded += translations.length;
      return;
    }
    this.waiting -= reply.requests;
    if (reply.full) this.blocks.flushSoon();
    for (const pc of rejected) if (u16[pc >>> 1] === SpecialHandler.profile) u16[pc >>> 1] = SpecialHandler.pass;
    const wanted = translations.filter((translation) => this.isWanted(translation));
    this.discarded += translations.length - wanted.length;
    if (!module || wanted.length === 0) return;
    // Requests that were made before the bounds were met may bring more than there is room for.
    if (this.slots.size + wanted.length > REGION_SLOTS || this.liveBytes + reply.bytes > TRANSLATED_BYTES) {
      this.discarded += wanted.length;
      this.blocks.flushSoon();
      return;
    }
    const { exports } = new WebAssembly.Instance(module, this.imports);
    const installed: InstalledModule = { bytes: reply.bytes, regions: 0 };
    for (const translation of wanted) this.install(translation, exports[translation.name], installed);
    if (installed.regions === 0) return;
    this.modules++;
    this.liveBytes += reply.bytes;
    this.bytes += reply.bytes;
  }

  /** Whether the guest still has the block that was hot, and the bytes that its region was made from. */
  private isWanted({ pc, ranges }: Translation): boolean {
    const { u8, u16, physical } = this.system;
    if (u16[pc >>> 1] !== SpecialHandler.profile) return false;
    for (const { physicalPage, offset, bytes } of ranges) {
      const page = physical.readAddress(physicalPage * PAGE);
      const same = page >= 0 && bytes.every((byte, index) => byte === u8[page + offset + index]);
      if (!same) {
        this.blocks.rearm(pc);
        return false;
      }
    }
    return true;
  }

  private install(translation: Translation, region: unknown, module: InstalledModule): void {
    const { u16, u32, physical } = this.system;
    const { pc, mode, codeBytes, cold } = translation;
    const { largest } = this;
    const pieces = translation.ranges.map(({ physicalPage, offset, bytes }) => ({
      page: physical.readAddress(physicalPage * PAGE),
      from: offset,
      to: offset + bytes.length,
    }));
    if (!this.blocks.cover(pc, pieces)) {
      this.discarded++;
      return;
    }
    for (const { record, physicalPage, offset } of cold) this.adoptCold(record, physicalPage, offset, mode);
    const key = (u32[(pc + U.target) >>> 2] - RAM_BASE + u16[(pc + U.offset) >>> 1]) * MODES + mode;
    const slot = this.slots.get(key) ?? this.firstSlot + this.slots.size;
    this.slots.set(key, slot);
    this.exports.table.set(slot, region);
    this.moduleOf.set(slot, module);
    module.regions++;
    this.liveRegions++;
    this.regions++;
    largest.blocks = Math.max(largest.blocks, translation.blocks);
    largest.instructions = Math.max(largest.instructions, translation.instructions);
    largest.bytes = Math.max(largest.bytes, codeBytes);
    u32[(pc + U.immediate) >>> 2] = slot;
    u16[pc >>> 1] = SpecialHandler.translated;
  }

  private adoptCold(record: number, physicalPage: number, offset: number, mode: number): void {
    const { u8, physical } = this.system;
    const page = physical.readAddress(physicalPage * PAGE);
    const instruction = new DecodedInstruction();
    const result = builtInterpreter().decoder.decode(u8, page + offset, page + PAGE, codeSizeOf(mode), instruction);
    if (result !== DecodeResult.decoded) throw new Error('A translated instruction does not decode any more.');
    this.blocks.adoptCold(record, instruction, offset);
  }
}
