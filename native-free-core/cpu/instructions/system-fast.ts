// The frequent halves of STI, POPF, SYSCALL, SYSENTER and their kin: what a kernel does at every entry and exit.
// Owns those meanings; whatever is unusual about a case goes to TypeScript (system/), which has the whole instruction.
// Never decides a privilege question differently from system/: doubtful cases are cold.

import { TLB_USER_OFFSET } from '../../memory/layout.ts';
import {
  add,
  and,
  asSize,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  gtU,
  load,
  loadOp,
  ltU,
  type Node,
  ne,
  or,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../builder/nodes.ts';
import { isRealOrVirtual } from '../privileged/segment-state.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { ARITHMETIC_FLAGS, Flag, ModeBit, S, Seg, segBaseAddress, Vector } from '../state.ts';
import { Cr0, Cr4, Efer } from '../system/architecture.ts';

/** EFLAGS bits that are kept in the state's field: all but the arithmetic ones, VM, and what does not exist here. */
const KEPT = Flag.tf | Flag.if | Flag.df | Flag.iopl | Flag.nt | Flag.ac | Flag.id;
/** Flags that POPF changes without anybody having to look. */
const PLAIN = ARITHMETIC_FLAGS | Flag.if | Flag.df;
const CODE_64 = 0xaf9b;
const DATA = 0xcf93;
const USER_DPL = 3 << 5;
const ALL_BYTES = c32(-1);

const has = (value: Node, flag: number): Node => ne(and(value, c32(flag)), c32(0));

/** IF would go from 0 to 1 while an interrupt may be waiting. */
const wouldUnmask = (m: Meaning, value: Node): Node =>
  and(and(has(value, Flag.if), eqz(and(m.systemFlags(), c32(Flag.if)))), eqz(m.state32(S.interruptsQuiet)));

/** STI. With nothing waiting there is nothing that its shadow could hold back. */
export function setInterruptFlag(m: Meaning): void {
  const iopl = and(shrU(m.systemFlags(), c32(12)), c32(3));
  m.raiseIf(gtU(m.state32(S.cpl), iopl), Vector.generalProtection, 0);
  m.coldIf(wouldUnmask(m, c32(Flag.if)));
  m.setState32(S.eflags, or(m.systemFlags(), c32(Flag.if)));
}

/** POPF at CPL 0, where it changes nothing but arithmetic flags, DF and IF. */
export function popFlags(m: Meaning): void {
  m.coldIf(m.state32(S.cpl));
  const value = m.let(wrap(m.peek(m.size)));
  const looked = m.size === 16 ? 0xffff & ~PLAIN : ~PLAIN;
  m.coldIf(ne(and(xor(value, m.systemFlags()), c32(looked)), c32(0)));
  m.coldIf(wouldUnmask(m, value));
  m.moveStack(c64(m.size >> 3));
  const moved = Flag.if | Flag.df;
  m.setState32(S.eflags, or(and(m.systemFlags(), c32(~moved)), and(value, c32(moved))));
  m.setFlagsExplicit(value);
}

function setFlat(m: Meaning, segment: number, selector: Node, attributes: number, plain: number): void {
  m.setState32(S.segSelector + segment * 4, selector);
  m.setState64(segBaseAddress(segment), c64(0));
  m.setState32(S.segLimit + segment * 4, ALL_BYTES);
  m.setState32(S.segAttributes + segment * 4, c32(attributes));
  m.setState32(S.segPlain + segment * 4, c32(plain));
}

/** EFLAGS whole from an i32; bits that do not exist are dropped. */
function setFlags(m: Meaning, value: Node): void {
  m.setState32(S.eflags, or(and(value, c32(KEPT)), c32(2)));
  m.setFlagsExplicit(value);
}

/** What S.tlb is in user code. */
const userTables = (m: Meaning): Node => add(m.state32(S.tlbBank), c32(TLB_USER_OFFSET));

const callsDisabled = (m: Meaning): Node => eqz(and(m.state32(S.efer), c32(Efer.sce)));

/** SYSCALL from CPL 3. */
export function systemCall(m: Meaning): void {
  m.coldIf(or(callsDisabled(m), ne(m.state32(S.tlb), userTables(m))));
  const flags = m.let(or(and(m.systemFlags(), c32(KEPT | 2)), m.flagsAll()));
  m.coldIf(has(flags, Flag.tf));
  m.setReg(1, 64, m.nextIp());
  m.setReg(11, 64, extendU(flags));
  setFlags(m, m.let(and(flags, xor(m.state32(S.sfmask), c32(-1)))));
  const selector = m.let(and(m.state32(S.star + 4), c32(0xfffc)));
  setFlat(m, Seg.cs, selector, CODE_64, 1);
  setFlat(m, Seg.ss, and(add(selector, c32(8)), c32(0xfffc)), DATA, 3);
  m.setState32(S.cpl, c32(0));
  m.setState32(S.tlb, m.state32(S.tlbBank));
  m.setState32(S.linkKey, or(m.state32(S.linkKeys), c32(ModeBit.code64 | ModeBit.flat)));
  m.jump(m.state64(S.lstar));
}

/** SYSRET to 64-bit code. */
export function systemReturn(m: Meaning): void {
  if (m.size !== 64) {
    m.cold();
    return;
  }
  m.coldIf(or(callsDisabled(m), m.state32(S.cpl)));
  const target = m.let(m.getReg(1, 64));
  m.coldIf(ne(shrS(shl(target, c64(16)), c64(16)), target));
  const flags = m.let(m.getReg(11, 32));
  m.coldIf(has(flags, Flag.tf | Flag.ac));
  m.coldIf(wouldUnmask(m, flags));
  setFlags(m, flags);
  const selector = m.let(shrU(m.state32(S.star + 4), c32(16)));
  const user = (offset: number): Node => or(and(add(selector, c32(offset)), c32(0xfffc)), c32(3));
  setFlat(m, Seg.cs, user(16), CODE_64 | USER_DPL, 1);
  setFlat(m, Seg.ss, user(8), DATA | USER_DPL, 3);
  m.setState32(S.cpl, c32(3));
  m.setState32(S.tlb, userTables(m));
  m.setState32(S.linkKey, or(m.state32(S.linkKeys + 4), c32(ModeBit.code64 | ModeBit.flat)));
  m.jump(target);
}

const CODE_32 = 0xcf9b;

/** SYSENTER outside of long mode. */
export function systemEnter(m: Meaning): void {
  const selector = m.let(and(m.state32(S.sysenterCs), c32(0xfffc)));
  m.coldIf(or(isRealOrVirtual(), or(eqz(selector), and(m.state32(S.efer), c32(Efer.lma)))));
  m.setState32(S.eflags, and(m.systemFlags(), c32(~(Flag.vm | Flag.if | Flag.rf))));
  setFlat(m, Seg.cs, selector, CODE_32, 1);
  setFlat(m, Seg.ss, and(add(selector, c32(8)), c32(0xfffc)), DATA, 3);
  m.setState32(S.cpl, c32(0));
  m.helperCall('update_mode');
  m.setReg(4, 32, m.state32(S.sysenterEsp));
  m.jump(and(m.state64(S.sysenterEip), c64(0xffffffffn)));
}

/** SYSEXIT to 32-bit code. */
export function systemExit(m: Meaning): void {
  if (m.size === 64) {
    m.cold();
    return;
  }
  const selector = m.let(and(m.state32(S.sysenterCs), c32(0xfffc)));
  const real = eqz(and(m.state32(S.cr0), c32(Cr0.pe)));
  m.coldIf(or(or(real, m.state32(S.cpl)), or(eqz(selector), and(m.state32(S.efer), c32(Efer.lma)))));
  const user = (offset: number): Node => or(and(add(selector, c32(offset)), c32(0xfffc)), c32(3));
  setFlat(m, Seg.cs, user(16), CODE_32 | USER_DPL, 1);
  setFlat(m, Seg.ss, user(24), DATA | USER_DPL, 3);
  m.setState32(S.cpl, c32(3));
  m.helperCall('update_mode');
  const target = m.let(m.getReg(2, 32));
  m.setReg(4, 32, m.getReg(1, 32));
  m.jump(extendU(target));
}

/** Segment registers that load_data_segment loads, as bits by number. */
const DATA_SEGMENTS = (1 << Seg.es) | (1 << Seg.ds) | (1 << Seg.fs) | (1 << Seg.gs);

/** MOV to ES, DS, FS or GS; SS casts a shadow, CS is #UD. */
export function moveToSegment(m: Meaning): void {
  const segment = m.let(and(m.registerNumber(0), c32(7)));
  m.coldIf(eqz(and(shrU(c32(DATA_SEGMENTS), segment), c32(1))));
  const selector = m.let(and(wrap(m.read(1)), c32(0xffff)));
  m.coldIf(eqz(m.helper('load_data_segment', segment, selector)));
  m.goOnAnew();
}

/** POP of ES, DS, FS or GS. */
export const popSegment =
  (segment: number) =>
  (m: Meaning): void => {
    const selector = m.let(and(wrap(m.peek(m.size)), c32(0xffff)));
    const mask = m.let(m.stackMask());
    m.coldIf(eqz(m.helper('load_data_segment', c32(segment), selector)));
    m.setReg(4, 64, movedWithin(m.let(m.getReg(4, 64)), mask, m.size >> 3));
    m.goOnAnew();
  };

/** A stack pointer moved by `delta` bytes within the bits of a mask. */
const movedWithin = (pointer: Node, mask: Node, delta: number): Node =>
  or(and(add(pointer, c64(delta)), mask), and(pointer, xor(mask, c64(-1))));

/** MOV from CR0, CR2, CR3 and CR4. */
export function moveFromControl(m: Meaning): void {
  const number = m.let(m.registerNumber(1));
  m.coldIf(or(eq(number, c32(1)), gtU(number, c32(4))));
  m.raiseIf(m.state32(S.cpl), Vector.generalProtection, 0);
  // There is no CR1 between CR0 and CR2.
  const at = shl(sub(number, ne(number, c32(0))), c32(3));
  m.write(0, m.let(asSize(m.size, load(loadOp.i64_load, at, S.cr0))));
}

/** IA32_TSC_DEADLINE. */
const TSC_DEADLINE = 0x6e0;

/** WRMSR of a deadline that is so far off that the machine finds it in time by itself, or of none. */
export function writeModelRegister(m: Meaning): void {
  const isDeadline = and(eq(m.getReg(1, 32), c32(TSC_DEADLINE)), eqz(m.state32(S.cpl)));
  m.coldIf(or(eqz(isDeadline), eqz(m.state64(S.deadlineAhead))));
  const high = shl(extendU(m.getReg(2, 32)), c64(32));
  const value = m.let(or(high, extendU(m.getReg(0, 32))));
  const near = add(m.timestamp(), m.state64(S.deadlineAhead));
  m.coldIf(and(ltU(value, near), ne(value, c64(0))));
  m.setState64(S.deadline, value);
  m.setState32(S.deadlineWritten, c32(1));
  m.goOnAnew();
}

/** RDTSC and RDTSCP. */
export const readTimestamp =
  (withProcessor: boolean) =>
  (m: Meaning): void => {
    // Real mode has CPL 0.
    const disabled = and(ne(and(m.state32(S.cr4), c32(Cr4.tsd)), c32(0)), ne(m.state32(S.cpl), c32(0)));
    m.raiseIf(disabled, Vector.generalProtection, 0);
    const ticks = m.timestamp();
    m.setReg(0, 32, wrap(ticks));
    m.setReg(2, 32, wrap(shrU(ticks, c64(32))));
    if (withProcessor) m.setReg(1, 32, m.state32(S.tscAux));
  };
