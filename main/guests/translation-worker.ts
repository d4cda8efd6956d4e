// The thread that translates for one guest, beside the thread that executes it.
// Owns the pace: a batch after another, with new requests taken in between.
// Never touches the guest but to read its code and to fill the records of translations.

import { type MessagePort, workerData } from 'node:worker_threads';
import { BackgroundTranslation } from '../../native-free-core/cpu/translator/background.ts';
import type { TranslationRequest } from '../../native-free-core/cpu/translator/translation.ts';
import { tuneEngine } from './engine-flags.ts';

/** What the thread begins with. */
export interface TranslationStart {
  /** The guest's memory. */
  memory: WebAssembly.Memory;
  port: MessagePort;
  /** One i32: replies sent so far. */
  sent: SharedArrayBuffer;
}

tuneEngine();
const { memory, port, sent } = workerData as TranslationStart;
const replies = new Int32Array(sent);
const translation = new BackgroundTranslation(memory, () => performance.now() * 1e6);
let due = false;

function proceed(): void {
  due = false;
  const reply = translation.next();
  if (reply) {
    port.postMessage(reply);
    Atomics.add(replies, 0, 1);
  }
  schedule();
}

/** Between two batches the event loop turns, so that the next one is chosen among all that has been asked for. */
function schedule(): void {
  if (due || translation.waiting === 0) return;
  due = true;
  setImmediate(proceed);
}

port.on('message', (requests: TranslationRequest[]) => {
  for (const request of requests) translation.add(request);
  schedule();
});
