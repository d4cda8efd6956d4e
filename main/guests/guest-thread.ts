// Where a guest executes, seen from main: in a thread of its own, or in one that it shares with others.
// Owns the thread of a guest that has its own: from start to end, with its place among those that share the processors.
// Never knows what is said: whoever started the guest does.

import { Worker } from 'node:worker_threads';
import { ControlSlot } from '../../native-free-core/hypervisor/control-block.ts';
import type { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import type { FromWorker, ToWorker, WorkerStart } from './worker-messages.ts';

/** Whoever started a guest. */
export interface GuestEvents {
  message(message: FromWorker): void;
  /** The thread is gone, and the guest with it. */
  failed(error: Error): void;
}

export interface GuestThread {
  /** A control block whose doorbell is rung when something has come for the guest. */
  readonly bell: SharedArrayBuffer;
  /** The guest begins; once. */
  start(start: Omit<WorkerStart, 'processors'>, events: GuestEvents): void;
  /** Rings as well. */
  post(message: ToWorker): void;
  /** What the guest has of the host's processors: a weight, and a cap in 1/1000 of one (0: none). */
  share(weight: number, cap: number): void;
  /** The guest is over: nothing is heard of it any more. */
  leave(): void;
}

/** The worker lies beside this module, in a checkout as in a bundle. */
const workerUrl = new URL(`./guest-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** A thread that has one guest and ends with it. */
export class OwnThread implements GuestThread {
  readonly bell: SharedArrayBuffer;
  readonly #name: string;
  readonly #processors: CpuShares | undefined;
  /** Its place among those that share the processors. */
  readonly #client: number | undefined;
  #worker: Worker | undefined;

  /** `control`: the guest's control block. `name`: of the thread. */
  constructor(control: SharedArrayBuffer, name: string, processors: CpuShares | undefined) {
    this.bell = control;
    this.#name = name;
    this.#processors = processors;
    this.#client = processors?.join();
  }

  start(start: Omit<WorkerStart, 'processors'>, { message, failed }: GuestEvents): void {
    const processors = this.#client === undefined ? null : { buffer: this.#processors!.buffer, client: this.#client };
    const workerData: WorkerStart = { ...start, processors };
    const worker = new Worker(workerUrl, { workerData, name: this.#name });
    worker.on('message', message);
    worker.on('error', failed);
    worker.on('messageerror', failed);
    worker.on('exit', () => failed(new Error('its thread ended')));
    this.#worker = worker;
  }

  post(message: ToWorker): void {
    this.#worker?.postMessage(message);
    ringForLetter(this.bell);
  }

  share(weight: number, cap: number): void {
    if (this.#client !== undefined) this.#processors?.set(this.#client, { weight, cap });
  }

  leave(): void {
    // A thread that reported its end leaves by itself; one that hangs or crashed has nothing left to lose.
    void this.#worker?.terminate().then(() => {
      if (this.#client !== undefined) this.#processors?.leave(this.#client);
    });
  }
}

/** Rings the doorbell of a control block: a message has been sent. */
export function ringForLetter(control: SharedArrayBuffer): void {
  const slots = new Int32Array(control);
  Atomics.add(slots, ControlSlot.letters, 1);
  Atomics.add(slots, ControlSlot.doorbell, 1);
  Atomics.notify(slots, ControlSlot.doorbell);
}
