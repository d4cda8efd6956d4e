// The frequent halves of STI, POPF, SYSCALL and SYSRET: what a kernel does at every entry and exit.
// Owns those meanings; whatever is unusual about a case goes to TypeScript (system/), which has the whole instruction.
// Never decides a privilege question differently from system/: doubtful cases are cold.

import { TLB_SUPERVISOR, TLB_USER } from '../../memory/layout.ts';
import {
  add,
  and,
  c32,
  c64,
  eqz,
  extendU,
  gtU,
  type Node,
  ne,
  or,
  shl,
  shrS,
  shrU,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { ARITHMETIC_FLAGS, Flag, ModeBit, S, Seg, segBaseAddress, Vector } from '../state.ts';
import { Efer } from '../system/architecture.ts';

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

const callsDisabled = (m: Meaning): Node => eqz(and(m.state32(S.efer), c32(Efer.sce)));

/** SYSCALL from CPL 3. */
export function systemCall(m: Meaning): void {
  m.coldIf(or(callsDisabled(m), ne(m.state32(S.tlb), c32(TLB_USER))));
  const flags = m.let(or(and(m.systemFlags(), c32(KEPT | 2)), m.flagsAll()));
  m.coldIf(has(flags, Flag.tf));
  m.setReg(1, 64, m.nextIp());
  m.setReg(11, 64, extendU(flags));
  setFlags(m, m.let(and(flags, xor(m.state32(S.sfmask), c32(-1)))));
  const selector = m.let(and(m.state32(S.star + 4), c32(0xfffc)));
  setFlat(m, Seg.cs, selector, CODE_64, 1);
  setFlat(m, Seg.ss, and(add(selector, c32(8)), c32(0xfffc)), DATA, 3);
  m.setState32(S.cpl, c32(0));
  m.setState32(S.tlb, c32(TLB_SUPERVISOR));
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
  m.setState32(S.tlb, c32(TLB_USER));
  m.setState32(S.linkKey, or(m.state32(S.linkKeys + 4), c32(ModeBit.code64 | ModeBit.flat)));
  m.jump(target);
}
