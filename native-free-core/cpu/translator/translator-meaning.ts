// Meanings with their operands known: what translated regions are built from.
// Owns the registers and flags in WebAssembly locals, and the ways out of a region.
// Never contains the meaning of an instruction.
//
// Locals hold the general registers that the region touches (i64 in 64-bit code, else i32), the lazy flags and what is
// left of the budget. The state in memory is stale while the region executes; every way out writes it back.

import { ByteWriter } from '../../wasm/bytes.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, type Label } from '../builder/function.ts';
import {
  add,
  and,
  asSize,
  c32,
  c64,
  cSize,
  eq,
  eqz,
  extendS,
  extendU,
  extract,
  field,
  load,
  ltS,
  ltU,
  type Node,
  ne,
  op,
  or,
  replace,
  type Size,
  select,
  shl,
  shrS,
  shrU,
  signExtend,
  signExtendTo64,
  sub,
  wrap,
  xor,
  zeroExtend,
} from '../builder/nodes.ts';
import { BASE_RIP, type DecodedInstruction } from '../decoder/instruction.ts';
import { numberAt, type Place } from '../decoder/operand-places.ts';
import { implicitlyFlat } from '../interpreter/implicit-memory.ts';
import type { HandlerTraits } from '../interpreter/interpreter-meaning.ts';
import { SpecialHandler, U } from '../interpreter/micro-op.ts';
import {
  BY_INTERPRETER,
  GuardSlot,
  LinkSlot,
  NESTED_CALLS,
  RETURNED,
  Shortcut,
  SLOW_FAILED,
  SLOW_SIZE_SHIFT,
  shortcutOf,
} from '../interpreter/module.ts';
import { CARRY_OVERFLOW_APART, ccOpOf, compareCondition, FlagFormulas, FlagKind } from '../semantics/flags.ts';
import type { MemorySize, OperandShape, SlowAccess } from '../semantics/meaning.ts';
import { X87Stack } from '../semantics/x87-stack.ts';
import { Exit, ModeBit, S, Seg, Slot, xmmAddress } from '../state.ts';
import { FindingMeaning } from './finding-meaning.ts';
import type { FoundWindows, Window } from './found-memory.ts';
import type { ImportedFunctions } from './imported-functions.ts';
import { pageOf } from './region.ts';
import { X87InLocals } from './x87-locals.ts';

const { i32, i64, v128 } = ValueType;
/** ccOp of flags given outright, which have no size: in a region's locals they are of 64 bits, since 0 has another meaning. */
const EXPLICIT = ccOpOf(FlagKind.explicit, 64);
type Local = Node & { kind: 'local' };

/** What the translator knows of the instruction whose meaning it asks for. */
export interface Subject {
  readonly instruction: DecodedInstruction;
  /** Offset of its first byte from the start of the entry's page. */
  readonly offset: number;
  readonly operands: readonly OperandShape[];
  readonly places: readonly (Place | undefined)[];
  readonly traits: HandlerTraits;
  /** Instructions of its basic block from this one on, itself included. */
  readonly remaining: number;
  /** Nobody will look at the flags it sets. */
  readonly flagsDead: boolean;
  /** Address of a micro-op that stands for it, where TypeScript carries it out. */
  readonly coldMicroOp: () => number;
}

/** The code behind a call in its region. */
export interface BehindCall {
  readonly offset: number;
  /** Goes on there. */
  go(): void;
}

/** What the region around the instructions provides. */
export interface RegionExits {
  /** Goes on at a page offset: a branch inside the region, or a way out (with the instruction pointer cut to `size`). */
  onward(offset: number, size: Size): void;
  /** Address of a new link slot, which remembers the block that an exit to an offset of its page leads to. */
  linkSlot(offset: number): number;
  /** Offset at which the return that is being built is expected to go on within the region, if it is. */
  expectedReturn(): number | undefined;
  /** Where the region goes on behind the call of another one that is being built, if it does. */
  behindCall(): BehindCall | undefined;
}

/** One region is built at a time, so all share the room for their code. */
const bodyWriter = new ByteWriter(65536);
const wholeWriter = new ByteWriter(65536);

export class TranslatorMeaning extends FindingMeaning {
  override readonly shared: ImportedFunctions;
  size: Size = 32;
  operands: readonly OperandShape[] = [];
  flat = true;
  addressSize: 16 | 32 | 64 = 32;
  rep: 0 | 0xf2 | 0xf3 = 0;

  private subject!: Subject;
  private readonly exits: RegionExits;
  /** Index of the type of a region's function in its module. */
  private readonly regionType: number;
  /** One local a register, taken at once: those taken while an instruction is built are given back behind it. */
  private readonly registers: readonly Local[];
  private readonly used: boolean[] = new Array(16).fill(false);
  private readonly dirty: boolean[] = new Array(16).fill(false);
  /** The same of XMM registers. */
  private readonly vectors: readonly Local[];
  private readonly vectorsInLocals: boolean;
  private readonly vectorUsed: boolean[] = new Array(16).fill(false);
  private readonly vectorDirty: boolean[] = new Array(16).fill(false);
  /** Checks that have been made in this basic block. */
  private readonly checked = new Set<string>();
  /** 0 until the region has set flags: those in the state hold so long, and the locals hold nothing. */
  private readonly ccOp: Local;
  private readonly ccA: Local;
  private readonly ccB: Local;
  private readonly ccC: Local;
  private flagsChanged = false;
  /** Some way through the region ends in a return of the guest's. */
  private returns = false;
  private apartChanged = false;
  /** The kind and size of the flags in the locals, where it is the same on every way here. */
  private knownFlags: { kind: FlagKind; size: Size; apart: boolean } | undefined;
  private readonly left: Local;
  private readonly tlb: Local;
  private tlbUsed = false;
  /** Operands of the shared ways out: target and link slot; offset and unexecuted instructions; micro-op. */
  private readonly target: Local;
  private readonly detail: Local;
  private leaveLabel!: Label;
  private faultLabel!: Label;
  /** A memory access has failed: its function has said in the state where, and how much of the budget is left. */
  private slowFaultLabel!: Label;
  private mayFailSlowly = false;
  private coldLabel!: Label;
  private returnLabel!: Label;

