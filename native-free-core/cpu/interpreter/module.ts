// The interpreter as one WebAssembly module: handlers, shared functions, the dispatch loop.
// Owns what is imported from TypeScript and what is exported to it.
// Never holds guest state: that is in the memory the module is instantiated with.

import {
  BLOCK_TABLE_BASE,
  BLOCK_TABLE_ENTRIES,
  JUMP_CACHE_BASE,
  JUMP_CACHE_ENTRIES,
  TLB_ENTRIES,
  TLB_USER_OFFSET,
  TlbKind,
} from '../../memory/layout.ts';
import { type FunctionReference, ModuleBuilder } from '../../wasm/module.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, FunctionBuilder, type Label } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  extendU,
  field,
  geU,
  leU,
  load,
  ltS,
  ltU,
  mul,
  type Node,
  ne,
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
import { checkSse } from '../instructions/sse/common.ts';
import { encodings, helperFunctions } from '../instructions/table.ts';
import { checkAvailable, checkMmx, checkWaiting } from '../instructions/x87/common.ts';
import { deliverFault } from '../privileged/delivery.ts';
import { slowAccess } from '../privileged/page-walk.ts';
import { declareFlagFunctions, defineFlagFunctions } from '../semantics/flags.ts';
import type { UnitCheck } from '../semantics/meaning.ts';
import { Exit, ModeBit, S, Seg, Slot, Vector } from '../state.ts';
import { Access } from '../system/page-walk.ts';
import { Handlers } from './handler-numbers.ts';
import { type Handler, HandlerSet } from './handlers.ts';
import { isHot } from './hot-handlers.ts';
import {
  type HandlerShape,
  InlineMeaning,
  type InterpreterFunctions,
  InterpreterMeaning,
} from './interpreter-meaning.ts';
import { SpecialHandler, U } from './micro-op.ts';

const { i32, i64 } = ValueType;

/** What TypeScript provides. Addresses and 64-bit values travel through the state. */
export interface InterpreterImports {
  /** Reads `bytes` at S.slowAddress into S.slowValue; 1 when it raised an exception (in the state). */
  slowRead(bytes: number): number;
  slowReadForWrite(bytes: number): number;
  slowWrite(bytes: number): number;
  /** Checks S.slowAddress as an offset in a segment and replaces it by the linear address; sets S.faulted. */
  segmentSlow(segment: number, access: number): void;
  /** As slowWrite and slowReadForWrite, but gives 1 with the fault vector {@link BY_INTERPRETER} where the bytes hold code. */
  guardedWrite(bytes: number): number;
  guardedReadForWrite(bytes: number): number;
  /** The time-stamp counter's clock in ticks since reset, before the guest's own offset. */
  ticks(): number;
  /** A block has been executed so often that its region is worth translating; the micro-op is its profile. */
  hot(pc: number): void;
  /** The block at S.ip: its first micro-op's address, or 0 to leave (S.exit says why). */
  findBlock(): number;
  /** Carries out the instruction of a micro-op; 1: go on at S.ip, 0: leave (S.exit says why). */
  cold(pc: number): number;
  /** Executes the translated region in an entry of the function table, with its time taken; gives what the region gives. */
  timed(region: number): number;
}

/** What the instantiated module offers. */
export interface InterpreterExports {
  /** Executes from S.ip until the budget is spent or something needs TypeScript; S.exit says which. */
  run(): void;
  /** The same from a micro-op on. */
  run_from(pc: number): void;
  /** Handlers, and behind them translated regions. */
  readonly table: WebAssembly.Table;
  /** The micro-op at S.ip, or 0 to leave: what a translation that has been dropped does instead. */
  enter(): number;
  /** The six arithmetic flags at their places in EFLAGS. */
  flags_all(): number;
}

/**
 * Not an exception: a translated region leaves an instruction to the interpreter. It was about to overwrite decoded code,
 * or found the x87 not as it relies on it.
 */
