// What is in a folder of the host, for a front end that lets a person choose a file there.
// Owns the shape and order of a listing.
// Never opens a file: names, kinds and sizes are all it tells.

import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Failure, type FolderListing } from '../contract.ts';
import { explainFileError } from './folders.ts';

/** The most entries a listing tells; beyond them a person types the path. */
const ENTRIES_MAX = 2000;

/** Lists a folder, the person's own by default. Throws a {@link Failure} with one sentence if it cannot be read. */
export async function listFolder(folder: string | null): Promise<FolderListing> {
  const path = resolve(folder ?? homedir());
  try {
    const names = (await readdir(path, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'));
    const entries = await Promise.all(names.slice(0, ENTRIES_MAX).map(({ name }) => entry(path, name)));
    const parent = dirname(path);
    return {
      folder: path,
      parent: parent === path ? null : parent,
      entries: entries.filter((found) => found !== null).sort(byKindAndName),
      isWhole: names.length <= ENTRIES_MAX,
    };
  } catch (error) {
    throw new Failure('failed', explainFileError(error, `The folder ${path} cannot be listed`), { cause: error });
  }
}

/** Null for what is neither a file nor a folder, and for a link that leads nowhere: neither can be chosen. */
async function entry(folder: string, name: string): Promise<FolderListing['entries'][number] | null> {
  const path = join(folder, name);
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return { name, path, kind: 'folder', bytes: 0 };
  return found?.isFile() ? { name, path, kind: 'file', bytes: found.size } : null;
}

function byKindAndName(a: FolderListing['entries'][number], b: FolderListing['entries'][number]): number {
  return a.kind === b.kind ? a.name.localeCompare(b.name, undefined, { numeric: true }) : a.kind === 'folder' ? -1 : 1;
}
