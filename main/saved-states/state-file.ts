// The file of a saved state: the machine's state as JSON, and the guest's memory in compressed pieces.
// Owns the format, its checks, and that a file is there as a whole or not at all.
// Never knows what the state means.
//
// "TVSTATE1", then offset (u64), length and CRC-32 (u32 each) of the header; the pieces; the header, which tells where each is.

import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, crc32, zstdCompress, zstdDecompress } from 'node:zlib';
import type { SavedState } from '../../native-free-core/devices/device.ts';

const MAGIC = Buffer.from('TVSTATE1', 'latin1');
const PREFIX_BYTES = MAGIC.length + 16;
const PIECE_BYTES = 1 << 20;
/** Pieces that are compressed at the same time. */
const CONCURRENCY = 4;
/** Far more than any machine's state; what keeps a damaged length from being allocated. */
const HEADER_MAX = 64 << 20;
/** What it could be that is no state: JSON has neither. */
const BYTES = '$bytes';
const BIGINT = '$bigint';

/** Where a piece of the memory is in the file; a piece of zeros is in none. */
interface Piece {
  index: number;
  offset: number;
  length: number;
  crc: number;
}

interface Header {
  state: SavedState;
  memoryBytes: number;
  pieces: Piece[];
}

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
/** The fastest: a guest's memory is written as often as it is read, and somebody waits for both. */
const FAST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/**
 * Writes a saved state to `file`, replacing what was there only when all is on the host's disk. The memory must not change
 * meanwhile. Resolves with the file's bytes; rejects with the host's own error, and then leaves nothing behind.
 */
export async function writeStateFile(file: string, state: SavedState, memory: Uint8Array): Promise<number> {
  const partial = `${file}.partial`;
  const handle = await open(partial, 'w', 0o600);
  try {
    let end = PREFIX_BYTES;
    const pieces: Piece[] = [];
    const count = Math.ceil(memory.length / PIECE_BYTES);
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let index = next++; index < count; index = next++) {
        // A copy: the memory is shared, which compression does not take.
        const content = memory.slice(index * PIECE_BYTES, (index + 1) * PIECE_BYTES);
        if (isZero(content)) continue;
        const bytes = await compress(content, FAST);
        const offset = end;
        end += bytes.length;
        pieces.push({ index, offset, length: bytes.length, crc: crc32(bytes) });
        await writeAll(handle, bytes, offset);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    const header: Header = { state, memoryBytes: memory.length, pieces };
    const text = Buffer.from(JSON.stringify(header, encode));
    const prefix = Buffer.alloc(PREFIX_BYTES);
    MAGIC.copy(prefix);
    prefix.writeBigUInt64LE(BigInt(end), 8);
    prefix.writeUInt32LE(text.length, 16);
    prefix.writeUInt32LE(crc32(text), 20);
    await writeAll(handle, text, end);
    await writeAll(handle, prefix, 0);
    await handle.sync();
    await handle.close();
    await rename(partial, file);
    return end + text.length;
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(partial, { force: true });
    throw error;
  }
}

/** An opened saved state. */
export interface StateFile {
  readonly state: SavedState;
  /** Fills a guest's memory with what was saved. Rejects with an Error of one sentence where that is damaged. */
  fill(memory: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Opens a saved state. Rejects with an Error of one sentence if it is none, or damaged. */
export async function openStateFile(file: string): Promise<StateFile> {
  const damaged = (what: string) => new Error(`The saved state ${file} is damaged: ${what}.`);
  const handle = await open(file, 'r');
  try {
    const { size } = await stat(file);
    const prefix = await readAt(handle, 0, PREFIX_BYTES);
    if (!prefix?.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error(`${file} is no saved state.`);
    const [offset, length] = [Number(prefix.readBigUInt64LE(8)), prefix.readUInt32LE(16)];
    if (length > HEADER_MAX || offset + length > size) throw damaged('it was cut off');
    const text = await readAt(handle, offset, length);
    if (!text || crc32(text) !== prefix.readUInt32LE(20)) throw damaged('its header is not what was written');
    const { state, memoryBytes, pieces } = JSON.parse(text.toString(), decode) as Header;
    return {
      state,
      fill: async (memory) => {
        if (memory.length !== memoryBytes)
          throw damaged(`it holds ${memoryBytes} bytes of memory, not ${memory.length}`);
        let next = 0;
        const worker = async (): Promise<void> => {
          for (let piece = pieces[next++]; piece; piece = pieces[next++]) {
            const at = piece.index * PIECE_BYTES;
            const bytes = await readAt(handle, piece.offset, piece.length);
            if (!bytes || crc32(bytes) !== piece.crc) throw damaged('a piece of memory is not what was written');
            const wanted = Math.min(PIECE_BYTES, memory.length - at);
            const content = await decompress(bytes, { maxOutputLength: PIECE_BYTES });
            if (content.length !== wanted) throw damaged('a piece of memory has another length');
            memory.set(content, at);
          }
        };
        await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function isZero(bytes: Uint8Array): boolean {
  const words = new BigUint64Array(bytes.buffer, 0, bytes.length >>> 3);
  return words.every((word) => word === 0n) && bytes.subarray(words.byteLength).every((byte) => byte === 0);
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

/** Undefined where the file ends before. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}

function encode(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { [BIGINT]: value.toString(16) };
  // JSON.stringify asks a Buffer for its own form first, but states have plain arrays.
  return value instanceof Uint8Array ? { [BYTES]: Buffer.from(value).toString('base64') } : value;
}

function decode(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { [BYTES]: bytes, [BIGINT]: integer } = value as Record<string, unknown>;
  if (typeof bytes === 'string') return new Uint8Array(Buffer.from(bytes, 'base64'));
  return typeof integer === 'string' && /^[0-9a-f]{1,16}$/.test(integer) ? BigInt(`0x${integer}`) : value;
}
