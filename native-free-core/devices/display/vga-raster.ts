// From VGA memory to pixels: text, planes, CGA's interleaved pixels and 256 colours, as the CRT controller fetches them.
// Owns addresses of characters and lines, fonts, cursor, attributes and palette.
// Never writes memory, and never knows when to render.

import { codePage437 } from './code-page-437.ts';
import { type Picture, pixelOf } from './picture.ts';
import { MAX_SCREEN_WIDTH, type ScreenCell } from './screen.ts';
import type { VgaRegisters } from './vga-registers.ts';

/** Room before a line for what panning moves out of the picture, and behind it for one more character. */
const LEAD = 16;
const MOST_CHARACTERS = 256 + 1;
/** Offsets in plane 2 of the eight fonts that the character map select register names. */
const FONT_OFFSETS = [0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000];
/** Bytes of a character in plane 2. */
const FONT_STRIDE = 32;
/** Characters whose eighth column is continued in the ninth, so that lines of boxes meet. */
const FIRST_LINE_CHARACTER = 0xc0;
const LAST_LINE_CHARACTER = 0xdf;
/** Attribute controller 10h. */
const Mode = { lineGraphics: 0x04, blink: 0x08, resetPanning: 0x20, pairs: 0x40, highBits: 0x80 } as const;

/** What blinks is shown now: the cursor changes every 8 frames, characters every 16. */
export interface BlinkPhase {
  cursor: boolean;
  text: boolean;
}

/** Where a scan line's characters are: address counter, row of the character, and dots to skip. */
interface LinePlace {
  counter: number;
  row: number;
  panning: number;
}

export class VgaRaster {
  private readonly registers: VgaRegisters;
  private readonly bytes: Uint8Array;
  private readonly dots = new Uint32Array(LEAD + MOST_CHARACTERS * 9);
  private readonly line = new Uint32Array(LEAD * 2 + Math.max(MAX_SCREEN_WIDTH, MOST_CHARACTERS * 18));
  /** Pixels of the 256 colours of the DAC, and of the 16 of the attribute controller. */
  readonly colours = new Uint32Array(256);
  readonly sixteen = new Uint32Array(16);

  /** `bytes` holds the four planes' bytes of an address side by side, 64 KiB of each. */
  constructor(registers: VgaRegisters, bytes: Uint8Array) {
    this.registers = registers;
    this.bytes = bytes;
  }

  get isText(): boolean {
    return (this.registers.graphics[6] & 1) === 0;
  }

  get width(): number {
    return this.registers.timing.width;
  }

  get height(): number {
    return this.registers.timing.height;
  }

  /** Computes the colours again; `isWide`: the DAC holds 8 bits a component. */
  loadColours(isWide: boolean): void {
    const { palette, pelMask, attribute } = this.registers;
    const level = isWide ? (value: number) => value : (value: number) => ((value & 0x3f) << 2) | ((value & 0x3f) >> 4);
    for (let index = 0; index < 256; index++) {
      const at = (index & pelMask) * 3;
      this.colours[index] = pixelOf(level(palette[at]), level(palette[at + 1]), level(palette[at + 2]));
    }
    const select = attribute[0x14];
    for (let index = 0; index < 16; index++) {
      const entry = attribute[index & attribute[0x12]];
      const low = (attribute[0x10] & Mode.highBits) !== 0 ? (entry & 0x0f) | ((select & 3) << 4) : entry;
      this.sixteen[index] = this.colours[low | ((select & 0x0c) << 4)];
    }
  }

  /** What is shown where nothing is fetched. */
  get border(): number {
    return this.colours[this.registers.attribute[0x11]];
  }

  private place(y: number): LinePlace {
    const { crtc, attribute, timing } = this.registers;
    const split = timing.lineCompare;
    const isBelow = y > split;
    let line = isBelow ? y - split - 1 : y;
    if ((crtc[9] & 0x80) !== 0) line >>= 1;
    if (!isBelow) line += crtc[8] & 0x1f;
    const rows = (crtc[9] & 0x1f) + 1;
    const start = isBelow ? 0 : ((crtc[0x0c] << 8) | crtc[0x0d]) + ((crtc[8] >> 5) & 3);
    const isPanned = !isBelow || (attribute[0x10] & Mode.resetPanning) === 0;
    return {
      counter: start + Math.floor(line / rows) * crtc[0x13] * 2,
      row: line % rows,
      panning: isPanned ? this.panning() : 0,
    };
  }

