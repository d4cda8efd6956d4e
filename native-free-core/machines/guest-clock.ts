// A guest's time: nanoseconds since power-on, from the host's clock or from the instruction count.
// Owns the pause bookkeeping and, in deterministic mode, the time skipped while halted.
// Never looks at a host clock itself: it is passed in.

import type { Clock } from '../host.ts';

/** Wall time of deterministic runs: 2025-01-01 00:00 UTC. */
export const DETERMINISTIC_WALL = 1_735_689_600_000;

/** Guest time that can stand still and, while every vCPU is halted, be moved on. */
export interface GuestClock extends Clock {
  pause(): void;
  resume(): void;
  /** Nothing happens before `time`: a clock that need not wait, or is behind, goes there at once. True when it did. */
  skipTo(time: number): boolean;
  /**
   * All vCPUs were halted until now, when something came or `due` was past: the guest's time goes on no later than there, and
   * {@link skipTo} makes up for the rest as soon as it halts again.
   */
  slept(due: number): void;
  /** It is `time` now: a saved state goes on. */
  set(time: number): void;
}

/**
 * Nanoseconds between two looks at the clock beyond which the guest's thread is taken to have waited for a processor of the
 * host. While the guest executes, looks are a burst of instructions apart, a millisecond or two.
 */
const LONGEST_STEP = 5_000_000;
/** Nanoseconds of sleep beyond what was due that are made up for: a host that was suspended is not a thousand ticks late. */
const LONGEST_OVERSLEEP = 1_000_000_000;

/**
 * Follows the host's monotonic clock, except while paused. A guest that executes sees no jumps: what the host's scheduler
 * took from its thread comes by and by, time running at twice its rate until it is made up for. Otherwise periodic
 * interrupts would be lost by the dozen, which systems take for broken hardware: a Linux that gets fewer than five ticks in
 * 160 ms of the time-stamp counter gives up.
 */
export class HostClock implements GuestClock {
  private readonly host: () => number;
  private offset: number;
  private pausedAt: number | undefined;
  /** The host's time at the last look, and how far the guest's is behind. */
  private looked = 0;
  private behind = 0;

  constructor(monotonicNanoseconds: () => number) {
    this.host = monotonicNanoseconds;
    this.offset = monotonicNanoseconds();
  }

  now(): number {
    const time = (this.pausedAt ?? this.host()) - this.offset;
    const step = time - this.looked;
    this.looked = time;
    if (step > LONGEST_STEP) this.behind += step - LONGEST_STEP;
    else if (this.behind > 0) this.behind = Math.max(0, this.behind - step);
    return time - this.behind;
  }

  set(time: number): void {
    this.offset = (this.pausedAt ?? this.host()) - time;
    this.looked = time;
    this.behind = 0;
  }

  slept(due: number): void {
    const last = this.looked - this.behind;
    this.looked = (this.pausedAt ?? this.host()) - this.offset;
    const late = this.looked - Math.max(last, due);
    this.behind = late > 0 && late <= LONGEST_OVERSLEEP ? late : 0;
  }

  pause(): void {
    this.pausedAt ??= this.host();
  }

  resume(): void {
    if (this.pausedAt === undefined) return;
    this.offset += this.host() - this.pausedAt;
    this.pausedAt = undefined;
  }

  skipTo(time: number): boolean {
    const gap = time - this.now();
    const skipped = Math.min(gap, this.behind);
    if (skipped > 0) this.behind -= skipped;
    return skipped >= gap;
  }
}

/** One nanosecond an instruction, and no waiting: the same input gives the same run. */
export class InstructionClock implements GuestClock {
  private readonly instructions: () => number;
  private skipped = 0;

  constructor(instructions: () => number) {
    this.instructions = instructions;
  }

  now(): number {
    return this.instructions() + this.skipped;
  }

  pause(): void {
    // No instruction is executed while paused, so time stands still by itself.
  }

  resume(): void {
    // See pause.
  }

  slept(): void {
    // Time goes by instructions alone.
  }

  set(time: number): void {
    this.skipped = time - this.instructions();
  }

  skipTo(time: number): boolean {
    this.skipped += Math.max(0, time - this.now());
    return true;
  }
}
