// Pictures as PNG files (Portable Network Graphics, W3C Recommendation, third edition).
// Owns the writing of the chunks; compression is zlib's, in a thread of Node's pool.
// Never reads a PNG and never scales a picture.

import { promisify } from 'node:util';
import { crc32, deflate } from 'node:zlib';

const compress = promisify(deflate);
const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Colour type 2: red, green, blue (11.2.1). */
const TRUECOLOUR = 2;
/** Filter type 2: each byte less the one above it (9.2); rows of a screen repeat. */
const FILTER_UP = 2;

/** The bytes of an opaque picture as a PNG; `pixels` are red, green, blue, alpha, whose last is left out. */
export async function encodePng(width: number, height: number, pixels: Uint8ClampedArray): Promise<Uint8Array> {
  if (width < 1 || height < 1 || pixels.length !== width * height * 4)
    throw new RangeError(`A picture of ${width} × ${height} has other than ${pixels.length} bytes.`);
  const stride = width * 3 + 1;
  const rows = new Uint8Array(stride * height);
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    rows[to++] = FILTER_UP;
    for (let x = 0; x < width; x++, from += 4, to += 3) {
      for (let channel = 0; channel < 3; channel++) {
        const above = y > 0 ? pixels[from + channel - width * 4]! : 0;
        rows[to + channel] = pixels[from + channel]! - above;
      }
    }
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, TRUECOLOUR, 0, 0, 0], 8);
  const parts = [
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', await compress(rows)),
    chunk('IEND', new Uint8Array(0)),
  ];
  return Buffer.concat(parts);
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
