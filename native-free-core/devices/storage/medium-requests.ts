// The requests that a drive makes of its medium: one counts at a time, earlier ones may still be under way.
// Owns which answer is waited for, and the bound on those that nobody waits for any more.
// Never knows what a request is about.

/**
 * Requests of one drive that may be under way at once. A guest that gives up commands and begins others over a medium that
 * does not answer would otherwise pile up requests without end.
 */
const UNDER_WAY_MAX = 8;

interface Request {
  work: () => Promise<void>;
  then: () => void;
  failed: () => void;
}

export class MediumRequests {
  /** Whether an answer is waited for. */
  isWaiting = false;
  private epoch = 0;
  private underWay = 0;
  /** The request that is waited for, if it could not begin yet. */
  private deferred: Request | null = null;

  /** Makes a request and waits for its answer; what was waited for before is dropped. */
  ask(work: () => Promise<void>, then: () => void, failed: () => void): void {
    this.epoch++;
    this.isWaiting = true;
    this.deferred = null;
    const request = { work, then, failed };
    if (this.underWay >= UNDER_WAY_MAX) this.deferred = request;
    else this.begin(request);
  }

  /** Waits no longer. Gives whether a request is still under way, with the buffer that it has. */
  drop(): boolean {
    const isUnderWay = this.isWaiting && this.deferred === null;
    this.epoch++;
    this.isWaiting = false;
    this.deferred = null;
    return isUnderWay;
  }

  private begin({ work, then, failed }: Request): void {
    const { epoch } = this;
    this.underWay++;
    const answered = (act: () => void) => () => {
      this.underWay--;
      if (epoch === this.epoch) {
        this.isWaiting = false;
        act();
      } else if (this.deferred !== null) {
        const { deferred } = this;
        this.deferred = null;
        this.begin(deferred);
      }
    };
    work().then(answered(then), answered(failed));
  }
}
