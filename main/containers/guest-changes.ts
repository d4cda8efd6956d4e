// What a guest of kind os has changed of its image, in a file of its own folder from one run to the next.
// Owns the file: contents one after the other, the tree behind them, and a mark that says where that begins.
// Never leaves half of it: a new one takes the old one's place when it is whole.

import { closeSync, fstatSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Changes } from '../../native-free-core/containers/images/changes.ts';
import { LayerFs } from '../../native-free-core/containers/images/layer-fs.ts';
import { parseLayerIndex } from '../../native-free-core/containers/images/layer-index.ts';
import { makeFolder } from '../files/folders.ts';

/** At the end: eight bytes that say what the file is, and how many bytes of contents there are. */
const MARK = Buffer.from('TVCHANGE');
const TAIL_BYTES = MARK.length + 8;
/** Bytes that are copied at once. */
const PIECE = 1 << 20;

export class GuestChanges {
  readonly #folder: string;
  readonly #file: string;

  /** `folder`: the guest's own. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#file = join(folder, 'changes.layer');
  }

  /** Bytes on the host's disk. */
  get bytes(): number {
    return statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** The changes as the topmost layer of a root; null: there are none. Throws an Error with one sentence. */
  open(device: number): { fs: LayerFs; close: () => void } | null {
    let file: number;
    try {
      file = openSync(this.#file, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw new Error(`What the guest has changed cannot be read (${(error as NodeJS.ErrnoException).code}).`, {
        cause: error,
      });
    }
    try {
      const read = (bytes: number, at: number): Buffer => {
        const into = Buffer.alloc(bytes);
        if (readSync(file, into, 0, bytes, at) < bytes) throw new Error('it ends too early');
        return into;
      };
      const { size } = fstatSync(file);
      const tail = read(TAIL_BYTES, Math.max(0, size - TAIL_BYTES));
      const contents = Number(tail.readBigUInt64LE(MARK.length));
      if (!tail.subarray(0, MARK.length).equals(MARK) || contents > size - TAIL_BYTES)
        throw new Error('it is no file of that kind');
      const index = parseLayerIndex(read(size - TAIL_BYTES - contents, contents).toString('utf8'), contents);
      const archive = { read: (into: Uint8Array, offset: number) => readSync(file, into, 0, into.length, offset) };
      return { fs: new LayerFs(device, index, archive), close: () => closeSync(file) };
    } catch (error) {
      closeSync(file);
      throw new Error(
        `The file of what the guest has changed, ${this.#file}, is damaged: ${(error as Error).message}.`,
        {
          cause: error,
        },
      );
    }
  }

  /** Keeps changes in place of what was kept before; null: there are none. Rejects with what node:fs throws. */
  async keep(changes: Changes | null): Promise<void> {
    if (!changes) {
      rmSync(this.#file, { force: true });
      return;
    }
    makeFolder(this.#folder, "guest's folder");
    const incoming = `${this.#file}.new`;
    const file = await open(incoming, 'w', 0o600);
    try {
      const piece = new Uint8Array(PIECE);
      for (const { content, size } of changes.files)
        for (let done = 0; done < size; ) {
          const part = piece.subarray(0, Math.min(PIECE, size - done));
          content.read(part, done);
          await file.writeFile(part);
          done += part.length;
        }
      await file.writeFile(JSON.stringify(changes.index));
      const tail = Buffer.alloc(TAIL_BYTES);
      MARK.copy(tail);
      tail.writeBigUInt64LE(BigInt(changes.size), MARK.length);
      await file.writeFile(tail);
      await file.sync();
    } catch (error) {
      await file.close();
      rmSync(incoming, { force: true });
      throw error;
    }
    await file.close();
    renameSync(incoming, this.#file);
  }

  remove(): void {
    rmSync(this.#file, { force: true });
  }
}
