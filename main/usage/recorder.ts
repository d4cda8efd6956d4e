// What guests and the host used, written down: samples as they come, points of rings into the inventory some at a time.
// Owns the points that are not written yet.
// Never measures, and never makes a guest wait: a disk that is full costs figures, and nobody their guest.

import {
  type GuestUsage,
  guestUsageFields,
  type HostUsage,
  hostUsageFields,
  type UsageRange,
  usageRanges,
} from '../contract.ts';
import { HOST_SUBJECT, type SubjectPoint, type UsageTable } from '../inventory/usage-table.ts';
import { Rings, type UsageSample } from './rings.ts';

/** Milliseconds between two writings: what a process that is killed loses. */
const WRITE_EVERY = 10_000;

/** Figures are told with so many digits, which are all that charts show. */
const DIGITS = 5;

const fieldsOf = (subject: string): readonly string[] =>
  subject === HOST_SUBJECT ? hostUsageFields : guestUsageFields;

export class UsageRecorder {
  readonly #table: UsageTable;
  readonly #now: () => number;
  readonly #rings = new Map<string, Rings>();
  /** By subject, ring and beginning: of a point that changed again, only the last is written. */
  readonly #unwritten = new Map<string, SubjectPoint>();
  #writtenAt = -Infinity;
  #hasFailed = false;

  /** `now`: the host's clock in milliseconds since the epoch. */
  constructor(table: UsageTable, now: () => number = Date.now) {
    this.#table = table;
    this.#now = now;
  }

  add(subject: string, sample: UsageSample): void {
    let rings = this.#rings.get(subject);
    const isNew = rings === undefined;
    if (!rings) {
      const { length } = fieldsOf(subject);
      rings = new Rings(
        fieldsOf(subject),
        (range, at) =>
          this.#unwritten.get(`${subject} ${range} ${at}`)?.point ?? this.#table.find(subject, range, at, length),
      );
      this.#rings.set(subject, rings);
    }
    const { points, wentBack } = rings.add(sample);
    // The clock may also have gone back while nobody looked.
    if (wentBack || isNew) {
      this.write();
      this.#table.forgetFrom(subject, sample.at);
    }
    for (const point of points) this.#unwritten.set(`${subject} ${point.range} ${point.at}`, { subject, point });
  }

  /** Writes if it is time to. Called after the samples of a second. */
  settle(): void {
    const now = this.#now();
    if (Math.abs(now - this.#writtenAt) >= WRITE_EVERY) this.write();
  }

  /** Writes what is not written yet, in one go. */
  write(): void {
    this.#writtenAt = this.#now();
    if (this.#unwritten.size === 0) return;
    try {
      this.#table.write(this.#unwritten.values());
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed)
        process.emitWarning(`What guests use could not be written down: ${(error as Error).message}`);
      this.#hasFailed = true;
    }
    this.#unwritten.clear();
  }

  /** A subject is gone, with what is written of it. */
  forget(subject: string): void {
    this.#rings.delete(subject);
    for (const [key, { subject: whose }] of this.#unwritten) if (whose === subject) this.#unwritten.delete(key);
  }

  /** A guest ends: the next run goes on in the same points. */
  end(subject: string): void {
    this.#rings.delete(subject);
  }

  guest(id: string, range: UsageRange, since: number): GuestUsage {
    return this.#read(id, guestUsageFields, range, since);
  }

  host(range: UsageRange, since: number): HostUsage {
    return this.#read(HOST_SUBJECT, hostUsageFields, range, since);
  }

  #read<Field extends string>(subject: string, fields: readonly Field[], range: UsageRange, since: number) {
    this.write();
    const now = this.#now();
    const points = this.#table.list(subject, range, since, now, fields.length);
    const values = Object.fromEntries(
      fields.map((field, index) => [field, points.map((point) => Number(point.values[index]!.toPrecision(DIGITS)))]),
    ) as Record<Field, number[]>;
    return {
      ...usageRanges[range],
      now,
      at: points.map(({ at }) => at),
      seconds: points.map(({ seconds }) => Number(seconds.toPrecision(DIGITS))),
      values,
    };
  }
}
