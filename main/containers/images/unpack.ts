// Archives as they come: told apart by their first bytes and unpacked while they are read.
// Owns the kinds of compression that images have: none, gzip, zstd, xz.
// Never trusts a file's name or a media type.

import { pipeline, Readable } from 'node:stream';
import zlib from 'node:zlib';
import { CompressedDataError } from '../../../native-free-core/compression/lzma.ts';
import { unpackXz } from '../../../native-free-core/compression/xz.ts';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';

/** Most bytes that an xz archive may unpack to: it is unpacked in memory. */
const XZ_MAX = 3 * 2 ** 30;
const PIECE = 1 << 20;

const magics: readonly [string, readonly number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
];

export type Packing = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4' | 'zip';

export const packingOf = (head: Uint8Array): Packing =>
  (magics.find(([, magic]) => magic.every((byte, at) => head[at] === byte))?.[0] ?? 'none') as Packing;

/** The same bytes, unpacked. Throws an {@link ImageError} for what is damaged or of a kind that is not known. */
export async function* unpacked(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = pieces[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < 6) {
    const { value, done } = await source.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    if (head.length > 0) yield head;
    for (;;) {
      const { value, done } = await source.next();
      if (done) return;
      yield value;
    }
  };
  const packing = packingOf(head);
  if (packing === 'none') return yield* all();
  if (packing === 'gzip') return yield* through(all(), zlib.createGunzip());
  if (packing === 'zstd') {
    if (!zlib.createZstdDecompress) throw new ImageError('zstd needs Node 22.15 or newer; pack the archive with gzip.');
    return yield* through(all(), zlib.createZstdDecompress());
  }
  if (packing === 'xz') return yield* unpackedXz(all());
  throw new ImageError(`The archive is packed with ${packing}; it can be plain, or packed with gzip, zstd or xz.`);
}

async function* through(
  pieces: AsyncIterable<Uint8Array>,
  stream: zlib.Gunzip | zlib.ZstdDecompress,
): AsyncGenerator<Uint8Array> {
  // Errors of the source come out of the stream, to whoever reads it.
  pipeline(Readable.from(pieces), stream, () => {});
  try {
    for await (const piece of stream) yield piece as Uint8Array;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_') || code?.startsWith('ZSTD_') || code === 'ERR_ZLIB_ERROR') {
      throw new ImageError(`The archive is damaged: ${message}.`);
    }
    throw error;
  } finally {
    stream.destroy();
  }
}

async function* unpackedXz(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  let whole: Uint8Array;
  try {
    whole = unpackXz(Buffer.concat(parts), XZ_MAX);
  } catch (error) {
    if (!(error instanceof CompressedDataError)) throw error;
    throw new ImageError(`The archive cannot be unpacked, it is ${error.message}.`);
  }
  // Copied in pieces: what lies in shared memory cannot be hashed or written as it is.
  for (let at = 0; at < whole.length; at += PIECE) yield new Uint8Array(whole.subarray(at, at + PIECE));
}
