// The thread that translates for one guest, beside the thread that executes it.
// Owns the pace: a batch after another, with new requests taken in between.
// Never touches the guest but to read its code and to fill the records of translations.

import { once } from 'node:events';
import { type MessagePort, workerData } from 'node:worker_threads';
import { builtInterpreter } from '../../native-free-core/cpu/interpreter/built.ts';
import { BackgroundTranslation } from '../../native-free-core/cpu/translator/background.ts';
import { tuneEngine } from './engine-flags.ts';
import { loadPreparedInterpreter } from './prepared-interpreter.ts';
import { RequestReader } from './request-ring.ts';

/** What the thread begins with. */
export interface TranslationStart {
  /** Where replies go, and where the guest's memory comes from, once. */
  port: MessagePort;
  /** Where requests come from. */
  ring: SharedArrayBuffer;
  /** One i32: replies sent so far. */
  sent: SharedArrayBuffer;
}

tuneEngine();
loadPreparedInterpreter();
const { port, ring, sent } = workerData as TranslationStart;
// Loaded while the machine is being built, which its memory is not there before.
builtInterpreter();
const [memory] = (await once(port, 'message')) as [WebAssembly.Memory];
const replies = new Int32Array(sent);
const translation = new BackgroundTranslation(memory, () => performance.now() * 1e6);
const requests = new RequestReader(ring, () => performance.now());
// The thread has nothing to do but this, so it blocks: between two batches it takes in what has been asked for since.
for (;;) {
  for (let request = requests.read(); request; request = requests.read()) translation.add(request);
  const reply = translation.next();
  if (reply) {
    port.postMessage(reply);
    Atomics.add(replies, 0, 1);
  } else requests.wait();
}
