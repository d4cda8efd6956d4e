// Writes a disk as a stream-optimized VMDK (Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents").
// Owns the order of grains, tables and markers, each written once and behind the one before.
// Never reads an image: vmdk.ts does.

import type { BlockDevice } from './block.ts';
import { isZero, roundUp } from './fields.ts';
import {
  VMDK_AT_END,
  VMDK_DESCRIPTOR,
  VMDK_GRAIN_SECTORS,
  VMDK_MAGIC,
  VMDK_NEWLINES,
  VMDK_NO_PARENT,
  VMDK_TABLE_ENTRIES,
  VmdkAt,
  VmdkFlag,
} from './vmdk.ts';

const SECTOR = 512;
const GRAIN = VMDK_GRAIN_SECTORS * SECTOR;
const DESCRIPTOR_SECTORS = 20;
const TABLE_SECTORS = (VMDK_TABLE_ENTRIES * 4) / SECTOR;
/** The sector at which the first grain begins; QEMU and VMware leave as much. */
const OVERHEAD = 128;
/** What a marker says that follows it. */
const Marker = { end: 0, table: 1, directory: 2, footer: 3 } as const;
/** Sectors that a sparse extent can hold at all: entries of its tables are sector numbers of 32 bits. */
const SECTORS_MAX = 0xffffffff;
/** Grains packed at a time: packing is done by threads of the host's. */
const AT_ONCE = 8;

export interface VmdkStreamOptions {
  /** What the descriptor calls the file; only letters, digits, dots, dashes and underscores stay of it. */
  name: string;
  /** Four random bytes: the identity of the content. */
  random: Uint8Array;
  /** Packs bytes in zlib's format (RFC 1950). */
  compress(bytes: Uint8Array): Promise<Uint8Array>;
  /** Takes the next bytes of the file, which do not change until this has resolved. */
  append(bytes: Uint8Array): Promise<void>;
  /** Told the bytes of the disk that are done. */
  progress?(done: number): void;
}

/** Writes a whole disk. Throws an Error with one sentence where the format has no room for it. */
export async function writeVmdkStream(disk: BlockDevice, options: VmdkStreamOptions): Promise<void> {
  const sectors = disk.size / SECTOR;
  if (sectors > SECTORS_MAX) throw new Error('A VMDK image holds 2 TiB at most.');
  const grains = Math.ceil(sectors / VMDK_GRAIN_SECTORS);
  const tables = Math.ceil(grains / VMDK_TABLE_ENTRIES);
  const directory = new DataView(new ArrayBuffer(roundUp(tables * 4, SECTOR)));
  let at = 0;
  const append = async (bytes: Uint8Array): Promise<void> => {
    await options.append(bytes);
    at += bytes.length;
  };

  await append(header(sectors, VMDK_AT_END));
  await append(descriptor(sectors, options));
  await append(new Uint8Array(OVERHEAD * SECTOR - at));
  for (let index = 0; index < tables; index++) {
    const first = index * VMDK_TABLE_ENTRIES;
    const entries = new DataView(new ArrayBuffer(TABLE_SECTORS * SECTOR));
    const count = Math.min(VMDK_TABLE_ENTRIES, grains - first);
    let isEmpty = true;
    for (let from = 0; from < count; from += AT_ONCE) {
      const packed = await Promise.all(
        Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, next) =>
          packGrain(disk, first + from + next, options.compress),
        ),
      );
      for (const [next, grain] of packed.entries()) {
        if (!grain) continue;
        entries.setUint32((from + next) * 4, at / SECTOR, true);
        isEmpty = false;
        await append(grain);
      }
      options.progress?.(Math.min(disk.size, (first + from + packed.length) * GRAIN));
    }
    if (isEmpty) continue;
    await append(marker(Marker.table, TABLE_SECTORS));
    directory.setUint32(index * 4, at / SECTOR, true);
    await append(new Uint8Array(entries.buffer));
  }
  await append(marker(Marker.directory, directory.byteLength / SECTOR));
  const place = at / SECTOR;
  await append(new Uint8Array(directory.buffer));
  await append(marker(Marker.footer, 1));
  await append(header(sectors, BigInt(place)));
  await append(marker(Marker.end, 0));
}

/** A grain with its marker, up to the next sector; undefined for one of zeros. */
async function packGrain(
  disk: BlockDevice,
  grain: number,
  compress: VmdkStreamOptions['compress'],
): Promise<Uint8Array | undefined> {
  const start = grain * GRAIN;
  if ((await disk.zerosFrom(start)) >= Math.min(GRAIN, disk.size - start)) return undefined;
  // The last grain is whole as well; what is behind the disk's end is zeros.
  const bytes = new Uint8Array(GRAIN);
  await disk.read(start, bytes.subarray(0, Math.min(GRAIN, disk.size - start)));
  if (isZero(bytes)) return undefined;
  const packed = await compress(bytes);
  const all = new Uint8Array(roundUp(12 + packed.length, SECTOR));
  const view = new DataView(all.buffer);
  view.setBigUint64(0, BigInt(grain * VMDK_GRAIN_SECTORS), true);
  view.setUint32(8, packed.length, true);
  all.set(packed, 12);
  return all;
}

function marker(type: number, sectors: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(SECTOR));
  view.setBigUint64(0, BigInt(sectors), true);
  view.setUint32(12, type, true);
  return new Uint8Array(view.buffer);
}

function header(sectors: number, directory: bigint): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  const view = new DataView(bytes.buffer);
  const text = (offset: number, value: string): void => bytes.set(new TextEncoder().encode(value), offset);
  text(0, VMDK_MAGIC);
  // Version 3 is what the format says of compressed grains with markers.
  view.setUint32(VmdkAt.version, 3, true);
  view.setUint32(VmdkAt.flags, 1 | VmdkFlag.compressed | VmdkFlag.markers, true);
  view.setBigUint64(VmdkAt.capacity, BigInt(sectors), true);
  view.setBigUint64(VmdkAt.grain, BigInt(VMDK_GRAIN_SECTORS), true);
  view.setBigUint64(VmdkAt.descriptor, 1n, true);
  view.setBigUint64(VmdkAt.descriptorSize, BigInt(DESCRIPTOR_SECTORS), true);
  view.setUint32(VmdkAt.entries, VMDK_TABLE_ENTRIES, true);
  view.setBigUint64(VmdkAt.directory, directory, true);
  view.setBigUint64(VmdkAt.overhead, BigInt(OVERHEAD), true);
  text(VmdkAt.newlines, VMDK_NEWLINES);
  view.setUint16(VmdkAt.compression, 1, true);
  return bytes;
}

function descriptor(sectors: number, { name, random }: VmdkStreamOptions): Uint8Array {
  const identity = [...random.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const lines = [
    VMDK_DESCRIPTOR,
    'version=1',
    `CID=${identity === VMDK_NO_PARENT ? '00000000' : identity}`,
    `parentCID=${VMDK_NO_PARENT}`,
    'createType="streamOptimized"',
    '',
    `RDONLY ${sectors} SPARSE "${name.replace(/[^\w.-]/g, '_')}"`,
    '',
    'ddb.virtualHWVersion = "4"',
    `ddb.geometry.cylinders = "${Math.min(16383, Math.floor(sectors / 16 / 63))}"`,
    'ddb.geometry.heads = "16"',
    'ddb.geometry.sectors = "63"',
    'ddb.adapterType = "ide"',
    '',
  ];
  const bytes = new Uint8Array(DESCRIPTOR_SECTORS * SECTOR);
  bytes.set(new TextEncoder().encode(lines.join('\n')).subarray(0, bytes.length));
  return bytes;
}
