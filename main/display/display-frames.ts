// What crosses the `display` stream: pictures one way, what a person does the other, as bytes.
// Owns the layout of both; little-endian, one message a data frame, every length checked as it is read.
// Never holds a picture, and runs in a page as well as in main.

import { keyCodes } from '../keyboard/key-codes.ts';

/** A rectangle of a picture with its pixels: red, green, blue, alpha, rows without gaps. */
export interface DisplayTile {
  x: number;
  y: number;
  width: number;
  height: number;
  pixels: Uint8ClampedArray<ArrayBuffer>;
}

/** What a text mode shows: rows joined by newlines, trailing blanks trimmed. */
export interface DisplayText {
  columns: number;
  rows: number;
  text: string;
}

const pointers = ['none', 'relative', 'absolute'] as const;
export type DisplayPointer = (typeof pointers)[number];

/** Of the server. A picture's change is `size`, `tiles`, `text` and `pointer` as they are needed, then `frame`. */
export type DisplayMessage =
  /** From now on the picture has this size, and begins black; 0 × 0 while there is none. */
  | { type: 'size'; width: number; height: number }
  | { type: 'tiles'; tiles: DisplayTile[] }
  /** Null: the guest is in a graphics mode. */
  | { type: 'text'; text: DisplayText | null }
  /** Whether the guest takes positions of the pointer, only movements, or nothing. */
  | { type: 'pointer'; pointer: DisplayPointer }
  /** The picture is whole again; the next one comes after `taken`. */
  | { type: 'frame'; sequence: number };

/** Of the front end. Everything but `taken` is for the guest. */
export type DisplayInput =
  | { type: 'taken'; sequence: number }
  | { type: 'key'; code: string; pressed: boolean }
  /** Counts of a mouse, down and to the right; `wheel` in steps towards the user. */
  | { type: 'move'; dx: number; dy: number; wheel: number }
  /** A place in the picture, 0 to 65535. */
  | { type: 'moveTo'; x: number; y: number }
  /** Buttons held now: bit 0 left, 1 right, 2 middle. */
  | { type: 'buttons'; held: number };

const TILE_HEADER = 9;
const RAW = 0;
/** One colour, four bytes: what most of an empty desktop is. */
const SOLID = 1;
/** The most bytes of tiles in one message: half of what a data frame takes, so that one tile more always fits. */
export const TILES_BYTES_MAX = 1 << 19;
/** No side of a tile is longer; a larger one would not fit into a message. */
export const TILE_SIDE_MAX = 128;

export const encodeSize = (width: number, height: number): Uint8Array => u16s(1, width, height);
export const encodePointer = (pointer: DisplayPointer): Uint8Array => Uint8Array.of(4, pointers.indexOf(pointer));
export const encodeFrameEnd = (sequence: number): Uint8Array => {
  const bytes = new Uint8Array(5);
  bytes[0] = 5;
  new DataView(bytes.buffer).setUint32(1, sequence, true);
  return bytes;
};

export function encodeText(text: DisplayText | null): Uint8Array {
  if (text === null) return Uint8Array.of(3, 0);
  const characters = new TextEncoder().encode(text.text);
  const bytes = new Uint8Array(6 + characters.length);
  const view = new DataView(bytes.buffer);
  bytes.set([3, 1]);
  view.setUint16(2, text.columns, true);
  view.setUint16(4, text.rows, true);
  bytes.set(characters, 6);
  return bytes;
}

/** One message of these rectangles of a picture of `width` pixels a row; sides at most {@link TILE_SIDE_MAX}. */
export function encodeTiles(
  picture: Uint8ClampedArray,
  width: number,
  tiles: readonly { x: number; y: number; width: number; height: number }[],
): Uint8Array {
  const pixels = new Uint32Array(picture.buffer, picture.byteOffset, picture.byteLength >> 2);
  const solid = tiles.map((tile) => isSolid(pixels, width, tile));
  const length = tiles.reduce(
    (sum, tile, index) => sum + TILE_HEADER + (solid[index] ? 4 : tile.width * tile.height * 4),
    1,
  );
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 2;
  let at = 1;
  for (const [index, tile] of tiles.entries()) {
    view.setUint16(at, tile.x, true);
    view.setUint16(at + 2, tile.y, true);
    view.setUint16(at + 4, tile.width, true);
    view.setUint16(at + 6, tile.height, true);
    bytes[at + 8] = solid[index] ? SOLID : RAW;
    at += TILE_HEADER;
    const rows = solid[index] ? 1 : tile.height;
    const rowBytes = solid[index] ? 4 : tile.width * 4;
    for (let row = 0; row < rows; row++, at += rowBytes) {
      const from = ((tile.y + row) * width + tile.x) * 4;
      bytes.set(picture.subarray(from, from + rowBytes), at);
    }
  }
  return bytes;
}

