// Memory by linear address: the TLB tables in guest memory, and the slow paths behind them.
// Owns filling and flushing the TLBs, and accesses that miss: page-crossing, device memory, pages with code, faults.
// Never throws for a guest's fault: it leaves the exception in the state and returns 1, since loads and stores are hot.

import {
  PAGE_STATE_BASE,
  PageState,
  RAM_BASE,
  TLB_BASE,
  TLB_DISPLACED_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_ENTRY_STATE_BASE,
  TLB_FILLED_BASE,
  TLB_FILLED_GLOBAL_BASE,
  TLB_LARGE_BASE,
  TLB_LARGE_ENTRIES,
  TLB_NEVER,
  TLB_NO_TAG,
  TLB_SUPERVISOR,
  TLB_TABLES,
  TLB_USER,
  TlbBook,
  TlbEntryState,
  TlbKind,
  WRITE_MAPPED_BASE,
} from '../../memory/layout.ts';
import { S, Vector } from '../state.ts';
import type { SystemCpu } from './core.ts';
import { Access, PageWalk } from './page-walk.ts';
import type { PageCache } from './physical.ts';

const WORDS_PER_ENTRY = TLB_ENTRY_BYTES / 4;
const ENTRIES = TLB_TABLES * TLB_ENTRIES;
const HIGH = 0x1_0000_0000;
const NO_TAG = Number(TLB_NO_TAG);

const { listed: LISTED, listedGlobal: LISTED_GLOBAL, holdsGlobal: HOLDS_GLOBAL } = TlbEntryState;
/** What has been displaced: a page's entry that is not global, one that is. */
const DISPLACED = 1;
const DISPLACED_GLOBAL = 2;
/** Link keys have room for so many flushes; cpu.ts forgets all links before they come round. */
const CODE_FLUSHES_MASK = 0x7ffffff;

/** What {@link Mmu.fetch} gives for a byte that cannot be read as RAM. */
export const FETCH_FAULT = -1;
export const FETCH_DEVICE = -2;

export class Mmu implements PageCache {
  /** Physical address of the byte {@link fetch} found. */
  fetchPhysical = 0;

  private nonCanonical = false;
  private readonly cpu: SystemCpu;
  private readonly u32: Uint32Array;
  private readonly pageWalk: PageWalk;
  // Entries filled since the last flush, so that a flush visits only those: non-global ones, and global ones.
  private readonly filled: Int32Array;
  private readonly filledGlobal: Int32Array;
  private readonly entryState: Uint8Array;
  /** By hash, linear regions of 4 MiB of which a larger page than 4 KiB may be cached. */
  private readonly large: Uint8Array;
  /** Flushes since the vCPU exists. */
  flushes = 0;
  /** How often a translation of a code page has been dropped: in supervisor's execute table, in user's. */
  readonly codeFlushes = [0, 0];
  /** By index, supervisor's then user's: execute entries that another page displaced, so that nobody saw them dropped. */
  private readonly displaced: Uint8Array;
  private readonly displacedAny = [0, 0];
  /** {@link PageState} of each page of RAM. */
  private readonly pages: Uint8Array;
  /** Pages of RAM that may have write entries. */
  private readonly writeMapped: Uint8Array;
  /** Linear pages with data breakpoints, as the low and high halves of each; they get no entries. */
  private watched: readonly { low: number; high: number }[] = [];
  private onWatched: ((low: number, high: number, bytes: number, write: boolean) => void) | undefined;

  constructor(cpu: SystemCpu) {
    this.cpu = cpu;
    this.u32 = cpu.u32;
    this.pageWalk = new PageWalk(cpu);
    const { buffer } = cpu.u8;
    const { ramBytes, lowRam } = cpu.physical;
    const hostPages = Math.floor((buffer.byteLength - RAM_BASE) / 4096);
    this.writeMapped = new Uint8Array(buffer, WRITE_MAPPED_BASE, hostPages).fill(0);
    this.pages = new Uint8Array(buffer, PAGE_STATE_BASE, hostPages);
    this.entryState = new Uint8Array(buffer, TLB_ENTRY_STATE_BASE, ENTRIES).fill(0);
    this.filled = new Int32Array(buffer, TLB_FILLED_BASE, ENTRIES);
    this.filledGlobal = new Int32Array(buffer, TLB_FILLED_GLOBAL_BASE, ENTRIES);
    this.displaced = new Uint8Array(buffer, TLB_DISPLACED_BASE, 2 * TLB_ENTRIES).fill(0);
    this.large = new Uint8Array(buffer, TLB_LARGE_BASE, TLB_LARGE_ENTRIES).fill(0);
    for (const count of [TlbBook.filled, TlbBook.filledGlobal, TlbBook.touchedPages, TlbBook.watching])
      this.u32[count >>> 2] = 0;
    cpu.set64(TlbBook.lowRam, BigInt(lowRam));
    cpu.set64(TlbBook.highRam, BigInt(ramBytes - lowRam));
    const tables = 3 * TLB_ENTRIES + ENTRIES;
    for (let entry = 0; entry < tables; entry++) this.clear(entry);
    cpu.physical.caches.push(this);
  }

