// Watches a guest's serial console for lines that match, and its screen for text, and types in answer to them.
// Owns the present line, the place in the script and which screen has had its answer.
// Never buffers more than one bounded line, whatever the guest sends.

import type { ConsoleScript, ScriptedTyping } from './worker-messages.ts';

/** A longer line is matched by its last characters only: a guest that never ends its line must not cost memory. */
const LINE_MAX = 4096;

export interface ConsoleWatchEvents {
  /** Types at the serial console or at the keyboard. */
  type(what: ScriptedTyping, where: 'serial' | 'keyboard'): void;
  /** A `--type-after` pair was typed, or (`isUntil`) what ends the run came. */
  matched(pattern: RegExp, isUntil: boolean): void;
}

/** Feeds on the bytes a guest sends; matches at every line end and at the end of every chunk, so prompts count too. */
export class ConsoleWatch {
  readonly #script: ConsoleScript;
  readonly #events: ConsoleWatchEvents;
  readonly #decoder = new TextDecoder();
  #line = '';
  #typed = 0;
  /** The screen that was answered last: what is typed next waits for another. */
  #answered: string | null = null;
  #isDone = false;

  constructor(script: ConsoleScript, events: ConsoleWatchEvents) {
    this.#script = script;
    this.#events = events;
  }

  /** True once what ends the run has come. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Whether the script still waits for something on the screen. */
  get watchesScreen(): boolean {
    const { type, untilScreen } = this.#script;
    return !this.#isDone && (untilScreen !== null || type.slice(this.#typed).some(({ strokes }) => strokes !== null));
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

  /**
   * The screen's present text. It is not called while strokes are still being typed: a prompt that is answered already
   * stays on the screen until the first of them shows.
   */
  look(text: string): void {
    if (this.#isDone || text === this.#answered) return;
    this.#answered = null;
    const next = this.#script.type[this.#typed];
    if (next?.strokes && next.after.test(text)) {
      this.#answered = text;
      this.#answer(next, 'keyboard');
    } else if (this.#script.untilScreen?.test(text)) this.#finish(this.#script.untilScreen);
  }

  #match(): void {
    const next = this.#script.type[this.#typed];
    if (next && next.serial !== null && next.after.test(this.#line)) this.#answer(next, 'serial');
    else if (this.#script.until?.test(this.#line)) this.#finish(this.#script.until);
  }

  #answer(next: ScriptedTyping, where: 'serial' | 'keyboard'): void {
    this.#typed++;
    // The next pair waits for output of its own: what the line holds so far has had its answer.
    this.#line = '';
    this.#events.matched(next.after, false);
    this.#events.type(next, where);
  }

  #finish(pattern: RegExp): void {
    this.#isDone = true;
    this.#events.matched(pattern, true);
  }
}
