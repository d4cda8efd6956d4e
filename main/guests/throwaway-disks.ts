// The disks of disposable guests: for each run overlays over what the guest writes to, which go when it ends.
// Owns the folder of the overlays.
// Never touches the disks below: they are only read while such a guest runs.

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, type GuestSettings } from '../contract.ts';
import { createDisk, formatByName } from '../disks/disks.ts';
import { explainFileError, makeFolder } from '../files/folders.ts';

/** Where the overlays of a home's guests are while they run. */
export const throwawayFolder = (home: string): string => join(home, 'throwaway');

export interface ThrowawayDisks {
  /** What the run is given: the same guest over disks of its own. */
  settings: GuestSettings;
  /** The run is over: all that it wrote goes. */
  discard(): Promise<void>;
}

/** Makes the disks of one run. Throws with one sentence, and leaves nothing, where that cannot be. */
export async function throwawayDisks(home: string, settings: GuestSettings): Promise<ThrowawayDisks> {
  const folder = join(throwawayFolder(home), randomUUID());
  const discard = (): Promise<void> => rm(folder, { recursive: true, force: true });
  makeFolder(folder, 'folder of throwaway disks');
  try {
    const disks: GuestSettings['disks'] = [];
    for (const disk of settings.disks) {
      if (disk.readOnly || disk.snapshot) {
        disks.push(disk);
        continue;
      }
      const file = join(folder, `${disks.length}.qcow2`);
      const format = disk.format ?? formatByName(disk.file) ?? 'raw';
      await createDisk(file, { format: 'qcow2', backing: disk.file, backingFormat: format });
      disks.push({ ...disk, file, format: 'qcow2' });
    }
    // Floppies are small: what is written to them is kept in memory.
    const floppies = settings.floppies.map((floppy) => floppy && { ...floppy, snapshot: true });
    return { settings: { ...settings, disks, floppies }, discard };
  } catch (error) {
    await discard();
    if (error instanceof Failure || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new Failure('failed', explainFileError(error, `Cannot make throwaway disks in ${folder}`), { cause: error });
  }
}
