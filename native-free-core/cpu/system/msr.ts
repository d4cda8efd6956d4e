// Model-specific registers that Linux, BSD and Windows-class systems touch.
// Owns their bits and faults. Registers of the local APIC and of a hypervisor are the machine's, through hooks.
// Never invents one: an unknown register is #GP(0). SDM volume 4.

import { S, Seg, segBaseAddress } from '../state.ts';
import { Cr0, Efer } from './architecture.ts';
import { BEYOND_PHYSICAL_MASK } from './control.ts';
import type { SystemCpu } from './core.ts';
import { generalProtection } from './fault.ts';

export const Msr = {
  tsc: 0x10,
  platformId: 0x17,
  apicBase: 0x1b,
  featureControl: 0x3a,
  tscAdjust: 0x3b,
  biosUpdateTrigger: 0x79,
  biosSignature: 0x8b,
  mtrrCapability: 0xfe,
  archCapabilities: 0x10a,
  sysenterCs: 0x174,
  sysenterEsp: 0x175,
  sysenterEip: 0x176,
  mcgCapability: 0x179,
  mcgStatus: 0x17a,
  perfStatus: 0x198,
  perfControl: 0x199,
  miscEnable: 0x1a0,
  debugControl: 0x1d9,
  mtrrVariable: 0x200,
  mtrrVariableEnd: 0x210,
  pat: 0x277,
  mtrrDefault: 0x2ff,
  efer: 0xc0000080,
  star: 0xc0000081,
  lstar: 0xc0000082,
  cstar: 0xc0000083,
  sfmask: 0xc0000084,
  fsBase: 0xc0000100,
  gsBase: 0xc0000101,
  kernelGsBase: 0xc0000102,
  tscAux: 0xc0000103,
} as const;

/** The fixed-range MTRRs in the order of the state's field. */
const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const VARIABLE_MTRRS = 8;
/** Eight variable ranges, fixed ranges, write-combining. */
const MTRR_CAPABILITY = BigInt(VARIABLE_MTRRS | (1 << 8) | (1 << 10));
/** Revision that the microcode of this processor claims; high half of the register. */
const MICROCODE_REVISION = 0x10en;
/**
 * Nothing here executes speculatively: RDCL, SSB, MDS, TSX and the rest of these weaknesses do not exist, and no L1D flush
 * is needed on VM entry.
 */
const ARCH_CAPABILITIES = [0, 3, 4, 5, 6, 8, 13, 14, 15, 17, 20, 24, 26, 27].reduce(
  (bits, bit) => bits | (1n << BigInt(bit)),
  0n,
);
/** Only fast strings can be switched; branch trace and precise sampling stay unavailable. */
const MISC_ENABLE_WRITABLE = 1n;

/** Registers that are plain 64-bit storage for a canonical address. */
const ADDRESSES: ReadonlyMap<number, number> = new Map([
  [Msr.sysenterEsp, S.sysenterEsp],
  [Msr.sysenterEip, S.sysenterEip],
  [Msr.lstar, S.lstar],
  [Msr.cstar, S.cstar],
  [Msr.fsBase, segBaseAddress(Seg.fs)],
  [Msr.gsBase, segBaseAddress(Seg.gs)],
  [Msr.kernelGsBase, S.kernelGsBase],
]);

/** RDMSR. #GP(0) for a register that does not exist. */
export function readMsr(cpu: SystemCpu, index: number): bigint {
  const address = ADDRESSES.get(index);
  if (address !== undefined) return cpu.get64(address);
  const mtrr = mtrrField(index);
  if (mtrr !== undefined) return cpu.get64(mtrr);
  switch (index) {
    case Msr.tsc:
      return cpu.timestamp();
    case Msr.tscAdjust:
      return cpu.get64(S.tscAdjust);
    case Msr.apicBase:
      return cpu.hooks.readMsr(index) ?? cpu.get64(S.apicBase);
    case Msr.featureControl:
      return 1n;
    case Msr.biosSignature:
      return MICROCODE_REVISION << 32n;
    case Msr.mtrrCapability:
      return MTRR_CAPABILITY;
    case Msr.archCapabilities:
      return ARCH_CAPABILITIES;
    case Msr.sysenterCs:
      return cpu.get64(S.sysenterCs);
    case Msr.platformId:
    case Msr.biosUpdateTrigger:
    case Msr.mcgCapability:
    case Msr.perfStatus:
    case Msr.perfControl:
    case Msr.debugControl:
      return 0n;
    case Msr.mcgStatus:
      return cpu.get64(S.mcgStatus);
    case Msr.miscEnable:
      return cpu.get64(S.miscEnable);
    case Msr.pat:
      return cpu.get64(S.pat);
    case Msr.efer:
      return cpu.get64(S.efer);
    case Msr.star:
      return cpu.get64(S.star);
    case Msr.sfmask:
      return cpu.get64(S.sfmask);
    case Msr.tscAux:
      return cpu.get64(S.tscAux);
    default: {
      const value = cpu.hooks.readMsr(index);
      if (value === undefined) throw generalProtection();
      return value;
    }
  }
}