export const BY_INTERPRETER = 0xff;

export interface InterpreterModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly handlers: Handlers;
}

/**
 * What a translated region gives instead of a micro-op when the guest's function that it was called for has returned: it is
 * at S.expectedReturn. No micro-op has this address.
 */
export const RETURNED = 1;
/** S.expectedReturn while no translation has called another: no instruction pointer is ever this. */
export const NO_RETURN = 1n << 62n;
/**
 * Translations that have called each other at most: each has a frame on the thread's own stack, of a few KiB before V8
 * optimizes it. Beyond, calls leave their translation for good.
 */
export const NESTED_CALLS = 48;

/**
 * A slow access in a region is made by a function of its own, (linear i64, budget left i32, detail i32) -> i32: what is left of
 * the budget afterwards, less than {@link SLOW_FAILED} where it raised an exception; then S.slowDetail is the detail. That is
 * the instruction's offset in its page (bits 0 to 11), log2 of the bytes from bit {@link SLOW_SIZE_SHIFT} on, and from bit 16
 * on the instructions of its block that had not been executed.
 */
export const SLOW_FAILED = -0x1000;
export const SLOW_SIZE_SHIFT = 12;

/** Translated regions that can be installed at once: entries of the function table behind the handlers. */
export const REGION_SLOTS = 8192;

/** log2 of the bytes of an entry of the shortcut table. */
const JUMP_CACHE_ENTRY_SHIFT = 5;
/** log2 of the bytes of a block table entry. */
const BLOCK_ENTRY_SHIFT = 4;

/**
 * What a translated region's link slot holds, each an i32: next micro-op, the key it holds under, the target's page offset,
 * the function table's index of the target's translation (0 while it has none).
 */
export const LinkSlot = { next: 0, key: 4, offset: 8, region: 12 } as const;

/** What a region's slot for another page of its code holds, each an i32: the key under which it was checked, the physical page. */
export const GuardSlot = { key: 4, page: 8 } as const;

/** What an entry of the jump cache holds: instruction pointer (i64), then each an i32 as in a link slot. */
export const Shortcut = { ip: 0, key: 8, next: 12, region: 16 } as const;

/** Address of the jump cache's entry for an instruction pointer (an i64). */
export function shortcutOf(ip: Node): Node {
  const low = wrap(ip);
  const index = and(xor(low, shrU(low, c32(12))), c32(JUMP_CACHE_ENTRIES - 1));
  return add(c32(JUMP_CACHE_BASE), shl(index, c32(JUMP_CACHE_ENTRY_SHIFT)));
}

/** Index of a block in the block table; `physicalPage` and `offset` say where it begins. Mirrors {@link hashNode}. */
export function blockHash(physicalPage: number, offset: number): number {
  return (Math.imul(physicalPage, 0x2f1) ^ offset) & (BLOCK_TABLE_ENTRIES - 1);
}

const hashNode = (physicalPage: Node, offset: Node): Node =>
  and(xor(mul(physicalPage, c32(0x2f1)), offset), c32(BLOCK_TABLE_ENTRIES - 1));

/** Special handlers at the start of blocks, which are worth a place in the dispatch loop. */
const IN_LOOP: ReadonlySet<string> = new Set(['next', 'profile', 'translated', 'pass']);

const SPECIAL_SHAPE: HandlerShape = { size: 64, addressSize: 64, operands: [], flat: true, rep: 0 };

