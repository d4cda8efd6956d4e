// Translation requests on their way from a guest's thread to its translating thread, in memory that both share.
// Owns the ring's layout and when the reader is woken.
// Never carries replies: those have modules in them, which only messages can.

import type { TranslationRequest } from '../../native-free-core/cpu/translator/translation.ts';

/** Words of the ring proper. A request takes 11, and one more for each page that keeps changing. */
const RING_WORDS = 1 << 16;
const RING_MASK = RING_WORDS - 1;
/** Words before it. Positions count words since the beginning, modulo 2^32. */
const Header = { written: 0, read: 1, isAsleep: 2, words: 4 } as const;
/** Of a request: its length, flags and fields. */
const FIXED_WORDS = 11;
const Flag = { linear: 1, everything: 2, changing: 4, user: 8 } as const;

/** Milliseconds between two looks of a reader that has had work lately. */
const LOOK_EVERY = 1;
/** Milliseconds without work after which the reader sleeps until it is woken. */
const AWAKE_FOR = 200;

export function createRing(): SharedArrayBuffer {
  return new SharedArrayBuffer((Header.words + RING_WORDS) * 4);
}

/** The guest's end. */
export class RequestWriter {
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  /** Puts a request into the ring; false where there is no room, which there will be once the reader has gone on. */
  write(request: TranslationRequest): boolean {
    const words = this.#words;
    const { changing } = request;
    const length = FIXED_WORDS + (changing?.length ?? 0);
    const written = words[Header.written];
    if (((written - Atomics.load(words, Header.read)) >>> 0) + length > RING_WORDS) return false;
    const flags =
      (request.user ? Flag.user : 0) |
      (request.linear ? Flag.linear : 0) |
      (request.everything ? Flag.everything : 0) |
      (changing ? Flag.changing : 0);
    const fields = [
      length,
      flags,
      request.pc,
      request.generation,
      request.page,
      request.physicalPage,
      request.offset,
      request.mode,
      request.codeBaseLow,
      request.codeBaseHigh,
      request.executeTable,
    ];
    let at = written;
    const put = (value: number): void => {
      words[Header.words + (at++ & RING_MASK)] = value;
    };
    for (const field of fields) put(field);
    for (const page of changing ?? []) put(page);
    Atomics.store(words, Header.written, at | 0);
    return true;
  }

  /**
   * Wakes the reader if it sleeps. Waking another thread takes tens of microseconds, hundreds on a virtual host: a reader
   * that has had work lately looks by itself.
   */
  wake(): void {
    if (Atomics.load(this.#words, Header.isAsleep) === 0) return;
    Atomics.store(this.#words, Header.isAsleep, 0);
    Atomics.notify(this.#words, Header.isAsleep);
  }
}

/** The translating thread's end. */
export class RequestReader {
  readonly #words: Int32Array;
  readonly #now: () => number;
  #busyAt: number;

  /** `now` is a clock in milliseconds. */
  constructor(buffer: SharedArrayBuffer, now: () => number) {
    this.#words = new Int32Array(buffer);
    this.#now = now;
    this.#busyAt = now();
  }

  /** The next request, if there is one. */
  read(): TranslationRequest | undefined {
    const words = this.#words;
    const read = words[Header.read];
    if (read === Atomics.load(words, Header.written)) return undefined;
    const word = (index: number): number => words[Header.words + ((read + index) & RING_MASK)];
    const length = word(0);
    const flags = word(1);
    const request: TranslationRequest = {
      pc: word(2) >>> 0,
      generation: word(3),
      page: word(4) >>> 0,
      physicalPage: word(5) >>> 0,
      offset: word(6),
      mode: word(7),
      codeBaseLow: word(8) >>> 0,
      codeBaseHigh: word(9) >>> 0,
      executeTable: word(10) >>> 0,
      user: (flags & Flag.user) !== 0,
      linear: (flags & Flag.linear) !== 0,
      everything: (flags & Flag.everything) !== 0,
      ...(flags & Flag.changing
        ? { changing: Array.from({ length: length - FIXED_WORDS }, (_, index) => word(FIXED_WORDS + index) >>> 0) }
        : {}),
    };
    Atomics.store(words, Header.read, (read + length) | 0);
    this.#busyAt = this.#now();
    return request;
  }

  /** Blocks the thread until there may be a request. */
  wait(): void {
    const words = this.#words;
    const written = Atomics.load(words, Header.written);
    if (written !== words[Header.read]) return;
    if (this.#now() - this.#busyAt < AWAKE_FOR) {
      Atomics.wait(words, Header.written, written, LOOK_EVERY);
      return;
    }
    Atomics.store(words, Header.isAsleep, 1);
    // A request that was written before the flag could be seen would not wake anybody.
    if (Atomics.load(words, Header.written) === written) Atomics.wait(words, Header.isAsleep, 1);
    Atomics.store(words, Header.isAsleep, 0);
    this.#busyAt = this.#now();
  }
}
