// When each piece of a guest's sound is to be heard: a little after it came, and right behind the one before.
// Owns how far ahead of the moment sound may be put by.
// Never knows what plays it: times are seconds of any clock that does not go back.

/** Seconds that sound is put by when it begins: what network, threads and pages may be late without being heard. */
export const LEAD = 0.08;
/** Seconds ahead at which pieces are left out until no more than {@link LEAD} is put by: a guest's clock may be the faster. */
export const MOST = 0.3;

export class SoundSchedule {
  #next = 0;
  #isSkipping = false;

  /** When to begin a piece of this many seconds that came at `now`; null: leave it out. */
  place(now: number, seconds: number): number | null {
    const ahead = this.#next - now;
    // Nothing is left to follow on: the guest was silent, or late.
    if (ahead <= 0) {
      this.#isSkipping = false;
      this.#next = now + LEAD;
    } else if (ahead > MOST) this.#isSkipping = true;
    else if (ahead <= LEAD) this.#isSkipping = false;
    if (this.#isSkipping) return null;
    const at = this.#next;
    this.#next += seconds;
    return at;
  }

  /** Forgets what was put by. */
  reset(): void {
    this.#next = 0;
    this.#isSkipping = false;
  }
}
