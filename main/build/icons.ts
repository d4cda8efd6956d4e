// Draws the app's icons: what icon.svg shows, as PNG files of the sizes that packages and the tray need.
// Owns the drawing, point by point over shapes; run it where the drawing changes: node main/build/icons.ts
// Never part of the product: the files that it writes are.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { root } from './bundles.ts';

/** The drawing is this wide and high; so is icon.svg. */
const SIZE = 32;
/** Points a pixel, each way. */
const FINE = 4;

type Point = readonly [number, number];
type Colour = readonly [number, number, number];

function isInRoundedSquare([x, y]: Point, radius: number): boolean {
  const across = Math.max(radius - x, x - (SIZE - radius), 0);
  const down = Math.max(radius - y, y - (SIZE - radius), 0);
  return Math.hypot(across, down) <= radius;
}

function toSegment([x, y]: Point, [x1, y1]: Point, [x2, y2]: Point): number {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const part = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)));
  return Math.hypot(x - x1 - part * dx, y - y1 - part * dy);
}

/** A stroke of icon.svg: down to the middle and up again. */
function isOnStroke(at: Point, y: number): boolean {
  const distance = Math.min(toSegment(at, [6, y], [16, y + 5.5]), toSegment(at, [16, y + 5.5], [26, y]));
  return distance <= 1.2 && at[0] >= 6 && at[0] <= 26;
}

const BLUE: Colour = [0x24, 0x56, 0xc7];

/** The colour of a point; null: nothing is there. */
function colourAt(at: Point): Colour | null {
  if (!isInRoundedSquare(at, 7)) return null;
  const isTile = Math.abs(at[0] - 16) / 10 + Math.abs(at[1] - 11) / 5.5 <= 1;
  const white = isTile ? 1 : isOnStroke(at, 15.8) ? 0.78 : isOnStroke(at, 20.8) ? 0.5 : 0;
  return BLUE.map((channel) => channel + (255 - channel) * white) as unknown as Colour;
}

/** The drawing as a PNG of red, green, blue and alpha (colour type 6), `pixels` wide and high. */
export function drawIcon(pixels: number): Uint8Array {
  const rows = Buffer.alloc(pixels * (pixels * 4 + 1));
  for (let y = 0, to = 0; y < pixels; y++) {
    to++;
    for (let x = 0; x < pixels; x++, to += 4) {
      const sum = [0, 0, 0];
      let count = 0;
      for (let fine = 0; fine < FINE * FINE; fine++) {
        const [right, down] = [(fine % FINE) + 0.5, Math.floor(fine / FINE) + 0.5];
        const colour = colourAt([((x + right / FINE) * SIZE) / pixels, ((y + down / FINE) * SIZE) / pixels]);
        if (!colour) continue;
        count++;
        for (let channel = 0; channel < 3; channel++) sum[channel]! += colour[channel]!;
      }
      for (let channel = 0; channel < 3; channel++)
        rows[to + channel] = count > 0 ? Math.round(sum[channel]! / count) : 0;
      rows[to + 3] = Math.round((255 * count) / (FINE * FINE));
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(pixels, 0);
  header.writeUInt32BE(pixels, 4);
  header.set([8, 6], 8);
  return Buffer.concat([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', new Uint8Array()),
  ]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/** Where each size is wanted. */
export const icons: Readonly<Record<string, number>> = {
  'main/electron/resources/icon.png': 512,
  'renderer/public/tray.png': 32,
};

if (import.meta.main)
  for (const [file, pixels] of Object.entries(icons)) writeFileSync(join(root, file), drawIcon(pixels));