/** Builds the module. Deterministic: the same table gives the same bytes. */
export function buildInterpreter(memoryMaximumPages: number): InterpreterModule {
  const module = new ModuleBuilder();
  module.importMemory(1, memoryMaximumPages);
  const slowReadImport = module.importFunction('slowRead', [i32], i32);
  const slowReadForWriteImport = module.importFunction('slowReadForWrite', [i32], i32);
  const slowWriteImport = module.importFunction('slowWrite', [i32], i32);
  const segmentSlowImport = module.importFunction('segmentSlow', [i32, i32], undefined);
  const guardedWriteImport = module.importFunction('guardedWrite', [i32], i32);
  const guardedReadForWriteImport = module.importFunction('guardedReadForWrite', [i32], i32);
  const ticksImport = module.importFunction('ticks', [], ValueType.f64);
  const hotImport = module.importFunction('hot', [i32], undefined);
  const findBlockImport = module.importFunction('findBlock', [], i32);
  const coldImport = module.importFunction('cold', [i32], i32);
  const timedImport = module.importFunction('timed', [i32], i32);

  const named = new Map<string, FunctionReference>();
  const slowWrite = module.declare('slow_write', [i64, i32], i32);
  const functions: InterpreterFunctions = {
    flags: declareFlagFunctions(module),
    slowRead: module.declare('slow_read', [i64, i32], i32),
    slowReadForWrite: module.declare('slow_read_for_write', [i64, i32], i32),
    slowWrite,
    finishSlowWrite: slowWrite,
    segmentLinear: module.declare('segment_linear', [i32, i64, i32], i64, true),
    timestamp: module.declare('timestamp', [], i64, true),
    enter: module.declare('enter', [], i32, true),
    follow: module.declare('follow', [i32, i64], i32),
    cold: module.declare('cold', [i32], i32, true),
    badTarget: module.declare('bad_target', [i64], i32),
    named,
  };
  const guardedReadForWrite = module.declare('guarded_read_for_write', [i64, i32], i32);
  const guardedWrite = module.declare('guarded_write', [i64, i32], i32);
  const followSlot = module.declare('follow_slot', [i32], i32, true);
  const checkPage = module.declare('check_page', [i32, i64], i32, true);
  for (const helper of helperFunctions) {
    if (named.has(helper.name)) throw new Error(`Two helper functions are named ${helper.name}.`);
    named.set(helper.name, module.declare(helper.name, helper.parameters, helper.result, true));
  }
  defineFlagFunctions(module, functions.flags);
  for (const [reference, kind, target] of [
    [functions.slowRead, 'read', slowReadImport],
    [functions.slowReadForWrite, 'readForWrite', slowReadForWriteImport],
    [functions.slowWrite, 'write', slowWriteImport],
    [guardedReadForWrite, 'readForWrite', guardedReadForWriteImport],
    [guardedWrite, 'write', guardedWriteImport],
  ] as const) {
    const f = new FunctionBuilder([i64, i32]);
    slowAccess(f, kind, named.get('walk_page')!, target);
    module.define(reference, f.finish());
  }
  for (const [name, access] of [
    ['slow_read_in_region', functions.slowRead],
    ['slow_read_for_write_in_region', guardedReadForWrite],
    ['slow_write_in_region', guardedWrite],
    ['finish_slow_write_in_region', slowWrite],
  ] as const) {
    module.define(module.declare(name, [i64, i32, i32], i32, true), slowInRegion(access));
  }
  for (const [name, kind] of [
    ['find_for_read', TlbKind.read],
    ['find_for_write', TlbKind.write],
  ] as const) {
    module.define(module.declare(name, [i64, i32], i32, true), findInTlb(kind));
  }
  module.define(functions.timestamp, timestamp(ticksImport));
  module.define(functions.segmentLinear, segmentLinear(segmentSlowImport));
  module.define(functions.enter, enter(findBlockImport, named.get('walk_page')!));
  module.define(functions.follow, follow(functions.enter));
  module.define(followSlot, followSlotBody(functions.enter));
  module.define(checkPage, checkPageBody());
  module.define(functions.cold, cold(coldImport, functions.enter));
  module.define(functions.badTarget, badTarget());
  for (const helper of helperFunctions) {
    const f = new FunctionBuilder(helper.parameters);
    helper.build(f, (name) => {
      const reference = named.get(name);
      if (!reference) throw new Error(`Helper ${helper.name} calls ${name}, which does not exist.`);
      return reference;
    });
    module.define(named.get(helper.name)!, f.finish());
  }

  const set = new HandlerSet(
    functions,
    specialHandlers(functions, hotImport, timedImport, module.type([], i32)),
    SpecialHandler.cold,
  );
  const handlers = new Handlers(set.numbersOf(encodings), encodings);

  const references = set.handlers.map((handler) => {
    const reference = module.declare(handler.name, [i32], i32);
    module.define(reference, handler.body);
    return reference;
  });
  module.functionTable(references.length + REGION_SLOTS, false);
  module.fillTable(0, references);
  const runFrom = module.declare('run_from', [i32], undefined, true);
  module.define(runFrom, dispatchLoop(functions, module.type([i32], i32), set.handlers));
  const deliver = module.declare('deliver_fault', [], i32, true);
  module.define(deliver, deliverFault(functions.flags.all, named.get('deliver_event')!).finish());
  const run = module.declare('run', [], undefined, true);
  const body = new FunctionBuilder();
  body.loop((again) => {
    body.call(runFrom, call(functions.enter));
    const faulted = eq(field(loadOp.i32_load, S.exit), c32(Exit.fault));
    body.if(faulted, () => body.brIf(again, call(deliver)));
  });
  module.define(run, body.finish());
  return { bytes: module.build(), handlers };
}

