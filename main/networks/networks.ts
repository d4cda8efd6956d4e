// The networks of one process, seen from main: the thread that carries their frames, while there is anything plugged in.
// Owns that thread and the cables of guests.
// Never touches a frame, so that nothing a guest sends can keep main busy.

import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { type LinkConditions, perfectLink } from '../../native-free-core/network/link.ts';
import type { Forward } from '../../native-free-core/network/nat/forwards.ts';
import { type CableBuffers, newCable } from '../../native-free-core/network/ring-port.ts';
import { DEFAULT_MTU } from '../../native-free-core/network/switch.ts';
import { makeFolder } from '../files/folders.ts';
import { localSocketPath } from '../home/socket-path.ts';
import type { FromNetworks, NetworkAsk, NetworkStart, NetworkStatus, ToNetworks } from './network-messages.ts';
import { vsockPath } from './vsock-path.ts';

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
  /** What its guest is called. */
  name?: string;
  vlan?: number;
  mtu?: number;
  link?: LinkConditions;
}

/** A cable of a guest's card, plugged in. */
export interface Plug {
  readonly cable: CableBuffers;
  readonly doorbell: SharedArrayBuffer;
  /** Resolves once the ports of the host are open that lead to it; rejects with an Error of one sentence where one is not. */
  readonly ready: Promise<void>;
  /** Names this cable in {@link Networks.ask} and its answers. */
  readonly id: number;
  close(): void;
}

export class Networks {
  readonly #home: string;
  #worker: Worker | null = null;
  #doorbell = new SharedArrayBuffer(64);
  #plugs = new Map<number, (problem: string | null) => void>();
  readonly #asked = new Map<number, (status: NetworkStatus[]) => void>();
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
  plug(network: string, control: SharedArrayBuffer, options: CardOptions): Plug {
    const { station, capture = null, forwards = [], name = '', vlan = 0, mtu = DEFAULT_MTU } = options;
    const { link = perfectLink } = options;
    const id = ++this.#ids;
    const cable = newCable();
    const meeting = this.#meeting(network);
    const card = { station, capture, forwards, name, vlan, mtu, link };
    const message: ToNetworks = { type: 'plug', id, network, cable, control, meeting, ...card };
    return this.#connect(id, cable, message);
  }

  #connect(id: number, cable: CableBuffers, message: ToNetworks): Plug {
    const worker = (this.#worker ??= this.#start());
    const ready = Promise.withResolvers<void>();
    this.#plugs.set(id, (problem) => (problem === null ? ready.resolve() : ready.reject(new Error(problem))));
    // Who does not wait for it learns nothing by it either.
    ready.promise.catch(() => {});
    worker.postMessage(message);
    return { cable, doorbell: this.#doorbell, ready: ready.promise, id, close: () => this.#unplug(id) };
  }

  /**
   * Asks the thread for something to be done, and gives how all networks are then; none where nothing is plugged in. What
   * names a cable that is no longer there does nothing.
   */
  ask(ask: NetworkAsk): Promise<NetworkStatus[]> {
    const worker = this.#worker;
    if (!worker) return Promise.resolve([]);
    const id = ++this.#ids;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      worker.postMessage({ type: 'ask', id, ask } satisfies ToNetworks);
    });
  }

  /**
   * Plugs a guest's virtio socket in, to all others of this process. `name`: what its side on the host is called: a local
   * socket of the home, {@link vsockPath}; without one the guest cannot reach the host, nor be reached from it.
   */
  plugSocket(cid: number, control: SharedArrayBuffer, name?: string): Plug {
    const id = ++this.#ids;
    const cable = newCable();
    if (name !== undefined) makeFolder(this.#home, 'home folder');
    const path = name === undefined ? null : vsockPath(this.#home, name);
    return this.#connect(id, cable, { type: 'plugSocket', id, cid, cable, control, path });
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
      else if (message.type === 'plugged') this.#plugs.get(message.id)?.(message.problem);
      else this.#answered(message.id, message.status);
    });
    // What it was asked last it may not have heard.
    worker.on('exit', () => {
      if (this.#worker !== null && this.#worker !== worker) return;
      for (const id of [...this.#asked.keys()]) this.#answered(id, []);
    });
    // A fault in this thread cuts every cable of the process, and ends no guest.
    worker.on('error', (error) => {
      process.emitWarning(`The networks of the guests failed: ${error.message}`);
      for (const settle of this.#plugs.values()) settle(`The networks failed: ${error.message}`);
      if (this.#worker === worker) this.#worker = null;
    });
    return worker;
  }

  #answered(id: number, status: NetworkStatus[]): void {
    this.#asked.get(id)?.(status);
    this.#asked.delete(id);
  }

  #meeting(network: string): string | null {
    if (!network.startsWith('internal:')) return null;
    makeFolder(this.#home, 'home folder');
    return localSocketPath(this.#home, `net-${createHash('sha256').update(network).digest('hex').slice(0, 12)}`);
  }
}
