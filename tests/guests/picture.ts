// Screenshots as tests read them: PNG files as this project writes them.
// Owns the reading of 8-bit RGB and the five filters of its rows (PNG, Third Edition, 9).
// Never a general reader: anything else is an error of the test.

import { readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';

export interface TestPicture {
  width: number;
  height: number;
  /** Red, green, blue, alpha; rows without gaps. */
  pixels: Uint8Array;
  /** RRGGBB, in hexadecimal. */
  pixel(x: number, y: number): string;
}

export function readPicture(file: string): TestPicture {
  const bytes = readFileSync(file);
  const parts: Buffer[] = [];
  let size = { width: 0, height: 0 };
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const data = bytes.subarray(at + 8, at + 8 + length);
    const kind = bytes.toString('latin1', at + 4, at + 8);
    if (kind === 'IHDR') {
      if (data[8] !== 8 || data[9] !== 2 || data[12] !== 0) throw new Error(`${file} is no plain RGB picture.`);
      size = { width: data.readUInt32BE(0), height: data.readUInt32BE(4) };
    } else if (kind === 'IDAT') parts.push(data);
    at += 12 + length;
  }
  const stride = size.width * 3;
  const rows = unfiltered(inflateSync(Buffer.concat(parts)), stride, size.height);
  const pixels = new Uint8Array(size.width * size.height * 4).fill(0xff);
  for (let from = 0, to = 0; from < rows.length; from += 3, to += 4) pixels.set(rows.subarray(from, from + 3), to);
  return { ...size, pixels, pixel: (x, y) => rows.toString('hex', y * stride + 3 * x, y * stride + 3 * x + 3) };
}

/** Each row begins with its filter: none, or what is added of the bytes left, above and above left. */
function unfiltered(filtered: Buffer, stride: number, height: number): Buffer {
  const rows = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = filtered[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x >= 3 ? rows[at - 3] : 0;
      const above = y > 0 ? rows[at - stride] : 0;
      const corner = x >= 3 && y > 0 ? rows[at - stride - 3] : 0;
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter];
      rows[at] = filtered[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return rows;
}

function paeth(left: number, above: number, corner: number): number {
  const estimate = left + above - corner;
  const [byLeft, byAbove, byCorner] = [left, above, corner].map((each) => Math.abs(estimate - each));
  if (byLeft <= byAbove && byLeft <= byCorner) return left;
  return byAbove <= byCorner ? above : corner;
}