const UNIT_CHECKS: Record<UnitCheck, (m: InterpreterMeaning) => void> = {
  x87Available: checkAvailable,
  x87Waiting: checkWaiting,
  mmx: checkMmx,
  sse: checkSse,
};

/** Pseudo-instructions, in the order of {@link SpecialHandler}. */
function specialHandlers(
  functions: InterpreterFunctions,
  hot: FunctionReference,
  timed: FunctionReference,
  regionType: number,
): Handler[] {
  const make = (name: keyof typeof SpecialHandler, build: (m: InterpreterMeaning) => void): Handler => {
    const m = new InterpreterMeaning(functions, SPECIAL_SHAPE);
    build(m);
    m.unreachable();
    const handler = { name: `special ${name}`, body: m.finish(), traits: m.traits };
    return IN_LOOP.has(name) ? { ...handler, source: { row: name, shape: SPECIAL_SHAPE, meaning: build } } : handler;
  };
  const leave = (m: InterpreterMeaning, exit: number): void => {
    m.storeField(storeOp.i32_store, S.exitPc, m.pc);
    m.storeField(storeOp.i32_store, S.exit, c32(exit));
    m.goTo(c32(0));
  };
  return [
    make('stale', (m) => leave(m, Exit.stale)),
    make('next', (m) => m.jumpRelative()),
    make('undefined', (m) => m.raise(Vector.invalidOpcode)),
    make('tooLong', (m) => m.raise(Vector.generalProtection, 0)),
    make('cold', (m) => m.cold()),
    make('stop', (m) => {
      m.storeField(
        storeOp.i32_store,
        S.budget,
        sub(field(loadOp.i32_load, S.budget), load(loadOp.i32_load8_u, m.pc, U.ordinal)),
      );
      m.storeField(storeOp.i64_store, S.ip, m.relativeTarget());
      m.storeField(storeOp.i32_store, S.exit, c32(Exit.budget));
      m.goTo(c32(0));
    }),
    make('checkNextPage', (m) => {
      // The next page, in the execute TLB, must still be the physical page in the micro-op's immediate.
      const linear = m.let(add(linearOf(field(loadOp.i64_load, S.regs + Slot.codeBase * 8)), c64(0x1000)));
      const entry = m.let(executeEntry(linear));
      const same = and(
        eq(load(loadOp.i64_load, entry), linear),
        eq(load(loadOp.i32_load, entry, 12), load(loadOp.i32_load, m.pc, U.immediate)),
      );
      m.if(same, () => m.goOn());
      leave(m, Exit.nextPage);
    }),
    make('profile', (m) => {
      const left = m.let(sub(load(loadOp.i32_load, m.pc, U.immediate), c32(1)));
      m.store(storeOp.i32_store, m.pc, left, U.immediate);
      m.if(eq(left, c32(0)), () => m.call(hot, m.pc));
      m.goOn();
    }),
    make('translated', (m) => translated(m, timed, regionType)),
    make('pass', (m) => m.goOn()),
    ...(['x87Available', 'x87Waiting', 'mmx', 'sse'] as const).map((check) =>
      make(check, (m) => {
        UNIT_CHECKS[check](m);
        m.goOn();
      }),
    ),
  ];
}

