// What guests there are, and how their runs ended: one SQLite file in the home folder.
// Owns the database: its place, its migrations and every statement on it.
// Never knows whether a guest is in memory now.

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { type GuestEnd, GuestSettings, HostReserve, ImageView } from '../contract.ts';
import { makeFolder } from '../files/folders.ts';
import { SavedRecord } from '../saved-states/saved-states.ts';
import { migrations } from './migrations.ts';
import { SnapshotTable } from './snapshot-table.ts';
import { UsageTable } from './usage-table.ts';

export interface GuestRecord {
  id: string;
  settings: GuestSettings;
  createdAt: number;
  /** How the last run ended; null if there was none, or while it lasts. */
  lastEnd: GuestEnd | null;
  /** Null: the guest has no saved state to go on with. */
  saved: SavedRecord | null;
}

interface Row {
  id: string;
  settings: string;
  created_at: number;
  saved: string | null;
  ended_at: number | null;
  reason: GuestEnd['reason'] | null;
  detail: string | null;
}

/** Each guest with its newest run. */
const SELECT = `
  SELECT guests.id, guests.settings, guests.created_at, guests.saved, runs.ended_at, runs.reason, runs.detail
  FROM guests LEFT JOIN runs ON runs.id = (SELECT max(id) FROM runs WHERE guest_id = guests.id)`;

/** A home that cannot be used, in one sentence. */
export class HomeError extends Error {}

export class Inventory {
  readonly snapshots: SnapshotTable;
  readonly usage: UsageTable;
  readonly #database: Database.Database;

  private constructor(database: Database.Database) {
    this.#database = database;
    this.snapshots = new SnapshotTable(database);
    this.usage = new UsageTable(database);
  }

  /**
   * Opens the inventory of a home folder, creating both if they are not there, and brings it to this version. Several
   * processes may have it open. Throws a {@link HomeError} if the folder cannot be written, the file is no inventory,
   * or a newer version wrote it.
   */
  static open(home: string): Inventory {
    try {
      makeFolder(home, 'home folder');
    } catch (error) {
      throw new HomeError((error as Error).message, { cause: error });
    }
    const file = join(home, 'inventory.db');
    let database: Database.Database | undefined;
    try {
      database = new Database(file, { timeout: 5000 });
      const version = database.pragma('user_version', { simple: true }) as number;
      if (version > migrations.length)
        throw new HomeError(
          `The inventory ${file} was written by a newer version of Trivisor (its format is ${version}, the newest known here ${migrations.length}).`,
        );
      database.pragma('journal_mode = WAL');
      database.pragma('foreign_keys = ON');
      migrate(database);
      return new Inventory(database);
    } catch (error) {
      database?.close();
      if (error instanceof HomeError) throw error;
      throw new HomeError(explainDatabaseError(error, file), { cause: error });
    }
  }

  close(): void {
    this.#database.close();
  }

  list(): GuestRecord[] {
    const rows = this.#database.prepare<[], Row>(`${SELECT} ORDER BY guests.created_at, guests.name`).all();
    return rows.map(record);
  }

  /** By id, or else by name; upper and lower case are the same in names. */
  find(guest: string): GuestRecord | null {
    const row =
      this.#database.prepare<[string], Row>(`${SELECT} WHERE guests.id = ?`).get(guest) ??
      this.#database.prepare<[string], Row>(`${SELECT} WHERE guests.name = ?`).get(guest);
    return row ? record(row) : null;
  }

  /** Adds a guest. Answers null if its name is taken. */
  add(settings: GuestSettings): GuestRecord | null {
    const id = randomUUID();
    const createdAt = Date.now();
    const { changes } = this.#database
      .prepare('INSERT INTO guests (id, name, settings, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING')
      .run(id, settings.name, JSON.stringify(settings), createdAt);
    return changes === 0 ? null : { id, settings, createdAt, lastEnd: null, saved: null };
  }

  /** Replaces a guest's settings. Answers false if the name belongs to another guest. */
  set(id: string, settings: GuestSettings): boolean {
    const { changes } = this.#database
      .prepare('UPDATE OR IGNORE guests SET name = ?, settings = ? WHERE id = ?')
      .run(settings.name, JSON.stringify(settings), id);
    return changes > 0;
  }

  /** Notes the saved state of a guest, or that it has none any more. */
  setSaved(id: string, saved: SavedRecord | null): void {
    this.#database.prepare('UPDATE guests SET saved = ? WHERE id = ?').run(saved && JSON.stringify(saved), id);
  }

  /** Removes a guest and what is known of its runs. */
  remove(id: string): void {
    this.#database.prepare('DELETE FROM guests WHERE id = ?').run(id);
  }

