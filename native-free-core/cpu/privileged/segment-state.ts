// Segment registers and what follows from them, in WebAssembly: the hidden parts, and the mode that code executes in.
// Owns the helpers that privileged meanings share: reading a descriptor, loading a segment register, renewing the mode.
// Never decides whether a descriptor suits its use. system/core.ts and system/segments.ts define the same for every mode.

import { TLB_NEVER, TLB_USER_OFFSET, TlbKind } from '../../memory/layout.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, type FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  field,
  gtU,
  load,
  type Node,
  ne,
  or,
  select,
  shl,
  shrU,
  wrap,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { Flag, ModeBit, S, Seg } from '../state.ts';
import { Attribute, Cr0, Efer } from '../system/architecture.ts';
import { supervisorHost } from './supervisor-memory.ts';

const { i32, i64 } = ValueType;

export const state32 = (address: number): Node => field(loadOp.i32_load, address);
export const state64 = (address: number): Node => field(loadOp.i64_load, address);

export const isLongMode = (): Node => and(state32(S.efer), c32(Efer.lma));
/** Attributes as the state keeps them, of a descriptor (i64). */
export const attributesOf = (descriptor: Node): Node => and(wrap(shrU(descriptor, c64(40))), c32(0xffff));
export const dplOf = (attributes: Node): Node => and(shrU(attributes, c32(Attribute.dplShift)), c32(3));
export const isNullSelector = (selector: Node): Node => eqz(and(selector, c32(0xfffc)));

/** (selector i32) -> i64: the descriptor it names in the GDT, or 0 where that takes more than a look into the TLB. */
export const readDescriptor: HelperFunction = {
  name: 'read_descriptor',
  parameters: [i32],
  result: i64,
  build: (f) => {
    const selector = f.parameter(0, i32);
    f.block((miss) => {
      const offset = f.let(and(selector, c32(0xfff8)));
      f.brIf(miss, or(and(selector, c32(4)), gtU(add(offset, c32(7)), state32(S.gdtLimit))));
      const sum = add(state64(S.gdtBase), extendU(offset));
      // Addresses of tables wrap at 4 GiB outside of long mode.
      const linear = f.let(and(sum, select(isLongMode(), c64(-1), c64(0xffffffffn))));
      f.return(load(loadOp.i64_load, supervisorHost(f, TlbKind.read, linear, 8, miss)));
    });
    f.return(c64(0));
    f.unreachable();
  },
};

/** Bits that a segment's attributes say of plain accesses outside of real mode; see {@link S.segPlain}. */
function plainAccess(attributes: Node): Node {
  const has = (bit: number): Node => and(attributes, c32(bit));
  const ofCode = select(has(Attribute.readable), c32(1), c32(0));
  const ofData = select(has(Attribute.expandDown), c32(0), select(has(Attribute.writable), c32(3), c32(1)));
  const needed = Attribute.present | Attribute.segment;
  return select(eq(has(needed), c32(needed)), select(has(Attribute.code), ofCode, ofData), c32(0));
}

/** (segment, selector, limit, attributes: i32; base i64): a segment register with its hidden part. */
export const setSegment: HelperFunction = {
  name: 'set_segment',
  parameters: [i32, i32, i32, i32, i64],
  result: undefined,
  build: (f) => {
    const [segment, selector, limit, attributes] = [0, 1, 2, 3].map((index) => f.parameter(index, i32));
    const word = f.let(shl(segment, c32(2)));
    f.store(storeOp.i32_store, word, selector, S.segSelector);
    f.store(storeOp.i64_store, shl(segment, c32(3)), f.parameter(4, i64), S.segBase);
    f.store(storeOp.i32_store, word, limit, S.segLimit);
    f.store(storeOp.i32_store, word, attributes, S.segAttributes);
    f.store(storeOp.i32_store, word, plainAccess(attributes), S.segPlain);
  },
};

/** (segment i32, selector i32, descriptor i64): a segment register from a descriptor that has passed its checks. */
export const setFromDescriptor: HelperFunction = {
  name: 'set_from_descriptor',
  parameters: [i32, i32, i64],
  result: undefined,
  build: (f, helper) => {
    const descriptor = f.parameter(2, i64);
    const low = f.let(wrap(descriptor));
    const high = f.let(wrap(shrU(descriptor, c64(32))));
    const base = or(shrU(low, c32(16)), or(shl(and(high, c32(0xff)), c32(16)), and(high, c32(0xff000000))));
    const limit = f.let(or(and(low, c32(0xffff)), and(high, c32(0xf0000))));
    const attributes = f.let(attributesOf(descriptor));
    const granular = and(attributes, c32(Attribute.granular));
    f.call(
      helper('set_segment'),
      f.parameter(0, i32),
      f.parameter(1, i32),
      select(granular, or(shl(limit, c32(12)), c32(0xfff)), limit),
      attributes,
      extendU(base),
    );
  },
};

const isFlat = (segment: number): Node =>
  and(
    and(eqz(state64(S.segBase + segment * 8)), eq(state32(S.segLimit + segment * 4), c32(-1))),
    eq(state32(S.segPlain + segment * 4), c32(3)),
  );

