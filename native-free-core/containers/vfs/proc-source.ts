// What the kernel tells proc(5): the processes that a guest may see, and figures of the machine.
// Owns only types; the kernel implements them for each PID namespace.
// Never text: proc.ts knows the formats.

import type { Location, Mount } from './types.ts';

export interface ProcRegion {
  start: number;
  end: number;
  /** As 'r-xp' or 'rw-s'. */
  permissions: string;
  offset: number;
  /** The file mapped, if any. */
  place: Location | null;
  /** Instead of a file: '[heap]', '[stack]', '' and the like. */
  label: string;
  /** Bytes of it that are in memory. */
  residentBytes?: number;
}

export interface ProcDescriptor {
  /** Where a walk through /proc/PID/fd/N goes on. */
  place: Location;
  /** What readlink shows in place of a path: 'pipe:[7]', 'socket:[8]', 'anon_inode:[eventpoll]'; '': a path. */
  label: string;
  /** Open flags and offset, for fdinfo. */
  flags: number;
  position: number;
}

/** A process or a thread. The same object as long as it lives. */
export interface ProcTask {
  readonly pid: number;
  /** Thread group; equals `pid` for a process. */
  readonly group: number;
  readonly name: string;
  /** R, S, D, T, t, Z, X. */
  readonly state: string;
  readonly parent: number;
  readonly processGroup: number;
  readonly session: number;
  /** Device number of the terminal, 0: none. */
  readonly terminal: number;
  /** Foreground process group of that terminal, -1: none. */
  readonly terminalGroup: number;
  /** Nanoseconds. */
  readonly userTime: number;
  readonly systemTime: number;
  readonly childUserTime: number;
  readonly childSystemTime: number;
  readonly nice: number;
  /** Nanoseconds after the kernel started. */
  readonly startTime: number;
  readonly virtualBytes: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly exitSignal: number;
  readonly umask: number;
  /** Real, effective, saved, file system. */
  readonly uids: readonly [number, number, number, number];
  readonly gids: readonly [number, number, number, number];
  readonly groups: readonly number[];
  readonly signals: { pending: bigint; shared: bigint; blocked: bigint; ignored: bigint; caught: bigint };
  readonly capabilities: {
    inheritable: bigint;
    permitted: bigint;
    effective: bigint;
    bounding: bigint;
    ambient: bigint;
  };
  readonly noNewPrivileges: boolean;
  /** Its number in each PID namespace, from the reader's inwards. */
  readonly numbers: readonly number[];
  /** 0 off, 1 strict, 2 filter. */
  readonly seccomp: number;
  readonly seccompFilters: number;
  /** Tasks of the thread group. */
  threads(): readonly ProcTask[];
  /** Bytes as the program has them in its memory now. */
  commandLine(): string;
  environment(): string;
  auxiliaryVector(): string;
  regions(): readonly ProcRegion[];
  descriptors(): readonly number[];
  /** The same object as long as the number stands for the same open file. */
  descriptor(number: number): ProcDescriptor | null;
  executable(): Location | null;
  cwd(): Location | null;
  root(): Location | null;
  /** Mounts of its namespace, in the order of `MountNamespace.list`. */
  mounts(): readonly Mount[];
  /** Soft and hard limits by RLIMIT_* number; Infinity: unlimited. */
  limit(resource: number): readonly [number, number];
  /** What it is in, as links of /proc/PID/ns. */
  namespaces(): readonly { readonly name: string; readonly label: string; readonly place: Location }[];
  /** Maps of its user namespace; writing throws EPERM, EINVAL. */
  idMap(kind: 'uids' | 'gids'): string;
  writeIdMap(kind: 'uids' | 'gids', text: string): void;
  setsGroups(): string;
  writeSetsGroups(text: string): void;
  /** Path of its cgroup, '/' at the root. */
  readonly cgroup: string;
  /** oom_score_adj; setting throws EACCES. */
  readonly oomAdjust: number;
  setOomAdjust(value: number): void;
  /** Files of /proc/PID/net by name, and what they hold now; the same functions as long as it is the same network. */
  networkFiles(): ReadonlyMap<string, () => string>;
  rename(name: string): void;
  /** What calls moved, in bytes and calls; and what of it went from and to files that are not memory. */
  io(): { rchar: number; wchar: number; syscr: number; syscw: number; readBytes: number; writeBytes: number };
  /** Flags of personality(2). */
  readonly personality: number;
  /** How often it got the processor. */
  readonly turns: number;
  /** Nanoseconds. */
  readonly timerSlack: number;
  /** Who logged in, and which login it was: what audit(7) calls them; 4294967295: nobody. Setting throws EPERM. */
  readonly loginUid: number;
  readonly auditSession: number;
  setLoginUid(uid: number): void;
  /** Processes that it made. */
  children(): readonly ProcTask[];
}

export interface ProcMachine {
  /** Bytes. */
  memory(): { total: number; free: number; available: number; cached: number; shared: number; buffers: number };
  readonly cpus: number;
  /** Nanoseconds since the start: all, and idle over all CPUs. */
  uptime(): { total: number; idle: number; user: number; system: number };
  /** Seconds since the epoch at which the kernel started. */
  readonly bootTime: number;
  load(): readonly [number, number, number];
  /** Runnable tasks, and all. */
  counts(): { runnable: number; tasks: number; forks: number; contextSwitches: number; lastPid: number };
  /** uname: release ('6.1.0-trivisor') and version ('#1 SMP …'). */
  readonly release: string;
  readonly version: string;
  hostname(): string;
  setHostname(name: string): void;
  /** Types of file systems that mount(2) takes; those without a device. */
  readonly fileSystems: readonly string[];
  /** 16 bytes as hexadecimal groups. */
  uuid(): string;
  readonly bootId: string;
}

export interface ProcSource {
  /** Processes that the namespace sees, ascending. */
  processes(): readonly ProcTask[];
  /** A process or a thread by number. */
  task(pid: number): ProcTask | null;
  /** Who is asking: the task that makes the system call. Throws ENOENT where the namespace does not see it. */
  current(): ProcTask;
  /** Whether who is asking may look into a task: ptrace(2)'s rule. */
  mayInspect(task: ProcTask): boolean;
  /** Ids as who is asking sees them. */
  userOf(uid: number): number;
  groupOf(gid: number): number;
  readonly machine: ProcMachine;
}