/** Translations execute until the loop has its turn again; counts their instructions, and has one time in many taken. */
function translated(m: InterpreterMeaning, timed: FunctionReference, regionType: number): void {
  const budget = (): Node => field(loadOp.i32_load, S.budget);
  const counted = (): Node => field(loadOp.i32_load, S.translatedInstructions);
  const region = m.let(load(loadOp.i32_load, m.pc, U.immediate));
  const untilTimed = m.let(sub(field(loadOp.i32_load, S.untilTimed), c32(1)));
  const next = m.let(c32(0));
  m.storeField(storeOp.i32_store, S.untilTimed, untilTimed);
  m.storeField(storeOp.i32_store, S.translatedInstructions, add(counted(), budget()));
  m.storeField(storeOp.i32_store, S.translating, c32(1));
  m.storeField(storeOp.i64_store, S.expectedReturn, c64(NO_RETURN));
  m.storeField(storeOp.i32_store, S.callDepth, c32(0));
  m.if(
    ltS(untilTimed, c32(0)),
    () => m.set(next, call(timed, region)),
    () => m.set(next, m.callIndirect(regionType, region, [], i32)),
    false,
  );
  m.storeField(storeOp.i32_store, S.translating, c32(0));
  m.storeField(storeOp.i32_store, S.translatedInstructions, sub(counted(), budget()));
  m.goTo(next);
}

/** Linear address of an instruction pointer: CS base added except in 64-bit code. */
function linearOf(ip: Node): Node {
  const legacy = and(add(ip, field(loadOp.i64_load, S.segBase + Seg.cs * 8)), c64(0xffffffffn));
  return select(isCode64(), ip, legacy);
}

function isCode64(): Node {
  return eq(and(field(loadOp.i32_load, S.mode), c32(ModeBit.codeMask)), c32(ModeBit.code64));
}

/** S.tlb does not serve here: while alignment is checked it names tables without entries, which fetches do not fill. */
function executeEntry(linear: Node): Node {
  const index = and(shrU(wrap(linear), c32(8)), c32((TLB_ENTRIES - 1) << 4));
  const user = eq(field(loadOp.i32_load, S.cpl), c32(3));
  const table = select(user, c32(TLB_USER_OFFSET + TlbKind.execute), c32(TlbKind.execute));
  return add(add(field(loadOp.i32_load, S.tlbBank), table), index);
}

function timestamp(ticks: FunctionReference) {
  const f = new FunctionBuilder();
  f.return(add(pure(op.i64_trunc_sat_f64_u, call(ticks)), field(loadOp.i64_load, S.tscOffset)));
  f.unreachable();
  return f.finish();
}

function segmentLinear(slow: FunctionReference) {
  const f = new FunctionBuilder([i32, i64, i32]);
  const segment = f.parameter(0, i32);
  const offset = f.parameter(1, i64);
  const access = f.parameter(2, i32);
  const base = load(loadOp.i64_load, shl(segment, c32(3)), S.segBase);
  f.if(isCode64(), () => f.return(select(geU(segment, c32(Seg.fs)), add(offset, base), offset)));
  const word = shl(segment, c32(2));
  const plain = and(shrU(load(loadOp.i32_load, word, S.segPlain), shrU(access, c32(8))), c32(1));
  const last = add(offset, sub(extendU(and(access, c32(0xff))), c64(1)));
  f.if(and(plain, leU(last, load(loadOp.i64_load32_u, word, S.segLimit))), () =>
    f.return(and(add(offset, base), c64(0xffffffffn))),
  );
  f.storeField(storeOp.i64_store, S.slowAddress, offset);
  f.call(slow, segment, access);
  f.return(field(loadOp.i64_load, S.slowAddress));
  f.unreachable();
  return f.finish();
}

