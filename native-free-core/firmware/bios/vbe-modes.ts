// The modes beyond VGA's: their VESA numbers, pixel formats, and how one is set through the adapter's DISPI registers.
// Owns the list: the standard's 100h to 11Bh, and the numbers that BIOSes of this adapter use for larger and deeper ones.
// Never knows an interrupt.

import { DispiEnable, DispiIndex, DispiPort } from '../../devices/display/dispi.ts';
import { setVideoMode, type VideoAccess, videoMode } from './video-modes.ts';

export interface VbeMode {
  readonly number: number;
  readonly width: number;
  readonly height: number;
  /** 4 (planes), 8, 15, 16, 24 or 32. */
  readonly bitsPerPixel: number;
}

/** Sizes with the numbers of their depths: [width, height, { bits a pixel: number }]. */
const SIZES: readonly (readonly [number, number, Readonly<Record<number, number>>])[] = [
  [320, 200, { 8: 0x146, 15: 0x10d, 16: 0x10e, 24: 0x10f, 32: 0x140 }],
  [640, 400, { 8: 0x100, 32: 0x141 }],
  [640, 480, { 8: 0x101, 15: 0x110, 16: 0x111, 24: 0x112, 32: 0x142 }],
  [800, 600, { 4: 0x102, 8: 0x103, 15: 0x113, 16: 0x114, 24: 0x115, 32: 0x143 }],
  [1024, 768, { 4: 0x104, 8: 0x105, 15: 0x116, 16: 0x117, 24: 0x118, 32: 0x144 }],
  [1280, 1024, { 4: 0x106, 8: 0x107, 15: 0x119, 16: 0x11a, 24: 0x11b, 32: 0x145 }],
  [1600, 1200, { 8: 0x11c, 15: 0x11d, 16: 0x11e, 24: 0x11f, 32: 0x147 }],
  [1152, 864, { 8: 0x148, 15: 0x149, 16: 0x14a, 24: 0x14b, 32: 0x14c }],
  [1280, 768, { 16: 0x175, 24: 0x176, 32: 0x177 }],
  [1280, 800, { 16: 0x178, 24: 0x179, 32: 0x17a }],
  [1280, 960, { 16: 0x17b, 24: 0x17c, 32: 0x17d }],
  [1440, 900, { 16: 0x17e, 24: 0x17f, 32: 0x180 }],
  [1400, 1050, { 16: 0x181, 24: 0x182, 32: 0x183 }],
  [1680, 1050, { 16: 0x184, 24: 0x185, 32: 0x186 }],
  [1920, 1200, { 16: 0x187, 24: 0x188, 32: 0x189 }],
  [1280, 720, { 16: 0x18d, 24: 0x18e, 32: 0x18f }],
  [1920, 1080, { 16: 0x190, 24: 0x191, 32: 0x192 }],
];

/** All modes, by number. */
export const vbeModes: readonly VbeMode[] = SIZES.flatMap(([width, height, numbers]) =>
  Object.entries(numbers).map(([bits, number]) => ({ number, width, height, bitsPerPixel: Number(bits) })),
).sort((a, b) => a.number - b.number);

export function vbeMode(number: number): VbeMode | undefined {
  return vbeModes.find((mode) => mode.number === number);
}

/** Bytes of a line of `pixels`; of each plane for 4 bits. */
export function bytesOfLine(pixels: number, bitsPerPixel: number): number {
  return bitsPerPixel === 4 ? pixels >> 3 : pixels * ((bitsPerPixel + 7) >> 3);
}

/** Bits and position of a component of a direct colour. */
export interface ColourMask {
  readonly size: number;
  readonly position: number;
}

/** Where red, green, blue and what is left over are in a pixel; all zero where a pixel is an index. */
export function colourMasks(bitsPerPixel: number): readonly [ColourMask, ColourMask, ColourMask, ColourMask] {
  const mask = (size: number, position: number) => ({ size, position });
  switch (bitsPerPixel) {
    case 15:
      return [mask(5, 10), mask(5, 5), mask(5, 0), mask(1, 15)];
    case 16:
      return [mask(5, 11), mask(6, 5), mask(5, 0), mask(0, 0)];
    case 24:
      return [mask(8, 16), mask(8, 8), mask(8, 0), mask(0, 0)];
    case 32:
      return [mask(8, 16), mask(8, 8), mask(8, 0), mask(8, 24)];
    default:
      return [mask(0, 0), mask(0, 0), mask(0, 0), mask(0, 0)];
  }
}

export function readDispi(access: VideoAccess, index: number): number {
  access.writePort(DispiPort.index, 2, index);
  return access.readPort(DispiPort.data, 2);
}

export function writeDispi(access: VideoAccess, index: number, value: number): void {
  access.writePort(DispiPort.index, 2, index);
  access.writePort(DispiPort.data, 2, value);
}

/** Takes 8 bits a colour component instead of 6, or the other way round; what is shown stays the same mode. */
export function setDacWidth(access: VideoAccess, bits: 6 | 8): void {
  const enable = readDispi(access, DispiIndex.enable) & ~(DispiEnable.dac8 | DispiEnable.keepMemory);
  writeDispi(access, DispiIndex.enable, enable | (bits === 8 ? DispiEnable.dac8 : 0));
}

export function dacWidth(access: VideoAccess): 6 | 8 {
  return (readDispi(access, DispiIndex.enable) & DispiEnable.dac8) !== 0 ? 8 : 6;
}

/** Sets a mode: the linear frame buffer and the window at A0000h show the same memory, cleared unless it is to be kept. */
export function setVbeMode(access: VideoAccess, mode: VbeMode, { linear = true, keepMemory = false } = {}): void {
  writeDispi(access, DispiIndex.enable, 0);
  // What VGA's registers say still counts for palette, planes and the window.
  const base = videoMode(mode.bitsPerPixel === 4 ? 0x12 : 0x13);
  if (base !== undefined) setVideoMode(access, base, { keepMemory: true });
  writeDispi(access, DispiIndex.width, mode.width);
  writeDispi(access, DispiIndex.height, mode.height);
  writeDispi(access, DispiIndex.bitsPerPixel, mode.bitsPerPixel);
  writeDispi(
    access,
    DispiIndex.enable,
    DispiEnable.enabled | (linear ? DispiEnable.linear : 0) | (keepMemory ? DispiEnable.keepMemory : 0),
  );
}
