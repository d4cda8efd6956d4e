// Memory by linear address: the slow paths behind the TLBs.
// Owns accesses that miss (page-crossing, device memory, pages with code, faults), and what all vCPUs' TLBs must forget.
// Never throws for a guest's fault: it leaves the exception in the state and returns 1, since loads and stores are hot.

import {
  MachineBook,
  RAM_BASE,
  TLB_ENTRY_BYTES,
  TLB_NEVER,
  TLB_NO_TAG,
  TLB_TABLE_BYTES,
  TLB_USER_OFFSET,
  TlbBook,
  TlbKind,
  tlbBank,
  WRITE_MAPPED_BASE,
} from '../../memory/layout.ts';
import { S, Vector } from '../state.ts';
import type { SystemCpu } from './core.ts';
import { Access, PageWalk } from './page-walk.ts';
import type { PageTranslation } from './supervisor.ts';
import { LinkNumbers, type MappedPage, Tlb } from './tlb.ts';

const HIGH = 0x1_0000_0000;

/** What {@link Mmu.fetch} gives for a byte that cannot be read as RAM. */
export const FETCH_FAULT = -1;
export const FETCH_DEVICE = -2;

export class Mmu {
  /** Physical address of the byte {@link fetch} found. */
  fetchPhysical = 0;

  /** The executing vCPU's. */
  tlb: Tlb;

  private nonCanonical: bigint | undefined;
  private readonly cpu: SystemCpu;
  private readonly u32: Uint32Array;
  private readonly pageWalk: PageTranslation;
  private readonly numbers = new LinkNumbers();
  /** By vCPU. */
  private readonly tlbs: Tlb[] = [];
  /** Pages that may have write entries. */
  private readonly writeMapped: Uint8Array;

  constructor(cpu: SystemCpu) {
    this.cpu = cpu;
    this.u32 = cpu.u32;
    this.pageWalk = cpu.hooks.supervisor?.translation ?? new PageWalk(cpu);
    const { buffer } = cpu.u8;
    const { ramBytes, lowRam } = cpu.physical;
    const hostPages = Math.floor((buffer.byteLength - RAM_BASE) / 4096);
    this.writeMapped = new Uint8Array(buffer, WRITE_MAPPED_BASE, hostPages).fill(0);
    this.u32[MachineBook.touchedPages >>> 2] = 0;
    cpu.set64(MachineBook.lowRam, BigInt(lowRam));
    cpu.set64(MachineBook.highRam, BigInt(ramBytes - lowRam));
    for (let at = TLB_NEVER; at < TLB_NEVER + 3 * TLB_TABLE_BYTES; at += TLB_ENTRY_BYTES) cpu.set64(at, TLB_NO_TAG);
    for (let vcpu = 0; vcpu < cpu.hooks.processors; vcpu++) {
      const tlb = new Tlb(cpu.u32, tlbBank(buffer.byteLength, vcpu), this.numbers, () => {
        if (this.tlbs.length > vcpu && this.tlb === this.tlbs[vcpu]) cpu.updateLinkKey();
      });
      this.tlbs.push(tlb);
      // WebAssembly knows no translation but page tables'.
      if (cpu.hooks.supervisor) this.u32[(tlb.bank + TlbBook.walksElsewhere) >>> 2] = 1;
    }
    this.tlb = this.tlbs[0];
    cpu.physical.caches.push({
      flushAll: () => {
        for (const tlb of this.tlbs) tlb.flushAll();
        this.writeMapped.fill(0);
      },
      dropWriteEntries: (from, to) => this.dropWriteEntries(from, to),
    });
  }

  /** Base of the TLB tables for S.tlb. */
  tables(user: boolean, alignmentChecked: boolean): number {
    return alignmentChecked ? TLB_NEVER : user ? this.tlb.bank + TLB_USER_OFFSET : this.tlb.bank;
  }

  /** Every access of CPL 3 must be naturally aligned (CR0.AM and EFLAGS.AC). */
  private get alignmentChecked(): boolean {
    return this.u32[S.tlb >>> 2] === TLB_NEVER;
  }

  // ---- accesses: linear address in S.slowAddress, value in S.slowValue, 1 when they raised an exception

