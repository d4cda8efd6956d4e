// The guest-physical address space as a vCPU sees it: RAM, ROM, directly mapped device memory, and what the bus answers.
// Owns which page is which, and accesses of 1 to 16 bytes by physical address.
// Never translates linear addresses, and never decides what a device answers.
//
// Physical addresses are plain numbers: below 2^52 they are exact.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import { copyBytes } from '../../memory/copy.ts';
import {
  CODE_LINES_BASE,
  LOW_RAM_LIMIT,
  MachineBook,
  PAGE_STATE_BASE,
  PageState,
  RAM_BASE,
  TLB_BANK_BYTES,
} from '../../memory/layout.ts';
import { DirectMemory, type DirectWindow } from './direct-memory.ts';

/** Widths that device memory is asked for. */
export type MmioSize = 1 | 2 | 4;

/** Whoever answers for physical addresses that are not RAM. Values are unsigned. */
export interface MmioBus {
  readMmio(physical: number, size: MmioSize): number;
  writeMmio(physical: number, size: MmioSize, value: number): void;
}

export const PageKind = {
  /** Read and written directly. */
  ram: 0,
  /** Read directly; writes are ignored. */
  rom: 1,
  /** Every access goes to the bus, though RAM lies behind it. */
  mmio: 2,
  /** A window of directly mapped memory hides the RAM: {@link DirectMemory}. Only the windows set this one. */
  window: 3,
} as const;
export type PageKind = (typeof PageKind)[keyof typeof PageKind];

const FOUR_GIB = 0x1_0000_0000;
const PAGE = 0x1000;
const A20 = 0x100000;
/** Below, windows hide RAM; above, RAM answers first. */
const LEGACY_LIMIT = 0x100000;
/** Interrupt controllers' addresses, which no window takes whatever a guest writes to a base address register. */
const CHIPSET = { first: 0xfec00000, last: 0xfeffffff };
/** What {@link PhysicalMemory.readAddress} and {@link PhysicalMemory.writeAddress} give where the bus answers. */
export const BY_BUS = -1;
/** What {@link PhysicalMemory.writeAddress} gives where a write changes nothing. */
export const IGNORED = -2;

/** Whoever caches host addresses of pages: a vCPU's TLBs. */
export interface PageCache {
  /** Which page is where has changed. */
  flushAll(): void;
  /** Pages in [from, to), host addresses, may no longer be written without anybody seeing it. */
  dropWriteEntries(from: number, to: number): void;
}

export class PhysicalMemory {
  readonly ramBytes: number;
  /** RAM below 4 GiB. */
  readonly lowRam: number;
  /** {@link PageState} of each page. */
  private readonly pages: Uint8Array;
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly codeLines: Uint32Array;
  private readonly bus: MmioBus;
  /** Pages of directly mapped memory begin at this host address, behind RAM. */
  readonly directBase: number;
  /** Told of changes; each vCPU's TLBs are one. */
  readonly caches: PageCache[] = [];
  private directEnd: number;
  private readonly directLimit: number;
  /** A page of directly mapped memory has been written to since it was last taken. */
  private readonly dirty: Uint8Array;
  /** In the order of their memories. */
  private readonly windows: DirectWindow[] = [];
  private memories = 0;
  private a20Closed = false;
  /** What the pages below 1 MiB are where no window hides them. */
  private readonly beneath = new Uint8Array(LEGACY_LIMIT / PAGE);
  /** Told, by host address, after a write to lines of one page that hold decoded code. */
  onCodeWrite: (host: number, bytes: number) => void = () => {};
  /** Whether bytes in such lines are code themselves. */
  isCode: (host: number, bytes: number) => boolean = () => true;

