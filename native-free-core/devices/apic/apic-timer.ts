// The timer of a local APIC: one-shot, periodic and TSC-deadline.
// Owns the initial count, the divider, the deadline and when the next interrupt is due.
// Never counts down: the current count is computed from the clock when it is read.

import type { Clock } from '../../host.ts';
import type { Timer, Timers } from '../device.ts';
import type { StateReader } from '../saved-state.ts';

export const TimerMode = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;
/**
 * Shortest time between two interrupts of the periodic mode. A guest that asks for less would spend all of its time,
 * and all of its host's, in interrupts; it gets every interrupt that a machine could have served.
 */
const SHORTEST_PERIOD_NS = 10_000;

/** The time stamp counter, as far as the deadline mode needs it. */
export interface TimeStampCounter {
  /** The counter now. */
  read(): bigint;
  /** The guest's time in nanoseconds since power-on at which the counter reaches `value`. */
  timeOf(value: bigint): number;
}

export interface ApicTimerWiring {
  clock: Clock;
  timers: Timers;
  tsc: TimeStampCounter;
  /** Frequency of the count before division, in Hz. */
  hertz: number;
  /** The timer expired. */
  expire(): void;
}

export class ApicTimer {
  private readonly wiring: ApicTimerWiring;
  private readonly timer: Timer;
  private mode: number = TimerMode.oneShot;
  private masked = true;
  private initial = 0;
  private divider = 2;
  /** When the initial count was written, in nanoseconds since power-on. */
  private start = 0;
  private deadlineTsc = 0n;
  /** The one-shot count reached zero and its interrupt is done with. */
  private expired = true;

  constructor(wiring: ApicTimerWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create((deadline) => this.fire(deadline));
  }

  private tickNs(): number {
    return (this.divider * 1e9) / this.wiring.hertz;
  }

  private fire(deadline: number): void {
    if (this.mode === TimerMode.tscDeadline) this.deadlineTsc = 0n;
    this.expired = true;
    this.wiring.expire();
    if (this.mode === TimerMode.periodic) this.arm(Math.max(this.wiring.clock.now(), deadline), true);
  }

  /** Arms the timer for the first expiry after `now`: several that were missed have become one. */
  private arm(now: number, again = false): void {
    let deadline = Infinity;
    if (this.mode === TimerMode.tscDeadline) {
      if (this.deadlineTsc !== 0n) deadline = this.wiring.tsc.timeOf(this.deadlineTsc);
    } else if (this.initial !== 0 && !this.masked) {
      const period = this.initial * this.tickNs();
      const elapsed = now - this.start;
      if (this.mode === TimerMode.periodic) {
        const earliest = again ? Math.max(elapsed, elapsed + SHORTEST_PERIOD_NS - period) : elapsed;
        deadline = this.start + (Math.floor(earliest / period) + 1) * period;
      } else if (!this.expired) deadline = this.start + period;
    }
    if (deadline === Infinity) this.timer.cancel();
    else this.timer.arm(deadline);
  }

  private rearm(): void {
    this.arm(this.wiring.clock.now());
  }

  /** The LVT entry of the timer was written. Changing to or from deadline mode disarms it (SDM vol. 3, 11.5.4.1). */
  configure(mode: number, masked: boolean): void {
    if ((mode === TimerMode.tscDeadline) !== (this.mode === TimerMode.tscDeadline)) {
      this.initial = 0;
      this.deadlineTsc = 0n;
    }
    // A count that ran out while it was masked does not interrupt when it is unmasked.
    if (this.masked && this.current() === 0) this.expired = true;
    this.mode = mode;
    this.masked = masked;
    this.rearm();
  }

  /** The divide configuration register: bits 0, 1 and 3. */
  setDivide(register: number): void {
    const exponent = (((register & 8) >> 1) | (register & 3)) + 1;
    const count = this.current();
    this.divider = exponent === 8 ? 1 : 2 ** exponent;
    // What is left of the count goes on at the new speed.
    this.start = this.wiring.clock.now() - (this.initial - count) * this.tickNs();
    this.rearm();
  }

  setInitial(count: number): void {
    if (this.mode === TimerMode.tscDeadline) return;
    this.initial = count;
    this.expired = false;
    this.start = this.wiring.clock.now();
    this.rearm();
  }

  get hasDeadline(): boolean {
    return this.mode === TimerMode.tscDeadline;
  }

  get initialCount(): number {
    return this.initial;
  }

  current(): number {
    if (this.initial === 0 || this.mode === TimerMode.tscDeadline) return 0;
    const elapsed = Math.floor((this.wiring.clock.now() - this.start) / this.tickNs());
    if (this.mode === TimerMode.periodic) return this.initial - (elapsed % this.initial);
    return Math.max(this.initial - elapsed, 0);
  }

  /** IA32_TSC_DEADLINE. Writes outside deadline mode are ignored; a deadline already past expires at once. */
  set deadline(value: bigint) {
    if (this.mode !== TimerMode.tscDeadline) return;
    this.deadlineTsc = value;
    this.rearm();
  }

  get deadline(): bigint {
    return this.deadlineTsc;
  }

  reset(): void {
    this.mode = TimerMode.oneShot;
    this.masked = true;
    this.initial = 0;
    this.divider = 2;
    this.start = 0;
    this.deadlineTsc = 0n;
    this.expired = true;
    this.timer.cancel();
  }

  save(): Record<string, unknown> {
    const { mode, masked, initial, divider, start, deadlineTsc, expired } = this;
    return { mode, masked, initial, divider, start, deadlineTsc, expired };
  }

  restore(state: StateReader): void {
    this.mode = state.integer('mode', 0, 2);
    this.masked = state.boolean('masked');
    this.initial = state.dword('initial');
    this.divider = state.integer('divider', 1, 128);
    this.start = state.number('start');
    this.deadlineTsc = state.bigint('deadlineTsc');
    this.expired = state.boolean('expired');
    this.rearm();
  }
}
