// The memory of one program: its regions, the pages behind them, and what happens at a page fault.
// Owns mapping, protection, copy on write, the heap's end, growing stacks, and copying to and from the program's memory.
// Never knows a task or a file: what is mapped comes as SharedPages, and whoever executes the program flushes TLBs.

import { errno } from '../errno.ts';
import type { MemoryAccount } from './memory-account.ts';
import { NO_PAGE, PAGE, type PagePool, ZERO_PAGE } from './page-pool.ts';
import { Entry, PageTable } from './page-table.ts';
import { HIGHEST, LOWEST, Protection, type Region, Regions } from './regions.ts';
import type { SharedPages } from './shared-pages.ts';

/** Most regions of one address space: vm.max_map_count. */
const REGIONS_MAX = 65530;
/** Pages below a stack that it leaves free: stack_guard_gap. */
const STACK_GUARD = 256 * PAGE;
/** Pages at once above which forgetting all translations is cheaper than forgetting each. */
const FLUSH_ALL = 32;

const roundUp = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;

/** Why an access is not possible. */
export type Fault = 'unmapped' | 'denied' | 'beyondEnd' | 'noMemory';

/** Whoever has translations of an address space at hand, while it is the one that executes. */
export interface Translations {
  forget(address: number): void;
  forgetAll(): void;
}

export interface MapRequest {
  /** 0: anywhere. */
  address: number;
  length: number;
  protection: number;
  shared: boolean;
  pages?: SharedPages | undefined;
  firstPage?: number;
  name?: string;
  maxProtection?: number;
  isStack?: boolean;
  /** Exactly there: what is there is unmapped ('replace'), or the call fails with EEXIST ('keep'). */
  fixed?: 'replace' | 'keep';
}

export class AddressSpace {
  readonly pool: PagePool;
  readonly regions = new Regions();
  readonly table = new PageTable();
  /** Set while a vCPU executes in it. */
  translations: Translations | undefined;
  /** Whom its pages are counted for. */
  account: MemoryAccount | undefined;
  /** Asked where memory is full: whether somebody gave some up, so that it may be tried again. */
  onFull: (() => boolean) | undefined;
  /** Tasks that share it. */
  users = 1;
  /** Mappings are placed below. */
  mapLimit = HIGHEST;
  /** The heap: where it begins, and its present end in bytes. */
  heapStart = 0;
  heapEnd = 0;
  /** Where the stack may grow down to. */
  stackLimit = 8 << 20;
  /** Bounds of arguments, environment and auxiliary vector, for /proc. */
  argumentsStart = 0;
  argumentsEnd = 0;
  environmentStart = 0;
  environmentEnd = 0;
  auxiliaryStart = 0;
  auxiliaryEnd = 0;
  /** Why the last {@link resolve} failed. */
  failure: Fault = 'unmapped';

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  // ---- mapping

  /** mmap: where the mapping begins. Throws ENOMEM, EEXIST, EINVAL. */
  map(request: MapRequest): number {
    const length = roundUp(request.length);
    if (length <= 0 || length > HIGHEST) throw errno(length === 0 ? 'EINVAL' : 'ENOMEM');
    let { address } = request;
    if (request.fixed) {
      if (address % PAGE !== 0) throw errno('EINVAL');
      if (address < LOWEST) throw errno('EPERM');
      if (address + length > HIGHEST) throw errno('ENOMEM');
      if (request.fixed === 'keep' && !this.regions.isFree(address, address + length)) throw errno('EEXIST');
      if (request.fixed === 'replace') this.unmap(address, length);
    } else {
      address = roundUp(address);
      const fits = address >= LOWEST && address + length <= HIGHEST && this.regions.isFree(address, address + length);
      if (!fits) address = this.regions.place(length, this.mapLimit) ?? -1;
      if (address < 0) throw errno('ENOMEM');
    }
    if (this.regions.count >= REGIONS_MAX) throw errno('ENOMEM');
    const { pages } = request;
    if (pages) pages.users++;
    this.regions.insert({
      start: address,
      end: address + length,
      protection: request.protection,
      shared: request.shared,
      isStack: request.isStack ?? false,
      pages,
      firstPage: request.firstPage ?? 0,
      name: request.name ?? '',
      maxProtection: request.maxProtection ?? 7,
    });
    return address;
  }

  /** munmap of [address, address + length), both already multiples of 4096. */
  unmap(address: number, length: number): void {
    const end = address + length;
    const gone = this.regions.remove(address, end);
    if (gone.length === 0) return;
    this.dropPages(address, end);
    for (const region of gone) releaseRegion(region);
  }

