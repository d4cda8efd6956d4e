// Disk images of every format: telling which one a file is, opening it with its backing files, creating, checking, copying.
// Owns the list of formats and what may be asked of each.
// Never leaves a file open when it fails.

import { type BlockDevice, DiskError, type DiskHost, type HostFile } from './block.ts';
import { checkDiskSize, damaged, Fields, isZero, roundUp, sectorsOf, unsupported } from './fields.ts';
import { type Findings, newFindings, note } from './findings.ts';
import { checkMap, openMapped } from './mapped.ts';
import { checkQcow2 } from './qcow2/check.ts';
import {
  Autoclear,
  buildHeader,
  Header,
  Incompatible,
  l2Coverage,
  QCOW2_MAGIC,
  type Qcow2Header,
  readHeader,
} from './qcow2/header.ts';
import { Qcow2Image } from './qcow2/image.ts';
import { rebuildRefcounts } from './qcow2/refcounts.ts';
import { openRaw, RawImage } from './raw.ts';
import { createVdi, readVdi, VDI_SIGNATURE } from './vdi.ts';
import { createVhd, readVhd, VHD_COOKIE } from './vhd.ts';
import { createVmdk, readVmdk, VMDK_DESCRIPTOR, VMDK_MAGIC } from './vmdk.ts';

export const imageFormats = ['raw', 'qcow2', 'vdi', 'vmdk', 'vhd'] as const;
export type ImageFormat = (typeof imageFormats)[number];

/** Backing files below one image at most: a guest's read may have to go through all of them. */
const CHAIN_MAX = 32;

/** The format of a file by its content; `raw` where it is none of the others. */
export async function probeFormat(file: HostFile): Promise<ImageFormat> {
  const head = new Uint8Array(512);
  await file.read(0, head);
  const big = new Fields(file, head, 'big');
  if (big.u32(0) === QCOW2_MAGIC) return 'qcow2';
  if (big.text(0, 4) === VMDK_MAGIC || big.text(0, VMDK_DESCRIPTOR.length) === VMDK_DESCRIPTOR) return 'vmdk';
  if (big.text(0, 8) === VHD_COOKIE) return 'vhd';
  if (new Fields(file, head, 'little').u32(0x40) === VDI_SIGNATURE) return 'vdi';
  const size = await file.size();
  if (size < 1024) return 'raw';
  await file.read(size - 512, head);
  return big.text(0, 8) === VHD_COOKIE ? 'vhd' : 'raw';
}

/** A format by its name in a header or on a command line. */
export function formatOf(name: string): ImageFormat | undefined {
  if (name === 'vpc') return 'vhd';
  return imageFormats.find((format) => format === name);
}

export interface OpenedImage {
  device: BlockDevice;
  format: ImageFormat;
  /** Names of the backing files, the nearest first, and their formats. */
  backing: string[];
  backingFormats: ImageFormat[];
}

/**
 * Opens an image, for writing unless its file is for reading only. The file belongs to the device from then on, and is
 * closed if this rejects. `format` skips the probing: a guest that writes a raw disk can make it look like another.
 */
export async function openImage(file: HostFile, host: DiskHost, format?: ImageFormat): Promise<OpenedImage> {
  return open(file, host, format, [file.identity]);
}

