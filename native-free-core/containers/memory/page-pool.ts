// The pages that all programs' memory is made of: the RAM of the shared kernel.
// Owns which are free and how many mappings and caches hold each; pages are named by physical page number.
// Never knows who maps a page, and never looks at an address of a program.

import type { PhysicalMemory } from '../../cpu/system/physical.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import type { MemoryAccount } from './memory-account.ts';

export const PAGE = 4096;
/** The page of zeros that anonymous memory shows before it is written. It is held by nobody and never freed. */
export const ZERO_PAGE = 0;
/** What {@link PagePool.allocate} gives when no page is free. */
export const NO_PAGE = -1;

export class PagePool {
  readonly u8: Uint8Array;
  readonly view: DataView;
  /** How many pages there are, the zero page included. */
  readonly total: number;
  /** Asked for pages when none is free: whether it released any. */
  reclaim: () => boolean = () => false;
  private readonly physical: PhysicalMemory;
  private readonly holders: Uint32Array;
  private readonly free: Uint32Array;
  /** Whom each page is counted for. */
  private readonly accounts: (MemoryAccount | undefined)[] = [];
  private freeCount = 0;
  /** Pages from here on have never been used: the host has not given memory for them yet, and they are zeros. */
  private fresh = 1;

  constructor(u8: Uint8Array, physical: PhysicalMemory) {
    this.u8 = u8;
    this.view = new DataView(u8.buffer);
    this.physical = physical;
    this.total = physical.lowRam / PAGE;
    this.holders = new Uint32Array(this.total);
    this.free = new Uint32Array(this.total);
  }

  /** Pages in use. */
  get used(): number {
    return this.fresh - this.freeCount;
  }

  /** Pages that can still be allocated. */
  get available(): number {
    return this.total - this.used;
  }

  private get isFull(): boolean {
    return this.freeCount === 0 && this.fresh === this.total;
  }

  accountOf(page: number): MemoryAccount | undefined {
    return this.accounts[page];
  }

  /** Address of a page in the kernel's WebAssembly memory. */
  hostOf(page: number): number {
    return RAM_BASE + page * PAGE;
  }

  /** The bytes of a page. */
  bytesOf(page: number): Uint8Array {
    const host = this.hostOf(page);
    return this.u8.subarray(host, host + PAGE);
  }

  /** A page of zeros with one holder, or {@link NO_PAGE}. */
  allocate(account?: MemoryAccount): number {
    const { fresh } = this;
    const page = this.take(account);
    // One that was in use before holds what it was used for, be it the newest one of all.
    if (page >= 0 && page < fresh) this.zero(page);
    return page;
  }

  /** A page with one holder that holds a copy of another one, or {@link NO_PAGE}. */
  copy(from: number, account?: MemoryAccount): number {
    const page = this.take(account);
    if (page < 0) return page;
    const source = this.hostOf(from);
    const host = this.hostOf(page);
    this.u8.copyWithin(host, source, source + PAGE);
    this.physical.noteHostWrite(host, PAGE);
    return page;
  }

  private take(account: MemoryAccount | undefined): number {
    if (account && !account.charge()) return NO_PAGE;
    if (this.isFull && !(this.reclaim() && !this.isFull)) {
      account?.release();
      return NO_PAGE;
    }
    const page = this.freeCount > 0 ? this.free[--this.freeCount] : this.fresh++;
    this.holders[page] = 1;
    if (account) this.accounts[page] = account;
    return page;
  }

  private zero(page: number): void {
    const host = this.hostOf(page);
    this.u8.fill(0, host, host + PAGE);
    // Code that was decoded from what the page held before goes stale.
    this.physical.noteHostWrite(host, PAGE);
  }

  hold(page: number): void {
    if (page !== ZERO_PAGE) this.holders[page]++;
  }

  release(page: number): void {
    if (page === ZERO_PAGE) return;
    if (--this.holders[page] > 0) return;
    this.free[this.freeCount++] = page;
    this.accounts[page]?.release();
    this.accounts[page] = undefined;
  }

  /** A page that stays, though whom it was counted for goes. */
  disown(page: number): void {
    this.accounts[page]?.release();
    this.accounts[page] = undefined;
  }

  /** All pages that are counted for some accounts are free, whoever seems to hold them still. */
  releaseAll(isOf: (account: MemoryAccount | undefined) => boolean): void {
    for (let page = 1; page < this.fresh; page++) {
      const account = this.accounts[page];
      if (account === undefined || !isOf(account)) continue;
      this.holders[page] = 1;
      this.release(page);
    }
  }

  holdersOf(page: number): number {
    return page === ZERO_PAGE ? Infinity : this.holders[page];
  }

  /** Writes into a page; what was decoded from those bytes goes stale. Stays within the page. */
  write(page: number, offset: number, bytes: Uint8Array): void {
    const host = this.hostOf(page) + offset;
    this.u8.set(bytes, host);
    if (bytes.length > 0) this.physical.noteHostWrite(host, bytes.length);
  }

  /** The same of zeros. */
  clear(page: number, offset: number, length: number): void {
    const host = this.hostOf(page) + offset;
    this.u8.fill(0, host, host + length);
    if (length > 0) this.physical.noteHostWrite(host, length);
  }
}
