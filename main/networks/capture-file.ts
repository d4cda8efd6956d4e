// A recording of what passes a guest's card, as a file that Wireshark reads.
// Owns the file from its first frame to its last.
// Never holds a frame up: what the disk does not take in time is left out, and counted in the file.

import { accessSync, constants, createWriteStream, existsSync, type WriteStream } from 'node:fs';
import { dirname } from 'node:path';
import { capturedFrame, captureEnd, captureHeader, type Direction } from '../../native-free-core/network/pcapng.ts';
import { explainFileError } from '../files/folders.ts';

/** Bytes that wait to be written. */
const BACKLOG_MAX = 16 * 2 ** 20;

export class CaptureFile {
  readonly file: string;
  readonly #stream: WriteStream;
  #frames = 0;
  #missing = 0;
  #isBroken = false;

  /** `problem` is told once, in one sentence, if the file cannot be written. */
  constructor(file: string, name: string, problem: (message: string) => void) {
    this.file = file;
    this.#stream = createWriteStream(file);
    this.#stream.on('error', (error) => {
      if (!this.#isBroken) problem(`The recording ${file} ends here: ${error.message}`);
      this.#isBroken = true;
    });
    this.#stream.write(captureHeader(name));
  }

  add(frame: Uint8Array, direction: Direction | null): void {
    this.#frames++;
    if (this.#isBroken || this.#stream.writableLength > BACKLOG_MAX) this.#missing++;
    else this.#stream.write(capturedFrame(frame, direction, now()));
  }

  /** Writes the end of the file; resolves when it is whole. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.on('close', resolve);
      this.#stream.end(captureEnd(this.#frames, this.#missing, now()));
    });
  }
}

/** Throws an Error with one sentence if a recording could not be written there; creates no file. */
export function checkCaptureFile(file: string): void {
  try {
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot write the recording ${file}`));
  }
}

/** Nanoseconds since the Unix epoch. */
function now(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
}
