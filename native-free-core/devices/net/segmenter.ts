// What cards with offloads do to a frame before it goes out: segmentation, checksums, the VLAN tag.
// Owns the frame under way from its descriptors to the last segment (as Intel 317453, 3.4 to 3.6 tells it).
// Never reads a descriptor or guest memory.

import type { SavedState } from '../device.ts';
import { addWords, FRAME_MIN, fold, JUMBO_MAX } from '../packets.ts';
import { openState } from '../saved-state.ts';

/** Where checksums begin, go and end, and how a long message is cut. Offsets are from the frame's start; an end of 0 is its last byte. */
export interface TransmitContext {
  ipStart: number;
  ipOffset: number;
  ipEnd: number;
  start: number;
  offset: number;
  end: number;
  payload: number;
  header: number;
  segment: number;
  isTcp: boolean;
  isIpv4: boolean;
}

const contextNumbers = ['ipStart', 'ipOffset', 'ipEnd', 'start', 'offset', 'end', 'payload', 'header'] as const;

export const emptyContext: TransmitContext = {
  ...{ ipStart: 0, ipOffset: 0, ipEnd: 0, start: 0, offset: 0, end: 0, payload: 0, header: 0, segment: 0 },
  ...{ isTcp: false, isIpv4: false },
};

/** What is asked for a frame beside its bytes. */
export interface FrameOptions {
  segmented: boolean;
  ipChecksum: boolean;
  transportChecksum: boolean;
  /** The tag to put in, with its type, or null. */
  tag: { type: number; value: number } | null;
  padShort: boolean;
}

/**
 * The most that a message to be cut may have, header included: IP cannot tell more. A guest that describes more loses the
 * message, not our memory.
 */
export const MESSAGE_MAX = 0x10000 + 256;
const TCP_FIN_PSH = 0x09;

export class Segmenter {
  private readonly message = new Uint8Array(MESSAGE_MAX);
  private readonly frame = new Uint8Array(JUMBO_MAX + 4);
  private length = 0;
  private overflowed = false;
  private context: TransmitContext = emptyContext;
  private options: FrameOptions | null = null;
  /** Payload bytes of the message that went out, and in how many segments. */
  private sent = 0;
  private segments = 0;
  private ready: Uint8Array | null = null;

  /** Appends bytes of the message under way; `fill` writes them into what it is given. */
  append(length: number, fill: (into: Uint8Array) => void): void {
    if (this.length + length > MESSAGE_MAX) {
      this.overflowed = true;
      return;
    }
    fill(this.message.subarray(this.length, this.length + length));
    this.length += length;
  }

  /** The message so far, to be changed before it is whole. */
  get assembled(): Uint8Array {
    return this.message.subarray(0, this.length);
  }

  /** The message is whole. False where it cannot go out: too long, or nonsense. */
  finish(options: FrameOptions, context: TransmitContext): boolean {
    const fits = options.segmented
      ? context.segment > 0 && context.header > 0 && context.header <= this.length
      : this.length <= JUMBO_MAX;
    const longest = options.segmented ? context.header + context.segment : this.length;
    if (this.overflowed || this.length === 0 || !fits || longest > JUMBO_MAX) {
      this.drop();
      return false;
    }
    this.options = options;
    this.context = context;
    this.sent = 0;
    this.segments = 0;
    return true;
  }

  /** The frame that is to go out now, or undefined. The same until {@link advance}. */
  next(): Uint8Array | undefined {
    if (this.options === null) return undefined;
    this.ready ??= this.options.segmented ? this.segment(this.options) : this.whole(this.options);
    return this.ready;
  }

  /** Whether the frame that goes out now is cut from a longer message. */
  get isSegmented(): boolean {
    return this.options?.segmented === true;
  }

  /** The frame of {@link next} went out. */
  advance(): void {
    this.ready = null;
    if (this.options === null) return;
    if (this.options.segmented) {
      this.segments++;
      this.sent += this.context.segment;
      if (this.sent < this.length - this.context.header) return;
    }
    this.drop();
  }

  /** Forgets the message under way. */
  drop(): void {
    this.length = 0;
    this.overflowed = false;
    this.options = null;
    this.ready = null;
  }

  private whole(options: FrameOptions): Uint8Array {
    const { message, frame, length, context } = this;
    frame.set(message.subarray(0, length));
    if (options.ipChecksum) putChecksum(frame, length, context.ipStart, context.ipOffset, context.ipEnd);
    if (options.transportChecksum) putChecksum(frame, length, context.start, context.offset, context.end);
    return this.dressed(length, options);
  }

