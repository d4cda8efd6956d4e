// The picture of a screen in memory, and which tiles of it changed since somebody asked.
// Owns the pixels and the grid of changed tiles; a line is compared with what is there before it is taken.
// Never knows where pixels come from.

import type { ScreenTile } from './screen.ts';

/** Size of a cell of the grid of changes, as shifts: 64 by 16 pixels. */
const TILE_X = 6;
const TILE_Y = 4;

/** A pixel's 32 bits, as they lie in memory: red first, opaque. Components are 0 to 255. */
export function pixelOf(red: number, green: number, blue: number): number {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

export class Picture {
  width = 0;
  height = 0;
  /** The same pixels as bytes. */
  bytes = new Uint8ClampedArray(0);
  private pixels = new Uint32Array(0);
  /** One byte a tile, rows of `columns`. */
  private changed = new Uint8Array(0);
  private columns = 0;
  private rows = 0;

  constructor() {
    this.resize(1, 1);
  }

  /** Makes the picture `width` by `height`, black and changed everywhere; nothing if it has that size. Whether it had not. */
  resize(width: number, height: number): boolean {
    if (width === this.width && height === this.height) return false;
    this.width = width;
    this.height = height;
    this.bytes = new Uint8ClampedArray(width * height * 4);
    this.pixels = new Uint32Array(this.bytes.buffer).fill(0xff000000);
    this.columns = (width + (1 << TILE_X) - 1) >> TILE_X;
    this.rows = (height + (1 << TILE_Y) - 1) >> TILE_Y;
    this.changed = new Uint8Array(this.columns * this.rows).fill(1);
    return true;
  }

  /** All of it counts as changed. */
  invalidate(): void {
    this.changed.fill(1);
  }

  /** Sets row `y` to the first `width` pixels of `line`. */
  setLine(y: number, line: Uint32Array): void {
    const { pixels, width } = this;
    const marks = (y >> TILE_Y) * this.columns;
    for (let x = 0, at = y * width; x < width; x++, at++) {
      if (pixels[at] === line[x]) continue;
      pixels[at] = line[x];
      this.changed[marks + (x >> TILE_X)] = 1;
    }
  }

  /** Makes all of it one colour. */
  fill(pixel: number): void {
    const line = new Uint32Array(this.width).fill(pixel);
    for (let y = 0; y < this.height; y++) this.setLine(y, line);
  }

  /** Rectangles of what changed since the last call, in rows from the top; neighbouring tiles are joined. */
  takeChanges(): ScreenTile[] {
    const { changed, columns, rows } = this;
    const tiles: ScreenTile[] = [];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (changed[row * columns + column] === 0) continue;
        let right = column;
        while (right < columns && changed[row * columns + right] !== 0) right++;
        const isRun = (at: number) => {
          for (let each = column; each < right; each++) if (changed[at * columns + each] === 0) return false;
          return true;
        };
        let bottom = row + 1;
        while (bottom < rows && isRun(bottom)) bottom++;
        for (let at = row; at < bottom; at++) changed.fill(0, at * columns + column, at * columns + right);
        const [x, y] = [column << TILE_X, row << TILE_Y];
        tiles.push({
          ...{ x, y },
          width: Math.min(right << TILE_X, this.width) - x,
          height: Math.min(bottom << TILE_Y, this.height) - y,
        });
      }
    }
    return tiles;
  }
}