/** The function table's index of the translation that a block's first micro-op stands for, or 0. */
const regionOf = (pc: Node, handler: Node): Node =>
  select(eq(handler, c32(SpecialHandler.translated)), load(loadOp.i32_load, pc, U.immediate), c32(0));

/** Finds the block at S.ip by the execute TLB and the block table; asks TypeScript where either misses. */
function enter(findBlock: FunctionReference, walkPage: FunctionReference) {
  const f = new FunctionBuilder();
  f.if(ltS(field(loadOp.i32_load, S.budget), c32(0)), () => {
    f.storeField(storeOp.i32_store, S.exit, c32(Exit.budget));
    f.return(c32(0));
  });
  const ip = f.let(field(loadOp.i64_load, S.ip));
  // A shortcut holds as long as the link key is the same, which is never that of an entry where there is none.
  const linkKey = f.let(field(loadOp.i32_load, S.linkKey));
  const shortcut = f.let(shortcutOf(ip));
  const known = and(
    eq(load(loadOp.i64_load, shortcut, Shortcut.ip), ip),
    eq(load(loadOp.i32_load, shortcut, Shortcut.key), linkKey),
  );
  f.if(known, () => {
    const next = f.let(load(loadOp.i32_load, shortcut, Shortcut.next));
    const handler = f.let(load(loadOp.i32_load16_u, next, U.handler));
    // A block that has gone stale is looked for anew; address 0 holds no handler either.
    f.if(handler, () => {
      f.store(storeOp.i32_store, shortcut, regionOf(next, handler), Shortcut.region);
      f.storeField(storeOp.i64_store, S.regs + Slot.codeBase * 8, and(ip, c64(~0xfffn)));
      f.return(next);
    });
  });
  const linear = f.let(linearOf(ip));
  const offset = f.let(and(wrap(linear), c32(0xfff)));
  const entry = f.let(executeEntry(linear));
  // Where the walk does not bring the page into the TLB, TypeScript finds out why.
  f.if(ne(load(loadOp.i64_load, entry), and(linear, c64(~0xfffn))), () => {
    const user = select(eq(field(loadOp.i32_load, S.cpl), c32(3)), c32(Access.user), c32(0));
    f.call(walkPage, linear, or(c32(Access.fetch), user));
  });
  // Near the end of a limited code segment TypeScript decodes byte by byte.
  const pageEnd = add(ip, extendU(sub(c32(0xfff), offset)));
  const inLimit = or(isCode64(), leU(pageEnd, field(loadOp.i64_load32_u, S.segLimit + Seg.cs * 4)));
  f.if(and(eq(load(loadOp.i64_load, entry), and(linear, c64(~0xfffn))), inLimit), () => {
    const page = f.let(load(loadOp.i32_load, entry, 12));
    const key = or(shl(extendU(page), c64(16)), extendU(or(offset, shl(field(loadOp.i32_load, S.mode), c32(12)))));
    const block = f.let(add(c32(BLOCK_TABLE_BASE), shl(hashNode(page, offset), c32(BLOCK_ENTRY_SHIFT))));
    // The key of 16-bit code at physical address 0 is 0, as that of an empty entry is, which has no micro-op.
    const next = f.let(load(loadOp.i32_load, block, 8));
    f.if(and(eq(load(loadOp.i64_load, block), key), ne(next, c32(0))), () => {
      f.storeField(storeOp.i64_store, S.regs + Slot.codeBase * 8, sub(ip, extendU(offset)));
      f.if(ne(linkKey, c32(-1)), () => {
        const region = regionOf(next, load(loadOp.i32_load16_u, next, U.handler));
        f.store(storeOp.i64_store, shortcut, ip, Shortcut.ip);
        f.store(storeOp.i32_store, shortcut, linkKey, Shortcut.key);
        f.store(storeOp.i32_store, shortcut, next, Shortcut.next);
        f.store(storeOp.i32_store, shortcut, region, Shortcut.region);
      });
      f.return(next);
    });
  });
  f.return(call(findBlock));
  f.unreachable();
  return f.finish();
}

