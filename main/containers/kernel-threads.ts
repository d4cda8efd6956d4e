// The threads of the shared kernel, seen from main: each hosts many guests of kind os.
// Owns the threads, which guest is on which, and how long a thread without guests is kept warm.
// Never knows what a guest says: its messages go to whoever started it.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import type { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import type { TranslationTime } from '../../native-free-core/hypervisor/guest.ts';
import { type GuestEvents, type GuestThread, ringForLetter } from '../guests/guest-thread.ts';
import { usualTranslation } from '../guests/translation-time.ts';
import type { ToWorker, WorkerStart } from '../guests/worker-messages.ts';
import { hostMemoryMiB } from '../host.ts';
import type { FromKernel, KernelStart, ToKernel } from './kernel-messages.ts';

/** Milliseconds for which a thread without guests waits for the next. */
const KEEP = 60_000;
/** Milliseconds over which a thread's load is looked at, and the part of them that makes it saturated. */
const LOAD_OVER = 250;
const SATURATED = 0.9;
/** The most that a pool of pages can have, and the part of the host's memory that it has at most. */
const POOL_MAX_MIB = 3072;
const POOL_PART = 0.75;
const POOL_MIN_MIB = 512;

/** The worker lies beside this module, in a checkout as in a bundle. */
const workerUrl = new URL(`./kernel-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export interface KernelThreadsOptions {
  /** The host's processors, which the threads share with other guests'; without them they execute whenever they can. */
  processors?: CpuShares | undefined;
  translation?: TranslationTime | undefined;
  /** Of the pool of pages of each thread; what fits the host where nothing is said. */
  memoryMiB?: number;
  /** Milliseconds for which a thread without guests is kept. */
  keep?: number;
}

class KernelThread {
  readonly control = new ControlBlock();
  readonly guests = new Map<number, GuestEvents>();
  /** Guests that have a place and have not begun yet. */
  expected = 0;
  readonly #worker: Worker;
  readonly #processors: CpuShares | undefined;
  readonly #client: number | undefined;
  readonly #over: () => void;
  #lastGuest = 0;
  #isOver = false;
  /** What the load was looked at last. */
  #sampledAt = performance.now();
  #busyThen = 0;
  #load = 0;

  constructor({ processors, translation = usualTranslation(), memoryMiB }: KernelThreadsOptions, over: () => void) {
    this.#processors = processors;
    this.#client = processors?.join();
    this.#over = over;
    const start: KernelStart = {
      control: this.control.buffer,
      processors: this.#client === undefined ? null : { buffer: processors!.buffer, client: this.#client },
      memoryMiB: memoryMiB ?? Math.min(POOL_MAX_MIB, Math.max(POOL_MIN_MIB, Math.floor(hostMemoryMiB() * POOL_PART))),
      translation,
    };
    this.#worker = new Worker(workerUrl, { workerData: start, name: 'shared kernel' });
    this.#worker.on('message', ({ guest, message }: FromKernel) => {
      const events = this.guests.get(guest);
      if (message.type === 'ended' || message.type === 'refused') this.guests.delete(guest);
      events?.message(message);
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('messageerror', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('its thread ended')));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The part of the last while for which it executed. */
  load(): number {
    const now = performance.now();
    const passed = now - this.#sampledAt;
    if (passed < LOAD_OVER) return this.#load;
    const busy = this.control.get('guestNanoseconds');
    this.#load = (busy - this.#busyThen) / 1e6 / passed;
    this.#sampledAt = now;
    this.#busyThen = busy;
    return this.#load;
  }

  begin(start: WorkerStart, events: GuestEvents): number {
    const id = ++this.#lastGuest;
    this.guests.set(id, events);
    this.post({ guest: id, start });
    return id;
  }

  post(message: ToKernel): void {
    if (this.#isOver) return;
    this.#worker.postMessage(message);
    ringForLetter(this.control.buffer);
  }

  /** Whether the process may end while this thread waits for guests. */
  mayBeLeft(isLeft: boolean): void {
    if (isLeft) this.#worker.unref();
    else this.#worker.ref();
  }

  /** Ends the thread; guests that are on it go with it. */
  terminate(why: string): void {
    this.#fail(new Error(`the thread of the shared kernel is gone: ${why}`));
  }

  /** Resolves once the thread is no more, after {@link terminate}. */
  ended: Promise<void> = Promise.resolve();

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#over();
    this.ended = this.#worker.terminate().then(() => {
      if (this.#client !== undefined) this.#processors?.leave(this.#client);
    });
    const guests = [...this.guests.values()];
    this.guests.clear();
    for (const { failed } of guests) failed(error);
  }
}

export class KernelThreads {
  readonly #options: KernelThreadsOptions;
  readonly #threads = new Set<KernelThread>();
  readonly #timers = new Map<KernelThread, NodeJS.Timeout>();

  constructor(options: KernelThreadsOptions = {}) {
    this.#options = options;
  }

  /** How many threads there are, and guests on them. */
  get count(): { threads: number; guests: number } {
    return {
      threads: this.#threads.size,
      guests: [...this.#threads].reduce((sum, { guests }) => sum + guests.size, 0),
    };
  }

  /**
   * A place for a guest: on the thread that has least to do, and on a new one only where that one has its hands full and the host has
   * a processor more. Guests stay where they are.
   */
  place(): GuestThread {
    const loads = [...this.#threads].map((thread) => ({ thread, load: thread.load() }));
    loads.sort((a, b) => a.load - b.load || a.thread.guests.size - b.thread.guests.size);
    const [least] = loads;
    const isFull = least !== undefined && least.load > SATURATED && loads.length < availableParallelism();
    const thread = least === undefined || isFull ? this.#open() : least.thread;
    this.#hold(thread);
    let id: number | undefined;
    let isOver = false;
    const post = (message: ToWorker): void => {
      if (id !== undefined) thread.post({ guest: id, message });
    };
    return {
      bell: thread.control.buffer,
      start: (start, events) => {
        id = thread.begin({ ...start, processors: null }, events);
      },
      post,
      share: (weight, cap) => post({ type: 'share', weight, cap }),
      leave: () => {
        if (isOver) return;
        isOver = true;
        // A guest of whose end the thread has not told does not answer, nor does the thread.
        if (id !== undefined && thread.guests.delete(id)) thread.terminate('it did not answer and was ended');
        thread.expected--;
        this.#release(thread);
      },
    };
  }

  /** Ends all threads, and what guests are still on them. */
  async close(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    const threads = [...this.#threads];
    for (const thread of threads) thread.terminate('the process ends');
    await Promise.all(threads.map(({ ended }) => ended));
  }

  #open(): KernelThread {
    const thread: KernelThread = new KernelThread(this.#options, () => {
      this.#threads.delete(thread);
      clearTimeout(this.#timers.get(thread));
      this.#timers.delete(thread);
    });
    this.#threads.add(thread);
    return thread;
  }

  #hold(thread: KernelThread): void {
    thread.expected++;
    clearTimeout(this.#timers.get(thread));
    this.#timers.delete(thread);
    thread.mayBeLeft(false);
  }

  /** A thread without guests waits for the next, for a while. */
  #release(thread: KernelThread): void {
    if (thread.isOver || thread.expected > 0) return;
    thread.mayBeLeft(true);
    const timer = setTimeout(() => thread.terminate('it had no guests'), this.#options.keep ?? KEEP);
    timer.unref();
    this.#timers.set(thread, timer);
  }
}
