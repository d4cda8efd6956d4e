// The guest-physical address space as a vCPU sees it: RAM, ROM, and device memory.
// Owns which page is which, and accesses of 1 to 16 bytes by physical address.
// Never translates linear addresses, and never decides what a device answers.
//
// Physical addresses are plain numbers: below 2^52 they are exact.

import { CODE_LINES_BASE, LOW_RAM_LIMIT, PAGE_STATE_BASE, PageState, RAM_BASE } from '../../memory/layout.ts';

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
} as const;
export type PageKind = (typeof PageKind)[keyof typeof PageKind];

const FOUR_GIB = 0x1_0000_0000;

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
  /** Told after a write to lines that hold decoded code. */
  onCodeWrite: (physical: number, bytes: number) => void = () => {};
  /** Whether bytes in such lines are code themselves. */
  isCode: (host: number, bytes: number) => boolean = () => true;

  /** `ramBytes` is a multiple of 4096 and fits the memory behind RAM_BASE; anything else throws an Error. */
  constructor(buffer: ArrayBufferLike, ramBytes: number, bus: MmioBus) {
    if (ramBytes <= 0 || ramBytes % 4096 !== 0 || RAM_BASE + ramBytes > buffer.byteLength)
      throw new Error(`A guest's RAM of ${ramBytes} bytes does not fit its memory.`);
    this.ramBytes = ramBytes;
    this.lowRam = Math.min(ramBytes, LOW_RAM_LIMIT);
    this.pages = new Uint8Array(buffer, PAGE_STATE_BASE, ramBytes / 4096).fill(0);
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.codeLines = new Uint32Array(buffer, CODE_LINES_BASE, (ramBytes / 4096) * 2);
    this.bus = bus;
  }

  /** Host address of a physical byte with RAM behind it (whatever its kind), or -1. */
  ramAddress(physical: number): number {
    if (physical < this.lowRam) return RAM_BASE + physical;
    if (physical >= FOUR_GIB && physical - FOUR_GIB < this.ramBytes - this.lowRam)
      return RAM_BASE + this.lowRam + (physical - FOUR_GIB);
    return -1;
  }

  /** Physical address of a host address inside RAM. */
  physicalAddress(host: number): number {
    const offset = host - RAM_BASE;
    return offset < this.lowRam ? offset : offset - this.lowRam + FOUR_GIB;
  }

  /** Kind of the page of a host address that {@link ramAddress} gave. */
  kindAt(host: number): PageKind {
    return (this.pages[(host - RAM_BASE) >>> 12] & PageState.kindMask) as PageKind;
  }

  /**
   * Makes `length` bytes from `physical` another kind; both are multiples of 4096. Pages without RAM are device memory
   * anyway. TLBs must be flushed afterwards.
   */
  setKind(physical: number, length: number, kind: PageKind): void {
    if (physical % 4096 !== 0 || length % 4096 !== 0) throw new Error('Page kinds are set by whole pages.');
    for (let at = physical; at < physical + length; at += 4096) {
      const host = this.ramAddress(at);
      if (host < 0) continue;
      const page = (host - RAM_BASE) >>> 12;
      this.pages[page] = (this.pages[page] & ~PageState.kindMask) | kind;
    }
  }

  /** Copies `bytes` (at most 16, within one page) from a physical address to host address `into`. */
  readInto(physical: number, bytes: number, into: number): void {
    const host = this.ramAddress(physical);
    if (host >= 0 && this.kindAt(host) !== PageKind.mmio) {
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
    const host = this.ramAddress(physical);
    if (host >= 0) {
      const kind = this.kindAt(host);
      if (kind === PageKind.rom) return;
      if (kind === PageKind.ram) {
        this.copy(from, host, bytes);
        this.noteWrite(physical, bytes);
        return;
      }
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
    const host = this.ramAddress(physical);
    if (host >= 0 && this.kindAt(host) !== PageKind.mmio) return this.view.getUint32(host, true);
    return this.bus.readMmio(physical, 4) >>> 0;
  }

  write32(physical: number, value: number): void {
    const host = this.ramAddress(physical);
    if (host < 0 || this.kindAt(host) === PageKind.mmio) {
      this.bus.writeMmio(physical, 4, value >>> 0);
      return;
    }
    if (this.kindAt(host) === PageKind.rom) return;
    this.view.setUint32(host, value, true);
    this.noteWrite(physical, 4);
  }

  /**
   * Copies bytes into guest memory as a device's DMA does: decoded code there goes stale. Pages that are no plain RAM take
   * nothing; gives whether all of them did. Any length.
   */
  write(physical: number, bytes: Uint8Array): boolean {
    let whole = true;
    for (let done = 0; done < bytes.length; ) {
      const at = physical + done;
      const length = Math.min(4096 - (at % 4096), bytes.length - done);
      const host = this.ramAddress(at);
      if (host >= 0 && this.kindAt(host) === PageKind.ram) {
        this.bytes.set(bytes.subarray(done, done + length), host);
        this.noteWrite(at, length);
      } else whole = false;
      done += length;
    }
    return whole;
  }

  /** Copies guest memory into `into` as a device's DMA does; what is no plain RAM stays as it is, and is told by false. */
  read(physical: number, into: Uint8Array): boolean {
    let whole = true;
    for (let done = 0; done < into.length; ) {
      const at = physical + done;
      const length = Math.min(4096 - (at % 4096), into.length - done);
      const host = this.ramAddress(at);
      if (host >= 0 && this.kindAt(host) !== PageKind.mmio) into.set(this.bytes.subarray(host, host + length), done);
      else whole = false;
      done += length;
    }
    return whole;
  }

  /**
   * Says that bytes of RAM changed behind the TLB (DMA, page walks, slow writes): decoded code in those lines goes stale.
   * Any length.
   */
  noteWrite(physical: number, length: number): void {
    const end = physical + length;
    for (let at = physical; at < end; ) {
      const pageEnd = Math.min(end, at - (at % 4096) + 4096);
      const host = this.ramAddress(at);
      if (host >= 0 && this.linesHoldCode(host, pageEnd - at)) this.onCodeWrite(at, pageEnd - at);
      at = pageEnd;
    }
  }

  /** Whether bytes of one page, from a physical address on, hold decoded code. */
  holdsCode(physical: number, length: number): boolean {
    const host = this.ramAddress(physical);
    return host >= 0 && this.linesHoldCode(host, length) && this.isCode(host, length);
  }

  /** Whether any line of the page of a host address in RAM holds decoded code. */
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