/** Lower and upper 32 bits of a block's key in the block table. Mirrors `enter`. */
export const blockKeyLow = (physicalPage: number, offset: number, mode: number): number =>
  (((physicalPage & 0xffff) << 16) | offset | (mode << 12)) >>> 0;
export const blockKeyHigh = (physicalPage: number): number => Math.floor(physicalPage / 0x10000);

function follow(enterReference: FunctionReference) {
  const f = new FunctionBuilder([i32, i64]);
  const pc = f.parameter(0, i32);
  f.storeField(storeOp.i64_store, S.ip, f.parameter(1, i64));
  const generation = f.let(field(loadOp.i32_load, S.blockGeneration));
  const next = f.callResult(enterReference);
  const samePage = ltU(load(loadOp.i32_load, pc, U.target), c32(0x1000));
  const sameGeneration = eq(generation, field(loadOp.i32_load, S.blockGeneration));
  const live = load(loadOp.i32_load16_u, pc, U.handler);
  f.if(and(and(samePage, sameGeneration), and(ne(next, c32(0)), ne(live, c32(0)))), () =>
    f.store(storeOp.i32_store, pc, next, U.link),
  );
  f.return(next);
  f.unreachable();
  return f.finish();
}

/** (slot i32) -> i32: the block at S.ip; remembers it, with the key under which it holds, in a region's link slot. */
function followSlotBody(enterReference: FunctionReference) {
  const f = new FunctionBuilder([i32]);
  const slot = f.parameter(0, i32);
  const generation = f.let(field(loadOp.i32_load, S.blockGeneration));
  const next = f.callResult(enterReference);
  const key = f.let(field(loadOp.i32_load, S.linkKey));
  const sameGeneration = eq(generation, field(loadOp.i32_load, S.blockGeneration));
  f.if(and(and(sameGeneration, ne(next, c32(0))), ne(key, c32(-1))), () => {
    const region = regionOf(next, load(loadOp.i32_load16_u, next, U.handler));
    f.store(storeOp.i32_store, slot, next, LinkSlot.next);
    f.store(storeOp.i32_store, slot, key, LinkSlot.key);
    f.store(storeOp.i32_store, slot, region, LinkSlot.region);
  });
  f.return(next);
  f.unreachable();
  return f.finish();
}

/**
 * (slot i32, linear page i64) -> i32: 1 when a page of a region's code is still where its guard slot says, by the execute
 * TLB, and remembers that for the current link key.
 */
function checkPageBody() {
  const f = new FunctionBuilder([i32, i64]);
  const slot = f.parameter(0, i32);
  const linear = f.parameter(1, i64);
  const key = f.let(field(loadOp.i32_load, S.linkKey));
  const entry = f.let(executeEntry(linear));
  const same = and(
    eq(load(loadOp.i64_load, entry), linear),
    eq(load(loadOp.i32_load, entry, 12), load(loadOp.i32_load, slot, GuardSlot.page)),
  );
  f.if(and(same, ne(key, c32(-1))), () => {
    f.store(storeOp.i32_store, slot, key, GuardSlot.key);
    f.return(c32(1));
  });
  f.return(c32(0));
  f.unreachable();
  return f.finish();
}

