// From a linear frame buffer to pixels: 8, 15, 16, 24 and 32 bits a pixel, and the adapter's large sixteen-colour modes.
// Owns the pixel formats in both byte orders.
// Never knows registers or when to render.

import type { LinearMode } from './dispi.ts';
import type { Picture } from './picture.ts';
import { MAX_SCREEN_WIDTH } from './screen.ts';

const OPAQUE = 0xff000000;
const five = Uint8Array.from({ length: 32 }, (_, value) => (value << 3) | (value >> 2));
const six = Uint8Array.from({ length: 64 }, (_, value) => (value << 2) | (value >> 4));

export class LinearRaster {
  private readonly bytes: Uint8Array;
  private readonly line = new Uint32Array(MAX_SCREEN_WIDTH + 16);

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Bytes that line `y` shows, from and to. */
  private range({ width, bitsPerPixel, pitch, start, skip }: LinearMode, y: number): [number, number] {
    const from = start + y * pitch;
    if (bitsPerPixel === 4) return [from * 4, (from + ((width + skip + 7) >> 3)) * 4];
    return [from, from + width * ((bitsPerPixel + 7) >> 3)];
  }

  /**
   * Renders the lines of which `isDirty` says so, given the range of bytes; `sixteen` are the colours of 4-bit modes,
   * `colours` those of 8-bit ones. `bigEndian` swaps the bytes of 16- and 32-bit pixels.
   */
  render(
    picture: Picture,
    mode: LinearMode,
    bigEndian: boolean,
    colours: Uint32Array,
    sixteen: Uint32Array,
    isDirty: (from: number, to: number) => boolean,
  ): void {
    for (let y = 0; y < mode.height; y++) {
      const [from, to] = this.range(mode, y);
      if (!isDirty(from, to)) continue;
      switch (mode.bitsPerPixel) {
        case 4:
          this.drawPlanes(from, mode.width + mode.skip, sixteen);
          break;
        case 8:
          this.drawBytes(from, mode.width, colours);
          break;
        case 15:
        case 16:
          this.drawWords(from, mode.width, mode.bitsPerPixel === 15, bigEndian);
          break;
        case 24:
          this.drawTriples(from, mode.width, bigEndian);
          break;
        default:
          this.drawDwords(from, mode.width, bigEndian);
      }
      picture.setLine(y, mode.skip === 0 ? this.line : this.line.subarray(mode.skip));
    }
  }

  private drawPlanes(from: number, width: number, sixteen: Uint32Array): void {
    const { bytes, line } = this;
    for (let x = 0, at = from; x < width; at += 4) {
      const [p0, p1, p2, p3] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
      for (let bit = 7; bit >= 0; bit--, x++) {
        line[x] =
          sixteen[((p0 >> bit) & 1) | (((p1 >> bit) & 1) << 1) | (((p2 >> bit) & 1) << 2) | (((p3 >> bit) & 1) << 3)];
      }
    }
  }

  private drawBytes(from: number, width: number, colours: Uint32Array): void {
    const { bytes, line } = this;
    for (let x = 0; x < width; x++) line[x] = colours[bytes[from + x]];
  }

  private drawWords(from: number, width: number, isFifteen: boolean, bigEndian: boolean): void {
    const { bytes, line } = this;
    const [low, high] = bigEndian ? [1, 0] : [0, 1];
    for (let x = 0, at = from; x < width; x++, at += 2) {
      const value = bytes[at + low] | (bytes[at + high] << 8);
      const red = five[(isFifteen ? value >> 10 : value >> 11) & 31];
      const green = isFifteen ? five[(value >> 5) & 31] : six[(value >> 5) & 63];
      line[x] = OPAQUE | (five[value & 31] << 16) | (green << 8) | red;
    }
  }

  private drawTriples(from: number, width: number, bigEndian: boolean): void {
    const { bytes, line } = this;
    const [blue, red] = bigEndian ? [2, 0] : [0, 2];
    for (let x = 0, at = from; x < width; x++, at += 3) {
      line[x] = OPAQUE | (bytes[at + blue] << 16) | (bytes[at + 1] << 8) | bytes[at + red];
    }
  }

  private drawDwords(from: number, width: number, bigEndian: boolean): void {
    const { bytes, line } = this;
    const [blue, green, red] = bigEndian ? [3, 2, 1] : [0, 1, 2];
    for (let x = 0, at = from; x < width; x++, at += 4) {
      line[x] = OPAQUE | (bytes[at + blue] << 16) | (bytes[at + green] << 8) | bytes[at + red];
    }
  }
}
