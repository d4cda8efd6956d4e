// The architectural state of a vCPU as fields at fixed addresses of the guest's memory.
// Owns the layout; whoever has the memory can read it: interpreter, translations and TypeScript alike.
// Never gives a field a meaning: see semantics/ and system/.

import { STATE_BASE, STATE_LIMIT } from '../memory/layout.ts';

let next = STATE_BASE;

/** Reserves `bytes` aligned to their size (at most 16). */
function take(bytes: number, align = Math.min(bytes, 16)): number {
  next = Math.ceil(next / align) * align;
  const address = next;
  next += bytes;
  if (next > STATE_LIMIT) throw new Error('The CPU state has outgrown its area.');
  return address;
}

/** Number of a general register as instructions encode it. */
export const Reg = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7 } as const;
/** Number of a segment register as instructions encode it; LDTR and TR follow. */
export const Seg = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;

/**
 * The register file as operands see it: 16 general registers of 8 bytes, then pseudo-registers that make every
 * effective address base + (index << scale) + displacement.
 */
export const Slot = {
  /** Instruction pointer of the first byte of the current code page: ip = codeBase + offset in page. */
  codeBase: 16,
  /** Always zero: an absent base or index. */
  zero: 17,
  /** Linear address that a segmented address computation left for the next micro-op. */
  address: 18,
} as const;

/**
 * Addresses of the state's fields. Widths are in the comments: i64 unless said otherwise.
 * 64-bit fields that only TypeScript uses are also i64, so that any reader may use the same width.
 */
