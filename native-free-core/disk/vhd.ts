// VHD images (Microsoft's Virtual Hard Disk specification 1.0): fixed with a footer, or dynamic with a block table.
// Owns footer, dynamic header, block table and the bitmaps in front of blocks.
// Never opens a parent.

import type { HostFile } from './block.ts';
import { checkDiskSize, checkInside, damaged, Fields, roundUp, unsupported } from './fields.ts';
import { type BlockMap, hasBit } from './mapped.ts';
import { parentName, parentParts } from './vhd-parent.ts';

export const VHD_COOKIE = 'conectix';
const FOOTER_BYTES = 512;
const HEADER_BYTES = 1024;
const BLOCK_BYTES = 2 << 20;
const NO_BLOCK = 0xffffffff;
/** The most that 32-bit sector numbers reach (2040 GiB). */
const VHD_BYTES_MAX = 2040 * 2 ** 30;
const Type = { fixed: 2, dynamic: 3, differencing: 4 } as const;
const Footer = {
  features: 8,
  version: 12,
  header: 16,
  time: 24,
  creator: 28,
  host: 36,
  original: 40,
  size: 48,
} as const;
const Footer2 = { cylinders: 56, heads: 58, sectors: 59, type: 60, checksum: 64, uuid: 68 } as const;
const Dynamic = { next: 8, table: 16, version: 24, blocks: 28, blockSize: 32, checksum: 36 } as const;
/** Bitmaps of a differencing image held in memory: beyond them, those that are written are let go. */
const BITMAPS_KEPT = 4096;

export interface Vhd {
  size: number;
  /** None for a fixed image, whose disk is the file's beginning. */
  map: VhdMap | undefined;
  /** What an image over this one knows it by: 32 hexadecimal digits. */
  identity: string;
  /** Of a differencing image: the image that shows through, by its name, and its identity. */
  parent: { name: string; identity: string } | undefined;
}

/** The 16 bytes of a UUID as hexadecimal digits. */
function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index++) if (index < at || index >= at + 4) sum += bytes[index]!;
  return ~sum >>> 0;
}

export async function readVhd(file: HostFile): Promise<Vhd> {
  const fileSize = await file.size();
  const bytes = new Uint8Array(FOOTER_BYTES);
  const footer = new Fields(file, bytes, 'big');
  await file.read(0, bytes);
  if (footer.text(0, 8) !== VHD_COOKIE) {
    if (fileSize < FOOTER_BYTES) throw damaged(file, 'it is too short');
    await file.read(fileSize - FOOTER_BYTES, bytes);
    if (footer.text(0, 8) !== VHD_COOKIE) throw damaged(file, 'it has no footer');
  }
  if (checksum(bytes, Footer2.checksum) !== footer.u32(Footer2.checksum))
    throw damaged(file, "its footer's checksum is wrong");
  if (footer.u32(Footer.version) >>> 16 !== 1) throw unsupported(file, 'it is of an unknown VHD version');
  const type = footer.u32(Footer2.type);
  if (!Object.values<number>(Type).includes(type)) throw damaged(file, `its disk type is ${type}`);
  const identity = hex(bytes.subarray(Footer2.uuid, Footer2.uuid + 16));
  const size = diskSize(footer);
  checkDiskSize(file, size);
  if (size % 512 !== 0) throw damaged(file, `its disk size (${size}) is not a whole number of sectors`);
  if (type === Type.fixed) {
    if (size > fileSize - FOOTER_BYTES) throw damaged(file, `its ${size} bytes are not all in the file`);
    return { size, map: undefined, identity, parent: undefined };
  }
  return { size, identity, ...(await readDynamic(file, footer, size, fileSize, type === Type.differencing)) };
}

