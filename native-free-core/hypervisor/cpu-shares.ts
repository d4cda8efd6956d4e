// The host's processors divided among the threads of guests: proportional shares by weight, caps, and a reserve nobody gets.
// Owns who has a processor now, in memory that all threads share: no message is sent, and no thread decides for all.
// Never starts or stops a thread: one that asks and does not get waits by itself.
//
// Virtual-time fair queuing: a thread's virtual time is what it executed, divided by its weight. Whoever waits with the least
// goes next; whoever executes goes on until somebody waits with less. Whoever comes back from sleep is put level with those
// that wait, less a little, so that it goes first, and has no claim on the time that it slept. One that has slept for long
// enough goes at once, for a slice, beside those that execute: their slices may last, on a host that others want too. What it
// takes is counted, and who was one too many stops when its slice is over.

/** Most threads at a time. */
export const SHARES_MAX = 256;
export const WEIGHT_DEFAULT = 100;
export const WEIGHT_MAX = 10_000;
/** How urgent a guest's work is where it does not say, and at most. */
export const URGENCY_DEFAULT = 50;
export const URGENCY_MAX = 100;
/** Urgency that makes a weight count twice: the most urgent counts four times, the least a quarter. */
const URGENCY_DOUBLES = 25;
/** Parts that reserve and caps are told in. */
const WHOLE = 1000;

/** `end`: behind the last client there is, so that nobody looks at places that are free. */
const Word = { lock: 0, processors: 1, reserve: 2, executing: 3, waiting: 4, end: 5, clients: 8 } as const;
/** Words of a client. */
const ClientWord = { state: 0, weight: 1, cap: 2, urgency: 3 } as const;
const CLIENT_WORDS = 4;
const State = { free: 0, idle: 1, waiting: 2, executing: 3 } as const;

/** Virtual nanoseconds, at the default weight, by which whoever comes back from sleep is ahead. */
const CREDIT = 20e6;
/** How many threads may go at once beside those that fill the processors, for each processor. */
const BOOSTED = 1;
/** Virtual nanoseconds that a client may be behind whoever has had the most. */
const LAG = 5e9;
/** Nanoseconds that a thread executes before others are looked for: on a host that others want too, slices hold less than they last. */
const QUANTUM = 8e6;
/** Milliseconds that a lock is waited for before it is looked at again. */
const LOCK_WAIT = 5;

const WORDS = Word.clients + SHARES_MAX * CLIENT_WORDS;
const TIMES_AT = Math.ceil((WORDS * 4) / 8) * 8;

/** What a thread is to do after it has executed. */
export interface Verdict {
  /** It keeps its processor. */
  keeps: boolean;
  /** Nanoseconds for which it is not to execute: its cap, or the reserve while every processor is taken. */
  rest: number;
}

export class CpuShares {
  readonly buffer: SharedArrayBuffer;
  protected readonly words: Int32Array;
  /** Virtual time of each client, in nanoseconds at the default weight. */
  protected readonly times: Float64Array;

  /** A view of what {@link create} made. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, WORDS);
    this.times = new Float64Array(buffer, TIMES_AT, SHARES_MAX);
  }

  /** `processors`: how many threads execute at a time; `reserve`: of each of them, in 1/1000, while all are taken. */
  static create(processors: number, reserve: number): CpuShares {
    const shares = new CpuShares(new SharedArrayBuffer(TIMES_AT + SHARES_MAX * 8));
    shares.words[Word.processors] = Math.max(1, Math.floor(processors));
    shares.setReserve(reserve);
    return shares;
  }

  setReserve(reserve: number): void {
    Atomics.store(this.words, Word.reserve, Math.min(WHOLE - 1, Math.max(0, Math.round(reserve))));
  }

  /** Takes a place for a thread; undefined: all are taken. */
  join(): number | undefined {
    return this.locked(0, () => {
      for (let client = 0; client < SHARES_MAX; client++) {
        if (this.get(client, ClientWord.state) !== State.free) continue;
        this.put(client, ClientWord.state, State.idle);
        this.put(client, ClientWord.weight, WEIGHT_DEFAULT);
        this.put(client, ClientWord.cap, 0);
        this.put(client, ClientWord.urgency, URGENCY_DEFAULT);
        this.times[client] = 0;
        this.words[Word.end] = Math.max(this.words[Word.end], client + 1);
        return client;
      }
      return undefined;
    });
  }

  /** `weight`: 1 to {@link WEIGHT_MAX}; `cap`: 1/1000 of a processor, 0: none. Counts from the thread's next slice on. */
  set(client: number, { weight, cap }: { weight: number; cap: number }): void {
    this.put(client, ClientWord.weight, Math.min(WEIGHT_MAX, Math.max(1, Math.round(weight))));
    this.put(client, ClientWord.cap, Math.max(0, Math.round(cap)));
  }

