// Files that take what a guest's second serial port and its printer put out.
// Owns the open files from the guest's start to its end.
// Never ends a guest: a file that cannot be written is told of at the end.

import { closeSync, openSync, writeSync } from 'node:fs';
import type { GuestHost } from '../../native-free-core/hypervisor/guest.ts';
import { explainFileError } from '../files/folders.ts';

/** Paths; null where nobody wants the output. */
export interface OutputPaths {
  serial2: string | null;
  printer: string | null;
}

/** One file that is written from its beginning. */
class OutputFile {
  readonly #path: string;
  readonly #descriptor: number;
  #problem: string | null = null;

  /** Throws an Error with one sentence if the file cannot be opened. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#descriptor = openSync(path, 'w');
    } catch (error) {
      throw new Error(explainFileError(error, `Cannot write ${path}`));
    }
  }

  write(bytes: Uint8Array): void {
    if (this.#problem !== null) return;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#descriptor, bytes, done);
    } catch (error) {
      this.#problem = explainFileError(error, `Cannot write ${this.#path}`);
    }
  }

  /** Gives what went wrong with it, if anything did. */
  close(): string | null {
    closeSync(this.#descriptor);
    return this.#problem;
  }
}

export class OutputFiles {
  readonly #files: OutputFile[] = [];
  /** What the guest's machine is given to put out to. */
  readonly host: Pick<GuestHost, 'secondSerialOutput' | 'printerOutput'>;

  /** Opens all of them; throws an Error with one sentence, and leaves none open, if one cannot be. */
  constructor(paths: OutputPaths) {
    try {
      const [serial2, printer] = [paths.serial2, paths.printer].map((path) => this.#open(path));
      this.host = {
        ...(serial2 && { secondSerialOutput: (bytes) => serial2.write(bytes) }),
        ...(printer && { printerOutput: (bytes) => printer.write(bytes) }),
      };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #open(path: string | null): OutputFile | null {
    if (path === null) return null;
    const file = new OutputFile(path);
    this.#files.push(file);
    return file;
  }

  /** Closes them. A sentence for each that did not take everything. */
  close(): string[] {
    return this.#files.splice(0).flatMap((file) => file.close() ?? []);
  }
}
