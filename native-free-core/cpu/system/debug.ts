// Debug registers, breakpoints and single step.
// Owns DR0 to DR7 and when a #DB is due. SDM volume 3, chapter 18.
// Never delivers it: afterInstruction and codeBreakpoint say so, and the run loop calls deliverException.

import { Flag, S, Vector } from '../state.ts';
import { Cr4 } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import { GuestFault, generalProtection, invalidOpcode } from './fault.ts';

const register = (index: number): number => S.debug + index * 8;
const DR6_WRITABLE = 0xe00fn;
const DR6_FIXED = 0xffff0ff0n;
const DR7_WRITABLE = 0xffff23ffn;
const DR7_FIXED = 0x400n;
/** DR6: a task switch with T set, single step, and access to a debug register while DR7.GD was set. */
export const Dr6 = { bt: 1 << 15, bs: 1 << 14, bd: 1 << 13 } as const;
const DR7_ENABLED = 0xff;
const DR7_GD = 1 << 13;

/** DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE forbids it. */
function resolve(cpu: SystemCpu, index: number): number {
  if (index > 7) throw invalidOpcode();
  cpu.requireCpl0();
  if (index !== 4 && index !== 5) return index;
  if (cpu.cr4 & Cr4.de) throw invalidOpcode();
  return index + 2;
}

/** #DB before an access to a debug register that DR7.GD guards. */
function guard(cpu: SystemCpu): void {
  const dr7 = cpu.get64(register(7));
  if ((dr7 & BigInt(DR7_GD)) === 0n) return;
  cpu.set64(register(7), dr7 & ~BigInt(DR7_GD));
  cpu.set64(register(6), cpu.get64(register(6)) | BigInt(Dr6.bd));
  throw new GuestFault(Vector.debug);
}

export function readDebug(cpu: SystemCpu, index: number): bigint {
  const resolved = resolve(cpu, index);
  guard(cpu);
  return cpu.get64(register(resolved));
}

export function writeDebug(cpu: SystemCpu, index: number, value: bigint): void {
  const resolved = resolve(cpu, index);
  guard(cpu);
  if (resolved >= 6 && value >> 32n) throw generalProtection();
  if (resolved === 6) cpu.set64(register(6), (value & DR6_WRITABLE) | DR6_FIXED);
  else if (resolved === 7) cpu.set64(register(7), (value & DR7_WRITABLE) | DR7_FIXED);
  else cpu.set64(register(resolved), value);
  if (resolved !== 6) updateWatches(cpu);
}

interface Breakpoint {
  readonly index: number;
  readonly address: bigint;
  readonly bytes: number;
  /** 0 instruction, 1 write, 2 port, 3 read or write. */
  readonly kind: number;
}

/** The breakpoints that are enabled, locally or globally. */
function breakpoints(cpu: SystemCpu): Breakpoint[] {
  const dr7 = Number(cpu.get64(register(7)));
  const result: Breakpoint[] = [];
  for (let index = 0; index < 4; index++) {
    if (((dr7 >>> (index * 2)) & 3) === 0) continue;
    const control = (dr7 >>> (16 + index * 4)) & 15;
    // Lengths 0 to 3 are 1, 2, 8 and 4 bytes; the address is taken aligned to the length.
    const bytes = [1, 2, 8, 4][control >>> 2];
    result.push({
      index,
      address: cpu.get64(register(index)) & ~BigInt(bytes - 1),
      bytes,
      kind: control & 3,
    });
  }
  return result;
}

/** Keeps pages with data breakpoints out of the TLB. Called when DR0 to DR3 or DR7 changed, and after a restore. */
export function updateWatches(cpu: SystemCpu): void {
  const data = breakpoints(cpu).filter(({ kind }) => kind === 1 || kind === 3);
  if (data.length === 0) {
    cpu.mmu.watch([], undefined);
    return;
  }
  const pages = data.map(({ address }) => ({
    low: Number(address & 0xffff_f000n),
    high: Number(BigInt.asUintN(64, address) >> 32n),
  }));
  cpu.mmu.watch(pages, (low, high, bytes, write) => {
    const first = (BigInt(high) << 32n) | BigInt(low);
    const last = first + BigInt(bytes - 1);
    let hit = 0;
    for (const { index, address, bytes: length, kind } of data)
      if ((write || kind === 3) && first < address + BigInt(length) && last >= address) hit |= 1 << index;
    if (hit) cpu.set32(S.pendingDebug, cpu.get32(S.pendingDebug) | hit);
  });
}

/** Bits of port breakpoints that an access of `size` bytes hits; they exist only with CR4.DE. */
export function portBreakpoints(cpu: SystemCpu, port: number, size: number): void {
  if (!(cpu.cr4 & Cr4.de) || (Number(cpu.get64(register(7))) & DR7_ENABLED) === 0) return;
  for (const { index, address, bytes, kind } of breakpoints(cpu))
    if (kind === 2 && BigInt(port) < address + BigInt(bytes) && BigInt(port + size) > address)
      cpu.set32(S.pendingDebug, cpu.get32(S.pendingDebug) | (1 << index));
}

/** True: the run loop must execute one instruction at a time and call the two functions below around each. */
export function stepping(cpu: SystemCpu): boolean {
  return (
    (cpu.get32(S.eflags) & (Flag.tf | Flag.rf)) !== 0 ||
    (cpu.get32(S.debug + 7 * 8) & DR7_ENABLED) !== 0 ||
    cpu.get32(S.pendingDebug) !== 0
  );
}

/**
 * Before an instruction: true when a code breakpoint is hit at its linear address. Then #DB is due (deliverException with
 * no error code), with DR6 set already.
 */
export function codeBreakpoint(cpu: SystemCpu, linear: bigint): boolean {
  if (cpu.get32(S.eflags) & Flag.rf || (cpu.get32(S.debug + 7 * 8) & DR7_ENABLED) === 0) return false;
  let hit = 0;
  for (const { index, address, kind } of breakpoints(cpu)) if (kind === 0 && address === linear) hit |= 1 << index;
  if (hit === 0) return false;
  cpu.set64(register(6), (cpu.get64(register(6)) & ~0xfn) | BigInt(hit));
  return true;
}

/**
 * After an instruction that completed: true when a debug trap is due, with DR6 set already. `steppedFrom`: EFLAGS.TF as it
 * was when the instruction began. Clears RF. After MOV SS and POP SS (interruptShadow 2) traps wait one instruction.
 */
export function afterInstruction(cpu: SystemCpu, steppedFrom: boolean): boolean {
  cpu.set32(S.eflags, cpu.get32(S.eflags) & ~Flag.rf);
  let pending = cpu.get32(S.pendingDebug);
  if (steppedFrom) pending |= Dr6.bs;
  if (pending === 0) return false;
  if (cpu.get32(S.interruptShadow) === 2) {
    // Single step is lost behind a stack switch; breakpoints are reported after the next instruction.
    cpu.set32(S.pendingDebug, pending & ~Dr6.bs);
    return false;
  }
  cpu.set32(S.pendingDebug, 0);
  cpu.set64(register(6), (cpu.get64(register(6)) & ~0xfn) | BigInt(pending & 0xffff));
  return true;
}