  /** Base of the TLB tables for S.tlb. */
  tables(user: boolean, alignmentChecked: boolean): number {
    return alignmentChecked ? TLB_NEVER : user ? TLB_USER : TLB_SUPERVISOR;
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
    this.onWatched?.(low, high, bytes, false);
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
    this.onWatched?.(low, high, bytes, true);
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
        this.nonCanonical = true;
        return this.cpu.raise(this.nearStack(low, high) ? Vector.stackFault : Vector.generalProtection, 0) === 1;
      }
    }
    if (this.alignmentChecked && user && low & (alignmentOf(bytes) - 1))
      return this.cpu.raise(Vector.alignmentCheck, 0) === 1;
    return false;
  }

  /** Whether the exception at hand is a non-canonical address's: #SS(0) if it was in SS, which only the caller knows. */
  takeNonCanonical(): boolean {
    const was = this.nonCanonical;
    this.nonCanonical = false;
    return was;
  }

  /** Pushes and pops do not say that they are such; an address right at the stack pointer that no page can have is one. */
  private nearStack(low: number, high: number): boolean {
    const address = (BigInt(high) << 32n) | BigInt(low);
    // LEAVE pops from where rBP points.
    return [4, 5].some((register) => {
      const distance = BigInt.asIntN(64, address - this.cpu.get64(S.regs + register * 8));
      return distance >= -16n && distance <= 16n;
    });
  }

  /** Physical address of a linear one, or -1 with the page fault raised. Looks in the TLB first and fills it. */
  private translate(low: number, high: number, access: number): number {
    const kind = access & Access.fetch ? TlbKind.execute : access & Access.write ? TlbKind.write : TlbKind.read;
    const base = access & Access.user ? TLB_USER : TLB_SUPERVISOR;
    const at = (base + kind + ((low >>> 8) & ((TLB_ENTRIES - 1) << 4))) >>> 2;
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
    const page = (low & ~0xfff) >>> 0;
    if (walk.pageBits !== 12) {
      // A page of 1 GiB is 256 such regions.
      const regions = walk.pageBits === 30 ? 256 : 1;
      const first = regions === 1 ? low : low & ~0x3fffffff;
      for (let region = 0; region < regions; region++) this.large[largeHash(first + (region << 22), high)] = 1;
    }
    if (access & Access.fetch) {
      this.put(TlbKind.execute, page, high, access, host);
      return;
    }
    for (const watch of this.watched) if (watch.low === page && watch.high === high) return;
    this.put(TlbKind.read, page, high, access, host);
    const writable = walk.writable || ((access & Access.user) === 0 && (this.cpu.cr0 & 0x10000) === 0);
    // What is written elsewhere than it is read gets no entry: a read with a write to follow looks at this one alone.
    if (!writable || !walk.dirty || physical.writeAddress(walk.page) !== host || physical.pageHoldsCode(host)) return;
    if (host >= physical.directBase && !this.mayWriteDirect(host, access)) return;
    this.put(TlbKind.write, page, high, access, host);
    this.writeMapped[(host - RAM_BASE) >>> 12] = 1;
  }

  /** Whether a page of directly mapped memory may have a write entry: while it is dirty, as a write makes it. */
  private mayWriteDirect(host: number, access: number): boolean {
    const { physical } = this.cpu;
    if (access & Access.write) physical.markDirty(host);
    return physical.isDirty(host);
  }

  private put(kind: number, page: number, high: number, access: number, host: number): void {
    const base = access & Access.user ? TLB_USER : TLB_SUPERVISOR;
    const at = base + kind + ((page >>> 8) & ((TLB_ENTRIES - 1) << 4));
    const word = at >>> 2;
    if (kind === TlbKind.execute) this.displace(access & Access.user ? 1 : 0, page, high, word);
    this.u32[word] = page;
    this.u32[word + 1] = high;
    this.u32[word + 2] = host - page;
    const ramPage = (host - RAM_BASE) >>> 12;
    if ((this.pages[ramPage] & PageState.touched) === 0 && host < this.cpu.physical.directBase) {
      this.pages[ramPage] |= PageState.touched;
      this.u32[TlbBook.touchedPages >>> 2]++;
    }
    this.u32[word + 3] = this.pageWalk.page / 4096;
    const entry = (at - TLB_BASE) / TLB_ENTRY_BYTES;
    const state = this.entryState[entry];
    if (this.pageWalk.global) {
      if ((state & LISTED_GLOBAL) === 0) this.filledGlobal[this.u32[TlbBook.filledGlobal >>> 2]++] = entry;
      this.entryState[entry] = state | LISTED_GLOBAL | HOLDS_GLOBAL;
    } else {
      if ((state & LISTED) === 0) this.filled[this.u32[TlbBook.filled >>> 2]++] = entry;
      this.entryState[entry] = (state | LISTED) & ~HOLDS_GLOBAL;
    }
  }

  /** Notes which kind of code page loses its entry to this one: INVLPG and CR3 would not find it there any more. */
  private displace(user: 0 | 1, page: number, high: number, word: number): void {
    const { u32 } = this;
    if (u32[word] === NO_TAG || (u32[word] === page && u32[word + 1] === high)) return;
    const entry = ((word << 2) - TLB_BASE) / TLB_ENTRY_BYTES;
    const kind = this.entryState[entry] & HOLDS_GLOBAL ? DISPLACED_GLOBAL : DISPLACED;
    this.displaced[user * TLB_ENTRIES + (entry % TLB_ENTRIES)] |= kind;
    this.displacedAny[user] |= kind;
  }

  /** Links into code pages of a privilege no longer hold. */
  private codeFlushed(user: 0 | 1): void {
    this.codeFlushes[user] = (this.codeFlushes[user] + 1) & CODE_FLUSHES_MASK;
    if (this.displacedAny[user] !== 0) {
      this.displaced.fill(0, user * TLB_ENTRIES, (user + 1) * TLB_ENTRIES);
      this.displacedAny[user] = 0;
    }
    this.cpu.updateLinkKey();
  }

  private clear(entry: number): void {
    const word = (TLB_BASE >>> 2) + entry * WORDS_PER_ENTRY;
    this.u32[word] = NO_TAG;
    this.u32[word + 1] = 0;
  }

  /** Pages of RAM that have been in a TLB: what of a guest's memory has been used. */
  get touchedPages(): number {
    return this.u32[TlbBook.touchedPages >>> 2];
  }

  /** Walks since reset. */
  get misses(): number {
    return this.u32[S.tlbMisses >>> 2] + this.u32[(S.tlbMisses >>> 2) + 1] * HIGH;
  }

  /**
   * Where the linear page of an address lies, as host address and physical page number, if the current privilege's execute
   * table has it. Fills nothing and sets no accessed bit.
   */
  cachedCodePage(low: number, high: number): { host: number; physicalPage: number } | undefined {
    const base = this.cpu.cpl === 3 ? TLB_USER : TLB_SUPERVISOR;
    const page = (low & ~0xfff) >>> 0;
    const word = (base + TlbKind.execute + ((page >>> 8) & ((TLB_ENTRIES - 1) << 4))) >>> 2;
    if (this.u32[word] !== page || this.u32[word + 1] !== high) return undefined;
    return { host: (page + this.u32[word + 2]) >>> 0, physicalPage: this.u32[word + 3] };
  }

  // ---- flushing

  /** Forgets translations of non-global pages: a write to CR3. */
  flushNonGlobal(): void {
    this.flushes++;
    const code = [this.displacedAny[0] & DISPLACED, this.displacedAny[1] & DISPLACED];
    const count = this.u32[TlbBook.filled >>> 2];
    for (let index = 0; index < count; index++) {
      const entry = this.filled[index];
      if ((this.entryState[entry] & HOLDS_GLOBAL) === 0) {
        const user = executeTableOf(entry);
        if (user >= 0) code[user] = 1;
        this.clear(entry);
      }
      this.entryState[entry] &= ~LISTED;
    }
    this.u32[TlbBook.filled >>> 2] = 0;
    if (code[0] !== 0) this.codeFlushed(0);
    if (code[1] !== 0) this.codeFlushed(1);
  }

  /** Forgets every translation. */
  flushAll(): void {
    const count = this.u32[TlbBook.filledGlobal >>> 2];
    for (let index = 0; index < count; index++) {
      const entry = this.filledGlobal[index];
      this.clear(entry);
      this.entryState[entry] &= ~(LISTED_GLOBAL | HOLDS_GLOBAL);
    }
    this.u32[TlbBook.filledGlobal >>> 2] = 0;
    this.flushNonGlobal();
    this.codeFlushed(0);
    this.codeFlushed(1);
    this.writeMapped.fill(0);
    this.large.fill(0);
  }

  /** INVLPG: forgets one linear page, global or not. */
  flushPage(low: number, high: number): void {
    const page = (low & ~0xfff) >>> 0;
    // Large pages are cached by 4 KiB: INVLPG of any address in one forgets all of them. Rare enough to forget everything.
    if (this.large[largeHash(low, high)] !== 0) {
      this.flushAll();
      return;
    }
    this.flushes++;
    const index = (page >>> 12) & (TLB_ENTRIES - 1);
    for (let table = 0; table < TLB_TABLES; table++) {
      const entry = table * TLB_ENTRIES + index;
      const word = (TLB_BASE >>> 2) + entry * WORDS_PER_ENTRY;
      const user = executeTableOf(entry);
      const held = this.u32[word] === page && this.u32[word + 1] === high;
      if (held) this.clear(entry);
      if (user >= 0 && (held || this.displaced[user * TLB_ENTRIES + index] !== 0)) this.codeFlushed(user as 0 | 1);
    }
  }

  /**
   * Drops write entries of the page of RAM at a host address: it is about to hold decoded code, and writes to it must be
   * seen. The lines' bits are the caller's to set, before or after.
   */
  protectCode(host: number): void {
    const page = (host - RAM_BASE) >>> 12;
    if (this.writeMapped[page] === 0) return;
    this.writeMapped[page] = 0;
    const target = (host & ~0xfff) >>> 0;
    this.dropWrites(target, target + 0x1000);
  }

  dropWriteEntries(from: number, to: number): void {
    this.writeMapped.fill(0, (from - RAM_BASE) >>> 12, (to - RAM_BASE) >>> 12);
    this.dropWrites(from, to);
  }

  private dropWrites(from: number, to: number): void {
    this.dropListedWrites(this.filled, this.u32[TlbBook.filled >>> 2], from, to);
    this.dropListedWrites(this.filledGlobal, this.u32[TlbBook.filledGlobal >>> 2], from, to);
  }

  private dropListedWrites(list: Int32Array, count: number, from: number, to: number): void {
    for (let index = 0; index < count; index++) {
      const entry = list[index];
      const table = Math.floor(entry / TLB_ENTRIES);
      if (table !== 1 && table !== 4) continue;
      const word = (TLB_BASE >>> 2) + entry * WORDS_PER_ENTRY;
      if (this.u32[word] === NO_TAG) continue;
      const host = (this.u32[word] + this.u32[word + 2]) >>> 0;
      if (host >= from && host < to) this.clear(entry);
    }
  }

  // ---- data breakpoints

  /** Keeps these linear pages out of the TLB and reports every slow access; undefined: none. */
  watch(
    pages: readonly { low: number; high: number }[],
    report: ((low: number, high: number, bytes: number, write: boolean) => void) | undefined,
  ): void {
    this.watched = pages;
    this.u32[TlbBook.watching >>> 2] = pages.length;
    this.onWatched = report;
    this.flushAll();
  }
}

/** Whose execute table an entry is in: 0 supervisor's, 1 user's, -1 neither. */
function executeTableOf(entry: number): -1 | 0 | 1 {
  const table = (entry / TLB_ENTRIES) | 0;
  return table === 2 ? 0 : table === 5 ? 1 : -1;
}

/** Which of the marks of large pages is an address's. Mirrored in privileged/page-walk.ts. */
const largeHash = (low: number, high: number): number => ((low >>> 22) ^ (high << 10)) & (TLB_LARGE_ENTRIES - 1);

/** Bits 47 to 63 are alike. */
function isCanonical(high: number): boolean {
  const top = high >> 15;
  return top === 0 || top === -1;
}

/** What #AC asks of an access: a power of two; the 10 bytes of an x87 value count as 8. */
function alignmentOf(bytes: number): number {
  return Math.min(bytes, 8);
}
