// A chain of buffers that a driver made available: first those the device reads, then those it writes.
// Owns the copy of the descriptors that was taken when the chain was: what the driver changes afterwards is never looked at.
// Never knows the ring's layout.

import type { LentMemory } from '../dma.ts';
import { QueueFault, type QueueMemory, TABLE_MAX } from './memory.ts';

/** Descriptors of a chain, its indirect ones included. More than any queue here has entries. */
export const CHAIN_DESCRIPTORS_MAX = TABLE_MAX;

/** A range of guest-physical bytes. */
export interface Span {
  readonly address: number;
  readonly length: number;
}

function total(spans: readonly Span[]): number {
  let bytes = 0;
  for (const { length } of spans) bytes += length;
  return bytes;
}

/** What a chain came from; it is dead once its queue was reset. */
export interface ChainOrigin {
  readonly memory: QueueMemory;
  isDead: boolean;
}

export class Chain {
  /** Index of the first descriptor in a split ring, buffer id in a packed one. */
  readonly id: number;
  /** Descriptors it takes of the ring itself. */
  readonly slots: number;
  readonly readable: readonly Span[];
  readonly writable: readonly Span[];
  readonly readableBytes: number;
  readonly writableBytes: number;
  private readonly origin: ChainOrigin;

  constructor(origin: ChainOrigin, id: number, slots: number, spans: ChainSpans) {
    this.origin = origin;
    this.id = id;
    this.slots = slots;
    this.readable = spans.readable;
    this.writable = spans.writable;
    this.readableBytes = total(spans.readable);
    this.writableBytes = total(spans.writable);
  }

  /** Whether its queue is still as it was when the chain was taken: otherwise its memory is not the device's any more. */
  get isLive(): boolean {
    return !this.origin.isDead;
  }

  isOf(origin: ChainOrigin): boolean {
    return this.origin === origin;
  }

  /** Fills `into` with what the driver gave from byte `offset` on. Throws a {@link QueueFault} where there is less. */
  read(offset: number, into: Uint8Array): void {
    this.walk(this.readable, offset, into.length, (address, at, length) => {
      this.origin.memory.read(address, into.subarray(at, at + length));
    });
  }

  /** Gives the driver `bytes` from byte `offset` of its writable part on. Throws a {@link QueueFault} where there is less room. */
  write(offset: number, bytes: Uint8Array): void {
    this.walk(this.writable, offset, bytes.length, (address, at, length) => {
      this.origin.memory.write(address, bytes.subarray(at, at + length));
    });
  }

  /**
   * Appends to `runs` where bytes of the readable part lie, or with `toWrite` of the writable one, as {@link LentMemory.locate}
   * does. False where there are not so many, or not all of them are memory.
   */
  locate(memory: LentMemory, toWrite: boolean, offset: number, length: number, runs: number[]): boolean {
    let skip = offset;
    let left = length;
    for (const span of toWrite ? this.writable : this.readable) {
      if (left === 0) break;
      if (skip >= span.length) {
        skip -= span.length;
        continue;
      }
      const part = Math.min(span.length - skip, left);
      if (!memory.locate(span.address + skip, part, toWrite, runs)) return false;
      left -= part;
      skip = 0;
    }
    return left === 0;
  }

  private walk(
    spans: readonly Span[],
    offset: number,
    length: number,
    act: (address: number, at: number, length: number) => void,
  ): void {
    let skip = offset;
    let done = 0;
    for (const span of spans) {
      if (done === length) return;
      if (skip >= span.length) {
        skip -= span.length;
        continue;
      }
      const part = Math.min(span.length - skip, length - done);
      act(span.address + skip, done, part);
      done += part;
      skip = 0;
    }
    if (done < length)
      throw new QueueFault(`A request has ${offset + done} bytes where ${offset + length} are needed.`);
  }

  /** All of the readable part, which is at most `most` bytes. Throws a {@link QueueFault} where it is more. */
  readAll(most: number): Uint8Array {
    if (this.readableBytes > most)
      throw new QueueFault(`A request of ${this.readableBytes} bytes is longer than the ${most} that any has.`);
    const bytes = new Uint8Array(this.readableBytes);
    this.read(0, bytes);
    return bytes;
  }
}

export function tooLong(): QueueFault {
  return new QueueFault(`A chain has more than ${CHAIN_DESCRIPTORS_MAX} descriptors.`);
}

/** The spans of a chain as its descriptors are gone through, in the order that the standard demands. */
export class ChainSpans {
  readonly readable: Span[] = [];
  readonly writable: Span[] = [];
  private count = 0;

  add(address: number, length: number, isWritable: boolean): void {
    if (++this.count > CHAIN_DESCRIPTORS_MAX) throw tooLong();
    if (!isWritable && this.writable.length > 0)
      throw new QueueFault('A chain has a readable descriptor behind a writable one.');
    if (length > 0) (isWritable ? this.writable : this.readable).push({ address, length });
  }
}
