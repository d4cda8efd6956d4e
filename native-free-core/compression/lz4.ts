// LZ4 blocks, and the legacy frame that Linux packs kernels in (LZ4 block format 1.6; lz4 frame format, "Legacy frame").
// Owns the bounds of every length and offset.
// Never decodes the frame format of lz4 files with checksums: kernels do not use it.

import { CompressedDataError, tooLarge } from './lzma.ts';

const LEGACY_MAGIC = 0x184c2102;
/** What a block of a legacy frame unpacks to, but for the last. */
const LEGACY_BLOCK = 8 << 20;
const MINIMUM_MATCH = 4;

const damaged = (what: string): never => {
  throw new CompressedDataError(`damaged: ${what}`);
};

/** Unpacks one block into `into` from `start` on; answers where its output ends. Matches reach back to `start`. */
function block(bytes: Uint8Array, into: Uint8Array, start: number, end: number): number {
  let at = 0;
  let out = start;
  const length = (nibble: number): number => {
    let total = nibble;
    if (nibble < 15) return total;
    for (;;) {
      if (at >= bytes.length) damaged('a block ends inside a length');
      const byte = bytes[at++];
      total += byte;
      if (byte !== 255) return total;
    }
  };
  while (at < bytes.length) {
    const token = bytes[at++];
    const literals = length(token >> 4);
    if (at + literals > bytes.length) damaged('a block ends inside its literals');
    if (out + literals > end) throw tooLarge(end);
    into.set(bytes.subarray(at, at + literals), out);
    at += literals;
    out += literals;
    // The last sequence is literals alone.
    if (at === bytes.length) return out;
    if (at + 2 > bytes.length) damaged('a block ends inside an offset');
    const offset = bytes[at] | (bytes[at + 1] << 8);
    at += 2;
    if (offset === 0 || offset > out - start) damaged('a match reaches outside of the data');
    const match = length(token & 15) + MINIMUM_MATCH;
    if (out + match > end) throw tooLarge(end);
    if (offset >= match) into.copyWithin(out, out - offset, out - offset + match);
    else for (let index = 0; index < match; index++) into[out + index] = into[out + index - offset];
    out += match;
  }
  return out;
}

/** Unpacks a legacy frame. Throws a {@link CompressedDataError} for what is damaged or unpacks to more than `most` bytes. */
export function unpackLz4Legacy(bytes: Uint8Array, most: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const output = new Uint8Array(most);
  let out = 0;
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw new CompressedDataError('cut short');
    const size = view.getUint32(at, true);
    at += 4;
    // Frames may follow each other.
    if (size === LEGACY_MAGIC) continue;
    if (at === 4) damaged('it does not begin as a legacy LZ4 frame');
    if (at + size > bytes.length) throw new CompressedDataError('cut short');
    out = block(bytes.subarray(at, at + size), output, out, Math.min(most, out + LEGACY_BLOCK));
    at += size;
  }
  return output.subarray(0, out);
}
