// The page walk and the filling of the TLBs in WebAssembly, for pages of RAM whose tables are in RAM.
// Owns 4-level, PAE and 32-bit paging without pages of 1 GiB; page faults are raised here as well.
// Never reaches a device and never drops decoded code: system/page-walk.ts and system/paging.ts have every case.

import {
  CODE_LINES_BASE,
  LOW_RAM_LIMIT,
  MachineBook,
  PAGE_STATE_BASE,
  PageState,
  RAM_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_STATE,
  TLB_FILLED,
  TLB_FILLED_GLOBAL,
  TLB_LARGE,
  TLB_LARGE_ENTRIES,
  TLB_NEVER,
  TLB_NO_TAG,
  TLB_USER_OFFSET,
  TlbBook,
  TlbEntryState,
  TlbKind,
  WRITE_MAPPED_BASE,
} from '../../memory/layout.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, type FunctionBuilder, type Label } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  geU,
  load,
  ltU,
  type Node,
  ne,
  or,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { S, Vector } from '../state.ts';
import { Cr0, Cr4, Efer, PHYSICAL_ADDRESS_BITS } from '../system/architecture.ts';
import { Access } from '../system/page-walk.ts';
import { PageKind } from '../system/physical.ts';
import { isLongMode, state32, state64 } from './segment-state.ts';
import type { Local } from './supervisor-memory.ts';

const { i32, i64 } = ValueType;

/** What {@link walkPage} gives. */
export const Walk = {
  /** The page is in the TLB, for a write also the write table. */
  done: 0,
  /** It raised a page fault, which is in the state. */
  fault: 1,
  /** TypeScript must make the access. Nothing has changed but accessed and dirty bits that it would set as well. */
  unusual: 2,
} as const;

