// VESA BIOS Extension 3.0 by INT 10h, AH=4Fh: modes with a linear frame buffer, and what the monitor says of itself.
// Owns the information blocks and the subfunctions.
// Never knows a standard mode's registers; there is no protected mode interface, and 4F0Ah says so.

import { DispiIndex } from '../../devices/display/dispi.ts';
import { buildEdid } from '../../devices/display/edid.ts';
import {
  bytesOfLine,
  colourMasks,
  dacWidth,
  readDispi,
  setDacWidth,
  setVbeMode,
  type VbeMode,
  vbeMode,
  vbeModes,
  writeDispi,
} from './vbe-modes.ts';
import { getIndexed, getPalette, setIndexed, setPalette, type VideoAccess } from './video-modes.ts';
import type { FarPointer, VideoRom } from './video-rom.ts';
import { restoreVideoState, saveStateBytes, saveVideoState } from './video-save.ts';
import { EXTENDED_MODE, VideoBda, type VideoState } from './video-state.ts';

const SUPPORTED = 0x4f;
const BANK_KIB = 64;
const WINDOW_SEGMENT = 0xa000;
/** Of the mode number given to 4F02h. */
const ModeFlag = { linear: 0x4000, keepMemory: 0x8000, number: 0x01ff } as const;
/** Display power management, AX=4F10h: BH of each state. */
const POWER_ON = 0;
const SCREEN_OFF = 0x20;

const farPointer = ({ segment, offset }: FarPointer) => ((segment << 16) | offset) >>> 0;

export interface VbeWiring {
  rom: VideoRom;
  /** Sets a standard mode as AH=00h does. */
  setStandardMode(state: VideoState, number: number): boolean;
}

/** Where the adapter's frame buffer is, from its configuration space (mechanism 1); 0 when it is nowhere. */
function frameBufferBase(access: VideoAccess): number {
  const read = (device: number, register: number) => {
    const address = (0x80000000 | (device << 11) | register) >>> 0;
    access.writePort(0xcf8, 4, address);
    return access.readPort(0xcfc, 4) >>> 0;
  };
  for (let device = 0; device < 32; device++)
    if (read(device, 0) === 0x11111234) return (read(device, 0x10) & ~15) >>> 0;
  return 0;
}

/** The mode that is set by 4F02h, or undefined. */
function currentMode(state: VideoState): VbeMode | undefined {
  const value = state.call.u16(VideoBda.vbeMode);
  return value === 0 ? undefined : vbeMode(value & ModeFlag.number);
}

const memoryBytes = (access: VideoAccess) => readDispi(access, DispiIndex.memory64K) * 0x10000;

/** Answers AX=4Fxxh: AL=4Fh for a function that there is, AH=1 where it failed. */
export function vbeFunction(state: VideoState, wiring: VbeWiring): void {
  const { call } = state;
  const ok = answer(state, wiring);
  if (ok !== undefined) call.ax = (ok ? 0x0000 : 0x0100) | SUPPORTED;
  else call.ah = 0x01;
}

/** Whether the function was carried out; undefined where there is no such function. */
function answer(state: VideoState, wiring: VbeWiring): boolean | undefined {
  const { call } = state;
  switch (call.al) {
    case 0x00:
      return controllerInformation(state, wiring.rom);
    case 0x01:
      return modeInformation(state);
    case 0x02:
      return setMode(state, wiring);
    case 0x03:
      call.bx = currentMode(state) === undefined ? call.u8(VideoBda.mode) : call.u16(VideoBda.vbeMode);
      return true;
    case 0x04:
      return saveRestore(state);
    case 0x05:
      return bankSwitch(state);
    case 0x06:
      return lineLength(state);
    case 0x07:
      return displayStart(state);
    case 0x08:
      return paletteFormat(state);
    case 0x09:
      return paletteData(state);
    case 0x10:
      return powerManagement(state);
    case 0x15:
      return monitorInformation(state);
    default:
      return undefined;
  }
}

/** Writes numbers of 1, 2 and 4 bytes to a block of guest memory. */
class Block {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
  }

  u8(offset: number, ...values: readonly number[]): this {
    values.forEach((value, index) => {
      this.view.setUint8(offset + index, value);
    });
    return this;
  }

  u16(offset: number, ...values: readonly number[]): this {
    values.forEach((value, index) => {
      this.view.setUint16(offset + 2 * index, value, true);
    });
    return this;
  }

  u32(offset: number, value: number): this {
    this.view.setUint32(offset, value, true);
    return this;
  }
}

/** Modes that fit the adapter's memory. */
function offeredModes(access: VideoAccess): readonly VbeMode[] {
  const bytes = memoryBytes(access);
  return vbeModes.filter(({ width, height, bitsPerPixel }) => {
    const line = bytesOfLine(width, bitsPerPixel) * (bitsPerPixel === 4 ? 4 : 1);
    return line * height <= bytes;
  });
}

