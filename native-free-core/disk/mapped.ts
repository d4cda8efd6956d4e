// Images that find a block of the disk through one map (VDI, VHD, VMDK): new blocks are placed where there is room.
// Owns the acts on the disk and the order of writes; a format's file owns its map and header.
// Never moves a block.

import {
  ActQueue,
  type BlockDevice,
  checkRange,
  checkWritable,
  type HostFile,
  isRange,
  lengthOf,
  partOf,
  readPadded,
  SECTOR_BYTES,
} from './block.ts';
import { damaged, isZero } from './fields.ts';
import { type Findings, newFindings, note } from './findings.ts';
import { FreePlaces } from './free-places.ts';
import { mergeRanges, punchHole, zeroRange } from './holes.ts';

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
  /** Where a block's data is; 0 where it has no place: zeros, or the parent, is what it reads as then. */
  locate(block: number): number;
  /** Whether a block without a place reads as zeros even over a parent. */
  isBlank?(block: number): boolean;
  /** Prepares a place for a block that has none: `free`, or behind the others. `isClean`: it reads as zeros already. */
  place(block: number, free: number | undefined): Promise<{ at: number; isClean: boolean }>;
  /** Called before the first act that changes anything. */
  begin?(): Promise<void>;
  /** Makes what has a place ready to be written, where the format needs that. */
  touch?(block: number): Promise<void>;
  /** Lets the map lead to a new place, in memory. */
  assign(block: number, at: number): void;
  /**
   * Takes a block's place away, in memory, so that it reads as zeros. False where the format has no way to say that;
   * `isOverParent`: something would show through a block that has only lost its place.
   */
  release?(block: number, isOverParent: boolean): boolean;
  /** Over a parent: which sectors of a block with a place are its own, where the format tells; bit 7 of byte 0 first. */
  ownSectors?(block: number): Promise<Uint8Array>;
  /** Makes sectors of a block its own, in memory; answers whether that changed anything. */
  own?(block: number, first: number, count: number): Promise<boolean>;
  /** Writes what {@link assign}, {@link release} and {@link own} have changed. */
  commit(): Promise<void>;
  /** Reads a whole block, where the format packs them. */
  unpack?(at: number): Promise<Uint8Array>;
}

/** Changes of the map that are written unasked. */
const CHANGES_MAX = 1024;

interface Piece {
  block: number;
  /** Bytes into the block, and into the request. */
  within: number;
  start: number;
  length: number;
}

/**
 * Metadata follows data: a block is written, then a barrier (fsync), then the map's entry that leads to it. A place that
 * the map has led to is free for another block only behind a further barrier.
 */
export class MappedImage implements BlockDevice {
  readonly size: number;
  readonly isReadOnly: boolean;
  readonly #file: HostFile;
  readonly #map: BlockMap;
  /** What shows through where nothing was written. */
  readonly #parent: BlockDevice | undefined;
  readonly #acts = new ActQueue();
  readonly #free: FreePlaces;
  /** Places that are free as soon as no map on the disk leads to them. */
  #released: number[] = [];
  #changes = 0;
  #hasBegun = false;
  #unpacked: { at: number; bytes: Uint8Array } | undefined;
  #closed: Promise<void> | undefined;