/** Renews what the state caches of the mode, in protected mode and not in virtual-8086 mode: SystemCpu.updateMode. */
export const updateMode: HelperFunction = {
  name: 'update_mode',
  parameters: [],
  result: undefined,
  build: (f) => {
    const user = f.let(eq(state32(S.cpl), c32(3)));
    const alignment = and(
      and(user, ne(and(state32(S.cr0), c32(Cr0.am)), c32(0))),
      ne(and(state32(S.eflags), c32(Flag.ac)), c32(0)),
    );
    f.storeField(
      storeOp.i32_store,
      S.tlb,
      select(alignment, c32(TLB_NEVER), add(state32(S.tlbBank), select(user, c32(TLB_USER_OFFSET), c32(0)))),
    );
    const key = f.let(load(loadOp.i32_load, shl(user, c32(2)), S.linkKeys));
    const cs = f.let(state32(S.segAttributes + Seg.cs * 4));
    const ss = f.let(state32(S.segAttributes + Seg.ss * 4));
    f.if(and(ne(isLongMode(), c32(0)), ne(and(cs, c32(Attribute.long)), c32(0))), () => {
      f.storeField(storeOp.i32_store, S.mode, c32(ModeBit.code64 | ModeBit.flat));
      f.storeField(storeOp.i64_store, S.addressMask, c64(-1));
      f.storeField(storeOp.i64_store, S.stackMask, c64(-1));
      f.storeField(storeOp.i32_store, S.linkKey, or(key, c32(ModeBit.code64 | ModeBit.flat)));
      f.return();
    });
    const bigStack = f.let(and(ss, c32(Attribute.big)));
    const size = select(and(cs, c32(Attribute.big)), c32(ModeBit.code32), c32(ModeBit.code16));
    const flat = and(and(isFlat(Seg.ds), isFlat(Seg.es)), isFlat(Seg.ss));
    const others = or(select(bigStack, c32(ModeBit.stack32), c32(0)), select(flat, c32(ModeBit.flat), c32(0)));
    const mode = f.let(or(size, others));
    f.storeField(storeOp.i32_store, S.mode, mode);
    f.storeField(storeOp.i64_store, S.addressMask, c64(0xffffffffn));
    f.storeField(storeOp.i64_store, S.stackMask, select(bigStack, c64(0xffffffffn), c64(0xffffn)));
    const limited = or(ne(state32(S.segLimit + Seg.cs * 4), c32(-1)), ne(state64(S.segBase + Seg.cs * 8), c64(0)));
    f.storeField(storeOp.i32_store, S.linkKey, select(limited, c32(-1), or(key, mode)));
  },
};

/** (segment i32, selector i32) -> i32: loads ES, DS, FS or GS in protected mode; 0, with nothing changed: it is unusual. */
export const loadDataSegment: HelperFunction = {
  name: 'load_data_segment',
  parameters: [i32, i32],
  result: i32,
  build: (f, helper) => {
    const segment = f.parameter(0, i32);
    const selector = f.parameter(1, i32);
    const cold = (condition: Node): void => f.if(condition, () => f.return(c32(0)));
    cold(isRealOrVirtual());
    f.if(
      isNullSelector(selector),
      () => f.call(helper('set_segment'), segment, selector, c32(0), c32(0), c64(0)),
      () => {
        const descriptor = f.let(call(helper('read_descriptor'), selector));
        const attributes = f.let(attributesOf(descriptor));
        const ready = Attribute.present | Attribute.segment | Attribute.accessed;
        cold(ne(and(attributes, c32(ready)), c32(ready)));
        // Of code only what is readable, and conforming code has rules of its own.
        const kind = and(attributes, c32(Attribute.code | Attribute.readable | Attribute.conforming));
        cold(and(ne(and(attributes, c32(Attribute.code)), c32(0)), ne(kind, c32(Attribute.code | Attribute.readable))));
        const dpl = f.let(dplOf(attributes));
        cold(or(gtU(and(selector, c32(3)), dpl), gtU(state32(S.cpl), dpl)));
        f.call(helper('set_from_descriptor'), segment, selector, descriptor);
      },
    );
    f.call(helper('update_mode'));
    f.return(c32(1));
    f.unreachable();
  },
};

/** Not 0 in real and virtual-8086 mode, where selectors are paragraph numbers. */
export const isRealOrVirtual = (): Node =>
  or(eqz(and(state32(S.cr0), c32(Cr0.pe))), ne(and(state32(S.eflags), c32(Flag.vm)), c32(0)));

/** Makes a segment register null. */
export function setNullSegment(f: FunctionBuilder, set: Parameters<FunctionBuilder['call']>[0], segment: number): void {
  f.call(set, c32(segment), c32(0), c32(0), c32(0), c64(0));
}

export const segmentHelpers: readonly HelperFunction[] = [
  readDescriptor,
  setSegment,
  setFromDescriptor,
  updateMode,
  loadDataSegment,
];
