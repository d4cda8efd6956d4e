// A guest's access to its translating thread.
// Owns that thread, which ends with the guest's.
// Never waits for it.

import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type {
  TranslationReply,
  TranslationRequest,
  TranslationThread,
} from '../../native-free-core/cpu/translator/translation.ts';
import { createRing, RequestWriter } from './request-ring.ts';
import type { TranslationStart } from './translation-worker.ts';

/** The worker lies beside this module, in a checkout as in a bundle. */
const workerUrl = new URL(`./translation-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export class WorkerTranslation implements TranslationThread {
  readonly #sent = new Int32Array(new SharedArrayBuffer(4));
  readonly #ring = createRing();
  readonly #writer = new RequestWriter(this.#ring);
  readonly #port: MessagePort;
  #taken = 0;
  #unsent: TranslationRequest[] = [];

  /** Starts the thread, which takes as long to get ready as a machine does to be built: to be made before that. */
  constructor() {
    const { port1, port2 } = new MessageChannel();
    const start: TranslationStart = { port: port2, ring: this.#ring, sent: this.#sent.buffer };
    const worker = new Worker(workerUrl, { workerData: start, transferList: [port2], name: 'translation' });
    // A fault in it is one of ours, and ends this guest as any other would.
    worker.on('error', (error) => {
      throw error;
    });
    worker.unref();
    port1.unref();
    this.#port = port1;
  }

  /** Tells it which guest's memory it is for. */
  attach(memory: WebAssembly.Memory): this {
    this.#port.postMessage(memory);
    return this;
  }

  request(request: TranslationRequest): undefined {
    this.#unsent.push(request);
  }

  take(): TranslationReply | undefined {
    // What came up since the last time, so that the other thread is woken once for it.
    if (this.#unsent.length > 0) {
      const refused = this.#unsent.findIndex((request) => !this.#writer.write(request));
      this.#unsent = refused < 0 ? [] : this.#unsent.slice(refused);
      this.#writer.wake();
    }
    if (Atomics.load(this.#sent, 0) === this.#taken) return undefined;
    const received = receiveMessageOnPort(this.#port);
    // The count may run ahead of the message by a moment.
    if (!received) return undefined;
    this.#taken++;
    return received.message as TranslationReply;
  }
}