/** Virtual PC and old QEMU mean the geometry, which is a little less than the size; everything else means the size. */
function diskSize(footer: Fields): number {
  const size = footer.u64(Footer.size, 'disk size');
  const creator = footer.text(Footer.creator, 4);
  if (creator !== 'vpc ' && creator !== 'qemu') return size;
  const [heads, sectors] = footer.bytes.subarray(Footer2.heads, Footer2.heads + 2);
  const cylinders = footer.u16(Footer2.cylinders);
  // The largest geometry stands for every larger disk.
  if (cylinders === 65535 && heads === 16 && sectors === 255) return size;
  return cylinders * heads! * sectors! * 512;
}

async function readDynamic(
  file: HostFile,
  footer: Fields,
  size: number,
  fileSize: number,
  isDifferencing: boolean,
): Promise<Pick<Vhd, 'parent'> & { map: VhdMap }> {
  const at = footer.u64(Footer.header, 'header offset');
  checkInside(file, fileSize, 'header', at, HEADER_BYTES);
  if (at < FOOTER_BYTES || at % 512 !== 0) throw damaged(file, `its header is at ${at}`);
  const bytes = new Uint8Array(HEADER_BYTES);
  await file.read(at, bytes);
  const header = new Fields(file, bytes, 'big');
  if (header.text(0, 8) !== 'cxsparse') throw damaged(file, 'its header is none');
  if (checksum(bytes, Dynamic.checksum) !== header.u32(Dynamic.checksum))
    throw damaged(file, "its header's checksum is wrong");
  const blockSize = header.u32(Dynamic.blockSize);
  if (blockSize < 4096 || blockSize > 64 << 20 || (blockSize & (blockSize - 1)) !== 0)
    throw damaged(file, `its blocks have ${blockSize} bytes`);
  if (size > VHD_BYTES_MAX) throw damaged(file, `a dynamic VHD holds no ${size} bytes`);
  const blocks = header.u32(Dynamic.blocks);
  const needed = Math.ceil(size / blockSize);
  if (blocks < needed) throw damaged(file, `its block table has ${blocks} of ${needed} entries`);
  const tableAt = header.u64(Dynamic.table, 'block table offset');
  checkInside(file, fileSize, 'block table', tableAt, blocks * 4);
  const isApart = tableAt >= at + HEADER_BYTES || tableAt + needed * 4 <= at;
  if (tableAt < FOOTER_BYTES || tableAt % 512 !== 0 || !isApart)
    throw damaged(file, `its block table is at ${tableAt}`);
  // Entries behind the disk's end are of no use, however many a header claims.
  const table = new Uint8Array(needed * 4);
  await file.read(tableAt, table);
  const map = new VhdMap(file, footer.bytes, table, isDifferencing, {
    tableAt,
    blockSize,
    start: Math.max(at + HEADER_BYTES, tableAt + needed * 4),
  });
  return { map, parent: isDifferencing ? await parentName(file, header, fileSize) : undefined };
}

export class VhdMap implements BlockMap {
  readonly blockSize: number;
  readonly blocks: number;
  readonly prefix: number;
  readonly dataStart: number;
  readonly #file: HostFile;
  readonly #footer: Uint8Array;
  readonly #table: Fields;
  readonly #tableAt: number;
  readonly #isDifferencing: boolean;
  readonly #changed = new Set<number>();
  /** Blocks whose bitmap is known to have all bits set. */
  readonly #touched = new Set<number>();
  /** Of a differencing image: bitmaps by block, and those that are not written. */
  readonly #bitmaps = new Map<number, Uint8Array>();
  readonly #changedBitmaps = new Set<number>();
  readonly release?: NonNullable<BlockMap['release']>;
  readonly ownSectors?: NonNullable<BlockMap['ownSectors']>;
  readonly own?: NonNullable<BlockMap['own']>;

