// The "DISPI" registers of the Bochs and QEMU display adapter: modes beyond VGA's, set by writing their sizes.
// Owns index and data registers 0 to Ah, interface versions B0C0h to B0C5h, and what mode they come to.
// Never knows VGA registers or pixels.

import type { StateReader } from '../saved-state.ts';
import { MAX_SCREEN_HEIGHT, MAX_SCREEN_WIDTH } from './screen.ts';

/** I/O ports, of 16 bits: which register, and its content. */
export const DispiPort = { index: 0x1ce, data: 0x1cf } as const;

export const DispiIndex = {
  id: 0,
  width: 1,
  height: 2,
  bitsPerPixel: 3,
  enable: 4,
  bank: 5,
  virtualWidth: 6,
  virtualHeight: 7,
  x: 8,
  y: 9,
  memory64K: 10,
} as const;

export const DispiEnable = {
  enabled: 0x01,
  /** Width, height and depth read as the largest that there are. */
  capabilities: 0x02,
  dac8: 0x20,
  linear: 0x40,
  keepMemory: 0x80,
} as const;

const OLDEST_ID = 0xb0c0;
const NEWEST_ID = 0xb0c5;
const DEPTHS = [4, 8, 15, 16, 24, 32];
const MAX_DEPTH = 32;
/** A bank is what the window at A0000h shows: 64 KiB. */
const BANK_BYTES = 0x10000;

/** A mode that the registers came to, ready to be shown. */
export interface LinearMode {
  readonly width: number;
  readonly height: number;
  /** 4 (planes), 8 (palette), 15, 16, 24 or 32. */
  readonly bitsPerPixel: number;
  /** Bytes from one line to the next; for 4 bits, in each plane. */
  readonly pitch: number;
  /** Offset of the first pixel's byte; for 4 bits, in each plane. */
  readonly start: number;
  /** For 4 bits: pixels to skip in the first byte. */
  readonly skip: number;
}

export interface DispiWiring {
  /** Video memory in bytes, a multiple of 64 KiB. */
  memoryBytes: number;
  /** The mode was set, and memory is to be cleared unless `keep`. */
  onEnable(keep: boolean): void;
  /** Anything that decides what is seen, or where memory is, was written. */
  onChange(): void;
}

/** Bytes of a line of `pixels`, in each plane for 4 bits. */
function pitchOf(pixels: number, bitsPerPixel: number): number {
  return bitsPerPixel === 4 ? pixels >> 3 : pixels * ((bitsPerPixel + 7) >> 3);
}

export class Dispi {
  private readonly wiring: DispiWiring;
  private index = 0;
  private id = NEWEST_ID;
  private width = 0;
  private height = 0;
  private bitsPerPixel = 8;
  private enable = 0;
  private bankNumber = 0;
  private virtualWidth = 0;
  private x = 0;
  private y = 0;

  constructor(wiring: DispiWiring) {
    this.wiring = wiring;
  }

  get isEnabled(): boolean {
    return (this.enable & DispiEnable.enabled) !== 0;
  }

  /** The DAC takes and gives 8 bits a component. */
  get hasWideDac(): boolean {
    return (this.enable & DispiEnable.dac8) !== 0;
  }

  /** Byte offset of the bank that the window at A0000h shows. */
  get bankOffset(): number {
    return this.bankNumber * BANK_BYTES;
  }

  /** Bits of a pixel of the mode that is set. */
  get depth(): number {
    return this.bitsPerPixel;
  }

  /** Ports 1CEh (index), 1CFh and 1D0h (data), 16 bits each. */
  readPort(port: number): number {
    return port === DispiPort.index ? this.index : this.read(this.index);
  }

  writePort(port: number, value: number): void {
    if (port === DispiPort.index) this.index = value & 0xffff;
    else this.write(this.index, value & 0xffff);
  }

  /** A register's value; 0 for one that there is not. */
  read(index: number): number {
    const asksLimits = (this.enable & DispiEnable.capabilities) !== 0;
    switch (index) {
      case DispiIndex.id:
        return this.id;
      case DispiIndex.width:
        return asksLimits ? MAX_SCREEN_WIDTH : this.width;
      case DispiIndex.height:
        return asksLimits ? MAX_SCREEN_HEIGHT : this.height;
      case DispiIndex.bitsPerPixel:
        return asksLimits ? MAX_DEPTH : this.bitsPerPixel;
      case DispiIndex.enable:
        return this.enable;
      case DispiIndex.bank:
        return this.bankNumber;
      case DispiIndex.virtualWidth:
        return this.virtualWidth;
      case DispiIndex.virtualHeight:
        return this.virtualHeight;
      case DispiIndex.x:
        return this.x;
      case DispiIndex.y:
        return this.y;
      case DispiIndex.memory64K:
        return this.wiring.memoryBytes / BANK_BYTES;
      default:
        return 0;
    }
  }

