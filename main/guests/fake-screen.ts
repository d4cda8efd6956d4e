// A screen for tests, in place of a display device's: 80 columns and 25 rows of text, or a picture of one colour.
// Owns what a test shows on it.
// Never used by the product.

import type { Screen, ScreenTile, ScreenUpdate } from '../../native-free-core/devices/display/screen.ts';

const [COLUMNS, ROWS, CELL] = [80, 25, 8];

/** Each character is a square of 8 pixels in a grey of its code. */
export class FakeScreen implements Screen {
  width = COLUMNS * CELL;
  height = ROWS * CELL;
  #rows: string[] = [];
  #isGraphics = false;
  #pixels = new Uint8ClampedArray(0);
  #dirty: ScreenTile[] = [];

  /** Writes a row below the last; the oldest rows go when the screen is full. */
  show(text: string): void {
    this.#rows.push(text.slice(0, COLUMNS));
    if (this.#rows.length > ROWS) {
      this.#rows.shift();
      this.invalidate();
    } else this.#dirty.push({ x: 0, y: (this.#rows.length - 1) * CELL, width: this.width, height: CELL });
  }

  /** Changes to a graphics mode. */
  draw(width: number, height: number): void {
    Object.assign(this, { width, height });
    this.#isGraphics = true;
    this.invalidate();
  }

  refresh(): ScreenUpdate {
    const { width, height } = this;
    const words = new Uint32Array(width * height);
    if (this.#isGraphics) words.fill(0xff30_8040);
    else
      for (let at = 0; at < words.length; at++) {
        const [x, y] = [at % width, Math.floor(at / width)];
        const character = this.#rows[Math.floor(y / CELL)]?.charCodeAt(Math.floor(x / CELL)) || 0;
        words[at] = (0xff00_0000 | (character * 0x01_0101)) >>> 0;
      }
    this.#pixels = new Uint8ClampedArray(words.buffer);
    const tiles = this.#dirty;
    this.#dirty = [];
    return { width, height, pixels: this.#pixels as Uint8ClampedArray<ArrayBuffer>, tiles };
  }

  invalidate(): void {
    this.#dirty = [{ x: 0, y: 0, width: this.width, height: this.height }];
  }

  text(): string | undefined {
    if (this.#isGraphics) return undefined;
    return Array.from({ length: ROWS }, (_, row) => this.#rows[row] ?? '').join('\n');
  }

  textSize(): { columns: number; rows: number } | undefined {
    return this.#isGraphics ? undefined : { columns: COLUMNS, rows: ROWS };
  }

  cursor(): undefined {
    return undefined;
  }
}
