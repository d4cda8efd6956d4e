// What the guests in sight show: small pictures of their displays, or their consoles' last lines, asked for once a second.
// Owns the asking and what was answered; a guest that is off keeps what it showed last.
// Never asks for a guest that nobody sees, or while the page is hidden.

import { SvelteMap } from 'svelte/reactivity';
import type { Glance } from '../contract.ts';
import type { Session } from '../state/session.svelte.ts';

/** Milliseconds from an answer to the next question. */
const EVERY = 1000;
/** Pixels across: a thumbnail's width on a screen of two pixels to one. */
const WIDTH = 128;

export class Glances {
  readonly shown = new SvelteMap<string, Glance>();
  readonly #session: Session;
  #ids: readonly string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The running guests that are in sight from now on. */
  look(ids: readonly string[]): void {
    const isMore = ids.some((id) => !this.#ids.includes(id));
    this.#ids = ids;
    // A row that has come into sight should not wait its turn.
    if (isMore && !this.#isAsking) this.#next(100);
  }

  /** Nobody looks any more. */
  end(): void {
    this.#ids = [];
    clearTimeout(this.#timer);
  }

  #next(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), wait);
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    try {
      if (document.visibilityState === 'visible' && this.#session.phase === 'ready' && this.#ids.length > 0) {
        const guests = this.#ids.map((id) => ({ id, known: this.shown.get(id)?.known ?? null }));
        for (const glance of await this.#session.call('guests.glance', { guests, width: WIDTH }))
          this.shown.set(glance.id, glance);
      }
    } catch (error) {
      // A connection that was lost is told by the page itself; it is asked again when there is one.
      if (this.#session.phase === 'ready') throw error;
    } finally {
      this.#isAsking = false;
      if (this.#ids.length > 0) this.#next(EVERY);
    }
  }
}
