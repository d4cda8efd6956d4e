// The timers of one guest: a queue of one-shot deadlines on the guest's clock.
// Owns which timers are armed; the machine asks `next()` before it sleeps and calls `run(now)` between instructions.
// Never looks at a host clock and never fires inside a device access.

import type { Timer, Timers } from './device.ts';

class QueuedTimer implements Timer {
  /** Nanoseconds since power-on; Infinity while not armed. */
  deadline = Infinity;
  /** Order of arming, so that equal deadlines fire in a repeatable order. */
  order = 0;
  readonly fire: (deadline: number) => void;
  private readonly queue: TimerQueue;

  constructor(queue: TimerQueue, fire: (deadline: number) => void) {
    this.queue = queue;
    this.fire = fire;
  }

  arm(deadline: number): void {
    if (Number.isNaN(deadline)) throw new RangeError('a timer cannot be armed for a deadline that is not a number');
    this.deadline = deadline;
    this.order = this.queue.armed(deadline);
  }

  cancel(): void {
    if (this.deadline === Infinity) return;
    this.deadline = Infinity;
    this.queue.disarmed();
  }
}

/**
 * A machine has some ten timers, so the queue is a plain list with the earliest deadline cached: re-arming (the
 * frequent act) costs one comparison, and the list is walked only when a timer fires or the earliest one is cancelled.
 */
export class TimerQueue implements Timers {
  private readonly timers: QueuedTimer[] = [];
  private earliest = Infinity;
  private exact = true;
  private orders = 0;

  create(fire: (deadline: number) => void): Timer {
    const timer = new QueuedTimer(this, fire);
    this.timers.push(timer);
    return timer;
  }

  /** The earliest deadline in nanoseconds since power-on, or Infinity when no timer is armed. */
  next(): number {
    if (!this.exact) {
      this.earliest = this.timers.reduce((least, timer) => Math.min(least, timer.deadline), Infinity);
      this.exact = true;
    }
    return this.earliest;
  }

  /**
   * Fires every timer due at `now` (nanoseconds since power-on) once, earliest deadline first. A timer that is
   * re-armed for a time already past waits for the next call, so that no device can keep the machine here.
   */
  run(now: number): void {
    if (this.next() > now) return;
    const due = this.timers.filter((timer) => timer.deadline <= now);
    due.sort((a, b) => a.deadline - b.deadline || a.order - b.order);
    const orders = due.map((timer) => timer.order);
    due.forEach((timer, index) => {
      // A callback before this one may have cancelled or re-armed it.
      if (timer.deadline > now || timer.order !== orders[index]) return;
      const { deadline } = timer;
      timer.deadline = Infinity;
      this.exact = false;
      timer.fire(deadline);
    });
    this.exact = false;
  }

  /** @internal Notes a deadline that was just set, and numbers it. */
  armed(deadline: number): number {
    if (deadline < this.earliest) this.earliest = deadline;
    // The earliest one may itself have been moved later: what is cached is then only a lower bound.
    else this.exact = false;
    return ++this.orders;
  }

  /** @internal Notes that a timer was cancelled. */
  disarmed(): void {
    this.exact = false;
  }
}

/** Whole ticks of a clock of `hertz` that have passed at `nanoseconds` since power-on; exact, for any uptime. */
export function ticksAt(nanoseconds: number, hertz: number): number {
  const seconds = Math.floor(nanoseconds / 1e9);
  return seconds * hertz + Math.floor(((nanoseconds - seconds * 1e9) * hertz) / 1e9);
}

/** A time within a nanosecond after tick `ticks`, at which {@link ticksAt} surely gives it. */
export function timeOfTick(ticks: number, hertz: number): number {
  const seconds = Math.floor(ticks / hertz);
  return seconds * 1e9 + Math.floor(((ticks - seconds * hertz) * 1e9) / hertz) + 1;
}
