// Control registers: reading and writing them, and everything that a change of them changes.
// Owns which bits exist, which combinations fault, and what is flushed. SDM volume 3, section 2.5, and volume 2 (MOV CR).
// Never touches model-specific registers: see msr.ts.

import { S, Seg } from '../state.ts';
import { Attribute, Cr0, Cr4, Efer, PHYSICAL_ADDRESS_BITS, SystemType } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import { typeOf } from './descriptors.ts';
import { generalProtection, invalidOpcode } from './fault.ts';

const CR0_BITS = Cr0.pe | Cr0.mp | Cr0.em | Cr0.ts | Cr0.et | Cr0.ne | Cr0.wp | Cr0.am | Cr0.nw | Cr0.cd | Cr0.pg;
/** CR4 bits of features that CPUID announces; all others are reserved. */
const CR4_BITS =
  Cr4.tsd |
  Cr4.de |
  Cr4.pse |
  Cr4.pae |
  Cr4.mce |
  Cr4.pge |
  Cr4.pce |
  Cr4.osfxsr |
  Cr4.osxmmexcpt |
  Cr4.fsgsbase |
  Cr4.osxsave |
  Cr4.smep;
/** Bits that no physical address in a control register may have. */
export const BEYOND_PHYSICAL_MASK = ~((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n) & 0xffff_ffff_ffff_ffffn;
/** Reserved bits of a PDPTE that is loaded with CR3: 1, 2, 5 to 8, and beyond the physical address. */
const PDPTE_RESERVED = 0x1e6n | BEYOND_PHYSICAL_MASK;

/** MOV from a control register; #UD for those that do not exist. */
export function readControl(cpu: SystemCpu, register: number): bigint {
  switch (register) {
    case 0:
      return cpu.get64(S.cr0);
    case 2:
      return cpu.get64(S.cr2);
    case 3:
      return cpu.get64(S.cr3);
    case 4:
      return cpu.get64(S.cr4);
    case 8:
      if (!cpu.code64) throw invalidOpcode();
      return BigInt(cpu.hooks.readTaskPriority());
    default:
      throw invalidOpcode();
  }
}

/** MOV to a control register, with its faults and effects. */
export function writeControl(cpu: SystemCpu, register: number, value: bigint): void {
  switch (register) {
    case 0:
      if (value >> 32n) throw generalProtection();
      writeCr0(cpu, Number(value));
      return;
    case 2:
      cpu.set64(S.cr2, value);
      return;
    case 3:
      writeCr3(cpu, value);
      return;
    case 4:
      if (value >> 32n) throw generalProtection();
      writeCr4(cpu, Number(value));
      return;
    case 8:
      if (!cpu.code64) throw invalidOpcode();
      if (value > 15n) throw generalProtection();
      cpu.set64(S.cr8, value);
      cpu.hooks.writeTaskPriority(Number(value));
      return;
    default:
      throw invalidOpcode();
  }
}

/** Writes CR0 (32 bits): MOV CR0 and LMSW. Enters and leaves long mode with paging when EFER.LME is set. */
export function writeCr0(cpu: SystemCpu, written: number): void {
  const value = (written & CR0_BITS) | Cr0.et;
  const old = cpu.cr0;
  const has = (bit: number): boolean => (value & bit) !== 0;
  if (has(Cr0.pg) && !has(Cr0.pe)) throw generalProtection();
  if (has(Cr0.nw) && !has(Cr0.cd)) throw generalProtection();
  const changed = value ^ old;
  let efer = cpu.efer;
  if (changed & Cr0.pg) {
    if (has(Cr0.pg)) {
      if (efer & Efer.lme) {
        const wideTss = (typeOf(cpu.attributes(Seg.tr)) & SystemType.tss32) === SystemType.tss32;
        const codeLong = (cpu.attributes(Seg.cs) & Attribute.long) !== 0;
        if ((cpu.cr4 & Cr4.pae) === 0 || codeLong || (!wideTss && cpu.selector(Seg.tr) !== 0))
          throw generalProtection();
        efer |= Efer.lma;
      } else if (cpu.cr4 & Cr4.pae) loadPdptes(cpu, cpu.get64(S.cr3));
    } else {
      if (cpu.code64) throw generalProtection();
      efer &= ~Efer.lma;
    }
  } else if (has(Cr0.pg) && cpu.cr4 & Cr4.pae && !(efer & Efer.lma) && changed & (Cr0.cd | Cr0.nw))
    loadPdptes(cpu, cpu.get64(S.cr3));
  cpu.set32(S.efer, efer);
  cpu.set64(S.cr0, BigInt(value >>> 0));
  if (changed & (Cr0.pg | Cr0.pe | Cr0.wp)) cpu.mmu.flushAll();
  if (changed & (Cr0.pg | Cr0.pe | Cr0.am)) cpu.updateMode();
  cpu.updateFloating();
}

function writeCr3(cpu: SystemCpu, value: bigint): void {
  if (cpu.longMode) {
    if (value & BEYOND_PHYSICAL_MASK) throw generalProtection();
  } else if (cpu.cr0 & Cr0.pg && cpu.cr4 & Cr4.pae) loadPdptes(cpu, value);
  cpu.set64(S.cr3, value);
  cpu.mmu.flushNonGlobal();
}

/** The CR3 of a hardware task switch: faults in PDPTEs belong to the new task, but leave the old CR3. */
export function writeCr3ForTask(cpu: SystemCpu, value: number): void {
  const wide = BigInt(value >>> 0);
  if (wide !== cpu.get64(S.cr3)) writeCr3(cpu, wide);
}

function writeCr4(cpu: SystemCpu, value: number): void {
  if (value & ~CR4_BITS) throw generalProtection();
  if (cpu.longMode && !(value & Cr4.pae)) throw generalProtection();
  const changed = value ^ cpu.cr4;
  const paging = Cr4.pge | Cr4.pae | Cr4.pse | Cr4.smep;
  if (changed & paging && cpu.cr0 & Cr0.pg && value & Cr4.pae && !cpu.longMode) loadPdptes(cpu, cpu.get64(S.cr3));
  cpu.set64(S.cr4, BigInt(value >>> 0));
  if (changed & paging) cpu.mmu.flushAll();
  cpu.updateFloating();
}

/** Loads the page-directory pointers of PAE paging; #GP when a present one has reserved bits set. */
function loadPdptes(cpu: SystemCpu, cr3: bigint): void {
  const entries = readPdptes(cpu, cr3);
  for (const entry of entries) if (entry & 1n && entry & PDPTE_RESERVED) throw generalProtection();
  for (const [index, entry] of entries.entries()) cpu.set64(S.pdpte + index * 8, entry);
}

/** Reads the pointers that CR3 names if PAE paging is on, for a state that was set from outside. */
export function reloadPdptes(cpu: SystemCpu): void {
  if (!(cpu.cr0 & Cr0.pg) || !(cpu.cr4 & Cr4.pae) || cpu.longMode) return;
  for (const [index, entry] of readPdptes(cpu, cpu.get64(S.cr3)).entries()) cpu.set64(S.pdpte + index * 8, entry);
}

function readPdptes(cpu: SystemCpu, cr3: bigint): bigint[] {
  const table = cpu.physical.gated(Number(cr3 & 0xffff_ffe0n));
  return [0, 1, 2, 3].map((index) => {
    const low = cpu.physical.read32(table + index * 8);
    const high = cpu.physical.read32(table + index * 8 + 4);
    return (BigInt(high) << 32n) | BigInt(low);
  });
}
