// Refcounts of a qcow2 image: how often each cluster of the file is used, by a table of blocks of counts.
// Owns the table, the blocks held in memory, the allocation of clusters, and the building of all counts anew.
// Never decides when counts are written: the image does, because order is what makes them safe.

import type { HostFile } from '../block.ts';
import { damaged, Fields } from '../fields.ts';
import { Header, type Qcow2Header } from './header.ts';

/** Reads a count of 2^order bits. Counts of 64 bits are exact up to 2^53, which no image reaches. */
export function getCount(bytes: Uint8Array, order: number, index: number): number {
  if (order < 3) {
    const bits = 1 << order;
    return (bytes[(index * bits) >> 3]! >> ((index * bits) & 7)) & ((1 << bits) - 1);
  }
  let count = 0;
  const width = 1 << (order - 3);
  for (let byte = 0; byte < width; byte++) count = count * 256 + bytes[index * width + byte]!;
  return count;
}

export function setCount(bytes: Uint8Array, order: number, index: number, count: number): void {
  if (order < 3) {
    const bits = 1 << order;
    const shift = (index * bits) & 7;
    const at = (index * bits) >> 3;
    bytes[at] = (bytes[at]! & ~(((1 << bits) - 1) << shift)) | (count << shift);
    return;
  }
  const width = 1 << (order - 3);
  for (let byte = width - 1; byte >= 0; byte--) {
    bytes[index * width + byte] = count % 256;
    count = Math.floor(count / 256);
  }
}

interface Block {
  bytes: Uint8Array;
  isDirty: boolean;
}

/** Blocks of counts held in memory (each a cluster): beyond them, clean ones are let go. */
const BLOCKS_KEPT = 64;

export class Refcounts {
  readonly perBlock: number;
  readonly #file: HostFile;
  readonly #header: Qcow2Header;
  readonly #clusterSize: number;
  /** Clusters that hold metadata, and so must never be handed out or written as data. */
  readonly #metadata: Set<number>;
  /** File offset of each block, 0 where there is none. */
  #table: Float64Array;
  readonly #dirtyEntries = new Set<number>();
  readonly #blocks = new Map<number, Block>();
  /** Every cluster below is in use. */
  #hint = 0;

