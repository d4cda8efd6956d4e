// The snapshots of guests in the inventory: a tree of settings, each with whatever belongs to it.
// Owns every statement on their table, and that guest and snapshots change together.
// Never touches a file.

import type Database from 'better-sqlite3';
import { GuestSettings } from '../contract.ts';
import { SavedRecord } from '../saved-states/saved-states.ts';

export interface SnapshotRecord {
  id: string;
  guest: string;
  /** The one that this one was taken after; null: none was before. */
  parent: string | null;
  name: string;
  createdAt: number;
  /** The guest's when it was taken: its disks are images that nobody changes any more. */
  settings: GuestSettings;
  /** Its saved state; null: the guest was off. */
  saved: SavedRecord | null;
}

/** What a guest is from a moment on. */
export interface GuestPosition {
  settings: GuestSettings;
  saved: SavedRecord | null;
  /** The snapshot it was taken or restored to last. */
  snapshot: string | null;
}

interface Row {
  id: string;
  guest_id: string;
  parent: string | null;
  name: string;
  created_at: number;
  settings: string;
  saved: string | null;
}

export class SnapshotTable {
  readonly #database: Database.Database;

  constructor(database: Database.Database) {
    this.#database = database;
  }

  /** All of a guest, the oldest first; of every guest where none is named. */
  list(guest?: string): SnapshotRecord[] {
    const rows = this.#database
      .prepare<{ guest: string | null }, Row>(
        'SELECT * FROM snapshots WHERE @guest IS NULL OR guest_id = @guest ORDER BY created_at, id',
      )
      .all({ guest: guest ?? null });
    return rows.map((row) => ({
      ...{ id: row.id, guest: row.guest_id, parent: row.parent, name: row.name, createdAt: row.created_at },
      settings: GuestSettings.parse(JSON.parse(row.settings)),
      saved: row.saved === null ? null : SavedRecord.parse(JSON.parse(row.saved)),
    }));
  }

  /** How many a guest has. */
  count(guest: string): number {
    const row = this.#database
      .prepare<[string], { count: number }>('SELECT count(*) AS count FROM snapshots WHERE guest_id = ?')
      .get(guest);
    return row?.count ?? 0;
  }

  /** The snapshot that a guest is right behind; null: none. */
  current(guest: string): string | null {
    const row = this.#database
      .prepare<[string], { snapshot: string | null }>('SELECT snapshot FROM guests WHERE id = ?')
      .get(guest);
    return row?.snapshot ?? null;
  }

  /** Adds a snapshot, behind which the guest is from then on. */
  add(snapshot: SnapshotRecord, position: GuestPosition): void {
    const { id, guest, parent, name, createdAt, settings, saved } = snapshot;
    this.#database.transaction(() => {
      this.#database
        .prepare(
          'INSERT INTO snapshots (id, guest_id, parent, name, created_at, settings, saved) VALUES (?, ?, ?, ?, ?, ?, ?)',
        )
        .run(id, guest, parent, name, createdAt, JSON.stringify(settings), saved && JSON.stringify(saved));
      this.move(guest, position);
    })();
  }

  /** Makes a guest something else. */
  move(guest: string, { settings, saved, snapshot }: GuestPosition): void {
    this.#database
      .prepare('UPDATE guests SET settings = ?, saved = ?, snapshot = ? WHERE id = ?')
      .run(JSON.stringify(settings), saved && JSON.stringify(saved), snapshot, guest);
  }

  /** Removes a snapshot: what came after it comes after its parent now. */
  remove({ id, guest, parent }: SnapshotRecord): void {
    this.#database.transaction(() => {
      this.#database.prepare('UPDATE snapshots SET parent = ? WHERE parent = ?').run(parent, id);
      this.#database.prepare('UPDATE guests SET snapshot = ? WHERE id = ? AND snapshot = ?').run(parent, guest, id);
      this.#database.prepare('DELETE FROM snapshots WHERE id = ?').run(id);
    })();
  }
}