  /** Values that are no mode, or do not fit the memory, leave a register as it was. */
  write(index: number, value: number): void {
    switch (index) {
      case DispiIndex.id:
        if (value >= OLDEST_ID && value <= NEWEST_ID) this.id = value;
        return;
      case DispiIndex.width:
        if (value === 0 || value > MAX_SCREEN_WIDTH || value % 8 !== 0) return;
        this.width = value;
        if (this.isEnabled) this.setMode();
        break;
      case DispiIndex.height:
        if (value === 0 || value > MAX_SCREEN_HEIGHT) return;
        this.height = value;
        break;
      case DispiIndex.bitsPerPixel: {
        // Zero stands for 8, as it did in the first versions.
        const depth = value === 0 ? 8 : value;
        if (!DEPTHS.includes(depth)) return;
        this.bitsPerPixel = depth;
        break;
      }
      case DispiIndex.enable:
        this.setEnable(value);
        return;
      case DispiIndex.bank: {
        const bank = value & 0x1ff;
        if ((bank + 1) * BANK_BYTES > this.wiring.memoryBytes) return;
        this.bankNumber = bank;
        break;
      }
      case DispiIndex.virtualWidth: {
        const pixels = value & ~7;
        if (pixels < this.width || pitchOf(pixels, this.bitsPerPixel) * this.height > this.planeBytes) return;
        this.virtualWidth = pixels;
        break;
      }
      case DispiIndex.x:
        this.x = value;
        break;
      case DispiIndex.y:
        this.y = value;
        break;
      default:
        return;
    }
    this.wiring.onChange();
  }

  private get planeBytes(): number {
    return this.bitsPerPixel === 4 ? this.wiring.memoryBytes / 4 : this.wiring.memoryBytes;
  }

  private get virtualHeight(): number {
    const pitch = pitchOf(this.virtualWidth, this.bitsPerPixel);
    return pitch === 0 ? 0 : Math.min(Math.floor(this.planeBytes / pitch), 0xffff);
  }

  private setMode(): void {
    this.virtualWidth = this.width;
    this.x = 0;
    this.y = 0;
  }

  private setEnable(value: number): void {
    const was = this.isEnabled;
    this.enable = value & 0xff;
    if (this.isEnabled && !was) {
      if (this.width === 0 || this.height === 0) [this.width, this.height] = [640, 480];
      this.setMode();
      this.bankNumber = 0;
      this.wiring.onEnable((value & DispiEnable.keepMemory) !== 0);
    }
    this.wiring.onChange();
  }

  /** What is to be shown, or undefined while VGA's own registers say. Every byte of it is in the memory. */
  mode(): LinearMode | undefined {
    if (!this.isEnabled) return undefined;
    const { width, bitsPerPixel, x } = this;
    const pitch = pitchOf(Math.max(this.virtualWidth, width), bitsPerPixel);
    const lineBytes = pitchOf(width, bitsPerPixel);
    // Panning past the end stops at the last line that there is; a mode that is too large is shown as far as it fits.
    const fitting = Math.floor(this.planeBytes / pitch);
    const height = Math.max(1, Math.min(this.height, fitting));
    const left = Math.min(x, Math.max(this.virtualWidth, width) - width);
    const isPlanar = bitsPerPixel === 4;
    const start = Math.min(this.y, fitting - height) * pitch + (isPlanar ? left >> 3 : pitchOf(left, bitsPerPixel));
    const skip = isPlanar ? left & 7 : 0;
    const end = start + (height - 1) * pitch + lineBytes + (skip > 0 ? 1 : 0);
    return { width, height, bitsPerPixel, pitch, start: Math.max(0, start - Math.max(0, end - this.planeBytes)), skip };
  }

  reset(): void {
    this.index = 0;
    this.id = NEWEST_ID;
    this.width = 0;
    this.height = 0;
    this.bitsPerPixel = 8;
    this.enable = 0;
    this.bankNumber = 0;
    this.virtualWidth = 0;
    this.x = 0;
    this.y = 0;
    this.wiring.onChange();
  }

  save(): Record<string, unknown> {
    const { index, id, width, height, bitsPerPixel, enable, virtualWidth, x, y } = this;
    return { index, id, width, height, bitsPerPixel, enable, bank: this.bankNumber, virtualWidth, x, y };
  }

  restore(state: StateReader): void {
    const bitsPerPixel = state.integer('bitsPerPixel', 4, 32);
    const [width, height] = [
      state.integer('width', 0, MAX_SCREEN_WIDTH),
      state.integer('height', 0, MAX_SCREEN_HEIGHT),
    ];
    const bank = state.integer('bank', 0, this.wiring.memoryBytes / BANK_BYTES - 1);
    const virtualWidth = state.word('virtualWidth');
    const enable = state.byte('enable');
    const isMode = DEPTHS.includes(bitsPerPixel) && width % 8 === 0 && virtualWidth % 8 === 0;
    if (!isMode || ((enable & DispiEnable.enabled) !== 0 && (width === 0 || height === 0)))
      throw new Error('the saved state of the display adapter has no valid mode');
    this.index = state.word('index');
    this.id = state.integer('id', OLDEST_ID, NEWEST_ID);
    Object.assign(this, { width, height, bitsPerPixel, enable, bankNumber: bank, virtualWidth });
    this.x = state.word('x');
    this.y = state.word('y');
    this.wiring.onChange();
  }
}
