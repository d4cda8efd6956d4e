// The check of a qcow2 image: every use of every cluster counted, and compared with the image's own refcounts.
// Owns the count, the findings, and the repair that writes all refcounts anew.
// Never changes the guest's data.

import { DiskError, type HostFile } from '../block.ts';
import { damaged, Fields, unsupported } from '../fields.ts';
import { type Findings, newFindings, note } from '../findings.ts';
import { l1Entry, l2Entry, markSole } from './entries.ts';
import { Autoclear, Header, Incompatible, type Qcow2Header } from './header.ts';
import { getCount, Refcounts, rebuildRefcounts } from './refcounts.ts';

/** The most clusters of a file that are counted: a check needs 2 bytes for each. */
const CLUSTERS_MAX = 2 ** 26;
/** The most L2 tables that a check reads: what bounds its time where many snapshots lead to the same ones. */
const TABLES_MAX = 2 ** 20;
/** The highest count kept; more uses are a damage that cannot be repaired. */
const COUNT_MAX = 65535;

export async function checkQcow2(file: HostFile, header: Qcow2Header, repair: boolean): Promise<Findings> {
  if (header.autoclear & Autoclear.bitmaps)
    throw unsupported(file, 'it has persistent bitmaps, which are not checked here');
  const check = new Check(file, header, await file.size());
  await check.countAll();
  await check.compare();
  if (repair) await check.repair();
  return check.findings;
}

class Check {
  readonly findings: Findings = newFindings();
  readonly #file: HostFile;
  readonly #header: Qcow2Header;
  readonly #clusterSize: number;
  readonly #counts: Uint16Array;
  /** Uses by everything but the refcounts' own table and blocks. */
  #withoutRefcounts: Uint16Array | undefined;
  readonly #fileSize: number;
  readonly #table: { at: number; entries: number }[] = [];
  #refcountTable: Float64Array = new Float64Array();
  #tablesRead = 0;
  #mustRebuild = false;

