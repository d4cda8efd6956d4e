// timer_create and its kin.
// Owns their arguments (struct sigevent, struct itimerspec).
// Never sends a signal: kernel/posix-timers.ts does.

import { errno } from '../errno.ts';
import type { TimeSource } from '../kernel/cpu-watch.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { PosixTimer } from '../kernel/posix-timers.ts';
import { SIGNAL_MAX, Signal } from '../kernel/signal-numbers.ts';
import type { Task } from '../kernel/task.ts';
import { SECOND, timespecAt, writeTime } from './arguments.ts';
import { cpuSource, kernelTime } from './time.ts';

const SIGEV_SIGNAL = 0;
const SIGEV_NONE = 1;
const SIGEV_THREAD = 2;
const SIGEV_THREAD_ID = 4;
const TIMER_ABSTIME = 1;

/** What a timer of a clock goes by. Throws EINVAL. */
function sourceOf(task: Task, clock: number): TimeSource {
  const source = cpuSource(task, clock);
  if (source) return source;
  kernelTime(task, clock, 0);
  return task.kernel;
}

const create: SystemCall = (task, clock, eventAt, idAt) => {
  const source = sourceOf(task, clock);
  const { kernel, process, space } = task;
  let how = SIGEV_SIGNAL;
  let signal: number = Signal.SIGALRM;
  let value: bigint | undefined;
  let thread: Task | undefined;
  if (eventAt !== 0) {
    value = space.readBig(eventAt);
    signal = space.readI32(eventAt + 8);
    how = space.readI32(eventAt + 12);
    if (how & ~(SIGEV_NONE | SIGEV_THREAD | SIGEV_THREAD_ID)) throw errno('EINVAL');
    if (how !== SIGEV_NONE && (signal < 1 || signal > SIGNAL_MAX)) throw errno('EINVAL');
    if (how & SIGEV_THREAD_ID) {
      thread = task.other(space.readI32(eventAt + 16));
      if (thread?.process !== process) throw errno('EINVAL');
    }
  }
  const timer = process.timers.add(
    (id) =>
      new PosixTimer(
        kernel,
        process,
        id,
        clock,
        source,
        how === SIGEV_NONE ? undefined : { signal, value: value ?? BigInt(id), thread },
      ),
  );
  space.writeU32(idAt, timer.id);
  return 0;
};

function write(task: Task, timer: PosixTimer, address: number): void {
  writeTime(task, address, timer.interval, SECOND);
  writeTime(task, address + 16, timer.left, SECOND);
}

export const posixTimerCalls: Record<string, SystemCall> = {
  timer_create: create,
  timer_settime: (task, id, flags, newAt, oldAt) => {
    if (newAt === 0) throw errno('EINVAL');
    const interval = timespecAt(task, newAt);
    const value = timespecAt(task, newAt + 16);
    const timer = task.process.timers.get(id);
    if (oldAt !== 0) write(task, timer, oldAt);
    if (value === 0) timer.set(Infinity, 0);
    else
      timer.set(
        timer.timeOf(value, (flags & TIMER_ABSTIME) !== 0, (time) => kernelTime(task, timer.clock, time)),
        interval,
      );
    return 0;
  },
  timer_gettime: (task, id, address) => {
    write(task, task.process.timers.get(id), address);
    return 0;
  },
  timer_getoverrun: (task, id) => task.process.timers.get(id).overrun,
  timer_delete: (task, id) => {
    task.process.timers.remove(id);
    return 0;
  },
};
