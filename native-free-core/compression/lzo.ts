// LZO1X blocks and the lzop container, as Linux packs kernels in them (Documentation/staging/lzo.rst describes the stream).
// Owns the bounds of every length and distance, and the container's headers.
// Never compresses, and never checks Adler-32 or CRC of single blocks: who unpacks checks what comes out.

import { CompressedDataError, tooLarge } from './lzma.ts';

const LZOP_MAGIC = [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a];
const FLAG_ADLER_UNPACKED = 0x1;
const FLAG_ADLER_PACKED = 0x2;
const FLAG_EXTRA = 0x40;
const FLAG_CRC_UNPACKED = 0x100;
const FLAG_CRC_PACKED = 0x200;
const FLAG_FILTER = 0x800;

const damaged = (what: string): never => {
  throw new CompressedDataError(`damaged: ${what}`);
};

/** One stream being unpacked. */
class Stream {
  private readonly bytes: Uint8Array;
  private at = 0;
  private readonly into: Uint8Array;
  private readonly start: number;
  private readonly end: number;
  out: number;

  constructor(bytes: Uint8Array, into: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.into = into;
    this.start = this.out = start;
    this.end = end;
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw new CompressedDataError('cut short');
    return this.bytes[this.at++];
  }

  /** A length whose field of `bits` bits is zero goes on in bytes: 255 for each that is zero. */
  private length(field: number, mask: number): number {
    if (field !== 0) return field;
    let total = mask;
    for (;;) {
      const byte = this.byte();
      if (byte !== 0) return total + byte;
      total += 255;
    }
  }

  private literals(count: number): void {
    const { bytes, at, out } = this;
    if (at + count > bytes.length) throw new CompressedDataError('cut short');
    if (out + count > this.end) damaged('a block is longer than it says');
    this.into.set(bytes.subarray(at, at + count), out);
    this.at += count;
    this.out += count;
  }

  private match(distance: number, count: number): void {
    const { into, out } = this;
    if (distance > out - this.start) damaged('a match reaches outside of the data');
    if (out + count > this.end) damaged('a block is longer than it says');
    for (let index = 0; index < count; index++) into[out + index] = into[out + index - distance];
    this.out += count;
  }

  unpack(): void {
    /** Literals that the last instruction ended with, 0 to 3; 4: it was a longer run of literals. */
    let state = 0;
    const first = this.bytes[0];
    if (first > 17) {
      this.at = 1;
      this.literals(first - 17);
      state = first - 17 < 4 ? first - 17 : 4;
    }
    for (;;) {
      const instruction = this.byte();
      let trailing = instruction & 3;
      if (instruction >= 64) {
        const count = instruction >= 128 ? 5 + ((instruction >> 5) & 3) : 3 + ((instruction >> 5) & 1);
        this.match((this.byte() << 3) + ((instruction >> 2) & 7) + 1, count);
      } else if (instruction >= 32) {
        const count = this.length(instruction & 31, 31) + 2;
        const low = this.byte();
        trailing = low & 3;
        this.match((this.byte() << 6) + (low >> 2) + 1, count);
      } else if (instruction >= 16) {
        const count = this.length(instruction & 7, 7) + 2;
        const low = this.byte();
        trailing = low & 3;
        const distance = ((instruction & 8) << 11) + (this.byte() << 6) + (low >> 2);
        // The end of the stream.
        if (distance === 0) return;
        this.match(distance + 16384, count);
      } else if (state === 0) {
        this.literals(this.length(instruction, 15) + 3);
        state = 4;
        continue;
      } else {
        const distance = (this.byte() << 2) + (instruction >> 2) + 1;
        this.match(state === 4 ? distance + 2048 : distance, state === 4 ? 3 : 2);
      }
      this.literals(trailing);
      state = trailing;
    }
  }
}

export function isLzop(bytes: Uint8Array): boolean {
  return LZOP_MAGIC.every((byte, index) => bytes[index] === byte);
}

/** Unpacks an lzop file. Throws a {@link CompressedDataError} for what is damaged or unpacks to more than `most` bytes. */
export function unpackLzop(bytes: Uint8Array, most: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = LZOP_MAGIC.length;
  const take = (count: number): number => {
    if (at + count > bytes.length) throw new CompressedDataError('cut short');
    at += count;
    return at - count;
  };
  if (!isLzop(bytes)) damaged('it does not begin as an lzop file');
  const version = view.getUint16(take(2));
  take(version >= 0x940 ? 4 : 2); // The library's version, and the one that is needed.
  take(version >= 0x940 ? 2 : 1); // Method and level.
  const flags = view.getUint32(take(4));
  if (flags & (FLAG_EXTRA | FLAG_FILTER)) damaged('it has an lzop filter or field that is not known here');
  take(version >= 0x940 ? 12 : 8); // Mode and times.
  take(view.getUint8(take(1))); // The file's name.
  take(4); // The header's checksum.
  const checks = [FLAG_ADLER_UNPACKED, FLAG_CRC_UNPACKED].filter((flag) => flags & flag).length * 4;
  const packedChecks = [FLAG_ADLER_PACKED, FLAG_CRC_PACKED].filter((flag) => flags & flag).length * 4;
  const output = new Uint8Array(most);
  let out = 0;
  for (;;) {
    const unpacked = view.getUint32(take(4));
    if (unpacked === 0) return output.subarray(0, out);
    const packed = view.getUint32(take(4));
    if (unpacked > most - out) throw tooLarge(most);
    if (packed > unpacked) damaged('a block grew by being packed');
    take(checks);
    // What did not become smaller is there as it was, without a checksum of its own.
    if (packed < unpacked) take(packedChecks);
    const data = take(packed);
    const block = bytes.subarray(data, data + packed);
    if (packed === unpacked) output.set(block, out);
    else {
      const stream = new Stream(block, output, out, out + unpacked);
      stream.unpack();
      if (stream.out !== out + unpacked) damaged('a block is shorter than it says');
    }
    out += unpacked;
  }
}
