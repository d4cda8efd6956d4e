// Who uses a disk image: locks that the operating system holds, so that they end with their process however that ends.
// Owns the folder of lock files, which are empty, one for each image by device and inode, and are kept.
// Never waits: an image that is in use is told at once.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Failure } from '../contract.ts';
import { lockFolder } from '../files/folders.ts';

export interface ImageLock {
  release(): void;
}

/**
 * Takes a lock: `write` shares the image with nobody, `read` with other readers. Nothing portable in Node locks a file but
 * SQLite does: an empty database is its lock, which the system gives up when the process ends.
 */
export function lockImage(identity: string, name: string, mode: 'read' | 'write'): ImageLock {
  const folder = lockFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const database = new Database(join(folder, `${identity.replace(/[^0-9a-z]/gi, '-')}.lock`), { timeout: 0 });
  try {
    if (mode === 'write') database.exec('BEGIN EXCLUSIVE');
    else {
      database.exec('BEGIN');
      database.prepare('SELECT count(*) FROM sqlite_master').get();
    }
  } catch (error) {
    database.close();
    const { code } = error as { code?: string };
    if (code !== 'SQLITE_BUSY' && code !== 'SQLITE_LOCKED') throw error;
    throw new Failure('conflict', `${name} is in use: another guest or command of Trivisor has it open.`);
  }
  return { release: () => database.close() };
}
