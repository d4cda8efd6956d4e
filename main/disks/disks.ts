// Disk images as files of this host: made, told about, checked and converted.
// Owns what happens to a file that could not be finished: it is removed.
// Never prints.

import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { DISK_BYTES_MAX, DiskError, type HostFile } from '../../native-free-core/disk/block.ts';
import type { Findings } from '../../native-free-core/disk/findings.ts';
import {
  bound,
  type CreateOptions,
  checkImage,
  copyDisk,
  createImage,
  type ImageFormat,
  openImage,
  readIdentity,
} from '../../native-free-core/disk/images.ts';
import { Failure } from '../contract.ts';
import { explainFileError } from '../files/folders.ts';
import { nodeDiskHost, openHostFile } from './host-file.ts';

export interface DiskInfo {
  file: string;
  format: ImageFormat;
  /** Bytes of the disk. */
  size: number;
  /** Bytes the file is long, and bytes it takes of the host's disk. */
  fileBytes: number;
  hostBytes: number;
  /** Names of backing files, the nearest first, and their formats. */
  backing: string[];
  backingFormats: ImageFormat[];
}

export async function diskInfo(path: string, format?: ImageFormat): Promise<DiskInfo> {
  return explained(path, async () => {
    const file = await openHostFile(path, 'look');
    const image = await openImage(file, nodeDiskHost('look'), format);
    const { size } = image.device;
    await image.device.close();
    const { size: fileBytes, blocks } = await stat(path);
    const { format: is, backing, backingFormats } = image;
    return { file: file.name, format: is, size, fileBytes, hostBytes: blocks * 512, backing, backingFormats };
  });
}

export interface NewDisk {
  format: ImageFormat;
  /** Bytes; by default the backing file's. */
  size?: number | undefined;
  backing?: string | undefined;
  /** Of the backing file; by default its content tells, which a guest's raw disk could have made look like another. */
  backingFormat?: ImageFormat | undefined;
  isFixed?: boolean | undefined;
}

/** Makes an image. A backing file is named relative to the image where they are in one folder or below it. */
export async function createDisk(path: string, disk: NewDisk): Promise<DiskInfo> {
  let backing: CreateOptions['backing'];
  let { size } = disk;
  if (disk.backing !== undefined) {
    const below = await diskInfo(disk.backing, disk.backingFormat);
    const name = relative(dirname(resolve(path)), below.file);
    backing = {
      name: name.startsWith('..') ? below.file : name,
      format: below.format,
      identity: await identityOf(below.file, below.format),
    };
    size ??= below.size;
    if (disk.format !== 'qcow2' && size !== below.size)
      throw new Failure('wrong', `A ${disk.format} image over another has its size: ${below.size} bytes.`);
  }
  if (size === undefined) throw new Failure('wrong', 'A disk needs a SIZE, such as 20G, or a --backing file.');
  if (size > DISK_BYTES_MAX) throw new Failure('wrong', 'A disk has 64 TiB at most.');
  const options = { format: disk.format, size, isFixed: disk.isFixed === true, ...(backing ? { backing } : {}) };
  await makeFile(path, async (file) => {
    await createImage(file, { ...options, random: randomBytes(32) });
  });
  return diskInfo(path, disk.format);
}

async function identityOf(path: string, format: ImageFormat): Promise<string | undefined> {
  return explained(path, async () => {
    const file = await openHostFile(path, 'look');
    try {
      return await readIdentity(file, nodeDiskHost('look'), format);
    } finally {
      await file.close();
    }
  });
}

/** Makes the home's folder `disks` for a path in it; any other folder is a person's own to make. */
export async function makeDisksFolder(home: string, path: string): Promise<void> {
  const folder = dirname(resolve(path));
  if (folder === join(resolve(home), 'disks')) await mkdir(folder, { recursive: true });
}

/**
 * Makes disks and then does what they are made for; where any of it fails, the disks are removed again. The folder
 * `disks` of the home is made with the first disk in it.
 */
export async function withNewDisks<Result>(
  home: string,
  disks: readonly { file: string; format: ImageFormat; size: number }[],
  act: () => Result | Promise<Result>,
): Promise<Result> {
  const made: string[] = [];
  try {
    for (const { file, format, size } of disks) {
      const path = resolve(file);
      await makeDisksFolder(home, path);
      await createDisk(path, { format, size });
      made.push(path);
    }
    return await act();
  } catch (error) {
    for (const path of made) await rm(path, { force: true });
    throw error;
  }
}

export type DiskCheck = Findings & { file: string; format: ImageFormat; size: number };

export async function checkDisk(path: string, repair: boolean, format?: ImageFormat): Promise<DiskCheck> {
  return explained(path, async () => {
    const file = await openHostFile(path, repair ? 'write' : 'read');
    try {
      return { file: file.name, ...(await checkImage(file, nodeDiskHost(), repair, format)) };
    } finally {
      await file.close();
    }
  });
}

/** Copies a disk with all that shows through from its backing files into a new image. */
export async function convertDisk(
  from: string,
  to: string,
  disk: { from?: ImageFormat | undefined; format: ImageFormat; isFixed?: boolean | undefined },
  progress: (part: number) => void,
): Promise<DiskInfo> {
  await explained(from, async () => {
    const source = await openImage(await openHostFile(from, 'read'), nodeDiskHost(), disk.from);
    try {
      const { size } = source.device;
      await makeFile(to, async (file) => {
        const options = { format: disk.format, size, isFixed: disk.isFixed === true };
        await createImage(file, { ...options, random: randomBytes(32) });
        const target = await openImage(unclosed(file), nodeDiskHost(), disk.format);
        await copyDisk(source.device, target.device, (done) => progress(done / size));
        await target.device.close();
      });
    } finally {
      await source.device.close();
    }
  });
  return diskInfo(to, disk.format);
}

/** Makes a file, which is removed again unless `fill` ends well; also where the command is interrupted. */
async function makeFile(path: string, fill: (file: HostFile) => Promise<void>): Promise<void> {
  const file = await openHostFile(path, 'create');
  const interrupted = Promise.withResolvers<never>();
  const interrupt = (): void => interrupted.reject(new Failure('failed', `Interrupted: ${file.name} is removed.`));
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    await Promise.race([explained(path, () => fill(file)), interrupted.promise]);
    await file.close();
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

/** A file that a device does not close with itself. */
function unclosed(file: HostFile): HostFile {
  return { ...bound(file), close: async () => {} };
}

/** Turns what images and the host throw into failures of one sentence. */
async function explained<Result>(path: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (error instanceof DiskError) throw new Failure('failed', error.message, { cause: error });
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new Failure('failed', explainFileError(error, `Cannot use ${basename(path)}`), { cause: error });
  }
}

/** The format a file's name suggests. */
export function formatByName(path: string): ImageFormat | undefined {
  const formats: Record<string, ImageFormat> = { '.img': 'raw', '.raw': 'raw', '.vpc': 'vhd' };
  const ending = /\.\w+$/.exec(path)?.[0].toLowerCase() ?? '';
  const named = ['.qcow2', '.vdi', '.vmdk', '.vhd'].includes(ending) ? (ending.slice(1) as ImageFormat) : undefined;
  return named ?? formats[ending];
}
