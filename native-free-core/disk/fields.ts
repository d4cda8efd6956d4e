// Fields of image headers and tables: numbers of both byte orders, texts, and the checks all formats share.
// Owns the form of the sentence that refuses an image.
// Never reads a file.

import { DISK_BYTES_MAX, DiskError, type HostFile, SECTOR_BYTES } from './block.ts';

/** A structure of an image, with its fields by byte offset. 64-bit fields above 2^53 are refused as they are read. */
export class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #isLittle: boolean;
  readonly #file: HostFile;

  constructor(file: HostFile, bytes: Uint8Array, order: 'little' | 'big') {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#isLittle = order === 'little';
    this.#file = file;
  }

  u16(at: number): number {
    return this.#view.getUint16(at, this.#isLittle);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, this.#isLittle);
  }

  u64(at: number, what: string): number {
    const value = this.#view.getBigUint64(at, this.#isLittle);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(this.#file, `its ${what} is absurd (${value})`);
    return Number(value);
  }

  text(at: number, length: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + length));
  }

  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, this.#isLittle);
  }

  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, this.#isLittle);
  }

  setU64(at: number, value: number): void {
    this.#view.setBigUint64(at, BigInt(value), this.#isLittle);
  }

  setText(at: number, text: string): void {
    for (let index = 0; index < text.length; index++) this.bytes[at + index] = text.charCodeAt(index);
  }
}

/** The error for an image whose content cannot be. */
export function damaged(file: HostFile, why: string): DiskError {
  return new DiskError(`${file.name} is damaged or no image of this format: ${why}.`);
}

/** The error for an image that uses what is not supported here. */
export function unsupported(file: HostFile, what: string): DiskError {
  return new DiskError(`${file.name} cannot be used: ${what}.`);
}

/** Throws unless it is a size that a disk may have. */
export function checkDiskSize(file: HostFile, size: number): void {
  if (size === 0) throw new DiskError(`${file.name} cannot be used: it is an empty disk.`);
  if (size > DISK_BYTES_MAX) throw unsupported(file, `its disk has ${size} bytes, and 64 TiB is the most`);
}

/** Throws unless a table of an image lies within its file. */
export function checkInside(file: HostFile, fileSize: number, what: string, offset: number, length: number): void {
  if (offset > fileSize || length > fileSize - offset)
    throw damaged(file, `its ${what} at ${offset} (${length} bytes) is outside the file`);
}

/** Rounds up to a multiple of `unit`. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** The disk size that a person asked for, as it is created: whole sectors. */
export function sectorsOf(size: number): number {
  return Math.ceil(size / SECTOR_BYTES);
}

/** Whether all bytes are 0. */
export function isZero(bytes: Uint8Array): boolean {
  const words = bytes.byteOffset % 8 === 0 ? bytes.length >>> 3 : 0;
  if (words > 0) {
    const view = new Float64Array(bytes.buffer, bytes.byteOffset, words);
    // -0 equals 0 as a number, but has a bit set.
    for (let index = 0; index < words; index++) if (view[index] !== 0 || Object.is(view[index], -0)) return false;
  }
  for (let index = words * 8; index < bytes.length; index++) if (bytes[index] !== 0) return false;
  return true;
}