  private dropPages(from: number, to: number): void {
    let dropped = 0;
    this.table.update(from, to, (address, entry) => {
      this.pool.release(entry & Entry.page);
      if (++dropped <= FLUSH_ALL) this.translations?.forget(address);
      return 0;
    });
    if (dropped > FLUSH_ALL) this.translations?.forgetAll();
  }

  /** mprotect. Throws ENOMEM where something in the range is not mapped, EACCES where the file does not allow it. */
  protect(address: number, length: number, protection: number): void {
    const end = address + length;
    if (!this.regions.covers(address, end)) throw errno('ENOMEM');
    const regions = this.regions.within(address, end);
    for (const region of regions) if (protection & ~region.maxProtection) throw errno('EACCES');
    for (const region of regions) {
      region.protection = protection;
      this.table.update(region.start, region.end, (_address, entry) => {
        // What may be written is found out anew at the next write.
        return (entry & ~(Entry.read | Entry.write | Entry.execute)) | rightsOf(protection);
      });
    }
    this.regions.join(address, end);
    this.translations?.forgetAll();
  }

  /** mremap. Gives the new address. `to` undefined: it may not move; 'anywhere': it may. Throws EFAULT, ENOMEM, EINVAL. */
  remap(address: number, oldLength: number, newLength: number, to: number | 'anywhere' | undefined): number {
    const region = this.regions.find(address);
    if (!region || region.end < address + oldLength) throw errno('EFAULT');
    if (typeof to !== 'number') {
      if (newLength <= oldLength) {
        if (newLength < oldLength) this.unmap(address + newLength, oldLength - newLength);
        return address;
      }
      const grown = address + newLength;
      if (region.end === address + oldLength && grown <= HIGHEST && this.regions.isFree(region.end, grown)) {
        const growth = { ...region, start: region.end, end: grown };
        growth.firstPage += (region.end - region.start) / PAGE;
        if (growth.pages) growth.pages.users++;
        this.regions.insert(growth);
        return address;
      }
      if (to === undefined) throw errno('ENOMEM');
    }
    const copy = { ...region };
    const kept = Math.min(oldLength, newLength);
    if (newLength < oldLength) this.unmap(address + newLength, oldLength - newLength);
    const target = this.map({
      ...copy,
      address: typeof to === 'number' ? to : 0,
      length: newLength,
      firstPage: copy.firstPage + (address - copy.start) / PAGE,
      ...(typeof to === 'number' ? { fixed: 'replace' as const } : {}),
    });
    const moved: [number, number][] = [];
    this.table.update(address, address + kept, (from, entry) => {
      moved.push([from, entry]);
      return 0;
    });
    for (const [from, entry] of moved) this.table.set(target + (from - address), entry);
    this.translations?.forgetAll();
    this.unmap(address, kept);
    return target;
  }

  /** brk: the heap's end, as it then is. */
  setHeapEnd(end: number): number {
    const oldTop = roundUp(this.heapEnd);
    const newTop = roundUp(end);
    if (end < this.heapStart || newTop > HIGHEST) return this.heapEnd;
    if (newTop < oldTop) this.unmap(newTop, oldTop - newTop);
    else if (newTop > oldTop) {
      if (!this.regions.isFree(oldTop, newTop + PAGE)) return this.heapEnd;
      const protection = Protection.read | Protection.write;
      this.map({ address: oldTop, length: newTop - oldTop, protection, shared: false, name: '[heap]', fixed: 'keep' });
    }
    this.heapEnd = end;
    return end;
  }

  /** madvise(MADV_DONTNEED): private pages begin anew. */
  discard(address: number, length: number): void {
    const end = address + length;
    if (!this.regions.covers(address, end)) throw errno('ENOMEM');
    this.dropPages(address, end);
  }

  /** A file that may be mapped here has `size` bytes now: what lies behind its last page is unmapped memory, SIGBUS. */
  cut(pages: SharedPages, size: number): void {
    const first = Math.ceil(size / PAGE);
    for (const region of this.regions) {
      if (region.pages !== pages) continue;
      const from = region.start + Math.max(0, first - region.firstPage) * PAGE;
      if (from < region.end) this.dropPages(from, region.end);
    }
  }

