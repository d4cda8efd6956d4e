// Where Trivisor keeps things on this host: its data (the home), locks, and what it can fetch again (the cache).
// Owns the choice of folder on each platform, and the folder lock.
// Never creates anything but what it was asked for.

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The folder of the inventory: `--home`, else TRIVISOR_HOME, else the platform's folder for user data. */
export function homeFolder(given?: string): string {
  return resolve(given ?? setting('TRIVISOR_HOME') ?? join(dataRoot(), 'trivisor'));
}

/** The folder for what can be fetched again: TRIVISOR_CACHE, else the platform's cache folder. */
export function cacheFolder(): string {
  return resolve(setting('TRIVISOR_CACHE') ?? join(cacheRoot(), 'trivisor'));
}

/** The folder of the locks on disk images: the same for every home of a user, since images are not a home's. */
export function lockFolder(): string {
  return resolve(setting('TRIVISOR_LOCKS') ?? join(dataRoot(), 'trivisor', 'locks'));
}

/** An environment variable; empty counts as unset. */
function setting(name: string): string | undefined {
  return process.env[name] || undefined;
}

function dataRoot(): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support');
  if (process.platform === 'win32') return setting('LOCALAPPDATA') ?? join(homedir(), 'AppData', 'Local');
  return setting('XDG_DATA_HOME') ?? join(homedir(), '.local', 'share');
}

function cacheRoot(): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches');
  if (process.platform === 'win32') return join(dataRoot(), 'cache');
  return setting('XDG_CACHE_HOME') ?? join(homedir(), '.cache');
}

/**
 * Runs `work` while no other process on this host holds the same lock file. The lock of a process that died is taken
 * over. Waits up to `patience` milliseconds, then throws.
 */
export async function withLock<Result>(
  file: string,
  work: () => Promise<Result>,
  patience = 15 * 60_000,
): Promise<Result> {
  const deadline = Date.now() + patience;
  while (!takeLock(file)) {
    if (Date.now() > deadline) throw new Error(`Another process has held ${file} for too long.`);
    await sleep(200);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** Takes the lock and answers true, or answers false if a living process holds it. */
function takeLock(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid}\n`, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (holderLives(file)) return false;
  // Taken aside first: between the look and the removal another process may have taken the lock over.
  const aside = `${file}.${process.pid}.stale`;
  try {
    renameSync(file, aside);
    if (holderLives(aside)) linkSync(aside, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  }
  rmSync(aside, { force: true });
  return false;
}

/** Whether a lock file names a living process. A file without a number is one whose holder is about to write it. */
function holderLives(file: string): boolean {
  try {
    const holder = Number.parseInt(readFileSync(file, 'utf8'), 10);
    return Number.isNaN(holder) || isAlive(holder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

/** Whether a process of this host exists; one that we may not signal exists too. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The one sentence for a file-system error that a person can act on, such as `EACCES` at a home folder. */
export function explainFileError(error: unknown, doing: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const reasons: Record<string, string> = {
    EACCES: 'permission is denied',
    EPERM: 'permission is denied',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
    ENOENT: 'there is no such file or folder',
    ENOTDIR: 'a part of the path is a file, not a folder',
    EISDIR: 'it is a folder',
    EEXIST: 'a file of that name is in the way',
  };
  return `${doing}: ${(code && reasons[code]) ?? message}.`;
}

/** Creates a folder and those above it. Throws an Error with one sentence if that cannot be. */
export function makeFolder(folder: string, what: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot create the ${what} ${folder}`), { cause: error });
  }
}