function isSolid(
  pixels: Uint32Array,
  width: number,
  tile: { x: number; y: number; width: number; height: number },
): boolean {
  const first = pixels[tile.y * width + tile.x];
  for (let row = tile.y; row < tile.y + tile.height; row++) {
    const from = row * width + tile.x;
    for (let at = from; at < from + tile.width; at++) if (pixels[at] !== first) return false;
  }
  return true;
}

/** Reads a message of the server; null for bytes that are none. */
export function decodeDisplayMessage(bytes: Uint8Array): DisplayMessage | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (bytes[0]) {
    case 1:
      if (bytes.length !== 5) return null;
      return { type: 'size', width: view.getUint16(1, true), height: view.getUint16(3, true) };
    case 2:
      return decodeTiles(bytes, view);
    case 3: {
      if (bytes.length < 2 || (bytes[1] === 1 && bytes.length < 6)) return null;
      if (bytes[1] !== 1) return { type: 'text', text: null };
      const text = new TextDecoder().decode(bytes.subarray(6));
      return { type: 'text', text: { columns: view.getUint16(2, true), rows: view.getUint16(4, true), text } };
    }
    case 4:
      return bytes.length === 2 && bytes[1]! < pointers.length
        ? { type: 'pointer', pointer: pointers[bytes[1]!]! }
        : null;
    case 5:
      return bytes.length === 5 ? { type: 'frame', sequence: view.getUint32(1, true) } : null;
  }
  return null;
}

function decodeTiles(bytes: Uint8Array, view: DataView): DisplayMessage | null {
  const tiles: DisplayTile[] = [];
  for (let at = 1; at < bytes.length; ) {
    if (at + TILE_HEADER > bytes.length) return null;
    const [x, y, width, height] = [0, 2, 4, 6].map((offset) => view.getUint16(at + offset, true)) as [
      number,
      number,
      number,
      number,
    ];
    const encoding = bytes[at + 8];
    at += TILE_HEADER;
    if (width === 0 || height === 0 || width > TILE_SIDE_MAX || height > TILE_SIDE_MAX) return null;
    const length = encoding === SOLID ? 4 : width * height * 4;
    if ((encoding !== SOLID && encoding !== RAW) || at + length > bytes.length) return null;
    const pixels = new Uint8ClampedArray(width * height * 4);
    pixels.set(bytes.subarray(at, at + length));
    if (encoding === SOLID) new Uint32Array(pixels.buffer).fill(new Uint32Array(pixels.buffer, 0, 1)[0]!);
    tiles.push({ x, y, width, height, pixels });
    at += length;
  }
  return { type: 'tiles', tiles };
}

export function encodeDisplayInput(input: DisplayInput): Uint8Array {
  switch (input.type) {
    case 'taken': {
      const bytes = encodeFrameEnd(input.sequence);
      bytes[0] = 1;
      return bytes;
    }
    case 'key': {
      const code = new TextEncoder().encode(input.code);
      return Uint8Array.of(2, input.pressed ? 1 : 0, ...code);
    }
    case 'move':
      return i16s(3, input.dx, input.dy, input.wheel);
    case 'moveTo':
      return u16s(4, input.x, input.y);
    case 'buttons':
      return Uint8Array.of(5, input.held & 7);
  }
}

/** Reads what a front end sent; null for bytes that are no input, such as a key that no keyboard has. */
export function decodeDisplayInput(bytes: Uint8Array): DisplayInput | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (bytes[0]) {
    case 1:
      return bytes.length === 5 ? { type: 'taken', sequence: view.getUint32(1, true) } : null;
    case 2: {
      const code = new TextDecoder().decode(bytes.subarray(2, 34));
      return bytes.length > 2 && keyCodes.has(code) ? { type: 'key', code, pressed: bytes[1] === 1 } : null;
    }
    case 3: {
      if (bytes.length !== 7) return null;
      const [dx, dy, wheel] = [1, 3, 5].map((offset) => view.getInt16(offset, true)) as [number, number, number];
      return { type: 'move', dx, dy, wheel };
    }
    case 4:
      return bytes.length === 5 ? { type: 'moveTo', x: view.getUint16(1, true), y: view.getUint16(3, true) } : null;
    case 5:
      return bytes.length === 2 && bytes[1]! <= 7 ? { type: 'buttons', held: bytes[1]! } : null;
  }
  return null;
}

function u16s(kind: number, ...values: number[]): Uint8Array {
  const bytes = new Uint8Array(1 + 2 * values.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = kind;
  values.forEach((value, index) => {
    view.setUint16(1 + 2 * index, Math.min(Math.max(Math.round(value), 0), 0xffff), true);
  });
  return bytes;
}

function i16s(kind: number, ...values: number[]): Uint8Array {
  const bytes = new Uint8Array(1 + 2 * values.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = kind;
  values.forEach((value, index) => {
    view.setInt16(1 + 2 * index, Math.min(Math.max(Math.round(value), -0x8000), 0x7fff), true);
  });
  return bytes;
}
