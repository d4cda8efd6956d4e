// qcow2 images: clusters of the disk found through two levels of tables, allocated as they are first written.
// Owns the tables held in memory, and the order in which data and metadata reach the file.
// Never changes a cluster that a snapshot uses too.

import {
  ActQueue,
  type BlockDevice,
  checkRange,
  checkWritable,
  DiskError,
  type DiskHost,
  type HostFile,
  isRange,
  lengthOf,
  partOf,
  readPadded,
} from '../block.ts';
import { damaged, Fields, isZero } from '../fields.ts';
import { mergeRanges, punchHole } from '../holes.ts';
import { clearEntry, type Entry, l1Entry, l2Entry, NONE, setEntry } from './entries.ts';
import { Compatible, Header, Incompatible, l2Coverage, type Qcow2Header } from './header.ts';
import { Refcounts } from './refcounts.ts';

interface Table {
  /** File offset. */
  at: number;
  bytes: Uint8Array;
  view: DataView;
  isDirty: boolean;
}

/** L2 tables held in memory: beyond them clean ones are let go, and this many changed ones are written unasked. */
const TABLES_KEPT = 64;

/** Clusters that are placed together. */
const FRESH_MAX = 64;

/**
 * Metadata follows data: what is changed in memory is written in this order, with a barrier (fsync) between the steps.
 * 1. Data, into clusters that nothing leads to yet, or over the guest's own.
 * 2. Counts of the clusters that are newly used. A kill after it leaves clusters that are counted but unused: leaked.
 * 3. L2 tables, and after them L1 entries that lead to new ones. Only now is new data found.
 * 4. Counts of the clusters that nothing leads to any more; only now may they be used again, or given back to the host.
 */
export class Qcow2Image implements BlockDevice {
  readonly size: number;
  readonly isReadOnly: boolean;
  readonly header: Qcow2Header;
  readonly backing: BlockDevice | undefined;
  readonly #file: HostFile;
  readonly #host: DiskHost;
  readonly #clusterSize: number;
  readonly #l1: DataView;
  readonly #refcounts: Refcounts;
  readonly #metadata: Set<number>;
  readonly #tables = new Map<number, Table>();
  readonly #changedL1 = new Set<number>();
  /** Clusters that lose a use as soon as no table on the disk leads to them. */
  #released: number[] = [];
  #unpacked: { at: number; bytes: Uint8Array } | undefined;
  readonly #acts = new ActQueue();
  #closed: Promise<void> | undefined;

  private constructor(
    file: HostFile,
    host: DiskHost,
    header: Qcow2Header,
    backing: BlockDevice | undefined,
    parts: { l1: DataView; refcounts: Refcounts; metadata: Set<number> },
  ) {
    this.#file = file;
    this.#host = host;
    this.header = header;
    this.backing = backing;
    this.size = header.size;
    this.isReadOnly = file.isReadOnly;
    this.#clusterSize = 1 << header.clusterBits;
    this.#l1 = parts.l1;
    this.#refcounts = parts.refcounts;
    this.#metadata = parts.metadata;
  }