  override readonly x87: X87Stack;
  private readonly x87Locals: X87InLocals | undefined;

  /** What is in locals is not gone for in the state by any instruction of the region. */
  constructor(
    shared: ImportedFunctions,
    mode: number,
    regionType: number,
    {
      vectorsInLocals,
      x87InLocals,
      windows,
    }: { readonly vectorsInLocals: boolean; readonly x87InLocals: boolean; readonly windows: readonly Window[] },
    exits: RegionExits,
  ) {
    super(bodyWriter.clear(), mode, windows);
    this.shared = shared;
    this.regionType = regionType;
    this.exits = exits;
    this.registers = Array.from({ length: this.code64 ? 16 : 8 }, () => this.local(this.code64 ? i64 : i32));
    this.vectorsInLocals = vectorsInLocals;
    this.vectors = vectorsInLocals ? this.registers.map(() => this.local(v128)) : [];
    this.x87Locals = x87InLocals ? this.makeX87Locals() : undefined;
    this.x87 = this.x87Locals ?? new X87Stack(this);
    this.ccOp = this.local(i32);
    // Outside of 64-bit code no operand is wider than 32 bits: the flags' operands are extended only when looked at.
    this.ccA = this.local(this.code64 ? i64 : i32);
    this.ccB = this.local(this.code64 ? i64 : i32);
    this.ccC = this.local(i32);
    this.left = this.local(i32);
    this.tlb = this.local(i32);
    this.target = this.local(i64);
    this.detail = this.local(i32);
  }

  private makeX87Locals(): X87InLocals {
    return new X87InLocals(this, {
      defer: () => {
        this.storeField(storeOp.i32_store, S.faultVector, c32(BY_INTERPRETER));
        this.leaveFault();
      },
      offset: () => this.subject.offset,
      ipAt: (offset) => this.maskIp(add(this.codeBase(), extendS(offset)), this.code64 ? 64 : 32),
    });
  }

  // ---- the frame of a region

  /** Builds the whole function around `body`, which must leave by one of the ways out on every path. */
  region(body: () => void): void {
    this.block((cold) => {
      this.coldLabel = cold;
      this.block((fault) => {
        this.faultLabel = fault;
        this.block((slowFault) => {
          this.slowFaultLabel = slowFault;
          this.block((leave) => {
            this.leaveLabel = leave;
            this.block((returned) => {
              this.returnLabel = returned;
              body();
              this.unreachable();
            });
            this.returnCode();
          });
          this.leaveCode();
        });
        this.slowFaultCode();
      });
      this.faultCode();
    });
    this.coldCode();
    this.unreachable();
    this.prologue(() => this.entryCode(), wholeWriter.clear());
  }

  /** Brings what the region holds in locals from the state: at its entry, and behind calls of others. */
  private entryCode(): void {
    this.registers.forEach((local, register) => {
      if (!this.used[register]) return;
      const value = field(loadOp.i64_load, S.regs + register * 8);
      this.set(local, this.code64 ? value : wrap(value));
    });
    this.vectors.forEach((local, register) => {
      if (this.vectorUsed[register]) this.set(local, field(loadOp.v128_load, xmmAddress(register)));
    });
    this.x87Locals?.load();
    this.set(this.left, field(loadOp.i32_load, S.budget));
    if (this.tlbUsed) this.set(this.tlb, field(loadOp.i32_load, S.tlb));
  }

  private writeBack(): void {
    this.registers.forEach((local, register) => {
      if (!this.dirty[register]) return;
      this.storeField(storeOp.i64_store, S.regs + register * 8, this.code64 ? local : extendU(local));
    });
    this.vectors.forEach((local, register) => {
      if (this.vectorDirty[register]) this.storeField(storeOp.v128_store, xmmAddress(register), local);
    });
    this.x87Locals?.writeBack();
    if (this.flagsChanged) this.flagsToMemory(this.apartChanged);
  }

  /**
   * Brings the flags in the state up to date, if any have been set. They are never loaded: few regions look at old ones.
   * `withApart`: CF and OF may have been set apart from the others.
   */
  private flagsToMemory(withApart = true): void {
    super.if(this.ccOp, () => {
      this.storeField(storeOp.i32_store, S.ccOp, this.ccOp);
      if (withApart) this.storeField(storeOp.i32_store, S.ccC, this.ccC);
      // The locals hold anything above the operands' size, which the state has sign-extended.
      const bits = shl(c32(8), and(this.ccOp, c32(3)));
      const spare = this.let(this.code64 ? extendU(sub(c32(64), bits)) : sub(c32(32), bits));
      this.storeField(storeOp.i64_store, S.ccA, extendS(shrS(shl(this.ccA, spare), spare)));
      this.storeField(storeOp.i64_store, S.ccB, extendS(shrS(shl(this.ccB, spare), spare)));
      this.release(spare);
    });
  }

