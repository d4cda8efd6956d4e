// CPUID: what this processor says about itself.
// Owns the table. A feature bit is set here only when the instruction table or system/ has the feature.
// Never speaks for the hypervisor: leaves 4000_0000h and up come from the machine.
//
// The processor calls itself an in-order Atom (family 6, model 36h): like that one it executes nothing speculatively, so
// systems need none of their defences against speculation, which would only cost time.

import { S } from '../state.ts';
import { Cr4, PHYSICAL_ADDRESS_BITS } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import type { CpuidResult } from './hooks.ts';

/** Family 6, model 36h, stepping 1. */
export const SIGNATURE = 0x00030661;
const MAX_BASIC = 0x16;
const MAX_EXTENDED = 0x80000008;
const BRAND = 'Trivisor Virtual x86-64 Processor';
const ZERO: CpuidResult = [0, 0, 0, 0];

const bits = (...numbers: number[]): number => numbers.reduce((set, bit) => set | (1 << bit), 0) >>> 0;

const Leaf1Ecx = {
  sse3: 0,
  pclmulqdq: 1,
  ssse3: 9,
  cx16: 13,
  sse41: 19,
  sse42: 20,
  movbe: 22,
  popcnt: 23,
  tscDeadline: 24,
  aes: 25,
} as const;
const XSAVE = 26;
const OSXSAVE = 27;
const HYPERVISOR = 31;
const Leaf1Edx = {
  fpu: 0,
  de: 2,
  pse: 3,
  tsc: 4,
  msr: 5,
  pae: 6,
  mce: 7,
  cx8: 8,
  sep: 11,
  mtrr: 12,
  pge: 13,
  mca: 14,
  cmov: 15,
  pat: 16,
  pse36: 17,
  clfsh: 19,
  mmx: 23,
  fxsr: 24,
  sse: 25,
  sse2: 26,
} as const;
const APIC = 9;
const HTT = 28;
const Leaf7Ebx = { fsgsbase: 0, tscAdjust: 1, bmi1: 3, smep: 7, bmi2: 8, erms: 9, fcsFdsDeprecated: 13 } as const;
const ARCH_CAPABILITIES = 29;
const Extended1Ecx = { lahf64: 0, lzcnt: 5, prefetchw: 8 } as const;
const Extended1Edx = { nx: 20, pages1g: 26, rdtscp: 27, lm: 29 } as const;
const SYSCALL = 11;

/** Answers one leaf. Leaves beyond the basic maximum give the highest basic leaf, as Intel's processors do. */
export function cpuid(cpu: SystemCpu, leaf: number, subleaf: number): CpuidResult {
  if (leaf >= 0x40000000 && leaf <= 0x400000ff)
    return cpu.hooks.hypervisor ? (cpu.hooks.hypervisorLeaf(leaf, subleaf) ?? ZERO) : ZERO;
  if (leaf >= 0x80000000) return leaf <= MAX_EXTENDED ? extendedLeaf(cpu, leaf) : basicLeaf(cpu, MAX_BASIC, subleaf);
  return basicLeaf(cpu, Math.min(leaf, MAX_BASIC), subleaf);
}

function basicLeaf(cpu: SystemCpu, leaf: number, subleaf: number): CpuidResult {
  const { hooks } = cpu;
  switch (leaf) {
    case 0: {
      const [ebx, edx, ecx] = words('GenuineIntel');
      return [MAX_BASIC, ebx, ecx, edx];
    }
    case 1:
      return [SIGNATURE, (8 << 8) | (hooks.processors << 16) | (hooks.apicId() << 24), leaf1Ecx(cpu), leaf1Edx(cpu)];
    case 2:
      // One round; all about caches is in leaf 4.
      return [0x00ff0001, 0, 0, 0];
    case 4:
      return cacheLeaf(cpu, subleaf);
    case 6:
      // The local APIC's timer never stops.
      return [1 << 2, 0, 0, 0];
    case 7:
      return subleaf === 0 ? [0, bits(...Object.values(Leaf7Ebx)), 0, bits(ARCH_CAPABILITIES)] : ZERO;
    case 0xb:
      return topologyLeaf(cpu, subleaf);
    case 0xd:
      // x87 and SSE state: the legacy area and the header. No compaction, no further components.
      return subleaf === 0 ? [3, 576, 576, 0] : ZERO;
    case 0x15:
      return [1, Math.round(hooks.timestampHz / hooks.crystalHz), hooks.crystalHz, 0];
    case 0x16: {
      const megahertz = Math.round(hooks.timestampHz / 1e6);
      return [megahertz, megahertz, 100, 0];
    }
    default:
      return ZERO;
  }
}

