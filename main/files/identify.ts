// What a file or folder of the host is to a guest: told by what is in it, so that it can be dropped on the app's window.
// Owns the order in which kinds are tried, and the words for what is found.
// Never writes, locks or keeps a file open; the last verdict is of whatever opens the file for a guest.

import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isFloppySize } from '../../native-free-core/devices/storage/floppy-geometry.ts';
import type { HostFile } from '../../native-free-core/disk/block.ts';
import { probeFormat } from '../../native-free-core/disk/images.ts';
import { packingOf } from '../containers/images/unpack.ts';
import { Failure, type FileIdentity } from '../contract.ts';
import { openHostFile } from '../disks/host-file.ts';
import { inspectMedium, sizeText } from '../disks/inspect.ts';
import { inspectKernel } from '../guests/boot-files.ts';
import { explainFileError } from './folders.ts';

type Found = Omit<FileIdentity, 'path'>;

/** Bytes that are looked at: an ISO 9660 descriptor is the farthest, at sector 16 (ECMA-119, 6.2.1). */
const HEAD_BYTES = 17 * 2048;
const ISO_DESCRIPTOR = 16 * 2048 + 1;
/** Where a tar header names its kind (POSIX.1, pax, ustar). */
const TAR_MAGIC = 257;
/** The superblock's magic of ext2 and its successors. */
const EXT_MAGIC = 1024 + 56;
/** The partition table of a master boot record, its entries and their bytes. */
const PARTITIONS = 446;
const PARTITION_BYTES = 16;

/** Throws a {@link Failure} with one sentence if the file cannot be read. */
export async function identifyFile(path: string): Promise<FileIdentity> {
  return { path, ...((await isFolder(path)) ? folder(path) : await file(path)) };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw new Failure('failed', explainFileError(error, `Cannot read ${path}`), { cause: error });
  }
}

function folder(path: string): Found {
  const has = (name: string): boolean => existsSync(join(path, name));
  if (has('oci-layout') && has('index.json')) return { use: 'image', description: 'OCI image layout' };
  if (has('bin') && has('etc')) return { use: 'image', description: 'root file system in a folder' };
  return { use: null, description: `The folder ${basename(path)} holds neither a root file system nor an OCI image.` };
}

async function file(path: string): Promise<Found> {
  const opened = await openHostFile(path, 'look');
  try {
    return await content(path, opened);
  } finally {
    await opened.close();
  }
}

async function content(path: string, opened: HostFile): Promise<Found> {
  const size = await opened.size();
  const buffer = new Uint8Array(HEAD_BYTES);
  const head = Buffer.from(buffer.subarray(0, await opened.read(0, buffer)));
  const told = sizeText(size);
  const text = (from: number, to: number): string => head.toString('latin1', from, to);
  if (size === 0) return { use: null, description: `${basename(path)} is empty.` };
  if (text(ISO_DESCRIPTOR, ISO_DESCRIPTOR + 5) === 'CD001')
    return { use: 'cd', description: (await inspectMedium(path, 'cd', null)).description };
  const format = await probeFormat(opened);
  if (format !== 'raw') {
    const { description } = await inspectMedium(path, 'disk', format);
    return { use: 'disk', description: description || `${format} disk image, ${told}` };
  }
  if (text(TAR_MAGIC, TAR_MAGIC + 5) === 'ustar') return archive(text(0, 100), told);
  const packing = packingOf(head);
  if (packing === 'gzip' || packing === 'zstd' || packing === 'xz') {
    const isNamed = /\.(tar|t)\W?(gz|zst|zstd|xz)$|\.tgz$|\.txz$/i.test(path);
    if (isNamed) return { use: 'image', description: `tar archive packed with ${packing}, ${told}` };
    return {
      use: null,
      description: `${basename(path)} is packed with ${packing} and no tar archive by its name: unpack it first.`,
    };
  }
  const kernel = inspectKernel(path);
  if (kernel.format === 'bzImage' || kernel.format === 'elf') return { use: 'kernel', description: kernel.description };
  if (isFloppySize(size)) return { use: 'floppy', description: `floppy disk, ${told}` };
  if (hasPartitions(head)) return { use: 'disk', description: `disk image with partitions, ${told}` };
  if (kernel.format) return { use: 'kernel', description: kernel.description };
  if (head.length > EXT_MAGIC + 2 && head.readUInt16LE(EXT_MAGIC) === 0xef53)
    return { use: 'disk', description: `disk image with an ext file system, ${told}` };
  if (text(0, 6) === '070701' || text(0, 6) === '070702')
    return { use: null, description: `${basename(path)} is an initial RAM disk: it stands beside a kernel.` };
  if (/\.(img|raw)$/i.test(path) && size % 512 === 0) return { use: 'disk', description: `raw disk image, ${told}` };
  return {
    use: null,
    description: `${basename(path)} is nothing that a guest is made from: no disc, disk, floppy, kernel or archive.`,
  };
}

/** An appliance is a tar archive that begins with its description (DSP0243, 5.3); any other is a root file system or an image. */
function archive(first: string, told: string): Found {
  const [name = ''] = first.split('\0');
  if (name.toLowerCase().endsWith('.ovf')) return { use: 'appliance', description: `appliance (OVA), ${told}` };
  return { use: 'image', description: `tar archive, ${told}` };
}

/** Whether a sector ends as a boot sector does, and holds entries of partitions that can be ones. */
function hasPartitions(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return false;
  const entries = [0, 1, 2, 3].map((index) => head.subarray(PARTITIONS + index * PARTITION_BYTES));
  return (
    entries.every(([status]) => status === 0 || status === 0x80) &&
    entries.some((entry) => entry[4] !== 0 && entry.readUInt32LE(12) !== 0)
  );
}