  constructor(
    file: HostFile,
    footer: Uint8Array,
    table: Uint8Array,
    isDifferencing: boolean,
    at: { tableAt: number; blockSize: number; start: number },
  ) {
    this.#file = file;
    this.#footer = footer;
    this.#table = new Fields(file, table, 'big');
    this.#tableAt = at.tableAt;
    this.blockSize = at.blockSize;
    this.blocks = table.length / 4;
    this.prefix = roundUp(at.blockSize / 512 / 8, 512);
    this.dataStart = at.start;
    this.#isDifferencing = isDifferencing;
    if (isDifferencing) {
      this.ownSectors = (block) => this.#bitmap(block);
      this.own = (block, first, count) => this.#own(block, first, count);
    } else this.release = (block) => this.#release(block);
  }

  locate(block: number): number {
    const entry = this.#table.u32(block * 4);
    return entry === NO_BLOCK ? 0 : entry * 512 + this.prefix;
  }

  /** Behind the last block, where the footer is: a footer is written behind the new place before it goes. */
  async place(block: number, free: number | undefined): Promise<{ at: number; isClean: boolean }> {
    if (free !== undefined) {
      await this.#fillBitmap(block, free - this.prefix);
      return { at: free, isClean: false };
    }
    const fileSize = await this.#file.size();
    const last = new Uint8Array(8);
    await this.#file.read(fileSize - FOOTER_BYTES, last);
    const hasFooter = fileSize % 512 === 0 && String.fromCharCode(...last) === VHD_COOKIE;
    const start = hasFooter ? fileSize - FOOTER_BYTES : roundUp(fileSize, 512);
    if (start / 512 >= NO_BLOCK) throw unsupported(this.#file, 'it is full: blocks behind 2 TiB cannot be told');
    await this.#file.write(start + this.prefix + this.blockSize, this.#footer);
    await this.#fillBitmap(block, start);
    return { at: start + this.prefix, isClean: true };
  }

  /** All sectors of a block are there; of a differencing image's new one none is, until it is written. */
  async #fillBitmap(block: number, at: number): Promise<void> {
    const bitmap = new Uint8Array(this.prefix).fill(this.#isDifferencing ? 0 : 255);
    await this.#file.write(at, bitmap);
    if (this.#isDifferencing) this.#bitmaps.set(block, bitmap);
    else this.#touched.add(block);
  }

  async touch(block: number): Promise<void> {
    if (this.#isDifferencing || this.#touched.has(block)) return;
    await this.#fillBitmap(block, this.locate(block) - this.prefix);
  }

  async #bitmap(block: number): Promise<Uint8Array> {
    const known = this.#bitmaps.get(block);
    if (known) return known;
    const bitmap = new Uint8Array(this.prefix);
    await this.#file.read(this.locate(block) - this.prefix, bitmap);
    if (this.#bitmaps.size >= BITMAPS_KEPT) {
      for (const old of this.#bitmaps.keys()) {
        if (this.#changedBitmaps.has(old)) continue;
        this.#bitmaps.delete(old);
        break;
      }
    }
    this.#bitmaps.set(block, bitmap);
    return bitmap;
  }

  async #own(block: number, first: number, count: number): Promise<boolean> {
    const bitmap = await this.#bitmap(block);
    let isChanged = false;
    for (let sector = first; sector < first + count; sector++) {
      if (hasBit(bitmap, sector)) continue;
      bitmap[sector >> 3]! |= 0x80 >> (sector & 7);
      isChanged = true;
    }
    if (isChanged) this.#changedBitmaps.add(block);
    return isChanged;
  }

  #release(block: number): boolean {
    this.#table.setU32(block * 4, NO_BLOCK);
    this.#changed.add(block);
    this.#touched.delete(block);
    return true;
  }

  assign(block: number, at: number): void {
    this.#table.setU32(block * 4, (at - this.prefix) / 512);
    this.#changed.add(block);
  }

  async commit(): Promise<void> {
    for (const block of this.#changedBitmaps)
      await this.#file.write(this.locate(block) - this.prefix, this.#bitmaps.get(block)!);
    this.#changedBitmaps.clear();
    for (const block of this.#changed)
      await this.#file.write(this.#tableAt + block * 4, this.#table.bytes.subarray(block * 4, block * 4 + 4));
    this.#changed.clear();
  }
}

/** Writes a new image; `random` fills its UUID. One over a parent is a differencing image. */
export async function createVhd(
  file: HostFile,
  size: number,
  isFixed: boolean,
  random: Uint8Array,
  parent?: { name: string; identity: string },
): Promise<void> {
  if (size > VHD_BYTES_MAX) throw unsupported(file, `a VHD image holds 2040 GiB at most`);
  const bytes = new Uint8Array(FOOTER_BYTES);
  const footer = new Fields(file, bytes, 'big');
  footer.setText(0, VHD_COOKIE);
  footer.setU32(Footer.features, 2);
  footer.setU32(Footer.version, 0x10000);
  footer.setU64(Footer.header, isFixed ? Number.MAX_SAFE_INTEGER : FOOTER_BYTES);
  if (isFixed) bytes.fill(255, Footer.header, Footer.header + 8);
  // Programs take the size of the geometry, which is less, unless Windows is what made the image.
  footer.setText(Footer.creator, 'win ');
  footer.setText(Footer.host, 'Wi2k');
  footer.setU64(Footer.original, size);
  footer.setU64(Footer.size, size);
  const geometry = geometryOf(size / 512);
  footer.setU16(Footer2.cylinders, geometry.cylinders);
  bytes[Footer2.heads] = geometry.heads;
  bytes[Footer2.sectors] = geometry.sectors;
  footer.setU32(Footer2.type, isFixed ? Type.fixed : parent ? Type.differencing : Type.dynamic);
  bytes.set(random.subarray(0, 16), Footer2.uuid);
  footer.setU32(Footer2.checksum, checksum(bytes, Footer2.checksum));
  if (isFixed) {
    await file.truncate(size);
    await file.write(size, bytes);
    return;
  }
  const blocks = Math.ceil(size / BLOCK_BYTES);
  const table = new Uint8Array(roundUp(blocks * 4, 512)).fill(255);
  const header = new Fields(file, new Uint8Array(HEADER_BYTES), 'big');
  header.setText(0, 'cxsparse');
  header.bytes.fill(255, Dynamic.next, Dynamic.next + 8);
  header.setU64(Dynamic.table, FOOTER_BYTES + HEADER_BYTES);
  header.setU32(Dynamic.version, 0x10000);
  header.setU32(Dynamic.blocks, blocks);
  header.setU32(Dynamic.blockSize, BLOCK_BYTES);
  const namesAt = FOOTER_BYTES + HEADER_BYTES + table.length;
  const names = parent ? parentParts(file, header, parent, namesAt) : new Uint8Array(0);
  header.setU32(Dynamic.checksum, checksum(header.bytes, Dynamic.checksum));
  await file.write(FOOTER_BYTES, header.bytes);
  await file.write(FOOTER_BYTES + HEADER_BYTES, table);
  await file.write(namesAt, names);
  await file.write(namesAt + names.length, bytes);
  await file.write(0, bytes);
}

/** The geometry of a disk as the specification's appendix computes it. */
function geometryOf(total: number): { cylinders: number; heads: number; sectors: number } {
  if (total > 65535 * 16 * 255) return { cylinders: 65535, heads: 16, sectors: 255 };
  if (total >= 65535 * 16 * 63) return { cylinders: Math.floor(total / 255 / 16), heads: 16, sectors: 255 };
  let sectors = 17;
  let heads = Math.max(4, Math.floor((Math.floor(total / 17) + 1023) / 1024));
  if (Math.floor(total / 17) >= heads * 1024 || heads > 16) {
    sectors = 31;
    heads = 16;
  }
  if (Math.floor(total / sectors) >= heads * 1024) {
    sectors = 63;
    heads = 16;
  }
  return { cylinders: Math.floor(total / sectors / heads), heads, sectors };
}
