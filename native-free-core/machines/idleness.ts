// Whether a guest does nothing but tick, and how much later than its timers it may then be woken.
// Owns what counts as nothing.
// Never sleeps, and never changes what the guest sees: its clock makes up for the delay (guest-clock.ts).

/** Instructions between two halts that a system's tick takes, several of them where it is woken for several. */
const QUIET_INSTRUCTIONS = 200_000;
/** Nanoseconds of nothing but ticks after which a guest is idle. */
const IDLE_AFTER = 1_000_000_000;
/** Nanoseconds by which timers of an idle guest may be late: a wake-up costs the host more than the tick it is for. */
const SLACK = 20_000_000;

export class Idleness {
  private busyAt = 0;
  private executed = 0;

  /**
   * The guest has halted at `now` (nanoseconds of guest time), so many instructions executed since power-on; `busy`: something
   * of it is under way whose time a person or another machine notices. Gives nanoseconds, 0 where it is not idle.
   */
  halted(now: number, executed: number, busy: boolean): number {
    if (busy || executed - this.executed > QUIET_INSTRUCTIONS) this.busyAt = now;
    this.executed = executed;
    return now - this.busyAt >= IDLE_AFTER ? SLACK : 0;
  }
}
