// A process: the thread group that shares a pid, with its family, its job control and its limits.
// Owns parent and children, process group and session, signal handlers, rlimits, and how it ended.
// Never schedules; its threads are tasks.

import type { Location } from '../vfs/types.ts';
import type { Cgroup } from './cgroups.ts';
import type { CpuWatch } from './cpu-watch.ts';
import { PosixTimers } from './posix-timers.ts';
import { SIG_DFL, SIG_IGN, SIGNAL_MAX, SigAction, type SignalSet } from './signal-numbers.ts';
import { SignalQueue } from './signal-queue.ts';
import type { Task } from './task.ts';
import { WaitQueue } from './wait-queue.ts';

export interface Handler {
  /** Address, SIG_DFL or SIG_IGN. */
  readonly handler: number;
  /** SA_*. */
  readonly flags: number;
  readonly restorer: number;
  readonly mask: SignalSet;
}

const DEFAULT: Handler = { handler: SIG_DFL, flags: 0, restorer: 0, mask: 0n };

/** What each signal does: shared by threads, and by clone(CLONE_SIGHAND). */
export class Handlers {
  private readonly list: Handler[] = new Array<Handler>(SIGNAL_MAX + 1).fill(DEFAULT);
  users = 1;

  get(signal: number): Handler {
    return this.list[signal];
  }

  set(signal: number, handler: Handler): void {
    this.list[signal] = handler;
  }

  reset(signal: number): void {
    this.list[signal] = DEFAULT;
  }

  fork(): Handlers {
    const copy = new Handlers();
    for (let signal = 1; signal <= SIGNAL_MAX; signal++) copy.list[signal] = this.list[signal];
    return copy;
  }

  /** exec: handlers are gone, what was ignored stays ignored. */
  forExec(): Handlers {
    const copy = new Handlers();
    for (let signal = 1; signal <= SIGNAL_MAX; signal++)
      if (this.list[signal].handler === SIG_IGN) copy.list[signal] = { ...DEFAULT, handler: SIG_IGN };
    return copy;
  }

  /** Children become no zombies. */
  get forgetsChildren(): boolean {
    const { handler, flags } = this.list[17];
    return handler === SIG_IGN || (flags & SigAction.SA_NOCLDWAIT) !== 0;
  }
}

export interface Limit {
  soft: number;
  hard: number;
}

/** RLIMIT_* (include/uapi/asm-generic/resource.h). Infinity is RLIM_INFINITY. */
export const Rlimit = {
  cpu: 0,
  fileSize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  processes: 6,
  files: 7,
  memoryLock: 8,
  addressSpace: 9,
  locks: 10,
  pendingSignals: 11,
  messageQueue: 12,
  nice: 13,
  realtimePriority: 14,
  realtimeTime: 15,
} as const;

/** As a container of Docker's has them. */
export function defaultLimits(): Limit[] {
  const limits = Array.from({ length: 16 }, (): Limit => ({ soft: Infinity, hard: Infinity }));
  limits[Rlimit.stack] = { soft: 8 << 20, hard: Infinity };
  limits[Rlimit.core] = { soft: 0, hard: Infinity };
  limits[Rlimit.files] = { soft: 1024, hard: 1 << 20 };
  limits[Rlimit.memoryLock] = { soft: 8 << 20, hard: 8 << 20 };
  limits[Rlimit.pendingSignals] = { soft: 4096, hard: 4096 };
  limits[Rlimit.messageQueue] = { soft: 819200, hard: 819200 };
  limits[Rlimit.nice] = { soft: 0, hard: 0 };
  limits[Rlimit.realtimePriority] = { soft: 0, hard: 0 };
  return limits;
}

/** How a process ended or changed, as wait4's status word tells it. */
export const exitedStatus = (code: number): number => (code & 0xff) << 8;
export const signalledStatus = (signal: number, core: boolean): number => signal | (core ? 0x80 : 0);
export const stoppedStatus = (signal: number): number => (signal << 8) | 0x7f;
export const CONTINUED_STATUS = 0xffff;

