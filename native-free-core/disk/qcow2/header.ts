// The header of a qcow2 image (QEMU's docs/interop/qcow2.txt): reading it with every field checked, and a new one.
// Owns the offsets of its fields, its feature bits and the bounds on what it may claim.
// Never reads a table that the header points to.

import { DiskError, type HostFile, SECTOR_BYTES } from '../block.ts';
import { checkDiskSize, checkInside, damaged, Fields, unsupported } from '../fields.ts';

export const QCOW2_MAGIC = 0x514649fb;

/** Byte offsets of the fields that are written apart from the rest. */
export const Header = { size: 24, refcountTable: 48, incompatible: 72, compatible: 80, autoclear: 88 } as const;

/** Feature bits, in the low word of their field. */
export const Incompatible = { dirty: 1, corrupt: 2, externalData: 4, compression: 8, extendedL2: 16 } as const;
export const Compatible = { lazyRefcounts: 1 } as const;
export const Autoclear = { bitmaps: 1 } as const;

/** The largest L1 and refcount table (bytes): they are held in memory as a whole. */
const TABLE_BYTES_MAX = 8 << 20;
/** The format's bounds on snapshots and the name of a backing file. */
const SNAPSHOTS_MAX = 65536;
const BACKING_NAME_MAX = 1023;
const BACKING_FORMAT = 0xe2792aca;
const BACKING_FORMAT_MAX = 64;

export interface Qcow2Header {
  version: number;
  /** Bytes of the disk. */
  size: number;
  clusterBits: number;
  l1Offset: number;
  l1Entries: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  snapshots: number;
  snapshotsOffset: number;
  incompatible: number;
  compatible: number;
  autoclear: number;
  /** A refcount has 2^this bits. */
  refcountOrder: number;
  compression: 'deflate' | 'zstd';
  backing: string | undefined;
  backingFormat: string | undefined;
}

/** Bytes of the disk that one L2 table maps. */
export function l2Coverage(clusterBits: number): number {
  return 2 ** (2 * clusterBits - 3);
}

export async function readHeader(file: HostFile): Promise<Qcow2Header> {
  const fileSize = await file.size();
  const bytes = new Uint8Array(104);
  if ((await file.read(0, bytes)) < 72) throw damaged(file, 'it ends within its header');
  const fields = new Fields(file, bytes, 'big');
  if (fields.u32(0) !== QCOW2_MAGIC) throw damaged(file, 'it does not begin as one');
  const version = fields.u32(4);
  if (version !== 2 && version !== 3) throw unsupported(file, `it is of qcow2 version ${version}, not 2 or 3`);
  if (version === 3 && fileSize < 104) throw damaged(file, 'it ends within its header');
  const clusterBits = fields.u32(20);
  if (clusterBits < 9 || clusterBits > 21) throw damaged(file, `its clusters have 2^${clusterBits} bytes`);
  const size = fields.u64(Header.size, 'disk size');
  checkDiskSize(file, size);
  if (size % SECTOR_BYTES !== 0) throw damaged(file, `its disk size (${size}) is not a whole number of sectors`);
  if (fields.u32(32) !== 0) throw unsupported(file, 'it is encrypted');
  const isThree = version === 3;
  const header: Qcow2Header = {
    version,
    size,
    clusterBits,
    l1Entries: fields.u32(36),
    l1Offset: fields.u64(40, 'L1 table offset'),
    refcountTableOffset: fields.u64(Header.refcountTable, 'refcount table offset'),
    refcountTableClusters: fields.u32(56),
    snapshots: fields.u32(60),
    snapshotsOffset: fields.u64(64, 'snapshot table offset'),
    incompatible: isThree ? fields.u64(Header.incompatible, 'set of incompatible features') : 0,
    compatible: isThree ? fields.u64(Header.compatible, 'set of compatible features') % 2 ** 32 : 0,
    autoclear: isThree ? fields.u64(Header.autoclear, 'set of autoclear features') : 0,
    refcountOrder: isThree ? fields.u32(96) : 4,
    compression: 'deflate',
    backing: undefined,
    backingFormat: undefined,
  };
  const headerLength = isThree ? fields.u32(100) : 72;
  const clusterSize = 1 << clusterBits;
  if (isThree && (headerLength < 104 || headerLength > clusterSize || headerLength % 8 !== 0))
    throw damaged(file, `its header length is ${headerLength}`);
  checkFeatures(file, header);
  if (header.refcountOrder > 6) throw damaged(file, `its refcounts have 2^${header.refcountOrder} bits`);
  checkTables(file, header, fileSize);

  const first = new Uint8Array(Math.min(clusterSize, fileSize));
  await file.read(0, first);
  const head = new Fields(file, first, 'big');
  if (header.incompatible & Incompatible.compression) {
    if (headerLength < 112 || first.length < 112) throw damaged(file, 'its compression type is missing');
    if (first[104]! > 1) throw unsupported(file, `its compression type ${first[104]} is unknown`);
    if (first[104] === 1) header.compression = 'zstd';
  }
  const backingOffset = fields.u64(8, 'backing file name offset');
  const backingLength = fields.u32(16);
  if (backingOffset !== 0) {
    if (backingLength > BACKING_NAME_MAX) throw damaged(file, `its backing file's name has ${backingLength} bytes`);
    if (backingOffset < headerLength || backingOffset > first.length || backingLength > first.length - backingOffset)
      throw damaged(file, "its backing file's name is outside its first cluster");
    const name = new TextDecoder().decode(first.subarray(backingOffset, backingOffset + backingLength));
    if (name === '' || name.includes('\0')) throw damaged(file, "its backing file's name is none");
    header.backing = name;
  }
  header.backingFormat = readExtensions(file, head, headerLength, backingOffset || first.length);
  return header;
}

