// What Node's zlib unpacks for kernels that the host unpacks: gzip and Zstandard, at once and bounded.
// Owns the words of what goes wrong.
// Never unpacks what the core does itself (xz, LZMA, LZ4, LZO).

import zlib from 'node:zlib';
import type { HostUnpack } from '../../native-free-core/firmware/boot/payload.ts';

/** Throws an Error with a few words where the bytes are damaged, or unpack to more than `most`. */
export const unpack: HostUnpack = (format, bytes, most) => {
  const options = { maxOutputLength: most };
  try {
    return format === 'gzip' ? zlib.gunzipSync(bytes, options) : zlib.zstdDecompressSync(bytes, options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const words = code === 'ERR_BUFFER_TOO_LARGE' ? `it unpacks to more than ${most} bytes` : message;
    throw new Error(words, { cause: error });
  }
};
