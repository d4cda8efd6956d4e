// The saved states of a home's guests: where their files are, and whether the disks are still those they were saved with.
// Owns the folder of the files.
// Never reads a state, and never knows what is in the inventory.

import { statSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure, type GuestSettings } from '../contract.ts';
import { makeFolder } from '../files/folders.ts';

/** A file behind a drive, as it was when the guest was saved: a state whose disks have changed since would damage them. */
const DriveFile = z.object({ file: z.string(), bytes: z.number(), changedAt: z.number() });

/** What is known of a saved state beside its file. */
export const SavedRecord = z.object({
  /** Milliseconds since the Unix epoch. */
  at: z.number(),
  /** Of the file. */
  bytes: z.number(),
  drives: z.array(DriveFile),
});
export type SavedRecord = z.output<typeof SavedRecord>;

export class SavedStates {
  readonly #folder: string;

  constructor(home: string) {
    this.#folder = join(home, 'states');
  }

  /** The file for a guest's state, in a folder that is there. Throws an Error with one sentence if that cannot be made. */
  file(id: string): string {
    makeFolder(this.#folder, 'folder of saved states');
    return join(this.#folder, `${id}.state`);
  }

  /** What is to be known of a state that was just written, of a guest that is off. */
  async record(id: string, settings: GuestSettings): Promise<SavedRecord> {
    const { size } = await stat(this.file(id));
    return { at: Date.now(), bytes: size, drives: driveFiles(settings).map((file) => look(file)) };
  }

  /** Throws a {@link Failure} with one sentence where a guest cannot go on: its state's file is gone, or a drive's has changed. */
  check(id: string, name: string, { drives }: SavedRecord): void {
    const way = `discard the saved state to start ${name} anew`;
    try {
      statSync(this.file(id));
    } catch {
      throw new Failure('conflict', `The file of ${name}’s saved state is gone: ${way}.`);
    }
    for (const { file, bytes, changedAt } of drives) {
      let now: z.output<typeof DriveFile>;
      try {
        now = look(file);
      } catch {
        throw new Failure('conflict', `${file} is gone since ${name} was saved: bring it back, or ${way}.`);
      }
      if (now.bytes !== bytes || now.changedAt !== changedAt)
        throw new Failure(
          'conflict',
          `${file} has changed since ${name} was saved, and going on would damage what is on it: ${way}.`,
        );
    }
  }

  async remove(id: string): Promise<void> {
    await rm(this.file(id), { force: true });
  }
}

function driveFiles({ disks, cdrom, floppies }: GuestSettings): string[] {
  const files = [...disks.map(({ file }) => file), cdrom, ...floppies.map((floppy) => floppy?.file ?? null)];
  return files.filter((file) => file !== null);
}

function look(file: string): z.output<typeof DriveFile> {
  const { size, mtimeMs } = statSync(file);
  return { file, bytes: size, changedAt: mtimeMs };
}
