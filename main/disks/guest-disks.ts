// The files that a guest writes to: copied or linked for its clone, deleted with it.
// Owns the names of the new files, and removes them where a clone comes to nothing.
// Never touches what a guest only reads, nor what another guest needs.

import { constants, existsSync } from 'node:fs';
import { copyFile, realpath, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { ImageFormat } from '../../native-free-core/disk/images.ts';
import { type DiskSettings, Failure, type FloppySettings, type GuestSettings } from '../contract.ts';
import { explainFileError, makeFolder } from '../files/folders.ts';
import { convertDisk, createDisk, diskInfo, formatByName } from './disks.ts';
import { backingPath, openHostFile } from './host-file.ts';

/** How many names of a file are tried before it is given up. */
const NAMES_MAX = 1000;

export interface ClonedDisks {
  /** Settings of the clone. */
  clone: Pick<GuestSettings, 'disks' | 'floppies'>;
  /** What the original's disks are from now on. */
  original: DiskSettings[];
  /** Removes the files that were made. */
  undo(): Promise<void>;
}

const isWritten = (drive: DiskSettings | FloppySettings | null): drive is DiskSettings | FloppySettings =>
  drive !== null && !drive.readOnly && !drive.snapshot;

const formatOf = ({ file, format }: DiskSettings): ImageFormat => format ?? formatByName(file) ?? 'raw';

/** A file of a folder that is not there yet: named after `stem`, with a number where that is taken. */
function freeFile(folder: string, stem: string, ending: string): string {
  for (let number = 1; number <= NAMES_MAX; number++) {
    const file = join(folder, `${stem}${number === 1 ? '' : `-${number}`}${ending}`);
    if (!existsSync(file)) return file;
  }
  throw new Failure('failed', `There are ${NAMES_MAX} files named like ${stem}${ending} already.`);
}

/**
 * Makes the disks of a guest's clone, beside the original's or in `folder`: copies, or with `isLinked` images over the original's. What lies
 * below several images must not change, so the original then goes on in an image over its disk as well. Floppies are copied.
 */
export async function cloneDisks(
  settings: GuestSettings,
  name: string,
  isLinked: boolean,
  folder: string | null = null,
): Promise<ClonedDisks> {
  const made: string[] = [];
  if (folder !== null) makeFolder(folder, 'folder of disks');
  const placeOf = (file: string): string => folder ?? dirname(file);
  const undo = async (): Promise<void> => {
    for (const file of made) await rm(file, { force: true });
  };
  const overlay = async (disk: DiskSettings, file: string): Promise<DiskSettings> => {
    await createDisk(file, { format: 'qcow2', backing: disk.file, backingFormat: formatOf(disk) });
    made.push(file);
    return { ...disk, file, format: 'qcow2' };
  };
  const disks: DiskSettings[] = [];
  const original: DiskSettings[] = [];
  const floppies: GuestSettings['floppies'] = [];
  try {
    for (const disk of settings.disks) {
      if (!isWritten(disk)) {
        disks.push(disk);
        original.push(disk);
      } else if (isLinked) {
        // Nobody else may be writing to it.
        const base = await openHostFile(disk.file, 'read');
        try {
          disks.push(await overlay(disk, freeFile(placeOf(disk.file), name, '.qcow2')));
          const stem = basename(disk.file, extname(disk.file));
          original.push(await overlay(disk, freeFile(placeOf(disk.file), stem, '.qcow2')));
        } finally {
          await base.close();
        }
      } else {
        const file = freeFile(placeOf(disk.file), name, extname(disk.file));
        const format = formatOf(disk);
        await convertDisk(disk.file, file, { from: format, format }, () => {});
        made.push(file);
        disks.push({ ...disk, file, format });
        original.push(disk);
      }
    }
    for (const floppy of settings.floppies) {
      if (!isWritten(floppy)) {
        floppies.push(floppy);
        continue;
      }
      const file = freeFile(dirname(floppy.file), name, extname(floppy.file));
      await copied(floppy.file, file);
      made.push(file);
      floppies.push({ ...floppy, file });
    }
  } catch (error) {
    await undo();
    throw error;
  }
  return { clone: { disks, floppies }, original, undo };
}

async function copied(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL);
  } catch (error) {
    throw new Failure('failed', explainFileError(error, `Cannot copy ${from}`), { cause: error });
  }
}

/** Files that could be deleted, and those that could not, each with the reason. */
export interface DeletedDisks {
  deleted: string[];
  kept: { file: string; reason: string }[];
}

/**
 * Deletes the disks and floppies that a guest wrote to with any of these settings. Backing files stay, and so does what one of
 * `others` needs.
 */
export async function deleteDisks(
  settings: readonly GuestSettings[],
  others: readonly GuestSettings[],
): Promise<DeletedDisks> {
  const result: DeletedDisks = { deleted: [], kept: [] };
  const drives = settings.flatMap(({ disks, floppies }) => [...disks, ...floppies].filter(isWritten));
  for (const file of new Set(drives.map((drive) => drive.file))) {
    if (!existsSync(file)) continue;
    try {
      const user = await userOf(file, others);
      if (user !== undefined) {
        result.kept.push({ file, reason: `${user} needs it.` });
        continue;
      }
      // Locked, so that nothing that is in use is deleted.
      const opened = await openHostFile(file, 'write');
      try {
        await rm(file);
      } finally {
        await opened.close();
      }
      result.deleted.push(file);
    } catch (error) {
      const reason = error instanceof Failure ? error.message : explainFileError(error, 'It cannot be deleted');
      result.kept.push({ file, reason });
    }
  }
  return result;
}

/** Which of these guests has a file as a drive, or below one. */
async function userOf(file: string, others: readonly GuestSettings[]): Promise<string | undefined> {
  const wanted = await realpath(file);
  const isSame = async (path: string): Promise<boolean> => (await realpath(path).catch(() => path)) === wanted;
  for (const { name, disks, floppies, cdrom } of others) {
    const files = [...disks, ...floppies].flatMap((drive) => (drive ? [drive.file] : []));
    for (const each of cdrom === null ? files : [...files, cdrom]) if (await isSame(each)) return name;
    for (const disk of disks) {
      // An image that cannot be read any more is above nothing.
      const below = await diskInfo(disk.file, formatOf(disk)).then(
        ({ backing }) => backing,
        () => [],
      );
      let image = disk.file;
      for (const each of below) {
        image = backingPath(image, each);
        if (await isSame(image)) return name;
      }
    }
  }
  return undefined;
}

/** Throws where another guest writes to a disk that a linked clone would be made over. */
export async function checkUnshared(settings: GuestSettings, others: readonly GuestSettings[]): Promise<void> {
  for (const disk of settings.disks.filter(isWritten)) {
    const user = await userOf(disk.file, others);
    if (user !== undefined)
      throw new Failure('conflict', `${disk.file} is also a disk of ${user}: what lies below a clone must not change.`);
  }
}
