// Where an image comes from: a folder or an archive of the host, as documents and blobs by name.
// Owns reading them, with what was read counted for the progress.
// Never follows a name out of the folder or the archive.

import { createReadStream, type Stats } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';
import type { LayerIndex, LayerNode } from '../../../native-free-core/containers/images/layer-index.ts';
import { isRegular, isSymlink } from '../../../native-free-core/containers/vfs/constants.ts';

/** Largest document of an image (manifest, configuration): Docker's own limit for a manifest is 4 MiB. */
const DOCUMENT_MAX = 8 << 20;
const PIECE = 1 << 20;

/** Told how many bytes were read. */
export type Counter = (bytes: number) => void;

/** Files of an image by their names in it. */
export interface BlobSource {
  /** A small file, or null where there is none. Throws an {@link ImageError} for a large one. */
  document(name: string): Promise<Uint8Array | null>;
  /** A file in pieces. Throws an {@link ImageError} where there is none. */
  pieces(name: string): AsyncIterable<Uint8Array>;
  /** Bytes of a file, 0 where there is none. */
  size(name: string): Promise<number>;
}

export async function* filePieces(file: string, count: Counter): AsyncGenerator<Uint8Array> {
  for await (const piece of createReadStream(file, { highWaterMark: PIECE })) {
    count((piece as Buffer).length);
    yield piece as Buffer;
  }
}

/** Names come from the image's documents. Throws where one leads out. */
function checkedName(name: string): string {
  const parts = name.split('/');
  if (
    parts.some((part) => part === '' || part === '.' || part === '..') ||
    name.includes('\\') ||
    name.includes('\0')
  ) {
    throw new ImageError(`The image names a file that leads out of it: ${JSON.stringify(name)}.`);
  }
  return name;
}

export class FolderSource implements BlobSource {
  readonly #folder: string;
  readonly #count: Counter;

  constructor(folder: string, count: Counter) {
    this.#folder = folder;
    this.#count = count;
  }

  async document(name: string): Promise<Uint8Array | null> {
    const found = await this.#stat(name);
    if (!found) return null;
    if (found.size > DOCUMENT_MAX) throw new ImageError(`The image's ${name} is too large for a document.`);
    return await readFile(join(this.#folder, name));
  }

  async *pieces(name: string): AsyncGenerator<Uint8Array> {
    if (!(await this.#stat(name))) throw new ImageError(`The image is not whole: ${name} is not there.`);
    yield* filePieces(join(this.#folder, name), this.#count);
  }

  async size(name: string): Promise<number> {
    return (await this.#stat(name))?.size ?? 0;
  }

  async #stat(name: string): Promise<Stats | null> {
    try {
      const found = await stat(join(this.#folder, checkedName(name)));
      return found.isFile() ? found : null;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return null;
      throw error;
    }
  }
}

/** Links that lead from one file of an archive to another; `docker save` had them for layers that images share. */
const LINKS_MAX = 8;

/** An uncompressed tar archive whose members are read where they lie. */
export class ArchiveSource implements BlobSource {
  readonly #file: string;
  readonly #index: LayerIndex;
  readonly #count: Counter;

  constructor(file: string, index: LayerIndex, count: Counter) {
    this.#file = file;
    this.#index = index;
    this.#count = count;
  }

  async document(name: string): Promise<Uint8Array | null> {
    const node = this.#node(checkedName(name));
    if (!node) return null;
    if (node.size > DOCUMENT_MAX) throw new ImageError(`The image's ${name} is too large for a document.`);
    const handle = await open(this.#file);
    try {
      const bytes = Buffer.alloc(node.size);
      const { bytesRead } = await handle.read(bytes, 0, node.size, node.offset);
      if (bytesRead !== node.size) throw new ImageError('The archive is cut short.');
      return bytes;
    } finally {
      await handle.close();
    }
  }

  async *pieces(name: string): AsyncGenerator<Uint8Array> {
    const node = this.#node(checkedName(name));
    if (!node) throw new ImageError(`The image is not whole: ${name} is not there.`);
    if (node.size === 0) return;
    const stream = createReadStream(this.#file, {
      start: node.offset,
      end: node.offset + node.size - 1,
      highWaterMark: PIECE,
    });
    for await (const piece of stream) {
      this.#count((piece as Buffer).length);
      yield piece as Buffer;
    }
  }

  async size(name: string): Promise<number> {
    return this.#node(checkedName(name))?.size ?? 0;
  }

  #node(name: string, links = 0): LayerNode | null {
    let at: LayerNode | undefined = this.#index.nodes[0];
    for (const part of name.split('/')) {
      const number: number | undefined = at?.entries && Object.hasOwn(at.entries, part) ? at.entries[part] : undefined;
      at = number === undefined ? undefined : this.#index.nodes[number];
    }
    if (!at) return null;
    if (isRegular(at.mode)) return at;
    if (!isSymlink(at.mode) || links >= LINKS_MAX) return null;
    const parts = name.split('/').slice(0, -1);
    for (const part of at.target.split('/')) {
      if (part === '..') {
        if (parts.pop() === undefined) return null;
      } else if (part !== '.' && part !== '') parts.push(part);
    }
    return this.#node(parts.join('/'), links + 1);
  }
}
