// A disk whose writes are thrown away: they are kept in memory, over a disk that is only read.
// Owns the blocks that were written.
// Never writes the disk below.

import { ActQueue, type BlockDevice, checkRange, isRange, lengthOf, partOf } from './block.ts';

/** Bytes of a block that is kept whole once part of it was written. */
const BLOCK = 64 * 1024;

export class SnapshotDisk implements BlockDevice {
  readonly size: number;
  readonly isReadOnly = false;
  readonly #below: BlockDevice;
  readonly #written = new Map<number, Uint8Array>();
  readonly #acts = new ActQueue();

  /** Takes `below` over: it is closed with this. */
  constructor(below: BlockDevice) {
    this.#below = below;
    this.size = below.size;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, buffer.length);
      for (const { block, from, at, length } of parts(offset, buffer.length)) {
        const kept = this.#written.get(block);
        const part = buffer.subarray(at, at + length);
        if (kept) part.set(kept.subarray(from, from + length));
        else await this.#below.read(block * BLOCK + from, part);
      }
    });
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, data.length);
      for (const { block, from, at, length } of parts(offset, data.length)) {
        const kept = this.#written.get(block) ?? (await this.#copy(block));
        kept.set(data.subarray(at, at + length), from);
        this.#written.set(block, kept);
      }
    });
  }

  async #copy(block: number): Promise<Uint8Array> {
    const copy = new Uint8Array(BLOCK);
    await this.#below.read(block * BLOCK, copy.subarray(0, Math.min(BLOCK, this.size - block * BLOCK)));
    return copy;
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    const whole = lengthOf(buffers);
    if (!this.#acts.isIdle || !isRange(this, offset, whole)) return false;
    for (const { block, from, at, length } of parts(offset, whole)) {
      const kept = this.#written.get(block);
      const part = partOf(buffers, at, length);
      if (!kept) {
        if (this.#below.readNow?.(block * BLOCK + from, part) !== true) return false;
        continue;
      }
      let next = from;
      for (const buffer of part) {
        buffer.set(kept.subarray(next, next + buffer.length));
        next += buffer.length;
      }
    }
    return true;
  }

  /** Only into blocks that are kept already. */
  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    const whole = lengthOf(buffers);
    if (!this.#acts.isIdle || !isRange(this, offset, whole)) return false;
    for (const { block } of parts(offset, whole)) if (!this.#written.has(block)) return false;
    for (const { block, from, at, length } of parts(offset, whole)) {
      let next = from;
      for (const buffer of partOf(buffers, at, length)) {
        this.#written.get(block)!.set(buffer, next);
        next += buffer.length;
      }
    }
    return true;
  }

  /** Waits for the writes; there is nothing to make durable. */
  flush(): Promise<void> {
    return this.#acts.run(async () => {});
  }

  async discard(offset: number, length: number): Promise<void> {
    checkRange(this, offset, length);
  }

  async writeZeros(offset: number, length: number): Promise<void> {
    checkRange(this, offset, length);
    const zeros = new Uint8Array(Math.min(length, BLOCK));
    for (let done = 0; done < length; done += BLOCK)
      await this.write(offset + done, zeros.subarray(0, Math.min(BLOCK, length - done)));
  }

  async zerosFrom(offset: number): Promise<number> {
    checkRange(this, offset, 0);
    return 0;
  }

  close(): Promise<void> {
    return this.#acts.run(() => {
      this.#written.clear();
      return this.#below.close();
    });
  }
}

/** The blocks that a range touches: where in the block, where in the range, how many bytes. */
function* parts(offset: number, length: number) {
  for (let at = 0; at < length; ) {
    const block = Math.floor((offset + at) / BLOCK);
    const from = offset + at - block * BLOCK;
    const bytes = Math.min(BLOCK - from, length - at);
    yield { block, from, at, length: bytes };
    at += bytes;
  }
}
