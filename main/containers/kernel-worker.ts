// The thread of the shared kernel: many guests of kind os on one engine and one pool of pages.
// Owns whose turn it is by the guests' weights, the wait of all, and what becomes of a guest in which we have failed.
// Never lets one guest's fault reach another.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { ControlBlock, ControlSlot } from '../../native-free-core/hypervisor/control-block.ts';
import { CpuClient } from '../../native-free-core/hypervisor/cpu-shares.ts';
import { OsMachine } from '../../native-free-core/machines/os-machine.ts';
import { tuneEngine } from '../guests/engine-flags.ts';
import { loadPreparedInterpreter } from '../guests/prepared-interpreter.ts';
import { processorNanoseconds } from '../guests/thread-time.ts';
import type { WorkerEnd } from '../guests/worker-messages.ts';
import { WorkerTranslation } from '../guests/worker-translation.ts';
import { HostedGuest } from './hosted-guest.ts';
import type { FromKernel, KernelStart, ToKernel } from './kernel-messages.ts';

/** Milliseconds that a guest executes between two looks at messages, alone and while others have something to do. */
const SLICE = 10;
const SHARED_SLICE = 4;
/** Milliseconds between two turns of the event loop while others have the processors. */
const PROCESSOR_WAIT = 100;
/** Waits shorter than this (milliseconds) block the thread: a timer of the event loop could not keep the shortest. */
const SHORT_WAIT = 5;
/** Milliseconds between two turns of the event loop while all guests halt for short times; a message rings. */
const TURN_WHILE_IDLE = 50;
/** Nanoseconds, at the default weight, by which a guest that comes back from sleep is ahead of those that execute. */
const CREDIT = 5e6;

class KernelThread {
  readonly #port: MessagePort;
  readonly #control: ControlBlock;
  readonly #processor: CpuClient | null;
  readonly #client: number;
  readonly #machine: OsMachine;
  readonly #guests = new Map<number, HostedGuest>();
  /** Virtual time of whoever executed last: who comes back from sleep begins there. */
  #virtualNow = 0;
  #weights = 0;
  /** A word that nobody rings. */
  readonly #nobody = new Int32Array(new SharedArrayBuffer(4));
  #wake: (() => void) | null = null;
  #busy = 0;
  /** Nanoseconds of its processor time that it has taken since the last slice to find out who has a processor. */
  #sharing = 0;