async function open(
  file: HostFile,
  host: DiskHost,
  given: ImageFormat | undefined,
  chain: readonly string[],
): Promise<OpenedImage> {
  try {
    const format = given ?? (await probeFormat(file));
    if (format === 'qcow2') return await openQcow2(file, host, chain);
    return await openSimple(file, host, format, chain);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Images whose parent, where there is one, is of their own format. */
async function openSimple(
  file: HostFile,
  host: DiskHost,
  format: Exclude<ImageFormat, 'qcow2'>,
  chain: readonly string[],
): Promise<OpenedImage> {
  if (format === 'raw') return { device: await openRaw(file), format, backing: [], backingFormats: [] };
  if (format === 'vdi') {
    const { size, map } = await readVdi(file);
    return { device: openMapped(file, size, map, await file.size()), format, backing: [], backingFormats: [] };
  }
  const { size, map, parent } = format === 'vhd' ? await readVhd(file) : await readVmdk(file, host);
  if (!map) return { device: new RawImage(file, size), format, backing: [], backingFormats: [] };
  if (!parent)
    return { device: openMapped(file, size, map, await file.size()), format, backing: [], backingFormats: [] };
  const below = await openBacking(file, host, { name: parent.name, format }, chain, parent.identity);
  try {
    const device = openMapped(file, size, map, await file.size(), below.device);
    return {
      device,
      format,
      backing: [parent.name, ...below.backing],
      backingFormats: [below.format, ...below.backingFormats],
    };
  } catch (error) {
    await below.device.close();
    throw error;
  }
}

/** What an image over this one tells it by; images of other formats are told by their names alone. */
export async function readIdentity(file: HostFile, host: DiskHost, format: ImageFormat): Promise<string | undefined> {
  if (format === 'vhd') return (await readVhd(file)).identity;
  if (format === 'vmdk') return (await readVmdk({ ...bound(file), isReadOnly: true }, host)).identity;
  return undefined;
}

async function openQcow2(file: HostFile, host: DiskHost, chain: readonly string[]): Promise<OpenedImage> {
  const header = await readHeader(file);
  if (!file.isReadOnly) await prepareToWrite(file, header);
  const below = header.backing === undefined ? undefined : await openQcow2Backing(file, host, header, chain);
  try {
    const device = await Qcow2Image.open(file, host, header, below?.device);
    const backing = below ? [header.backing!, ...below.backing] : [];
    const backingFormats = below ? [below.format, ...below.backingFormats] : [];
    return { device, format: 'qcow2', backing, backingFormats };
  } catch (error) {
    await below?.device.close();
    throw error;
  }
}

async function openQcow2Backing(
  file: HostFile,
  host: DiskHost,
  header: Qcow2Header,
  chain: readonly string[],
): Promise<OpenedImage> {
  const format = header.backingFormat === undefined ? undefined : formatOf(header.backingFormat);
  if (header.backingFormat !== undefined && format === undefined)
    throw unsupported(file, `the format ${header.backingFormat} of its backing file is unknown`);
  return openBacking(file, host, { name: header.backing!, format }, chain);
}

/** `identity`: what the backing file must be told by, so that it is still what the image was made over. */
async function openBacking(
  file: HostFile,
  host: DiskHost,
  { name, format }: { name: string; format: ImageFormat | undefined },
  chain: readonly string[],
  identity?: string,
): Promise<OpenedImage> {
  if (chain.length > CHAIN_MAX) throw unsupported(file, `it is above more than ${CHAIN_MAX} backing files`);
  if (/^[a-z][a-z0-9+.-]+:/i.test(name)) throw unsupported(file, `its backing file ${name} is no file of this host`);
  if (chain.includes(await host.identifyBacking(name, file)))
    throw damaged(file, `its backing files form a circle: ${name} is already one of them`);
  const below = await host.openBacking(name, file);
  if (identity !== undefined) {
    try {
      if ((await readIdentity(below, host, format!)) !== identity)
        throw damaged(file, `its parent ${name} was changed or replaced since it was made`);
    } catch (error) {
      await below.close();
      throw error;
    }
  }
  return open(below, host, format, [...chain, below.identity]);
}

/** Refuses what must not be written, and sets right what the last program that wrote it left for later. */
async function prepareToWrite(file: HostFile, header: Qcow2Header): Promise<void> {
  if (header.incompatible & Incompatible.corrupt)
    throw damaged(file, 'it is marked as corrupt; trivisor disk check --repair may set it right');
  if (header.autoclear & Autoclear.bitmaps)
    throw unsupported(file, 'it has persistent bitmaps, which writing would make wrong');
  if (header.incompatible & Incompatible.dirty) {
    const { damages, details } = await checkQcow2(file, header, true);
    if (damages > 0) throw damaged(file, details[0]!);
  }
  if (header.autoclear === 0) return;
  await file.write(Header.autoclear, new Uint8Array(8));
  header.autoclear = 0;
}

export interface CreateOptions {
  format: ImageFormat;
  /** Bytes of the disk; rounded up to whole sectors. */
  size: number;
  /** What a new image is told apart by: 32 random bytes. */
  random: Uint8Array;
  /** VDI and VHD: all blocks have their place from the beginning. */
  isFixed?: boolean;
  /** What shows through where nothing has been written; `identity` of a VMDK's or VHD's ({@link readIdentity}). */
  backing?: { name: string; format: ImageFormat; identity?: string | undefined };
  /** qcow2: bytes of a cluster as a power of two (16), bits of a refcount as a power of two (4), version (3). */
  clusterBits?: number;
  refcountOrder?: number;
  version?: 2 | 3;
  lazyRefcounts?: boolean;
}

/** Writes a new image into an empty file, and flushes it. */
export async function createImage(file: HostFile, options: CreateOptions): Promise<void> {
  const { format, random } = options;
  const size = sectorsOf(options.size) * 512;
  checkDiskSize(file, size);
  const parent = parentOf(options);
  if (options.isFixed && format !== 'vdi' && format !== 'vhd')
    throw new DiskError(`A ${format} image is not made fixed; vdi and vhd are.`);
  if (format === 'raw') await file.truncate(size);
  else if (format === 'vdi') await createVdi(file, size, options.isFixed === true, random);
  else if (format === 'vhd') await createVhd(file, size, options.isFixed === true, random, parent);
  else if (format === 'vmdk') await createVmdk(file, size, random, parent);
  else await createQcow2(file, size, options);
  await file.flush();
}

/** The parent of a VMDK or VHD image that is to be made, if it is to have one. Throws where it cannot have it. */
function parentOf({ format, backing, isFixed }: CreateOptions): { name: string; identity: string } | undefined {
  if (!backing || format === 'qcow2') return undefined;
  if (format !== 'vmdk' && format !== 'vhd')
    throw new DiskError(`A ${format} image has no backing file; qcow2, vmdk and vhd have.`);
  if (backing.format !== format || backing.identity === undefined)
    throw new DiskError(`A ${format} image is made over a ${format} image only; qcow2 is over any.`);
  if (isFixed) throw new DiskError('A fixed image has no backing file.');
  return { name: backing.name, identity: backing.identity };
}

/** Header, L1 table, and behind them the refcounts. The header is last: a part of an image is no image. */
async function createQcow2(file: HostFile, size: number, options: CreateOptions): Promise<void> {
  const clusterBits = options.clusterBits ?? 16;
  const clusterSize = 1 << clusterBits;
  const l1Entries = Math.ceil(size / l2Coverage(clusterBits));
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterSize);
  const version = options.version ?? 3;
  if (l1Entries > 1 << 20) throw unsupported(file, `clusters of ${clusterSize} bytes are too small for its size`);
  const header: Qcow2Header = {
    version,
    size,
    clusterBits,
    l1Entries,
    l1Offset: clusterSize,
    refcountTableOffset: 0,
    refcountTableClusters: 0,
    snapshots: 0,
    snapshotsOffset: 0,
    incompatible: 0,
    compatible: version === 3 && options.lazyRefcounts ? 1 : 0,
    autoclear: 0,
    refcountOrder: version === 3 ? (options.refcountOrder ?? 4) : 4,
    compression: 'deflate',
    backing: options.backing?.name,
    backingFormat: options.backing && (options.backing.format === 'vhd' ? 'vpc' : options.backing.format),
  };
  await file.write(clusterSize, new Uint8Array(l1Clusters * clusterSize));
  await rebuildRefcounts(file, header, new Uint16Array(1 + l1Clusters).fill(1));
  await file.write(0, buildHeader(file, header));
}

/** Checks an image without its backing files, and with `repair` sets right what can be. The file stays open. */
export async function checkImage(
  file: HostFile,
  host: DiskHost,
  repair: boolean,
  given?: ImageFormat,
): Promise<Findings & { format: ImageFormat; size: number }> {
  const format = given ?? (await probeFormat(file));
  const fileSize = await file.size();
  if (format === 'qcow2') {
    const header = await readHeader(file);
    return { ...(await checkQcow2(file, header, repair)), format, size: header.size };
  }
  if (format === 'vdi') {
    const { size, map } = await readVdi(file);
    const findings = checkMap(map, fileSize);
    const { stored, used } = map.counted;
    if (stored !== used) {
      if (stored > used) findings.leaks += stored - used;
      else findings.corruptions++;
      note(findings, 'text', `the header counts ${stored} blocks, and the map uses ${used}`);
      if (repair) {
        await map.commit();
        await file.flush();
        Object.assign(findings, { repaired: findings.leaks + findings.corruptions, leaks: 0, corruptions: 0 });
      }
    }
    return { ...findings, format, size };
  }
  if (format === 'vmdk') {
    // Repairing changes nothing here, so that even what can only be read is checked.
    const { size, map } = await readVmdk({ ...bound(file), isReadOnly: true }, host);
    return { ...checkMap(map, fileSize), format, size };
  }
  if (format === 'vhd') {
    const { size, map } = await readVhd(file);
    return { ...(map ? checkMap(map, fileSize) : { ...newFindings(), allocated: size }), format, size };
  }
  const { size } = await openRaw(file);
  return { ...newFindings(), allocated: size, format, size };
}

/** A file's acts as plain properties, to be combined with others. */
export function bound(file: HostFile): HostFile {
  return {
    name: file.name,
    identity: file.identity,
    isReadOnly: file.isReadOnly,
    size: () => file.size(),
    read: (offset, buffer) => file.read(offset, buffer),
    write: (offset, data) => file.write(offset, data),
    readNow: (offset, buffers) => file.readNow?.(offset, buffers) === true,
    writeNow: (offset, buffers) => file.writeNow?.(offset, buffers) === true,
    truncate: (size) => file.truncate(size),
    punch: (offset, length) => file.punch(offset, length),
    flush: () => file.flush(),
    close: () => file.close(),
  };
}

const COPY_BYTES = 1 << 20;
/** What is left out of a copy where all of it is zero. */
const COPY_GRAIN = 1 << 16;

/** Copies a disk into a new one of the same size or larger, which reads as zeros; what is zero is not written. */
export async function copyDisk(from: BlockDevice, to: BlockDevice, progress: (done: number) => void): Promise<void> {
  const buffer = new Uint8Array(COPY_BYTES);
  for (let at = 0; at < from.size; ) {
    const zeros = await from.zerosFrom(at);
    if (zeros > 0) {
      at += zeros;
      progress(at);
      continue;
    }
    const end = Math.min(from.size, roundUp(at + 1, COPY_BYTES));
    const bytes = buffer.subarray(0, end - at);
    await from.read(at, bytes);
    for (let start = 0; start < bytes.length; ) {
      const length = Math.min(bytes.length - start, COPY_GRAIN - ((at + start) % COPY_GRAIN));
      let piece = bytes.subarray(start, start + length);
      if (!isZero(piece)) {
        // Neighbours that are written anyway are written together.
        while (start + piece.length < bytes.length) {
          const next = bytes.subarray(start + piece.length, start + piece.length + COPY_GRAIN);
          if (isZero(next)) break;
          piece = bytes.subarray(start, start + piece.length + next.length);
        }
        await to.write(at + start, piece);
      }
      start += piece.length;
    }
    at = end;
    progress(at);
  }
}
