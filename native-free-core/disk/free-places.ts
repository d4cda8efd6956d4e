// The places in a file that blocks of the disk have left: new blocks are put there before the file grows.
// Owns the list, by runs of places that follow each other.
// Never says when a place is free: the image does, behind its barrier.

/** A run of places. `at` is the first one's data, `unit` what they are apart (bytes). */
interface Run {
  at: number;
  units: number;
  unit: number;
  /** Whether they read as zeros. */
  isClean: boolean;
}

/** Runs remembered at most. What is forgotten is found again when the image is next opened. */
const RUNS_MAX = 65536;

export class FreePlaces {
  readonly #runs: Run[] = [];

  /** What lies between the places of a map, which are sorted; what is outside of them may hold something else. */
  static between(places: readonly number[], { prefix, blockSize }: { prefix: number; blockSize: number }): FreePlaces {
    const free = new FreePlaces();
    const unit = prefix + blockSize;
    let from = Number.POSITIVE_INFINITY;
    for (const at of places) {
      const units = Math.floor((at - prefix - from) / unit);
      if (units > 0) free.add({ at: from + prefix, units, unit, isClean: false });
      from = at + blockSize;
    }
    return free;
  }

  add(run: Run): void {
    if (this.#runs.length < RUNS_MAX) this.#runs.push({ ...run });
  }

  /** The next place to use, if there is one. */
  next(): { at: number; isClean: boolean } | undefined {
    const run = this.#runs.at(-1);
    return run && { at: run.at, isClean: run.isClean };
  }

  /** The next place was written: it does not read as zeros any more. */
  soil(): void {
    const run = this.#runs.at(-1);
    if (!run?.isClean) return;
    // Only the first of the run.
    run.at += run.unit;
    if (--run.units === 0) this.#runs.pop();
    this.#runs.push({ at: run.at - run.unit, units: 1, unit: run.unit, isClean: false });
  }

  /** The next place is used now. */
  take(): void {
    const run = this.#runs.at(-1);
    if (!run) return;
    run.at += run.unit;
    if (--run.units === 0) this.#runs.pop();
  }
}