  /**
   * `ramBytes` is a multiple of 4096 and fits the memory behind RAM_BASE; anything else throws an Error. What the memory has
   * behind RAM can be {@link allocate}d, but for what the TLBs of so many vCPUs take.
   */
  constructor(buffer: ArrayBufferLike, ramBytes: number, bus: MmioBus, vcpus = 1) {
    if (ramBytes <= 0 || ramBytes % 4096 !== 0 || RAM_BASE + ramBytes > buffer.byteLength)
      throw new Error(`A guest's RAM of ${ramBytes} bytes does not fit its memory.`);
    this.ramBytes = ramBytes;
    this.lowRam = Math.min(ramBytes, LOW_RAM_LIMIT);
    const hostPages = Math.floor((buffer.byteLength - RAM_BASE) / PAGE);
    this.pages = new Uint8Array(buffer, PAGE_STATE_BASE, hostPages).fill(0);
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.codeLines = new Uint32Array(buffer, CODE_LINES_BASE, hostPages * 2);
    this.directBase = RAM_BASE + ramBytes;
    this.directEnd = this.directBase;
    this.directLimit = buffer.byteLength - (vcpus - 1) * TLB_BANK_BYTES;
    this.dirty = new Uint8Array(hostPages - ramBytes / PAGE);
    this.bus = bus;
    this.view.setUint32(MachineBook.a20Closed, 0, true);
  }

  /** Host address of a physical byte with RAM behind it (whatever its kind, and whatever hides it), or -1. */
  ramAddress(physical: number): number {
    if (physical < this.lowRam) return RAM_BASE + physical;
    if (physical >= FOUR_GIB && physical - FOUR_GIB < this.ramBytes - this.lowRam)
      return RAM_BASE + this.lowRam + (physical - FOUR_GIB);
    return -1;
  }

  /** Host address that reads of a physical byte find: RAM, ROM or directly mapped memory. {@link BY_BUS} elsewhere. */
  readAddress(physical: number): number {
    const host = this.ramAddress(physical);
    if (host < 0) return this.windows.length === 0 ? BY_BUS : this.windowAddress(physical);
    const kind = this.kindAt(host);
    if (kind <= PageKind.rom) return host;
    return kind === PageKind.mmio ? BY_BUS : this.windowAddress(physical);
  }

  /** Host address that writes to a physical byte change, {@link IGNORED} or {@link BY_BUS}. */
  writeAddress(physical: number): number {
    const host = this.ramAddress(physical);
    if (host >= 0) {
      const kind = this.kindAt(host);
      if (kind === PageKind.ram) return host;
      if (kind === PageKind.rom) return IGNORED;
      if (kind === PageKind.mmio) return BY_BUS;
    }
    const window = this.windows.length === 0 ? undefined : this.windowAt(physical);
    if (!window) return BY_BUS;
    if (window.writes === 'memory') return window.host + (physical - window.base);
    return window.writes === 'ignored' || host < 0 ? IGNORED : host;
  }

  private windowAt(physical: number): DirectWindow | undefined {
    if (physical >= CHIPSET.first && physical <= CHIPSET.last) return undefined;
    for (const window of this.windows) if (physical >= window.base && physical < window.end) return window;
    return undefined;
  }

  private windowAddress(physical: number): number {
    const window = this.windowAt(physical);
    return window ? window.host + (physical - window.base) : BY_BUS;
  }

  /** Physical address of a host address inside RAM or visible directly mapped memory; -1: it can be seen nowhere. */
  physicalAddress(host: number): number {
    if (host >= this.directBase) {
      for (const { base, end, host: from } of this.windows)
        if (host >= from && host < from + (end - base)) return base + (host - from);
      return -1;
    }
    const offset = host - RAM_BASE;
    return offset < this.lowRam ? offset : offset - this.lowRam + FOUR_GIB;
  }

  /** Kind of the page of a host address that {@link ramAddress} gave. */
  private kindAt(host: number): PageKind {
    return (this.pages[(host - RAM_BASE) >>> 12] & PageState.kindMask) as PageKind;
  }