  /** Brings the flags in the locals up to date, where only a part of them is about to change. */
  private flagsFromMemory(): void {
    super.if(eqz(this.ccOp), () => {
      // Flags given outright have all their bits, whatever size the state says.
      const ccOp = this.let(field(loadOp.i32_load, S.ccOp));
      this.set(this.ccOp, or(ccOp, select(and(ccOp, c32(~CARRY_OVERFLOW_APART & ~3)), c32(0), c32(EXPLICIT))));
      this.release(ccOp);
      this.set(this.ccC, field(loadOp.i32_load, S.ccC));
      this.set(this.ccA, this.narrow(field(loadOp.i64_load, S.ccA)));
      this.set(this.ccB, this.narrow(field(loadOp.i64_load, S.ccB)));
    });
  }

  /** A flags' operand as its local holds it. */
  private narrow(value: Node): Node {
    return this.code64 ? value : wrap(value);
  }

  /** The state becomes what it is at `target`; leaves for good where the budget is spent. */
  private handOver(): void {
    this.writeBack();
    this.storeField(storeOp.i32_store, S.budget, this.left);
    this.storeField(storeOp.i64_store, S.ip, this.target);
    this.if(
      ltS(this.left, c32(0)),
      () => {
        this.storeField(storeOp.i32_store, S.exit, c32(Exit.budget));
        this.return(c32(0));
      },
      undefined,
      false,
    );
  }

  /** The guest's function that this translation was called for has returned: back to the one that called. */
  private returnCode(): void {
    if (!this.returns) return;
    this.handOver();
    this.return(c32(RETURNED));
  }

  /**
   * Calls the translation at `target`, as a function of the engine's own, so that the processor knows where its return goes;
   * behind it the region goes on. Falls out where there is no such translation yet, or something else is due: nothing has
   * happened then.
   */
  private callTranslation(slot: number, behind: BehindCall): void {
    const codeBase = S.regs + Slot.codeBase * 8;
    const size = this.code64 ? 64 : 32;
    this.block((otherwise) => {
      this.brIf(otherwise, ltS(this.left, c32(0)), false);
      this.brIf(otherwise, ltU(c32(NESTED_CALLS - 1), field(loadOp.i32_load, S.callDepth)), false);
      const key = this.let(field(loadOp.i32_load, S.linkKey));
      const record = slot !== 0 ? c32(slot) : this.let(shortcutOf(this.target));
      const keyAt = slot !== 0 ? LinkSlot.key : Shortcut.key;
      this.brIf(otherwise, ne(load(loadOp.i32_load, record, keyAt), key), false);
      if (slot === 0) this.brIf(otherwise, ne(load(loadOp.i64_load, record, Shortcut.ip), this.target), false);
      const region = this.let(load(loadOp.i32_load, record, slot !== 0 ? LinkSlot.region : Shortcut.region));
      this.brIf(otherwise, eqz(region), false);
      const lost = this.let(field(loadOp.i32_load, S.translationsLost));
      const outer = this.let(field(loadOp.i64_load, S.expectedReturn));
      const back = this.let(this.maskIp(add(this.codeBase(), c64(behind.offset)), size));
      this.gap(() => this.writeBack());
      this.storeField(storeOp.i32_store, S.budget, this.left);
      this.storeField(storeOp.i64_store, S.ip, this.target);
      const offset = slot !== 0 ? load(loadOp.i64_load32_u, record, LinkSlot.offset) : undefined;
      this.storeField(storeOp.i64_store, codeBase, offset ? sub(this.target, offset) : and(this.target, c64(~0xfffn)));
      this.storeField(storeOp.i64_store, S.expectedReturn, back);
      this.storeField(storeOp.i32_store, S.callDepth, add(field(loadOp.i32_load, S.callDepth), c32(1)));
      const result = this.callIndirect(this.regionType, region, [], i32);
      this.storeField(storeOp.i32_store, S.callDepth, sub(field(loadOp.i32_load, S.callDepth), c32(1)));
      this.storeField(storeOp.i64_store, S.expectedReturn, outer);
      this.if(ne(result, c32(RETURNED)), () => this.return(result), undefined, false);
      // The same code at the same place, and this translation of it still there.
      const changed = or(
        xor(field(loadOp.i32_load, S.linkKey), key),
        xor(field(loadOp.i32_load, S.translationsLost), lost),
      );
      this.if(changed, () => this.return(call(this.shared.enter)), undefined, false);
      this.storeField(storeOp.i64_store, codeBase, this.maskIp(sub(back, c64(behind.offset)), size));
      this.gap(() => this.entryCode());
      this.set(this.ccOp, c32(0));
      // What was called may have changed what is mapped where.
      this.forgetFound();
      for (const local of [key, lost, outer, back, region, result]) this.release(local);
      behind.go();
    });
  }