  /** Reads 1 to 16 bytes into S.slowValue. */
  read(bytes: number, user: boolean): 0 | 1 {
    const low = this.u32[S.slowAddress >>> 2];
    const high = this.u32[(S.slowAddress >>> 2) + 1];
    if (this.misfit(low, high, bytes, user)) return 1;
    const access = user ? Access.user : 0;
    const first = this.translate(low, high, access);
    if (first < 0) return 1;
    const inPage = 0x1000 - (low & 0xfff);
    if (bytes <= inPage) this.cpu.physical.readInto(first, bytes, S.slowValue);
    else {
      const second = this.translateNext(low, high, access);
      if (second < 0) return 1;
      this.cpu.physical.readInto(first, inPage, S.slowValue);
      this.cpu.physical.readInto(second, bytes - inPage, S.slowValue + inPage);
    }
    this.tlb.onWatched?.(low, high, bytes, false);
    this.u32[S.faulted >>> 2] = 0;
    return 0;
  }

  /** Writes 1 to 16 bytes of S.slowValue. Nothing is written when any of them cannot be. */
  write(bytes: number, user: boolean): 0 | 1 {
    const low = this.u32[S.slowAddress >>> 2];
    const high = this.u32[(S.slowAddress >>> 2) + 1];
    if (this.misfit(low, high, bytes, user)) return 1;
    const access = Access.write | (user ? Access.user : 0);
    const first = this.translate(low, high, access);
    if (first < 0) return 1;
    const inPage = 0x1000 - (low & 0xfff);
    if (bytes <= inPage) this.cpu.physical.writeFrom(first, bytes, S.slowValue);
    else {
      const second = this.translateNext(low, high, access);
      if (second < 0) return 1;
      this.cpu.physical.writeFrom(first, inPage, S.slowValue);
      this.cpu.physical.writeFrom(second, bytes - inPage, S.slowValue + inPage);
    }
    this.tlb.onWatched?.(low, high, bytes, true);
    this.u32[S.faulted >>> 2] = 0;
    return 0;
  }

  /** Checks that a write would succeed, setting accessed and dirty bits. */
  probe(bytes: number, user: boolean): 0 | 1 {
    const low = this.u32[S.slowAddress >>> 2];
    const high = this.u32[(S.slowAddress >>> 2) + 1];
    if (this.misfit(low, high, bytes, user)) return 1;
    const access = Access.write | (user ? Access.user : 0);
    if (this.translate(low, high, access) < 0) return 1;
    if (bytes > 0x1000 - (low & 0xfff) && this.translateNext(low, high, access) < 0) return 1;
    this.u32[S.faulted >>> 2] = 0;
    return 0;
  }

  /** What the WebAssembly side imports as slowRead: the address is an argument there. */
  slowRead(bytes: number): 0 | 1 {
    return this.read(bytes, this.cpu.cpl === 3);
  }

  /**
   * Whether writing `bytes` at S.slowAddress would change decoded code. False also where the write would fault: whoever
   * asks then makes the access and gets the fault.
   */
  writeHitsCode(bytes: number): boolean {
    const low = this.u32[S.slowAddress >>> 2];
    const high = this.u32[(S.slowAddress >>> 2) + 1];
    const user = this.cpu.cpl === 3;
    if (this.probe(bytes, user)) return false;
    const access = Access.write | (user ? Access.user : 0);
    const inPage = Math.min(bytes, 0x1000 - (low & 0xfff));
    const { physical } = this.cpu;
    if (physical.holdsCode(this.translate(low, high, access), inPage)) return true;
    return inPage < bytes && physical.holdsCode(this.translateNext(low, high, access), bytes - inPage);
  }

  /** Reads, after making sure that writing the same bytes will not fault. */
  slowReadForWrite(bytes: number): 0 | 1 {
    const user = this.cpu.cpl === 3;
    return this.probe(bytes, user) || this.read(bytes, user);
  }

  slowWrite(bytes: number): 0 | 1 {
    return this.write(bytes, this.cpu.cpl === 3);
  }

