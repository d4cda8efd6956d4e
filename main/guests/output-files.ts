// Files that take what a guest's second serial port, its printer and its sound card put out.
// Owns the open files from the guest's start to its end.
// Never ends a guest: a file that cannot be written is told of at the end.

import { closeSync, openSync, writeSync } from 'node:fs';
import { AUDIO_HZ } from '../../native-free-core/devices/sound/audio-mixer.ts';
import type { GuestHost } from '../../native-free-core/hypervisor/guest.ts';
import { explainFileError } from '../files/folders.ts';

/** Paths; null where nobody wants the output. */
export interface OutputPaths {
  serial2: string | null;
  printer: string | null;
  audio: string | null;
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

  write(bytes: Uint8Array, position: number | null = null): void {
    if (this.#problem !== null) return;
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#descriptor, bytes, done, undefined, position === null ? null : position + done);
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

const HEADER_BYTES = 44;
/** The most that the header's 32 bits can tell, in whole frames. */
const SOUND_BYTES_MAX = 2 ** 32 - 4096;
const FRAME_BYTES = 4;

/** A RIFF WAVE file of 16-bit stereo. Its header tells at any time what the file holds, so that it survives a kill. */
class WaveFile {
  readonly #file: OutputFile;
  #bytes = 0;

  constructor(file: OutputFile) {
    this.#file = file;
    this.#writeHeader();
  }

  add(samples: Int16Array): void {
    const bytes = new Uint8Array(samples.length * 2);
    const view = new DataView(bytes.buffer);
    samples.forEach((sample, index) => {
      view.setInt16(index * 2, sample, true);
    });
    if (this.#bytes + bytes.length > SOUND_BYTES_MAX) return;
    this.#file.write(bytes, HEADER_BYTES + this.#bytes);
    this.#bytes += bytes.length;
    this.#writeHeader();
  }

  #writeHeader(): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.write('RIFF', 0, 'latin1');
    header.writeUInt32LE(HEADER_BYTES - 8 + this.#bytes, 4);
    header.write('WAVEfmt ', 8, 'latin1');
    header.writeUInt32LE(16, 16);
    header.writeUInt16LE(1, 20);
    header.writeUInt16LE(2, 22);
    header.writeUInt32LE(AUDIO_HZ, 24);
    header.writeUInt32LE(AUDIO_HZ * FRAME_BYTES, 28);
    header.writeUInt16LE(FRAME_BYTES, 32);
    header.writeUInt16LE(16, 34);
    header.write('data', 36, 'latin1');
    header.writeUInt32LE(this.#bytes, 40);
    this.#file.write(header, 0);
  }
}

export class OutputFiles {
  readonly #files: OutputFile[] = [];
  /** What the guest's machine is given to put out to. */
  readonly host: Pick<GuestHost, 'secondSerialOutput' | 'printerOutput' | 'audioOutput'>;

  /** Opens all of them; throws an Error with one sentence, and leaves none open, if one cannot be. */
  constructor(paths: OutputPaths) {
    try {
      const [serial2, printer, audio] = [paths.serial2, paths.printer, paths.audio].map((path) => this.#open(path));
      const wave = audio ? new WaveFile(audio) : null;
      this.host = {
        ...(serial2 && { secondSerialOutput: (bytes) => serial2.write(bytes) }),
        ...(printer && { printerOutput: (bytes) => printer.write(bytes) }),
        ...(wave && { audioOutput: ({ samples }) => wave.add(samples) }),
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