  constructor(file: HostFile, header: Qcow2Header, fileSize: number) {
    this.#file = file;
    this.#header = header;
    this.#clusterSize = 1 << header.clusterBits;
    this.#fileSize = fileSize;
    const clusters = Math.ceil(fileSize / this.#clusterSize);
    if (clusters > CLUSTERS_MAX) throw unsupported(file, `its ${clusters} clusters are too many to be checked`);
    this.#counts = new Uint16Array(clusters);
  }

  /** Counts the use of a range. Answers whether all of it is in the file. */
  #use(what: string, offset: number, length: number): boolean {
    const last = Math.floor((offset + length - 1) / this.#clusterSize);
    if (!Number.isSafeInteger(offset + length) || last >= this.#counts.length) {
      note(this.findings, 'damage', `${what} at ${offset} is outside the file`);
      return false;
    }
    for (let cluster = Math.floor(offset / this.#clusterSize); cluster <= last; cluster++) {
      if (this.#counts[cluster] === COUNT_MAX) throw damaged(this.#file, `its cluster ${cluster} has too many uses`);
      this.#counts[cluster]!++;
    }
    return true;
  }

  async countAll(): Promise<void> {
    const header = this.#header;
    this.#use('the header', 0, this.#clusterSize);
    await this.#countL1('the L1 table', header.l1Offset, header.l1Entries, true);
    if (header.snapshots > 0) await this.#countSnapshots();
    this.#withoutRefcounts = this.#counts.slice();
    this.#use('the refcount table', header.refcountTableOffset, header.refcountTableClusters * this.#clusterSize);
    this.#refcountTable = await Refcounts.readTable(this.#file, header);
    for (const [index, offset] of this.#refcountTable.entries()) {
      if (offset === 0) continue;
      const isPlaced = Number.isSafeInteger(offset) && offset % this.#clusterSize === 0;
      if (isPlaced && offset + this.#clusterSize <= this.#fileSize) {
        this.#use('a refcount block', offset, this.#clusterSize);
        if (this.#counts[offset / this.#clusterSize]! === 1) continue;
      }
      this.findings.corruptions++;
      note(this.findings, 'text', `refcount block ${index} cannot be at ${offset}`);
      this.#refcountTable[index] = 0;
      this.#mustRebuild = true;
    }
  }

  async #countSnapshots(): Promise<void> {
    const { snapshots, snapshotsOffset } = this.#header;
    const head = new Uint8Array(40);
    let at = snapshotsOffset;
    const l1Tables: { offset: number; entries: number }[] = [];
    for (let number = 0; number < snapshots; number++) {
      if ((await this.#file.read(at, head)) < head.length)
        throw damaged(this.#file, 'its snapshot table exceeds the file');
      const fields = new Fields(this.#file, head, 'big');
      l1Tables.push({ offset: fields.u64(0, "snapshot's L1 table offset"), entries: fields.u32(8) });
      at += Math.ceil((40 + fields.u32(36) + fields.u16(12) + fields.u16(14)) / 8) * 8;
      if (at > this.#fileSize) throw damaged(this.#file, 'its snapshot table exceeds the file');
    }
    this.#use('the snapshot table', snapshotsOffset, at - snapshotsOffset);
    for (const [number, { offset, entries }] of l1Tables.entries()) {
      if (offset % this.#clusterSize !== 0 || offset + entries * 8 > this.#fileSize || entries > TABLES_MAX)
        throw damaged(this.#file, `the L1 table of its snapshot ${number} cannot be at ${offset} (${entries} entries)`);
      await this.#countL1(`the L1 table of snapshot ${number}`, offset, entries, false);
    }
  }

  async #countL1(what: string, offset: number, entries: number, isActive: boolean): Promise<void> {
    if (entries === 0) return;
    this.#use(what, offset, entries * 8);
    const bytes = new Uint8Array(entries * 8);
    await this.#file.read(offset, bytes);
    const view = new DataView(bytes.buffer);
    if (isActive) this.#table.push({ at: offset, entries });
    for (let index = 0; index < entries; index++) {
      await this.#try(async () => {
        const { at } = l1Entry(this.#file, view, index, this.#header.clusterBits);
        if (at === 0 || !this.#use('an L2 table', at, this.#clusterSize)) return;
        if (isActive) this.#table.push({ at, entries: this.#clusterSize / 8 });
        await this.#countL2(at, isActive);
      });
    }
  }

  async #countL2(offset: number, isActive: boolean): Promise<void> {
    if (++this.#tablesRead > TABLES_MAX) throw unsupported(this.#file, 'its tables are too many to be checked');
    const bytes = new Uint8Array(this.#clusterSize);
    await this.#file.read(offset, bytes);
    const view = new DataView(bytes.buffer);
    for (let index = 0; index < bytes.length / 8; index++) {
      if (view.getUint32(index * 8) === 0 && view.getUint32(index * 8 + 4) === 0) continue;
      await this.#try(async () => {
        const entry = l2Entry(this.#file, view, index, this.#header.clusterBits, this.#header.version);
        if (entry.kind === 'none' || entry.at === 0) return;
        // Compressed data may be said to reach up to a sector behind the end of the file.
        const length =
          entry.kind === 'compressed' ? Math.min(entry.length, this.#fileSize - entry.at) : this.#clusterSize;
        const isThere = length > 0 && this.#use('a cluster', entry.at, length);
        if (isThere && isActive) this.findings.allocated += this.#clusterSize;
        else if (length <= 0) note(this.findings, 'damage', `compressed data at ${entry.at} is outside the file`);
      });
    }
  }

  /** An entry that cannot be is one finding; the others are still looked at. */
  async #try(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof DiskError) || this.#tablesRead > TABLES_MAX) throw error;
      note(this.findings, 'damage', error.message);
    }
  }

  /** Compares the counts with the image's, and each mark of sole use with the counts. */
  async compare(): Promise<void> {
    const { refcountOrder } = this.#header;
    const perBlock = (this.#clusterSize * 8) >> refcountOrder;
    const isLate = (this.#header.incompatible & Incompatible.dirty) !== 0;
    for (const [index, offset] of this.#refcountTable.entries()) {
      const first = index * perBlock;
      if (offset === 0 && first >= this.#counts.length) continue;
      let bytes: Uint8Array | undefined;
      if (offset !== 0) {
        bytes = new Uint8Array(this.#clusterSize);
        await this.#file.read(offset, bytes);
      }
      for (let at = 0; at < perBlock; at++) {
        const stored = bytes ? getCount(bytes, refcountOrder, at) : 0;
        const used = this.#counts[first + at] ?? 0;
        this.#judge(first + at, stored, used, isLate);
      }
    }
    for (let cluster = this.#refcountTable.length * perBlock; cluster < this.#counts.length; cluster++)
      this.#judge(cluster, 0, this.#counts[cluster]!, isLate);
    for (const table of this.#table) await this.#marks(table, false);
    if (isLate) this.#mustRebuild = true;
  }

  #judge(cluster: number, stored: number, used: number, isLate: boolean): void {
    if (stored === used) return;
    this.#mustRebuild = true;
    if (stored > used) this.findings.leaks++;
    else this.findings.corruptions++;
    if (!isLate) note(this.findings, 'text', `cluster ${cluster} has ${used} uses and a refcount of ${stored}`);
  }

  /** Looks at, or sets right, the marks of sole use in one active table. */
  async #marks({ at, entries }: { at: number; entries: number }, repair: boolean): Promise<void> {
    const bytes = new Uint8Array(entries * 8);
    await this.#file.read(at, bytes);
    const view = new DataView(bytes.buffer);
    let wrong = 0;
    for (let index = 0; index < entries; index++) {
      const high = view.getUint32(index * 8);
      const offset = (high & 0xffffff) * 2 ** 32 + ((view.getUint32(index * 8 + 4) & ~511) >>> 0);
      if (offset === 0 || high & 0x40000000 || offset % this.#clusterSize !== 0) continue;
      const count = this.#counts[offset / this.#clusterSize];
      if (count === undefined || high >= 0x80000000 === (count === 1)) continue;
      wrong++;
      markSole(view, index, count === 1);
    }
    if (wrong === 0) return;
    if (repair) await this.#file.write(at, bytes);
    else {
      this.findings.corruptions += wrong;
      note(this.findings, 'text', `the table at ${at} has ${wrong} wrong marks of sole use`);
    }
  }

  async repair(): Promise<void> {
    const { findings } = this;
    if (this.#mustRebuild) {
      const bits = 1 << this.#header.refcountOrder;
      if (bits < 16 && this.#counts.some((count) => count >= 2 ** bits))
        throw unsupported(this.#file, `a cluster has more uses than refcounts of ${bits} bits can tell`);
      await rebuildRefcounts(this.#file, this.#header, this.#withoutRefcounts!);
    }
    for (const table of this.#table) await this.#marks(table, true);
    await this.#file.flush();
    findings.repaired = findings.leaks + findings.corruptions;
    findings.leaks = 0;
    findings.corruptions = 0;
    if (this.#header.version < 3 || findings.damages > 0) return;
    const incompatible = this.#header.incompatible & ~(Incompatible.dirty | Incompatible.corrupt);
    if (incompatible === this.#header.incompatible) return;
    const fields = new Fields(this.#file, new Uint8Array(8), 'big');
    fields.setU64(0, incompatible);
    await this.#file.write(Header.incompatible, fields.bytes);
    await this.#file.flush();
    this.#header.incompatible = incompatible;
  }
}
