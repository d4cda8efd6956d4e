// Timers of timer_create: a process's own, each with a signal of its own.
// Owns their numbers, deadlines and overruns (timer_create(2), timer_getoverrun(2)).
// Never reads a clock but that of its source: kernel time, or time of the processor, in nanoseconds.

import { errno } from '../errno.ts';
import type { TimeSource } from './cpu-watch.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './process.ts';
import { SiCode } from './signal-numbers.ts';
import type { SignalInformation } from './signal-queue.ts';
import { sendToProcess, sendToTask } from './signals.ts';
import type { Task } from './task.ts';

/** Timers of one process: as many as it may have signals waiting. */
const TIMERS_MAX = 4096;

interface TimerSignal extends SignalInformation {
  overrun: number;
}

export class PosixTimer {
  readonly id: number;
  /** CLOCK_*. */
  readonly clock: number;
  interval = 0;
  private readonly kernel: Kernel;
  private readonly source: TimeSource;
  private readonly process: Process;
  /** Whom it signals: a thread, the process, or nobody. */
  private readonly target: { signal: number; value: bigint; thread: Task | undefined } | undefined;
  private deadline = Infinity;
  private cancel: (() => void) | undefined;
  private sent: TimerSignal | undefined;

  constructor(
    kernel: Kernel,
    process: Process,
    id: number,
    clock: number,
    source: TimeSource,
    target: PosixTimer['target'],
  ) {
    this.kernel = kernel;
    this.source = source;
    this.process = process;
    this.id = id;
    this.clock = clock;
    this.target = target;
  }

  /** Nanoseconds to the next expiration; 0: not armed. */
  get left(): number {
    return this.deadline === Infinity ? 0 : Math.max(1, this.deadline - this.source.now());
  }

  /** Expirations beyond the one that the last signal told of. */
  get overrun(): number {
    return Math.min(this.sent?.overrun ?? 0, 0x7fffffff);
  }

  /** When it expires by its source: `time` from now on, or by its clock, which `wall` knows where it is no processor's. */
  timeOf(time: number, isAbsolute: boolean, wall: (time: number) => number): number {
    if (!isAbsolute) return this.source.now() + time;
    return this.source === this.kernel ? wall(time) : time;
  }

  /** Expires at `deadline`; Infinity: never. */
  set(deadline: number, interval: number): void {
    this.stop();
    this.interval = interval;
    this.arm(deadline);
  }

  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
    this.deadline = Infinity;
  }

  private arm(deadline: number): void {
    this.deadline = deadline;
    if (deadline === Infinity) return;
    this.cancel = this.source.timers.at(deadline, () => {
      const late = this.source.now() - deadline;
      const times = this.interval > 0 ? 1 + Math.max(0, Math.floor(late / this.interval)) : 1;
      this.cancel = undefined;
      this.arm(this.interval > 0 ? deadline + times * this.interval : Infinity);
      this.expire(times);
    });
  }

  private expire(times: number): void {
    if (!this.target) return;
    const { signal, value, thread } = this.target;
    const queue = thread ? thread.pending : this.process.pending;
    if (this.sent && queue.has(this.sent)) {
      this.sent.overrun += times;
      return;
    }
    this.sent = { signal, code: SiCode.SI_TIMER, timerId: this.id, overrun: times - 1, value };
    if (thread) sendToTask(this.kernel, thread, this.sent);
    else sendToProcess(this.kernel, this.process, this.sent);
  }
}

export class PosixTimers {
  private readonly timers = new Map<number, PosixTimer>();
  private next = 0;

  /** Throws EAGAIN. */
  add(make: (id: number) => PosixTimer): PosixTimer {
    if (this.timers.size >= TIMERS_MAX) throw errno('EAGAIN');
    const timer = make(this.next++);
    this.timers.set(timer.id, timer);
    return timer;
  }

  /** Throws EINVAL. */
  get(id: number): PosixTimer {
    const timer = this.timers.get(id | 0);
    if (!timer) throw errno('EINVAL');
    return timer;
  }

  remove(id: number): void {
    this.get(id).stop();
    this.timers.delete(id | 0);
  }

  /** exec and exit end all. */
  clear(): void {
    for (const timer of this.timers.values()) timer.stop();
    this.timers.clear();
    this.next = 0;
  }
}
