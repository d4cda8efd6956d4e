// What an owner of a home finds of the one before, if that one was killed: runs without an end, files without an owner.
// Owns the judgement which files those are.
// Never touches a file that a guest, a snapshot or another living process may still want.

import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../files/folders.ts';
import { throwawayFolder } from '../guests/throwaway-disks.ts';
import type { Inventory } from '../inventory/inventory.ts';

/** An act of a process that is no owner, such as a snapshot from the command line, is over by then (milliseconds). */
const ACT_PATIENCE = 10 * 60_000;

/** Marks a folder or file of work under way: which process it belongs to. */
export const workName = (kind: string, id: string): string => `.${kind}-${process.pid}-${id}`;

export interface Recovered {
  /** Guests that ran when the last owner ended without telling. */
  crashed: { id: string; name: string }[];
  /** Files and folders that were left and are gone now. */
  swept: string[];
}

/** For the owner of a home alone, before it serves anybody. */
export function recover(home: string, inventory: Inventory): Recovered {
  const crashed = inventory.closeLostRuns();
  const swept: string[] = [];
  const sweep = (file: string): void => {
    rmSync(file, { recursive: true, force: true });
    swept.push(file);
  };
  // Guests run in their home's owner alone, so whatever they wrote in passing is nobody's.
  for (const file of entries(throwawayFolder(home))) sweep(file);
  const states = entries(join(home, 'states'));
  for (const file of states) if (file.endsWith('.partial')) sweep(file);
  const kept = new Set<string>();
  for (const { id, saved } of inventory.list()) if (saved) kept.add(`${id}.state`);
  const snapshots = inventory.snapshots.list();
  for (const { id, saved } of snapshots) if (saved) kept.add(`${id}.state`);
  for (const file of states) if (file.endsWith('.state') && !kept.has(nameOf(file)) && isOld(file)) sweep(file);
  const guests = new Set(inventory.list().map(({ id }) => id));
  for (const folder of entries(join(home, 'snapshots')))
    if (!guests.has(nameOf(folder)) && isOld(folder)) sweep(folder);
  for (const file of entries(join(home, 'disks'))) {
    const pid = /^\.[a-z]+-(\d+)-/.exec(nameOf(file))?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) sweep(file);
  }
  return { crashed, swept };
}

const nameOf = (file: string): string => file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1);

function entries(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

const isOld = (file: string): boolean => Date.now() - statSync(file).mtimeMs > ACT_PATIENCE;