/** (linear i64, bytes - 1 i32) -> i32: host address of memory that the TLB has, all of it in one page; else 0. */
function findInTlb(kind: TlbKind) {
  const f = new FunctionBuilder([i64, i32]);
  const linear = f.parameter(0, i64);
  const index = and(shrU(wrap(linear), c32(8)), c32((TLB_ENTRIES - 1) << 4));
  const entry = f.let(add(field(loadOp.i32_load, S.tlb), index));
  const page = and(add(linear, extendU(f.parameter(1, i32))), c64(~0xfffn));
  f.if(eq(load(loadOp.i64_load, entry, kind), page), () =>
    f.return(add(wrap(linear), load(loadOp.i32_load, entry, kind + 8))),
  );
  f.return(c32(0));
  f.unreachable();
  return f.finish();
}

/** See {@link SLOW_FAILED}. A block has not so many instructions that what is left could come close to it. */
function slowInRegion(access: FunctionReference) {
  const f = new FunctionBuilder([i64, i32, i32]);
  const linear = f.parameter(0, i64);
  const detail = f.parameter(2, i32);
  const unexecuted = f.let(shrU(detail, c32(16)));
  f.storeField(storeOp.i32_store, S.budget, add(f.parameter(1, i32), unexecuted));
  const bytes = shl(c32(1), and(shrU(detail, c32(SLOW_SIZE_SHIFT)), c32(7)));
  f.if(call(access, linear, bytes), () => {
    f.storeField(storeOp.i32_store, S.slowDetail, detail);
    f.return(c32(-0x80000000));
  });
  f.return(sub(field(loadOp.i32_load, S.budget), unexecuted));
  f.unreachable();
  return f.finish();
}

function cold(coldImport: FunctionReference, enterReference: FunctionReference) {
  const f = new FunctionBuilder([i32]);
  const pc = f.parameter(0, i32);
  f.storeField(
    storeOp.i32_store,
    S.budget,
    sub(field(loadOp.i32_load, S.budget), load(loadOp.i32_load8_u, pc, U.ordinal)),
  );
  f.if(call(coldImport, pc), () => f.return(call(enterReference)));
  f.return(c32(0));
  f.unreachable();
  return f.finish();
}

/** 64-bit code: the target is not canonical. Otherwise: it lies beyond the code segment's limit. */
function badTarget() {
  const f = new FunctionBuilder([i64]);
  const ip = f.parameter(0, i64);
  const canonical = shrS(shl(ip, c64(16)), c64(16));
  f.if(isCode64(), () => f.return(ne(canonical, ip)));
  f.return(ltU(field(loadOp.i64_load32_u, S.segLimit + Seg.cs * 4), ip));
  f.unreachable();
  return f.finish();
}

/**
 * Executes micro-op after micro-op until one gives 0. The hottest handlers are part of the loop, a jump table away;
 * the others are called through the function table.
 */
function dispatchLoop(functions: InterpreterFunctions, handlerType: number, handlers: readonly Handler[]) {
  const f = new InlineMeaning(functions, SPECIAL_SHAPE);
  const { pc } = f;
  const hot = handlers.flatMap(({ source }, number) =>
    source && (IN_LOOP.has(source.row) || isHot(source.row, source.shape)) ? [{ number, source }] : [],
  );
  f.block((done) => {
    f.loop((again) => {
      f.brIf(done, eq(pc, c32(0)));
      const place = (index: number): void => {
        if (index === hot.length) {
          f.block((others) => {
            const table = handlers.map(() => others);
            hot.forEach(({ number }, i) => {
              table[number] = labels[i];
            });
            f.brTable(load(loadOp.i32_load16_u, pc, U.handler), table, others);
          });
          const next = f.callIndirect(handlerType, load(loadOp.i32_load16_u, pc, U.handler), [pc], i32);
          f.set(pc, next);
          f.release(next);
          f.br(again);
          return;
        }
        f.block((label) => {
          labels.push(label);
          place(index + 1);
        });
        f.inline(hot[index].source.shape, again, hot[index].source.meaning);
      };
      const labels: Label[] = [];
      place(0);
    });
  });
  return f.finish();
}
