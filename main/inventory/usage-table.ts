// What guests and the host used, in the inventory: a row for each place of each ring, which the next turn overwrites.
// Owns every statement on the table, and how a point's figures are bytes.
// Never keeps more of a subject than its rings have places.

import type Database from 'better-sqlite3';
import { type UsageRange, usageRangeNames, usageRanges } from '../contract.ts';
import { slotOf, type UsagePoint } from '../usage/rings.ts';

/** A point, and whose it is. */
export interface SubjectPoint {
  /** A guest's id, or {@link HOST_SUBJECT}. */
  subject: string;
  point: UsagePoint;
}

/** The host, among the ids of guests. */
export const HOST_SUBJECT = 'host';

interface Row {
  at: number;
  seconds: number;
  figures: Buffer;
}

export class UsageTable {
  readonly #database: Database.Database;
  readonly #put: Database.Statement<[string, number, number, number, number, Buffer]>;
  readonly #get: Database.Statement<[string, number, number, number], Row>;
  readonly #list: Database.Statement<[string, number, number, number], Row>;
  readonly #forgetFrom: Database.Statement<[string, number]>;

  constructor(database: Database.Database) {
    this.#database = database;
    this.#put = database.prepare(
      'INSERT OR REPLACE INTO usage (subject, ring, slot, at, seconds, figures) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#get = database.prepare(
      'SELECT at, seconds, figures FROM usage WHERE subject = ? AND ring = ? AND slot = ? AND at = ?',
    );
    this.#list = database.prepare(
      'SELECT at, seconds, figures FROM usage WHERE subject = ? AND ring = ? AND at >= ? AND at <= ? ORDER BY at',
    );
    this.#forgetFrom = database.prepare('DELETE FROM usage WHERE subject = ? AND at >= ?');
  }

  /** Writes points, all or none. */
  write(points: Iterable<SubjectPoint>): void {
    this.#database.transaction(() => {
      for (const { subject, point } of points) {
        const { range, at, seconds, values } = point;
        const figures = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
        this.#put.run(subject, usageRangeNames.indexOf(range), slotOf(range, at), at, seconds, figures);
      }
    })();
  }

  /** The point of a ring that begins at a moment. `length`: how many figures it is to have; those that were not known yet are 0. */
  find(subject: string, range: UsageRange, at: number, length: number): UsagePoint | undefined {
    const row = this.#get.get(subject, usageRangeNames.indexOf(range), slotOf(range, at), at);
    return row && pointOf(range, row, length);
  }

  /** Points of a ring that begin within its span before `now`, at `since` or later, the oldest first. */
  list(subject: string, range: UsageRange, since: number, now: number, length: number): UsagePoint[] {
    const from = Math.max(since, now - usageRanges[range].span * 1000);
    return this.#list.all(subject, usageRangeNames.indexOf(range), from, now).map((row) => pointOf(range, row, length));
  }

  /** Forgets what begins at a moment or later: the clock has gone back, and that has not been yet. */
  forgetFrom(subject: string, at: number): void {
    this.#forgetFrom.run(subject, at);
  }
}

function pointOf(range: UsageRange, { at, seconds, figures }: Row, length: number): UsagePoint {
  const values = new Float32Array(length);
  const bytes = figures.subarray(0, Math.min(figures.length - (figures.length % 4), length * 4));
  new Uint8Array(values.buffer).set(bytes);
  return { range, at, seconds, values };
}