  constructor(file: HostFile, header: Qcow2Header, table: Float64Array, metadata: Set<number>) {
    this.#file = file;
    this.#header = header;
    this.#clusterSize = 1 << header.clusterBits;
    this.perBlock = (this.#clusterSize * 8) >> header.refcountOrder;
    this.#table = table;
    this.#metadata = metadata;
  }

  /** Reads the table. Entries that cannot be are left for whoever needs them to refuse. */
  static async readTable(file: HostFile, header: Qcow2Header): Promise<Float64Array> {
    const bytes = new Uint8Array(header.refcountTableClusters << header.clusterBits);
    await file.read(header.refcountTableOffset, bytes);
    const view = new DataView(bytes.buffer);
    const table = new Float64Array(bytes.length / 8);
    for (let index = 0; index < table.length; index++) {
      table[index] = view.getUint32(index * 8) * 2 ** 32 + ((view.getUint32(index * 8 + 4) & ~511) >>> 0);
    }
    return table;
  }

  get table(): Float64Array {
    return this.#table;
  }

  get changedBlocks(): number {
    return this.#dirtyBlocks().length;
  }

  #dirtyBlocks(): [number, Block][] {
    return [...this.#blocks].filter(([, { isDirty }]) => isDirty);
  }

  async #block(index: number): Promise<Block | undefined> {
    const known = this.#blocks.get(index);
    if (known) return known;
    const offset = this.#table[index] ?? 0;
    if (offset === 0) return undefined;
    const bytes = new Uint8Array(this.#clusterSize);
    if (!Number.isSafeInteger(offset) || offset % this.#clusterSize !== 0)
      throw damaged(this.#file, `its refcount block ${index} is at ${offset}`);
    if ((await this.#file.read(offset, bytes)) < bytes.length)
      throw damaged(this.#file, `its refcount block ${index} at ${offset} is outside the file`);
    if (this.#blocks.size >= BLOCKS_KEPT) {
      for (const [old, { isDirty }] of this.#blocks) {
        if (isDirty) continue;
        this.#blocks.delete(old);
        break;
      }
    }
    const block = { bytes, isDirty: false };
    this.#blocks.set(index, block);
    return block;
  }

  async get(cluster: number): Promise<number> {
    const block = await this.#block(Math.floor(cluster / this.perBlock));
    return block ? getCount(block.bytes, this.#header.refcountOrder, cluster % this.perBlock) : 0;
  }

  /** Takes one use of a cluster away. */
  async release(cluster: number): Promise<void> {
    const block = await this.#block(Math.floor(cluster / this.perBlock));
    const index = cluster % this.perBlock;
    const count = block ? getCount(block.bytes, this.#header.refcountOrder, index) : 0;
    if (!block || count === 0) throw damaged(this.#file, `its cluster ${cluster} is in use with a refcount of 0`);
    setCount(block.bytes, this.#header.refcountOrder, index, count - 1);
    block.isDirty = true;
    if (count === 1) {
      this.#hint = Math.min(this.#hint, cluster);
      this.#metadata.delete(cluster);
    }
  }

  /** Finds a cluster that nothing uses, and counts it as used once. */
  async allocate(): Promise<number> {
    for (let cluster = this.#hint; ; ) {
      const blockIndex = Math.floor(cluster / this.perBlock);
      const block = await this.#block(blockIndex);
      if (!block) {
        if (blockIndex < this.#table.length) this.#addBlock(blockIndex);
        else await this.#grow(blockIndex);
        continue;
      }
      const end = (blockIndex + 1) * this.perBlock;
      for (; cluster < end; cluster++) {
        if (getCount(block.bytes, this.#header.refcountOrder, cluster % this.perBlock) !== 0) continue;
        if (this.#metadata.has(cluster)) throw damaged(this.#file, `its cluster ${cluster} is in use but counted free`);
        setCount(block.bytes, this.#header.refcountOrder, cluster % this.perBlock, 1);
        block.isDirty = true;
        this.#hint = cluster + 1;
        return cluster;
      }
    }
  }

  /** A new block of counts is in the first of the clusters it counts: all of them are free. */
  #addBlock(index: number): void {
    const cluster = index * this.perBlock;
    if (this.#metadata.has(cluster)) throw damaged(this.#file, `its cluster ${cluster} is in use but counted free`);
    const bytes = new Uint8Array(this.#clusterSize);
    setCount(bytes, this.#header.refcountOrder, 0, 1);
    this.#blocks.set(index, { bytes, isDirty: true });
    this.#table[index] = cluster * this.#clusterSize;
    this.#dirtyEntries.add(index);
    this.#metadata.add(cluster);
  }

  /** Moves the table to where it can count the clusters of block `index` too. It and its blocks are behind all else. */
  async #grow(index: number): Promise<void> {
    await this.write();
    const old = { offset: this.#header.refcountTableOffset, clusters: this.#header.refcountTableClusters };
    const first = index * this.perBlock;
    const entriesPerCluster = this.#clusterSize / 8;
    let clusters = Math.ceil(Math.max(index + 2, this.#table.length * 1.5) / entriesPerCluster);
    let blocks = 1;
    while (blocks * this.perBlock < clusters + blocks) blocks++;
    clusters = Math.max(clusters, Math.ceil((index + blocks) / entriesPerCluster));
    while (blocks * this.perBlock < clusters + blocks) blocks++;
    const table = new Float64Array(clusters * entriesPerCluster);
    table.set(this.#table);
    for (let number = 0; number < blocks; number++) {
      const bytes = new Uint8Array(this.#clusterSize);
      for (let at = 0; at < this.perBlock; at++) {
        if (number * this.perBlock + at < clusters + blocks) setCount(bytes, this.#header.refcountOrder, at, 1);
      }
      const cluster = first + clusters + number;
      table[index + number] = cluster * this.#clusterSize;
      await this.#file.write(cluster * this.#clusterSize, bytes);
      this.#blocks.set(index + number, { bytes, isDirty: false });
      this.#metadata.add(cluster);
    }
    for (let number = 0; number < clusters; number++) this.#metadata.add(first + number);
    await this.#file.write(first * this.#clusterSize, tableBytes(table));
    this.#table = table;
    await switchTable(this.#file, this.#header, first * this.#clusterSize, clusters);
    for (let number = 0; number < old.clusters; number++) await this.release(old.offset / this.#clusterSize + number);
  }

  /** Writes what has changed: blocks, and then the entries of the table that lead to new ones. */
  async write(): Promise<void> {
    for (const [index, block] of this.#dirtyBlocks()) {
      await this.#file.write(this.#table[index]!, block.bytes);
      block.isDirty = false;
    }
    if (this.#dirtyEntries.size === 0) return;
    await this.#file.flush();
    for (const index of this.#dirtyEntries) {
      const entry = tableBytes(this.#table.subarray(index, index + 1));
      await this.#file.write(this.#header.refcountTableOffset + index * 8, entry);
    }
    this.#dirtyEntries.clear();
  }
}

function tableBytes(table: Float64Array): Uint8Array {
  const bytes = new Uint8Array(table.length * 8);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < table.length; index++) view.setBigUint64(index * 8, BigInt(table[index]!));
  return bytes;
}

/** Lets the header name another refcount table, in one write between two barriers. */
async function switchTable(file: HostFile, header: Qcow2Header, offset: number, clusters: number): Promise<void> {
  await file.flush();
  const fields = new Fields(file, new Uint8Array(12), 'big');
  fields.setU64(0, offset);
  fields.setU32(8, clusters);
  await file.write(Header.refcountTable, fields.bytes);
  await file.flush();
  header.refcountTableOffset = offset;
  header.refcountTableClusters = clusters;
}

/** Where a table that counts everything and itself lies, behind `used` clusters. */
export function layRefcounts(header: Qcow2Header, used: number): { table: number; blocks: number; end: number } {
  const clusterSize = 1 << header.clusterBits;
  const perBlock = (clusterSize * 8) >> header.refcountOrder;
  let table = 0;
  let blocks = 0;
  for (;;) {
    const wantedBlocks = Math.ceil((used + table + blocks) / perBlock);
    const wantedTable = Math.ceil((wantedBlocks * 8) / clusterSize);
    if (wantedBlocks === blocks && wantedTable === table) return { table, blocks, end: used + table + blocks };
    blocks = wantedBlocks;
    table = wantedTable;
  }
}

/** Writes all counts anew behind the `counts.length` clusters they count, and lets the header name them at the end. */
export async function rebuildRefcounts(file: HostFile, header: Qcow2Header, counts: Uint16Array): Promise<void> {
  const clusterSize = 1 << header.clusterBits;
  const perBlock = (clusterSize * 8) >> header.refcountOrder;
  const lay = layRefcounts(header, counts.length);
  const table = new Float64Array((lay.table * clusterSize) / 8);
  for (let index = 0; index < lay.blocks; index++) {
    const bytes = new Uint8Array(clusterSize);
    for (let at = 0; at < perBlock; at++) {
      const cluster = index * perBlock + at;
      const count = cluster < counts.length ? counts[cluster]! : cluster < lay.end ? 1 : 0;
      if (count !== 0) setCount(bytes, header.refcountOrder, at, count);
    }
    table[index] = (counts.length + lay.table + index) * clusterSize;
    await file.write(table[index]!, bytes);
  }
  await file.write(counts.length * clusterSize, tableBytes(table));
  await switchTable(file, header, counts.length * clusterSize, lay.table);
}
