// A bounded queue of frames in shared memory, with one thread that writes and one that reads.
// Owns the layout and the order of its accesses.
// Never waits and never wakes anybody: it tells its user when somebody is to be woken.

import { NET_HEADER_BYTES } from '../devices/offload.ts';
import { copyBytes } from '../memory/copy.ts';

/** Words before the data: the bytes written so far and the bytes read so far, modulo 2^32. */
const WRITTEN = 0;
const READ = 1;
/** A cache line each, so that the two threads do not fight over one. */
const HEADER_BYTES = 128;
const READ_INDEX = 16 * READ;
/** Set by a writer that found no room and wants to be woken when there is some. */
const WAITING = 2;
/** Whether somebody reads, or writes, at the other end: the link is up. */
const OPEN = 3;
/** What the reader takes unfinished, bits of `Unfinished` (devices/offload.ts). */
const TAKES = 4;
/**
 * A record: its length in a word, then the frame, padded to whole eight bytes. A frame so begins four bytes behind those, as it
 * does behind the header of a virtio device: copies from there on are of whole words.
 */
const LENGTH_BYTES = 4;
const ALIGNMENT = 8;
/** Bit of a length: before the frame is the header of an unfinished one, with its padding; they count as part of the length. */
const HAS_HEADER = 0x4000_0000;
const HEADER_ROOM = 16;
/** In place of a length: the rest up to the end of the data is empty. */
const WRAP = 0xffffffff;

/**
 * Bytes of data of a ring that a card has in each direction: some 60 messages that nobody has cut, so that two guests in one
 * conversation lose none.
 */
export const RING_BYTES = 4 << 20;

/** The longest frame that a ring carries: room for a whole segmentation offload. */
export const RING_FRAME_MAX = 0x10000 + 256;

function recordBytes(length: number): number {
  return (LENGTH_BYTES + length + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

export class PacketRing {
  readonly buffer: SharedArrayBuffer;
  private readonly counters: Int32Array;
  private readonly lengths: Uint32Array;
  private readonly data: Uint8Array;
  private readonly size: number;

  /** A new ring of `bytes` of data, a power of two of at least 256 KiB, or the other end of one that is there. */
  constructor(from: number | SharedArrayBuffer = RING_BYTES) {
    this.buffer = typeof from === 'number' ? new SharedArrayBuffer(HEADER_BYTES + from) : from;
    this.size = this.buffer.byteLength - HEADER_BYTES;
    if (this.size < 4 * 0x10000 || (this.size & (this.size - 1)) !== 0)
      throw new RangeError(`a ring of ${this.size} bytes is too small, or no power of two`);
    this.counters = new Int32Array(this.buffer, 0, HEADER_BYTES / 4);
    this.lengths = new Uint32Array(this.buffer, HEADER_BYTES, this.size / 4);
    this.data = new Uint8Array(this.buffer, HEADER_BYTES, this.size);
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return Atomics.load(this.counters, WRITTEN) === Atomics.load(this.counters, READ_INDEX);
  }

  /** Bytes of data that are free; the writer's view of it. */
  get free(): number {
    const used = (Atomics.load(this.counters, WRITTEN) - Atomics.load(this.counters, READ_INDEX)) >>> 0;
    return this.size - used;
  }

  /**
   * Appends a copy of a frame. `full`: no room, nothing was done. `first`: the ring had been empty, so the reader may be
   * asleep. `header`: that of an unfinished frame. For the writing thread.
   */
  push(frame: Uint8Array, header?: Uint8Array): 'full' | 'first' | 'done' {
    if (frame.length > RING_FRAME_MAX) return 'full';
    const written = Atomics.load(this.counters, WRITTEN);
    const headerBytes = header ? HEADER_ROOM : 0;
    const length = headerBytes + frame.length;
    const bytes = recordBytes(length);
    let at = (written >>> 0) % this.size;
    // A record is never split: one that does not fit before the end begins at the start again.
    const skipped = at + bytes > this.size ? this.size - at : 0;
    if (this.free < bytes + skipped) {
      Atomics.store(this.counters, WAITING, 1);
      // The reader may have made room just before it could see that somebody waits.
      if (this.free < bytes + skipped) return 'full';
    }
    if (skipped > 0) {
      this.lengths[at >>> 2] = WRAP;
      at = 0;
    }
    this.lengths[at >>> 2] = header ? length | HAS_HEADER : length;
    if (header) this.data.set(header, at + LENGTH_BYTES);
    copyBytes(this.data, at + LENGTH_BYTES + headerBytes, frame);
    Atomics.store(this.counters, WRITTEN, (written + skipped + bytes) | 0);
    // Looked at after the store: either this sees that the reader had come to the end, or the reader sees the frame.
    return Atomics.load(this.counters, READ_INDEX) === written ? 'first' : 'done';
  }

  /** The frame that waits longest, or undefined; its bytes are valid until {@link advance}. For the reading thread. */
  next(): Uint8Array | undefined {
    const read = Atomics.load(this.counters, READ_INDEX);
    if (Atomics.load(this.counters, WRITTEN) === read) return undefined;
    const at = this.start(read);
    const length = this.lengths[at >>> 2];
    const record = this.data.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + (length & ~HAS_HEADER));
    return (length & HAS_HEADER) === 0 ? record : record.subarray(HEADER_ROOM);
  }

  /** The header of the frame that {@link next} gave, if it is unfinished; valid as long. */
  get header(): Uint8Array | undefined {
    const read = Atomics.load(this.counters, READ_INDEX);
    if (Atomics.load(this.counters, WRITTEN) === read) return undefined;
    const at = this.start(read);
    if ((this.lengths[at >>> 2] & HAS_HEADER) === 0) return undefined;
    return this.data.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + NET_HEADER_BYTES);
  }

  /** What the reader takes unfinished. */
  get takes(): number {
    return Atomics.load(this.counters, TAKES);
  }

  set takes(kinds: number) {
    Atomics.store(this.counters, TAKES, kinds);
  }

  /** Takes away what {@link next} gave. */
  advance(): void {
    const read = Atomics.load(this.counters, READ_INDEX);
    if (Atomics.load(this.counters, WRITTEN) === read) return;
    const before = (read >>> 0) % this.size;
    const at = this.start(read);
    const skipped = at === before ? 0 : this.size - before;
    const bytes = recordBytes(this.lengths[at >>> 2] & ~HAS_HEADER);
    Atomics.store(this.counters, READ_INDEX, (read + skipped + bytes) | 0);
  }

  /** Whether the writer waits for room; asking makes it wait no more. For the reading thread, which then wakes it. */
  takeWaiting(): boolean {
    return Atomics.load(this.counters, WAITING) === 1 && Atomics.exchange(this.counters, WAITING, 0) === 1;
  }

  /** Whether the link that this ring is one half of is up. */
  get isOpen(): boolean {
    return Atomics.load(this.counters, OPEN) === 1;
  }

  set isOpen(isOpen: boolean) {
    Atomics.store(this.counters, OPEN, isOpen ? 1 : 0);
  }

  /** Throws away all that waits. For the reading thread. */
  clear(): void {
    Atomics.store(this.counters, READ_INDEX, Atomics.load(this.counters, WRITTEN));
  }

  /** Where the record at a count of bytes really begins. */
  private start(count: number): number {
    const at = (count >>> 0) % this.size;
    return this.lengths[at >>> 2] === WRAP ? 0 : at;
  }
}
