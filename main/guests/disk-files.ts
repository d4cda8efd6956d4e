// The files behind a guest's disks and CDs, opened on the host.
// Owns the file handles of one guest, from opening to closing.
// Never knows a controller; formats are the core's.

import { type FileHandle, open } from 'node:fs/promises';
import { type BlockDevice, DiskError, type HostFile } from '../../native-free-core/disk/block.ts';
import { openRaw } from '../../native-free-core/disk/raw.ts';
import { SnapshotDisk } from '../../native-free-core/disk/snapshot.ts';
import { explainFileError } from '../files/folders.ts';
import type { DiskStart } from './worker-messages.ts';

/** Opens a disk. Rejects with an Error of one sentence if that cannot be. */
export async function openDisk({ file, readOnly, snapshot }: DiskStart): Promise<BlockDevice> {
  const image = await openImage(file, 'disk', !readOnly && !snapshot);
  return snapshot ? new SnapshotDisk(image) : image;
}

/** Opens the image of a CD, for reading. */
export function openCd(file: string): Promise<BlockDevice> {
  return openImage(file, 'CD', false);
}

async function openImage(path: string, what: string, writable: boolean): Promise<BlockDevice> {
  let handle: FileHandle;
  try {
    handle = await open(path, writable ? 'r+' : 'r');
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot open the ${what} ${path}`), { cause: error });
  }
  try {
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile()) throw new DiskError(`Cannot open the ${what} ${path}: it is not a file.`);
    if (stats.size === 0n) throw new DiskError(`Cannot open the ${what} ${path}: it is empty.`);
    return await openRaw(new NodeFile(handle, path, `${stats.dev}:${stats.ino}`, !writable));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** A host file over Node's file handle. */
class NodeFile implements HostFile {
  readonly name: string;
  readonly identity: string;
  readonly isReadOnly: boolean;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, name: string, identity: string, isReadOnly: boolean) {
    this.#handle = handle;
    this.name = name;
    this.identity = identity;
    this.isReadOnly = isReadOnly;
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

  async write(offset: number, data: Uint8Array): Promise<void> {
    let done = 0;
    while (done < data.length) {
      const { bytesWritten } = await this.#handle.write(data, done, data.length - done, offset + done);
      done += bytesWritten;
    }
  }

  truncate(size: number): Promise<void> {
    return this.#handle.truncate(size);
  }

  flush(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
