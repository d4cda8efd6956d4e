// One sample a second of every guest that is in memory, and of the host: told as events, and written down.
// Owns the pace, and when there is nothing to sample.
// Never changes a guest.

import type { EventName, EventPayload, GuestUsage, HostReserve, HostUsage, UsageRange } from '../contract.ts';
import type { RunningGuest } from '../guests/running-guest.ts';
import { HOST_SUBJECT, type UsageTable } from '../inventory/usage-table.ts';
import { type GuestSecond, guestFigures, HostMeter } from './figures.ts';
import { UsageRecorder } from './recorder.ts';

/** Milliseconds between two samples. */
const SAMPLE_EVERY = 1000;
/** Milliseconds for which the host is sampled without guests, since somebody asked last. */
const WATCHED_FOR = 30_000;

export interface SamplerOptions {
  table: UsageTable;
  /** The runs there are, by their guests; those that have ended among them. */
  runs(): Iterable<[string, RunningGuest]>;
  reserve(): HostReserve;
  emit(name: EventName, payload: EventPayload<'guest.counters'>): void;
}

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #recorder: UsageRecorder;
  readonly #host = new HostMeter();
  #timer: NodeJS.Timeout | undefined;
  #askedAt = -Infinity;

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#recorder = new UsageRecorder(options.table);
  }

  /** Samples from now on, while there is anything to sample. */
  begin(): void {
    if (this.#timer !== undefined) return;
    // What went by before is nobody's.
    this.#host.look([], this.#options.reserve());
    this.#timer = setInterval(() => this.#tick(), SAMPLE_EVERY);
    // The guests' threads keep a process alive, not this.
    this.#timer.unref();
  }

  /** Ends, with everything written down. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#recorder.write();
  }

  /** A guest is removed. */
  forget(id: string): void {
    this.#recorder.forget(id);
  }

  guest(id: string, range: UsageRange, since: number): GuestUsage {
    return this.#recorder.guest(id, range, since);
  }

  /** The host is sampled for a while from now on, too. */
  host(range: UsageRange, since: number): HostUsage {
    this.#askedAt = performance.now();
    this.begin();
    return this.#recorder.host(range, since);
  }

  #tick(): void {
    const guests: GuestSecond[] = [];
    for (const [id, run] of this.#options.runs()) {
      if (run.end !== null) continue;
      const sample = run.history.sample();
      const before = run.history.samples.at(-2);
      const second = { sample, before, configuredMiB: run.settings.memoryMiB };
      guests.push(second);
      this.#recorder.add(id, { at: sample.at, seconds: sample.seconds, values: guestFigures(second) });
      this.#options.emit('guest.counters', { id, sample });
    }
    this.#recorder.add(HOST_SUBJECT, { at: Date.now(), ...this.#host.look(guests, this.#options.reserve()) });
    this.#recorder.settle();
    if (guests.length === 0 && performance.now() - this.#askedAt > WATCHED_FOR) this.end();
  }
}