  /** fork: an address space with the same content, of which each page is copied when either side writes. */
  fork(): AddressSpace {
    const child = new AddressSpace(this.pool);
    child.account = this.account;
    child.mapLimit = this.mapLimit;
    child.heapStart = this.heapStart;
    child.heapEnd = this.heapEnd;
    child.stackLimit = this.stackLimit;
    child.argumentsStart = this.argumentsStart;
    child.argumentsEnd = this.argumentsEnd;
    child.environmentStart = this.environmentStart;
    child.environmentEnd = this.environmentEnd;
    child.auxiliaryStart = this.auxiliaryStart;
    child.auxiliaryEnd = this.auxiliaryEnd;
    for (const region of this.regions) {
      if (region.pages) region.pages.users++;
      child.regions.insert({ ...region });
      this.table.update(region.start, region.end, (address, entry) => {
        this.pool.hold(entry & Entry.page);
        const kept = region.shared ? entry : entry & ~Entry.write;
        child.table.set(address, kept);
        return kept;
      });
    }
    this.translations?.forgetAll();
    return child;
  }

  /** Everything is unmapped: nobody uses it any more. */
  clear(): void {
    const regions = [...this.regions];
    for (const region of regions)
      this.table.update(region.start, region.end, (_address, entry) => {
        this.pool.release(entry & Entry.page);
        return 0;
      });
    this.regions.remove(0, HIGHEST + PAGE);
    for (const region of regions) releaseRegion(region);
    this.translations?.forgetAll();
  }

  /** Bytes that are mapped, and that are in memory. */
  get size(): number {
    let size = 0;
    for (const { start, end } of this.regions) size += end - start;
    return size;
  }

  get resident(): number {
    let pages = 0;
    for (const { start, end } of this.regions) pages += this.table.count(start, end);
    return pages * PAGE;
  }

  // ---- page faults

  /**
   * Makes the page of an address one that an access is possible to; `need` is one bit of {@link Protection}. The entry, or 0:
   * it is not, and {@link failure} says why.
   */
  resolve(address: number, need: number): number {
    const entry = this.table.get(address);
    if (entry & (need === Protection.write ? Entry.write : need === Protection.execute ? Entry.execute : Entry.read))
      return entry;
    const page = address - (address % PAGE);
    const region = this.regions.find(address) ?? this.growStack(address);
    if (!region) return this.fail('unmapped');
    // Processors know no pages that can be written or executed but not read.
    if ((region.protection & (need === Protection.read ? 7 : need)) === 0) return this.fail('denied');
    const write = need === Protection.write;
    const made = entry === 0 ? this.populate(region, page, write) : write ? this.unshare(region, page, entry) : entry;
    if (made === 0) return 0;
    this.table.set(page, made);
    return made;
  }

  private fail(why: Fault): 0 {
    this.failure = why;
    return 0;
  }

  private populate(region: Region, address: number, write: boolean): number {
    const rights = rightsOf(region.protection) | Entry.present;
    const { pages } = region;
    if (!pages) {
      if (!write) return ZERO_PAGE | rights;
      const page = this.pool.allocate(this.account);
      return page === NO_PAGE ? this.fail('noMemory') : page | rights | Entry.write;
    }
    const index = region.firstPage + (address - region.start) / PAGE;
    if (!pages.holds(index)) return this.fail('beyondEnd');
    const cached = pages.page(index, this.account);
    if (cached === NO_PAGE) return this.fail('noMemory');
    if (write && !region.shared) {
      const page = this.pool.copy(cached, this.account);
      return page === NO_PAGE ? this.fail('noMemory') : page | rights | Entry.write;
    }
    this.pool.hold(cached);
    if (!write) return cached | rights;
    pages.markDirty(index);
    return cached | rights | Entry.write;
  }

  /** A page that is mapped, but not for writing, is written. */
  private unshare(region: Region, address: number, entry: number): number {
    if (region.shared) {
      region.pages?.markDirty(region.firstPage + (address - region.start) / PAGE);
      return entry | Entry.write;
    }
    const page = entry & Entry.page;
    if (this.pool.holdersOf(page) === 1) return entry | Entry.write;
    const copy = page === ZERO_PAGE ? this.pool.allocate(this.account) : this.pool.copy(page, this.account);
    if (copy === NO_PAGE) return this.fail('noMemory');
    this.pool.release(page);
    this.translations?.forget(address);
    return (entry & ~Entry.page) | copy | Entry.write;
  }