  /** A thread has ended, wherever it was: its processor goes to the next, and a lock that it held is opened. */
  leave(client: number): void {
    if (Atomics.compareExchange(this.words, Word.lock, client + 2, 0) === client + 2)
      Atomics.notify(this.words, Word.lock);
    this.locked(0, () => {
      this.put(client, ClientWord.state, State.free);
      // It may have been ended in the midst of a change: the states tell what is so.
      const count = (state: number) =>
        Array.from({ length: SHARES_MAX }, (_, each) => each).filter(
          (each) => this.get(each, ClientWord.state) === state,
        ).length;
      this.words[Word.executing] = count(State.executing);
      this.words[Word.waiting] = count(State.waiting);
      while (this.words[Word.end] > 0 && this.get(this.words[Word.end] - 1, ClientWord.state) === State.free)
        this.words[Word.end]--;
      while (this.words[Word.executing] < this.words[Word.processors] && this.giveToFirst());
    });
  }

  /** Threads that execute, and that wait for a processor, now. */
  get load(): { executing: number; waiting: number } {
    return { executing: Atomics.load(this.words, Word.executing), waiting: Atomics.load(this.words, Word.waiting) };
  }

  protected get(client: number, word: number): number {
    return Atomics.load(this.words, Word.clients + client * CLIENT_WORDS + word);
  }

  protected put(client: number, word: number, value: number): void {
    Atomics.store(this.words, Word.clients + client * CLIENT_WORDS + word, value);
  }

  /** Does something while nobody else changes anything. `holder` is a client and 2, or 0 for whoever is none. */
  protected locked<Result>(holder: number, act: () => Result): Result {
    const mark = holder === 0 ? 1 : holder;
    for (let seen = this.tryLock(mark); seen !== 0; seen = this.tryLock(mark)) this.waitForLock(seen);
    try {
      return act();
    } finally {
      Atomics.store(this.words, Word.lock, 0);
      Atomics.notify(this.words, Word.lock, 1);
    }
  }

  private tryLock(mark: number): number {
    return Atomics.compareExchange(this.words, Word.lock, 0, mark);
  }

  /** What is done under the lock takes microseconds; a thread that may not block looks again at once. */
  private waitForLock(seen: number): void {
    try {
      Atomics.wait(this.words, Word.lock, seen, LOCK_WAIT);
    } catch {
      // The main thread of a browser, or of Electron.
    }
  }

  /** A client lets go of its processor, which goes to whoever waits with the least virtual time. */
  protected handOver(): void {
    this.words[Word.executing]--;
    if (this.words[Word.executing] < this.words[Word.processors]) this.giveToFirst();
  }

  private giveToFirst(): boolean {
    const next = this.first();
    if (next === undefined) return false;
    this.words[Word.waiting]--;
    this.words[Word.executing]++;
    this.put(next, ClientWord.state, State.executing);
    Atomics.notify(this.words, Word.clients + next * CLIENT_WORDS + ClientWord.state);
    return true;
  }

  /** Who waits with the least virtual time. */
  protected first(): number | undefined {
    if (this.words[Word.waiting] === 0) return undefined;
    let best: number | undefined;
    for (let client = 0; client < this.words[Word.end]; client++) {
      if (this.get(client, ClientWord.state) !== State.waiting) continue;
      if (best === undefined || this.times[client] < this.times[best]) best = client;
    }
    return best;
  }

  /** The most virtual time of any client that executes or waits. */
  protected latest(): number {
    let latest = -Infinity;
    for (let client = 0; client < this.words[Word.end]; client++)
      if (this.get(client, ClientWord.state) >= State.waiting) latest = Math.max(latest, this.times[client]);
    return latest;
  }
}

/** The shares as one thread sees them. */
export class CpuClient extends CpuShares {
  readonly #id: number;
  /** It would have gone on, and others went: it does not come back from sleep. */
  #isPassedOver = false;
  /** Nanoseconds that it has executed since others were looked for. */
  #unlooked = 0;

  constructor(buffer: SharedArrayBuffer, id: number) {
    super(buffer);
    this.#id = id;
  }

