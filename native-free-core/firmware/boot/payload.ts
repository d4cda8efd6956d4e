// What a bzImage carries: the compressed ELF kernel, found by its header and unpacked here instead of by the guest.
// Owns how compressions are told apart, and the bounds of what they may unpack to.
// Never loads anything: linux.ts places the segments.

import { unpackLz4Legacy } from '../../compression/lz4.ts';
import { CompressedDataError } from '../../compression/lzma.ts';
import { isLzop, unpackLzop } from '../../compression/lzo.ts';
import { isXz, unpackLzma, unpackXz } from '../../compression/xz.ts';
import { isElf } from './elf.ts';

/**
 * Compressions that the host's own library undoes, at once. Answers at most `most` bytes, or throws an Error for what is
 * damaged or would be more.
 */
export type HostUnpack = (format: 'gzip' | 'zstd', bytes: Uint8Array, most: number) => Uint8Array;

/** No kernel is larger; what claims to be is an attack on the host's memory. */
const UNPACKED_MAX = 512 * 2 ** 20;

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

const begins = (bytes: Uint8Array, ...magic: number[]): boolean => magic.every((byte, index) => bytes[index] === byte);

interface Format {
  is(bytes: Uint8Array): boolean;
  unpack(bytes: Uint8Array, most: number, host: HostUnpack): Uint8Array;
}

/** In the order they are tried: .lzma has no magic number but its usual properties and dictionary. */
const formats: readonly Format[] = [
  { is: (bytes) => begins(bytes, 0x1f, 0x8b), unpack: (bytes, most, host) => host('gzip', bytes, most) },
  { is: (bytes) => begins(bytes, 0x28, 0xb5, 0x2f, 0xfd), unpack: (bytes, most, host) => host('zstd', bytes, most) },
  { is: isXz, unpack: (bytes, most) => unpackXz(bytes, most) },
  { is: (bytes) => begins(bytes, 0x02, 0x21, 0x4c, 0x18), unpack: unpackLz4Legacy },
  { is: isLzop, unpack: unpackLzop },
  { is: (bytes) => begins(bytes, 0x5d, 0x00, 0x00), unpack: unpackLzma },
];

/**
 * The ELF kernel of a payload, or undefined where its compression is not known here (bzip2): then the guest unpacks it. Behind
 * the compressed data stand four bytes, the unpacked size (boot.rst, "payload_length"). Throws an Error with one sentence
 * for a payload that is damaged, or that unpacks to more than a kernel may be.
 */
export function unpackKernel(payload: Uint8Array, host: HostUnpack): Uint8Array | undefined {
  if (isElf(payload)) return payload;
  const format = formats.find(({ is }) => is(payload));
  if (!format || payload.length < 16) return undefined;
  const sizeAt = payload.length - 4;
  const told = new DataView(payload.buffer, payload.byteOffset + sizeAt, 4).getUint32(0, true);
  if (told > UNPACKED_MAX)
    throw new Error(
      `the kernel says that it unpacks to ${mebibytes(told)}; at most ${mebibytes(UNPACKED_MAX)} make sense`,
    );
  // gzip ends with the size itself; behind the others it was put by the kernel's build.
  const packed = begins(payload, 0x1f, 0x8b) ? payload : payload.subarray(0, sizeAt);
  let kernel: Uint8Array;
  try {
    kernel = format.unpack(packed, told, host);
  } catch (error) {
    const reason = error instanceof CompressedDataError ? error.message : `damaged: ${(error as Error).message}`;
    throw new Error(`the bzImage's compressed kernel is ${reason}`, { cause: error });
  }
  if (kernel.length !== told)
    throw new Error(
      `the bzImage's compressed kernel is damaged: it has ${kernel.length} bytes, not the ${told} it names`,
    );
  if (!isElf(kernel)) throw new Error('what the bzImage unpacks to is no ELF kernel');
  return kernel;
}