export const S = {
  /** 16 general registers and the pseudo-registers of {@link Slot}. */
  regs: take(24 * 8, 16),
  /** Instruction pointer; authoritative only while the vCPU is not executing. Relative to the code segment. */
  ip: take(8),

  /** Lazy arithmetic flags: i32 kind << 2 | log2 of the operand's bytes; see semantics/flags.ts. */
  ccOp: take(4),
  /** i32: EFLAGS without OF, SF, ZF, AF, PF, CF, which the lazy flags give. Bit 1 is set. */
  eflags: take(4),
  /** i32: CF and OF at their places in EFLAGS, where ccOp says that they were set apart from the others. */
  ccC: take(4),
  ccA: take(8),
  ccB: take(8),

  /** i32: instructions the vCPU may still execute before it must leave. */
  budget: take(4),
  /** i32: one of {@link Exit}. */
  exit: take(4),
  /** i32: address of the micro-op at which execution left. */
  exitPc: take(4),
  /** i32: vector of a pending exception. */
  faultVector: take(4),
  /** i32: its error code, or -1 where there is none. */
  faultCode: take(4),
  /** i32: 1 when a slow memory access raised an exception. */
  faulted: take(4),
  /** Linear address handed to a slow memory access. */
  slowAddress: take(8),
  /** 16 bytes handed to or from a slow memory access. */
  slowValue: take(16),
  /** i32: base of the TLB tables of the current privilege (supervisor or user). */
  tlb: take(4),
  /** i32: base of the vCPU's bank of TLBs: the supervisor's tables, and the user's behind them. */
  tlbBank: take(4),
  /** i32: block-key bits of the current mode: {@link ModeBit}. */
  mode: take(4),
  /** Mask of effective addresses of the mode's default size. */
  addressMask: take(8),
  /** Mask of the stack pointer by the stack segment's size. */
  stackMask: take(8),
  /** i32: current privilege level. */
  cpl: take(4),
  /** i32: exceptions that WebAssembly may still deliver before it must leave. */
  deliveriesLeft: take(4),
  /** i32: 1 while the machine vouches that no maskable interrupt waits, so that setting IF needs nobody to look. */
  interruptsQuiet: take(4),
  /**
   * i32: while it is the same, an instruction pointer leads to the same block. Made of the mode, the privilege and of how
   * often a translation of a code page has been dropped from that privilege's TLB. -1 where the code segment has a base
   * other than 0 or a limit below 4 GiB, so that these must be looked at.
   */
  linkKey: take(4),
  /** i32 each: what linkKey is in supervisor and in user code, but for the mode's bits. */
  linkKeys: take(8, 4),
  /**
   * Where the function that a translation has called returns to, and how many such calls are inside each other (i32). The
   * translation that comes there gives control back to the one that called. See {@link NO_RETURN}.
   */
  expectedReturn: take(8),
  callDepth: take(4),
  /** i32: changes whenever a translation is dropped: who called another one may be gone. */
  translationsLost: take(4),
  /** i32: 1 for one instruction after STI, 2 after MOV SS and POP SS; see shadowIp. */
  interruptShadow: take(4),

  /** Segment registers ES, CS, SS, DS, FS, GS, LDTR, TR: hidden base (i64 each). */
  segBase: take(64, 8),
  /** Hidden limit in bytes, inclusive (i32 each, unsigned). */
  segLimit: take(32, 4),
  /** Selector (i32 each). */
  segSelector: take(32, 4),
  /** Attributes as the descriptor's bits 40 to 55: type, S, DPL, P, limit bits, AVL, L, D/B, G (i32 each). 0: unusable. */
  segAttributes: take(32, 4),
  /** i32 each: bit 0, plain reads need only the limit check; bit 1, plain writes too. Expand-down and unusable: 0. */
  segPlain: take(32, 4),
  gdtBase: take(8),
  /** i32 */
  gdtLimit: take(4),
  /** i32 */
  idtLimit: take(4),
  idtBase: take(8),

  cr0: take(8),
  cr2: take(8),
  cr3: take(8),
  cr4: take(8),
  cr8: take(8),
  efer: take(8),
  xcr0: take(8),
  /** DR0 to DR7. */
  debug: take(64, 8),

  tscOffset: take(8),
  tscAux: take(8),
  star: take(8),
  lstar: take(8),
  cstar: take(8),
  sfmask: take(8),
  kernelGsBase: take(8),
  sysenterCs: take(8),
  sysenterEsp: take(8),
  sysenterEip: take(8),
  pat: take(8),
  apicBase: take(8),
  miscEnable: take(8),

  /**
   * x87 registers by physical number: 16 bytes each, significand (i64) then sign and exponent (i32, 16 bits used).
   * A ninth entry is the memory operand of the instruction under way.
   */
  fpu: take(144, 16),
  /** i32: control word. */
  fcw: take(4),
  /** i32: status word without its TOP field. */
  fsw: take(4),
  /** i32: TOP. */
  ftop: take(4),
  /** i32: one bit a physical register, set when it is NOT empty (the abridged tag word of FXSAVE). */
  ftw: take(4),
  /** i32: last opcode (11 bits). */
  fop: take(4),
  /**
   * i32: not 0 when an x87 or MMX instruction may not simply run: CR0.EM (4) and CR0.TS (8) as they stand in CR0,
   * and 0x80 while an unmasked x87 exception is pending. Whoever changes CR0, fcw or fsw keeps it so.
   */
  fpuTrap: take(4),
  /** i32: 0x80 while IGNNE# is asserted for the exception that is pending: x87 instructions execute despite it. Else 0. */
  fpuIgnored: take(4),
  /** i32: 1 when an x87 instruction found that an unmasked exception withholds its result; its meaning clears it. */
  fpuWithheld: take(4),
  /** i32: MXCSR. */
  mxcsr: take(4),
  /** i32: why SSE arithmetic must leave its fast path: {@link SseSlow}. Follows MXCSR; see semantics/sse-control.ts. */
  sseSlow: take(4),
  /** i32: vector that any SSE instruction raises now (6 or 7), or 0. Follows CR0 and CR4; see semantics/sse-control.ts. */
  sseTrap: take(4),
  /** i32: MXCSR exception flags that the SSE instruction under way has raised so far; 0 between instructions. */
  sseRaised: take(4),
  /** Offset of the last x87 instruction that is no control instruction. */
  fip: take(8),
  /** Linear address of its memory operand. Selectors are not kept: CPUID announces them as deprecated. */
  fdp: take(8),
  /** XMM0 to XMM15, 16 bytes each. */
  xmm: take(256, 16),

  /** The four page-directory pointers that PAE paging loads together with CR3. */
  pdpte: take(32, 8),
  /** MTRRs: default type, the eleven fixed ranges, eight variable pairs of base and mask. Plain storage. */
  mtrrDefault: take(8),
  mtrrFixed: take(88, 8),
  mtrrVariable: take(128, 8),
  mcgStatus: take(8),
  tscAdjust: take(8),
  /** i32: bits of DR6 that the instruction just carried out asks a debug trap for; bit 31 keeps a value of 0 apart. */
  pendingDebug: take(4),
  /** i32: 1 from the delivery of an NMI to the next IRET. */
  nmiBlocked: take(4),
  /** i32: 1 while HLT waits for an interrupt. */
  halted: take(4),
  /** Instruction pointer behind the instruction that set interruptShadow: elsewhere the shadow is over. */
  shadowIp: take(8),

  // What follows belongs to no vCPU: it stays when another one executes.

  /** Where a vCPU's state ends. */
  shared: take(0, 16),
  /** i32: changes whenever all decoded blocks are dropped: whoever holds a micro-op's address must let go of it. */
  blockGeneration: take(4),
  /** i32: 1 while another vCPU could execute, so that PAUSE gives it the turn. */
  othersWait: take(4),
  /** The image of FXSAVE, FXRSTOR and their kin on its way to or from memory. */
  saveArea: take(512, 16),
  /** 64 bytes that a meaning may use between its own steps. */
  scratch: take(64, 16),

  /** CRC-32C of each byte (i32 each), which CRC32 fills in when it first runs. */
  crcTable: take(1024, 16),

  /** Counters (i64): TLB misses, exits into TypeScript. */
  tlbMisses: take(8),

  /**
   * i32: instructions of the burst under way that translations have executed. While they execute, the budget that they
   * began with is part of it, so that it tells their instructions once the present budget is taken off.
   */
  translatedInstructions: take(4),
  /** i32: 1 while translations execute, one after another, until the interpreter's loop has its turn again. */
  translating: take(4),
  /** i32: how often the interpreter's loop goes over to translations until TypeScript times it. */
  untilTimed: take(4),
  /** i32: where a translation's memory access raised an exception; see SLOW_FAILED in interpreter/module.ts. */
  slowDetail: take(4),
  /**
   * Ticks from now behind which a deadline of the APIC's timer may lie that is left in {@link deadline} for the machine to find when
   * the burst is over; 0: the machine is to be asked at once. The timer is the present vCPU's.
   */
  deadlineAhead: take(8),
  /** What was written to IA32_TSC_DEADLINE during the burst, and i32: 1 where something was. */
  deadline: take(8),
  deadlineWritten: take(4),
} as const;

