// Files of this host as disk images use them, and what images need of the host beside: backing files, decompression.
// Owns the open file and its lock.
// Never interprets what is in a file.

import { constants, readvSync, writevSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import zlib from 'node:zlib';
import {
  type Compression,
  type DiskHost,
  type HostFile,
  HostFullError,
  lengthOf,
  partOf,
} from '../../native-free-core/disk/block.ts';
import { Failure } from '../contract.ts';
import { explainFileError } from '../files/folders.ts';
import { HolePuncher } from './hole-puncher.ts';
import { type ImageLock, lockImage } from './locks.ts';
import { Promptness } from './promptness.ts';

/**
 * `write` and `read` lock the file until it is closed; `look` reads it whoever uses it; `create` makes a file that must not
 * be there yet, and locks it for writing.
 */
export type OpenMode = 'write' | 'read' | 'look' | 'create';

class NodeFile implements HostFile {
  readonly name: string;
  readonly identity: string;
  readonly isReadOnly: boolean;
  readonly #handle: FileHandle;
  readonly #lock: ImageLock | undefined;
  readonly #holes: HolePuncher;
  /** What is read may have to come from a disk; what is written goes to memory first. */
  readonly #promptness = { read: new Promptness(), write: new Promptness() };
  #isClosed = false;

  constructor(name: string, identity: string, isReadOnly: boolean, handle: FileHandle, lock: ImageLock | undefined) {
    this.name = name;
    this.identity = identity;
    this.isReadOnly = isReadOnly;
    this.#handle = handle;
    this.#lock = lock;
    this.#holes = new HolePuncher(handle.fd);
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async read(offset: number, buffer: Uint8Array): Promise<number> {
    let done = 0;
    while (done < buffer.length) {
      const { bytesRead } = await this.#handle.read(buffer, done, buffer.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#roomy(async () => {
      for (let done = 0; done < data.length; )
        done += (await this.#handle.write(data, done, data.length - done, offset + done)).bytesWritten;
    });
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    return this.#now('read', readvSync, offset, buffers);
  }

  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    return this.#now('write', writevSync, offset, buffers);
  }

  /** Blocks the thread, so only for what the host has in memory: a thread of the event loop would cost ten times as much. */
  #now(what: 'read' | 'write', move: typeof readvSync, offset: number, buffers: readonly Uint8Array[]): boolean {
    const promptness = this.#promptness[what];
    if (this.#isClosed || !promptness.begin()) return false;
    const length = lengthOf(buffers);
    try {
      for (let done = 0; done < length; ) {
        const moved = move(this.#handle.fd, done === 0 ? buffers : partOf(buffers, done, length - done), offset + done);
        if (moved === 0) return false;
        done += moved;
      }
      return true;
    } catch {
      // Whoever does it the other way is told why it cannot be.
      return false;
    } finally {
      promptness.end(length);
    }
  }

  truncate(size: number): Promise<void> {
    return this.#roomy(() => this.#handle.truncate(size));
  }

  punch(offset: number, length: number): Promise<boolean> {
    return this.#holes.punch(offset, length);
  }

  flush(): Promise<void> {
    return this.#roomy(() => this.#handle.sync());
  }

  /** Tells apart what only needs room on the host's disk. */
  async #roomy(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
      const reason = code === 'ENOSPC' ? 'the disk of this host is full' : 'the quota of this host is used up';
      throw new HostFullError(`${this.name} cannot be written: ${reason}.`, { cause: error });
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.#holes.close();
      await this.#handle.close();
    } finally {
      this.#lock?.release();
    }
  }
}

/** Opens a file as an image uses it. Throws a {@link Failure} with one sentence where it cannot be, or is in use. */
export async function openHostFile(path: string, mode: OpenMode): Promise<HostFile> {
  const name = resolve(path);
  const isReadOnly = mode === 'read' || mode === 'look';
  const flags = mode === 'create' ? constants.O_RDWR | constants.O_CREAT | constants.O_EXCL : isReadOnly ? 'r' : 'r+';
  let handle: FileHandle;
  try {
    handle = await open(name, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const doing = mode === 'create' ? 'Cannot create' : isReadOnly ? 'Cannot read' : 'Cannot open for writing';
    const kind = code === 'ENOENT' ? 'notFound' : code === 'EEXIST' || code === 'EISDIR' ? 'wrong' : 'failed';
    throw new Failure(kind, explainFileError(error, `${doing} ${name}`), { cause: error });
  }
  try {
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile()) throw new Failure('wrong', `${name} is not a file.`);
    const identity = `${stat.dev}-${stat.ino}`;
    const lock = mode === 'look' ? undefined : lockImage(identity, name, isReadOnly ? 'read' : 'write');
    return new NodeFile(name, identity, isReadOnly, handle, lock);
  } catch (error) {
    await handle.close();
    if (mode === 'create') await rm(name, { force: true });
    throw error;
  }
}

/** Where the backing file lies that an image names. */
export function backingPath(image: string, name: string): string {
  return resolve(dirname(image), name);
}

/** What images ask of this host; `mode` is how backing files are opened. */
export function nodeDiskHost(mode: 'read' | 'look' = 'read'): DiskHost {
  return {
    identifyBacking: async (name, child) => {
      const file = await openHostFile(backingPath(child.name, name), 'look');
      await file.close();
      return file.identity;
    },
    openBacking: (name, child) => openHostFile(backingPath(child.name, name), mode),
    decompress,
  };
}

// Node 20 can execute the command and has no zstd: it is looked up where it is needed.
const unpackers = {
  deflate: () => zlib.createInflateRaw(),
  zlib: () => zlib.createInflate(),
  zstd: () => zlib.createZstdDecompress(),
} as const;

/** Unpacks until `length` bytes are there; what follows the packed data is left alone. */
async function decompress(method: Compression, data: Uint8Array, length: number): Promise<Uint8Array> {
  const unpacker = unpackers[method]();
  const unpacked = new Uint8Array(length);
  let done = 0;
  const whole = Promise.withResolvers<void>();
  unpacker.on('error', whole.reject);
  unpacker.on('end', () => whole.resolve());
  unpacker.on('data', (chunk: Uint8Array) => {
    const room = Math.min(length - done, chunk.length);
    unpacked.set(chunk.subarray(0, room), done);
    done += room;
    if (done === length) whole.resolve();
  });
  unpacker.end(data);
  try {
    await whole.promise;
  } finally {
    unpacker.destroy();
  }
  return unpacked.subarray(0, done);
}
