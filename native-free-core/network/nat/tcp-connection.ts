// One TCP connection of a guest, ended here and continued by a socket of the host (RFC 9293), whoever of the two began it.
// Owns both directions' sequence numbers, what was sent and not acknowledged, and the timers of that.
// Never knows Ethernet or IP: it is given segments and gives segments.

import type { HostTcp, HostTcpEvents } from './host-sockets.ts';
import { dword, putDword, putWord, word } from './wire.ts';

export const TcpFlag = { fin: 1, syn: 2, reset: 4, push: 8, acknowledge: 16 } as const;
const HEADER_BYTES = 20;
/** Where a guest does not say how much it takes (RFC 9293, 3.7.1). */
const SEGMENT_DEFAULT = 536;
/** Bytes that wait in one direction, of a connection that has all the room: the socket is not read, the window closes. */
export const WAITING_MAX = 1024 * 1024;
/** What our windows are shifted by: {@link WAITING_MAX} can be told. */
const SCALE = 5;
/** Bytes of data that are sent at once, to be cut into segments further on: what one IP packet holds. */
const MESSAGE_DATA_MAX = 0xffff - 40 - 20;
/** Pieces of what waits are joined up to here: bytes that come one by one must not take a hundred times their room. */
const PIECE_LEAST = 4096;
/** Milliseconds before something is sent again, doubled each time; and how often that is tried. */
const RETRANSMIT_FIRST = 300;
const RETRANSMIT_MAX = 10_000;
const TRIES_MAX = 10;
/** Milliseconds for which a connection that is over is remembered, for a last segment that was lost. */
const LINGER = 2000;
/** Milliseconds for which the host may try to connect; a guest gives up at about the same time. */
const CONNECT_PATIENCE = 75_000;

export interface TcpSegment {
  sequence: number;
  acknowledged: number;
  flags: number;
  window: number;
  data: Uint8Array;
  /** Of a SYN: the largest segment and the shift of windows that the sender offers. */
  segmentMax: number | undefined;
  scale: number | undefined;
}

/** The segment in a TCP message; undefined where the header is damaged. */
export function readTcp(payload: Uint8Array): (TcpSegment & { from: number; to: number }) | undefined {
  const header = 4 * (payload[12] >> 4);
  if (payload.length < HEADER_BYTES || header < HEADER_BYTES || header > payload.length) return undefined;
  let segmentMax: number | undefined;
  let scale: number | undefined;
  for (let at = HEADER_BYTES; at < header && payload[at] !== 0; ) {
    const length = payload[at] === 1 ? 1 : (payload[at + 1] ?? 0);
    if (length === 0 || at + length > header) break;
    if (payload[at] === 2 && length === 4) segmentMax = word(payload, at + 2);
    if (payload[at] === 3 && length === 3) scale = Math.min(payload[at + 2], 14);
    at += length;
  }
  return {
    from: word(payload, 0),
    to: word(payload, 2),
    sequence: dword(payload, 4),
    acknowledged: dword(payload, 8),
    flags: payload[13],
    window: word(payload, 14),
    data: payload.subarray(header),
    segmentMax,
    scale,
  };
}

/** What is sent; its data as the pieces that it was got in. */
export interface OutgoingSegment extends Pick<TcpSegment, 'sequence' | 'acknowledged' | 'flags' | 'window'> {
  data: readonly Uint8Array[];
}

/** Bytes of pieces together. */
export function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

/** Bytes of a message with so many bytes of options. */
export function tcpLength({ data }: OutgoingSegment, options: readonly number[] = []): number {
  return HEADER_BYTES + options.length + lengthOf(data);
}

/** Writes a TCP message, with no checksum, to `at`; what is there does not matter. */
export function putTcp(
  bytes: Uint8Array,
  at: number,
  ports: { from: number; to: number },
  segment: OutgoingSegment,
  options: readonly number[] = [],
): void {
  const header = HEADER_BYTES + options.length;
  putWord(bytes, at, ports.from);
  putWord(bytes, at + 2, ports.to);
  putDword(bytes, at + 4, segment.sequence);
  putDword(bytes, at + 8, segment.acknowledged);
  bytes[at + 12] = (header / 4) << 4;
  bytes[at + 13] = segment.flags;
  putWord(bytes, at + 14, segment.window);
  // The checksum, and where urgent data ends.
  putDword(bytes, at + 16, 0);
  bytes.set(options, at + HEADER_BYTES);
  let end = at + header;
  for (const piece of segment.data) {
    bytes.set(piece, end);
    end += piece.length;
  }
}

