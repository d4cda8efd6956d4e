// Fragments of IP packets, put together again (RFC 791, 3.2; RFC 8200, 4.5).
// Owns what has come of packets that are not whole yet.
// Never keeps fragments that overlap: what a guest hides in them nobody asks for (RFC 5722).

import type { Fragments, IpAddress } from './wire.ts';

/** Packets that are not whole, of one station and of all: more only displace the oldest. */
const SOURCE_MAX = 16;
const PACKETS_MAX = 64;
/** Bytes of a packet behind its header, and of its pieces: what a flood of small ones can take is bounded by both. */
const BYTES_MAX = 0xffff - 20;
const PIECES_MAX = 128;
/** Milliseconds for which the rest is waited for; Linux waits as long. */
const PATIENCE = 30_000;

interface Partial {
  source: IpAddress;
  since: number;
  /** In order of their places; none overlaps another. */
  pieces: { at: number; data: Uint8Array }[];
  /** Bytes of the whole, once its last piece has come. */
  total: number | undefined;
}

export class Reassembly implements Fragments {
  private readonly now: () => number;
  /** Oldest first. */
  private readonly partials = new Map<string, Partial>();
  /** Packets that were thrown away: damaged, overlapping, too many, or never whole. */
  dropped = 0;

  /** `now` gives milliseconds of a clock that does not go back. */
  constructor(now: () => number) {
    this.now = now;
  }

  /** Packets that are not whole. */
  get size(): number {
    return this.partials.size;
  }

  add(source: IpAddress, key: string, at: number, isLast: boolean, data: Uint8Array): Uint8Array | undefined {
    this.expire();
    const end = at + data.length;
    if (data.length === 0 || end > BYTES_MAX || (!isLast && data.length % 8 !== 0)) return this.drop(key);
    let partial = this.partials.get(key);
    if (partial === undefined) {
      this.makeRoom(source);
      this.partials.set(key, (partial = { source, since: this.now(), pieces: [], total: undefined }));
    }
    const { pieces } = partial;
    const place = pieces.findIndex((piece) => piece.at >= at);
    const index = place < 0 ? pieces.length : place;
    const [before, next] = [pieces[index - 1], pieces[index]];
    // The same once more is no attack: networks do that.
    if (next?.at === at && next.data.length === data.length) return undefined;
    const overlaps =
      (before !== undefined && before.at + before.data.length > at) || (next !== undefined && next.at < end);
    const last = pieces.at(-1);
    const furthest = Math.max(end, last === undefined ? 0 : last.at + last.data.length);
    const isLonger = isLast ? partial.total !== undefined || furthest > end : furthest > (partial.total ?? Infinity);
    if (overlaps || isLonger || pieces.length >= PIECES_MAX) return this.drop(key);
    if (isLast) partial.total = end;
    pieces.splice(index, 0, { at, data: data.slice() });
    const has = pieces.reduce((sum, piece) => sum + piece.data.length, 0);
    if (has !== partial.total) return undefined;
    this.partials.delete(key);
    const whole = new Uint8Array(has);
    for (const piece of pieces) whole.set(piece.data, piece.at);
    return whole;
  }

  /** Throws away what has waited for too long. */
  expire(): void {
    const oldest = this.now() - PATIENCE;
    for (const [key, { since }] of this.partials) {
      if (since > oldest) return;
      this.drop(key);
    }
  }

  private makeRoom(source: IpAddress): void {
    const own = [...this.partials].filter(([, partial]) => partial.source === source);
    if (own.length >= SOURCE_MAX) this.drop(own[0][0]);
    else if (this.partials.size >= PACKETS_MAX) this.drop(this.partials.keys().next().value!);
  }

  private drop(key: string): undefined {
    this.partials.delete(key);
    this.dropped++;
    return undefined;
  }
}