  /** To another block: by its link slot where one is given and filled, else by looking S.ip up. */
  private leaveCode(): void {
    this.handOver();
    const next = this.local(i32);
    this.if(
      this.detail,
      () => {
        // An exit inside the page holds whatever is mapped where; others as long as the link key is the same.
        const slot = this.let(and(this.detail, c32(~1)));
        const key = load(loadOp.i32_load, slot, LinkSlot.key);
        const holds = or(and(this.detail, c32(1)), eq(key, field(loadOp.i32_load, S.linkKey)));
        this.if(
          holds,
          () => {
            const offset = load(loadOp.i64_load32_u, slot, LinkSlot.offset);
            this.storeField(storeOp.i64_store, S.regs + Slot.codeBase * 8, sub(this.target, offset));
            const region = this.let(load(loadOp.i32_load, slot, LinkSlot.region));
            this.if(region, () => this.returnCallIndirect(this.regionType, region), undefined, true);
            this.set(next, load(loadOp.i32_load, slot, LinkSlot.next));
            const handler = this.let(load(loadOp.i32_load16_u, next, U.handler));
            this.if(eq(handler, c32(SpecialHandler.translated)), () => {
              const found = this.let(load(loadOp.i32_load, next, U.immediate));
              this.store(storeOp.i32_store, slot, found, LinkSlot.region);
              this.returnCallIndirect(this.regionType, found);
            });
            // A block that has gone stale is looked for anew; address 0 holds no handler either.
            this.if(handler, () => this.return(next));
          },
          undefined,
          true,
        );
        this.set(next, call(this.shared.followSlot, slot));
      },
      () => {
        const shortcut = this.let(shortcutOf(this.target));
        this.block((unknown) => {
          const key = load(loadOp.i32_load, shortcut, Shortcut.key);
          const region = this.let(load(loadOp.i32_load, shortcut, Shortcut.region));
          this.brIf(unknown, ne(load(loadOp.i64_load, shortcut, Shortcut.ip), this.target), false);
          this.brIf(unknown, ne(key, field(loadOp.i32_load, S.linkKey)), false);
          this.brIf(unknown, eqz(region), false);
          this.storeField(storeOp.i64_store, S.regs + Slot.codeBase * 8, and(this.target, c64(~0xfffn)));
          this.returnCallIndirect(this.regionType, region);
        });
        this.set(next, call(this.shared.enter));
      },
    );
    this.continueAt(next);
  }

  /** At another block: straight into its translation where it has one, else back to the interpreter's loop. */
  private continueAt(next: Local): void {
    // Address 0 is never a micro-op's, and no translation begins there.
    const translated = eq(load(loadOp.i32_load16_u, next, U.handler), c32(SpecialHandler.translated));
    this.if(translated, () => this.returnCallIndirect(this.regionType, load(loadOp.i32_load, next, U.immediate)));
    this.return(next);
  }

  private ipAtDetail(): Node {
    return this.maskIp(add(this.codeBase(), extendU(and(this.detail, c32(0xfff)))), this.code64 ? 64 : 32);
  }

  private slowFaultCode(): void {
    if (!this.mayFailSlowly) return;
    this.set(this.detail, field(loadOp.i32_load, S.slowDetail));
    this.set(this.left, sub(field(loadOp.i32_load, S.budget), shrU(this.detail, c32(16))));
  }

  private faultCode(): void {
    this.writeBack();
    this.storeField(storeOp.i32_store, S.budget, add(this.left, shrU(this.detail, c32(16))));
    this.storeField(storeOp.i64_store, S.ip, this.ipAtDetail());
    this.storeField(storeOp.i32_store, S.exitPc, c32(0));
    this.storeField(storeOp.i32_store, S.exit, c32(Exit.fault));
    this.return(c32(0));
  }

  private coldCode(): void {
    this.writeBack();
    this.storeField(storeOp.i32_store, S.budget, add(this.left, wrap(this.target)));
    // Straight on into the next translation: whoever called this one still waits for its return.
    this.continueAt(this.callResult(this.shared.cold, this.detail));
  }

  // ---- one instruction after another

  /** Takes a basic block's instructions off the budget, before the first of them. */
  beginBlock(instructions: number, found: FoundWindows): void {
    this.goBackTo(found);
    this.knownFlags = undefined;
    this.checked.clear();
    this.x87Locals?.forget();
    this.set(this.left, sub(this.left, c32(instructions)));
  }

  /** What is built from here on is this instruction. */
  become(subject: Subject): void {
    const { instruction, operands } = subject;
    this.subject = subject;
    this.size = instruction.operandSize;
    this.operands = operands;
    this.addressSize = instruction.addressSize;
    this.rep = instruction.encoding.attributes.has('rep') ? instruction.rep : 0;
    this.flat = implicitlyFlat(instruction, this.mode);
    this.beginInstruction(instruction);
  }

  /** Out of the region, to a page offset; jumps cut the instruction pointer to their operand size. */
  exitTo(offset: number, size: Size = this.code64 ? 64 : 32): void {
    this.set(this.target, this.maskIp(add(this.codeBase(), c64(offset)), size));
    const inPage = offset >= 0 && offset < 0x1000;
    const linkable = size >= 32;
    this.set(this.detail, c32(linkable ? this.exits.linkSlot(offset & 0xfff) | (inPage ? 1 : 0) : 0));
    this.br(this.leaveLabel);
  }

  /** Out of the region by a call, which may come back to what is behind it. */
  callTo(offset: number, behind: BehindCall): void {
    const slot = this.exits.linkSlot(offset & 0xfff);
    this.set(this.target, this.maskIp(add(this.codeBase(), c64(offset)), this.code64 ? 64 : 32));
    this.callTranslation(slot, behind);
    // Even inside the page, the slot's key is kept up to date, which the next call goes by.
    this.set(this.detail, c32(slot));
    this.br(this.leaveLabel);
  }

