// Who stands in for an operating system where programs execute in user mode alone, without page tables or an IDT.
// Owns the interface, and the state of a vCPU that executes for a supervisor: 64-bit code at CPL 3.
// Never maps a page or carries out a system call.

import { S, Seg } from '../state.ts';
import { Cr0, Cr4, Efer } from './architecture.ts';
import type { SystemCpu } from './core.ts';

/** What the translation of a linear page has found; see {@link PageTranslation.walk}. Also the page walk's results. */
export interface PageTranslation {
  /** Physical address of the page. */
  readonly page: number;
  readonly writable: boolean;
  readonly global: boolean;
  /** Writes need not be seen: pages may have entries for writing. */
  readonly dirty: boolean;
  /** Bits of the offset in the page: 12 where it is one of 4 KiB. */
  readonly pageBits: number;
  /** Error code of the page fault after a translation that failed. */
  readonly errorCode: number;
  /**
   * Translates the page of the linear address `high:low` for an access (a combination of `Access.write`, `user` and `fetch`).
   * False: a page fault, and `errorCode` says why.
   */
  walk(low: number, high: number, access: number): boolean;
}

/** What stops a program. */
export interface ProgramException {
  readonly vector: number;
  /** Error code, or -1. */
  readonly code: number;
  /** INT n, INT3 or INT1: the program asked for it, and goes on behind it. */
  readonly isSoftware: boolean;
  /** Instruction pointer to go on at. */
  readonly returnIp: bigint;
}

/**
 * An operating system beside the vCPU instead of in its memory. Each is called between two instructions, with the program's
 * registers in the state; a supervisor that switches programs asks the vCPU to leave.
 */
export interface Supervisor {
  /** Translates for TLB misses. */
  readonly translation: PageTranslation;
  /** SYSCALL; S.ip is behind it. */
  systemCall(): void;
  exception(exception: ProgramException): void;
}

/** Attributes of flat segments at CPL 3: present, accessed. */
const USER_CODE_64 = 0xaffb;
const USER_DATA = 0xcff3;
/** Selectors as Linux has them (arch/x86/include/asm/segment.h), which programs see in frames and core dumps. */
export const USER_CS = 0x33;
export const USER_SS = 0x2b;

/**
 * Puts a vCPU, whose state is otherwise as after a reset, into 64-bit user mode with x87 and SSE ready. SYSCALL is disabled for
 * the translator's sake: what it would do by itself is the supervisor's.
 */
export function enterUserMode(cpu: SystemCpu): void {
  cpu.set64(S.cr0, BigInt((Cr0.pe | Cr0.mp | Cr0.et | Cr0.ne | Cr0.wp | Cr0.pg) >>> 0));
  cpu.set64(S.cr4, BigInt(Cr4.pae | Cr4.osfxsr | Cr4.osxmmexcpt | Cr4.osxsave | Cr4.fsgsbase));
  cpu.set64(S.efer, BigInt(Efer.lme | Efer.lma | Efer.nxe));
  cpu.set64(S.xcr0, 3n);
  for (let register = 0; register < 16; register++) cpu.setReg(register, 0n);
  cpu.set32(S.fcw, 0x37f);
  cpu.set32(S.ftw, 0);
  cpu.set32(S.gdtLimit, 0);
  cpu.set32(S.idtLimit, 0);
  cpu.setFlags(0x202);
  cpu.setSegment(Seg.cs, USER_CS, 0n, 0xffffffff, USER_CODE_64);
  cpu.setSegment(Seg.ss, USER_SS, 0n, 0xffffffff, USER_DATA);
  for (const segment of [Seg.ds, Seg.es, Seg.fs, Seg.gs]) cpu.setSegment(segment, 0, 0n, 0xffffffff, USER_DATA);
  cpu.set32(S.cpl, 3);
  cpu.controlChanged();
}
