// Watches a guest's serial console for lines that match, and types in answer to them.
// Owns the present line and the place in the script.
// Never buffers more than one bounded line, whatever the guest sends.

import type { ConsoleScript } from './worker-messages.ts';

/** A longer line is matched by its last characters only: a guest that never ends its line must not cost memory. */
const LINE_MAX = 4096;

export interface ConsoleWatchEvents {
  type(text: string): void;
  /** A `--type-after` pair was typed, or (`null`) the line of `--until` came. */
  matched(pattern: RegExp, isUntil: boolean): void;
}

/** Feeds on the bytes a guest sends; matches at every line end and at the end of every chunk, so prompts count too. */
export class ConsoleWatch {
  readonly #script: ConsoleScript;
  readonly #events: ConsoleWatchEvents;
  readonly #decoder = new TextDecoder();
  #line = '';
  #typed = 0;
  #isDone = false;

  constructor(script: ConsoleScript, events: ConsoleWatchEvents) {
    this.#script = script;
    this.#events = events;
  }

  /** True once the line of `until` has come. */
  get isDone(): boolean {
    return this.#isDone;
  }

  write(bytes: Uint8Array): void {
    if (this.#isDone || (this.#script.until === null && this.#typed >= this.#script.type.length)) return;
    const pieces = this.#decoder.decode(bytes, { stream: true }).split(/\r*\n/);
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) this.#line = '';
      this.#line += piece;
      if (this.#line.length > LINE_MAX) this.#line = this.#line.slice(-LINE_MAX);
      if (piece !== '') this.#match();
      if (this.#isDone) return;
    }
  }

  #match(): void {
    const next = this.#script.type[this.#typed];
    if (next?.after.test(this.#line)) {
      this.#typed++;
      // The next pair waits for output of its own: what the line holds so far has had its answer.
      this.#line = '';
      this.#events.matched(next.after, false);
      this.#events.type(next.text);
      return;
    }
    if (this.#script.until?.test(this.#line)) {
      this.#isDone = true;
      this.#events.matched(this.#script.until, true);
    }
  }
}
