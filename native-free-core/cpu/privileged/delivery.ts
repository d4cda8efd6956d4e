// Delivery of exceptions in WebAssembly as kernels have it: through an interrupt or trap gate to CPL 0, frames in the TLB.
// Owns that path for long mode and for flat 32-bit code; it changes nothing where anything is unusual.
// Never switches tasks or leaves real or virtual-8086 mode: system/interrupts.ts has every delivery.

import { TlbKind } from '../../memory/layout.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, FunctionBuilder, type Label } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendS,
  extendU,
  field,
  geU,
  gtS,
  gtU,
  load,
  ltS,
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
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import { U } from '../interpreter/micro-op.ts';
import { Flag, ModeBit, regAddress, S, Seg, Slot, Vector } from '../state.ts';
import { Attribute } from '../system/architecture.ts';
import { attributesOf, dplOf, isLongMode, isNullSelector, isRealOrVirtual, state32, state64 } from './segment-state.ts';
import { type Local, supervisorHost } from './supervisor-memory.ts';

const { i32, i64 } = ValueType;
type Helper = (name: string) => Parameters<typeof call>[0];

const CODE = Attribute.present | Attribute.segment | Attribute.code | Attribute.accessed;
const STACK = Attribute.present | Attribute.segment | Attribute.writable | Attribute.accessed;
const DR7_ENABLED = 0xff;
/** Exceptions that need nothing but their delivery. The others have to do with segments, the debugger or the x87. */
const PLAIN = [Vector.divideError, Vector.invalidOpcode, Vector.deviceNotAvailable, Vector.pageFault].reduce<number>(
  (set, vector) => set | (1 << vector),
  0,
);

/** A descriptor (i64) whose base is 0 and whose limit is 4 GiB, with B or D set. */
function isWholeAndBig(descriptor: Local): Node {
  const high = wrap(shrU(descriptor, c64(32)));
  return and(eq(wrap(descriptor), c32(0xffff)), eq(and(high, c32(0xffcf00ff)), c32(0x00cf0000)));
}

/** An interrupt being delivered: the operands that both widths of frames are made of. */
interface Delivery {
  readonly vector: Local;
  /** Error code, or -1. */
  readonly code: Local;
  readonly flags: Local;
  readonly ip: Local;
  /** The current stack pointer, and the one after the frame. */
  readonly pointer: Local;
  readonly newPointer: Local;
  /** From an outer level: the stack is the TSS's. */
  readonly inward: Local;
  readonly cold: Label;
  readonly helper: Helper;
}

/** Gate type and target of either width: reads what is at `gate`, refuses what is no plain gate to CPL 0. */
function target(
  f: FunctionBuilder,
  d: Delivery,
  gate: Local,
  long: boolean,
): { code: Local; offset: Local; high: Local } {
  const { cold, helper } = d;
  const low = f.let(load(loadOp.i32_load, gate));
  const high = f.let(load(loadOp.i32_load, gate, 4));
  // Present, a system descriptor, of type 14 or 15; in long mode with no stack of the TSS's own.
  f.brIf(cold, ne(and(high, c32(0x9e00 | (long ? 7 : 0))), c32(0x8e00)));
  const selector = shrU(low, c32(16));
  f.brIf(cold, isNullSelector(selector));
  const code = f.let(call(helper('read_descriptor'), selector));
  const attributes = f.let(attributesOf(code));
  f.brIf(cold, ne(and(attributes, c32(CODE | Attribute.conforming)), c32(CODE)));
  f.brIf(cold, dplOf(attributes));
  const offset = f.let(extendU(or(and(low, c32(0xffff)), and(high, c32(0xffff0000)))));
  if (long) {
    f.brIf(cold, ne(and(attributes, c32(Attribute.long | Attribute.big)), c32(Attribute.long)));
    f.set(offset, or(offset, shl(load(loadOp.i64_load32_u, gate, 8), c64(32))));
    f.brIf(cold, ne(shrS(shl(offset, c64(16)), c64(16)), offset));
  } else f.brIf(cold, eqz(isWholeAndBig(code)));
  return { code, offset, high };
}

/** CS, flags and all else that both widths change, once nothing can be unusual any more. */
function commit(
  f: FunctionBuilder,
  d: Delivery,
  { code, offset, high }: ReturnType<typeof target>,
  selector: Node,
): void {
  f.call(d.helper('set_from_descriptor'), c32(Seg.cs), and(selector, c32(0xfffc)), code);
  f.storeField(storeOp.i32_store, S.cpl, c32(0));
  const isTrap = and(shrU(high, c32(8)), c32(1));
  const cleared = select(isTrap, c32(0), c32(Flag.if));
  const kept = sub(c32(~(Flag.tf | Flag.nt | Flag.rf | Flag.vm)), cleared);
  f.storeField(storeOp.i32_store, S.eflags, and(state32(S.eflags), kept));
  f.storeField(storeOp.i32_store, S.interruptShadow, c32(0));
  f.storeField(storeOp.i32_store, S.halted, c32(0));
  f.storeField(storeOp.i64_store, regAddress(4), d.newPointer);
  f.storeField(storeOp.i64_store, S.ip, offset);
  f.call(d.helper('update_mode'));
}

