// Pages that several mappings share: a file's, read once for all programs that map it, or shared anonymous memory.
// Owns the cache of one file's pages and which of them have been written to through a mapping.
// Never reads a file itself: its source does.

import type { MemoryAccount } from './memory-account.ts';
import { NO_PAGE, PAGE, type PagePool } from './page-pool.ts';

/** Where the pages of a file come from. */
export interface PageSource {
  /** Bytes of the file. */
  readonly size: number;
  /** Fills `into` (a page) with page `index`; what lies behind the file's end is zeros. May throw an Errno. */
  readPage(index: number, into: Uint8Array): void;
  /** Takes back the bytes of a page, those behind the file's end left out. */
  writePage?(index: number, from: Uint8Array): void;
}

export class SharedPages {
  private readonly pool: PagePool;
  /** Undefined: anonymous memory, as many zeros as anybody maps. */
  readonly source: PageSource | undefined;
  private readonly pages = new Map<number, number>();
  private readonly dirty = new Set<number>();
  private kept: { drop(): void } | undefined;
  /** Mappings that hold this. */
  users = 0;

  constructor(pool: PagePool, source?: PageSource) {
    this.pool = pool;
    this.source = source;
  }

  get cached(): number {
    return this.pages.size;
  }

  /** Keeps an open file open while there are mappings; the first one that was mapped does for all. */
  keep(file: { hold(): unknown; drop(): void }): void {
    if (this.kept) return;
    file.hold();
    this.kept = file;
  }

  /** The last mapping is gone. */
  unused(): void {
    const { kept } = this;
    this.kept = undefined;
    if (this.source) this.flush();
    else this.drop();
    kept?.drop();
  }

  /** Whether a page begins before the file's end: what is mapped beyond is SIGBUS. */
  holds(index: number): boolean {
    return this.source === undefined || index * PAGE < this.source.size;
  }

  /** Page number of a page, which the cache keeps a hold on; {@link NO_PAGE} where memory is full. */
  page(index: number, account?: MemoryAccount): number {
    const known = this.pages.get(index);
    if (known !== undefined) return known;
    const page = this.pool.allocate(account);
    if (page === NO_PAGE) return page;
    if (this.source) {
      const bytes = new Uint8Array(PAGE);
      try {
        this.source.readPage(index, bytes);
      } catch (error) {
        this.pool.release(page);
        throw error;
      }
      this.pool.write(page, 0, bytes);
    }
    this.pages.set(index, page);
    return page;
  }

  /** A mapping writes to a page from now on. */
  markDirty(index: number): void {
    if (this.source) this.dirty.add(index);
  }

  /** What mappings have written goes back to the file. Pages stay dirty while `users` may write on. */
  flush(): void {
    const { source } = this;
    if (!source?.writePage) return;
    for (const index of this.dirty) {
      const page = this.pages.get(index);
      if (page !== undefined && this.holds(index)) source.writePage(index, this.pool.bytesOf(page).slice());
    }
    if (this.users === 0) this.dirty.clear();
  }

  get isDirty(): boolean {
    return this.dirty.size > 0;
  }

  /** The file has been written to by a call: the pages that are cached follow it. */
  written(offset: number, bytes: Uint8Array): void {
    if (this.pages.size === 0) return;
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const inPage = at % PAGE;
      const length = Math.min(PAGE - inPage, bytes.length - done);
      const page = this.pages.get(Math.floor(at / PAGE));
      if (page !== undefined) this.pool.write(page, inPage, bytes.subarray(done, done + length));
      done += length;
    }
  }

  /** The file is `size` bytes long now: what lies behind shows zeros, and pages behind are not cached. */
  resized(size: number): void {
    for (const [index, page] of this.pages) {
      const end = size - index * PAGE;
      if (end >= PAGE) continue;
      if (end > 0) this.pool.clear(page, end, PAGE - end);
      else {
        this.pages.delete(index);
        this.dirty.delete(index);
        this.pool.release(page);
      }
    }
  }

  /** Pages of it that are counted for some accounts. */
  countedFor(isOf: (account: MemoryAccount | undefined) => boolean): number {
    let count = 0;
    for (const page of this.pages.values()) if (isOf(this.pool.accountOf(page))) count++;
    return count;
  }

  /** Pages of it that are counted for some accounts are nobody's from now on. */
  disown(isOf: (account: MemoryAccount | undefined) => boolean): void {
    for (const page of this.pages.values()) if (isOf(this.pool.accountOf(page))) this.pool.disown(page);
  }

  /** Gives up pages that only the cache holds, of some accounts where they are named. How many. */
  shrink(isOf?: (account: MemoryAccount | undefined) => boolean): number {
    if (!this.source) return 0;
    let released = 0;
    for (const [index, page] of this.pages) {
      if (this.pool.holdersOf(page) > 1 || this.dirty.has(index)) continue;
      if (isOf && !isOf(this.pool.accountOf(page))) continue;
      this.pages.delete(index);
      this.pool.release(page);
      released++;
    }
    return released;
  }

  /** Nobody needs this any more. */
  drop(): void {
    this.flush();
    for (const page of this.pages.values()) this.pool.release(page);
    this.pages.clear();
    this.dirty.clear();
  }
}
