// A guest in this very process, whose console is read and whose keyboard, pointer and display a test can reach.
// Owns the guest and what it has said so far.
// Never waits without a limit, and ends its guest with itself.

import assert from 'node:assert/strict';
import { stripVTControlCharacters } from 'node:util';
import type { GuestSettings } from '../../main/contract.ts';
import { RunningGuest } from '../../main/guests/running-guest.ts';
import { prompt } from './debian.ts';
import { patience } from './engines.ts';

export class WatchedGuest implements AsyncDisposable {
  /** All of its console, without carriage returns and escape sequences. */
  said = '';
  readonly guest: RunningGuest;
  #read = 0;
  #heard = (): void => {};

  constructor(settings: GuestSettings) {
    this.guest = new RunningGuest({
      settings,
      output: (bytes) => {
        this.said += stripVTControlCharacters(Buffer.from(bytes).toString('latin1')).replaceAll('\r', '');
        this.#heard();
      },
    });
  }

  /** Waits until something matches that no earlier wait has used up. */
  async waitFor(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    const deadline = performance.now() + seconds * patience * 1000;
    for (;;) {
      const match = pattern.exec(this.said.slice(this.#read));
      if (match) {
        this.#read += match.index + match[0].length;
        return match;
      }
      const left = deadline - performance.now();
      assert.ok(left > 0 && this.guest.end === null, `${pattern} did not come:\n${this.said.slice(-2000)}`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
        setTimeout(resolve, Math.min(left, 1000));
      });
    }
  }

  /** Types a command at the console, and waits for its answer and the next prompt. */
  async ask(command: string, answer: RegExp, seconds: number): Promise<RegExpExecArray> {
    this.guest.input(Buffer.from(`${command}\n`));
    const match = await this.waitFor(answer, seconds);
    await this.waitFor(prompt, seconds);
    return match;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest.forceStop();
  }
}