  /**
   * Its guest's work is as urgent as 0 to {@link URGENCY_MAX}: its weight counts up to four times as much, or as little as a
   * quarter. That is what a guest's own word can change; what a person has set stays the measure.
   */
  hurry(urgency: number): void {
    this.put(this.#id, ClientWord.urgency, Math.min(URGENCY_MAX, Math.max(0, Math.round(urgency))));
  }

  /** Whether the thread has a processor. */
  get has(): boolean {
    return this.get(this.#id, ClientWord.state) === State.executing;
  }

  /**
   * Waits for a processor as long as `milliseconds`, blocking. Answers whether the thread has one now; otherwise it goes on to be
   * one of those that wait, until it asks again or gives that up with {@link withdraw}.
   */
  acquire(milliseconds: number): boolean {
    return this.ask() || this.wait(milliseconds);
  }

  /** The same of a thread that has asked. */
  wait(milliseconds: number): boolean {
    const state = Word.clients + this.#id * CLIENT_WORDS + ClientWord.state;
    Atomics.wait(this.words, state, State.waiting, milliseconds);
    return this.has;
  }

  /** The thread neither waits for a processor nor has one any more. */
  withdraw(): void {
    this.#locked(() => {
      const state = this.get(this.#id, ClientWord.state);
      if (state === State.executing) this.handOver();
      if (state === State.waiting) this.words[Word.waiting]--;
      this.#isPassedOver = false;
      this.put(this.#id, ClientWord.state, State.idle);
    });
  }

  #locked<Result>(act: () => Result): Result {
    return this.locked(this.#id + 2, act);
  }

  /** Asks for a processor, without waiting: answers whether the thread has one now, and otherwise is one of those that wait. */
  ask(): boolean {
    return this.#locked(() => {
      const state = this.get(this.#id, ClientWord.state);
      if (state !== State.idle) return state === State.executing;
      const first = this.first();
      const level = first === undefined ? this.latest() : this.times[first];
      const least = Math.max(level - CREDIT, this.latest() - LAG);
      const { [Word.executing]: executing, [Word.processors]: processors } = this.words;
      // Within the credit several short bursts, of which an answer to a key may be made.
      const hasSlept = !this.#isPassedOver && this.times[this.#id] <= least + CREDIT / 2;
      const isBoosted = hasSlept && executing < processors * (1 + BOOSTED);
      this.times[this.#id] = Math.max(this.times[this.#id], least);
      const isFree = executing < processors || isBoosted;
      this.words[isFree ? Word.executing : Word.waiting]++;
      this.put(this.#id, ClientWord.state, isFree ? State.executing : State.waiting);
      return isFree;
    });
  }

  /**
   * The thread has executed for so many nanoseconds, and would go on. One that keeps its processor and is to rest asks again
   * afterwards, with 0: the reserve is a processor that nobody uses for a while.
   */
  renew(nanoseconds: number): Verdict {
    const capped = this.#charge(nanoseconds);
    this.#unlooked += nanoseconds;
    const isSoon = nanoseconds > 0 && this.#unlooked < QUANTUM && capped === 0;
    if (isSoon && Atomics.load(this.words, Word.executing) <= this.words[Word.processors])
      return { keeps: true, rest: 0 };
    const whole = this.#unlooked;
    this.#unlooked = 0;
    return this.#locked(() => {
      const { [Word.reserve]: reserve, [Word.executing]: executing, [Word.processors]: processors } = this.words;
      const spared = executing >= processors ? (whole * reserve) / (WHOLE - reserve) : 0;
      const isOneTooMany = executing > processors;
      if (spared > capped && !isOneTooMany) return { keeps: true, rest: spared };
      const first = this.first();
      const goesOn = first === undefined || this.times[first] >= this.times[this.#id];
      const keeps = capped === 0 && !isOneTooMany && goesOn;
      this.#isPassedOver = !keeps;
      if (!keeps) {
        this.put(this.#id, ClientWord.state, State.idle);
        this.handOver();
      }
      return { keeps, rest: isOneTooMany ? Math.max(capped, spared) : capped };
    });
  }

  /** The same of one that has nothing to do any more. */
  release(nanoseconds: number): Verdict {
    return this.#locked(() => {
      const rest = this.#charge(nanoseconds);
      this.#unlooked = 0;
      this.#isPassedOver = false;
      this.put(this.#id, ClientWord.state, State.idle);
      this.handOver();
      return { keeps: false, rest };
    });
  }

  /** Counts what was executed. Nanoseconds of rest that the client's cap asks for. */
  #charge(nanoseconds: number): number {
    const urgency = this.get(this.#id, ClientWord.urgency);
    const weight = this.get(this.#id, ClientWord.weight) * 2 ** ((urgency - URGENCY_DEFAULT) / URGENCY_DOUBLES);
    const cap = this.get(this.#id, ClientWord.cap);
    this.times[this.#id] += (nanoseconds * WEIGHT_DEFAULT) / weight;
    return cap === 0 ? 0 : Math.max(0, nanoseconds * (WHOLE / cap - 1));
  }
}