const P = 1n;
const W = 2;
const U = 4;
const A = 0x20;
const D = 0x40;
const PS = 0x80;
const G = 0x100;
/** Bits of an 8-byte entry that are an address, and those of them that no physical address has. */
const ADDRESS = 0x000f_ffff_ffff_f000n;
const BEYOND_PHYSICAL = ADDRESS & ~((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n);
const EXECUTE_DISABLE = 1n << 63n;
/** Bits 52 to 62, which 4-level paging ignores and PAE paging reserves. */
const IGNORED_BY_LONG = 0x7ff0_0000_0000_0000n;

const has = (value: Node, bits: number): Node =>
  ne(and(value, value.type === i64 ? c64(bits) : c32(bits)), c(value, 0));
const c = (like: Node, value: number): Node => (like.type === i64 ? c64(value) : c32(value));
const ramPage = (host: Node): Node => shrU(sub(host, c32(RAM_BASE)), c32(12));
const kindOf = (host: Node): Node =>
  and(load(loadOp.i32_load8_u, ramPage(host), PAGE_STATE_BASE), c32(PageState.kindMask));

/** (physical i64) -> i32: host address of RAM that is read directly, or 0. */
const ramAddress: HelperFunction = {
  name: 'ram_address',
  parameters: [i64],
  result: i32,
  build: (f) => {
    const physical = f.parameter(0, i64);
    const host = f.local(i32);
    f.if(
      ltU(physical, state64(MachineBook.lowRam)),
      () => f.set(host, add(wrap(physical), c32(RAM_BASE))),
      () => {
        // Below 4 GiB this wraps to more than any guest has.
        const above = f.let(sub(physical, c64(0x1_0000_0000n)));
        f.if(geU(above, state64(MachineBook.highRam)), () => f.return(c32(0)));
        f.set(host, add(wrap(above), c32((RAM_BASE + LOW_RAM_LIMIT) | 0)));
      },
    );
    // Directly mapped memory is found by TypeScript, which then fills the TLBs all the same.
    f.return(select(geU(kindOf(host), c32(PageKind.mmio)), c32(0), host));
    f.unreachable();
  },
};

/** (host i32) -> i32: whether a paging-structure entry may be written without anybody having to know. */
const isPlainRam: HelperFunction = {
  name: 'is_plain_ram',
  parameters: [i32],
  result: i32,
  build: (f) => {
    const page = f.let(ramPage(f.parameter(0, i32)));
    const kind = and(load(loadOp.i32_load8_u, page, PAGE_STATE_BASE), c32(PageState.kindMask));
    f.return(and(eq(kind, c32(PageKind.ram)), eqz(load(loadOp.i64_load, shl(page, c32(3)), CODE_LINES_BASE))));
    f.unreachable();
  },
};

/** (entry's address, host address of the page, physical page, not 0 if global: i32; linear page i64): Mmu.put. */
const putEntry: HelperFunction = {
  name: 'put_tlb_entry',
  parameters: [i32, i32, i32, i32, i64],
  result: undefined,
  build: (f) => {
    const [at, host, physicalPage, global] = [0, 1, 2, 3].map((index) => f.parameter(index, i32));
    const linear = f.parameter(4, i64);
    f.store(storeOp.i64_store, at, linear);
    f.store(storeOp.i32_store, at, sub(host, wrap(linear)), 8);
    f.store(storeOp.i32_store, at, physicalPage, 12);
    const page = f.let(ramPage(host));
    const state = f.let(load(loadOp.i32_load8_u, page, PAGE_STATE_BASE));
    f.if(eqz(and(state, c32(PageState.touched))), () => {
      f.store(storeOp.i32_store8, page, or(state, c32(PageState.touched)), PAGE_STATE_BASE);
      f.storeField(storeOp.i32_store, MachineBook.touchedPages, add(state32(MachineBook.touchedPages), c32(1)));
    });
    const bank = f.let(state32(S.tlbBank));
    const entry = f.let(shrU(sub(at, bank), c32(4)));
    const stateAt = f.let(add(bank, entry));
    const old = f.let(load(loadOp.i32_load8_u, stateAt, TLB_ENTRY_STATE));
    const list = (flag: number, count: number, base: number): void =>
      f.if(eqz(and(old, c32(flag))), () => {
        const filled = f.let(load(loadOp.i32_load, bank, count));
        f.store(storeOp.i32_store, add(bank, shl(filled, c32(2))), entry, base);
        f.store(storeOp.i32_store, bank, add(filled, c32(1)), count);
      });
    const { listed, listedGlobal, holdsGlobal } = TlbEntryState;
    f.if(
      global,
      () => {
        list(listedGlobal, TlbBook.filledGlobal, TLB_FILLED_GLOBAL);
        f.store(storeOp.i32_store8, stateAt, or(old, c32(listedGlobal | holdsGlobal)), TLB_ENTRY_STATE);
      },
      () => {
        list(listed, TlbBook.filled, TLB_FILLED);
        f.store(storeOp.i32_store8, stateAt, and(or(old, c32(listed)), c32(~holdsGlobal)), TLB_ENTRY_STATE);
      },
    );
  },
};

/** The walk of one access under construction: what its levels leave to be looked at. */
class LevelWalk {
  /** All entries' bits anded, and ored. */
  readonly all: Local;
  readonly any: Local;
  /** The last entry, and the physical address of the page. */
  readonly leaf: Local;
  readonly page: Local;
  /** Host address of each level's entry, 0 where there is none. */
  readonly hosts: readonly Local[];
  private readonly f: FunctionBuilder;
  private readonly helper: (name: string) => Parameters<typeof call>[0];
  private readonly code: Local;
  private readonly labels: { readonly unusual: Label; readonly fault: Label };

  constructor(
    f: FunctionBuilder,
    helper: (name: string) => Parameters<typeof call>[0],
    code: Local,
    labels: { unusual: Label; fault: Label },
  ) {
    this.f = f;
    this.helper = helper;
    this.code = code;
    this.labels = labels;
    this.all = f.let(c64(-1));
    this.any = f.let(c64(0));
    this.leaf = f.local(i64);
    this.page = f.local(i64);
    this.hosts = [0, 1, 2, 3].map(() => f.let(c32(0)));
  }

  /** Reads the entry at a physical address into `leaf`: absent or with reserved bits it is a fault. */
  step(level: number, address: Node, size: 4 | 8, reserved: Node): void {
    const { f, leaf, all, any } = this;
    const host = this.hosts[level];
    f.set(host, call(this.helper('ram_address'), address));
    f.brIf(this.labels.unusual, eqz(host));
    f.set(leaf, load(size === 8 ? loadOp.i64_load : loadOp.i64_load32_u, host));
    this.check(reserved);
    f.set(all, and(all, leaf));
    f.set(any, or(any, leaf));
  }

  /** Faults where `leaf` is not present or has any of the reserved bits. */
  check(reserved: Node): void {
    const { f, leaf } = this;
    f.brIf(this.labels.fault, eqz(and(leaf, c64(P))));
    this.refuse(ne(and(leaf, reserved), c64(0)));
  }

  /** The page fault of reserved bits, if the condition is not 0. */
  refuse(condition: Node): void {
    const { f, code } = this;
    f.if(condition, () => {
      f.set(code, or(code, c32(Access.present | Access.reserved)));
      f.br(this.labels.fault);
    });
  }
}

/**
 * (linear i64, access i32) -> i32, one of {@link Walk}: walks for an access within one page, sets accessed and dirty bits
 * and fills the TLB of the privilege that the access names.
 */
const walkPage: HelperFunction = {
  name: 'walk_page',
  parameters: [i64, i32],
  result: i32,
  build: (f, helper) => {
    const linear = f.parameter(0, i64);
    const access = f.parameter(1, i32);
    const cr0 = f.let(state32(S.cr0));
    const cr4 = f.let(state32(S.cr4));
    const efer = f.let(state32(S.efer));
    const low = f.let(wrap(linear));
    const code = f.local(i32);
    f.block((unusual) => {
      f.brIf(
        unusual,
        or(
          // Both are i32 fields side by side.
          or(ne(load(loadOp.i64_load, state32(S.tlbBank), TlbBook.watching), c64(0)), state32(MachineBook.a20Closed)),
          eqz(and(cr0, c32(Cr0.pg))),
        ),
      );
      const pae = f.let(has(cr4, Cr4.pae));
      const nx = f.let(and(pae, has(efer, Efer.nxe)));
      const toldApart = or(nx, has(cr4, Cr4.smep));
      f.set(code, select(toldApart, access, and(access, c32(~Access.fetch))));
      f.block((fault) => {
        const walk = new LevelWalk(f, helper, code, { unusual, fault });
        f.if(
          pae,
          () => wideWalk(f, walk, linear, low, nx, unusual),
          () => narrowWalk(f, walk, linear, low, has(cr4, Cr4.pse), unusual),
        );
        allow(f, walk, access, cr0, cr4, code, fault);
        mark(f, helper, walk, access, unusual);
        fill(f, helper, walk, { linear, low, access, cr0, cr4 }, unusual);
        countMiss(f);
        f.return(c32(Walk.done));
      });
      f.storeField(storeOp.i64_store, S.cr2, linear);
      f.storeField(storeOp.i32_store, S.faultVector, c32(Vector.pageFault));
      f.storeField(storeOp.i32_store, S.faultCode, code);
      f.storeField(storeOp.i32_store, S.faulted, c32(1));
      countMiss(f);
      f.return(c32(Walk.fault));
    });
    f.return(c32(Walk.unusual));
    f.unreachable();
  },
};

function countMiss(f: FunctionBuilder): void {
  f.storeField(storeOp.i64_store, S.tlbMisses, add(state64(S.tlbMisses), c64(1)));
}

/** 4-level and PAE paging. */
function wideWalk(f: FunctionBuilder, walk: LevelWalk, linear: Local, low: Local, nx: Local, unusual: Label): void {
  const { leaf, page } = walk;
  const reserved = f.let(or(c64(BEYOND_PHYSICAL), select(nx, c64(0), c64(EXECUTE_DISABLE))));
  const index = (shift: number): Node => shl(and(shrU(linear, c64(shift)), c64(511)), c64(3));
  const table = (): Node => and(leaf, c64(ADDRESS));
  f.if(
    isLongMode(),
    () => {
      f.brIf(unusual, ne(shrS(shl(linear, c64(16)), c64(16)), linear));
      walk.step(0, add(and(state64(S.cr3), c64(ADDRESS)), index(39)), 8, or(reserved, c64(PS)));
      walk.step(1, f.let(add(table(), index(30))), 8, reserved);
      f.brIf(unusual, has(leaf, PS));
    },
    () => {
      f.brIf(unusual, ne(shrU(linear, c64(32)), c64(0)));
      f.set(reserved, or(reserved, c64(IGNORED_BY_LONG)));
      // Rights are not looked at here, and reserved bits were when the register was loaded.
      f.set(leaf, load(loadOp.i64_load, shl(shrU(low, c32(30)), c32(3)), S.pdpte));
      walk.check(c64(0));
    },
  );
  walk.step(2, f.let(add(table(), index(21))), 8, reserved);
  f.if(
    has(leaf, PS),
    () => {
      walk.refuse(has(leaf, 0x1fe000));
      const base = and(leaf, c64(ADDRESS & ~0x1fffffn));
      f.set(page, or(base, and(linear, c64(0x1ff000))));
      markLarge(f, linear, low);
    },
    () => {
      walk.step(3, f.let(add(table(), index(12))), 8, reserved);
      f.set(page, table());
    },
  );
}

/** 32-bit paging. */
function narrowWalk(f: FunctionBuilder, walk: LevelWalk, linear: Local, low: Local, pse: Node, unusual: Label): void {
  const { leaf, page } = walk;
  f.brIf(unusual, ne(shrU(linear, c64(32)), c64(0)));
  const address = (base: Node, shift: number): Node =>
    add(extendU(and(base, c32(~0xfff))), extendU(shl(and(shrU(low, c32(shift)), c32(0x3ff)), c32(2))));
  walk.step(2, address(state32(S.cr3), 22), 4, c64(0));
  f.if(
    and(pse, has(leaf, PS)),
    () => {
      walk.refuse(has(leaf, 0x200000));
      // Bits 13 to 20 are bits 32 to 39 of the address.
      const high = shl(and(shrU(leaf, c64(13)), c64(0xff)), c64(32));
      f.set(page, or(or(high, and(leaf, c64(0xffc00000n))), and(linear, c64(0x3ff000))));
      markLarge(f, linear, low);
    },
    () => {
      walk.step(3, f.let(address(wrap(leaf), 12)), 4, c64(0));
      f.set(page, and(leaf, c64(0xfffff000n)));
    },
  );
}

/** Mmu's mark of a page larger than 4 KiB, a little early: one too many costs only a flush. */
function markLarge(f: FunctionBuilder, linear: Local, low: Local): void {
  const high = wrap(shrU(linear, c64(32)));
  const hash = and(xor(shrU(low, c32(22)), shl(high, c32(10))), c32(TLB_LARGE_ENTRIES - 1));
  f.store(storeOp.i32_store8, add(state32(S.tlbBank), hash), c32(1), TLB_LARGE);
}

/** Rights of all levels together, against what the access needs. */
function allow(
  f: FunctionBuilder,
  walk: LevelWalk,
  access: Local,
  cr0: Local,
  cr4: Local,
  code: Local,
  fault: Label,
): void {
  const user = f.let(has(walk.all, U));
  const writable = f.let(has(walk.all, W));
  const write = has(access, Access.write);
  const byUser = has(access, Access.user);
  const readOnly = and(write, eqz(writable));
  const denied = select(byUser, or(eqz(user), readOnly), and(readOnly, has(cr0, Cr0.wp)));
  const executeDisabled = wrap(shrU(walk.any, c64(63)));
  const smep = and(and(user, eqz(byUser)), has(cr4, Cr4.smep));
  const noFetch = and(has(access, Access.fetch), or(executeDisabled, smep));
  f.if(or(denied, noFetch), () => {
    f.set(code, or(code, c32(Access.present)));
    f.br(fault);
  });
}

/** Sets accessed bits at every level, and for a write the dirty bit. */
function mark(
  f: FunctionBuilder,
  helper: (name: string) => Parameters<typeof call>[0],
  walk: LevelWalk,
  access: Local,
  unusual: Label,
): void {
  const { all, leaf, hosts } = walk;
  const write = f.let(has(access, Access.write));
  const marked = and(has(all, A), or(eqz(write), has(leaf, D)));
  f.if(eqz(marked), () => {
    for (const host of hosts) f.if(host, () => f.brIf(unusual, eqz(call(helper('is_plain_ram'), host))));
    hosts.forEach((host, level) => {
      f.if(host, () => {
        f.store(storeOp.i32_store, host, or(load(loadOp.i32_load, host), c32(A)));
        // The last level's entry is a table's, or the directory's where there is none below.
        const isLeaf = level === 3 ? c32(1) : level === 2 ? eqz(hosts[3]) : c32(0);
        f.if(and(isLeaf, write), () => f.store(storeOp.i32_store, host, or(load(loadOp.i32_load, host), c32(D))));
      });
    });
    f.if(write, () => f.set(leaf, or(leaf, c64(D))));
  });
}

/** Mmu.fill, where the page is RAM. */
function fill(
  f: FunctionBuilder,
  helper: (name: string) => Parameters<typeof call>[0],
  walk: LevelWalk,
  { linear, low, access, cr0, cr4 }: Record<'linear' | 'low' | 'access' | 'cr0' | 'cr4', Local>,
  unusual: Label,
): void {
  const host = f.let(call(helper('ram_address'), walk.page));
  f.brIf(unusual, eqz(host));
  const physicalPage = f.let(wrap(shrU(walk.page, c64(12))));
  const linearPage = f.let(and(linear, c64(~0xfffn)));
  const global = f.let(and(has(walk.leaf, G), has(cr4, Cr4.pge)));
  const user = f.let(has(access, Access.user));
  const index = and(shrU(low, c32(8)), c32((TLB_ENTRIES - 1) << 4));
  const entry = f.let(add(add(state32(S.tlbBank), select(user, c32(TLB_USER_OFFSET), c32(0))), index));
  const put = (kind: TlbKind): void =>
    f.call(helper('put_tlb_entry'), add(entry, c32(kind)), host, physicalPage, global, linearPage);
  f.if(
    has(access, Access.fetch),
    () => {
      // Somebody must know of a code page that loses its entry.
      const held = f.let(load(loadOp.i64_load, entry, TlbKind.execute));
      f.brIf(unusual, and(ne(held, c64(TLB_NO_TAG)), ne(held, linearPage)));
      put(TlbKind.execute);
    },
    () => {
      put(TlbKind.read);
      const writable = or(has(walk.all, W), and(eqz(user), eqz(and(cr0, c32(Cr0.wp)))));
      const plain = f.let(and(and(writable, has(walk.leaf, D)), call(helper('is_plain_ram'), host)));
      f.if(
        plain,
        () => {
          put(TlbKind.write);
          f.store(storeOp.i32_store8, ramPage(host), c32(1), WRITE_MAPPED_BASE);
        },
        () => f.brIf(unusual, has(access, Access.write)),
      );
    },
  );
}

/** Which of the slow memory functions is built. */
export type SlowAccess = 'read' | 'write' | 'readForWrite';

/**
 * (linear i64, bytes i32) -> i32: an access that the TLB did not have, by a walk; `otherwise` makes it in TypeScript.
 * The value travels through S.slowValue.
 */
export function slowAccess(
  f: FunctionBuilder,
  kind: SlowAccess,
  walkPageReference: Parameters<typeof call>[0],
  otherwise: Parameters<typeof call>[0],
): void {
  const linear = f.parameter(0, i64);
  const bytes = f.parameter(1, i32);
  const table = kind === 'read' ? TlbKind.read : TlbKind.write;
  f.block((unusual) => {
    // Accesses whose alignment is checked are made one by one.
    const tlb = f.let(state32(S.tlb));
    f.brIf(unusual, eq(tlb, c32(TLB_NEVER)));
    const inPage = and(wrap(linear), c32(0xfff));
    f.brIf(unusual, ltU(c32(0x1000), add(inPage, bytes)));
    const index = and(shrU(wrap(linear), c32(8)), c32((TLB_ENTRIES - 1) << 4));
    const entry = f.let(add(tlb, index));
    f.if(ne(load(loadOp.i64_load, entry, table), and(linear, c64(~0xfffn))), () => {
      const user = select(ne(tlb, state32(S.tlbBank)), c32(Access.user), c32(0));
      const access = kind === 'read' ? user : or(user, c32(Access.write));
      const result = f.let(call(walkPageReference, linear, access));
      f.if(eq(result, c32(Walk.fault)), () => f.return(c32(1)));
      f.brIf(unusual, result);
    });
    const host = f.let(add(wrap(linear), load(loadOp.i32_load, entry, table + 8)));
    // No device is asked: the micro-op that the interpreter left here for the time is of no use any more.
    f.storeField(storeOp.i32_store, S.exitPc, c32(0));
    const sizes = [
      [8, loadOp.i64_load, storeOp.i64_store],
      [4, loadOp.i32_load, storeOp.i32_store],
      [1, loadOp.i32_load8_u, storeOp.i32_store8],
      [2, loadOp.i32_load16_u, storeOp.i32_store16],
      [16, loadOp.v128_load, storeOp.v128_store],
    ] as const;
    for (const [size, loading, storing] of sizes)
      f.if(eq(bytes, c32(size)), () => {
        if (kind === 'write') f.store(storing, host, load(loading, c32(0), S.slowValue));
        else f.storeField(storing, S.slowValue, load(loading, host));
        f.storeField(storeOp.i32_store, S.faulted, c32(0));
        f.return(c32(0));
      });
  });
  f.storeField(storeOp.i64_store, S.slowAddress, linear);
  f.return(call(otherwise, bytes));
  f.unreachable();
}

export const pageWalkHelpers: readonly HelperFunction[] = [ramAddress, isPlainRam, putEntry, walkPage];