  private panning(): number {
    const { attribute, timing } = this.registers;
    const value = attribute[0x13] & 15;
    if (timing.characterDots === 8) return value & 7;
    return value >= 8 ? 0 : value + 1;
  }

  /** Address within the planes: byte, word or doubleword mode, and the row bits that CGA's interleaved lines need. */
  private address(counter: number, row: number): number {
    const { crtc } = this.registers;
    const ma = counter & 0xffff;
    const mode = crtc[0x17];
    let address = ma;
    if ((crtc[0x14] & 0x40) !== 0) address = (ma << 2) | ((ma >> 12) & 3);
    else if ((mode & 0x40) === 0) address = (ma << 1) | ((ma >> ((mode & 0x20) !== 0 ? 15 : 13)) & 1);
    if ((mode & 1) === 0) address = (address & ~0x2000) | ((row & 1) << 13);
    if ((mode & 2) === 0) address = (address & ~0x4000) | ((row & 2) << 13);
    return address & 0xffff;
  }

  /**
   * Renders every line of which `isDirty` says so, given the range of bytes that it shows; in text modes all lines or
   * none. `picture` has the mode's size.
   */
  render(picture: Picture, phase: BlinkPhase, isDirty: (from: number, to: number) => boolean): void {
    const { timing } = this.registers;
    const { isText } = this;
    if (isText && !isDirty(0, 0x40000)) return;
    const { columns, characterDots, dotFactor } = timing;
    for (let y = 0; y < picture.height; y++) {
      const place = this.place(y);
      if (!isText) {
        const first = this.address(place.counter, place.row);
        const last = this.address(place.counter + columns, place.row);
        // A line that wraps around, or is fetched in another order, is rendered always.
        if (last > first && !isDirty(first * 4, last * 4 + 4)) continue;
      }
      const { dots } = this;
      if (isText) this.drawText(place, columns, phase);
      else if ((this.registers.graphics[5] & 0x40) !== 0) this.drawBytes(place, columns);
      else if ((this.registers.graphics[5] & 0x20) !== 0) this.drawPairs(place, columns);
      else this.drawPlanes(place, columns);
      const width = columns * characterDots;
      const from = LEAD + (isText || characterDots === 8 ? place.panning : 0);
      if (dotFactor === 1) {
        picture.setLine(y, dots.subarray(from, from + width));
        continue;
      }
      const { line } = this;
      for (let x = 0; x < width; x++) line[2 * x] = line[2 * x + 1] = dots[from + x];
      picture.setLine(y, line);
    }
  }

  private drawText({ counter, row }: LinePlace, columns: number, phase: BlinkPhase): void {
    const { bytes, sixteen, dots, registers } = this;
    const { sequencer, crtc, attribute, timing } = registers;
    const mode = attribute[0x10];
    const blinks = (mode & Mode.blink) !== 0;
    const select = sequencer[3];
    const fontA = FONT_OFFSETS[((select >> 3) & 4) | ((select >> 2) & 3)];
    const fontB = FONT_OFFSETS[((select >> 2) & 4) | (select & 3)];
    const nine = timing.characterDots === 9;
    const cursorCell = phase.cursor && this.isCursorRow(row) ? (crtc[0x0e] << 8) | crtc[0x0f] : -1;
    const isUnderline = (crtc[0x14] & 0x1f) === row;
    let at = LEAD;
    for (let column = 0; column <= columns; column++) {
      const cell = (counter + column) & 0xffff;
      const address = this.address(cell, row) * 4;
      const code = bytes[address];
      const value = bytes[address + 1];
      const font = (value & 8) !== 0 ? fontA : fontB;
      let pattern = bytes[((font + code * FONT_STRIDE + row) & 0xffff) * 4 + 2];
      let background = value >> 4;
      if (blinks) {
        if (background >= 8 && !phase.text) pattern = 0;
        background &= 7;
      }
      // Underlined is what a monochrome adapter underlines: foreground 1 on background 0.
      let isLit = isUnderline && (value & 0x77) === 1;
      if (cell === cursorCell) isLit = true;
      if (isLit) pattern = 0xff;
      const on = sixteen[value & 15];
      const off = sixteen[background];
      dots[at] = (pattern & 0x80) !== 0 ? on : off;
      dots[at + 1] = (pattern & 0x40) !== 0 ? on : off;
      dots[at + 2] = (pattern & 0x20) !== 0 ? on : off;
      dots[at + 3] = (pattern & 0x10) !== 0 ? on : off;
      dots[at + 4] = (pattern & 0x08) !== 0 ? on : off;
      dots[at + 5] = (pattern & 0x04) !== 0 ? on : off;
      dots[at + 6] = (pattern & 0x02) !== 0 ? on : off;
      dots[at + 7] = (pattern & 0x01) !== 0 ? on : off;
      at += 8;
      if (!nine) continue;
      const isLine = code >= FIRST_LINE_CHARACTER && code <= LAST_LINE_CHARACTER && (mode & Mode.lineGraphics) !== 0;
      dots[at++] = isLit || (isLine && (pattern & 1) !== 0) ? on : off;
    }
  }

