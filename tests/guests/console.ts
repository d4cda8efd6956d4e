// A process whose standard input and output are a guest's serial console, driven as a person would.
// Owns the process and what it has said so far.
// Never waits without a limit, and leaves no process behind.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { type CommandLine, patience } from './engines.ts';

export interface Ended {
  /** Exit status; null if a signal ended it. */
  status: number | null;
  signal: NodeJS.Signals | null;
}

export class GuestConsole implements AsyncDisposable {
  /** Everything written to standard output, as it came. */
  raw = '';
  errors = '';
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcessWithoutNullStreams;
  #isOver = false;
  /** How much of {@link text} earlier waits have used up. */
  #read = 0;
  #changed: () => void = () => {};

  constructor({ file, args }: CommandLine) {
    this.#child = spawn(file, args, { stdio: 'pipe' });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.raw += text;
      this.#changed();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
    });
    // Writing to a guest that has just ended is no fault of the test; its end is what the test then sees.
    this.#child.stdin.on('error', () => {});
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (status, signal) => {
        this.#isOver = true;
        this.#changed();
        resolve({ status, signal });
      });
    });
    this.ended.catch(() => {});
  }

  /** What was said, without carriage returns and escape sequences. */
  get text(): string {
    return stripVTControlCharacters(this.raw).replaceAll('\r', '');
  }

  get process(): ChildProcessWithoutNullStreams {
    return this.#child;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Waits until something matches that no earlier wait has used up. Rejects after `seconds`, or when the guest ends. */
  async waitFor(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    const deadline = performance.now() + seconds * patience * 1000;
    for (;;) {
      const match = pattern.exec(this.text.slice(this.#read));
      if (match) {
        this.#read += match.index + match[0].length;
        return match;
      }
      const left = deadline - performance.now();
      if (this.#isOver) throw new Error(`The guest ended before ${pattern} came.\n${this.#tail()}`);
      if (left <= 0) throw new Error(`${pattern} did not come within ${seconds * patience} seconds.\n${this.#tail()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Waits for the process to end by itself; rejects if it has not after `seconds`. */
  async end(seconds: number): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`Not ended after ${seconds * patience} seconds.\n${this.#tail()}`)),
        seconds * patience * 1000,
      );
    });
    try {
      return await Promise.race([this.ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) this.kill();
    await this.ended.catch(() => {});
  }

  #tail(): string {
    return `--- the last of the console:\n${this.text.slice(-2000)}\n--- standard error:\n${this.errors.slice(-2000)}`;
  }
}
