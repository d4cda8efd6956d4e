// Layers on the host's disk: each is one uncompressed tar archive, named by its SHA-256, and the index of what is in it.
// Owns the folder and both files of a layer; a layer that several images have is there once.
// Never keeps a layer whose content is not what its name says, and never unpacks one.

import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';
import { LayerFs } from '../../../native-free-core/containers/images/layer-fs.ts';
import {
  type LayerIndex,
  LayerIndexBuilder,
  parseLayerIndex,
} from '../../../native-free-core/containers/images/layer-index.ts';
import { TarReader } from '../../../native-free-core/containers/images/tar.ts';

/** Largest layer, in bytes unpacked: what a small archive could otherwise fill a disk with. */
const LAYER_MAX = 64 * 2 ** 30;

/** A layer's name: the digest of its uncompressed archive, which the OCI image specification calls DiffID. */
export type DiffId = `sha256:${string}`;

export const isDigest = (text: string): text is DiffId => /^sha256:[0-9a-f]{64}$/.test(text);

/** An archive that has been taken in but is not a layer yet. */
export interface Incoming {
  readonly file: string;
  readonly diffId: DiffId;
  readonly size: number;
  readonly index: LayerIndex;
}

export interface StoredLayer {
  diffId: DiffId;
  /** Bytes of the archive. */
  size: number;
}

export class LayerStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  has(diffId: DiffId): boolean {
    return this.sizeOf(diffId) !== null;
  }

  /** Bytes of a layer's archive, or null. */
  sizeOf(diffId: DiffId): number | null {
    try {
      statSync(this.#index(diffId));
      return statSync(this.archive(diffId)).size;
    } catch {
      return null;
    }
  }

  /** Reads an uncompressed archive to its end, checks and indexes it. Throws an {@link ImageError}. */
  async take(archive: AsyncIterable<Uint8Array>): Promise<Incoming> {
    await mkdir(this.folder, { recursive: true });
    const file = join(this.folder, `incoming-${randomUUID()}`);
    const handle = await open(file, 'wx', 0o600);
    try {
      const builder = new LayerIndexBuilder();
      const reader = new TarReader((entry) => builder.add(entry));
      const hash = createHash('sha256');
      let size = 0;
      for await (const piece of archive) {
        size += piece.length;
        if (size > LAYER_MAX) throw new ImageError(`A layer is larger than ${LAYER_MAX / 2 ** 30} GiB unpacked.`);
        hash.update(piece);
        reader.push(piece);
        await handle.writeFile(piece);
      }
      reader.end();
      await handle.sync();
      return { file, size, diffId: `sha256:${hash.digest('hex')}`, index: builder.finish() };
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** Makes a layer of what was taken in. The archive gets its name last: what has one is whole. */
  async keep({ file, diffId, size, index }: Incoming): Promise<StoredLayer> {
    if (this.has(diffId)) await rm(file, { force: true });
    else {
      const indexFile = `${file}.json`;
      await writeFile(indexFile, JSON.stringify(index), { mode: 0o600 });
      renameSync(indexFile, this.#index(diffId));
      renameSync(file, this.archive(diffId));
    }
    return { diffId, size };
  }

  async drop({ file }: Incoming): Promise<void> {
    await rm(file, { force: true });
  }

  /**
   * A layer as a file system; `device` is its st_dev. The archive stays open until `close`. Throws an {@link ImageError}
   * where the store is damaged, and what node:fs throws where it cannot be read.
   */
  open(diffId: DiffId, device: number): { fs: LayerFs; close: () => void } {
    const file = openSync(this.archive(diffId), 'r');
    try {
      const index = parseLayerIndex(readFileSync(this.#index(diffId), 'utf8'), fstatSync(file).size);
      const fs = new LayerFs(device, index, {
        read: (into, offset) => readSync(file, into, 0, into.length, offset),
      });
      return { fs, close: () => closeSync(file) };
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** Removes layers that nobody names, and what was left of imports that were cut off. */
  collect(named: ReadonlySet<DiffId>): void {
    let files: string[];
    try {
      files = readdirSync(this.folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    for (const file of files) {
      const [, hex] = /^([0-9a-f]{64})\.(?:tar|json)$/.exec(file) ?? [];
      if (file.startsWith('incoming-') || (hex && !named.has(`sha256:${hex}`))) rmSync(join(this.folder, file));
    }
  }

  /** Where a layer's archive is. */
  archive(diffId: DiffId): string {
    return join(this.folder, `${diffId.slice('sha256:'.length)}.tar`);
  }

  #index(diffId: DiffId): string {
    return join(this.folder, `${diffId.slice('sha256:'.length)}.json`);
  }
}
