// The load averages of one, five and fifteen minutes, which uptime and /proc/loadavg tell.
// Owns the samples, taken every five seconds as Linux does (kernel/sched/loadavg.c).
// Never wakes anybody: what went by while nothing executed is made up for when somebody looks.

/** Nanoseconds between two samples. */
const EVERY = 5e9;
const MINUTES = [1, 5, 15] as const;
const DECAYS = MINUTES.map((minutes) => Math.exp(-EVERY / (minutes * 60e9)));

export type Loads = readonly [one: number, five: number, fifteen: number];

export class LoadAverage {
  private readonly loads: [number, number, number] = [0, 0, 0];
  private next = EVERY;

  /** The averages at a time; `ready` counts who could execute, and is asked where a sample is due. */
  at(now: number, ready: () => number): Loads {
    if (now < this.next) return this.loads;
    const samples = Math.floor((now - this.next) / EVERY) + 1;
    this.next += samples * EVERY;
    const count = ready();
    // Nobody has looked at the samples before the last one: the kernel was asleep, since nobody was ready.
    DECAYS.forEach((decay, at) => {
      this.loads[at] = this.loads[at] * decay ** samples + count * (1 - decay);
    });
    return this.loads;
  }
}
