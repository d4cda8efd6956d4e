// Images that find a block of the disk through one map (VDI, VHD, VMDK): new blocks are placed behind the others.
// Owns the acts on the disk and the order of writes; a format's file owns its map and header.
// Never moves a block, and never gives one back.

import {
  ActQueue,
  type BlockDevice,
  checkRange,
  checkWritable,
  type HostFile,
  readPadded,
  SECTOR_BYTES,
} from './block.ts';
import { damaged, isZero } from './fields.ts';
import { type Findings, newFindings, note } from './findings.ts';

/** The largest map held in memory (bytes). */
export const MAP_BYTES_MAX = 128 << 20;

/** The map of a format, in memory. Offsets are of the file, in bytes. */
export interface BlockMap {
  readonly blockSize: number;
  readonly blocks: number;
  /** Bytes in front of a block's data that belong to it. */
  readonly prefix: number;
  /** Everything in front of this is header and maps. */
  readonly dataStart: number;
  /** Where a block's data is; 0 where it has no place and reads as zeros. */
  locate(block: number): number;
  /** Prepares a place for a block that has none. `isClean`: the place reads as zeros already. */
  place(block: number): Promise<{ at: number; isClean: boolean }>;
  /** Makes what has a place ready to be written, where the format needs that. */
  touch?(block: number): Promise<void>;
  /** Lets the map lead to a new place, in memory. */
  assign(block: number, at: number): void;
  /** Writes what {@link assign} has changed. */
  commit(): Promise<void>;
  /** Reads a whole block, where the format packs them. */
  unpack?(at: number): Promise<Uint8Array>;
}

/** New places that are written to the map unasked. */
const CHANGES_MAX = 1024;

/** Metadata follows data: a block is written, then a barrier (fsync), then the map's entry that leads to it. */
export class MappedImage implements BlockDevice {
  readonly size: number;
  readonly isReadOnly: boolean;
  readonly #file: HostFile;
  readonly #map: BlockMap;
  readonly #acts = new ActQueue();
  #changes = 0;
  #unpacked: { at: number; bytes: Uint8Array } | undefined;
  #closed: Promise<void> | undefined;

  constructor(file: HostFile, size: number, map: BlockMap) {
    this.#file = file;
    this.#map = map;
    this.size = size;
    this.isReadOnly = file.isReadOnly;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, buffer.length);
      for (const { block, within, start, length } of this.#pieces(offset, buffer.length)) {
        const piece = buffer.subarray(start, start + length);
        const at = this.#map.locate(block);
        if (at === 0) piece.fill(0);
        else if (!this.#map.unpack) await readPadded(this.#file, at + within, piece);
        else {
          if (this.#unpacked?.at !== at) this.#unpacked = { at, bytes: await this.#map.unpack(at) };
          piece.set(this.#unpacked.bytes.subarray(within, within + length));
        }
      }
    });
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, data.length);
      checkWritable(this);
      for (const { block, within, start, length } of this.#pieces(offset, data.length)) {
        const piece = data.subarray(start, start + length);
        const at = this.#map.locate(block);
        if (at !== 0) {
          await this.#map.touch?.(block);
          await this.#file.write(at + within, piece);
        } else if (!isZero(piece)) await this.#writeNew(block, within, piece);
      }
    });
  }

  async #writeNew(block: number, within: number, piece: Uint8Array): Promise<void> {
    const { at, isClean } = await this.#map.place(block);
    if (isClean) await this.#file.write(at + within, piece);
    else {
      const whole = new Uint8Array(this.#map.blockSize);
      whole.set(piece, within);
      await this.#file.write(at, whole);
    }
    // The file holds the whole block, whatever was written of it.
    const end = at + this.#map.blockSize;
    if ((await this.#file.size()) < end) await this.#file.truncate(end);
    this.#map.assign(block, at);
    if (++this.#changes >= CHANGES_MAX) await this.#commit();
  }

  *#pieces(
    offset: number,
    length: number,
  ): Generator<{ block: number; within: number; start: number; length: number }> {
    const { blockSize } = this.#map;
    for (let start = 0; start < length; ) {
      const within = (offset + start) % blockSize;
      const size = Math.min(blockSize - within, length - start);
      yield { block: Math.floor((offset + start) / blockSize), within, start, length: size };
      start += size;
    }
  }

  flush(): Promise<void> {
    return this.#acts.run(async () => {
      if (this.isReadOnly) return;
      await this.#commit();
      await this.#file.flush();
    });
  }

  async #commit(): Promise<void> {
    if (this.#changes === 0) return;
    await this.#file.flush();
    await this.#map.commit();
    this.#changes = 0;
  }

  /** Nothing: these formats keep their blocks. */
  async discard(offset: number, length: number): Promise<void> {
    checkRange(this, offset, length);
    checkWritable(this);
  }

  async zerosFrom(offset: number): Promise<number> {
    checkRange(this, offset, 0);
    const { blockSize } = this.#map;
    let block = Math.floor(offset / blockSize);
    while (block * blockSize < this.size && this.#map.locate(block) === 0) block++;
    return Math.max(0, Math.min(this.size, block * blockSize) - offset);
  }

  close(): Promise<void> {
    this.#closed ??= this.flush().finally(() => this.#file.close());
    return this.#closed;
  }
}

/** Looks at every place of a map: outside the file, within metadata, used twice. */
export function checkMap(map: BlockMap, fileSize: number): Findings {
  const findings = newFindings();
  const places: number[] = [];
  for (let block = 0; block < map.blocks; block++) {
    const at = map.locate(block);
    if (at === 0) continue;
    findings.allocated += map.blockSize;
    const length = map.unpack ? SECTOR_BYTES : map.blockSize;
    if (at - map.prefix < map.dataStart) note(findings, 'damage', `block ${block} at ${at} overlaps metadata`);
    // A file may lack the end of its last block.
    else if (at >= fileSize || (at + length > fileSize && !isLast(map, block)))
      note(findings, 'damage', `block ${block} at ${at} is outside the file`);
    else places.push(at);
  }
  places.sort((one, other) => one - other);
  const apart = map.unpack ? 1 : map.blockSize + map.prefix;
  for (let index = 1; index < places.length; index++) {
    if (places[index]! - places[index - 1]! < apart) note(findings, 'damage', `two blocks share ${places[index]}`);
  }
  return findings;
}

function isLast(map: BlockMap, block: number): boolean {
  return block === map.blocks - 1;
}

/** Refuses to write an image whose map is wrong: a guest's write must not reach what is not its own. */
export function openMapped(file: HostFile, size: number, map: BlockMap, fileSize: number): MappedImage {
  if (!file.isReadOnly) {
    const { damages, details } = checkMap(map, fileSize);
    if (damages > 0) throw damaged(file, details[0]!);
  }
  return new MappedImage(file, size, map);
}
