// Clocks, sleeping, and the alarm.
// Owns which clock is which, and relative and absolute times.
// Never reads the host's clock but through the kernel.

import { errno } from '../errno.ts';
import { type TimeSource, watchOf } from '../kernel/cpu-watch.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { SiCode, Signal } from '../kernel/signal-numbers.ts';
import { sendToProcess } from '../kernel/signals.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { SECOND, timespecAt, writeTime } from './arguments.ts';

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_PROCESS_CPUTIME = 2;
const CLOCK_THREAD_CPUTIME = 3;
const CLOCK_MONOTONIC_RAW = 4;
const CLOCK_REALTIME_COARSE = 5;
const CLOCK_MONOTONIC_COARSE = 6;
const CLOCK_BOOTTIME = 7;
const CLOCK_REALTIME_ALARM = 8;
const CLOCK_BOOTTIME_ALARM = 9;
const CLOCK_TAI = 11;
const TIMER_ABSTIME = 1;

const isWall = (clock: number): boolean =>
  [CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_REALTIME_ALARM, CLOCK_TAI].includes(clock);
const isMonotonic = (clock: number): boolean =>
  [CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM].includes(clock);

/** Flags of clocks of one task, whose number is in the clock's (clock_getcpuclockid(3)). */
const CLOCK_OF_THREAD = 4;
const CLOCK_KIND = 3;
const CLOCK_VIRTUAL = 1;

/** The processor time that a clock shows, of a process or a thread; undefined: it shows another time. Throws EINVAL. */
export function cpuSource(task: Task, clock: number): TimeSource | undefined {
  const { kernel, process } = task;
  if (clock === CLOCK_PROCESS_CPUTIME) return watchOf(kernel, process).all;
  if (clock === CLOCK_THREAD_CPUTIME) return watchOf(kernel, process).ofThread(task);
  const id = clock | 0;
  if (id >= 0) return undefined;
  const number = ~(id >> 3);
  const of = number === 0 ? task : task.other(number);
  if (!of || of.process.isZombie || (id & CLOCK_KIND) === CLOCK_KIND) throw errno('EINVAL');
  const watch = watchOf(kernel, of.process);
  if (id & CLOCK_OF_THREAD) {
    if (of.process !== process) throw errno('EINVAL');
    return watch.ofThread(of);
  }
  if (!of.isLeader) throw errno('EINVAL');
  return (id & CLOCK_KIND) === CLOCK_VIRTUAL ? watch.user : watch.all;
}

/** Nanoseconds of a clock. Throws EINVAL. */
export function clockNow(task: Task, clock: number): number {
  const { kernel } = task;
  if (isWall(clock)) return kernel.wall();
  if (isMonotonic(clock)) return kernel.now();
  if (clock === CLOCK_THREAD_CPUTIME) return kernel.cpuTimeOf(task);
  if (clock === CLOCK_PROCESS_CPUTIME) {
    const { user, system } = task.process.endedThreads;
    let time = user + system;
    for (const thread of task.process.threads) time += kernel.cpuTimeOf(thread);
    return time;
  }
  const source = cpuSource(task, clock);
  if (!source) throw errno('EINVAL');
  return source.now();
}

/** Kernel time at which a clock shows `time`. Throws EINVAL. */
export function kernelTime(task: Task, clock: number, time: number): number {
  if (isMonotonic(clock)) return time;
  if (isWall(clock)) return time - task.kernel.wallAtStart;
  throw errno('EINVAL');
}

/** Sleeps until kernel time `deadline`; what is left of a relative sleep that is interrupted is stored. */
function sleep(task: Task, deadline: number, remainingAt: number): number {
  const { kernel } = task;
  return task.block({
    attempt: () => (kernel.now() >= deadline ? 0 : BLOCKED),
    deadline,
    timeoutResult: 0,
    interrupted: remainingAt === 0 ? 'restartWithoutHandler' : 'fail',
    onInterrupt: () => {
      if (remainingAt !== 0) writeTime(task, remainingAt, Math.max(0, deadline - kernel.now()), SECOND);
      return -4;
    },
  });
}

const clockNanosleep: SystemCall = (task, clock, flags, requestAt, remainingAt) => {
  const time = timespecAt(task, requestAt);
  if (clock === CLOCK_THREAD_CPUTIME) throw errno('EINVAL');
  if (flags & TIMER_ABSTIME) return sleep(task, kernelTime(task, clock, time), 0);
  kernelTime(task, clock, 0);
  return sleep(task, task.kernel.now() + time, remainingAt);
};