  /** Takes `parent` over: it is closed with this. */
  constructor(file: HostFile, size: number, map: BlockMap, parent?: BlockDevice, free = new FreePlaces()) {
    this.#file = file;
    this.#map = map;
    this.#parent = parent;
    this.#free = free;
    this.size = size;
    this.isReadOnly = file.isReadOnly;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, buffer.length);
      for (const piece of this.#pieces(offset, buffer.length))
        await this.#readPiece(piece, buffer.subarray(piece.start, piece.start + piece.length));
    });
  }

  async #readPiece(
    { block, within, length }: Pick<Piece, 'block' | 'within' | 'length'>,
    into: Uint8Array,
  ): Promise<void> {
    const at = this.#map.locate(block);
    if (at === 0) await this.#readHidden(block, within, into);
    else if (this.#map.unpack) {
      if (this.#unpacked?.at !== at) this.#unpacked = { at, bytes: await this.#map.unpack(at) };
      into.set(this.#unpacked.bytes.subarray(within, within + length));
    } else if (this.#parent && this.#map.ownSectors) {
      const own = await this.#map.ownSectors(block);
      for (let done = 0; done < length; ) {
        const sector = Math.floor((within + done) / SECTOR_BYTES);
        const isOwn = hasBit(own, sector);
        let last = sector + 1;
        while (last * SECTOR_BYTES < within + length && hasBit(own, last) === isOwn) last++;
        const part = into.subarray(done, Math.min(length, last * SECTOR_BYTES - within));
        if (isOwn) await readPadded(this.#file, at + within + done, part);
        else await this.#readParent(block * this.#map.blockSize + within + done, part);
        done += part.length;
      }
    } else await readPadded(this.#file, at + within, into);
  }

  /** What a block without a place reads as. */
  async #readHidden(block: number, within: number, into: Uint8Array): Promise<void> {
    if (this.#showsParent(block)) await this.#readParent(block * this.#map.blockSize + within, into);
    else into.fill(0);
  }

  #showsParent(block: number): boolean {
    return this.#parent !== undefined && this.#map.isBlank?.(block) !== true;
  }

  async #readParent(offset: number, into: Uint8Array): Promise<void> {
    const shown = Math.max(0, Math.min(into.length, this.#parent!.size - offset));
    if (shown > 0) await this.#parent!.read(offset, into.subarray(0, shown));
    into.fill(0, shown);
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    const length = lengthOf(buffers);
    if (this.#map.unpack || this.#parent || !this.#acts.isIdle || !isRange(this, offset, length)) return false;
    for (const piece of this.#pieces(offset, length)) {
      const at = this.#map.locate(piece.block);
      const part = partOf(buffers, piece.start, piece.length);
      if (at === 0) for (const buffer of part) buffer.fill(0);
      else if (this.#file.readNow?.(at + piece.within, part) !== true) return false;
    }
    return true;
  }

  /** Only where the map stays as it is. */
  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    const length = lengthOf(buffers);
    const isPlain = this.#hasBegun && !this.#map.touch && !this.#map.unpack && !this.#parent;
    if (this.isReadOnly || !isPlain || !this.#acts.isIdle || !isRange(this, offset, length)) return false;
    for (const { block } of this.#pieces(offset, length)) if (this.#map.locate(block) === 0) return false;
    for (const { block, within, start, length: bytes } of this.#pieces(offset, length))
      if (this.#file.writeNow?.(this.#map.locate(block) + within, partOf(buffers, start, bytes)) !== true) return false;
    return true;
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#change(offset, data.length, async () => {
      for (const piece of this.#pieces(offset, data.length))
        await this.#writePiece(piece, data.subarray(piece.start, piece.start + piece.length));
    });
  }

  #change(offset: number, length: number, act: () => Promise<void>): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, length);
      checkWritable(this);
      if (!this.#hasBegun) await this.#map.begin?.();
      this.#hasBegun = true;
      await act();
    });
  }

  async #writePiece({ block, within }: Piece, data: Uint8Array): Promise<void> {
    const at = this.#map.locate(block);
    if (at === 0 && !this.#showsParent(block) && isZero(data)) return;
    if (this.#parent && this.#map.own) {
      await this.#writeSectors(block, within, data);
      return;
    }
    if (at === 0) await this.#writeNew(block, within, data);
    else {
      await this.#map.touch?.(block);
      await this.#file.write(at + within, data);
    }
  }

  async #writeNew(block: number, within: number, data: Uint8Array): Promise<void> {
    const { at, isClean } = await this.#place(block);
    if (isClean && !this.#showsParent(block)) await this.#file.write(at + within, data);
    else {
      const whole = new Uint8Array(this.#map.blockSize);
      await this.#readHidden(block, 0, whole.subarray(0, this.#bytesOf(block)));
      whole.set(data, within);
      await this.#file.write(at, whole);
    }
    await this.#assign(block, at);
  }

  /** A write to an image that tells for each sector whether it is its own or the parent's. */
  async #writeSectors(block: number, within: number, data: Uint8Array): Promise<void> {
    const first = Math.floor(within / SECTOR_BYTES);
    const count = Math.ceil((within + data.length) / SECTOR_BYTES) - first;
    let whole = data;
    if (data.length !== count * SECTOR_BYTES) {
      whole = new Uint8Array(Math.min(count * SECTOR_BYTES, this.#bytesOf(block) - first * SECTOR_BYTES));
      await this.#readPiece({ block, within: first * SECTOR_BYTES, length: whole.length }, whole);
      whole.set(data, within - first * SECTOR_BYTES);
    }
    let at = this.#map.locate(block);
    const isNew = at === 0;
    if (isNew) at = (await this.#place(block)).at;
    await this.#file.write(at + first * SECTOR_BYTES, whole);
    if (isNew) await this.#assign(block, at);
    if (await this.#map.own!(block, first, count)) await this.#changed();
  }

  #place(block: number): Promise<{ at: number; isClean: boolean }> {
    const free = this.#free.next();
    if (free === undefined) return this.#map.place(block, undefined);
    const { isClean } = free;
    // What the host refuses in the middle leaves it otherwise.
    this.#free.soil();
    return this.#map.place(block, free.at).then(({ at }) => ({ at, isClean }));
  }

  async #assign(block: number, at: number): Promise<void> {
    // The file holds the whole block, whatever was written of it.
    const end = at + this.#map.blockSize;
    if ((await this.#file.size()) < end) await this.#file.truncate(end);
    if (this.#free.next()?.at === at) this.#free.take();
    this.#map.assign(block, at);
    await this.#changed();
  }

  async #changed(): Promise<void> {
    if (++this.#changes >= CHANGES_MAX) await this.#commit();
  }

  /** Bytes of a block that are part of the disk. */
  #bytesOf(block: number): number {
    return Math.min(this.#map.blockSize, this.size - block * this.#map.blockSize);
  }

  *#pieces(offset: number, length: number): Generator<Piece> {
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
    if (this.#released.length === 0) return;
    await this.#file.flush();
    const unit = this.#map.blockSize + this.#map.prefix;
    const places = this.#released.map((at) => ({ at: at - this.#map.prefix, length: unit }));
    this.#released = [];
    const fileSize = await this.#file.size();
    for (const { at, length } of mergeRanges(places)) {
      const isClean = await punchHole(this.#file, at, Math.min(length, fileSize - at));
      this.#free.add({ at: at + this.#map.prefix, units: length / unit, unit, isClean });
    }
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#change(offset, length, async () => {
      const holes: { at: number; length: number }[] = [];
      for (const piece of this.#pieces(offset, length)) {
        const at = this.#map.locate(piece.block);
        if (at === 0 || (await this.#releaseWhole(piece))) continue;
        // The file may lack the end of its last block.
        holes.push({ at: at + piece.within, length: piece.length });
      }
      const fileSize = await this.#file.size();
      for (const { at, length: bytes } of mergeRanges(holes))
        await punchHole(this.#file, at, Math.min(bytes, fileSize - at));
    });
  }

  writeZeros(offset: number, length: number): Promise<void> {
    return this.#change(offset, length, async () => {
      for (const piece of this.#pieces(offset, length)) {
        const at = this.#map.locate(piece.block);
        const isBlank = at === 0 && !this.#showsParent(piece.block);
        if (isBlank || (await this.#releaseWhole(piece))) continue;
        const isInPlace = at !== 0 && !(this.#parent && this.#map.own);
        const end = at + piece.within + piece.length;
        if (isInPlace && (await this.#file.size()) >= end) {
          await this.#map.touch?.(piece.block);
          await zeroRange(this.#file, at + piece.within, piece.length);
        } else await this.#writePiece(piece, new Uint8Array(piece.length));
      }
    });
  }

  /** Takes a block's place away if all of it is meant, and the format can tell that it is zeros then. */
  async #releaseWhole({ block, within, length }: Piece): Promise<boolean> {
    if (within !== 0 || length < this.#bytesOf(block)) return false;
    const at = this.#map.locate(block);
    if (this.#map.release?.(block, this.#parent !== undefined) !== true) return false;
    if (at !== 0) this.#released.push(at);
    await this.#changed();
    return true;
  }

  async zerosFrom(offset: number): Promise<number> {
    checkRange(this, offset, 0);
    const { blockSize } = this.#map;
    let at = offset;
    while (at < this.size) {
      const block = Math.floor(at / blockSize);
      if (this.#map.locate(block) !== 0) break;
      let end = Math.min(this.size, (block + 1) * blockSize);
      if (this.#showsParent(block) && at < this.#parent!.size) {
        const zeros = await this.#parent!.zerosFrom(at);
        if (at + zeros < Math.min(end, this.#parent!.size)) end = at + zeros;
        if (end === at) break;
      }
      at = end;
    }
    return at - offset;
  }

  close(): Promise<void> {
    this.#closed ??= this.flush().finally(async () => {
      await this.#file.close();
      await this.#parent?.close();
    });
    return this.#closed;
  }
}

/** Bit `index` of bytes whose bits count from the highest. */
export function hasBit(bytes: Uint8Array, index: number): boolean {
  return (bytes[index >> 3]! & (0x80 >> (index & 7))) !== 0;
}

/** Looks at every place of a map: outside the file, within metadata, used twice. */
export function checkMap(map: BlockMap, fileSize: number): Findings {
  return checkPlaces(map, fileSize).findings;
}

/** The same, with the data's places in order. */
function checkPlaces(map: BlockMap, fileSize: number): { findings: Findings; places: number[] } {
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
  return { findings, places };
}

function isLast(map: BlockMap, block: number): boolean {
  return block === map.blocks - 1;
}

/** Refuses to write an image whose map is wrong: a guest's write must not reach what is not its own. */
export function openMapped(
  file: HostFile,
  size: number,
  map: BlockMap,
  fileSize: number,
  parent?: BlockDevice,
): MappedImage {
  if (file.isReadOnly) return new MappedImage(file, size, map, parent);
  const { findings, places } = checkPlaces(map, fileSize);
  if (findings.damages > 0) throw damaged(file, findings.details[0]!);
  const free = map.release ? FreePlaces.between(places, map) : new FreePlaces();
  return new MappedImage(file, size, map, parent, free);
}
