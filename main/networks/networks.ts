// The networks of one process, seen from main: the thread that carries their frames, while there is anything plugged in.
// Owns that thread and the cables of guests.
// Never touches a frame, so that nothing a guest sends can keep main busy.

import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Forward } from '../../native-free-core/network/nat/forwards.ts';
import { type CableBuffers, newCable } from '../../native-free-core/network/ring-port.ts';
import { makeFolder } from '../files/folders.ts';
import { localSocketPath } from '../home/socket-path.ts';
import type { FromNetworks, NetworkStart, ToNetworks } from './network-messages.ts';

/** The worker lies beside this module, in a checkout; in a bundle beside the bundle. */
const workerUrl = new URL(`./network-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** A card, and what is known of it beside what it is plugged into. */
export interface CardOptions {
  /** Its hardware address. */
  station: Uint8Array;
  /** A file in which its frames are recorded. */
  capture?: string | null;
  /** Ports of the host that lead to it. */
  forwards?: readonly Forward[];
}

/** A cable of a guest's card, plugged in. */
export interface Plug {
  readonly cable: CableBuffers;
  readonly doorbell: SharedArrayBuffer;
  /** Resolves once the ports of the host are open that lead to it; rejects with an Error of one sentence where one is not. */
  readonly ready: Promise<void>;
  close(): void;
}

export class Networks {
  readonly #home: string;
  #worker: Worker | null = null;
  #doorbell = new SharedArrayBuffer(64);
  #plugs = new Map<number, (problem: string | null) => void>();
  #ids = 0;
  readonly #leaving = new Set<Promise<void>>();

  /** All processes of one `home` share its internal networks. */
  constructor({ home }: { home: string }) {
    this.#home = home;
  }

  /**
   * Plugs a card into the network that a guest's settings name. `control` is the guest's control block. Throws an Error with
   * one sentence if the home has no place for the network.
   */
  plug(network: string, control: SharedArrayBuffer, { station, capture = null, forwards = [] }: CardOptions): Plug {
    const id = ++this.#ids;
    const cable = newCable();
    const meeting = this.#meeting(network);
    const message: ToNetworks = { type: 'plug', id, network, cable, control, meeting, capture, station, forwards };
    const worker = (this.#worker ??= this.#start());
    const ready = Promise.withResolvers<void>();
    this.#plugs.set(id, (problem) => (problem === null ? ready.resolve() : ready.reject(new Error(problem))));
    // Who does not wait for it learns nothing by it either.
    ready.promise.catch(() => {});
    worker.postMessage(message);
    return { cable, doorbell: this.#doorbell, ready: ready.promise, close: () => this.#unplug(id) };
  }

  /** Resolves when the threads are over whose last cable was unplugged: recordings are whole then. */
  async settled(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  #unplug(id: number): void {
    this.#plugs.get(id)?.('The cable was unplugged.');
    if (!this.#plugs.delete(id) || !this.#worker) return;
    this.#worker.postMessage({ type: 'unplug', id } satisfies ToNetworks);
    if (this.#plugs.size > 0) return;
    // The thread ends by itself once it has nothing left to do.
    const over = new Promise<void>((resolve) => this.#worker!.once('exit', () => resolve()));
    this.#leaving.add(over);
    void over.then(() => this.#leaving.delete(over));
    this.#worker = null;
  }

  #start(): Worker {
    this.#doorbell = new SharedArrayBuffer(64);
    const workerData: NetworkStart = { doorbell: this.#doorbell };
    const worker = new Worker(workerUrl, { workerData, name: 'networks' });
    worker.on('message', (message: FromNetworks) => {
      if (message.type === 'problem') process.emitWarning(message.message);
      else this.#plugs.get(message.id)?.(message.problem);
    });
    // A fault in this thread cuts every cable of the process, and ends no guest.
    worker.on('error', (error) => {
      process.emitWarning(`The networks of the guests failed: ${error.message}`);
      for (const settle of this.#plugs.values()) settle(`The networks failed: ${error.message}`);
      if (this.#worker === worker) this.#worker = null;
    });
    return worker;
  }

  #meeting(network: string): string | null {
    if (!network.startsWith('internal:')) return null;
    makeFolder(this.#home, 'home folder');
    return localSocketPath(this.#home, `net-${createHash('sha256').update(network).digest('hex').slice(0, 12)}`);
  }
}