function controllerInformation({ call, access }: VideoState, rom: VideoRom): boolean {
  const at = call.inEs(call.di);
  const isVbe2 = new TextDecoder('latin1').decode(call.bytes(at, 4)) === 'VBE2';
  const modes = offeredModes(access);
  const block = new Block(isVbe2 ? 512 : 256);
  const list = 0x22;
  block.u8(0, ...new TextEncoder().encode('VESA')).u16(4, 0x0300);
  block.u32(6, farPointer(rom.product));
  // The DAC can be switched to 8 bits.
  block.u32(0x0a, 1);
  block.u16(0x0e, (call.di + list) & 0xffff, call.es);
  block.u16(0x12, readDispi(access, DispiIndex.memory64K));
  block.u16(0x14, 0x0100);
  block.u32(0x16, farPointer(rom.vendor)).u32(0x1a, farPointer(rom.product)).u32(0x1e, farPointer(rom.revision));
  block.u16(list, ...modes.map(({ number }) => number), 0xffff);
  call.setBytes(at, block.bytes);
  return true;
}

function modeInformation({ call, access }: VideoState): boolean {
  const mode = offeredModes(access).find(({ number }) => number === (call.cx & ModeFlag.number));
  if (mode === undefined) return false;
  const { width, height, bitsPerPixel } = mode;
  const isPlanar = bitsPerPixel === 4;
  const isDirect = bitsPerPixel > 8;
  const base = isPlanar ? 0 : frameBufferBase(access);
  const pitch = bytesOfLine(width, bitsPerPixel);
  const images = Math.min(255, Math.floor(memoryBytes(access) / (pitch * height * (isPlanar ? 4 : 1))) - 1);
  const block = new Block(256);
  // Supported, colour, graphics, and a linear frame buffer where it is mapped.
  block.u16(0x00, 0x001b | (base !== 0 ? 0x0080 : 0));
  // One window, that exists and can be read and written.
  block.u8(0x02, 0x07, 0x00).u16(0x04, BANK_KIB, BANK_KIB, WINDOW_SEGMENT, 0);
  block.u16(0x10, pitch, width, height).u8(0x16, 8, 16, isPlanar ? 4 : 1, bitsPerPixel, 1);
  block.u8(0x1b, isPlanar ? 3 : isDirect ? 6 : 4, 0, images, 1);
  const masks = colourMasks(bitsPerPixel).flatMap(({ size, position }) => [size, position]);
  block.u8(0x1f, ...masks).u8(0x27, bitsPerPixel === 32 || bitsPerPixel === 15 ? 2 : 0);
  block.u32(0x28, base);
  block
    .u16(0x32, pitch)
    .u8(0x34, images, images, ...masks)
    .u32(0x3e, 0);
  call.setBytes(call.inEs(call.di), block.bytes);
  return true;
}

function setMode(state: VideoState, { setStandardMode }: VbeWiring): boolean {
  const { call, access } = state;
  const wanted = call.bx;
  const number = wanted & ModeFlag.number;
  const keepMemory = (wanted & ModeFlag.keepMemory) !== 0;
  if (number < 0x100) {
    if ((wanted & ModeFlag.linear) !== 0) return false;
    return setStandardMode(state, (number & 0x7f) | (keepMemory ? 0x80 : 0));
  }
  const mode = offeredModes(access).find((each) => each.number === number);
  const linear = (wanted & ModeFlag.linear) !== 0;
  if (mode === undefined || (linear && mode.bitsPerPixel === 4)) return false;
  setVbeMode(access, mode, { linear, keepMemory });
  call.setU8(VideoBda.mode, EXTENDED_MODE);
  call.setU16(VideoBda.vbeMode, wanted & (ModeFlag.number | ModeFlag.linear | ModeFlag.keepMemory));
  call.setU16(VideoBda.columns, mode.width >> 3);
  call.setU8(VideoBda.rows, Math.min(255, Math.floor(mode.height / 16) - 1));
  call.setU16(VideoBda.charHeight, 16);
  call.setU8(VideoBda.page, 0);
  call.setU16(VideoBda.pageStart, 0);
  call.setBytes(VideoBda.cursors, new Uint8Array(16));
  return true;
}

const BLOCK_BYTES = 64;

function saveRestore(state: VideoState): boolean {
  const { call } = state;
  const what = call.cx & 0x0f;
  switch (call.dl) {
    case 0:
      call.bx = Math.ceil(saveStateBytes(what) / BLOCK_BYTES);
      return true;
    case 1:
      call.setBytes(call.inEs(call.bx), saveVideoState(state, what));
      return true;
    case 2:
      restoreVideoState(state, what, call.bytes(call.inEs(call.bx), saveStateBytes(what)));
      return true;
    default:
      return false;
  }
}