  /** Opens an image whose header has been read. One that is marked dirty must have been repaired to be written. */
  static async open(
    file: HostFile,
    host: DiskHost,
    header: Qcow2Header,
    backing: BlockDevice | undefined,
  ): Promise<Qcow2Image> {
    const l1Bytes = new Uint8Array(header.l1Entries * 8);
    await file.read(header.l1Offset, l1Bytes);
    const l1 = new DataView(l1Bytes.buffer);
    const table = await Refcounts.readTable(file, header);
    const metadata = file.isReadOnly ? new Set<number>() : collectMetadata(file, header, l1, table);
    const refcounts = new Refcounts(file, header, table, metadata);
    return new Qcow2Image(file, host, header, backing, { l1, refcounts, metadata });
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, buffer.length);
      for (let done = 0; done < buffer.length; ) {
        const at = offset + done;
        const within = at % this.#clusterSize;
        const entry = await this.#entry(at);
        let length = Math.min(this.#clusterSize - within, buffer.length - done);
        if (entry.kind === 'data') {
          // Clusters that follow each other in the file are read together.
          while (done + length < buffer.length) {
            const next = await this.#entry(at + length);
            if (next.kind !== 'data' || next.at !== entry.at + within + length) break;
            length += Math.min(this.#clusterSize, buffer.length - done - length);
          }
        }
        await this.#readCluster(entry, at, buffer.subarray(done, done + length));
        done += length;
      }
    });
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, data.length);
      checkWritable(this);
      for (let done = 0; done < data.length; ) {
        const at = offset + done;
        const rest = data.subarray(done);
        const run = (await this.#writeOwn(at, rest)) || (await this.#writeFresh(at, rest));
        const length = run || Math.min(this.#clusterSize - (at % this.#clusterSize), rest.length);
        if (run === 0) await this.#writeCluster(at, rest.subarray(0, length));
        done += length;
      }
    });
  }

  /** Writes over clusters that are the guest's own and follow each other in the file. Gives how many bytes. */
  async #writeOwn(offset: number, data: Uint8Array): Promise<number> {
    const within = offset % this.#clusterSize;
    const first = await this.#entry(offset);
    if (first.kind !== 'data') return 0;
    let length = 0;
    for (let next: Entry = first; length < data.length; next = await this.#entry(offset + length)) {
      if (next.kind !== 'data' || !next.isSole || next.at + (length === 0 ? within : 0) !== first.at + within + length)
        break;
      this.#checkData(next);
      length += Math.min(this.#clusterSize - (length === 0 ? within : 0), data.length - length);
      if (length === data.length) break;
    }
    if (length > 0) await this.#file.write(first.at + within, data.subarray(0, length));
    return length;
  }

  /** Places whole clusters that have no place yet, and writes those that follow each other together. Gives how many bytes. */
  async #writeFresh(offset: number, data: Uint8Array): Promise<number> {
    const size = this.#clusterSize;
    const index = this.#index(offset);
    // One table leads to all of them.
    const most = offset % size === 0 ? Math.min(Math.floor(data.length / size), size / 8 - index, FRESH_MAX) : 0;
    let count = 0;
    for (; count < most; count++) {
      const { kind } = await this.#entry(offset + count * size);
      // Zeros that nothing shows through need no place.
      if (kind !== 'none' || (!this.backing && isZero(data.subarray(count * size, (count + 1) * size)))) break;
    }
    if (count < 2) return 0;
    const table = await this.#tableToChange(offset);
    const clusters: number[] = [];
    let placed = 0;
    try {
      while (clusters.length < count) clusters.push(await this.#refcounts.allocate());
      while (placed < count) {
        let end = placed + 1;
        while (end < count && clusters[end] === clusters[end - 1]! + 1) end++;
        await this.#file.write(clusters[placed]! * size, data.subarray(placed * size, end * size));
        for (; placed < end; placed++) setEntry(table.view, index + placed, clusters[placed]! * size);
      }
    } catch (error) {
      for (const cluster of clusters.slice(placed)) await this.#refcounts.release(cluster);
      throw error;
    }
    if (this.#isFull()) await this.#commit();
    return count * size;
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    return this.#runsNow(offset, lengthOf(buffers), (entry, at, from, length) => {
      const part = partOf(buffers, from, length);
      if (entry.kind === 'data') return this.#file.readNow?.(entry.at + (at % this.#clusterSize), part) === true;
      if (entry.kind === 'compressed') return false;
      if (entry.kind === 'none' && this.backing && at < this.backing.size)
        return at + length <= this.backing.size && this.backing.readNow?.(at, part) === true;
      for (const buffer of part) buffer.fill(0);
      return true;
    });
  }

  /** Only over clusters that are the guest's own: whatever changes a table has to be written in order. */
  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    if (this.isReadOnly) return false;
    const length = lengthOf(buffers);
    const isOwn = (entry: Entry) =>
      entry.kind === 'data' && entry.isSole && !this.#metadata.has(entry.at / this.#clusterSize);
    return (
      this.#runsNow(offset, length, isOwn) &&
      this.#runsNow(offset, length, (entry, at, from, part) => {
        if (entry.kind !== 'data') return false;
        return this.#file.writeNow?.(entry.at + (at % this.#clusterSize), partOf(buffers, from, part)) === true;
      })
    );
  }

  /**
   * Does an act with each run of a range: clusters that are alike, and follow each other in the file where they are data; `at` is
   * where it is on the disk, `from` in the range. False, and nothing further done, where an act gives that, something is under
   * way, or a table has to be read first.
   */
  #runsNow(
    offset: number,
    length: number,
    act: (entry: Entry, at: number, from: number, length: number) => boolean,
  ): boolean {
    if (!this.#acts.isIdle || !isRange(this, offset, length)) return false;
    let next = length === 0 ? NONE : this.#entryNow(offset);
    for (let done = 0; done < length; ) {
      const entry = next;
      if (!entry) return false;
      const at = offset + done;
      const within = at % this.#clusterSize;
      let run = Math.min(this.#clusterSize - within, length - done);
      while (done + run < length) {
        next = this.#entryNow(at + run);
        if (!next || next.kind !== entry.kind || next.kind === 'compressed') break;
        if (next.kind === 'data' && entry.kind === 'data') {
          if (next.at !== entry.at + within + run || next.isSole !== entry.isSole) break;
          // Each cluster is looked at: any of them may be metadata in a damaged image.
          if (this.#metadata.has(next.at / this.#clusterSize)) break;
        }
        run += Math.min(this.#clusterSize, length - done - run);
      }
      if (!act(entry, at, done, run)) return false;
      done += run;
    }
    return true;
  }

  /** The same as {@link #entry}, where the table is in memory. */
  #entryNow(offset: number): Entry | undefined {
    const { clusterBits, version } = this.header;
    try {
      const { at } = l1Entry(this.#file, this.#l1, Math.floor(offset / l2Coverage(clusterBits)), clusterBits);
      if (at === 0) return NONE;
      const table = this.#tables.get(at);
      return table && l2Entry(this.#file, table.view, this.#index(offset), clusterBits, version);
    } catch (error) {
      // Whoever asks the other way is told what is wrong.
      if (error instanceof DiskError) return undefined;
      throw error;
    }
  }

  flush(): Promise<void> {
    return this.#acts.run(async () => {
      if (this.isReadOnly) return;
      await this.#commit();
      await this.#file.flush();
    });
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, length);
      checkWritable(this);
      // Version 2 has no entry for zeros: a cluster that is over a backing file stays.
      if (!this.backing || this.header.version > 2) await this.#clear(offset, offset + length, false);
    });
  }

  writeZeros(offset: number, length: number): Promise<void> {
    return this.#acts.run(async () => {
      checkRange(this, offset, length);
      checkWritable(this);
      const end = offset + length;
      let at = offset;
      if (!this.backing || this.header.version > 2) {
        const first = Math.min(end, Math.ceil(offset / this.#clusterSize) * this.#clusterSize);
        await this.#writeZeros(offset, first);
        at = Math.max(first, await this.#clear(first, end, true));
      }
      await this.#writeZeros(at, end);
    });
  }

  /** Writes zeros where a part of a cluster, or a format without a mark for them, leaves no other way. */
  async #writeZeros(from: number, end: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(this.#clusterSize, end - from));
    for (let at = from; at < end; ) {
      const length = Math.min(this.#clusterSize - (at % this.#clusterSize), end - at);
      const { kind } = await this.#entry(at);
      const isZero = kind === 'zero' || (kind === 'none' && !this.backing);
      if (!isZero) await this.#writeCluster(at, zeros.subarray(0, length));
      at += length;
    }
  }

  /**
   * Makes the whole clusters of a range read as zeros, and gives up their places; `isHiding`: also those that the backing
   * file shows through. Answers where the last of them ends.
   */
  async #clear(offset: number, end: number, isHiding: boolean): Promise<number> {
    const isZero = this.backing !== undefined;
    const coverage = l2Coverage(this.header.clusterBits);
    let at = Math.ceil(offset / this.#clusterSize) * this.#clusterSize;
    while (at + this.#clusterSize <= end || (end === this.size && at < end)) {
      const l1 = l1Entry(this.#file, this.#l1, Math.floor(at / coverage), this.header.clusterBits);
      const mustHide = isHiding && isZero;
      if (l1.at === 0 && !mustHide) {
        at = (Math.floor(at / coverage) + 1) * coverage;
        continue;
      }
      const entry = await this.#entry(at);
      if (entry.kind === 'data' || entry.kind === 'compressed' || (entry.kind === 'none' && mustHide)) {
        this.#checkData(entry);
        const table = await this.#tableToChange(at);
        clearEntry(table.view, this.#index(at), isZero);
        this.#release(entry);
        if (this.#isFull()) await this.#commit();
      }
      at += this.#clusterSize;
    }
    return Math.min(at, end);
  }

  /** Refuses to take data for a guest's own that is metadata of the image. */
  #checkData(entry: Entry): void {
    if (entry.kind === 'data' && this.#metadata.has(entry.at / this.#clusterSize))
      throw damaged(this.#file, `its cluster at ${entry.at} is data and metadata`);
  }

  zerosFrom(offset: number): Promise<number> {
    return this.#acts.run(async () => {
      checkRange(this, offset, 0);
      let at = offset;
      const coverage = l2Coverage(this.header.clusterBits);
      while (at < this.size) {
        const index = Math.floor(at / coverage);
        const isUnmapped = l1Entry(this.#file, this.#l1, index, this.header.clusterBits).at === 0;
        const unit = isUnmapped ? coverage : this.#clusterSize;
        const end = Math.min(this.size, (Math.floor(at / unit) + 1) * unit);
        const entry = isUnmapped ? NONE : await this.#entry(at);
        if (entry.kind === 'zero') at = end;
        else if (entry.kind === 'none') {
          const hidden = await this.#backingZeros(at);
          if (hidden < end - at) return at + hidden - offset;
          at = end;
        } else break;
      }
      return at - offset;
    });
  }

  /**
   * Whether what is read at `offset` is this image's own, zeros included, or its backing file's; and for how many bytes, at
   * least, the same holds.
   */
  ownFrom(offset: number): Promise<{ isOwn: boolean; length: number }> {
    return this.#acts.run(async () => {
      checkRange(this, offset, 1);
      const coverage = l2Coverage(this.header.clusterBits);
      const isMapped = (at: number) =>
        l1Entry(this.#file, this.#l1, Math.floor(at / coverage), this.header.clusterBits).at !== 0;
      const isOwnAt = async (at: number) => isMapped(at) && (await this.#entry(at)).kind !== 'none';
      const isOwn = await isOwnAt(offset);
      let at = offset;
      do {
        const unit = isMapped(at) ? this.#clusterSize : coverage;
        at = Math.min(this.size, (Math.floor(at / unit) + 1) * unit);
      } while (at < this.size && (await isOwnAt(at)) === isOwn);
      return { isOwn, length: at - offset };
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#acts.run(() => this.#finish());
    return this.#closed;
  }

  async #finish(): Promise<void> {
    try {
      if (this.isReadOnly) return;
      await this.#commit();
      await this.#refcounts.write();
      await this.#file.flush();
      if (this.header.incompatible & Incompatible.dirty) await this.#markDirty(false);
    } finally {
      await this.#file.close();
      await this.backing?.close();
    }
  }

  async #backingZeros(offset: number): Promise<number> {
    if (!this.backing || offset >= this.backing.size) return this.size - offset;
    const zeros = await this.backing.zerosFrom(offset);
    return offset + zeros >= this.backing.size ? this.size - offset : zeros;
  }

  #index(offset: number): number {
    return Math.floor(offset / this.#clusterSize) % (this.#clusterSize / 8);
  }

  async #entry(offset: number): Promise<Entry> {
    const { clusterBits, version } = this.header;
    const { at } = l1Entry(this.#file, this.#l1, Math.floor(offset / l2Coverage(clusterBits)), clusterBits);
    if (at === 0) return NONE;
    const table = await this.#table(at);
    return l2Entry(this.#file, table.view, this.#index(offset), clusterBits, version);
  }

  async #table(at: number): Promise<Table> {
    const known = this.#tables.get(at);
    if (known) {
      this.#tables.delete(at);
      this.#tables.set(at, known);
      return known;
    }
    const bytes = new Uint8Array(this.#clusterSize);
    if ((await this.#file.read(at, bytes)) < bytes.length)
      throw damaged(this.#file, `its L2 table at ${at} is outside the file`);
    return this.#keep(at, bytes, false);
  }

  #keep(at: number, bytes: Uint8Array, isDirty: boolean): Table {
    if (this.#tables.size >= TABLES_KEPT) {
      for (const [old, table] of this.#tables) {
        if (table.isDirty) continue;
        this.#tables.delete(old);
        break;
      }
    }
    const table = { at, bytes, view: new DataView(bytes.buffer), isDirty };
    this.#tables.set(at, table);
    return table;
  }

  /** The L2 table of an offset, made or copied first where it is missing or used by a snapshot too. Marked changed. */
  async #tableToChange(offset: number): Promise<Table> {
    const { clusterBits } = this.header;
    const index = Math.floor(offset / l2Coverage(clusterBits));
    const { at, isSole } = l1Entry(this.#file, this.#l1, index, clusterBits);
    if (at !== 0 && isSole) {
      const table = await this.#table(at);
      table.isDirty = true;
      return table;
    }
    const bytes = at === 0 ? new Uint8Array(this.#clusterSize) : (await this.#table(at)).bytes.slice();
    const cluster = await this.#refcounts.allocate();
    this.#metadata.add(cluster);
    const table = this.#keep(cluster * this.#clusterSize, bytes, true);
    setEntry(this.#l1, index, table.at);
    this.#changedL1.add(index);
    if (at !== 0) {
      this.#tables.delete(at);
      this.#released.push(at / this.#clusterSize);
    }
    return table;
  }

  async #readCluster(entry: Entry, offset: number, buffer: Uint8Array): Promise<void> {
    const within = offset % this.#clusterSize;
    if (entry.kind === 'zero') buffer.fill(0);
    else if (entry.kind === 'data') await readPadded(this.#file, entry.at + within, buffer);
    else if (entry.kind === 'compressed') {
      const bytes = await this.#unpack(entry);
      buffer.set(bytes.subarray(within, within + buffer.length));
    } else {
      const shown = Math.max(0, Math.min(buffer.length, (this.backing?.size ?? 0) - offset));
      if (shown > 0) await this.backing!.read(offset, buffer.subarray(0, shown));
      buffer.fill(0, shown);
    }
  }

  async #unpack(entry: { at: number; length: number }): Promise<Uint8Array> {
    if (this.#unpacked?.at === entry.at) return this.#unpacked.bytes;
    const packed = new Uint8Array(entry.length);
    const count = await this.#file.read(entry.at, packed);
    let bytes: Uint8Array;
    try {
      bytes = await this.#host.decompress(this.header.compression, packed.subarray(0, count), this.#clusterSize);
    } catch {
      throw damaged(this.#file, `its compressed cluster at ${entry.at} cannot be unpacked`);
    }
    if (bytes.length !== this.#clusterSize)
      throw damaged(this.#file, `its compressed cluster at ${entry.at} has ${bytes.length} bytes`);
    this.#unpacked = { at: entry.at, bytes };
    return bytes;
  }

  async #writeCluster(offset: number, data: Uint8Array): Promise<void> {
    const entry = await this.#entry(offset);
    const within = offset % this.#clusterSize;
    if (entry.kind === 'data' && entry.isSole) {
      this.#checkData(entry);
      await this.#file.write(entry.at + within, data);
      return;
    }
    // A cluster full of zeros that nothing shows through needs no place.
    if (entry.kind === 'none' && !this.backing && data.length === this.#clusterSize && isZero(data)) return;
    let content = data;
    if (data.length < this.#clusterSize) {
      content = new Uint8Array(this.#clusterSize);
      const start = offset - within;
      await this.#readCluster(entry, start, content.subarray(0, Math.min(this.#clusterSize, this.size - start)));
      content.set(data, within);
    }
    const table = await this.#tableToChange(offset);
    const cluster = await this.#refcounts.allocate();
    try {
      await this.#file.write(cluster * this.#clusterSize, content);
    } catch (error) {
      await this.#refcounts.release(cluster);
      throw error;
    }
    setEntry(table.view, this.#index(offset), cluster * this.#clusterSize);
    this.#release(entry);
    if (this.#isFull()) await this.#commit();
  }

  /** Remembers that an entry's clusters lose a use. */
  #release(entry: Entry): void {
    if (entry.kind === 'none' || entry.at === 0) return;
    const first = Math.floor(entry.at / this.#clusterSize);
    const length = entry.kind === 'compressed' ? entry.length : this.#clusterSize;
    const last = Math.floor((entry.at + length - 1) / this.#clusterSize);
    for (let cluster = first; cluster <= last; cluster++) this.#released.push(cluster);
    if (this.#unpacked?.at === entry.at) this.#unpacked = undefined;
  }

  #isFull(): boolean {
    let changed = this.#refcounts.changedBlocks;
    for (const { isDirty } of this.#tables.values()) if (isDirty) changed++;
    return changed >= TABLES_KEPT || this.#released.length >= 65536;
  }

  /** Writes all that has changed, in the order that keeps the image whole. */
  async #commit(): Promise<void> {
    const tables = [...this.#tables.values()].filter(({ isDirty }) => isDirty);
    const isLazy = (this.header.compatible & Compatible.lazyRefcounts) !== 0;
    if (tables.length === 0 && this.#changedL1.size === 0) {
      if (!isLazy) await this.#refcounts.write();
      return;
    }
    if (!isLazy) await this.#refcounts.write();
    else if (!(this.header.incompatible & Incompatible.dirty)) await this.#markDirty(true);
    await this.#file.flush();
    for (const table of tables) {
      await this.#file.write(table.at, table.bytes);
      table.isDirty = false;
    }
    if (this.#changedL1.size > 0) {
      await this.#file.flush();
      for (const index of this.#changedL1) {
        const entry = new Uint8Array(this.#l1.buffer, index * 8, 8);
        await this.#file.write(this.header.l1Offset + index * 8, entry);
      }
      this.#changedL1.clear();
    }
    if (this.#released.length === 0) return;
    await this.#file.flush();
    const released = this.#released;
    this.#released = [];
    const free: { at: number; length: number }[] = [];
    for (const cluster of released) {
      await this.#refcounts.release(cluster);
      if ((await this.#refcounts.get(cluster)) === 0)
        free.push({ at: cluster * this.#clusterSize, length: this.#clusterSize });
    }
    if (!isLazy) await this.#refcounts.write();
    const fileSize = await this.#file.size();
    for (const { at, length } of mergeRanges(free)) await punchHole(this.#file, at, Math.min(length, fileSize - at));
  }

  /** Sets or clears the mark that refcounts on the disk are out of date. */
  async #markDirty(isDirty: boolean): Promise<void> {
    const { incompatible } = this.header;
    this.header.incompatible = isDirty ? incompatible | Incompatible.dirty : incompatible & ~Incompatible.dirty;
    const fields = new Fields(this.#file, new Uint8Array(8), 'big');
    fields.setU64(0, this.header.incompatible);
    await this.#file.write(Header.incompatible, fields.bytes);
    await this.#file.flush();
  }
}

/** The clusters that hold metadata of an image that is to be written. Refuses one whose metadata overlaps. */
function collectMetadata(file: HostFile, header: Qcow2Header, l1: DataView, table: Float64Array): Set<number> {
  const clusterSize = 1 << header.clusterBits;
  const metadata = new Set<number>();
  const add = (what: string, offset: number, length: number): void => {
    if (!Number.isSafeInteger(offset) || offset % clusterSize !== 0)
      throw damaged(file, `${what} of it is at ${offset}`);
    for (let cluster = offset / clusterSize; cluster * clusterSize < offset + length; cluster++) {
      if (metadata.has(cluster)) throw damaged(file, `${what} at ${offset} overlaps other metadata`);
      metadata.add(cluster);
    }
  };
  add('the header', 0, clusterSize);
  add('the L1 table', header.l1Offset, header.l1Entries * 8);
  add('the refcount table', header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  if (header.snapshots > 0) add('the snapshot table', header.snapshotsOffset, header.snapshots * 40);
  for (const offset of table) if (offset !== 0) add('a refcount block', offset, clusterSize);
  for (let index = 0; index < header.l1Entries; index++) {
    const { at } = l1Entry(file, l1, index, header.clusterBits);
    if (at !== 0) add('an L2 table', at, clusterSize);
  }
  return metadata;
}