/** A TCP message without its checksum. */
export function tcpMessage(
  from: number,
  to: number,
  segment: OutgoingSegment,
  options: readonly number[] = [],
): Uint8Array {
  const message = new Uint8Array(tcpLength(segment, options));
  putTcp(message, 0, { from, to }, segment, options);
  return message;
}

export interface TcpWiring {
  now(): number;
  /** The most that one segment carries on this network. */
  readonly largest: number;
  /** Bytes that may wait in each direction at the moment; at most {@link WAITING_MAX}. */
  room(): number;
  /** Sends a message to the guest, in segments of so many bytes where it is longer. */
  send(segment: OutgoingSegment, options: number[] | undefined, segmentMax: number): void;
  /** Both ends have heard of each other. */
  onOpen(): void;
  /** There is something to do when all that came at once has been dealt with: {@link TcpConnection.flush}. */
  wantsFlush(): void;
  /** The connection is over and can be forgotten. */
  onClosed(): void;
}

/** Bytes in order, taken from the front. */
class ByteQueue {
  private chunks: Uint8Array[] = [];
  length = 0;

  /** The bytes are the queue's from now on. */
  push(bytes: Uint8Array): void {
    this.length += bytes.length;
    const last = this.chunks.at(-1);
    if (last === undefined || last.length + bytes.length > PIECE_LEAST) {
      this.chunks.push(bytes);
      return;
    }
    const joined = new Uint8Array(last.length + bytes.length);
    joined.set(last);
    joined.set(bytes, last.length);
    this.chunks[this.chunks.length - 1] = joined;
  }

  /** Views of `length` bytes from `offset` on, or of what there is of them. */
  pieces(offset: number, length: number): Uint8Array[] {
    const end = Math.min(offset + length, this.length);
    const pieces: Uint8Array[] = [];
    let start = 0;
    for (const chunk of this.chunks) {
      if (start >= end) break;
      const from = Math.max(0, offset - start);
      const to = Math.min(chunk.length, end - start);
      if (from < to) pieces.push(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
      start += chunk.length;
    }
    return pieces;
  }

  drop(count: number): void {
    this.length -= count;
    for (let left = count; left > 0; ) {
      const [chunk] = this.chunks;
      if (chunk.length > left) {
        this.chunks[0] = chunk.subarray(left);
        return;
      }
      left -= chunk.length;
      this.chunks.shift();
    }
  }
}

/** How far `a` is ahead of `b`; negative where it is behind. */
function ahead(a: number, b: number): number {
  return (a - b) | 0;
}

export class TcpConnection {
  private readonly wiring: TcpWiring;
  private readonly host: HostTcp;
  /** `calling`: the guest was greeted and has not answered; `greeting`: it was answered. */
  private state: 'connecting' | 'calling' | 'greeting' | 'open' | 'closed';
  /** First byte not acknowledged by the guest, next to send, and all that was ever sent. */
  private unacknowledged: number;
  private next: number;
  private furthest: number;
  /** The next byte expected of the guest. */
  private expected = 0;
  private guestWindow = 0;
  private guestScale: number | null = null;
  private segmentMax = SEGMENT_DEFAULT;
  private readonly queue = new ByteQueue();
  private isPaused = false;
  /** The host will send nothing more; our FIN went out; the guest's came. */
  private hostEnded = false;
  private finSent = false;
  /** Our FIN is the last of {@link furthest}, whether or not it is being sent again. */
  private hasFin = false;
  private guestEnded = false;
  private owesAcknowledgement = false;
  /** The host's socket has read what was not sent yet. */
  private owesPump = false;
  /** What the guest sent and the host's socket has not been given yet: all that came at once is written at once. */
  private unwritten: Uint8Array[] = [];
  private unwrittenBytes = 0;
  private toldWindow = 0;
  private duplicates = 0;
  /** What was lost is being sent again until the guest has all up to here. */
  private recoverTo: number | null = null;
  private tries = 0;
  private retransmitAt = Infinity;
  private forgetAt = Infinity;
  private readonly connectBy: number;

