// What is to happen when a process has had a certain time of the processor: its timers of that time, and RLIMIT_CPU.
// Owns the timers of a process's and its threads' processor time; there is one only where something is asked for.
// Never counts time itself: it is told after each turn.

import { exitProcess } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { type Process, Rlimit } from './process.ts';
import { SiCode, Signal } from './signal-numbers.ts';
import { sendToProcess } from './signals.ts';
import type { Task } from './task.ts';
import { Timers } from './timers.ts';

const SECOND = 1e9;

/** A clock, and what is to happen by it. */
export interface TimeSource {
  readonly timers: Timers;
  now(): number;
}

export class CpuWatch {
  /** Of all time, of that outside the kernel, and of single threads. */
  readonly all: TimeSource;
  readonly user: TimeSource;
  private readonly threads = new WeakMap<Task, TimeSource>();
  private readonly kernel: Kernel;
  private readonly process: Process;
  /** Seconds at which SIGXCPU is sent next. */
  private warnAt = 0;

  constructor(kernel: Kernel, process: Process) {
    this.kernel = kernel;
    this.process = process;
    this.all = { timers: new Timers(), now: () => process.times.user + process.times.system };
    this.user = { timers: new Timers(), now: () => process.times.user };
  }

  ofThread(task: Task): TimeSource {
    let source = this.threads.get(task);
    if (!source) this.threads.set(task, (source = { timers: new Timers(), now: () => task.cpuTime }));
    return source;
  }

  /** A thread of the process has executed. */
  run(task: Task): void {
    for (const source of [this.all, this.user, this.threads.get(task)]) source?.timers.run(source.now());
    const { soft, hard } = this.process.limits[Rlimit.cpu];
    if (soft === Infinity) return;
    const seconds = this.all.now() / SECOND;
    if (seconds >= hard) exitProcess(this.kernel, this.process, Signal.SIGKILL);
    else if (seconds >= Math.max(soft, this.warnAt)) {
      this.warnAt = Math.floor(seconds) + 1;
      sendToProcess(this.kernel, this.process, { signal: Signal.SIGXCPU, code: SiCode.SI_KERNEL });
    }
  }
}

/** The watch of a process, from now on. */
export function watchOf(kernel: Kernel, process: Process): CpuWatch {
  process.cpuWatch ??= new CpuWatch(kernel, process);
  return process.cpuWatch;
}