  private isCursorRow(row: number): boolean {
    const { crtc } = this.registers;
    return (crtc[0x0a] & 0x20) === 0 && row >= (crtc[0x0a] & 0x1f) && row <= (crtc[0x0b] & 0x1f);
  }

  /** Four planes, a bit of each a dot. */
  private drawPlanes({ counter, row }: LinePlace, columns: number): void {
    const { bytes, sixteen, dots } = this;
    let at = LEAD;
    for (let column = 0; column <= columns; column++) {
      const address = this.address(counter + column, row) * 4;
      const [p0, p1, p2, p3] = [bytes[address], bytes[address + 1], bytes[address + 2], bytes[address + 3]];
      for (let bit = 7; bit >= 0; bit--) {
        dots[at++] =
          sixteen[((p0 >> bit) & 1) | (((p1 >> bit) & 1) << 1) | (((p2 >> bit) & 1) << 2) | (((p3 >> bit) & 1) << 3)];
      }
    }
  }

  /** CGA's four colours: two bits a dot, four dots from planes 0 and 2, four from planes 1 and 3. */
  private drawPairs({ counter, row }: LinePlace, columns: number): void {
    const { bytes, sixteen, dots } = this;
    let at = LEAD;
    for (let column = 0; column <= columns; column++) {
      const address = this.address(counter + column, row) * 4;
      for (let half = 0; half < 2; half++) {
        const low = bytes[address + half];
        const high = bytes[address + half + 2];
        for (let shift = 6; shift >= 0; shift -= 2) {
          dots[at++] = sixteen[((low >> shift) & 3) | (((high >> shift) & 3) << 2)];
        }
      }
    }
  }

  /** 256 colours: a byte of each plane in turn, two dots wide each; or its halves, where dots are not paired. */
  private drawBytes({ counter, row }: LinePlace, columns: number): void {
    const { bytes, colours, sixteen, dots } = this;
    const isPaired = (this.registers.attribute[0x10] & Mode.pairs) !== 0;
    let at = LEAD;
    for (let column = 0; column <= columns; column++) {
      const address = this.address(counter + column, row) * 4;
      for (let plane = 0; plane < 4; plane++) {
        const value = bytes[address + plane];
        dots[at++] = isPaired ? colours[value] : sixteen[value >> 4];
        dots[at++] = isPaired ? colours[value] : sixteen[value & 15];
      }
    }
  }

  /** Scan lines of a row of characters, as they are displayed. */
  private get rowLines(): number {
    const { crtc } = this.registers;
    return ((crtc[9] & 0x1f) + 1) * ((crtc[9] & 0x80) !== 0 ? 2 : 1);
  }

  textSize(): { columns: number; rows: number } {
    return { columns: this.registers.timing.columns, rows: Math.max(1, Math.floor(this.height / this.rowLines)) };
  }

  text(): string {
    const { columns, rows } = this.textSize();
    const lines: string[] = [];
    for (let row = 0; row < rows; row++) {
      const { counter } = this.place(row * this.rowLines);
      let line = '';
      for (let column = 0; column < columns; column++) {
        line += codePage437[this.bytes[this.address(counter + column, 0) * 4]];
      }
      lines.push(line.trimEnd());
    }
    return lines.join('\n');
  }

  cursor(): ScreenCell | undefined {
    const { crtc } = this.registers;
    const isOn = Array.from({ length: (crtc[9] & 0x1f) + 1 }, (_, row) => row).some((row) => this.isCursorRow(row));
    if (!isOn) return undefined;
    const { columns, rows } = this.textSize();
    const cell = (crtc[0x0e] << 8) | crtc[0x0f];
    for (let row = 0; row < rows; row++) {
      const column = (cell - this.place(row * this.rowLines).counter) & 0xffff;
      if (column < columns) return { column, row };
    }
    return undefined;
  }
}