  /**
   * `syn` is what the guest began with, and `connect` opens the host's socket; without one the host's socket is open, and the
   * guest is called. `start` is our first sequence number.
   */
  constructor(
    wiring: TcpWiring,
    syn: TcpSegment | undefined,
    start: number,
    connect: (events: HostTcpEvents) => HostTcp,
  ) {
    this.wiring = wiring;
    this.connectBy = wiring.now() + CONNECT_PATIENCE;
    this.unacknowledged = this.next = this.furthest = start >>> 0;
    this.state = syn ? 'connecting' : 'calling';
    if (syn) this.meet(syn);
    this.host = connect({
      connected: () => this.greet(),
      data: (bytes) => this.fromHost(bytes),
      drained: () => this.windowOpened(),
      ended: () => {
        this.hostEnded = true;
        this.pump();
      },
      closed: (reason) => this.hostClosed(reason),
    });
    if (!syn) this.call();
  }

  /** What the guest's SYN says of it. */
  private meet(syn: TcpSegment): void {
    this.expected = (syn.sequence + 1) >>> 0;
    this.guestWindow = syn.window;
    this.guestScale = syn.scale ?? null;
    this.segmentMax = Math.max(64, Math.min(syn.segmentMax ?? SEGMENT_DEFAULT, this.wiring.largest));
  }

  private get window(): number {
    const free = this.wiring.room() - this.host.pending - this.unwrittenBytes;
    return Math.max(0, this.guestScale === null ? Math.min(free, 0xffff) : free);
  }

  private emit(flags: number, sequence: number, data: readonly Uint8Array[] = [], options?: number[]): void {
    const isGreeting = (flags & TcpFlag.syn) !== 0;
    const { window } = this;
    this.toldWindow = window;
    this.owesAcknowledgement = false;
    // The window of a SYN is never shifted.
    const told = isGreeting || this.guestScale === null ? Math.min(window, 0xffff) : window >> SCALE;
    this.wiring.send({ sequence, acknowledged: this.expected, flags, window: told, data }, options, this.segmentMax);
  }

  private call(): void {
    this.next = this.furthest = (this.unacknowledged + 1) >>> 0;
    this.sendGreeting();
    this.expectAnswer();
  }

  private greet(): void {
    if (this.state !== 'connecting') return;
    this.state = 'greeting';
    this.next = this.furthest = (this.unacknowledged + 1) >>> 0;
    this.sendGreeting();
    this.expectAnswer();
  }

  private sendGreeting(): void {
    const isCall = this.state === 'calling';
    const scale = isCall || this.guestScale !== null ? [1, 3, 3, SCALE] : [];
    const { largest } = this.wiring;
    const options = [2, 4, largest >> 8, largest & 0xff, ...scale];
    this.emit(TcpFlag.syn | (isCall ? 0 : TcpFlag.acknowledge), this.unacknowledged, undefined, options);
  }

  private expectAnswer(): void {
    if (this.retransmitAt === Infinity)
      this.retransmitAt = this.wiring.now() + Math.min(RETRANSMIT_FIRST * 2 ** this.tries, RETRANSMIT_MAX);
  }

  /** The host's socket has read bytes, which are ours now. */
  private fromHost(bytes: Uint8Array): void {
    if (this.state === 'closed' || bytes.length === 0) return;
    this.queue.push(bytes);
    if (this.queue.length >= this.wiring.room() && !this.isPaused) {
      this.isPaused = true;
      this.host.pause();
    }
    if (this.state !== 'open') return;
    // More may come at once: what does not fill a message waits for it, until all that there is now was read.
    if (this.queue.length - ahead(this.next, this.unacknowledged) >= this.messageBytes) this.pump(true);
    this.owesPump = true;
    this.wiring.wantsFlush();
  }

  /** Bytes of a message of whole segments. */
  private get messageBytes(): number {
    return MESSAGE_DATA_MAX - (MESSAGE_DATA_MAX % this.segmentMax);
  }

