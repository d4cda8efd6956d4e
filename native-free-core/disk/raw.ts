// Raw images: the disk's bytes are the file's bytes, from an offset on (a fixed VHD or VDI is one with a header or footer).
// Owns nothing but the file.
// Never grows or shrinks the file.

import {
  ActQueue,
  type BlockDevice,
  checkRange,
  checkWritable,
  DiskError,
  type HostFile,
  isRange,
  lengthOf,
  readPadded,
  SECTOR_BYTES,
} from './block.ts';
import { checkDiskSize } from './fields.ts';
import { punchHole, zeroRange } from './holes.ts';

export class RawImage implements BlockDevice {
  readonly size: number;
  readonly isReadOnly: boolean;
  readonly #file: HostFile;
  readonly #start: number;
  readonly #acts = new ActQueue();
  #closed: Promise<void> | undefined;

  /** `size` bytes of the file from `start` on. */
  constructor(file: HostFile, size: number, start = 0) {
    this.#file = file;
    this.#start = start;
    this.size = size;
    this.isReadOnly = file.isReadOnly;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, buffer.length);
      await readPadded(this.#file, this.#start + offset, buffer);
    });
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, data.length);
      checkWritable(this);
      await this.#file.write(this.#start + offset, data);
    });
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    if (!this.#acts.isIdle || !isRange(this, offset, lengthOf(buffers))) return false;
    return this.#file.readNow?.(this.#start + offset, buffers) === true;
  }

  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    if (this.isReadOnly || !this.#acts.isIdle || !isRange(this, offset, lengthOf(buffers))) return false;
    return this.#file.writeNow?.(this.#start + offset, buffers) === true;
  }

  flush(): Promise<void> {
    return this.#acts.run(async () => {
      if (!this.isReadOnly) await this.#file.flush();
    });
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, length);
      checkWritable(this);
      await punchHole(this.#file, this.#start + offset, length);
    });
  }

  writeZeros(offset: number, length: number): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, length);
      checkWritable(this);
      await zeroRange(this.#file, this.#start + offset, length);
    });
  }

  async zerosFrom(offset: number): Promise<number> {
    checkRange(this, offset, 0);
    return 0;
  }

  close(): Promise<void> {
    this.#closed ??= this.flush().finally(() => this.#file.close());
    return this.#closed;
  }
}

/** Opens a file as a raw image. A last part of less than a sector is refused: guests could not write it back whole. */
export async function openRaw(file: HostFile): Promise<RawImage> {
  const size = await file.size();
  checkDiskSize(file, size);
  if (size % SECTOR_BYTES !== 0)
    throw new DiskError(`${file.name} is no raw disk image: its ${size} bytes are not a whole number of sectors.`);
  return new RawImage(file, size);
}