  constructor(port: MessagePort, { control, processors, memoryMiB, translation }: KernelStart) {
    this.#port = port;
    this.#control = new ControlBlock(control);
    this.#client = processors?.client ?? 0;
    this.#processor = processors && new CpuClient(processors.buffer, processors.client);
    const thread = translation === 'hot' ? new WorkerTranslation() : undefined;
    this.#machine = new OsMachine({
      memoryMiB,
      translation,
      ...(thread ? { translationThread: (memory: WebAssembly.Memory) => thread.attach(memory) } : {}),
    });
    port.on('message', (message: ToKernel) => this.#receive(message));
  }

  #receive(envelope: ToKernel): void {
    const { guest: id } = envelope;
    if ('start' in envelope) {
      const guest = new HostedGuest(envelope.start, this.#machine, (message, buffers = []) =>
        this.#port.postMessage({ guest: id, message } satisfies FromKernel, buffers),
      );
      if (guest.begin()) {
        guest.virtual = this.#virtualNow;
        this.#guests.set(id, guest);
      }
    } else {
      const guest = this.#guests.get(id);
      // It may have ended while the message was under way.
      if (guest) this.#guarded(id, guest, () => void guest.receive(envelope.message));
    }
    this.#wake?.();
  }

  /** Executes guests as long as the thread lives. */
  async execute(): Promise<never> {
    let lastTurn = performance.now();
    let doorbell = Atomics.load(this.#control.slots, ControlSlot.doorbell);
    let letters = Atomics.load(this.#control.slots, ControlSlot.letters);
    for (;;) {
      const rung = Atomics.load(this.#control.slots, ControlSlot.doorbell);
      if (rung !== doorbell) {
        doorbell = rung;
        // Only messages need a turn of the event loop.
        const sent = Atomics.load(this.#control.slots, ControlSlot.letters);
        if (sent !== letters) {
          letters = sent;
          await nextTurn();
          lastTurn = performance.now();
        }
        // Who rang is not told: whoever has a cable looks whether something came.
        for (const guest of this.#guests.values()) if (guest.hasNetwork) guest.wake();
      }
      for (const [id, guest] of this.#guests) if (guest.isCommanded) this.#guarded(id, guest, () => guest.obey());
      const { next, others, earliest } = this.#choose(performance.now());
      if (!next) {
        this.#processor?.withdraw();
        const now = performance.now();
        const wait = earliest - now;
        // Frames come at any time, and are to be answered at once: waking from the event loop takes longer.
        const isShort = (wait < SHORT_WAIT || this.#converses) && now - lastTurn < TURN_WHILE_IDLE;
        const blocked = isShort ? Math.max(0, Math.min(wait, SHORT_WAIT)) : 0;
        const { slots } = this.#control;
        const isRung = blocked > 0 && Atomics.wait(slots, ControlSlot.doorbell, doorbell, blocked) !== 'timed-out';
        if (wait > blocked && !isRung) {
          await this.#sleep(wait - blocked, doorbell);
          lastTurn = performance.now();
        } else if (!isShort) {
          await nextTurn();
          lastTurn = performance.now();
        }
        continue;
      }
      if (!(await this.#hasProcessor())) {
        lastTurn = performance.now();
        continue;
      }
      const [id, guest] = next;
      const before = processorNanoseconds();
      const began = performance.now();
      this.#guarded(id, guest, () => guest.run(others ? SHARED_SLICE : SLICE));
      const spent = processorNanoseconds() - before;
      const ran = performance.now() - began;
      this.#busy += spent;
      this.#control.set('guestNanoseconds', this.#busy);
      this.#executed(spent);
      guest.charge(spent, ran, this.#sharing);
      this.#sharing = 0;
      this.#virtualNow = guest.virtual;
      // Messages arrive only between turns of the event loop.
      if (performance.now() - lastTurn >= SLICE / 2) {
        await nextTurn();
        lastTurn = performance.now();
      }
    }
  }

  /** Whoever has something to do and has had least; whether others have; and when the next will, in milliseconds. */
  #choose(now: number): { next: [number, HostedGuest] | undefined; others: boolean; earliest: number } {
    let next: [number, HostedGuest] | undefined;
    let earliest = Number.POSITIVE_INFINITY;
    let ready = 0;
    let weights = 0;
    for (const entry of this.#guests) {
      const [, guest] = entry;
      const { readyAt } = guest;
      if (readyAt > now) {
        earliest = Math.min(earliest, readyAt);
        continue;
      }
      ready++;
      weights += guest.weight;
      // Nobody saves up what he did not use.
      guest.virtual = Math.max(guest.virtual, this.#virtualNow - CREDIT);
      if (!next || guest.virtual < next[1].virtual) next = entry;
    }
    if (weights !== this.#weights && weights > 0) {
      // Towards the host's other threads all guests that want to execute count together.
      this.#weights = weights;
      this.#processor?.set(this.#client, { weight: weights, cap: 0 });
    }
    return { next, others: ready > 1, earliest };
  }

  /** Does something for a guest; it is over where its end has come, or where we fail. */
  #guarded(id: number, guest: HostedGuest, act: () => WorkerEnd | undefined): void {
    let end: WorkerEnd | undefined;
    try {
      end = act();
    } catch (error) {
      // The guest's programs may be in the midst of anything; those of others are not.
      this.#machine.recover();
      const detail = `Trivisor failed while executing the guest: ${(error as Error).stack ?? error}`;
      end = { reason: 'crashed', detail };
    }
    if (!end) return;
    this.#guests.delete(id);
    void guest.end(end);
  }

  /** Whether the thread may execute now. Otherwise messages have had their turn, and it waits on. */
  async #hasProcessor(): Promise<boolean> {
    const processor = this.#processor;
    if (!processor || processor.has) return true;
    const asked = processorNanoseconds();
    const has = processor.ask() || processor.wait(PROCESSOR_WAIT);
    this.#sharing += processorNanoseconds() - asked;
    // Letters that came while it waited are looked at before the next slice.
    if (!has) await nextTurn();
    return has;
  }

  /** Accounts for a slice towards the host's other threads. */
  #executed(nanoseconds: number): void {
    const processor = this.#processor;
    if (!processor) return;
    const ended = processorNanoseconds();
    const { keeps, rest } = processor.renew(nanoseconds);
    this.#sharing += processorNanoseconds() - ended;
    if (!keeps || rest === 0) return;
    // The host's reserve: too short for the event loop, and nobody else is to have the processor meanwhile.
    Atomics.wait(this.#nobody, 0, 0, rest / 1e6);
    processor.renew(0);
  }

  /** Whether others send to any guest what may come at any time. */
  get #converses(): boolean {
    for (const guest of this.#guests.values()) if (guest.hasNetwork) return true;
    return false;
  }

  /** Sleeps until the time is over (milliseconds), a message comes, or the bell is rung. */
  async #sleep(milliseconds: number, doorbell: number): Promise<void> {
    if (this.#converses) {
      // A wait for a shared word cannot be given up: it has to end by itself in time.
      const bell = Atomics.waitAsync(this.#control.slots, ControlSlot.doorbell, doorbell, milliseconds);
      if (!bell.async) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        void bell.value.then(() => resolve());
      });
      this.#wake = null;
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      // Longer than a timer can hold; waking early is harmless.
      if (milliseconds !== Number.POSITIVE_INFINITY)
        timer = setTimeout(resolve, Math.max(0, Math.min(milliseconds, 0x7fff_ffff)));
    });
    clearTimeout(timer);
    this.#wake = null;
  }
}

if (!parentPort) throw new Error('This module is the thread of the shared kernel; start it as a worker.');
tuneEngine();
loadPreparedInterpreter();
await new KernelThread(parentPort, workerData as KernelStart).execute();