  /**
   * Makes `length` bytes from `physical` another kind; both are multiples of 4096. Pages without RAM are device memory
   * anyway. Where a window hides them, it shows when the window is gone.
   */
  setKind(physical: number, length: number, kind: Exclude<PageKind, typeof PageKind.window>): void {
    if (physical % PAGE !== 0 || length % PAGE !== 0) throw new Error('Page kinds are set by whole pages.');
    this.remap(physical, physical + length, () => {
      for (let at = physical; at < physical + length; at += PAGE) {
        if (at < LEGACY_LIMIT) this.beneath[at / PAGE] = kind;
        const host = this.ramAddress(at);
        if (host >= 0 && this.kindAt(host) !== PageKind.window) this.putKind(host, kind);
      }
    });
  }

  private putKind(host: number, kind: PageKind): void {
    const page = (host - RAM_BASE) >>> 12;
    this.pages[page] = (this.pages[page] & ~PageState.kindMask) | kind;
  }

  // ---- the A20 gate

  /**
   * Opens or closes the gate on address line 20. While it is closed, processors see the odd mebibytes where the even ones
   * below them are, with and without paging; devices' DMA does not pass it. It is open to begin with.
   */
  setA20(open: boolean): void {
    const closed = open ? 0 : 1;
    if (this.view.getUint32(MachineBook.a20Closed, true) === closed) return;
    this.view.setUint32(MachineBook.a20Closed, closed, true);
    this.a20Closed = !open;
    for (const cache of this.caches) cache.flushAll();
  }

  /** The address that leaves a processor for one that it means. */
  gated(address: number): number {
    return this.a20Closed && address % (2 * A20) >= A20 ? address - A20 : address;
  }

  // ---- saved states

  /** RAM and directly mapped memory: what a saved state holds, and is filled with before anything else is restored. */
  get contents(): Uint8Array {
    return this.bytes.subarray(RAM_BASE, this.directEnd);
  }

  /** What the pages are; their content is {@link contents}. Windows are restored by whose they are. */
  save(): SavedState {
    return { version: 1, kinds: this.beneath.slice(), a20Closed: this.a20Closed };
  }

  restore(state: SavedState): void {
    const reader = openState('memory', 1, state);
    const kinds = reader.bytes('kinds', this.beneath.length);
    if (kinds.some((kind) => kind > PageKind.mmio)) throw new Error('the saved state of the memory has no valid kinds');
    for (const [page, kind] of kinds.entries())
      if (kind !== this.beneath[page])
        this.setKind(page * PAGE, PAGE, kind as Exclude<PageKind, typeof PageKind.window>);
    this.setA20(!reader.boolean('a20Closed'));
  }

  // ---- directly mapped memory

  /**
   * Memory of a device, zero as nobody has had it yet, in the part of the guest's memory behind its RAM. `bytes` is a multiple of 4096;
   * throws an Error where there is not so much. Windows of memories that were allocated first go before later ones'.
   */
  allocate(bytes: number): DirectMemory {
    const host = this.directEnd;
    if (bytes <= 0 || bytes % PAGE !== 0 || host + bytes > this.directLimit)
      throw new Error(`There is no room for ${bytes} bytes of device memory.`);
    this.directEnd += bytes;
    return new DirectMemory(this, this.bytes.subarray(host, host + bytes), host, this.memories++);
  }

  /** Shows a window of memory number `rank`, or hides it where it is shown. For {@link DirectMemory}. */
  showWindow(window: DirectWindow, rank: number): void {
    this.remap(window.base, window.end, () => {
      let at = this.windows.findIndex((other) => other.rank > rank);
      if (at < 0) at = this.windows.length;
      this.windows.splice(at, 0, window);
    });
  }

  hideWindow(window: DirectWindow): void {
    this.remap(window.base, window.end, () => {
      this.windows.splice(this.windows.indexOf(window), 1);
    });
  }

  /** Which memory the pages in [from, to) are changes: code that was decoded from them goes stale, and TLBs forget them. */
  private remap(from: number, to: number, change: () => void): void {
    for (let at = from; at < to; at += PAGE) {
      const host = this.readAddress(at);
      if (host >= 0 && this.pageHoldsCode(host)) this.onCodeWrite(host, PAGE);
    }
    change();
    for (let at = from; at < Math.min(to, LEGACY_LIMIT, this.lowRam); at += PAGE)
      this.putKind(RAM_BASE + at, this.windowAt(at) ? PageKind.window : (this.beneath[at / PAGE] as PageKind));
    for (const cache of this.caches) cache.flushAll();
  }