  /**
   * Finds the code byte at a linear address and fills the execute table. Gives its host address, FETCH_FAULT with the
   * exception in the state, or FETCH_DEVICE where no RAM or ROM is; `fetchPhysical` is its physical address.
   */
  fetch(low: number, high: number): number {
    if (!isCanonical(high) && this.cpu.longMode) {
      this.cpu.raise(Vector.generalProtection, 0);
      return FETCH_FAULT;
    }
    const physical = this.translate(low, high, Access.fetch | (this.cpu.cpl === 3 ? Access.user : 0));
    if (physical < 0) return FETCH_FAULT;
    this.fetchPhysical = physical;
    const host = this.cpu.physical.readAddress(physical);
    return host >= 0 ? host : FETCH_DEVICE;
  }

  /** Checks that need no translation: canonical and aligned. 1 when the exception has been raised. */
  private misfit(low: number, high: number, bytes: number, user: boolean): boolean {
    if (high !== 0) {
      const last = low + bytes - 1;
      if (!isCanonical(high) || (last >= HIGH && !isCanonical((high + 1) >>> 0))) {
        this.nonCanonical = (BigInt(high) << 32n) | BigInt(low);
        return (
          this.cpu.raise(this.nearStack(this.nonCanonical) ? Vector.stackFault : Vector.generalProtection, 0) === 1
        );
      }
    }
    if (this.alignmentChecked && user && low & (alignmentOf(bytes) - 1))
      return this.cpu.raise(Vector.alignmentCheck, 0) === 1;
    return false;
  }

  /** The address that the exception at hand is about, if that is a non-canonical one: #SS(0) if it was in SS. */
  takeNonCanonical(): bigint | undefined {
    const was = this.nonCanonical;
    this.nonCanonical = undefined;
    return was;
  }

  /**
   * Pushes and pops do not say that they are such; an address right at the stack pointer that no page can have is one. While
   * a region executes, the stack pointer in the state may be an old one.
   */
  nearStack(address: bigint): boolean {
    // LEAVE pops from where rBP points.
    return [4, 5].some((register) => {
      const distance = BigInt.asIntN(64, address - this.cpu.get64(S.regs + register * 8));
      return distance >= -16n && distance <= 16n;
    });
  }

  /** Physical address of a linear one, or -1 with the page fault raised. Looks in the TLB first and fills it. */
  private translate(low: number, high: number, access: number): number {
    const kind = access & Access.fetch ? TlbKind.execute : access & Access.write ? TlbKind.write : TlbKind.read;
    const at = this.tlb.wordOf(kind, low, (access & Access.user) !== 0);
    if (this.u32[at] === (low & ~0xfff) >>> 0 && this.u32[at + 1] === high)
      return this.u32[at + 3] * 4096 + (low & 0xfff);
    return this.miss(low, high, access);
  }

  private translateNext(low: number, high: number, access: number): number {
    const next = (low & ~0xfff) + 0x1000;
    if (next >>> 0 !== 0) return this.translate(next >>> 0, high, access);
    // Past 4 GiB addresses go on in 64-bit code and wrap in all other.
    return this.translate(0, this.cpu.code64 ? (high + 1) >>> 0 : 0, access);
  }

  private miss(low: number, high: number, access: number): number {
    if (++this.u32[S.tlbMisses >>> 2] === 0) this.u32[(S.tlbMisses >>> 2) + 1]++;
    const walk = this.pageWalk;
    if (!walk.walk(low, high, access)) {
      this.u32[S.cr2 >>> 2] = low;
      this.u32[(S.cr2 >>> 2) + 1] = high;
      this.cpu.raise(Vector.pageFault, walk.errorCode);
      return -1;
    }
    this.fill(low, high, access);
    return walk.page + (low & 0xfff);
  }

