// Puts a vCPU into the state in which a boot protocol enters a kernel.
// Owns the way from plain entry data to registers and descriptor caches.
// Never loads anything.

import { Reg, S, Seg } from '../cpu/state.ts';
import type { SystemCpu } from '../cpu/system/core.ts';
import type { EntryState } from '../firmware/boot/boot.ts';

/** Flat code and data, present, ring 0, accessed: bits 40 to 55 of their descriptors. */
const CODE_32 = 0xc09b;
const CODE_64 = 0xa09b;
const DATA = 0xc093;
const BUSY_TSS = 0x008b;

/** The vCPU is reset first, so that everything the entry does not name is as after power-on. */
export function enterKernel(cpu: SystemCpu, entry: EntryState): void {
  cpu.reset();
  cpu.set64(S.cr0, BigInt(entry.cr0 >>> 0));
  cpu.set64(S.cr3, BigInt(entry.cr3));
  cpu.set64(S.cr4, BigInt(entry.cr4));
  cpu.set64(S.efer, BigInt(entry.efer));
  for (let register = 0; register < 16; register++) cpu.setReg(register, 0n);
  cpu.setReg(Reg.rax, BigInt(entry.rax));
  cpu.setReg(Reg.rbx, BigInt(entry.rbx));
  cpu.setReg(Reg.rsi, BigInt(entry.rsi));
  cpu.setReg(Reg.rsp, BigInt(entry.rsp));
  cpu.setFlags(entry.rflags);
  cpu.set64(S.gdtBase, BigInt(entry.gdt.base));
  cpu.set32(S.gdtLimit, entry.gdt.limit);
  cpu.set64(S.idtBase, 0n);
  cpu.set32(S.idtLimit, 0);
  cpu.setSegment(Seg.cs, entry.codeSelector, 0n, 0xffffffff, entry.mode === 'long64' ? CODE_64 : CODE_32);
  for (const segment of [Seg.ds, Seg.es, Seg.ss, Seg.fs, Seg.gs]) {
    cpu.setSegment(segment, entry.dataSelector, 0n, 0xffffffff, DATA);
  }
  cpu.setSegment(Seg.tr, entry.taskSelector, 0n, 0x67, BUSY_TSS);
  cpu.ip = BigInt(entry.rip);
  cpu.controlChanged();
}