/** WRMSR. #GP(0) for a register or a value that does not exist. */
export function writeMsr(cpu: SystemCpu, index: number, value: bigint): void {
  const address = ADDRESSES.get(index);
  if (address !== undefined) {
    if (!cpu.canonical(value)) throw generalProtection();
    cpu.set64(address, value);
    if (index === Msr.fsBase || index === Msr.gsBase) cpu.updateMode();
    return;
  }
  if (writeMtrr(cpu, index, value)) return;
  switch (index) {
    case Msr.tsc:
      setTimestamp(cpu, value);
      return;
    case Msr.tscAdjust:
      cpu.set64(S.tscOffset, BigInt.asUintN(64, cpu.get64(S.tscOffset) + value - cpu.get64(S.tscAdjust)));
      cpu.set64(S.tscAdjust, value);
      cpu.hooks.timestampMoved();
      return;
    case Msr.apicBase: {
      const taken = cpu.hooks.writeMsr(index, value);
      if (taken === false || value & BEYOND_PHYSICAL_MASK || value & 0x2ffn) throw generalProtection();
      cpu.set64(S.apicBase, value);
      return;
    }
    case Msr.sysenterCs:
      cpu.set64(S.sysenterCs, value & 0xffff_ffffn);
      return;
    case Msr.biosUpdateTrigger:
    case Msr.biosSignature:
    case Msr.perfControl:
      // A microcode update changes nothing, and neither does a performance state.
      return;
    case Msr.debugControl:
      if (value !== 0n) throw generalProtection();
      return;
    case Msr.mcgStatus:
      if (value !== 0n) throw generalProtection();
      cpu.set64(S.mcgStatus, 0n);
      return;
    case Msr.miscEnable:
      cpu.set64(S.miscEnable, (cpu.get64(S.miscEnable) & ~MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE));
      return;
    case Msr.pat:
      for (let entry = 0n; entry < 64n; entry += 8n)
        if (!isMemoryType(Number((value >> entry) & 0xffn), true)) throw generalProtection();
      cpu.set64(S.pat, value);
      return;
    case Msr.efer:
      writeEfer(cpu, value);
      return;
    case Msr.star:
      cpu.set64(S.star, value);
      return;
    case Msr.sfmask:
      if (value >> 32n) throw generalProtection();
      cpu.set64(S.sfmask, value);
      return;
    case Msr.tscAux:
      if (value >> 32n) throw generalProtection();
      cpu.set64(S.tscAux, value);
      return;
    default:
      if (cpu.hooks.writeMsr(index, value) !== true) throw generalProtection();
  }
}

function setTimestamp(cpu: SystemCpu, value: bigint): void {
  const offset = BigInt.asUintN(64, value - BigInt(cpu.hooks.timestamp()));
  cpu.set64(S.tscAdjust, BigInt.asUintN(64, cpu.get64(S.tscAdjust) + offset - cpu.get64(S.tscOffset)));
  cpu.set64(S.tscOffset, offset);
  cpu.hooks.timestampMoved();
}

function writeEfer(cpu: SystemCpu, value: bigint): void {
  const allowed = BigInt(Efer.sce | Efer.lme | Efer.lma | Efer.nxe);
  if (value & ~allowed) throw generalProtection();
  const bits = Number(value);
  const old = cpu.efer;
  if ((bits ^ old) & Efer.lme && cpu.cr0 & Cr0.pg) throw generalProtection();
  cpu.set64(S.efer, BigInt((bits & ~Efer.lma) | (old & Efer.lma)));
  if ((bits ^ old) & Efer.nxe) cpu.mmu.flushAll();
}

/** Whether a memory type exists: UC, WC, WT, WP, WB, and UC- in the PAT. */
const isMemoryType = (type: number, pat: boolean): boolean =>
  type === 0 || type === 1 || (type >= 4 && type <= 6) || (pat && type === 7);

/** The field of the state that holds an MTRR; undefined for another register. They are all stored and read back alone. */
export function mtrrField(index: number): number | undefined {
  const fixed = FIXED_MTRRS.indexOf(index);
  if (fixed >= 0) return S.mtrrFixed + fixed * 8;
  if (index >= Msr.mtrrVariable && index < Msr.mtrrVariableEnd) return S.mtrrVariable + (index - Msr.mtrrVariable) * 8;
  return index === Msr.mtrrDefault ? S.mtrrDefault : undefined;
}

/** All memory behaves alike here, whatever its type. True when the register is an MTRR. */
function writeMtrr(cpu: SystemCpu, index: number, value: bigint): boolean {
  const field = mtrrField(index);
  if (field === undefined) return false;
  const isType = (type: bigint): boolean => isMemoryType(Number(type & 0xffn), false);
  if (index === Msr.mtrrDefault) {
    if (value & ~0xcffn || !isType(value)) throw generalProtection();
  } else if (index < Msr.mtrrVariableEnd) {
    const mask = (index & 1) === 1;
    const reserved = (mask ? 0x7ffn : 0xf00n) | BEYOND_PHYSICAL_MASK;
    if (value & reserved || (!mask && !isType(value))) throw generalProtection();
  } else {
    for (let entry = 0n; entry < 64n; entry += 8n) if (!isType(value >> entry)) throw generalProtection();
  }
  cpu.set64(field, value);
  return true;
}