function leaf1Ecx(cpu: SystemCpu): number {
  const { tscDeadline, ...always } = Leaf1Ecx;
  let features = bits(...Object.values(always), XSAVE);
  if (cpu.hooks.tscDeadline) features |= bits(tscDeadline);
  if (cpu.cr4 & Cr4.osxsave) features |= bits(OSXSAVE);
  if (cpu.hooks.hypervisor) features |= bits(HYPERVISOR);
  return features >>> 0;
}

function leaf1Edx(cpu: SystemCpu): number {
  let features = bits(...Object.values(Leaf1Edx));
  if (cpu.get32(S.apicBase) & 0x800) features |= bits(APIC);
  if (cpu.hooks.processors > 1) features |= bits(HTT);
  return features >>> 0;
}

/** Deterministic cache parameters: 32 KiB of data, 32 KiB of code, 1 MiB of both; 64-byte lines, 8 ways. */
function cacheLeaf(cpu: SystemCpu, subleaf: number): CpuidResult {
  const cores = nextPowerOfTwo(cpu.hooks.processors) - 1;
  const cache = (type: number, level: number, sets: number): CpuidResult => [
    ((cores << 26) | (1 << 8) | (level << 5) | type) >>> 0,
    (7 << 22) | 63,
    sets - 1,
    0,
  ];
  switch (subleaf) {
    case 0:
      return cache(1, 1, 64);
    case 1:
      return cache(2, 1, 64);
    case 2:
      return cache(3, 2, 2048);
    default:
      return ZERO;
  }
}

/** Extended topology: one thread a core, all cores in one package. */
function topologyLeaf(cpu: SystemCpu, subleaf: number): CpuidResult {
  const { processors } = cpu.hooks;
  const apicId = cpu.hooks.apicId();
  if (subleaf === 0) return [0, 1, 1 << 8, apicId];
  if (subleaf === 1) return [31 - Math.clz32(nextPowerOfTwo(processors)), processors, (2 << 8) | 1, apicId];
  return [0, 0, subleaf & 0xff, apicId];
}

const nextPowerOfTwo = (value: number): number => 1 << (32 - Math.clz32(value - 1));

function extendedLeaf(cpu: SystemCpu, leaf: number): CpuidResult {
  switch (leaf) {
    case 0x80000000:
      return [MAX_EXTENDED, 0, 0, 0];
    case 0x80000001: {
      // SYSCALL works in 64-bit code alone, and only there is it announced.
      const edx = bits(...Object.values(Extended1Edx)) | (cpu.code64 ? bits(SYSCALL) : 0);
      return [0, 0, bits(...Object.values(Extended1Ecx)), edx >>> 0];
    }
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
      const part = BRAND.padEnd(48, '\0').slice((leaf - 0x80000002) * 16, (leaf - 0x80000001) * 16);
      const [eax, ebx, ecx, edx] = words(part);
      return [eax, ebx, ecx, edx];
    }
    case 0x80000006:
      // L2: 1 MiB, 8 ways, 64-byte lines.
      return [0, 0, (1024 << 16) | (6 << 12) | 64, 0];
    case 0x80000007:
      // The time-stamp counter runs at one rate always.
      return [0, 0, 0, 1 << 8];
    case 0x80000008:
      return [(48 << 8) | PHYSICAL_ADDRESS_BITS, 0, 0, 0];
    default:
      return ZERO;
  }
}

/** Text as little-endian words of four characters. */
function words(text: string): number[] {
  const result: number[] = [];
  for (let at = 0; at < text.length; at += 4) {
    let word = 0;
    for (let byte = 3; byte >= 0; byte--) word = (word << 8) | text.charCodeAt(at + byte);
    result.push(word >>> 0);
  }
  return result;
}