  /** The same without a link: for ways out that are hardly ever taken. */
  leaveTo(offset: number): void {
    this.set(this.target, this.maskIp(add(this.codeBase(), c64(offset)), this.code64 ? 64 : 32));
    this.set(this.detail, c32(0));
    this.br(this.leaveLabel);
  }

  /** Before a loop starts over: out of the region when the budget is spent. */
  checkBudget(offset: number): void {
    this.if(ltS(this.left, c32(0)), () => this.exitTo(offset), undefined, false);
  }

  private codeBase(): Node {
    return field(loadOp.i64_load, S.regs + Slot.codeBase * 8);
  }

  private maskIp(ip: Node, size: Size): Node {
    return size === 64 ? ip : and(ip, c64(size === 16 ? 0xffffn : 0xffffffffn));
  }

  private ipSize(): Size {
    return this.size === 8 ? 64 : this.size;
  }

  // ---- registers

  private register(number: number): Local {
    this.used[number] = true;
    return this.registers[number];
  }

  private low32(number: number): Node {
    const local = this.register(number);
    return this.code64 ? wrap(local) : local;
  }

  private assign(number: number, value: Node): void {
    this.dirty[number] = true;
    this.registerChanges(number);
    this.set(this.register(number), value);
  }

  /** A byte register: `high` for the second byte of a register. */
  private getByte(number: number, high: boolean): Node {
    const low = this.low32(number);
    return and(high ? shrU(low, c32(8)) : low, c32(0xff));
  }

  private setByte(number: number, high: boolean, value: Node): void {
    const shift = high ? 8 : 0;
    this.merge(number, 0xff << shift, shl(and(value, c32(0xff)), c32(shift)));
  }

  /** Replaces the bits of `mask` (within the low 16) by those of the i32 `bits`. */
  private merge(number: number, mask: number, bits: Node): void {
    const old = this.register(number);
    if (this.code64) this.assign(number, or(and(old, c64(~BigInt(mask))), extendU(bits)));
    else this.assign(number, or(and(old, c32(~mask)), bits));
  }

  getReg(register: number, size: Size): Node {
    switch (size) {
      case 8:
        return this.getByte(register & 3, register >= 4);
      case 16:
        return and(this.low32(register), c32(0xffff));
      case 32:
        return this.low32(register);
      case 64: {
        const local = this.register(register);
        return this.code64 ? local : extendU(local);
      }
    }
  }

  setReg(register: number, size: Size, value: Node): void {
    switch (size) {
      case 8:
        this.setByte(register & 3, register >= 4, value);
        return;
      case 16:
        this.merge(register, 0xffff, and(value, c32(0xffff)));
        return;
      case 32:
        this.assign(register, this.code64 ? extendU(value) : value);
        return;
      case 64:
        this.assign(register, this.code64 ? value : wrap(value));
        return;
    }
  }

  private numberOf(operand: number): number {
    const { instruction, places } = this.subject;
    const place = places[operand];
    if (place === undefined) throw new Error(`Operand ${operand} of ${instruction.encoding.text} is no register.`);
    return numberAt(instruction, place);
  }

  /** Whether a byte operand's number means the second byte of a register. */
  private isHighByte(number: number): boolean {
    return this.subject.instruction.rex === 0 && number >= 4 && number < 8;
  }

  protected readRegister(operand: number, size: Size): Node {
    const number = this.numberOf(operand);
    // Only operands that are bytes by their encoding name second bytes; others are looked at through their low byte.
    if (size === 8 && this.operands[operand].size === 8 && this.isHighByte(number))
      return this.getByte(number - 4, true);
    return size === 8 ? this.getByte(number, false) : this.getReg(number, size);
  }

  protected writeRegister(operand: number, size: Size, value: Node): void {
    const number = this.numberOf(operand);
    if (size !== 8) this.setReg(number, size, value);
    else if (this.operands[operand].size === 8 && this.isHighByte(number)) this.setByte(number - 4, true, value);
    else this.setByte(number, false, value);
  }

  // ---- vector registers: in locals, but for regions that save or restore all of them at once

  getXmm(register: number): Node {
    if (!this.vectorsInLocals) return field(loadOp.v128_load, xmmAddress(register));
    this.vectorUsed[register] = true;
    return this.vectors[register];
  }

  setXmm(register: number, value: Node): void {
    if (!this.vectorsInLocals) {
      this.storeField(storeOp.v128_store, xmmAddress(register), value);
      return;
    }
    this.vectorUsed[register] = true;
    this.vectorDirty[register] = true;
    this.set(this.vectors[register], value);
  }

  protected readVectorRegister(operand: number): Node {
    return this.getXmm(this.vectorNumber(operand));
  }

  protected writeVectorRegister(operand: number, value: Node): void {
    this.setXmm(this.vectorNumber(operand), value);
  }

  protected readVectorLow(operand: number, size: Size): Node {
    return extract(size === 64 ? 'i64' : 'i32', 0, this.readVectorRegister(operand));
  }

  protected writeVectorLow(operand: number, size: Size, value: Node): void {
    const number = this.vectorNumber(operand);
    this.setXmm(number, replace(size === 64 ? 'i64' : 'i32', 0, this.getXmm(number), value));
  }

