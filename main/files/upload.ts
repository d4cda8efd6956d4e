// A file that a page brings along, because the host knows no path of it: written to the home's folder `media`.
// Owns the file until all of it has come, and takes it away where that never happens.
// Never overwrites a file, and never holds more of it in memory than its window.

import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { DATA_FRAME_MAX, Failure, type StreamParameters, UPLOAD_WINDOW, type UploadMessage } from '../contract.ts';
import { explainFileError } from './folders.ts';

/** What files are called that have not come whole: hidden from whoever chooses a file. */
const UNFINISHED = '.upload-';

const mediaFolder = (home: string): string => join(home, 'media');

/** Removes what uploads left behind that were cut off together with the process that took them. */
export function clearUploads(home: string): void {
  let names: string[];
  try {
    names = readdirSync(mediaFolder(home));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  for (const name of names) if (name.startsWith(UNFINISHED)) rmSync(join(mediaFolder(home), name), { force: true });
}

export interface UploadEvents {
  tell(message: UploadMessage): void;
  /** It is over, with one sentence. */
  ended(reason: string): void;
}

export class Upload {
  readonly #folder: string;
  readonly #file: string;
  readonly #name: string;
  readonly #bytes: number;
  readonly #events: UploadEvents;
  #handle: FileHandle | null = null;
  #received = 0;
  #written = 0;
  /** What is done with the file, one after the other. */
  #work: Promise<void>;
  #isOver = false;

  constructor(home: string, { name, bytes }: StreamParameters<'upload'>, events: UploadEvents) {
    this.#folder = mediaFolder(home);
    this.#file = join(this.#folder, `${UNFINISHED}${randomUUID()}`);
    this.#name = name;
    this.#bytes = bytes;
    this.#events = events;
    this.#work = this.#attempt(() => this.#begin());
  }

  /** The next bytes of the file. */
  receive(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#received += bytes.length;
    if (this.#received > this.#bytes) this.#end('More bytes came than the file has.');
    else if (this.#received - this.#written > UPLOAD_WINDOW + DATA_FRAME_MAX)
      this.#end('The page did not wait until what it sent was written.');
    else this.#work = this.#work.then(() => this.#attempt(() => this.#write(bytes)));
  }

  /** The page is gone: unless the file is whole, nothing of it stays. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#work = this.#work.then(() => this.#drop());
  }

  async #begin(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize < this.#bytes) throw new Failure('failed', `There is no room for ${this.#name} on this host.`);
    this.#handle = await open(this.#file, 'wx');
    this.#events.tell({ written: 0 });
    if (this.#bytes === 0) await this.#finish();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    let from = 0;
    while (from < bytes.length) from += (await this.#handle!.write(bytes, from)).bytesWritten;
    this.#written += bytes.length;
    this.#events.tell({ written: this.#written });
    if (this.#written === this.#bytes) await this.#finish();
  }

  async #finish(): Promise<void> {
    await this.#handle!.sync();
    await this.#handle!.close();
    this.#handle = null;
    const path = await this.#freePath();
    await rename(this.#file, path);
    this.#isOver = true;
    this.#events.tell({ path });
    this.#events.ended('The file is here.');
  }

  /** A path of the file's own name, or with a number behind it; it is taken by an empty file at once. */
  async #freePath(): Promise<string> {
    const ending = extname(this.#name);
    const stem = this.#name.slice(0, this.#name.length - ending.length);
    for (let number = 1; ; number++) {
      const path = join(this.#folder, number === 1 ? this.#name : `${stem}-${number}${ending}`);
      try {
        await (await open(path, 'wx')).close();
        return path;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
    }
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    if (this.#isOver) return;
    try {
      await act();
    } catch (error) {
      this.#end(error instanceof Failure ? error.message : explainFileError(error, `Cannot keep ${this.#name}`));
    }
  }

  #end(reason: string): void {
    this.leave();
    this.#events.ended(reason);
  }

  async #drop(): Promise<void> {
    await this.#handle?.close();
    this.#handle = null;
    await rm(this.#file, { force: true });
  }
}