  private fill(low: number, high: number, access: number): void {
    const walk = this.pageWalk;
    const physical = this.cpu.physical;
    const host = physical.readAddress(walk.page);
    if (host < 0) return;
    const { tlb } = this;
    const page: MappedPage = {
      low: (low & ~0xfff) >>> 0,
      high,
      host,
      physicalPage: walk.page / 4096,
      global: walk.global,
      user: (access & Access.user) !== 0,
      isRam: host < physical.directBase,
    };
    if (walk.pageBits !== 12) {
      // A page of 1 GiB is 256 such regions.
      const regions = walk.pageBits === 30 ? 256 : 1;
      const first = regions === 1 ? low : low & ~0x3fffffff;
      for (let region = 0; region < regions; region++) tlb.markLarge(first + (region << 22), high);
    }
    if (access & Access.fetch) {
      tlb.put(TlbKind.execute, page);
      return;
    }
    for (const watch of tlb.watched) if (watch.low === page.low && watch.high === high) return;
    tlb.put(TlbKind.read, page);
    const writable = walk.writable || ((access & Access.user) === 0 && (this.cpu.cr0 & 0x10000) === 0);
    // What is written elsewhere than it is read gets no entry: a read with a write to follow looks at this one alone.
    if (!writable || !walk.dirty || physical.writeAddress(walk.page) !== host || physical.pageHoldsCode(host)) return;
    if (host >= physical.directBase && !this.mayWriteDirect(host, access)) return;
    tlb.put(TlbKind.write, page);
    this.writeMapped[(host - RAM_BASE) >>> 12] = 1;
  }

  /** Whether a page of directly mapped memory may have a write entry: while it is dirty, as a write makes it. */
  private mayWriteDirect(host: number, access: number): boolean {
    const { physical } = this.cpu;
    if (access & Access.write) physical.markDirty(host);
    return physical.isDirty(host);
  }

  /** Pages of RAM that have been in a TLB: what of a guest's memory has been used. */
  get touchedPages(): number {
    return this.u32[MachineBook.touchedPages >>> 2];
  }

  /** Walks since reset. */
  get misses(): number {
    return this.u32[S.tlbMisses >>> 2] + this.u32[(S.tlbMisses >>> 2) + 1] * HIGH;
  }

  // ---- flushing

  /** Forgets translations of non-global pages: a write to CR3. */
  flushNonGlobal(): void {
    this.tlb.flushNonGlobal();
  }

  /** Forgets every translation. */
  flushAll(): void {
    this.tlb.flushAll();
    // Other vCPUs' TLBs may still have write entries.
    if (this.tlbs.length === 1) this.writeMapped.fill(0);
  }

  /** INVLPG: forgets one linear page, global or not. */
  flushPage(low: number, high: number): void {
    this.tlb.flushPage(low, high);
  }

  /**
   * Drops write entries of the page of RAM at a host address, every vCPU's: it is about to hold decoded code, and writes to
   * it must be seen. The lines' bits are the caller's to set, before or after.
   */
  protectCode(host: number): void {
    const page = (host - RAM_BASE) >>> 12;
    if (this.writeMapped[page] === 0) return;
    const target = (host & ~0xfff) >>> 0;
    this.dropWriteEntries(target, target + 0x1000);
  }

  private dropWriteEntries(from: number, to: number): void {
    this.writeMapped.fill(0, (from - RAM_BASE) >>> 12, (to - RAM_BASE) >>> 12);
    for (const tlb of this.tlbs) tlb.dropWrites(from, to);
  }

  /** Links between translations hold no longer, whichever vCPU's code pages they rely on. */
  renumberLinks(): void {
    for (const tlb of this.tlbs) tlb.renumber();
  }

  /** So many numbers for links have been taken. */
  get linkNumbersTaken(): number {
    return this.numbers.taken;
  }

  /** Address of a vCPU's bank of TLBs. */
  bankOf(vcpu: number): number {
    return this.tlbs[vcpu].bank;
  }

  /** The TLBs of another vCPU are those from now on; the caller sees to the state that depends on them. */
  use(vcpu: number): void {
    this.tlb = this.tlbs[vcpu];
  }

  // ---- data breakpoints

  /** Keeps these linear pages out of the TLB and reports every slow access; undefined: none. */
  watch(
    pages: readonly { low: number; high: number }[],
    report: ((low: number, high: number, bytes: number, write: boolean) => void) | undefined,
  ): void {
    this.tlb.watched = pages;
    this.u32[(this.tlb.bank + TlbBook.watching) >>> 2] = pages.length;
    this.tlb.onWatched = report;
    this.flushAll();
  }
}

/** Bits 47 to 63 are alike. */
function isCanonical(high: number): boolean {
  const top = high >> 15;
  return top === 0 || top === -1;
}

/** What #AC asks of an access: a power of two; the 10 bytes of an x87 value count as 8. */
function alignmentOf(bytes: number): number {
  return Math.min(bytes, 8);
}