  private vectorNumber(operand: number): number {
    return this.operands[operand].fixed ?? this.numberOf(operand);
  }

  registerNumber(operand: number): Node {
    const shape = this.operands[operand];
    if (shape.fixed !== undefined) return c32(shape.fixed);
    const number = this.numberOf(operand);
    return c32(shape.kind === 'mmx' ? number & 7 : number);
  }

  immediate(operand: number, size: Size = this.operands[operand].size as Size): Node {
    const { fixed } = this.operands[operand];
    if (fixed !== undefined) return cSize(size, fixed);
    const { instruction } = this.subject;
    const first = this.operands.findIndex((shape) => shape.kind === 'imm');
    if (operand !== first) return cSize(size, instruction.immediate2);
    if (size !== 64) return c32(instruction.immediate);
    return c64((BigInt(instruction.immediateHigh) << 32n) | BigInt(instruction.immediate >>> 0));
  }

  // ---- addresses

  /** Base + (index << scale) + displacement under the address size, as an i64; `extra` is added before the mask. */
  protected offsetOf(extra?: Node): Node {
    const { instruction } = this.subject;
    const { base, index, scale, displacement, displacementHigh, addressSize } = instruction;
    if (addressSize === 64 || base === BASE_RIP) {
      const constant = (BigInt(displacementHigh) << 32n) | BigInt(displacement >>> 0);
      let sum: Node = base === BASE_RIP ? this.codeBase() : base >= 0 ? this.getReg(base, 64) : c64(constant);
      if (index >= 0) sum = add(sum, shl(this.getReg(index, 64), c64(scale)));
      if (base === BASE_RIP) sum = add(sum, c64(constant + BigInt(this.nextOffset())));
      else if (base >= 0) sum = add(sum, c64(constant));
      if (extra) sum = add(sum, extra);
      return addressSize === 64 ? sum : and(sum, c64(0xffffffffn));
    }
    let sum: Node = base >= 0 ? this.getReg(base, 32) : c32(displacement);
    if (index >= 0) sum = add(sum, shl(this.getReg(index, 32), c32(scale)));
    if (base >= 0) sum = add(sum, c32(displacement));
    else if (index >= 0 && base < 0) sum = add(shl(this.getReg(index, 32), c32(scale)), c32(displacement));
    if (extra) sum = add(sum, wrap(extra));
    return extendU(addressSize === 16 ? and(sum, c32(0xffff)) : sum);
  }

  private nextOffset(): number {
    return this.subject.offset + this.subject.instruction.length;
  }

  effectiveAddress(_operand: number): Node {
    return this.offsetOf();
  }

  address(_operand: number): Local {
    const offset = this.let(this.offsetOf());
    const linear = this.segmented(offset);
    if (linear === offset) this.operandAt(linear, this.subject.instruction);
    return linear;
  }

  bitAddress(_operand: number, bitOffset: Node): Local {
    const unit = Math.log2(this.size);
    const offset = this.let(signExtendTo64(this.size, asSize(this.size, bitOffset)));
    return this.segmented(this.let(this.offsetOf(shl(shrS(offset, c64(unit)), c64(unit - 3)))));
  }

  /** Adds the memory operand's segment, with its checks where it is not flat. */
  private segmented(offset: Local): Local {
    const { instruction, traits } = this.subject;
    const { segment } = instruction;
    if (this.code64) {
      if (segment < Seg.fs) return offset;
      return this.let(add(offset, field(loadOp.i64_load, S.segBase + segment * 8)));
    }
    if ((this.mode & ModeBit.flat) !== 0 && segment < Seg.fs && segment !== Seg.cs) return offset;
    const memory = this.operands.find((shape) => shape.kind === 'mem');
    const bytes = Math.max((memory?.size || this.size) >> 3, traits.memoryBytes);
    return this.linearOf(c32(segment), offset, c32(bytes | (traits.writesMemory ? 0x100 : 0)));
  }

  sourceSegment(): Node {
    const { segmentOverride } = this.subject.instruction;
    return c32(segmentOverride >= 0 ? segmentOverride : Seg.ds);
  }

  translateAddress(): Local {
    const width = this.addressSize;
    const sum = add(this.getReg(3, width), asSize(width, this.getReg(0, 8)));
    const offset = width === 64 ? sum : extendU(zeroExtend(width, sum));
    return this.linear(this.sourceSegment(), this.let(offset), 1, false);
  }

  protected tlbBase(): Node {
    this.tlbUsed = true;
    return this.tlb;
  }

  // ---- stack: its size is part of the mode

  override stackMask(): Node {
    const size = this.stackSize();
    return c64(size === 64 ? -1n : size === 32 ? 0xffffffffn : 0xffffn);
  }

  override setStackTo(value: Node): void {
    const size = this.stackSize();
    this.setReg(4, size, asSize(size, value));
  }

  nextIp(): Node {
    return this.maskIp(add(this.codeBase(), c64(this.nextOffset())), this.ipSize());
  }

  instructionIp(): Node {
    return this.maskIp(add(this.codeBase(), c64(this.subject.offset)), this.code64 ? 64 : 32);
  }

  relativeTarget(): Node {
    return this.maskIp(
      add(this.codeBase(), c64(this.nextOffset() + this.subject.instruction.immediate)),
      this.ipSize(),
    );
  }