  private segment(options: FrameOptions): Uint8Array {
    const { message, frame, context, sent, segments } = this;
    const { header, ipStart, start } = context;
    const payload = this.length - header;
    const part = Math.min(context.segment, payload - sent);
    const isLast = sent + part >= payload;
    frame.set(message.subarray(0, header));
    frame.set(message.subarray(header + sent, header + sent + part), header);
    const length = header + part;
    if (context.isIpv4) {
      putWord(frame, length, ipStart + 2, length - ipStart);
      putWord(frame, length, ipStart + 4, word(frame, ipStart + 4) + segments);
    } else putWord(frame, length, ipStart + 4, length - ipStart - 40);
    const transport = length - start;
    if (context.isTcp) {
      const sequence = (word(frame, start + 4) * 0x10000 + word(frame, start + 6) + sent) % 2 ** 32;
      putWord(frame, length, start + 4, Math.floor(sequence / 0x10000));
      putWord(frame, length, start + 6, sequence);
      if (!isLast && start + 13 < length) frame[start + 13] &= ~TCP_FIN_PSH;
    } else putWord(frame, length, start + 4, transport);
    if (options.transportChecksum && context.offset + 1 < length) {
      // The sum of the pseudo header stands there, without the length, which only whoever cuts knows.
      putWord(frame, length, context.offset, fold(word(frame, context.offset) + transport));
      putChecksum(frame, length, context.start, context.offset, context.end);
    }
    if (options.ipChecksum) putChecksum(frame, length, context.ipStart, context.ipOffset, context.ipEnd);
    return this.dressed(length, options);
  }

  /** Puts the tag in and pads. */
  private dressed(length: number, { tag, padShort }: FrameOptions): Uint8Array {
    const { frame } = this;
    let end = length;
    if (tag !== null && length >= 12) {
      frame.copyWithin(16, 12, length);
      frame[12] = tag.type >> 8;
      frame[13] = tag.type;
      frame[14] = tag.value >> 8;
      frame[15] = tag.value;
      end += 4;
    }
    if (padShort && end < FRAME_MIN) {
      frame.fill(0, end, FRAME_MIN);
      end = FRAME_MIN;
    }
    return frame.subarray(0, end);
  }

  save(): SavedState {
    const { length, overflowed, context, options, sent, segments } = this;
    return {
      version: 1,
      message: this.message.slice(0, length),
      length,
      context: { ...context },
      options: options && { ...options, tag: options.tag && { ...options.tag } },
      ...{ overflowed, sent, segments },
    };
  }

  restore(state: SavedState): void {
    const reader = openState('segmenter', 1, state);
    const length = reader.integer('length', 0, MESSAGE_MAX);
    const message = reader.bytes('message', length);
    const context = readContext(reader.record('context'));
    const saved = state.options === null ? null : reader.record('options');
    let options: FrameOptions | null = null;
    if (saved !== null) {
      const hasTag = (state.options as { tag: unknown }).tag !== null;
      const tag = hasTag ? saved.record('tag') : null;
      options = {
        segmented: saved.boolean('segmented'),
        ipChecksum: saved.boolean('ipChecksum'),
        transportChecksum: saved.boolean('transportChecksum'),
        tag: tag && { type: tag.word('type'), value: tag.word('value') },
        padShort: saved.boolean('padShort'),
      };
      const longest = options.segmented ? context.header + context.segment : length;
      if (
        longest > JUMBO_MAX ||
        length === 0 ||
        (options.segmented && (context.segment === 0 || context.header > length))
      )
        throw new Error('the saved state of the segmenter has a frame that cannot go out');
    }
    const sent = reader.integer('sent', 0, MESSAGE_MAX);
    if (options?.segmented && sent > length - context.header)
      throw new Error('the saved state of the segmenter has no valid sent');
    this.message.set(message);
    this.overflowed = reader.boolean('overflowed');
    Object.assign(this, { length, context, options, sent, segments: reader.word('segments'), ready: null });
  }
}

/** Reads a context that {@link Segmenter.save} or the transmitter saved. */
export function readContext(reader: ReturnType<typeof openState>): TransmitContext {
  const numbers = Object.fromEntries(contextNumbers.map((name) => [name, reader.integer(name, 0, 0xfffff)]));
  return {
    ...(numbers as Pick<TransmitContext, (typeof contextNumbers)[number]>),
    segment: reader.word('segment'),
    isTcp: reader.boolean('isTcp'),
    isIpv4: reader.boolean('isIpv4'),
  };
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

/** Writes 16 bits into the first `length` bytes; a place outside them takes nothing. */
function putWord(bytes: Uint8Array, length: number, at: number, value: number): void {
  if (at < 0 || at + 1 >= length) return;
  bytes[at] = (value >>> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

/**
 * Puts the checksum of bytes `start` to `end` (0: the last) at `offset`. What stands there takes part: the driver put the
 * sum of the pseudo header there, or zero. A sum of zero is sent as all ones, which UDP needs and others take for the same.
 */
export function putChecksum(bytes: Uint8Array, length: number, start: number, offset: number, end: number): void {
  const stop = end !== 0 && end + 1 < length ? end + 1 : length;
  if (start >= stop) return;
  const sum = ~fold(addWords(0, bytes, start, stop)) & 0xffff;
  putWord(bytes, length, offset, sum === 0 ? 0xffff : sum);
}
