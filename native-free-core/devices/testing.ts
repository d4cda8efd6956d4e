// Stand-ins that the unit tests of devices share: a clock set by hand and a line that remembers.
// Owns nothing but what a test tells it.
// Never used outside tests.

import type { InterruptLine } from './device.ts';
import { TimerQueue } from './timers.ts';

/** A clock and its timers: `advance` lets guest time pass and fires what is due on the way, in order. */
export class TestTime {
  nanoseconds = 0;
  readonly timers = new TimerQueue();
  readonly clock = { now: () => this.nanoseconds };

  advance(nanoseconds: number): void {
    const end = this.nanoseconds + nanoseconds;
    for (let next = this.timers.next(); next <= end; next = this.timers.next()) {
      this.nanoseconds = Math.max(this.nanoseconds, next);
      this.timers.run(this.nanoseconds);
    }
    this.nanoseconds = end;
  }

  /** Lets time pass without running timers, as a busy machine does, and then runs them once. */
  stall(nanoseconds: number): void {
    this.nanoseconds += nanoseconds;
    this.timers.run(this.nanoseconds);
  }
}

/** A line that counts its rising edges. */
export class TestLine implements InterruptLine {
  level = false;
  edges = 0;

  set(asserted: boolean): void {
    if (asserted && !this.level) this.edges++;
    this.level = asserted;
  }
}