  /** Notes that a run began. Answers its number. */
  runStarted(id: string, at: number): number {
    const result = this.#database.prepare('INSERT INTO runs (guest_id, started_at) VALUES (?, ?)').run(id, at);
    return Number(result.lastInsertRowid);
  }

  runEnded(run: number, end: GuestEnd): void {
    this.#database
      .prepare('UPDATE runs SET ended_at = ?, reason = ?, detail = ? WHERE id = ?')
      .run(end.at, end.reason, end.detail, run);
  }

  /** Images of OS-level guests, the oldest first. */
  images(): ImageView[] {
    const rows = this.#database
      .prepare<[], { image: string }>('SELECT image FROM images ORDER BY created_at, name')
      .all();
    return rows.map(({ image }) => ImageView.parse(JSON.parse(image)));
  }

  /** Adds an image whose name is free. */
  addImage(image: ImageView): void {
    this.#database
      .prepare('INSERT INTO images (name, id, image, created_at) VALUES (?, ?, ?, ?)')
      .run(image.name, image.id, JSON.stringify(image), image.createdAt);
  }

  removeImage(name: string): void {
    this.#database.prepare('DELETE FROM images WHERE name = ?').run(name);
  }

  /** MiB that guests with balloons may have together; null where nobody has said. */
  get memoryBudgetMiB(): number | null {
    return this.#setting('memoryBudgetMiB') as number | null;
  }

  set memoryBudgetMiB(budget: number | null) {
    this.#set('memoryBudgetMiB', budget);
  }

  /** What guests may not take of the host; null where nobody has said. */
  get reserve(): HostReserve | null {
    const value = this.#setting('reserve');
    return value === null ? null : HostReserve.parse(value);
  }

  set reserve(reserve: HostReserve | null) {
    this.#set('reserve', reserve);
  }

  #setting(name: string): unknown {
    const row = this.#database
      .prepare<[string], { value: string }>('SELECT value FROM home_settings WHERE name = ?')
      .get(name);
    return row ? JSON.parse(row.value) : null;
  }

  #set(name: string, value: unknown): void {
    if (value === null) this.#database.prepare('DELETE FROM home_settings WHERE name = ?').run(name);
    else
      this.#database
        .prepare('INSERT OR REPLACE INTO home_settings (name, value) VALUES (?, ?)')
        .run(name, JSON.stringify(value));
  }

  /**
   * For the owner of the home alone: runs that nobody saw end were cut off together with the process they ran in. Answers whose
   * they were.
   */
  closeLostRuns(): { id: string; name: string }[] {
    return this.#database.transaction(() => {
      const lost = this.#database
        .prepare<[], { id: string; name: string }>(
          'SELECT DISTINCT guests.id, guests.name FROM runs JOIN guests ON guests.id = runs.guest_id WHERE runs.ended_at IS NULL ORDER BY guests.name',
        )
        .all();
      this.#database
        .prepare(`UPDATE runs SET ended_at = ?, reason = 'crashed', detail = ? WHERE ended_at IS NULL`)
        .run(Date.now(), 'Trivisor itself ended while the guest was running.');
      return lost;
    })();
  }
}

function migrate(database: Database.Database): void {
  // Immediate: of two processes that open a new home at once, the second waits and then finds nothing left to do.
  database
    .transaction(() => {
      const version = database.pragma('user_version', { simple: true }) as number;
      for (const [index, step] of migrations.entries()) if (index >= version) database.exec(step);
      if (version < migrations.length) database.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

function record(row: Row): GuestRecord {
  const { ended_at: at, reason, detail } = row;
  return {
    id: row.id,
    settings: GuestSettings.parse(JSON.parse(row.settings)),
    createdAt: row.created_at,
    lastEnd: at === null || reason === null || detail === null ? null : { at, reason, detail },
    saved: row.saved === null ? null : SavedRecord.parse(JSON.parse(row.saved)),
  };
}

function explainDatabaseError(error: unknown, file: string): string {
  const { code, message } = error as { code?: string; message: string };
  if (code?.startsWith('SQLITE_NOTADB')) return `${file} is not an inventory of Trivisor.`;
  if (code?.startsWith('SQLITE_CANTOPEN') || code?.startsWith('SQLITE_READONLY'))
    return `Cannot write the inventory ${file}: permission is denied, or it is not a file.`;
  if (code?.startsWith('SQLITE_FULL')) return `Cannot write the inventory ${file}: the disk is full.`;
  if (code?.startsWith('SQLITE_BUSY')) return `Another process keeps the inventory ${file} locked.`;
  return `Cannot open the inventory ${file}: ${message}.`;
}
