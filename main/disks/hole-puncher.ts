// Holes in a file of this host, which Node has no call for: util-linux' fallocate makes them, where there is one.
// Owns the helper process of a file: a shell that waits for the next hole, so that none costs a fork of this process.
// Never has more than one hole under way: a process that is killed leaves none for later.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/** For each line with offset and length, a line with the status. The file is the helper's descriptor 3, whatever its name is. */
const SCRIPT =
  'while read -r at length; do fallocate --punch-hole --offset "$at" --length "$length" /proc/self/fd/3; echo $?; done';

interface Helper {
  process: ChildProcessByStdio<Writable, Readable, null>;
  lines: Interface;
  ended: Promise<void>;
}

export class HolePuncher {
  readonly #descriptor: number;
  #helper: Helper | undefined;
  #isAble = process.platform === 'linux';
  #last: Promise<unknown> = Promise.resolve();

  /** `descriptor` must stay open until {@link close} has resolved. */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Gives the range back to the host. Resolves with whether it reads as zeros now; false where the host cannot. */
  punch(offset: number, length: number): Promise<boolean> {
    const act = this.#last.then(() => this.#punch(offset, length));
    this.#last = act;
    return act;
  }

  async #punch(offset: number, length: number): Promise<boolean> {
    if (!this.#isAble || length <= 0) return false;
    this.#helper ??= this.#start();
    const { process: helper, lines, ended } = this.#helper;
    const answer = new Promise<string>((resolve) => lines.once('line', resolve));
    helper.stdin.write(`${offset} ${length}\n`);
    this.#isAble = (await Promise.race([answer, ended])) === '0';
    return this.#isAble;
  }

  #start(): Helper {
    const helper = spawn('/bin/sh', ['-c', SCRIPT], {
      stdio: ['pipe', 'pipe', 'ignore', this.#descriptor],
    }) as Helper['process'];
    const ended = new Promise<void>((resolve) => {
      helper.once('error', () => resolve());
      helper.once('close', () => resolve());
    });
    // A helper that ended is told by 'close'; what is written to it then is of no interest.
    helper.stdin.on('error', () => {});
    return { process: helper, lines: createInterface({ input: helper.stdout }), ended };
  }

  /** Ends the helper, when the hole under way is made. */
  async close(): Promise<void> {
    await this.#last;
    this.#isAble = false;
    if (!this.#helper) return;
    this.#helper.process.stdin.end();
    await this.#helper.ended;
  }
}
