// The regions of one address space (Linux's VMAs): what may be mapped where, and where there is room.
// Owns their order, splitting and merging, and the search for free addresses.
// Never maps a page.

import type { SharedPages } from './shared-pages.ts';

export const Protection = { read: 1, write: 2, execute: 4 } as const;

/** Addresses are multiples of 4096 below 2^47. */
export interface Region {
  start: number;
  end: number;
  /** {@link Protection}. */
  protection: number;
  /** Writes reach everybody who maps the same. */
  shared: boolean;
  /** Grows downwards when touched below. */
  isStack: boolean;
  /** What private pages begin as, or what is shared; undefined: zeros. */
  pages: SharedPages | undefined;
  /** Index in `pages` of the page at `start`. */
  firstPage: number;
  /** What /proc/PID/maps calls it. */
  name: string;
  /** The file must not be written to by mappings (it was opened for reading alone). */
  maxProtection: number;
}

/** The lowest address that may be mapped: vm.mmap_min_addr. */
export const LOWEST = 0x10000;
/** The end of user addresses: TASK_SIZE of x86-64 with 4 levels. */
export const HIGHEST = 0x7fff_ffff_f000;

export class Regions {
  private list: Region[] = [];

  [Symbol.iterator](): Iterator<Region> {
    return this.list[Symbol.iterator]();
  }

  get count(): number {
    return this.list.length;
  }

  /** Index of the first region that ends above an address. */
  private indexOf(address: number): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle].end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  find(address: number): Region | undefined {
    const region = this.list[this.indexOf(address)];
    return region && region.start <= address ? region : undefined;
  }

  /** The first region that ends above an address. */
  next(address: number): Region | undefined {
    return this.list[this.indexOf(address)];
  }

  /** The region right below the one that begins above an address. */
  before(address: number): Region | undefined {
    return this.list[this.indexOf(address) - 1];
  }

  /** Puts a region where nothing is. It becomes part of a neighbour that is alike. */
  insert(region: Region): void {
    const at = this.indexOf(region.start);
    this.list.splice(at, 0, region);
    this.merge(at);
    if (at > 0) this.merge(at - 1);
  }

  /** Joins a region with the next one if nothing tells them apart. */
  private merge(at: number): void {
    const a = this.list[at];
    const b = this.list[at + 1];
    if (!a || !b || a.end !== b.start || a.protection !== b.protection || a.shared !== b.shared) return;
    if (a.pages !== b.pages || a.name !== b.name || a.isStack !== b.isStack || a.maxProtection !== b.maxProtection)
      return;
    if (a.pages && b.firstPage !== a.firstPage + (a.end - a.start) / 4096) return;
    a.end = b.end;
    this.list.splice(at + 1, 1);
    if (a.pages) a.pages.users--;
  }

  /** Makes an address a border of regions. */
  private split(address: number): void {
    const at = this.indexOf(address);
    const region = this.list[at];
    if (!region || region.start >= address) return;
    const upper = { ...region, start: address };
    upper.firstPage += (address - region.start) / 4096;
    region.end = address;
    if (region.pages) region.pages.users++;
    this.list.splice(at + 1, 0, upper);
  }

  /** The regions in [from, to), split at both ends. */
  within(from: number, to: number): Region[] {
    this.split(from);
    this.split(to);
    return this.list.slice(this.indexOf(from), this.indexOf(to - 1) + 1).filter((region) => region.start < to);
  }

  /** Takes away what is in [from, to), and gives it. */
  remove(from: number, to: number): Region[] {
    const gone = this.within(from, to);
    if (gone.length > 0) this.list.splice(this.list.indexOf(gone[0]), gone.length);
    return gone;
  }

  /** Joins what has become alike in [from, to). */
  join(from: number, to: number): void {
    for (let at = Math.max(0, this.indexOf(from) - 1); at < this.list.length && this.list[at].start <= to; ) {
      const before = this.list.length;
      this.merge(at);
      if (this.list.length === before) at++;
    }
  }

  /** Whether all of [from, to) is in regions. */
  covers(from: number, to: number): boolean {
    let at = from;
    for (let index = this.indexOf(from); at < to; index++) {
      const region = this.list[index];
      if (!region || region.start > at) return false;
      at = region.end;
    }
    return true;
  }

  isFree(from: number, to: number): boolean {
    const region = this.next(from);
    return !region || region.start >= to;
  }

  /** The highest free place of `length` bytes below `limit`; undefined: there is none. */
  place(length: number, limit: number): number | undefined {
    let end = limit;
    for (let index = this.indexOf(limit - 1); index >= 0; index--) {
      const region = this.list[index];
      if (region && region.end <= end && end - region.end >= length) return end - length;
      if (region && region.start < end) end = region.start;
    }
    return end - length >= LOWEST ? end - length : undefined;
  }
}
