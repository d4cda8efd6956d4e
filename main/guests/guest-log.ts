// What a guest of kind os has put out, kept in files of the home across its runs.
// Owns the two files and their bound: when one is full it becomes the older one, and the one before goes.
// Never fails a guest: a log that cannot be written is told of once.

import { appendFileSync, closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../files/folders.ts';

/** Bytes of one of the two files. */
const LOG_BYTES = 4 << 20;

export class GuestLog {
  readonly #file: string;
  readonly #older: string;
  readonly #folder: string;
  #size: number | null = null;
  #isBroken = false;

  /** `folder`: the guest's own. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#file = join(folder, 'output.log');
    this.#older = join(folder, 'output.log.1');
  }

  write(bytes: Uint8Array): void {
    if (this.#isBroken) return;
    try {
      if (this.#size === null) {
        makeFolder(this.#folder, "guest's folder");
        this.#size = statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0;
      }
      if (this.#size > 0 && this.#size + bytes.length > LOG_BYTES) {
        renameSync(this.#file, this.#older);
        this.#size = 0;
      }
      appendFileSync(this.#file, bytes);
      this.#size += bytes.length;
    } catch (error) {
      this.#isBroken = true;
      process.emitWarning(`A guest's output is not kept any more: ${(error as Error).message}`);
    }
  }

  /** Its last bytes, at most so many. */
  tail(most: number): Uint8Array {
    const newest = tailOf(this.#file, most);
    if (newest.length === most) return newest;
    const older = tailOf(this.#older, most - newest.length);
    return Buffer.concat([older, newest]);
  }
}

function tailOf(file: string, most: number): Uint8Array {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array(0);
    throw error;
  }
  try {
    const { size } = fstatSync(descriptor);
    const bytes = new Uint8Array(Math.min(size, most));
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, size - bytes.length));
  } finally {
    closeSync(descriptor);
  }
}