/** Bytes of the whole area, from STATE_BASE. */
export const STATE_BYTES = next - STATE_BASE;
/** Bytes of it that are a vCPU's own. */
export const VCPU_STATE_BYTES = S.shared - STATE_BASE;

/** Address of a general or pseudo register. */
export const regAddress = (register: number): number => S.regs + register * 8;
export const xmmAddress = (register: number): number => S.xmm + register * 16;
export const segBaseAddress = (segment: number): number => S.segBase + segment * 8;

/** Why execution left WebAssembly. */
export const Exit = {
  /** The budget is used up; ip is where to go on. */
  budget: 0,
  /** An exception: faultVector and faultCode; exitPc is the faulting micro-op. */
  fault: 1,
  /** TypeScript carried out an instruction and set ip; the mode may have changed. */
  done: 2,
  /** The micro-op's block has been invalidated: look the ip of exitPc up anew. */
  stale: 3,
  /** A page-crossing instruction's second page is not in the TLB, or not the one it was decoded from. */
  nextPage: 4,
} as const;

/** Bits of the mode that decide how bytes decode; part of every block's key. */
export const ModeBit = {
  /** 0: 16-bit code, 1: 32-bit, 2: 64-bit. */
  code16: 0,
  code32: 1,
  code64: 2,
  codeMask: 3,
  /** The stack segment is 32-bit (B set). In 64-bit code always clear. */
  stack32: 4,
  /** Data segments need no base added and no limit checked: flat, writable, 4 GiB. In 64-bit code always set. */
  flat: 8,
} as const;

export const Vector = {
  divideError: 0,
  debug: 1,
  nonMaskable: 2,
  breakpoint: 3,
  overflow: 4,
  boundRange: 5,
  invalidOpcode: 6,
  deviceNotAvailable: 7,
  doubleFault: 8,
  invalidTss: 10,
  segmentNotPresent: 11,
  stackFault: 12,
  generalProtection: 13,
  pageFault: 14,
  x87: 16,
  alignmentCheck: 17,
  simd: 19,
} as const;

export const Flag = {
  cf: 1,
  pf: 1 << 2,
  af: 1 << 4,
  zf: 1 << 6,
  sf: 1 << 7,
  tf: 1 << 8,
  if: 1 << 9,
  df: 1 << 10,
  of: 1 << 11,
  iopl: 3 << 12,
  nt: 1 << 14,
  rf: 1 << 16,
  vm: 1 << 17,
  ac: 1 << 18,
  vif: 1 << 19,
  vip: 1 << 20,
  id: 1 << 21,
} as const;
/** The flags that the lazy flags give. */
export const ARITHMETIC_FLAGS = Flag.of | Flag.sf | Flag.zf | Flag.af | Flag.pf | Flag.cf;

/** Default operand size that the bits of S.mode say, in bits. */
export function codeSizeOf(mode: number): 16 | 32 | 64 {
  const bits = mode & ModeBit.codeMask;
  return bits === ModeBit.code64 ? 64 : bits === ModeBit.code32 ? 32 : 16;
}
