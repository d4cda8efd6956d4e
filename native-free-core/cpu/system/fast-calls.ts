// SYSENTER, SYSEXIT, SYSCALL and SYSRET: fixed segments, no descriptor read.
// Owns their selectors, segment contents and flags. SDM volume 2.
// Never touches memory.

import { Flag, S, Seg } from '../state.ts';
import { Efer } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import { generalProtection, invalidOpcode } from './fault.ts';

/** Attributes of the flat segments these instructions load, without DPL. */
const CODE_32 = 0xcf9b;
const CODE_64 = 0xaf9b;
const DATA = 0xcf93;
const LIMIT = 0xffffffff;
/** Flags that SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c7fd7;

function setFlat(cpu: SystemCpu, code: number, stack: number, cpl: number, long: boolean): void {
  const dpl = cpl << 5;
  cpu.setSegment(Seg.cs, (code & 0xfffc) | cpl, 0n, LIMIT, (long ? CODE_64 : CODE_32) | dpl);
  cpu.setSegment(Seg.ss, (stack & 0xfffc) | cpl, 0n, LIMIT, DATA | dpl);
  cpu.set32(S.cpl, cpl);
}

export function sysenter(cpu: SystemCpu): void {
  const selector = cpu.get32(S.sysenterCs) & 0xfffc;
  if (cpu.realMode || selector === 0) throw generalProtection();
  const long = cpu.longMode;
  const pointer = cpu.get64(S.sysenterEsp);
  const target = cpu.get64(S.sysenterEip);
  cpu.set32(S.eflags, cpu.get32(S.eflags) & ~(Flag.vm | Flag.if | Flag.rf));
  cpu.setReg(4, long ? pointer : pointer & 0xffff_ffffn);
  cpu.ip = long ? target : target & 0xffff_ffffn;
  setFlat(cpu, selector, selector + 8, 0, long);
  cpu.updateMode();
}

export function sysexit(cpu: SystemCpu, to64: boolean): void {
  const selector = cpu.get32(S.sysenterCs) & 0xfffc;
  if (cpu.realMode || cpu.cpl !== 0 || selector === 0) throw generalProtection();
  const pointer = cpu.reg(1);
  const target = cpu.reg(2);
  if (to64 && (!cpu.canonical(pointer) || !cpu.canonical(target))) throw generalProtection();
  cpu.setReg(4, to64 ? pointer : pointer & 0xffff_ffffn);
  cpu.ip = to64 ? target : target & 0xffff_ffffn;
  const code = selector + (to64 ? 32 : 16);
  setFlat(cpu, code, code + 8, 3, to64);
  cpu.updateMode();
}

/** SYSCALL. The decoder admits it in 64-bit code only, as Intel's processors do. */
export function syscall(cpu: SystemCpu): void {
  const { supervisor } = cpu.hooks;
  if (supervisor) {
    supervisor.systemCall();
    return;
  }
  if (!cpu.longMode || (cpu.efer & Efer.sce) === 0) throw invalidOpcode();
  const flags = cpu.flags() & ~Flag.rf;
  cpu.setReg(1, cpu.nextIp);
  cpu.setReg(11, BigInt(flags));
  cpu.ip = cpu.get64(S.lstar);
  cpu.setFlags(flags & ~cpu.get32(S.sfmask));
  const selector = cpu.get32(S.star + 4) & 0xfffc;
  setFlat(cpu, selector, selector + 8, 0, true);
  cpu.updateMode();
}

export function sysret(cpu: SystemCpu, to64: boolean): void {
  if (!cpu.longMode || (cpu.efer & Efer.sce) === 0) throw invalidOpcode();
  cpu.requireCpl0();
  const target = cpu.reg(1);
  if (to64 && !cpu.canonical(target)) throw generalProtection();
  cpu.ip = to64 ? target : target & 0xffff_ffffn;
  cpu.setFlags(Number(cpu.reg(11) & BigInt(SYSRET_FLAGS)));
  const selector = cpu.get32(S.star + 4) >>> 16;
  setFlat(cpu, to64 ? selector + 16 : selector, selector + 8, 3, to64);
  cpu.updateMode();
}
