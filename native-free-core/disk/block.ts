// The one interface of every disk image, and what an image asks of its host: a file, and the opening of others.
// Owns those interfaces, the sector's size, the largest disk, the error of images and the queue of their acts.
// Never knows a format, a controller or a path.

/** Bytes of a sector: the unit of guests' requests, and of the sizes of all formats. */
export const SECTOR_BYTES = 512;

/** The largest disk taken (64 TiB): what keeps every offset exact and every table of an image small. */
export const DISK_BYTES_MAX = 2 ** 46;

/**
 * A disk as a controller sees it. All offsets and lengths are bytes, and need no alignment. Acts may be started while
 * others go on; those of one image are carried out one after the other, in the order they were called in.
 *
 * A rejection is a {@link DiskError} where the image or the request is wrong; otherwise it is the host's own error, and the
 * act may be tried again: a {@link HostFullError} where it needs room on the host's disk.
 */
export interface BlockDevice {
  /** Bytes of the disk: a whole number of sectors, and the same as long as it is open. */
  readonly size: number;
  /** Whether writing and discarding are refused. */
  readonly isReadOnly: boolean;
  /** Fills the whole buffer from the disk. Rejects, without a byte read, if that exceeds the disk. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /** Writes all of `data`, which must not change until this has resolved. Durable only after {@link flush}. */
  write(offset: number, data: Uint8Array): Promise<void>;
  /**
   * Fills the buffers from the disk, one after the other, before it returns. False where that is not possible or would take
   * long, whatever the reason: they may be filled in part then, and {@link read} does it or says why not.
   */
  readNow?(offset: number, buffers: readonly Uint8Array[]): boolean;
  /** Writes the buffers, one after the other, before it returns. False: {@link write} all of it, of which a part may be. */
  writeNow?(offset: number, buffers: readonly Uint8Array[]): boolean;
  /** Resolves when every write that resolved before is on the host's disk, with the metadata it needs. */
  flush(): Promise<void>;
  /** Says that the range is not needed any more: it reads as before or as zeros from now on, part by part. */
  discard(offset: number, length: number): Promise<void>;
  /** Makes the range read as zeros, like a write of them, but occupying as little of the host as the format allows. */
  writeZeros(offset: number, length: number): Promise<void>;
  /** Bytes from `offset` that surely read as zeros and occupy nothing; 0 if that is not known. Costs no reading. */
  zerosFrom(offset: number): Promise<number>;
  /** Flushes and gives up the files. The device is of no use afterwards; closing again does nothing. */
  close(): Promise<void>;
}

/** A file of the host, as an image uses it. Offsets and lengths are bytes. */
export interface HostFile {
  /** What a person is told it is called: a path. */
  readonly name: string;
  /** The same for two openings of one file, different otherwise: what a cycle of backing files is found by. */
  readonly identity: string;
  readonly isReadOnly: boolean;
  size(): Promise<number>;
  /** Reads as much as there is; resolves with the bytes read, fewer than the buffer holds only at the file's end. */
  read(offset: number, buffer: Uint8Array): Promise<number>;
  /** Writes all of `data`; a gap that this leaves behind the old end reads as zeros. */
  write(offset: number, data: Uint8Array): Promise<void>;
  /** Fills the buffers before it returns; false where the host cannot, or would take long. They may be filled in part then. */
  readNow?(offset: number, buffers: readonly Uint8Array[]): boolean;
  /** Writes the buffers before it returns. False: a part may be written, and {@link write} does it or says why not. */
  writeNow?(offset: number, buffers: readonly Uint8Array[]): boolean;
  /** Makes the file this long; what is added reads as zeros and occupies nothing, where the host can do that. */
  truncate(size: number): Promise<void>;
  /**
   * Gives back to the host what the range occupies. Resolves with whether it reads as zeros now; where the host makes no
   * holes it is as before. The range is within the file, whose size stays.
   */
  punch(offset: number, length: number): Promise<boolean>;
  /** Resolves when everything written is on the host's disk (fsync). */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** What images need of their host beside their own file. */
export interface DiskHost {
  /** The identity of a backing file that is about to be opened: a lock on it must not hide a circle. */
  identifyBacking(name: string, child: HostFile): Promise<string>;
  /** Opens a backing file, for reading, by the name an image holds; a relative name is relative to `child`'s folder. */
  openBacking(name: string, child: HostFile): Promise<HostFile>;
  /** Unpacks data to at most `length` bytes; what follows it is ignored. Rejects if it is damaged. */
  decompress(method: Compression, data: Uint8Array, length: number): Promise<Uint8Array>;
}

export type Compression = 'deflate' | 'zlib' | 'zstd';

/** An image or a request that is wrong: one sentence that a person understands. */
export class DiskError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DiskError';
  }
}

/** The host has no room for what an image wants to write: one sentence. The act may be tried again when there is some. */
export class HostFullError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HostFullError';
  }
}

/** Bytes of all buffers. */
export function lengthOf(buffers: readonly Uint8Array[]): number {
  let length = 0;
  for (const buffer of buffers) length += buffer.length;
  return length;
}

/** The part of the buffers that is `length` bytes from byte `from` on. */
export function partOf(buffers: readonly Uint8Array[], from: number, length: number): readonly Uint8Array[] {
  const part: Uint8Array[] = [];
  let skip = from;
  let left = length;
  for (const buffer of buffers) {
    if (left === 0) break;
    if (skip >= buffer.length) {
      skip -= buffer.length;
      continue;
    }
    const taken = Math.min(buffer.length - skip, left);
    part.push(taken === buffer.length ? buffer : buffer.subarray(skip, skip + taken));
    left -= taken;
    skip = 0;
  }
  return part;
}

/** Whether the range is part of the disk. */
export function isRange(device: { readonly size: number }, offset: number, length: number): boolean {
  const isWhole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  return isWhole && offset <= device.size && length <= device.size - offset;
}

/** Throws a {@link DiskError} unless the range is part of the disk. */
export function checkRange(device: { readonly size: number }, offset: number, length: number): void {
  if (!isRange(device, offset, length))
    throw new DiskError(`A request for ${length} bytes at ${offset} exceeds the disk, which has ${device.size} bytes.`);
}

/** Throws a {@link DiskError} if the device must not be written. */
export function checkWritable(device: { readonly isReadOnly: boolean }): void {
  if (device.isReadOnly) throw new DiskError('The disk is open for reading only.');
}

/** Fills the buffer from a file; what is behind the file's end reads as zeros. */
export async function readPadded(file: HostFile, offset: number, buffer: Uint8Array): Promise<void> {
  const count = await file.read(offset, buffer);
  if (count < buffer.length) buffer.fill(0, count);
}

/** Acts that must not overlap: each starts when the one before has ended, well or not. */
export class ActQueue {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  run<Result>(act: () => Promise<Result>): Promise<Result> {
    this.#waiting++;
    const result = this.#last.then(act, act);
    const over = (): void => {
      this.#waiting--;
    };
    // The next act only waits for this one; whoever called it is told of its failure.
    this.#last = result.then(over, over);
    return result;
  }

  /** No act is under way or waits: one that takes no time may be done at once. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }
}