  /**
   * One call, which brings the budget up to date and takes what is left of it from there: the device that is asked may look at
   * the time, which the budget is part of, and may take the budget away.
   */
  protected override slow(access: SlowAccess, linear: Node, size: MemorySize): void {
    const { offset, remaining } = this.subject;
    const log2 = 28 - Math.clz32(size);
    const detail = c32((offset & 0xfff) | (log2 << SLOW_SIZE_SHIFT) | (remaining << 16));
    this.set(this.left, call(this.shared[access], linear, this.left, detail));
    this.distrustFound();
    if (access === 'finishSlowWrite') return;
    this.mayFailSlowly = true;
    const failed = ltS(this.left, c32(SLOW_FAILED));
    if (pageOf(offset) === 0) this.brIf(this.slowFaultLabel, failed, false);
    else {
      this.if(
        failed,
        () => {
          this.moveCodeBase(offset);
          this.br(this.slowFaultLabel);
        },
        undefined,
        false,
      );
    }
  }

  // ---- flags

  override setLazyFlags(ccOp: Node, a: Node, b: Node): void {
    if (this.subject.flagsDead) return;
    this.flagsChanged = true;
    const known = ccOp.kind === 'const' ? Number(ccOp.value) || EXPLICIT : undefined;
    const size = known === undefined ? this.size : 8 << (known & 3);
    this.set(this.ccA, this.raw(a, size));
    this.set(this.ccB, this.raw(b, size));
    this.set(this.ccOp, known === undefined ? ccOp : c32(known));
    this.knownFlags =
      known === undefined ? undefined : { kind: (known >> 2) as FlagKind, size: size as Size, apart: false };
  }

  /** A flags' operand without its sign extension from `size` bits: most often a register's local as it stands. */
  private raw(value: Node, size: number): Node {
    if (size === 64 || value.kind !== 'op' || value.op !== op.i64_extend_i32_s) return this.narrow(value);
    let inner = value.args[0];
    if (inner.kind === 'op' && (inner.op === op.i32_extend8_s || inner.op === op.i32_extend16_s)) inner = inner.args[0];
    if (!this.code64) return inner;
    if (inner.kind === 'op' && inner.op === op.i32_wrap_i64) return inner.args[0];
    return extendU(inner);
  }

  /** A flags' operand sign-extended from its size, in an i32 up to 32 bits. */
  private extended(operand: Local, size: Size): Node {
    return size === 64 ? extendU(operand) : signExtend(size, wrap(operand));
  }

  override setFlagsOperandB(b: Node): void {
    if (!this.subject.flagsDead) this.set(this.ccB, this.narrow(b));
  }

  override setCarryOverflow(bits: Node): void {
    if (this.subject.flagsDead) return;
    this.flagsChanged = true;
    this.apartChanged = true;
    if (!this.knownFlags) this.flagsFromMemory();
    this.set(this.ccC, bits);
    this.set(this.ccOp, or(this.ccOp, c32(CARRY_OVERFLOW_APART)));
    if (this.knownFlags) this.knownFlags = { ...this.knownFlags, apart: true };
  }

  override setCarry(carry: Node): void {
    if (!this.subject.flagsDead) super.setCarry(carry);
  }

  override updateFlags(mask: number, bits: Node): void {
    if (!this.subject.flagsDead) super.updateFlags(mask, bits);
  }

  /** The branches of a conditional change of flags leave different kinds behind. */
  override if(condition: Node, yes: () => void, no?: () => void, likely?: boolean): void {
    const before = this.knownFlags;
    let afterYes = before;
    super.if(
      condition,
      () => {
        yes();
        afterYes = this.knownFlags;
        this.knownFlags = before;
      },
      no,
      likely,
    );
    if (afterYes !== this.knownFlags) this.knownFlags = undefined;
  }

  override loop(body: (label: Label) => void): void {
    this.knownFlags = undefined;
    super.loop(body);
    this.knownFlags = undefined;
  }

  private formulas(): { formulas: FlagFormulas; kind: FlagKind; size: Size; apart: boolean } | undefined {
    const known = this.knownFlags;
    if (!known) {
      this.flagsToMemory();
      return undefined;
    }
    return {
      formulas: new FlagFormulas(
        this,
        extendS(this.extended(this.ccA, known.size)),
        extendS(this.extended(this.ccB, known.size)),
        c64(64 - known.size),
      ),
      kind: known.kind,
      size: known.size,
      apart: known.apart,
    };
  }

  override flag(name: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of'): Node {
    const known = this.formulas();
    if (!known) return super.flag(name);
    const { formulas, kind, apart } = known;
    if (apart && name === 'cf') return and(this.ccC, c32(1));
    if (apart && name === 'of') return and(shrU(this.ccC, c32(11)), c32(1));
    switch (name) {
      case 'cf':
        return formulas.carry(kind);
      case 'pf':
        return formulas.parity(kind);
      case 'af':
        return formulas.adjust(kind);
      case 'zf':
        return formulas.zero(kind);
      case 'sf':
        return formulas.sign(kind);
      case 'of':
        return formulas.overflow(kind);
    }
  }

  override flagsAll(): Node {
    this.flagsToMemory();
    return super.flagsAll();
  }

