// The bytes of a file that lives in memory: sparse, in chunks that are made when they are written, over a base or nothing.
// Owns the chunks and what they take of a budget; files of tmpfs and of overlays, and memfd files, have one each.
// Never knows who reads, and never makes room that the budget does not give.

import { errno } from '../errno.ts';
import type { PageSource } from './types.ts';

const chunkSize = 65536;
const smallestChunk = 512;
const pageSize = 4096;

/** Largest file in memory, in bytes: keeps offsets exact in a number, and a sparse file's chunk numbers small. */
export const LARGEST_FILE = 2 ** 44;

/** Memory that files may take, shared by all files of a file system. */
export interface Budget {
  /** Takes bytes; throws ENOSPC or ENOMEM where there are none left. */
  charge(bytes: number): void;
  release(bytes: number): void;
}

/** What a file was before it was changed: a layer's content, read wherever no chunk of ours lies over it. */
export interface Base {
  readonly size: number;
  /** Fills `into` from `offset`; all of it lies within `size`. */
  read(into: Uint8Array, offset: number): void;
}

export class FileContent implements PageSource {
  size: number;
  cache: object | null = null;
  /** Bytes that the chunks take. */
  allocated = 0;
  readonly #chunks = new Map<number, Uint8Array>();
  readonly #budget: Budget;
  #base: Base | null;
  /** Bytes of the base that still show: less than its size once the file was shorter. */
  #baseSize: number;

  constructor(budget: Budget, base: Base | null = null) {
    this.#budget = budget;
    this.#base = base;
    this.size = this.#baseSize = base?.size ?? 0;
  }

  /** Whether all of the base still shows, where no chunk lies over it. */
  get isWhole(): boolean {
    return this.#baseSize === (this.#base?.size ?? 0);
  }

  read(into: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(into.length, this.size - offset));
    for (let done = 0; done < count; ) {
      const at = offset + done;
      const within = at % chunkSize;
      const length = Math.min(count - done, chunkSize - within);
      const chunk = this.#chunks.get((at - within) / chunkSize);
      const there = chunk ? Math.max(0, Math.min(length, chunk.length - within)) : 0;
      if (there > 0) into.set(chunk!.subarray(within, within + there), done);
      if (there < length) this.#below(into.subarray(done + there, done + length), at + there);
      done += length;
    }
    return count;
  }

  /** All of `from`, or what there was room for. Throws EFBIG, and ENOSPC where there was room for nothing. */
  write(from: Uint8Array, offset: number): number {
    if (from.length === 0) return 0;
    if (offset >= LARGEST_FILE) throw errno('EFBIG');
    const count = Math.min(from.length, LARGEST_FILE - offset);
    let done = 0;
    while (done < count) {
      const at = offset + done;
      const within = at % chunkSize;
      const length = Math.min(count - done, chunkSize - within);
      let chunk: Uint8Array;
      try {
        chunk = this.#chunk((at - within) / chunkSize, within + length);
      } catch (error) {
        if (done === 0) throw error;
        break;
      }
      chunk.set(from.subarray(done, done + length), within);
      done += length;
    }
    this.size = Math.max(this.size, offset + done);
    return done;
  }

  /** Fills `into` with what lies below the chunks: the base, and zeros. */
  #below(into: Uint8Array, offset: number): void {
    const there = this.#base ? Math.max(0, Math.min(into.length, this.#baseSize - offset)) : 0;
    if (there > 0) this.#base!.read(into.subarray(0, there), offset);
    into.fill(0, there);
  }

  /** Cuts off, or extends with zeros. */
  truncate(size: number): void {
    if (size > LARGEST_FILE) throw errno('EFBIG');
    if (size < this.size) {
      const last = Math.floor(size / chunkSize);
      const drop = (index: number, chunk: Uint8Array): void => {
        if (index > last || (index === last && size % chunkSize === 0)) {
          this.#chunks.delete(index);
          this.#free(chunk.length);
        } else if (index === last) chunk.fill(0, size % chunkSize);
      };
      for (const [index, chunk] of this.#chunks) drop(index, chunk);
    }
    this.#baseSize = Math.min(this.#baseSize, size);
    if (this.#baseSize === 0) this.#base = null;
    this.size = size;
  }

  /** Makes a range read as zeros and gives its whole chunks back (FALLOC_FL_PUNCH_HOLE). */
  punch(offset: number, length: number): void {
    const end = Math.min(offset + length, this.size);
    // Chunks of zeros hide the base; a base's file is seldom punched, and only what it covers takes them.
    for (let at = offset; at < Math.min(end, this.#baseSize); at = (Math.floor(at / chunkSize) + 1) * chunkSize) {
      const within = at % chunkSize;
      this.#chunk(Math.floor(at / chunkSize), within + Math.min(chunkSize - within, end - at));
    }
    for (const [index, chunk] of this.#chunks) {
      const from = Math.max(offset, index * chunkSize);
      const to = Math.min(end, (index + 1) * chunkSize);
      if (from >= to) continue;
      if (to - from === chunkSize && index * chunkSize >= this.#baseSize) {
        this.#chunks.delete(index);
        this.#free(chunk.length);
      } else chunk.fill(0, from % chunkSize, Math.min(chunk.length, to - index * chunkSize));
    }
  }

  readPage(index: number, into: Uint8Array): void {
    const count = this.read(into.subarray(0, pageSize), index * pageSize);
    into.fill(0, count, pageSize);
  }

  writePage(index: number, from: Uint8Array): void {
    const room = this.size - index * pageSize;
    if (room > 0) this.write(from.subarray(0, Math.min(from.length, room, pageSize)), index * pageSize);
  }

  #chunk(index: number, needed: number): Uint8Array {
    const old = this.#chunks.get(index);
    if (old && old.length >= needed) return old;
    const start = index * chunkSize;
    let size = Math.max(smallestChunk, old?.length ?? 0);
    while (size < needed) size *= 2;
    this.#budget.charge(size - (old?.length ?? 0));
    this.allocated += size - (old?.length ?? 0);
    const chunk = new Uint8Array(size);
    if (old) chunk.set(old);
    const kept = old?.length ?? 0;
    if (start + kept < this.#baseSize) this.#below(chunk.subarray(kept), start + kept);
    this.#chunks.set(index, chunk);
    return chunk;
  }

  #free(bytes: number): void {
    this.allocated -= bytes;
    this.#budget.release(bytes);
  }
}
