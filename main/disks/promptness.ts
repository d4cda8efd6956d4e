// Whether a file of the host answers fast enough to be waited for: what is cached does, a disk that has to move does not.
// Owns the measurement, and how long nobody waits after a file has been slow.
// Never touches a file.

/** Milliseconds that an act may take, and more for each byte (256 MB a second). */
const PATIENCE = 2;
const PATIENCE_A_BYTE = 1000 / 256e6;
/**
 * Points of a slow act, and those at which nobody waits any more; a prompt act takes one away. A single slow one may be the
 * host's scheduler: a thread that lost its processor in the midst of an act.
 */
const SLOW = 4;
const TOO_SLOW = 8;
/** Milliseconds for which nobody waits: at first, and at most after it was so again and again. */
const PAUSE = 50;
const PAUSE_MOST = 5000;

export class Promptness {
  readonly #now: () => number;
  #points = 0;
  #pause = PAUSE;
  #until = 0;
  #began = 0;

  /** `now`: milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether an act may be waited for. One that is begun is ended with {@link end}. */
  begin(): boolean {
    this.#began = this.#now();
    return this.#began >= this.#until;
  }

  /** The act that was begun has moved so many bytes. */
  end(bytes: number): void {
    const now = this.#now();
    if (now - this.#began <= PATIENCE + bytes * PATIENCE_A_BYTE) {
      if (this.#points > 0 && --this.#points === 0) this.#pause = PAUSE;
      return;
    }
    this.#points += SLOW;
    if (this.#points < TOO_SLOW) return;
    this.#until = now + this.#pause;
    this.#pause = Math.min(PAUSE_MOST, 2 * this.#pause);
    // The first that is slow again is enough.
    this.#points = TOO_SLOW - SLOW;
  }
}