  /** Notes that the page of a host address in directly mapped memory is written to from now on. */
  markDirty(host: number): void {
    this.dirty[(host - this.directBase) >>> 12] = 1;
  }

  isDirty(host: number): boolean {
    return this.dirty[(host - this.directBase) >>> 12] !== 0;
  }

  /** Gives the dirty pages in [from, to), host addresses, and makes them clean: the next write is noted again. */
  takeDirty(from: number, to: number, page: (host: number) => void): void {
    const [first, end] = [(from - this.directBase) >>> 12, (to - this.directBase + PAGE - 1) >>> 12];
    let [lowest, highest] = [-1, -1];
    for (let index = first; index < end; index++) {
      if (this.dirty[index] === 0) continue;
      if (lowest < 0) lowest = index;
      highest = index;
    }
    if (lowest < 0) return;
    const host = (index: number): number => this.directBase + index * PAGE;
    for (const cache of this.caches) cache.dropWriteEntries(host(lowest), host(highest + 1));
    for (let index = lowest; index <= highest; index++) {
      if (this.dirty[index] === 0) continue;
      this.dirty[index] = 0;
      page(host(index));
    }
  }

  // ---- accesses

  /** Copies `bytes` (at most 16, within one page) from a physical address to host address `into`. */
  readInto(physical: number, bytes: number, into: number): void {
    const host = this.readAddress(physical);
    if (host >= 0) {
      this.copy(host, into, bytes);
      return;
    }
    for (let done = 0; done < bytes; ) {
      const size = mmioSize(physical + done, bytes - done);
      const value = this.bus.readMmio(physical + done, size);
      if (size === 4) this.view.setUint32(into + done, value, true);
      else if (size === 2) this.view.setUint16(into + done, value, true);
      else this.view.setUint8(into + done, value);
      done += size;
    }
  }

  /** Copies `bytes` (at most 16, within one page) from host address `from` to a physical address. */
  writeFrom(physical: number, bytes: number, from: number): void {
    const host = this.writeAddress(physical);
    if (host === IGNORED) return;
    if (host >= 0) {
      this.copy(from, host, bytes);
      this.noteHostWrite(host, bytes);
      return;
    }
    for (let done = 0; done < bytes; ) {
      const size = mmioSize(physical + done, bytes - done);
      const value =
        size === 4
          ? this.view.getUint32(from + done, true)
          : size === 2
            ? this.view.getUint16(from + done, true)
            : this.view.getUint8(from + done);
      this.bus.writeMmio(physical + done, size, value);
      done += size;
    }
  }

  /** 32 bits at a physical address; what a page walk reads. */
  read32(physical: number): number {
    const host = this.readAddress(physical);
    if (host >= 0) return this.view.getUint32(host, true);
    return this.bus.readMmio(physical, 4) >>> 0;
  }

  write32(physical: number, value: number): void {
    const host = this.writeAddress(physical);
    if (host === IGNORED) return;
    if (host < 0) {
      this.bus.writeMmio(physical, 4, value >>> 0);
      return;
    }
    this.view.setUint32(host, value, true);
    this.noteHostWrite(host, 4);
  }

  /**
   * Copies bytes into guest memory as a device's DMA does: decoded code there goes stale. Pages that no write reaches directly
   * take nothing; gives whether all of them did. Any length.
   */
  write(physical: number, bytes: Uint8Array): boolean {
    let whole = true;
    for (let done = 0; done < bytes.length; ) {
      const at = physical + done;
      const length = Math.min(4096 - (at % 4096), bytes.length - done);
      const host = this.writeAddress(at);
      if (host >= 0) {
        copyBytes(this.bytes, host, bytes.subarray(done, done + length));
        this.noteHostWrite(host, length);
      } else whole = false;
      done += length;
    }
    return whole;
  }

