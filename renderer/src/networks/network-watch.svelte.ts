// The networks as the page shows them: asked for each second, with what passed each card meanwhile.
// Owns the timer and the last two minutes of rates.
// Never changes a network.

import { SvelteMap } from 'svelte/reactivity';
import type { NetworkCardView, NetworkView } from '../contract.ts';
import { type Caller, sentence } from '../state/session.svelte.ts';

/** Seconds that the chart shows, and milliseconds between two looks. */
export const WINDOW_SECONDS = 120;
const LOOK_EVERY = 1000;

/** Bytes a second that a card sent and was given, at a time in milliseconds since the epoch. */
export interface Rate {
  at: number;
  sent: number;
  given: number;
}

/** Names a card among all. */
export const cardKey = ({ guest, card }: Pick<NetworkCardView, 'guest' | 'card'>): string => `${guest}/${card}`;

export class NetworkWatch {
  networks = $state.raw<readonly NetworkView[] | null>(null);
  /** Why they could not be asked for. */
  problem = $state('');
  readonly rates = new SvelteMap<string, readonly Rate[]>();
  readonly #caller: Caller;
  readonly #totals = new Map<string, { at: number; sent: number; given: number }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(caller: Caller) {
    this.#caller = caller;
    void this.look();
  }

  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  /** Asks now, and again after a second. */
  async look(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.take(await this.#caller.call('networks.list', {}), Date.now());
      this.problem = '';
    } catch (error) {
      this.problem = sentence(error);
    }
    // Another look may have begun meanwhile.
    clearTimeout(this.#timer);
    if (!this.#isOver) this.#timer = setTimeout(() => void this.look(), LOOK_EVERY);
  }

  /** What was told at a time. */
  take(networks: readonly NetworkView[], at: number): void {
    this.networks = networks;
    for (const card of networks.flatMap(({ cards }) => cards)) {
      const key = cardKey(card);
      if (!card.live) {
        this.#totals.delete(key);
        continue;
      }
      const { bytesIn: sent, bytesOut: given } = card.live.counters;
      const before = this.#totals.get(key);
      this.#totals.set(key, { at, sent, given });
      // A card that was plugged in anew counts from zero.
      if (!before || at <= before.at || sent < before.sent || given < before.given) continue;
      const seconds = (at - before.at) / 1000;
      const rate = { at, sent: (sent - before.sent) / seconds, given: (given - before.given) / seconds };
      const recent = (this.rates.get(key) ?? []).filter((each) => at - each.at <= WINDOW_SECONDS * 1000);
      this.rates.set(key, [...recent, rate]);
    }
  }
}