  /** Sends what the guest's window has room for; `onlyFull`: messages that are as long as they can be. */
  private pump(onlyFull = false): void {
    if (this.state !== 'open') return;
    const { messageBytes } = this;
    for (;;) {
      const offset = ahead(this.next, this.unacknowledged);
      const waiting = this.queue.length - offset;
      const length = Math.min(messageBytes, Math.max(0, this.guestWindow - offset), waiting);
      if (length <= 0 || (onlyFull && length < messageBytes)) break;
      const isLast = length === waiting;
      this.emit(TcpFlag.acknowledge | (isLast ? TcpFlag.push : 0), this.next, this.queue.pieces(offset, length));
      this.advance(length);
    }
    if (onlyFull) {
      this.expectAnswer();
      return;
    }
    this.owesPump = false;
    const isAllSent = ahead(this.next, this.unacknowledged) === this.queue.length;
    if (this.hostEnded && isAllSent && !this.finSent) {
      this.finSent = true;
      this.hasFin = true;
      this.emit(TcpFlag.acknowledge | TcpFlag.fin, this.next);
      this.advance(1);
    }
    // A closed window is asked about again, by the same timer.
    if (this.next !== this.unacknowledged || this.queue.length > 0) this.expectAnswer();
  }

  private advance(count: number): void {
    this.next = (this.next + count) >>> 0;
    if (ahead(this.next, this.furthest) > 0) this.furthest = this.next;
  }

  /** A segment of the guest. */
  receive(segment: TcpSegment): void {
    const { flags } = segment;
    if (this.state === 'calling') {
      this.hearAnswer(segment);
      return;
    }
    if ((flags & TcpFlag.reset) !== 0) {
      // Only one that is in the window ends the connection (RFC 9293, 3.10.7.4).
      const at = ahead(segment.sequence, this.expected);
      if (at >= 0 && at <= WAITING_MAX) this.close();
      return;
    }
    if ((flags & TcpFlag.syn) !== 0) {
      if (this.state === 'greeting') this.sendGreeting();
      else if (this.state === 'open') this.emit(TcpFlag.acknowledge, this.next);
      return;
    }
    if ((flags & TcpFlag.acknowledge) === 0 || this.state === 'connecting' || this.state === 'closed') return;
    if (!this.acknowledge(segment)) return;
    if (segment.data.length > 0 || (flags & TcpFlag.fin) !== 0) this.take(segment);
    this.pump();
    this.lingerIfDone();
  }

  /** The guest was called: what it says counts only if it has heard us (RFC 9293, 3.10.7.3). */
  private hearAnswer(segment: TcpSegment): void {
    const { flags } = segment;
    if ((flags & TcpFlag.acknowledge) === 0 || segment.acknowledged !== this.furthest) return;
    if ((flags & TcpFlag.reset) !== 0) {
      this.close();
      return;
    }
    if ((flags & TcpFlag.syn) === 0) return;
    this.meet(segment);
    this.open(segment);
    this.oweAcknowledgement();
    this.pump();
  }

  private open(segment: TcpSegment): void {
    this.state = 'open';
    this.unacknowledged = segment.acknowledged;
    this.settle();
    this.wiring.onOpen();
  }

  private oweAcknowledgement(): void {
    this.owesAcknowledgement = true;
    this.wiring.wantsFlush();
  }

  /** What the guest has got of us; false if it names what was never sent. */
  private acknowledge(segment: TcpSegment): boolean {
    const progress = ahead(segment.acknowledged, this.unacknowledged);
    if (ahead(segment.acknowledged, this.furthest) > 0) {
      this.oweAcknowledgement();
      return false;
    }
    if (this.state === 'greeting') {
      if (progress !== 1) return false;
      this.open(segment);
    } else if (progress > 0) {
      const isFinAcknowledged = this.hasFin && segment.acknowledged === this.furthest;
      this.queue.drop(progress - (isFinAcknowledged ? 1 : 0));
      // A FIN that has arrived is not sent again.
      if (isFinAcknowledged) this.finSent = true;
      this.unacknowledged = segment.acknowledged;
      if (ahead(this.next, this.unacknowledged) < 0) this.next = this.unacknowledged;
      this.settle();
      if (this.recoverTo !== null) {
        // Less than all: the next one was lost too (RFC 6582, 3.2).
        if (ahead(this.unacknowledged, this.recoverTo) >= 0) this.recoverTo = null;
        else this.sendFirst();
      }
      if (this.isPaused && this.queue.length < this.wiring.room() / 2) {
        this.isPaused = false;
        this.host.resume();
      }
    } else if (progress === 0 && segment.data.length === 0 && this.next !== this.unacknowledged) {
      // Three of the same: something was lost on the way (RFC 5681, 3.2).
      if (++this.duplicates === 3 && this.recoverTo === null) {
        this.recoverTo = this.furthest;
        this.sendFirst();
      }
    }
    this.guestWindow = segment.window << (this.guestScale ?? 0);
    return true;
  }