  /** The stack whose part an address right below it becomes. */
  private growStack(address: number): Region | undefined {
    const region = this.regions.next(address);
    if (!region?.isStack || region.start <= address) return undefined;
    const start = address - (address % PAGE);
    const top = this.stackTop(region);
    if (top - start > this.stackLimit) return undefined;
    const below = this.regions.before(region.start - 1);
    if (below && below.end + STACK_GUARD > start && !below.isStack) return undefined;
    region.start = start;
    return region;
  }

  private stackTop(region: Region): number {
    let top = region.end;
    for (let next = this.regions.find(top); next?.isStack; next = this.regions.find(top)) top = next.end;
    return top;
  }

  // ---- the kernel's own accesses, with the program's rights

  /** Address in the kernel's memory of a byte of the program; what follows in the page follows there. Throws EFAULT. */
  hostOf(address: number, need: number): number {
    if (!(address >= 0 && address < HIGHEST)) throw errno('EFAULT');
    let entry = this.resolve(address, need);
    while (entry === 0 && this.failure === 'noMemory' && this.onFull?.()) entry = this.resolve(address, need);
    if (entry === 0) throw errno('EFAULT');
    return this.pool.hostOf(entry & Entry.page) + (address % PAGE);
  }

  /** Throws EFAULT. */
  read(address: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const at = address + done;
      const length = Math.min(PAGE - (at % PAGE), into.length - done);
      const host = this.hostOf(at, Protection.read);
      into.set(this.pool.u8.subarray(host, host + length), done);
      done += length;
    }
  }

  /** Throws EFAULT; what lies before the first page that cannot be written has been. */
  write(address: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) {
      const at = address + done;
      const length = Math.min(PAGE - (at % PAGE), from.length - done);
      const host = this.hostOf(at, Protection.write);
      const page = (host - this.pool.hostOf(0)) / PAGE;
      this.pool.write(Math.floor(page), at % PAGE, from.subarray(done, done + length));
      done += length;
    }
  }

  bytes(address: number, length: number): Uint8Array<ArrayBuffer> {
    const into = new Uint8Array(length);
    this.read(address, into);
    return into;
  }

  readU8(address: number): number {
    return this.pool.u8[this.hostOf(address, Protection.read)];
  }

  readU32(address: number): number {
    if (address % PAGE > PAGE - 4) return viewOf(this.bytes(address, 4)).getUint32(0, true);
    return this.pool.view.getUint32(this.hostOf(address, Protection.read), true);
  }

  readI32(address: number): number {
    return this.readU32(address) | 0;
  }

  /** 64 bits, signed, as a number: exact between -2^53 and 2^53. */
  readI64(address: number): number {
    return (this.readU32(address + 4) | 0) * 0x1_0000_0000 + this.readU32(address);
  }

  readBig(address: number): bigint {
    return (BigInt(this.readU32(address + 4)) << 32n) | BigInt(this.readU32(address));
  }

  writeU32(address: number, value: number): void {
    word.setUint32(0, value, true);
    this.write(address, word4);
  }

  writeI64(address: number, value: number): void {
    word.setUint32(0, value, true);
    word.setInt32(4, Math.floor(value / 0x1_0000_0000), true);
    this.write(address, word8);
  }

  writeBig(address: number, value: bigint): void {
    word.setBigUint64(0, BigInt.asUintN(64, value), true);
    this.write(address, word8);
  }

  /** A string of bytes up to its zero. Throws EFAULT, or `tooLong` where there is none within `limit` bytes. */
  readString(address: number, limit = PAGE, tooLong: 'ENAMETOOLONG' | 'E2BIG' | 'EINVAL' = 'ENAMETOOLONG'): string {
    let text = '';
    const { u8 } = this.pool;
    for (let at = address; text.length < limit; ) {
      const host = this.hostOf(at, Protection.read);
      const length = Math.min(PAGE - (at % PAGE), limit - text.length);
      let byte = host;
      for (; byte < host + length && u8[byte] !== 0; byte++) text += String.fromCharCode(u8[byte]);
      if (byte < host + length) return text;
      at += length;
    }
    throw errno(tooLong);
  }
}

const word8 = new Uint8Array(8);
const word4 = word8.subarray(0, 4);
const word = new DataView(word8.buffer);

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Rights of a page that is not known to be writable yet. */
function rightsOf(protection: number): number {
  if (protection === 0) return 0;
  return Entry.read | (protection & Protection.execute ? Entry.execute : 0);
}

function releaseRegion(region: Region): void {
  const { pages } = region;
  if (!pages || --pages.users > 0) return;
  pages.unused();
}