function deliverLong(f: FunctionBuilder, d: Delivery): void {
  const { cold, vector, pointer, newPointer } = d;
  const entry = f.let(shl(vector, c32(4)));
  f.brIf(cold, gtU(add(entry, c32(15)), state32(S.idtLimit)));
  const gate = supervisorHost(f, TlbKind.read, f.let(add(state64(S.idtBase), extendU(entry))), 16, cold);
  const to = target(f, d, gate, true);
  const top = f.local(i64);
  f.if(
    d.inward,
    () => {
      f.brIf(cold, ltU(state32(S.segLimit + Seg.tr * 4), c32(4 + 7)));
      const rsp0 = f.let(add(state64(S.segBase + Seg.tr * 8), c64(4)));
      f.set(top, load(loadOp.i64_load, supervisorHost(f, TlbKind.read, rsp0, 8, cold)));
    },
    () => f.set(top, pointer),
  );
  f.set(top, and(top, c64(~15n)));
  // Room for an error code is asked for also where there is none.
  const frame = supervisorHost(f, TlbKind.write, f.let(sub(top, c64(48))), 48, cold);
  const code64 = eq(and(state32(S.mode), c32(ModeBit.codeMask)), c32(ModeBit.code64));
  const old = select(code64, pointer, and(pointer, c64(0xffffffffn)));
  f.store(storeOp.i64_store, frame, field(loadOp.i64_load32_u, S.segSelector + Seg.ss * 4), 40);
  f.store(storeOp.i64_store, frame, old, 32);
  f.store(storeOp.i64_store, frame, extendU(d.flags), 24);
  f.store(storeOp.i64_store, frame, field(loadOp.i64_load32_u, S.segSelector + Seg.cs * 4), 16);
  f.store(storeOp.i64_store, frame, d.ip, 8);
  const hasCode = f.let(ne(d.code, c32(-1)));
  f.if(hasCode, () => f.store(storeOp.i64_store, frame, extendS(d.code)));
  f.set(newPointer, sub(top, select(hasCode, c64(48), c64(40))));
  f.if(d.inward, () => f.call(d.helper('set_segment'), c32(Seg.ss), c32(0), c32(0), c32(0), c64(0)));
  commit(f, d, to, load(loadOp.i32_load16_u, gate, 2));
}

function deliver32(f: FunctionBuilder, d: Delivery): void {
  const { cold, vector, pointer, newPointer, helper } = d;
  const low32 = (value: Node): Node => and(value, c64(0xffffffffn));
  const entry = f.let(shl(vector, c32(3)));
  f.brIf(cold, gtU(add(entry, c32(7)), state32(S.idtLimit)));
  const gate = supervisorHost(f, TlbKind.read, f.let(low32(add(state64(S.idtBase), extendU(entry)))), 8, cold);
  const to = target(f, d, gate, false);
  const hasCode = f.let(ne(d.code, c32(-1)));
  const top = f.local(i64);
  const ss = f.let(c32(0));
  const stack = f.local(i64);
  const word = (frame: Local, value: Node, below: number): void =>
    f.store(storeOp.i32_store, frame, value, FRAME_32 - below);
  f.if(
    d.inward,
    () => {
      const tss = state32(S.segAttributes + Seg.tr * 4);
      f.brIf(cold, or(eqz(and(tss, c32(8))), ltU(state32(S.segLimit + Seg.tr * 4), c32(4 + 5))));
      const at = f.let(low32(add(state64(S.segBase + Seg.tr * 8), c64(4))));
      const saved = supervisorHost(f, TlbKind.read, at, 8, cold);
      f.set(top, load(loadOp.i64_load32_u, saved));
      f.set(ss, load(loadOp.i32_load16_u, saved, 4));
      f.brIf(cold, or(isNullSelector(ss), and(ss, c32(3))));
      f.set(stack, call(helper('read_descriptor'), ss));
      const attributes = f.let(attributesOf(stack));
      f.brIf(cold, ne(and(attributes, c32(STACK | Attribute.code)), c32(STACK)));
      f.brIf(cold, or(dplOf(attributes), eqz(isWholeAndBig(stack))));
    },
    () => {
      const flat = ModeBit.stack32 | ModeBit.flat;
      f.brIf(cold, ne(and(state32(S.mode), c32(flat)), c32(flat)));
      f.set(top, low32(pointer));
    },
  );
  const frame = supervisorHost(f, TlbKind.write, f.let(low32(sub(top, c64(FRAME_32)))), FRAME_32, cold);
  const used = f.let(select(d.inward, c32(8), c32(0)));
  f.if(d.inward, () => {
    word(frame, state32(S.segSelector + Seg.ss * 4), 4);
    word(frame, wrap(pointer), 8);
  });
  // The rest lies by as much lower as the stack's own two words took.
  const rest = f.let(sub(frame, used));
  word(rest, d.flags, 4);
  word(rest, state32(S.segSelector + Seg.cs * 4), 8);
  word(rest, wrap(d.ip), 12);
  f.if(hasCode, () => word(rest, d.code, 16));
  const bytes = add(used, select(hasCode, c32(16), c32(12)));
  f.set(newPointer, low32(sub(top, extendU(bytes))));
  f.if(
    d.inward,
    () => f.call(helper('set_from_descriptor'), c32(Seg.ss), ss, stack),
    () => f.set(newPointer, or(newPointer, and(pointer, c64(~0xffffffffn)))),
  );
  commit(f, d, to, load(loadOp.i32_load16_u, gate, 2));
}

