// A vCPU's privileged side: typed access to its state, and what the system instructions share.
// Owns registers, flags, mode and linear memory access as TypeScript sees them; the state itself is in guest memory.
// Never executes ordinary instructions, and never knows a device: ports, MMIO, time and interrupts are injected.

import { STATE_BASE } from '../../memory/layout.ts';
import { updateSseSlow, updateSseTrap } from '../semantics/sse-control.ts';
import { updateFpuTrap } from '../semantics/x87-control.ts';
import { ARITHMETIC_FLAGS, Flag, ModeBit, regAddress, S, Seg, VCPU_STATE_BYTES } from '../state.ts';
import { Attribute, Cr0, Efer } from './architecture.ts';
import { reloadPdptes } from './control.ts';
import { SIGNATURE } from './cpuid.ts';
import { updateWatches } from './debug.ts';
import { GuestFault, generalProtection } from './fault.ts';
import { CPU_HOOK_DEFAULTS, type CpuHooks, type PortBus } from './hooks.ts';
import { Mmu } from './paging.ts';
import { type MmioBus, PhysicalMemory } from './physical.ts';

/** Widths of a linear access in bytes. */
export type Bytes = 1 | 2 | 4 | 8;

const ADDRESS_32 = 0xffff_ffffn;

/** EFLAGS bits that exist here (VIF and VIP do not: virtual-8086 extensions are not announced). */
export const FLAGS_MASK =
  ARITHMETIC_FLAGS | Flag.tf | Flag.if | Flag.df | Flag.iopl | Flag.nt | Flag.rf | Flag.vm | Flag.ac | Flag.id;

export class SystemCpu {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  readonly view: DataView;
  readonly physical: PhysicalMemory;
  readonly mmu: Mmu;
  readonly ports: PortBus;
  readonly hooks: CpuHooks;
  /** Instruction pointer after the cold instruction being carried out, masked to the code's size. */
  nextIp = 0n;
  /** A triple fault happened: the vCPU is in shutdown until reset. */
  shutdown = false;

