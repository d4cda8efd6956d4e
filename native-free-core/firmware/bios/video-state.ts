// What the video services know of the display between two calls: the video part of the BIOS data area.
// Owns the addresses (IBM PS/2 BIOS Interface Technical Reference) and the mode that they come to.
// Never writes a pixel or a register of the display.

import type { FontHeight } from './fonts/fonts.ts';
import { type ScanLines, type VideoAccess, type VideoMode, videoMode, withScanLines } from './video-modes.ts';

/** Registers and memory of whoever called a video service. */
export interface VideoCall {
  ax: number;
  bx: number;
  cx: number;
  dx: number;
  al: number;
  ah: number;
  bl: number;
  bh: number;
  cl: number;
  ch: number;
  dl: number;
  dh: number;
  di: number;
  bp: number;
  es: number;
  /** Linear address of an offset of ES. */
  inEs(offset: number): number;
  u8(linear: number): number;
  u16(linear: number): number;
  u32(linear: number): number;
  setU8(linear: number, value: number): void;
  setU16(linear: number, value: number): void;
  setU32(linear: number, value: number): void;
  bytes(linear: number, length: number): Uint8Array;
  setBytes(linear: number, bytes: Uint8Array): void;
}

/** Linear addresses in the BIOS data area. Bytes, unless said otherwise. */
export const VideoBda = {
  /** Word; bits 4 and 5: 80 columns of colour, or monochrome. */
  equipment: 0x410,
  mode: 0x449,
  /** Words. */
  columns: 0x44a,
  pageBytes: 0x44c,
  pageStart: 0x44e,
  /** Eight words: column, and row in the high byte. */
  cursors: 0x450,
  /** Word: last line, and first line in the high byte. */
  cursorShape: 0x460,
  page: 0x462,
  /** Word. */
  crtcPort: 0x463,
  modeSelect: 0x465,
  cgaPalette: 0x466,
  /** One less than there are. */
  rows: 0x484,
  /** Word. */
  charHeight: 0x485,
  /** Bit 7: the last mode was set without clearing; bits 5 and 6: memory; bit 0: cursor emulation off. */
  control: 0x487,
  switches: 0x488,
  /** Bits 7 and 4: scan lines of text; 3: palette is not loaded; 1: greys; 0: a VGA is active. */
  flags: 0x489,
  combination: 0x48a,
  /** Word: the VBE mode with its flags, or 0; at a place that no other service uses. */
  vbeMode: 0x4b9,
  /** Far pointer to the table of tables. */
  savePointer: 0x4a8,
} as const;

export const ControlBit = { cursorEmulationOff: 0x01, memory256K: 0x60, notCleared: 0x80 } as const;
export const FlagBit = { active: 0x01, greys: 0x02, paletteOff: 0x08, lines400: 0x10, lines200: 0x80 } as const;

/** {@link VideoBda.mode} while a mode of the extension is set, for which text and pixels have no services. */
export const EXTENDED_MODE = 0x7f;
export const PAGES = 8;

/** One call's view of the display. */
export class VideoState {
  readonly call: VideoCall;
  readonly access: VideoAccess;

  constructor(call: VideoCall, access: VideoAccess) {
    this.call = call;
    this.access = access;
  }

  get modeNumber(): number {
    return this.call.u8(VideoBda.mode) & 0x7f;
  }

  /** The mode that is set, as far as it is a standard one. */
  get mode(): VideoMode | undefined {
    const mode = videoMode(this.modeNumber);
    return mode === undefined ? undefined : withScanLines(mode, this.scanLines);
  }

  get scanLines(): ScanLines {
    const flags = this.call.u8(VideoBda.flags);
    if ((flags & FlagBit.lines200) !== 0) return 200;
    return (flags & FlagBit.lines400) !== 0 ? 400 : 350;
  }

  get columns(): number {
    return this.call.u16(VideoBda.columns);
  }

  get rows(): number {
    return this.call.u8(VideoBda.rows) + 1;
  }

  get charHeight(): number {
    return this.call.u16(VideoBda.charHeight);
  }

  get pageBytes(): number {
    return this.call.u16(VideoBda.pageBytes);
  }

  get activePage(): number {
    return this.call.u8(VideoBda.page) & (PAGES - 1);
  }

  get crtcPort(): number {
    return this.call.u16(VideoBda.crtcPort);
  }

  cursor(page: number): { column: number; row: number } {
    const at = VideoBda.cursors + 2 * (page & (PAGES - 1));
    return { column: this.call.u8(at), row: this.call.u8(at + 1) };
  }

  /** The data area after a standard mode was set. */
  enter(mode: VideoMode, notCleared: boolean): void {
    const { call } = this;
    const isText = mode.model === 'text';
    call.setU8(VideoBda.mode, mode.number);
    call.setU16(VideoBda.columns, mode.columns);
    call.setU16(VideoBda.pageBytes, mode.number === 0x13 ? 0 : mode.pageBytes);
    call.setU16(VideoBda.pageStart, 0);
    call.setBytes(VideoBda.cursors, new Uint8Array(2 * PAGES));
    call.setU16(VideoBda.cursorShape, isText ? 0x0607 : 0);
    call.setU8(VideoBda.page, 0);
    call.setU16(VideoBda.crtcPort, mode.isMono ? 0x3b4 : 0x3d4);
    call.setU8(VideoBda.rows, mode.rows - 1);
    call.setU16(VideoBda.charHeight, mode.charHeight);
    const control = call.u8(VideoBda.control) & ControlBit.cursorEmulationOff;
    call.setU8(VideoBda.control, control | ControlBit.memory256K | (notCleared ? ControlBit.notCleared : 0));
    call.setU8(VideoBda.switches, 0xf9);
    call.setU8(VideoBda.flags, call.u8(VideoBda.flags) | FlagBit.active);
    call.setU8(VideoBda.combination, 0x08);
    call.setU16(VideoBda.vbeMode, 0);
    // Registers that a CGA had, for whoever looks.
    call.setU8(VideoBda.modeSelect, [0x2c, 0x28, 0x2d, 0x29, 0x2a, 0x2e, 0x1e, 0x29][mode.number] ?? 0x29);
    call.setU8(VideoBda.cgaPalette, mode.number === 6 ? 0x3f : 0x30);
    const equipment = call.u16(VideoBda.equipment) & ~0x30;
    call.setU16(VideoBda.equipment, equipment | (mode.isMono ? 0x30 : mode.columns === 40 ? 0x10 : 0x20));
  }
}

/** A font height that services know. */
export function isFontHeight(height: number): height is FontHeight {
  return height === 8 || height === 14 || height === 16;
}