  private settle(): void {
    this.duplicates = 0;
    this.tries = 0;
    this.retransmitAt = Infinity;
    if (this.next !== this.unacknowledged) this.expectAnswer();
  }

  /** Data and FIN of the guest. Only what comes in order is taken: the guest sends the rest again. */
  private take({ sequence, data, flags }: TcpSegment): void {
    this.oweAcknowledgement();
    const behind = ahead(this.expected, sequence);
    if (behind < 0 || behind > data.length || this.guestEnded) return;
    const fresh = data.subarray(behind, behind + this.window);
    if (fresh.length > 0) {
      // The frame is the guest's ring's.
      this.unwritten.push(fresh.slice());
      this.unwrittenBytes += fresh.length;
      this.expected = (this.expected + fresh.length) >>> 0;
    }
    if ((flags & TcpFlag.fin) === 0 || behind + fresh.length !== data.length) return;
    this.expected = (this.expected + 1) >>> 0;
    this.guestEnded = true;
    this.write();
    this.host.end();
  }

  private windowOpened(): void {
    if (this.state !== 'open') return;
    // A guest that was told of no room waits to hear of some.
    if (this.window - this.toldWindow >= this.wiring.room() / 2 || this.toldWindow < this.wiring.largest)
      this.owesAcknowledgement = true;
    this.flush();
  }

  /** Gives the host's socket what came. */
  private write(): void {
    const { unwritten } = this;
    if (unwritten.length === 0) return;
    this.unwritten = [];
    this.unwrittenBytes = 0;
    this.host.write(unwritten);
  }

  /** Writes what came, sends what was read, and the acknowledgement that is owed: one for all of it. */
  flush(): void {
    if (this.state === 'closed') return;
    this.write();
    if (this.owesPump) this.pump();
    if (this.owesAcknowledgement) this.emit(TcpFlag.acknowledge, this.next);
  }

  /** Sends the first segment that the guest lacks once more, and nothing else: the others may have arrived. */
  private sendFirst(): void {
    const data = this.queue.pieces(0, Math.min(this.segmentMax, this.guestWindow));
    if (data.length > 0) this.emit(TcpFlag.acknowledge, this.unacknowledged, data);
    else if (this.hasFin && this.queue.length === 0) this.emit(TcpFlag.acknowledge | TcpFlag.fin, this.unacknowledged);
    this.expectAnswer();
  }

  /** Nothing was heard for too long: all is sent again from the first byte on that the guest lacks. */
  private sendAgain(): void {
    this.duplicates = 0;
    this.recoverTo = null;
    this.retransmitAt = Infinity;
    if (this.state === 'greeting' || this.state === 'calling') {
      this.sendGreeting();
      this.expectAnswer();
      return;
    }
    this.next = this.unacknowledged;
    this.finSent = false;
    // One byte asks a window that is closed.
    if (this.guestWindow === 0 && this.queue.length > 0) {
      this.emit(TcpFlag.acknowledge, this.next, this.queue.pieces(0, 1));
      this.advance(1);
    }
    this.pump();
    this.expectAnswer();
  }

  /** To be called every now and then: what is due by time. */
  tick(now: number): void {
    if (now >= this.forgetAt) {
      this.close();
      return;
    }
    if (this.state === 'connecting' && now >= this.connectBy) {
      this.refuse();
      return;
    }
    if (now < this.retransmitAt || this.state === 'closed') return;
    if (++this.tries > TRIES_MAX) {
      this.refuse();
      return;
    }
    this.sendAgain();
  }

  private lingerIfDone(): void {
    const isDone = this.finSent && this.guestEnded && this.unacknowledged === this.furthest;
    if (isDone && this.forgetAt === Infinity) this.forgetAt = this.wiring.now() + LINGER;
  }

  private hostClosed(reason: 'refused' | 'unreachable' | 'reset' | 'done'): void {
    if (reason === 'done' || this.state === 'closed') return;
    this.refuse();
  }

  /** Tells the guest that there is no connection, and forgets it. */
  private refuse(): void {
    if (this.state !== 'closed') this.emit(TcpFlag.reset | TcpFlag.acknowledge, this.furthest);
    this.close();
  }

  /** Ends it without a word. */
  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.host.destroy();
    this.wiring.onClosed();
  }
}
