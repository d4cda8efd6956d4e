// What main and the thread of the shared kernel say to each other: a guest's own messages, with the guest's number.
// Owns the envelopes; what is in them is every guest's (guests/worker-messages.ts).
// Never carries a counter: those are shared.

import type { TranslationTime } from '../../native-free-core/hypervisor/guest.ts';
import type { FromWorker, ToWorker, WorkerStart } from '../guests/worker-messages.ts';

/** `workerData` of the thread. */
export interface KernelStart {
  /** Its own control block: its bell, which is rung for any of its guests, and its time. */
  control: SharedArrayBuffer;
  /** The host's processors, and the thread's place among those that share them; null: it executes whenever it can. */
  processors: { buffer: SharedArrayBuffer; client: number } | null;
  /** Of the pool of pages that all its guests have. */
  memoryMiB: number;
  translation: TranslationTime;
}

export type ToKernel =
  /** A guest begins; its number is its own as long as the thread lives. */
  { guest: number; start: WorkerStart } | { guest: number; message: ToWorker };

/** What a guest says; it is gone from the thread after `refused` or `ended`. */
export interface FromKernel {
  guest: number;
  message: FromWorker;
}