export interface Alarm {
  readonly cancel: () => void;
  readonly deadline: number;
  readonly interval: number;
}

/** Processes of one terminal session. */
export interface Session {
  readonly id: number;
  terminal: object | null;
}

export interface Times {
  user: number;
  system: number;
}

/** As /proc/PID/io counts: all bytes and calls, and bytes of files that lie outside memory. */
export interface IoCounts {
  rchar: number;
  wchar: number;
  syscr: number;
  syscw: number;
  readBytes: number;
  writeBytes: number;
}

export class Process {
  readonly pid: number;
  parent: Process | undefined;
  readonly children = new Set<Process>();
  readonly threads = new Set<Task>();
  leader: Task;
  group: number;
  session: Session;
  handlers = new Handlers();
  readonly pending = new SignalQueue();
  limits: Limit[] = defaultLimits();
  /** Wait status once all threads are gone; undefined: it lives. */
  exitStatus: number | undefined;
  /** Set while threads are being ended. */
  ending = false;
  stopSignal = 0;
  /** A change that wait has yet to tell of. */
  stopReport: number | undefined;
  continueReport = false;
  /** Children that changed, for wait. */
  readonly childChanged = new WaitQueue();
  /** It ended: for pidfds. */
  readonly ended = new WaitQueue();
  /** A signal was sent: for signalfds. */
  readonly signalled = new WaitQueue();
  isSubreaper = false;
  dumpable = 1;
  /** Nanoseconds of ended threads, and of children that were waited for. */
  readonly endedThreads: Times = { user: 0, system: 0 };
  readonly waitedChildren: Times = { user: 0, system: 0 };
  startTime = 0;
  /** Path of the program, for /proc/PID/exe; and its arguments. */
  executable = '';
  executableLocation: Location | undefined;
  hasExecuted = false;
  readonly timers = new PosixTimers();
  /** What is to be done when it ends. */
  readonly atEnd = new Set<() => void>();
  cgroup: Cgroup;
  /** Tasks that its cgroup counts for it: threads, and its leader until it has been waited for. */
  countedTasks = 0;
  /** oom_score_adj. */
  oomAdjust = 0;
  /** Flags of personality(2). */
  personality = 0;
  /** What read, write and their kin have moved. */
  readonly io: IoCounts = { rchar: 0, wchar: 0, syscr: 0, syscw: 0, readBytes: 0, writeBytes: 0 };
  /** Set where somebody wants to know of its processor time. */
  cpuWatch: CpuWatch | undefined;
  /** setitimer's timers: of real, virtual and profiled time. */
  readonly alarms: (Alarm | undefined)[] = [undefined, undefined, undefined];

  constructor(
    pid: number,
    parent: Process | undefined,
    session: Session,
    cgroup: Cgroup,
    leader: (process: Process) => Task,
  ) {
    this.pid = pid;
    this.parent = parent;
    this.group = parent?.group ?? pid;
    this.session = session;
    this.cgroup = cgroup;
    this.oomAdjust = parent?.oomAdjust ?? 0;
    this.personality = parent?.personality ?? 0;
    cgroup.processes.add(this);
    parent?.children.add(this);
    this.leader = leader(this);
    this.threads.add(this.leader);
    this.countTask(1);
  }

  /** One task more, or less, for its cgroup. */
  countTask(more: number): void {
    this.countedTasks += more;
    this.cgroup.countTasks(more);
  }

  /** Nanoseconds of its threads, those that ended included. */
  get times(): Times {
    let { user, system } = this.endedThreads;
    for (const { times } of this.threads) {
      user += times.user;
      system += times.system;
    }
    return { user, system };
  }

  get isZombie(): boolean {
    return this.exitStatus !== undefined;
  }

  get isStopped(): boolean {
    return this.stopSignal !== 0;
  }

  limit(of: number): number {
    return this.limits[of].soft;
  }
}
