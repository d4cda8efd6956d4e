// What the page knows: the connection, the host, the guests and their recent samples, kept true by events.
// Owns the client and its reconnection.
// Never changes a guest by itself; it only passes on what a person asked for.

import { SvelteMap } from 'svelte/reactivity';
import {
  type ApplianceProgress,
  type CallInput,
  type CallName,
  type CallOutput,
  type Client,
  createClient,
  type GuestView,
  type HostInfo,
  type ImageProgress,
  type MemoryPoolView,
  type PeerList,
  type StarterAvailability,
  type StarterProgress,
  type StatsSample,
} from '../contract.ts';
import { connectionWords } from '../strings/app.ts';
import { openTransport } from '../transport/open.ts';

/** Samples kept for each guest: the two minutes that the chart shows, and one more so that its left edge is filled. */
export const HISTORY_SAMPLES = 121;
const RETRY_MILLISECONDS = [500, 1000, 2000, 5000];
const HOST_REFRESH_MILLISECONDS = 5000;

/** One sentence of whatever was thrown. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Makes calls: the whole app's session, or a window's own client. */
export interface Caller {
  call<Name extends CallName>(name: Name, input: CallInput<Name>): Promise<CallOutput<Name>>;
}

export class Session implements Caller {
  phase = $state<'connecting' | 'ready' | 'lost'>('connecting');
  /** Why the connection is lost. */
  reason = $state('');
  host = $state.raw<HostInfo | null>(null);
  guests = $state.raw<readonly GuestView[]>([]);
  /** The guests that run, as they see each other. */
  peers = $state.raw<PeerList | null>(null);
  starter = $state.raw<StarterAvailability | null>(null);
  starterProgress = $state.raw<StarterProgress | null>(null);
  /** Memory of the running guests with balloons. */
  pool = $state.raw<MemoryPoolView | null>(null);
  imageProgress = $state.raw<ImageProgress | null>(null);
  applianceProgress = $state.raw<ApplianceProgress | null>(null);
  readonly samples = new SvelteMap<string, readonly StatsSample[]>();
  #client: Client | null = null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hostTimer: ReturnType<typeof setInterval> | undefined;

  /** Connects, and again whenever the connection is lost, until {@link end}. */
  async connect(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const client = createClient(await openTransport());
      this.#client = client;
      client.onClose((reason) => this.#lost(reason));
      await this.#load(client);
      this.#attempt = 0;
      this.reason = '';
      this.phase = 'ready';
    } catch (error) {
      this.#lost(sentence(error));
    }
  }

  /** Lets go of the connection for good. */
  end(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#hostTimer);
    this.#client?.close();
    this.#client = null;
  }

  /** The present client; throws one sentence while there is none. */
  get client(): Client {
    if (!this.#client) throw new Error(this.reason || connectionWords.notYet);
    return this.#client;
  }

  async call<Name extends CallName>(name: Name, input: CallInput<Name>): Promise<CallOutput<Name>> {
    return this.client.call(name, ...([input] as never));
  }

  guest(id: string): GuestView | undefined {
    return this.guests.find((guest) => guest.id === id);
  }

  async refreshHost(): Promise<void> {
    this.host = await this.call('host.info', {});
  }

  async #load(client: Client): Promise<void> {
    // Subscribed before the list is asked for, so that nothing that happens in between is missed.
    client.on('guest.added', (guest) => this.#put(guest));
    client.on('guest.changed', (guest) => this.#put(guest));
    client.on('guest.removed', ({ id }) => {
      this.guests = this.guests.filter((guest) => guest.id !== id);
      this.samples.delete(id);
    });
    client.on('guest.counters', ({ id, sample }) => this.#addSample(id, sample));
    client.on('pool.changed', (pool) => {
      this.pool = pool;
    });
    client.on('appliances.progress', (progress) => {
      this.applianceProgress = progress;
    });
    client.on('images.progress', (progress) => {
      this.imageProgress = progress;
    });
    client.on('peers.changed', (peers) => {
      this.peers = peers;
    });
    client.on('starter.progress', (progress) => {
      this.starterProgress = progress;
    });
    const [host, guests, starter, pool, peers] = await Promise.all([
      client.call('host.info'),
      client.call('guests.list'),
      client.call('starter.available'),
      client.call('pool.get'),
      client.call('peers.list'),
    ]);
    this.pool = pool;
    this.peers = peers;
    this.host = host;
    this.starter = starter;
    this.guests = [...guests].sort(byAge);
    await Promise.all(
      guests.map(async ({ id }) => {
        this.samples.set(id, (await client.call('stats.history', { guest: id })).slice(-HISTORY_SAMPLES));
      }),
    );
    clearInterval(this.#hostTimer);
    this.#hostTimer = setInterval(() => {
      if (document.visibilityState === 'visible') this.refreshHost().catch((error) => this.#lost(sentence(error)));
    }, HOST_REFRESH_MILLISECONDS);
  }

  #put(guest: GuestView): void {
    const before = this.guest(guest.id);
    // A new run begins with an empty chart.
    if (before && guest.startedAt !== null && guest.startedAt !== before.startedAt) this.samples.set(guest.id, []);
    this.guests = [...this.guests.filter(({ id }) => id !== guest.id), guest].sort(byAge);
  }

  #addSample(id: string, sample: StatsSample): void {
    this.samples.set(id, [...(this.samples.get(id) ?? []), sample].slice(-HISTORY_SAMPLES));
  }

  #lost(reason: string): void {
    clearInterval(this.#hostTimer);
    this.#client = null;
    this.reason = reason;
    this.phase = 'lost';
    clearTimeout(this.#timer);
    const delay = RETRY_MILLISECONDS[Math.min(this.#attempt++, RETRY_MILLISECONDS.length - 1)];
    this.#timer = setTimeout(() => void this.connect(), delay);
  }
}

function byAge(a: GuestView, b: GuestView): number {
  return a.createdAt - b.createdAt || a.settings.name.localeCompare(b.settings.name);
}