  /** Copies guest memory into `into` as a device's DMA does; what the bus answers stays as it is, and is told by false. */
  read(physical: number, into: Uint8Array): boolean {
    let whole = true;
    for (let done = 0; done < into.length; ) {
      const at = physical + done;
      const length = Math.min(4096 - (at % 4096), into.length - done);
      const host = this.readAddress(at);
      if (host >= 0) copyBytes(into, done, this.bytes.subarray(host, host + length));
      else whole = false;
      done += length;
    }
    return whole;
  }

  /** Where bytes lie, for a device that lends them to the host ({@link LentMemory}). */
  locate(physical: number, length: number, toWrite: boolean, runs: number[]): boolean {
    for (let done = 0; done < length; ) {
      const at = physical + done;
      const part = Math.min(PAGE - (at % PAGE), length - done);
      const host = toWrite ? this.writeAddress(at) : this.readAddress(at);
      if (host < 0) return false;
      const last = runs.length - 2;
      if (last >= 0 && runs[last] + runs[last + 1] === host) runs[last + 1] += part;
      else runs.push(host, part);
      done += part;
    }
    return true;
  }

  lend(host: number, length: number): Uint8Array {
    return this.bytes.subarray(host, host + length);
  }

  written(host: number, length: number): void {
    for (let done = 0; done < length; ) {
      const part = Math.min(PAGE - ((host + done) % PAGE), length - done);
      this.noteHostWrite(host + done, part);
      done += part;
    }
  }

  /**
   * Says that bytes at a host address, all in one page, changed behind the TLB (DMA, page walks, slow writes, a device's own
   * memory): decoded code in those lines goes stale, and directly mapped memory is dirty.
   */
  noteHostWrite(host: number, length: number): void {
    if (host >= this.directBase) this.markDirty(host);
    if (this.linesHoldCode(host, length)) this.onCodeWrite(host, length);
  }

  /** Whether writing bytes of one page, from a physical address on, changes bytes that hold decoded code. */
  holdsCode(physical: number, length: number): boolean {
    const host = this.writeAddress(physical);
    return host >= 0 && this.linesHoldCode(host, length) && this.isCode(host, length);
  }

  /** Whether any line of the page of a host address holds decoded code. */
  pageHoldsCode(host: number): boolean {
    const page = (host - RAM_BASE) >>> 12;
    return (this.codeLines[page * 2] | this.codeLines[page * 2 + 1]) !== 0;
  }

  private linesHoldCode(host: number, length: number): boolean {
    const page = (host - RAM_BASE) >>> 12;
    const low = this.codeLines[page * 2];
    const high = this.codeLines[page * 2 + 1];
    if ((low | high) === 0) return false;
    const first = (host & 0xfff) >>> 6;
    const last = Math.min(63, ((host & 0xfff) + length - 1) >>> 6);
    for (let line = first; line <= last; line++) if (((line < 32 ? low : high) >>> (line & 31)) & 1) return true;
    return false;
  }

  private copy(from: number, to: number, bytes: number): void {
    const view = this.view;
    switch (bytes) {
      case 1:
        view.setUint8(to, view.getUint8(from));
        return;
      case 2:
        view.setUint16(to, view.getUint16(from, true), true);
        return;
      case 4:
        view.setUint32(to, view.getUint32(from, true), true);
        return;
      case 8: {
        const low = view.getUint32(from, true);
        view.setUint32(to + 4, view.getUint32(from + 4, true), true);
        view.setUint32(to, low, true);
        return;
      }
      default:
        this.bytes.copyWithin(to, from, from + bytes);
    }
  }
}

/** The widest naturally aligned access that starts here. */
function mmioSize(physical: number, left: number): MmioSize {
  if (left >= 4 && physical % 4 === 0) return 4;
  if (left >= 2 && physical % 2 === 0) return 2;
  return 1;
}
