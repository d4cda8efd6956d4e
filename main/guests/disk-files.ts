// The images behind a guest's disks and CDs, opened as its settings say.
// Owns the choice of the format and of the way a file is opened.
// Never knows a controller, and never interprets an image itself.

import { FLOPPY_BYTES_MAX } from '../../native-free-core/devices/storage/floppy-geometry.ts';
import { type BlockDevice, DiskError } from '../../native-free-core/disk/block.ts';
import { type ImageFormat, openImage, probeFormat } from '../../native-free-core/disk/images.ts';
import { SnapshotDisk } from '../../native-free-core/disk/snapshot.ts';
import { formatByName } from '../disks/disks.ts';
import { nodeDiskHost, openHostFile } from '../disks/host-file.ts';
import type { DiskStart, FloppyStart } from './worker-messages.ts';

/** Opens a disk. Rejects with an Error of one sentence if that cannot be. */
export async function openDisk({
  file,
  format,
  readOnly,
  snapshot,
}: Omit<DiskStart, 'interface'>): Promise<BlockDevice> {
  const image = await openAs(file, format, !readOnly && !snapshot);
  return snapshot ? new SnapshotDisk(image) : image;
}

/** Opens the image of a floppy disk. Rejects where it is larger than any floppy disk. */
export async function openFloppy({ file, readOnly, snapshot }: FloppyStart): Promise<BlockDevice> {
  const image = await openAs(file, 'raw', !readOnly && !snapshot);
  if (image.size <= FLOPPY_BYTES_MAX) return snapshot ? new SnapshotDisk(image) : image;
  await image.close();
  throw new DiskError(`${file} is no floppy disk image: its ${image.size} bytes are more than 2.88 MB disks have.`);
}

/** Opens the image of a CD, for reading. */
export function openCd(file: string): Promise<BlockDevice> {
  return openAs(file, 'raw', false);
}

/**
 * Without a format, the file's name tells it, never its content alone: a guest could write the header of another format
 * into its raw disk, and have the host open files that such a header names.
 */
async function openAs(path: string, format: ImageFormat | null, writable: boolean): Promise<BlockDevice> {
  const file = await openHostFile(path, writable ? 'write' : 'read');
  const chosen = format ?? formatByName(path) ?? 'raw';
  try {
    const probed = format === null && chosen === 'raw' ? await probeFormat(file) : chosen;
    if (probed !== chosen)
      throw new DiskError(`${path} looks like a ${probed} image: say format=${probed}, or format=raw if it is none.`);
    return (await openImage(file, nodeDiskHost(), chosen)).device;
  } catch (error) {
    await file.close();
    throw error;
  }
}
