// The processor's side of VGA memory: the window at A0000h, write and read modes, latches, and how it becomes plain memory.
// Owns which way an access takes; in text and chained modes the guest writes a copy of its own, which is carried over later.
// Never knows how memory becomes pixels.

import type { AccessSize, MmioHandler } from '../device.ts';
import type { Dispi } from './dispi.ts';
import type { VgaRegisters } from './vga-registers.ts';
import { VIDEO_PAGE, type VideoMemory, type VideoWindow } from './video-memory.ts';

export const APERTURE_BASE = 0xa0000;
export const APERTURE_BYTES = 0x20000;
/** Room behind the video memory for what the guest writes directly in text and chained modes. */
export const SHADOW_BYTES = 0x10000;

/** Where the window is (graphics controller 6, bits 2 and 3), from {@link APERTURE_BASE} on. */
const WINDOWS = [
  { base: 0, length: 0x20000 },
  { base: 0, length: 0x10000 },
  { base: 0x10000, length: 0x8000 },
  { base: 0x18000, length: 0x8000 },
] as const;
const RAM_ENABLED = 0x02;

/** Four plane bits as four bytes of ones. */
const PLANE_BYTES = Uint32Array.from({ length: 16 }, (_, planes) => {
  let mask = 0;
  for (let plane = 0; plane < 4; plane++) if ((planes >> plane) & 1) mask |= 0xff << (8 * plane);
  return mask >>> 0;
});

/**
 * How an access to the window is dealt with:
 * - `none`: video memory does not decode;
 * - `planar`: through write and read modes, by the handlers;
 * - `text` and `chained`: plain reads and writes of the copy, mapped directly; odd/even and chain-4 are carried over later;
 * - `bank`: 64 KiB of the linear frame buffer, mapped directly.
 */
type Way = 'none' | 'planar' | 'text' | 'chained' | 'bank';

/** Address within a plane of a byte at `address` in chain-4 mode: the two lowest lines are driven by A14 and A15. */
const chainedOffset = (address: number) => (address & 0xfffc) | ((address >> 14) & 3);

export class VgaAperture implements MmioHandler {
  /** The four planes' bytes that the last read left, plane 0 lowest. */
  latches = 0;
  /** One byte a page of video memory: written by the handlers, or carried over, since it was last rendered. */
  readonly dirty: Uint8Array;
  private readonly registers: VgaRegisters;
  private readonly dispi: Dispi;
  private readonly memory: VideoMemory;
  private readonly window: VideoWindow;
  /** Video memory without the copy; as words, a word is one byte of each of the four planes. */
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  private readonly shadow: Uint8Array;
  private way: Way = 'none';
  private base = 0;
  private length = 0;
  private bank = 0;
  /** Pages of the copy that the handlers wrote. */
  private readonly shadowDirty = new Uint8Array(SHADOW_BYTES / VIDEO_PAGE);

  constructor(registers: VgaRegisters, dispi: Dispi, memory: VideoMemory) {
    this.registers = registers;
    this.dispi = dispi;
    this.memory = memory;
    this.window = memory.window();
    const size = memory.bytes.length - SHADOW_BYTES;
    this.bytes = memory.bytes.subarray(0, size);
    this.shadow = memory.bytes.subarray(size);
    this.words = new Uint32Array(memory.bytes.buffer, memory.bytes.byteOffset, size / 4);
    this.dirty = new Uint8Array(size / VIDEO_PAGE);
  }

  private wantedWay(): Way {
    const { misc, sequencer, graphics } = this.registers;
    if (this.dispi.isEnabled && this.dispi.depth !== 4) return 'bank';
    if ((misc & RAM_ENABLED) === 0) return 'none';
    // Whatever makes a write more, or a read other, than moving a byte.
    const isPlain =
      graphics[1] === 0 &&
      graphics[3] === 0 &&
      (graphics[5] & 0x0b) === 0 &&
      graphics[8] === 0xff &&
      (graphics[6] & 0x0c) !== 0 &&
      !this.dispi.isEnabled;
    if (!isPlain) return 'planar';
    if ((sequencer[4] & 8) !== 0) return sequencer[2] === 15 ? 'chained' : 'planar';
    const isOddEven =
      (sequencer[4] & 4) === 0 &&
      (graphics[5] & 0x10) !== 0 &&
      (graphics[6] & 2) !== 0 &&
      (graphics[4] & 2) === 0 &&
      sequencer[2] === 3;
    return isOddEven ? 'text' : 'planar';
  }

  /** Looks at the registers again. To be called after each write that says how memory is accessed. */
  update(): void {
    const way = this.wantedWay();
    const window = way === 'bank' ? WINDOWS[1] : WINDOWS[(this.registers.graphics[6] >> 2) & 3];
    const bank = this.dispi.isEnabled ? this.dispi.bankOffset : 0;
    if (way === this.way && window.base === this.base && window.length === this.length && bank === this.bank) return;
    this.carryOver();
    const wasCopy = this.usesCopy;
    this.way = way;
    this.base = window.base;
    this.length = window.length;
    this.bank = bank;
    if (this.usesCopy) this.fillCopy();
    if (this.usesCopy) this.window.map(APERTURE_BASE + this.base, this.bytes.length, this.length);
    else if (way === 'bank') this.window.map(APERTURE_BASE + this.base, bank, this.length);
    else if (wasCopy || this.isMapped) this.window.unmap();
    this.isMapped = this.usesCopy || way === 'bank';
  }

  private isMapped = false;

  private get usesCopy(): boolean {
    return this.way === 'text' || this.way === 'chained';
  }