/** Bytes of the largest frame outside of long mode: SS, ESP, EFLAGS, CS, EIP and an error code. */
const FRAME_32 = 24;

/**
 * (vector, error code or -1, flags for the frame: i32; return address i64) -> i32: delivers an exception to CPL 0 with all
 * registers in the state; 0, with nothing changed, where that is unusual.
 */
const deliverEvent: HelperFunction = {
  name: 'deliver_event',
  parameters: [i32, i32, i32, i64],
  result: i32,
  build: (f, helper) => {
    f.block((cold) => {
      const cpl = f.let(state32(S.cpl));
      const unusual = or(isRealOrVirtual(), and(state32(S.debug + 7 * 8), c32(DR7_ENABLED)));
      f.brIf(cold, or(unusual, or(state32(S.pendingDebug), and(state32(S.eflags), c32(Flag.tf | Flag.rf)))));
      const d: Delivery = {
        vector: f.parameter(0, i32),
        code: f.parameter(1, i32),
        flags: f.parameter(2, i32),
        ip: f.parameter(3, i64),
        pointer: f.let(state64(regAddress(4))),
        newPointer: f.local(i64),
        inward: f.let(ne(cpl, c32(0))),
        cold,
        helper,
      };
      f.if(
        isLongMode(),
        () => deliverLong(f, d),
        () => deliver32(f, d),
      );
      f.return(c32(1));
    });
    f.return(c32(0));
    f.unreachable();
  },
};

/**
 * Body of () -> i32: delivers the exception with which execution has just left, if it is one of the plain kind; 1: go on at
 * S.ip. `flagsAll` and `deliver` are the functions by these names.
 */
export function deliverFault(
  flagsAll: Parameters<typeof call>[0],
  deliver: Parameters<typeof call>[0],
): FunctionBuilder {
  const f = new FunctionBuilder();
  f.block((cold) => {
    const vector = f.let(state32(S.faultVector));
    f.brIf(cold, or(geU(vector, c32(32)), eqz(and(shrU(c32(PLAIN), vector), c32(1)))));
    const left = f.let(state32(S.deliveriesLeft));
    f.brIf(cold, eqz(gtS(left, c32(0))));
    const pc = f.let(state32(S.exitPc));
    const ip = f.let(state64(S.ip));
    const executed = f.let(c32(0));
    f.if(pc, () => {
      const base = state64(S.regs + Slot.codeBase * 8);
      const offset = extendU(load(loadOp.i32_load16_u, pc, U.offset));
      f.set(ip, and(add(base, offset), state64(S.addressMask)));
      f.set(executed, sub(load(loadOp.i32_load8_u, pc, U.ordinal), c32(1)));
      f.if(ltS(executed, c32(0)), () => f.set(executed, c32(0)));
    });
    const flags = f.let(or(or(state32(S.eflags), call(flagsAll)), c32(Flag.rf)));
    f.brIf(cold, eqz(call(deliver, vector, state32(S.faultCode), flags, ip)));
    f.storeField(storeOp.i32_store, S.deliveriesLeft, sub(left, c32(1)));
    f.storeField(storeOp.i32_store, S.budget, sub(state32(S.budget), executed));
    f.storeField(storeOp.i32_store, S.faulted, c32(0));
    // Its instructions are accounted for: whoever asks for the time must not count them again.
    f.storeField(storeOp.i32_store, S.exitPc, c32(0));
    f.return(c32(1));
  });
  f.return(c32(0));
  f.unreachable();
  return f;
}

export const deliveryHelpers: readonly HelperFunction[] = [deliverEvent];