  override condition(code: number): Node {
    const known = this.formulas();
    if (!known) return super.condition(code);
    const { formulas, kind, apart } = known;
    if (apart) return this.conditionByFlags(code);
    // Sign extension keeps both orders, so that operands of up to 32 bits compare alike in their i32.
    if (known.size <= 32 && (kind === FlagKind.sub || kind === FlagKind.logic)) {
      const { size } = known;
      const b = kind === FlagKind.sub ? this.extended(this.ccB, size) : c32(0);
      const compared = compareCondition(code, this.extended(this.ccA, size), b);
      if (compared) return compared;
    }
    return formulas.condition(kind, code);
  }

  /** A condition put together flag by flag: CF and OF are not those of the kind. */
  private conditionByFlags(code: number): Node {
    const less = (): Node => xor(this.flag('sf'), this.flag('of'));
    const base = [
      () => this.flag('of'),
      () => this.flag('cf'),
      () => this.flag('zf'),
      () => or(this.flag('cf'), this.flag('zf')),
      () => this.flag('sf'),
      () => this.flag('pf'),
      less,
      () => or(this.flag('zf'), less()),
    ][code >> 1]();
    return code & 1 ? eqz(base) : base;
  }

  override oncePerBlock(name: string, check: () => void): void {
    if (this.checked.has(name)) return;
    this.checked.add(name);
    check();
  }

  override helper(name: string, ...args: Node[]): Local {
    this.forgetBefore();
    return super.helper(name, ...args);
  }

  override helperCall(name: string, ...args: Node[]): void {
    this.forgetBefore();
    super.helperCall(name, ...args);
  }

  /** A helper may do anything. */
  private forgetBefore(): void {
    this.x87Locals?.forget();
    this.forgetFound();
  }

  // ---- leaving

  leaveFault(): void {
    const { offset, remaining } = this.subject;
    this.moveCodeBase(offset);
    this.set(this.detail, c32((offset & 0xfff) | (remaining << 16)));
    this.br(this.faultLabel);
  }

  cold(): void {
    this.moveCodeBase(this.subject.offset);
    this.set(this.target, c64(this.subject.remaining));
    this.set(this.detail, c32(this.subject.coldMicroOp()));
    this.br(this.coldLabel);
  }

  /** On the way out at an offset: the state's code base becomes that of its page. */
  private moveCodeBase(offset: number): void {
    const page = pageOf(offset);
    if (page === 0) return;
    const base = this.maskIp(add(this.codeBase(), c64(page * 0x1000)), this.code64 ? 64 : 32);
    this.storeField(storeOp.i64_store, S.regs + Slot.codeBase * 8, base);
    this.x87Locals?.moved(page * 0x1000);
  }

  /** Goes on in another page of the region's code if that is still where it was, else leaves. */
  guardPage(slot: number, offset: number, go: () => void): void {
    const linear = this.maskIp(add(this.codeBase(), c64(pageOf(offset) * 0x1000)), this.code64 ? 64 : 32);
    const known = eq(load(loadOp.i32_load, c32(slot), GuardSlot.key), field(loadOp.i32_load, S.linkKey));
    this.block((moved) => {
      this.if(
        eqz(known),
        () => this.brIf(moved, eqz(call(this.shared.checkPage, c32(slot), linear))),
        undefined,
        false,
      );
      go();
    });
    this.exitTo(offset);
  }

  jump(target: Node): void {
    this.set(this.target, this.maskIp(target, this.ipSize()));
    const expected = this.exits.expectedReturn();
    if (expected !== undefined) {
      const there = this.maskIp(add(this.codeBase(), c64(expected)), this.code64 ? 64 : 32);
      const go = (): void => this.exits.onward(expected, this.code64 ? 64 : 32);
      this.if(eq(this.target, there), go, undefined, true);
    }
    const behind = this.exits.behindCall();
    if (behind) this.callTranslation(0, behind);
    else if (this.subject.instruction.encoding.row.name === 'RET') {
      this.returns = true;
      this.brIf(this.returnLabel, eq(this.target, field(loadOp.i64_load, S.expectedReturn)), true);
    }
    this.set(this.detail, c32(0));
    this.br(this.leaveLabel);
  }

  jumpRelative(): void {
    this.exits.onward(this.nextOffset() + this.subject.instruction.immediate, this.ipSize());
  }

  jumpRelativeIf(condition: Node): void {
    const { immediate } = this.subject.instruction;
    const next = this.nextOffset();
    this.if(
      condition,
      () => this.exits.onward(next + immediate, this.ipSize()),
      () => this.exits.onward(next, this.code64 ? 64 : 32),
    );
  }

  goOnAnew(): void {
    this.leaveTo(this.nextOffset());
  }

  timestamp(): Local {
    this.storeField(storeOp.i32_store, S.budget, add(this.left, c32(this.subject.remaining - 1)));
    return this.callResult(this.shared.timestamp);
  }

  repeat(): void {
    // The instructions behind this one in its block have not been executed.
    this.set(this.left, add(this.left, c32(this.subject.remaining - 1)));
    this.exitTo(this.subject.offset);
  }

  checkTarget(target: Local): void {
    if (this.code64) {
      // A target cut to 16 bits is canonical.
      if (this.size !== 16) this.raiseIf(ne(shrS(shl(target, c64(16)), c64(16)), target), 13, 0);
      return;
    }
    const limit = field(loadOp.i64_load32_u, S.segLimit + Seg.cs * 4);
    this.raiseIf(ltU(limit, this.maskIp(target, this.ipSize())), 13, 0);
  }
}