  /** Writes what the guest wrote directly to where the display looks for it. */
  carryOver(): void {
    if (!this.usesCopy) return;
    const { shadowDirty } = this;
    const size = this.bytes.length;
    this.memory.takeDirty(size, size + this.length, (offset) => {
      shadowDirty[(offset - size) / VIDEO_PAGE] = 1;
    });
    for (let page = 0; page < this.length / VIDEO_PAGE; page++) {
      if (shadowDirty[page] === 0) continue;
      shadowDirty[page] = 0;
      this.carryPage(page * VIDEO_PAGE);
    }
  }

  private carryPage(from: number): void {
    const { bytes, shadow, dirty } = this;
    const isText = this.way === 'text';
    for (let address = from; address < from + VIDEO_PAGE; address++) {
      const at = isText ? (address & ~1) * 4 + (address & 1) : chainedOffset(address) * 4 + (address & 3);
      if (bytes[at] === shadow[address]) continue;
      bytes[at] = shadow[address];
      dirty[at >> 12] = 1;
    }
  }

  /** Makes the copy what the guest would read through the planes. */
  private fillCopy(): void {
    const { bytes, shadow } = this;
    const isText = this.way === 'text';
    for (let address = 0; address < this.length; address++) {
      shadow[address] = bytes[isText ? (address & ~1) * 4 + (address & 1) : chainedOffset(address) * 4 + (address & 3)];
    }
    this.memory.takeDirty(this.bytes.length, this.memory.bytes.length, () => {});
    this.shadowDirty.fill(0);
  }

  readMmio(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readByte(offset + i - this.base) * 2 ** (8 * i);
    return value;
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(offset + i - this.base, (value >>> (8 * i)) & 0xff);
  }

  /** Address within a plane, or -1 beyond the memory. */
  private planeOffset(address: number): number {
    const { sequencer, graphics } = this.registers;
    let offset = address & 0xffff;
    if ((sequencer[4] & 8) !== 0) offset = chainedOffset(offset);
    // Odd/even: the lowest line is driven by A16 where the window is 128 KiB, and by nothing otherwise.
    else if ((graphics[6] & 2) !== 0) offset = (offset & ~1) | ((address >> 16) & 1);
    // Sixteen-colour modes of the adapter reach further through banks.
    if (this.dispi.isEnabled) offset += this.dispi.bankOffset;
    return offset < this.words.length ? offset : -1;
  }

  private readByte(address: number): number {
    if (address < 0 || address >= this.length || this.way === 'none') return 0xff;
    if (this.way === 'bank') return this.bytes[this.bank + address];
    if (this.usesCopy) return this.shadow[address];
    const offset = this.planeOffset(address);
    if (offset < 0) return 0xff;
    const { sequencer, graphics } = this.registers;
    const latches = this.words[offset];
    this.latches = latches;
    if ((graphics[5] & 8) !== 0) {
      // Read mode 1: which pixels have the colour, as far as planes are compared.
      const differing = (latches ^ PLANE_BYTES[graphics[2]]) & PLANE_BYTES[graphics[7]];
      return ~(differing | (differing >>> 8) | (differing >>> 16) | (differing >>> 24)) & 0xff;
    }
    let plane = graphics[4];
    if ((sequencer[4] & 8) !== 0) plane = address & 3;
    else if ((graphics[5] & 0x10) !== 0) plane = (graphics[4] & 2) | (address & 1);
    return (latches >>> (8 * plane)) & 0xff;
  }

  private writeByte(address: number, value: number): void {
    if (address < 0 || address >= this.length || this.way === 'none') return;
    if (this.way === 'bank') {
      this.bytes[this.bank + address] = value;
      this.dirty[(this.bank + address) >> 12] = 1;
      return;
    }
    if (this.usesCopy) {
      this.shadow[address] = value;
      this.shadowDirty[address >> 12] = 1;
      return;
    }
    const offset = this.planeOffset(address);
    if (offset < 0) return;
    const { sequencer } = this.registers;
    let planes = sequencer[2];
    if ((sequencer[4] & 8) !== 0) planes &= 1 << (address & 3);
    else if ((sequencer[4] & 4) === 0) planes &= (address & 1) !== 0 ? 0x0a : 0x05;
    const mask = PLANE_BYTES[planes];
    const words = this.words;
    words[offset] = (words[offset] & ~mask) | (this.combine(value) & mask);
    this.dirty[offset >> 10] = 1;
  }

  /** What a write brings to the four planes, by write mode, set/reset, rotation, function and bit mask. */
  private combine(value: number): number {
    const { graphics } = this.registers;
    const { latches } = this;
    const writeMode = graphics[5] & 3;
    if (writeMode === 1) return latches;
    let bits = graphics[8];
    let data: number;
    if (writeMode === 2) data = PLANE_BYTES[value & 15];
    else {
      const rotation = graphics[3] & 7;
      const rotated = ((value >> rotation) | (value << (8 - rotation))) & 0xff;
      if (writeMode === 3) {
        bits &= rotated;
        data = PLANE_BYTES[graphics[0]];
      } else {
        const set = PLANE_BYTES[graphics[1]];
        data = ((rotated * 0x01010101) & ~set) | (PLANE_BYTES[graphics[0]] & set);
      }
    }
    switch (graphics[3] >> 3) {
      case 1:
        data &= latches;
        break;
      case 2:
        data |= latches;
        break;
      case 3:
        data ^= latches;
        break;
    }
    const wide = bits * 0x01010101;
    return (data & wide) | (latches & ~wide);
  }

  /** After a reset or a restored state: nothing of the old copy holds. */
  forget(): void {
    this.way = 'none';
    this.length = 0;
    this.window.unmap();
    this.isMapped = false;
    this.shadowDirty.fill(0);
    this.dirty.fill(1);
    this.update();
  }
}