function checkFeatures(file: HostFile, { incompatible }: Qcow2Header): void {
  if ((incompatible % 2 ** 32) & Incompatible.externalData) throw unsupported(file, 'its data is in another file');
  if ((incompatible % 2 ** 32) & Incompatible.extendedL2) throw unsupported(file, 'it has extended L2 entries');
  if (incompatible >= 32) throw unsupported(file, 'it needs features that are unknown here');
}

function checkTables(file: HostFile, header: Qcow2Header, fileSize: number): void {
  const clusterSize = 1 << header.clusterBits;
  const l1Bytes = header.l1Entries * 8;
  const needed = Math.ceil(header.size / l2Coverage(header.clusterBits));
  if (header.l1Entries < needed) throw damaged(file, `its L1 table has ${header.l1Entries} of ${needed} entries`);
  if (l1Bytes > TABLE_BYTES_MAX) throw unsupported(file, `its L1 table has ${header.l1Entries} entries`);
  const refcountBytes = header.refcountTableClusters * clusterSize;
  if (header.refcountTableClusters === 0) throw damaged(file, 'it has no refcount table');
  if (refcountBytes > TABLE_BYTES_MAX)
    throw unsupported(file, `its refcount table has ${header.refcountTableClusters} clusters`);
  if (header.snapshots > SNAPSHOTS_MAX) throw damaged(file, `it has ${header.snapshots} snapshots`);
  const snapshotBytes = header.snapshots * 40;
  const tables = [
    { what: 'L1 table', offset: header.l1Offset, length: l1Bytes },
    { what: 'refcount table', offset: header.refcountTableOffset, length: refcountBytes },
    { what: 'snapshot table', offset: header.snapshotsOffset, length: snapshotBytes },
  ].filter(({ length }) => length > 0);
  let previous = { what: 'header', offset: 0, length: clusterSize };
  for (const table of tables.sort((one, other) => one.offset - other.offset)) {
    if (table.offset % clusterSize !== 0) throw damaged(file, `its ${table.what} does not begin with a cluster`);
    checkInside(file, fileSize, table.what, table.offset, table.length);
    if (table.offset < previous.offset + previous.length)
      throw damaged(file, `its ${table.what} overlaps its ${previous.what}`);
    previous = table;
  }
}

/** Walks the header's extensions, and answers the format of the backing file if one tells it. */
function readExtensions(file: HostFile, head: Fields, start: number, end: number): string | undefined {
  let format: string | undefined;
  for (let at = start; at + 8 <= end; ) {
    const type = head.u32(at);
    const length = head.u32(at + 4);
    if (type === 0) break;
    if (length > end - at - 8) throw damaged(file, 'an extension of its header exceeds the first cluster');
    if (type === BACKING_FORMAT) {
      if (length > BACKING_FORMAT_MAX) throw damaged(file, "its backing file's format has a long name");
      format = head.text(at + 8, length);
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return format;
}

/** The first cluster of a new image: header, extensions and the backing file's name. */
export function buildHeader(file: HostFile, header: Qcow2Header): Uint8Array {
  const bytes = new Uint8Array(1 << header.clusterBits);
  const fields = new Fields(file, bytes, 'big');
  const isThree = header.version === 3;
  fields.setU32(0, QCOW2_MAGIC);
  fields.setU32(4, header.version);
  fields.setU32(20, header.clusterBits);
  fields.setU64(Header.size, header.size);
  fields.setU32(36, header.l1Entries);
  fields.setU64(40, header.l1Offset);
  fields.setU64(Header.refcountTable, header.refcountTableOffset);
  fields.setU32(56, header.refcountTableClusters);
  if (isThree) {
    fields.setU64(Header.compatible, header.compatible);
    fields.setU32(96, header.refcountOrder);
    fields.setU32(100, 112);
  }
  let at = isThree ? 112 : 72;
  if (header.backing !== undefined) {
    const name = new TextEncoder().encode(header.backing);
    const format = header.backingFormat ?? 'raw';
    if (name.length > BACKING_NAME_MAX || at + 32 + name.length > bytes.length)
      throw new DiskError(`The backing file's name has ${name.length} bytes, and there is no room for it.`);
    fields.setU32(at, BACKING_FORMAT);
    fields.setU32(at + 4, format.length);
    fields.setText(at + 8, format);
    // The extension, padded to 8 bytes, and the empty one that ends them.
    at += 8 + Math.ceil(format.length / 8) * 8 + 8;
    fields.setU64(8, at);
    fields.setU32(16, name.length);
    bytes.set(name, at);
  }
  return bytes;
}