/** The window is moved in units of its size. */
function bankSwitch({ call, access }: VideoState): boolean {
  if (call.bl !== 0) return false;
  if (call.bh === 1) {
    call.dx = readDispi(access, DispiIndex.bank);
    return true;
  }
  if (call.bh !== 0 || call.dx >= readDispi(access, DispiIndex.memory64K)) return false;
  writeDispi(access, DispiIndex.bank, call.dx);
  return readDispi(access, DispiIndex.bank) === call.dx;
}

function lineLength(state: VideoState): boolean {
  const { call, access } = state;
  const mode = currentMode(state);
  if (mode === undefined) return false;
  const { bitsPerPixel } = mode;
  const bytesOfPixel = bytesOfLine(8, bitsPerPixel) / 8;
  const plane = memoryBytes(access) / (bitsPerPixel === 4 ? 4 : 1);
  switch (call.bl) {
    case 0x00:
    case 0x02: {
      const pixels = call.bl === 0 ? call.cx : Math.ceil(call.cx / bytesOfPixel);
      const rounded = Math.ceil(pixels / 8) * 8;
      if (rounded < mode.width || rounded > 0xffff || bytesOfLine(rounded, bitsPerPixel) * mode.height > plane)
        return false;
      writeDispi(access, DispiIndex.virtualWidth, rounded);
      break;
    }
    case 0x01:
      break;
    case 0x03: {
      const most = Math.min(0xfff8, Math.floor(plane / mode.height / bytesOfPixel / 8) * 8);
      call.bx = Math.min(0xffff, bytesOfLine(most, bitsPerPixel));
      call.cx = most;
      call.dx = mode.height;
      return true;
    }
    default:
      return false;
  }
  const width = readDispi(access, DispiIndex.virtualWidth);
  call.bx = bytesOfLine(width, bitsPerPixel);
  call.cx = width;
  call.dx = readDispi(access, DispiIndex.virtualHeight);
  return true;
}

function displayStart(state: VideoState): boolean {
  const { call, access } = state;
  const mode = currentMode(state);
  if (mode === undefined) return false;
  switch (call.bl) {
    // Bit 7: during the vertical retrace, which a picture that is looked at now and then need not wait for.
    case 0x00:
    case 0x80:
      if (call.cx + mode.width > readDispi(access, DispiIndex.virtualWidth)) return false;
      if (call.dx + mode.height > readDispi(access, DispiIndex.virtualHeight)) return false;
      writeDispi(access, DispiIndex.x, call.cx);
      writeDispi(access, DispiIndex.y, call.dx);
      return true;
    case 0x01:
      call.bh = 0;
      call.cx = readDispi(access, DispiIndex.x);
      call.dx = readDispi(access, DispiIndex.y);
      return true;
    default:
      return false;
  }
}

function paletteFormat(state: VideoState): boolean {
  const { call, access } = state;
  const mode = currentMode(state);
  if (mode === undefined || mode.bitsPerPixel > 8 || call.bl > 1) return false;
  if (call.bl === 0) setDacWidth(access, call.bh >= 8 ? 8 : 6);
  call.bh = dacWidth(access);
  return true;
}

/** Entries are blue, green, red and a byte of nothing. */
function paletteData({ call, access }: VideoState): boolean {
  const [first, count] = [call.dx, call.cx];
  if (first + count > 256) return false;
  const at = call.inEs(call.di);
  switch (call.bl) {
    case 0x00:
    case 0x80: {
      const entries = call.bytes(at, count * 4);
      const colours: number[] = [];
      for (let i = 0; i < entries.length; i += 4) colours.push(entries[i + 2], entries[i + 1], entries[i]);
      setPalette(access, first, colours);
      return true;
    }
    case 0x01: {
      const colours = getPalette(access, first, count);
      const entries = new Uint8Array(count * 4);
      for (let i = 0; i < count; i++) entries.set([colours[3 * i + 2], colours[3 * i + 1], colours[3 * i]], 4 * i);
      call.setBytes(at, entries);
      return true;
    }
    default:
      return false;
  }
}

/** VBE/PM 1.0: the screen is on or off; the states between are as good as off. */
function powerManagement({ call, access }: VideoState): boolean {
  switch (call.bl) {
    case 0x00:
      call.bx = 0x0f10;
      return true;
    case 0x01: {
      const clocking = getIndexed(access, 0x3c4, 1) & ~SCREEN_OFF;
      setIndexed(access, 0x3c4, 1, clocking | (call.bh === POWER_ON ? 0 : SCREEN_OFF));
      return true;
    }
    case 0x02:
      call.bh = (getIndexed(access, 0x3c4, 1) & SCREEN_OFF) === 0 ? POWER_ON : 0x04;
      return true;
    default:
      return false;
  }
}

/** VBE/DDC 1.1. */
function monitorInformation({ call }: VideoState): boolean {
  switch (call.bl) {
    case 0x00:
      // DDC2 without blanking the screen, in less than a second.
      call.bx = 0x0002;
      return true;
    case 0x01:
      if (call.dx !== 0) return false;
      call.setBytes(call.inEs(call.di), buildEdid());
      return true;
    default:
      return false;
  }
}
