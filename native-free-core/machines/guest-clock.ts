// A guest's time: nanoseconds since power-on, from the host's clock or from the instruction count.
// Owns the pause bookkeeping and, in deterministic mode, the time skipped while halted.
// Never looks at a host clock itself: it is passed in.

import type { Clock } from '../host.ts';

/** Guest time that can stand still and, while every vCPU is halted, be moved on. */
export interface GuestClock extends Clock {
  pause(): void;
  resume(): void;
  /** Nothing happens before `time`: a clock that need not wait goes there at once. True when it did. */
  skipTo(time: number): boolean;
}

/** Follows the host's monotonic clock, except while paused. */
export class HostClock implements GuestClock {
  private readonly host: () => number;
  private offset: number;
  private pausedAt: number | undefined;

  constructor(monotonicNanoseconds: () => number) {
    this.host = monotonicNanoseconds;
    this.offset = monotonicNanoseconds();
  }

  now(): number {
    return (this.pausedAt ?? this.host()) - this.offset;
  }

  pause(): void {
    this.pausedAt ??= this.host();
  }

  resume(): void {
    if (this.pausedAt === undefined) return;
    this.offset += this.host() - this.pausedAt;
    this.pausedAt = undefined;
  }

  skipTo(): boolean {
    return false;
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

  skipTo(time: number): boolean {
    this.skipped += Math.max(0, time - this.now());
    return true;
  }
}
