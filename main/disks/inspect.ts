// What a file offered as a disk, a CD or a floppy turns out to be, so that a dialog can say so before a guest is made.
// Owns the sentences; what is told of an image is only what its headers say.
// Never writes, locks or keeps a file open.

import { FLOPPY_BYTES_MAX } from '../../native-free-core/devices/storage/floppy-geometry.ts';
import type { HostFile } from '../../native-free-core/disk/block.ts';
import { type ImageFormat, probeFormat } from '../../native-free-core/disk/images.ts';
import type { MediumInspection, MediumUse } from '../contract.ts';
import { diskInfo, formatByName } from './disks.ts';
import { openHostFile } from './host-file.ts';

/** Bytes of a sector of a CD, and the sector its volume descriptors begin at (ECMA-119, 6.2). */
const CD_SECTOR = 2048;
const DESCRIPTORS = 16;

/** Never rejects: what is wrong is told in `problem`. */
export async function inspectMedium(
  path: string,
  use: MediumUse,
  format: ImageFormat | null,
): Promise<MediumInspection> {
  try {
    if (use === 'disk') return await inspectDisk(path, format);
    const file = await openHostFile(path, 'look');
    try {
      return await (use === 'cd' ? inspectCd(path, file) : inspectFloppy(path, file));
    } finally {
      await file.close();
    }
  } catch (error) {
    return { description: '', problem: (error as Error).message, format: null, size: null };
  }
}

async function inspectDisk(path: string, format: ImageFormat | null): Promise<MediumInspection> {
  const chosen = format ?? formatByName(path) ?? 'raw';
  if (format === null && chosen === 'raw') {
    const probed = await formatOf(path);
    if (probed !== 'raw') {
      const problem = `${path} looks like a ${probed} image: choose this format, or raw if it is none.`;
      return { description: '', problem, format: probed, size: null };
    }
  }
  const info = await diskInfo(path, chosen);
  const backing = info.backing.length > 0 ? `, over ${info.backing[0]}` : '';
  const description = `${info.format}, ${sizeText(info.size)}, ${sizeText(info.hostBytes)} of them on this host${backing}`;
  return { description, problem: null, format: info.format, size: info.size };
}

async function formatOf(path: string): Promise<ImageFormat> {
  const file = await openHostFile(path, 'look');
  try {
    return await probeFormat(file);
  } finally {
    await file.close();
  }
}

async function inspectCd(path: string, file: HostFile): Promise<MediumInspection> {
  const size = await file.size();
  if (size === 0) return { description: '', problem: `${path} is empty.`, format: null, size };
  const head = new Uint8Array(2 * CD_SECTOR);
  const length = await file.read(DESCRIPTORS * CD_SECTOR, head);
  const text = (from: number, to: number): string => Buffer.from(head.subarray(from, to)).toString('latin1');
  const told = sizeText(size);
  if (length < CD_SECTOR || text(1, 6) !== 'CD001')
    return { description: `${told}, without an ISO 9660 file system`, problem: null, format: null, size };
  const label = text(40, 72)
    .replace(/[^\x20-\x7e]/g, '')
    .trim();
  // The boot record, which El Torito puts into the second descriptor (Bootable CD-ROM Format Specification 1.0, 2.0).
  const isBootable =
    text(CD_SECTOR + 1, CD_SECTOR + 6) === 'CD001' && text(CD_SECTOR + 7, CD_SECTOR + 30).startsWith('EL TORITO');
  const description = `${label ? `“${label}”, ` : ''}${told}, ${isBootable ? 'bootable' : 'without a boot record'}`;
  return { description, problem: null, format: null, size };
}

async function inspectFloppy(path: string, file: HostFile): Promise<MediumInspection> {
  const size = await file.size();
  const problem =
    size > 0 && size <= FLOPPY_BYTES_MAX ? null : `${path} is no floppy disk image: it has ${size} bytes.`;
  return { description: `${Math.round(size / 1024)} KiB`, problem, format: null, size };
}

/** Bytes as people say them, in powers of 1024. */
export function sizeText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const number = bytes / 1024 ** power;
  return `${Number.isInteger(number) ? number : number.toFixed(1)} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}