  /** `memory` is a guest's whole memory (see memory/layout.ts); it never grows. */
  constructor(
    memory: { readonly buffer: ArrayBufferLike },
    ramBytes: number,
    bus: PortBus & MmioBus,
    hooks: Partial<CpuHooks> = {},
  ) {
    const buffer = memory.buffer;
    const words = Math.floor(buffer.byteLength / 4096) * 4096;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer, 0, words / 2);
    this.u32 = new Uint32Array(buffer, 0, words / 4);
    this.u64 = new BigUint64Array(buffer, 0, words / 8);
    this.view = new DataView(buffer);
    this.ports = bus;
    this.hooks = { ...CPU_HOOK_DEFAULTS, ...hooks };
    this.physical = new PhysicalMemory(buffer, ramBytes, bus, this.hooks.processors);
    this.physical.onCodeWrite = (host, bytes) => this.hooks.onCodeWrite(host, bytes);
    this.physical.isCode = (host, bytes) => this.hooks.isCode(host, bytes);
    this.mmu = new Mmu(this);
    this.reset();
  }

  /** Power-on and RESET state (SDM volume 3, table 10-1), with nothing in the TLBs. */
  reset(): void {
    this.u8.fill(0, STATE_BASE, STATE_BASE + VCPU_STATE_BYTES);
    this.shutdown = false;
    this.set32(S.tlbBank, this.mmu.tlb.bank);
    this.set64(S.cr0, BigInt(Cr0.cd | Cr0.nw | Cr0.et) & ADDRESS_32);
    this.resetAlways();
    this.set64(S.xcr0, 1n);
    this.set64(S.pat, 0x0007040600070406n);
    this.set64(S.apicBase, 0xfee00900n);
    this.set64(S.miscEnable, 0x1801n);
    this.set32(S.fcw, 0x40);
    this.set32(S.ftw, 0xff);
    this.set32(S.mxcsr, 0x1f80);
    this.controlChanged();
  }

  /** INIT: x87, SSE, MSRs but EFER, time and the cache bits of CR0 stay; the rest is as after RESET. */
  initialize(): void {
    this.set64(S.cr0, BigInt((this.cr0 & (Cr0.cd | Cr0.nw)) | Cr0.et) & ADDRESS_32);
    for (const field of [S.cr2, S.cr3, S.cr4, S.cr8, S.efer]) this.set64(field, 0n);
    for (let index = 0; index < 16; index++) this.setReg(index, 0n);
    for (let index = 0; index < 4; index++) this.set64(S.debug + index * 8, 0n);
    for (const field of [S.halted, S.nmiBlocked, S.interruptShadow, S.pendingDebug, S.cpl]) this.set32(field, 0);
    this.resetAlways();
    this.controlChanged();
  }

  /** A start-up message: execution begins in real mode at a page of the first mebibyte. Behind INIT. */
  startUp(page: number): void {
    this.setSegment(Seg.cs, page << 8, BigInt(page) << 12n, 0xffff, 0x9b);
    this.set64(S.ip, 0n);
    this.updateMode();
  }

  /** What RESET and INIT have in common (SDM volume 3, table 10-1). */
  private resetAlways(): void {
    this.setFlags(2);
    this.set64(S.ip, 0xfff0n);
    for (const segment of [Seg.es, Seg.ss, Seg.ds, Seg.fs, Seg.gs]) this.setSegment(segment, 0, 0n, 0xffff, 0x93);
    this.setSegment(Seg.cs, 0xf000, 0xffff0000n, 0xffff, 0x9b);
    this.setSegment(Seg.ldtr, 0, 0n, 0xffff, 0x82);
    this.setSegment(Seg.tr, 0, 0n, 0xffff, 0x8b);
    for (const table of [S.gdtBase, S.idtBase]) this.set64(table, 0n);
    this.set32(S.gdtLimit, 0xffff);
    this.set32(S.idtLimit, 0xffff);
    this.set64(S.debug + 6 * 8, 0xffff0ff0n);
    this.set64(S.debug + 7 * 8, 0x400n);
    this.setReg(2, BigInt(SIGNATURE));
  }

  // ---- fields

  get32(address: number): number {
    return this.u32[address >>> 2];
  }

  set32(address: number, value: number): void {
    this.u32[address >>> 2] = value;
  }

  get64(address: number): bigint {
    return this.u64[address >>> 3];
  }

  set64(address: number, value: bigint): void {
    this.u64[address >>> 3] = value;
  }

  get cr0(): number {
    return this.u32[S.cr0 >>> 2];
  }

  get cr4(): number {
    return this.u32[S.cr4 >>> 2];
  }

  get efer(): number {
    return this.u32[S.efer >>> 2];
  }

  get cpl(): number {
    return this.u32[S.cpl >>> 2];
  }

  get ip(): bigint {
    return this.u64[S.ip >>> 3];
  }

  set ip(value: bigint) {
    this.u64[S.ip >>> 3] = value;
  }

  /** CR0.PE is clear. */
  get realMode(): boolean {
    return (this.cr0 & Cr0.pe) === 0;
  }

  get virtual8086(): boolean {
    return (this.u32[S.eflags >>> 2] & Flag.vm) !== 0;
  }

  /** Real or virtual-8086 mode: selectors are paragraph numbers. */
  get realOrVirtual8086(): boolean {
    return this.realMode || this.virtual8086;
  }

  /** IA-32e mode is active (64-bit or compatibility). */
  get longMode(): boolean {
    return (this.efer & Efer.lma) !== 0;
  }

  /** The code segment is 64-bit. */
  get code64(): boolean {
    return (this.u32[S.mode >>> 2] & ModeBit.codeMask) === ModeBit.code64;
  }

  // ---- registers

  /** A general register, all 64 bits. */
  reg(register: number): bigint {
    return this.u64[regAddress(register) >>> 3];
  }

  setReg(register: number, value: bigint): void {
    this.u64[regAddress(register) >>> 3] = value;
  }

  /** The low half of a general register. */
  reg32(register: number): number {
    return this.u32[regAddress(register) >>> 2];
  }

  /** Writes 32 bits; the upper half becomes 0. */
  setReg32(register: number, value: number): void {
    const at = regAddress(register) >>> 2;
    this.u32[at] = value;
    this.u32[at + 1] = 0;
  }

  reg16(register: number): number {
    return this.u16[regAddress(register) >>> 1];
  }

  /** Writes a register at an operand size of 16, 32 or 64 bits: 16 keep the rest, 32 clear the upper half. */
  setRegSized(register: number, bits: number, value: bigint): void {
    if (bits === 16) this.u16[regAddress(register) >>> 1] = Number(value & 0xffffn);
    else if (bits === 32) this.setReg32(register, Number(value & ADDRESS_32));
    else this.setReg(register, value);
  }

  // ---- flags

  /** EFLAGS whole. The lazy arithmetic flags become explicit. */
  flags(): number {
    return (this.u32[S.eflags >>> 2] | this.arithmeticFlags()) >>> 0;
  }

  /** OF SF ZF AF PF CF at their places. */
  arithmeticFlags(): number {
    return (this.u32[S.ccOp >>> 2] < 4 ? this.u32[S.ccA >>> 2] : this.hooks.arithmeticFlags()) & ARITHMETIC_FLAGS;
  }

  /** Writes EFLAGS whole; bits that do not exist are dropped, bit 1 is set. The caller has applied privilege rules. */
  setFlags(value: number): void {
    this.set32(S.eflags, (value & FLAGS_MASK & ~ARITHMETIC_FLAGS) | 2);
    this.setArithmeticFlags(value);
  }

  setArithmeticFlags(value: number): void {
    this.set32(S.ccOp, 0);
    this.set64(S.ccA, BigInt(value & ARITHMETIC_FLAGS));
  }

  /** Sets or clears ZF, the whole result of LAR, LSL, VERR, VERW and ARPL. */
  setZero(zero: boolean): void {
    this.setArithmeticFlags((this.arithmeticFlags() & ~Flag.zf) | (zero ? Flag.zf : 0));
  }

  get iopl(): number {
    return (this.u32[S.eflags >>> 2] >>> 12) & 3;
  }

  /** Holds interrupts off for the next instruction: 1 after STI, 2 after MOV SS and POP SS, which hold traps off too. */
  castShadow(kind: 1 | 2): void {
    this.set32(S.interruptShadow, kind);
    this.set64(S.shadowIp, this.nextIp);
  }

  // ---- segments

  selector(segment: number): number {
    return this.u32[(S.segSelector >>> 2) + segment] & 0xffff;
  }

  attributes(segment: number): number {
    return this.u32[(S.segAttributes >>> 2) + segment];
  }

  limit(segment: number): number {
    return this.u32[(S.segLimit >>> 2) + segment];
  }

  base(segment: number): bigint {
    return this.u64[(S.segBase >>> 3) + segment];
  }

  /** Writes a segment register with its hidden part. {@link updateMode} must follow before execution goes on. */
  setSegment(segment: number, selector: number, base: bigint, limit: number, attributes: number): void {
    this.u32[(S.segSelector >>> 2) + segment] = selector & 0xffff;
    this.u64[(S.segBase >>> 3) + segment] = base;
    this.u32[(S.segLimit >>> 2) + segment] = limit;
    this.u32[(S.segAttributes >>> 2) + segment] = attributes;
  }

  // ---- memory by linear address

  /** Reads unsigned memory with `user` privilege or supervisor's; faults are thrown. */
  load(linear: bigint, bytes: Bytes, user = this.cpl === 3): bigint {
    this.slow(linear);
    if (this.mmu.read(bytes, user)) throw this.takeFault();
    const value = this.u64[S.slowValue >>> 3];
    return bytes === 8 ? value : BigInt.asUintN(bytes * 8, value);
  }

  /** Reads up to 32 bits as a number. */
  load32(linear: bigint, bytes: 1 | 2 | 4 = 4, user = this.cpl === 3): number {
    this.slow(linear);
    if (this.mmu.read(bytes, user)) throw this.takeFault();
    const value = this.u32[S.slowValue >>> 2];
    return bytes === 4 ? value : bytes === 2 ? value & 0xffff : value & 0xff;
  }

  store(linear: bigint, bytes: Bytes, value: bigint, user = this.cpl === 3): void {
    this.slow(linear);
    this.u64[S.slowValue >>> 3] = value;
    if (this.mmu.write(bytes, user)) throw this.takeFault();
  }

  store32(linear: bigint, bytes: 1 | 2 | 4, value: number, user = this.cpl === 3): void {
    this.slow(linear);
    this.u32[S.slowValue >>> 2] = value;
    if (this.mmu.write(bytes, user)) throw this.takeFault();
  }

  /** Throws the fault that a write would raise; nothing is written. */
  probeWrite(linear: bigint, bytes: number, user = this.cpl === 3): void {
    this.slow(linear);
    if (this.mmu.probe(bytes, user)) throw this.takeFault();
  }

  private slow(linear: bigint): void {
    this.u64[S.slowAddress >>> 3] = linear;
  }

  /** The exception that a memory access left in the state. */
  private takeFault(): GuestFault {
    this.set32(S.faulted, 0);
    return new GuestFault(this.get32(S.faultVector), this.get32(S.faultCode) | 0);
  }

  /** Whether a 64-bit address is canonical (48 bits). */
  canonical(linear: bigint): boolean {
    return BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;
  }

  // ---- mode

  /** Mask of instruction pointers of the current code segment. */
  get ipMask(): bigint {
    return this.code64 ? 0xffff_ffff_ffff_ffffn : ADDRESS_32;
  }

  /** Recomputes what the state caches of the mode, after control registers, CPL or segments changed. */
  updateMode(): void {
    const realMode = this.realMode;
    const virtual8086 = !realMode && this.virtual8086;
    if (realMode) this.set32(S.cpl, 0);
    else if (virtual8086) this.set32(S.cpl, 3);
    const cs = this.attributes(Seg.cs);
    const ss = this.attributes(Seg.ss);
    const code64 = this.longMode && (cs & Attribute.long) !== 0;
    let mode: number = code64 ? ModeBit.code64 : cs & Attribute.big ? ModeBit.code32 : ModeBit.code16;
    if (!code64 && ss & Attribute.big) mode |= ModeBit.stack32;

    for (let segment = 0; segment < 6; segment++)
      this.u32[(S.segPlain >>> 2) + segment] = plainAccess(this.attributes(segment), realMode || virtual8086);
    const flat = (segment: number): boolean =>
      this.base(segment) === 0n && this.limit(segment) === 0xffffffff && this.get32(S.segPlain + segment * 4) === 3;
    if (code64 || (flat(Seg.ds) && flat(Seg.es) && flat(Seg.ss))) mode |= ModeBit.flat;

    this.set32(S.mode, mode);
    const size = mode & ModeBit.codeMask;
    this.set64(
      S.addressMask,
      // 16-bit addresses always come from an address micro-op, whose result is a linear address.
      size === ModeBit.code64 ? 0xffff_ffff_ffff_ffffn : ADDRESS_32,
    );
    this.set64(S.stackMask, code64 ? 0xffff_ffff_ffff_ffffn : ss & Attribute.big ? ADDRESS_32 : 0xffffn);
    this.updateTlb();
  }

  /** Recomputes everything derived, after the state was written from outside (kernel entry, restore). */
  controlChanged(): void {
    reloadPdptes(this);
    updateWatches(this);
    this.mmu.flushAll();
    this.updateMode();
    this.updateFloating();
  }

  /** Recomputes what x87 and SSE meanings test of CR0, CR4 and MXCSR. */
  updateFloating(): void {
    updateSseTrap(this.view);
    updateSseSlow(this.view);
    updateFpuTrap(this.view);
  }

  /** Chooses the TLB tables by privilege, and by whether every access must be checked for alignment. */
  updateTlb(): void {
    const user = this.cpl === 3;
    const aligned = user && (this.cr0 & Cr0.am) !== 0 && (this.get32(S.eflags) & Flag.ac) !== 0;
    this.set32(S.tlb, this.mmu.tables(user, aligned));
    this.updateLinkKey();
  }

  /** Makes links between translated regions valid for what the TLBs hold now, and in the current mode. */
  updateLinkKey(): void {
    const limited = !this.code64 && (this.limit(Seg.cs) !== 0xffffffff || this.base(Seg.cs) !== 0n);
    const privilege = this.cpl === 3 ? 1 : 0;
    for (const user of [0, 1]) this.set32(S.linkKeys + user * 4, (this.mmu.tlb.linkNumbers[user] << 5) | (user << 4));
    const key = this.u32[(S.linkKeys >>> 2) + privilege] | this.u32[S.mode >>> 2];
    this.set32(S.linkKey, limited ? 0xffffffff : key);
  }

  // ---- faults for the hot side

  /** Leaves an exception in the state for whoever returns a code instead of throwing. Always returns 1. */
  raise(vector: number, code: number): 1 {
    this.set32(S.faultVector, vector);
    this.set32(S.faultCode, code);
    this.set32(S.faulted, 1);
    return 1;
  }

  // ---- time

  /** The time-stamp counter as the guest reads it. */
  timestamp(): bigint {
    return BigInt.asUintN(64, BigInt(this.hooks.timestamp()) + this.get64(S.tscOffset));
  }

  /** Nanoseconds of the guest's clock at which the time-stamp counter reaches a value. */
  timeOfTimestamp(value: bigint): number {
    return Number(BigInt.asIntN(64, value - this.get64(S.tscOffset))) * (1e9 / this.hooks.timestampHz);
  }

  /** #GP(0) unless CPL is 0. */
  requireCpl0(): void {
    if (this.cpl !== 0) throw generalProtection();
  }
}

/** segPlain of a segment: bit 0, reads need only a limit check; bit 1, writes too. */
function plainAccess(attributes: number, realOrVirtual8086: boolean): number {
  if ((attributes & Attribute.present) === 0 || (attributes & Attribute.segment) === 0) return 0;
  const code = (attributes & Attribute.code) !== 0;
  if (!code && attributes & Attribute.expandDown) return 0;
  if (realOrVirtual8086) return 3;
  if (code) return attributes & Attribute.readable ? 1 : 0;
  return attributes & Attribute.writable ? 3 : 1;
}