const ITIMER_REAL = 0;
const ITIMER_VIRTUAL = 1;
const ITIMER_PROF = 2;
/** What each sends. */
const ALARM_SIGNALS = [Signal.SIGALRM, Signal.SIGVTALRM, Signal.SIGPROF];

/** What each of setitimer's timers goes by. Throws EINVAL. */
function alarmSource(task: Task, which: number): TimeSource {
  const { kernel, process } = task;
  if (which === ITIMER_REAL) return kernel;
  if (which === ITIMER_VIRTUAL) return watchOf(kernel, process).user;
  if (which === ITIMER_PROF) return watchOf(kernel, process).all;
  throw errno('EINVAL');
}

function setAlarm(task: Task, which: number, value: number, interval: number): number {
  const { kernel, process } = task;
  const { alarms } = process;
  const source = alarmSource(task, which);
  const before = alarms[which];
  const left = before ? Math.max(1, before.deadline - source.now()) : 0;
  before?.cancel();
  alarms[which] = undefined;
  const arm = (deadline: number): void => {
    const cancel = source.timers.at(deadline, () => {
      alarms[which] = undefined;
      // Those that were missed are told of once.
      const missed = interval > 0 ? Math.max(0, Math.floor((source.now() - deadline) / interval)) : 0;
      if (interval > 0) arm(deadline + (missed + 1) * interval);
      sendToProcess(kernel, process, { signal: ALARM_SIGNALS[which], code: SiCode.SI_KERNEL });
    });
    alarms[which] = { cancel, deadline, interval };
  };
  if (value > 0) arm(source.now() + value);
  return left;
}

function timevalAt(task: Task, address: number): number {
  const seconds = task.space.readI64(address);
  const microseconds = task.space.readI64(address + 8);
  if (seconds < 0 || microseconds < 0 || microseconds >= 1e6) throw errno('EINVAL');
  return seconds * SECOND + microseconds * 1000;
}

function writeAlarm(task: Task, address: number, left: number, interval: number): void {
  writeTime(task, address, interval, 1e6);
  writeTime(task, address + 16, left, 1e6);
}

export const timeCalls: Record<string, SystemCall> = {
  clock_gettime: (task, clock, address) => {
    writeTime(task, address, clockNow(task, clock), SECOND);
    return 0;
  },
  clock_getres: (task, clock, address) => {
    clockNow(task, clock);
    if (address !== 0) writeTime(task, address, 1, SECOND);
    return 0;
  },
  clock_settime: () => {
    throw errno('EPERM');
  },
  settimeofday: () => {
    throw errno('EPERM');
  },
  gettimeofday: (task, address, zoneAt) => {
    if (address !== 0) writeTime(task, address, task.kernel.wall(), 1e6);
    if (zoneAt !== 0) task.space.writeI64(zoneAt, 0);
    return 0;
  },
  time: (task, address) => {
    const seconds = Math.floor(task.kernel.wall() / SECOND);
    if (address !== 0) task.space.writeI64(address, seconds);
    return seconds;
  },
  nanosleep: (task, requestAt, remainingAt) => {
    const time = timespecAt(task, requestAt);
    return sleep(task, task.kernel.now() + time, remainingAt);
  },
  clock_nanosleep: clockNanosleep,
  alarm: (task, seconds) => Math.ceil(setAlarm(task, ITIMER_REAL, (seconds >>> 0) * SECOND, 0) / SECOND),
  setitimer: (task, which, newAt, oldAt) => {
    if (which < 0 || which > ITIMER_PROF) throw errno('EINVAL');
    const interval = newAt === 0 ? 0 : timevalAt(task, newAt);
    const value = newAt === 0 ? 0 : timevalAt(task, newAt + 16);
    const before = task.process.alarms[which]?.interval ?? 0;
    const left = setAlarm(task, which, value, interval);
    if (oldAt !== 0) writeAlarm(task, oldAt, left, before);
    return 0;
  },
  getitimer: (task, which, address) => {
    if (which < 0 || which > ITIMER_PROF) throw errno('EINVAL');
    const armed = task.process.alarms[which];
    const left = armed ? Math.max(0, armed.deadline - alarmSource(task, which).now()) : 0;
    writeAlarm(task, address, left, armed?.interval ?? 0);
    return 0;
  },
};
