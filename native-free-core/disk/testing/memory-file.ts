// A host file in memory that remembers every write and flush: tests cut its power at any of them.
// Owns the pages, so that a hostile offset costs nothing, and the log.
// Never part of the product.

import { type DiskHost, type HostFile, lengthOf } from '../block.ts';

const PAGE = 4096;

type Act =
  | { kind: 'write'; offset: number; data: Uint8Array }
  | { kind: 'truncate'; size: number }
  | { kind: 'flush' }
  | Hole;
interface Hole {
  kind: 'hole';
  offset: number;
  length: number;
}

let files = 0;

export class MemoryFile implements HostFile {
  readonly name: string;
  readonly identity: string = `memory-${files++}`;
  isReadOnly = false;
  /** Whether this host makes holes. */
  makesHoles = true;
  /** Whether it does at once what it is asked to. */
  isPrompt = true;
  readonly log: Act[] = [];
  readonly #pages = new Map<number, Uint8Array>();
  #size = 0;

  constructor(name = 'image') {
    this.name = name;
  }

  async size(): Promise<number> {
    return this.#size;
  }

  async read(offset: number, buffer: Uint8Array): Promise<number> {
    const length = Math.max(0, Math.min(buffer.length, this.#size - offset));
    this.#fill(offset, buffer.subarray(0, length));
    return length;
  }

  #fill(offset: number, buffer: Uint8Array): void {
    const { length } = buffer;
    for (let done = 0; done < length; ) {
      const within = (offset + done) % PAGE;
      const part = Math.min(length - done, PAGE - within);
      const page = this.#pages.get(Math.floor((offset + done) / PAGE));
      if (page) buffer.set(page.subarray(within, within + part), done);
      else buffer.fill(0, done, done + part);
      done += part;
    }
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    if (this.isReadOnly) throw new Error('a write to a file that is read only');
    this.apply({ kind: 'write', offset, data: data.slice() });
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    if (!this.isPrompt || offset + lengthOf(buffers) > this.#size) return false;
    let at = offset;
    for (const buffer of buffers) {
      this.#fill(at, buffer);
      at += buffer.length;
    }
    return true;
  }

  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    if (!this.isPrompt || this.isReadOnly) return false;
    let at = offset;
    for (const buffer of buffers) {
      this.apply({ kind: 'write', offset: at, data: buffer.slice() });
      at += buffer.length;
    }
    return true;
  }

  async truncate(size: number): Promise<void> {
    this.apply({ kind: 'truncate', size });
  }

  async punch(offset: number, length: number): Promise<boolean> {
    if (this.isReadOnly) throw new Error('a hole in a file that is read only');
    if (offset + length > this.#size) throw new Error('a hole behind the end of the file');
    if (this.makesHoles) this.apply({ kind: 'hole', offset, length });
    return this.makesHoles;
  }

  async flush(): Promise<void> {
    this.log.push({ kind: 'flush' });
  }

  async close(): Promise<void> {}

  apply(act: Act): void {
    this.log.push(act);
    if (act.kind === 'truncate') {
      if (act.size < this.#size) throw new Error('images never shrink');
      this.#size = act.size;
    }
    if (act.kind === 'hole') this.#clear(act);
    if (act.kind !== 'write') return;
    const { offset, data } = act;
    this.#size = Math.max(this.#size, offset + data.length);
    for (let done = 0; done < data.length; ) {
      const number = Math.floor((offset + done) / PAGE);
      const within = (offset + done) % PAGE;
      const part = Math.min(data.length - done, PAGE - within);
      let page = this.#pages.get(number);
      if (!page) this.#pages.set(number, (page = new Uint8Array(PAGE)));
      page.set(data.subarray(done, done + part), within);
      done += part;
    }
  }

  #clear({ offset, length }: Hole): void {
    for (const [number, page] of this.#pages) {
      const from = Math.max(0, offset - number * PAGE);
      const to = Math.min(PAGE, offset + length - number * PAGE);
      if (from < to) page.fill(0, from, to);
    }
  }

  /** The file as it was after `acts` acts; of those since the last flush before, only the ones that `survives` keeps. */
  at(acts: number, survives: () => boolean = () => true): MemoryFile {
    const copy = new MemoryFile(this.name);
    let flushed = 0;
    for (let index = 0; index < acts; index++) if (this.log[index]!.kind === 'flush') flushed = index;
    for (let index = 0; index < acts; index++) {
      const act = this.log[index]!;
      if (index <= flushed || survives()) copy.apply(act);
    }
    return copy;
  }
}

/** A host without backing files and decompression. */
export const loneHost: DiskHost = {
  identifyBacking: async () => 'backing',
  openBacking: async () => new MemoryFile('backing'),
  decompress: async () => {
    throw new Error('nothing is packed here');
  },
};

/** Numbers from 0 up to 1, the same for a seed (xorshift32). */
export function seeded(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
