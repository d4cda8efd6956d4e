// Figures of a guest or of the host for one range, kept up to date while somebody looks.
// Owns when they are asked for: each second for ten minutes, seldom for more.
// Never asks while the page is hidden.

import { untrack } from 'svelte';
import { type GuestUsage, type HostUsage, type UsageRange, usageRanges } from '../contract.ts';
import { merged } from './columns.ts';

const FAST = 1000;
const SLOW = 15_000;

export class UsageFeed<Usage extends GuestUsage | HostUsage> {
  range = $state<UsageRange>('10min');
  usage = $state.raw<Usage | null>(null);
  readonly #ask: (query: { range: UsageRange; since: number }) => Promise<Usage>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(ask: (query: { range: UsageRange; since: number }) => Promise<Usage>) {
    this.#ask = ask;
  }

  /** Keeps the figures up to date until what it answers is called. */
  follow(): () => void {
    // An effect that follows must not run again for the figures that come of it: it would ask without a pause.
    untrack(() => void this.#next());
    return () => {
      this.#isOver = true;
      clearTimeout(this.#timer);
    };
  }

  show(range: UsageRange): void {
    if (range === this.range) return;
    this.range = range;
    this.usage = null;
    void this.#next();
  }

  async #next(): Promise<void> {
    clearTimeout(this.#timer);
    const { range, usage } = this;
    try {
      if (document.visibilityState === 'visible') {
        // The last point may have changed since; all others are as they were.
        const fresh = await this.#ask({ range, since: usage?.at.at(-1) ?? 0 });
        if (this.range === range) this.usage = merged(this.usage, fresh);
      }
    } catch {
      // The page itself tells that the connection is lost, or the guest gone.
    }
    if (this.#isOver || this.range !== range) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#next(), usageRanges[range].step === 1 ? FAST : SLOW);
  }
}
