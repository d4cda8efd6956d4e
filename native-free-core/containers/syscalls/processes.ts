// fork, execve, exit, wait and their kin; process groups and sessions; limits and accounts.
// Owns their flags and arguments.
// Never schedules: kernel/ does what these calls ask for.

import { errno } from '../errno.ts';
import { cloneTask } from '../kernel/clone.ts';
import { Clone } from '../kernel/clone-flags.ts';
import { watchOf } from '../kernel/cpu-watch.ts';
import { execute } from '../kernel/exec.ts';
import { exitProcess, exitTask, reap } from '../kernel/exit.ts';
import { type Kernel, REGISTERS_SET, type SystemCall } from '../kernel/kernel.ts';
import { CONTINUED_STATUS, type Process, Rlimit, stoppedStatus, type Times } from '../kernel/process.ts';
import { siginfo } from '../kernel/signal-frame.ts';
import { SiCode, Signal } from '../kernel/signal-numbers.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_NONBLOCK } from '../vfs/constants.ts';
import { pathAt, placeAt, SECOND, stringsAt, writeTime } from './arguments.ts';
import { addProcessDescriptor, processBehind } from './pidfd.ts';

const WNOHANG = 1;
const WUNTRACED = 2;
const WEXITED = 4;
const WCONTINUED = 8;
const WNOWAIT = 0x01000000;
const WNOTHREAD = 0x20000000;
const WALL = 0x40000000;
const WCLONE = 0x80000000;
const P_PIDFD = 3;

const CLONE_ARGS_SIZE_VER0 = 64;
const CLONE_CLEAR_SIGHAND = 0x1_0000_0000;

const execveat: SystemCall = (task, fd, path, argumentsAt, environmentAt, flags) => {
  const name = pathAt(task, path);
  const location = placeAt(task, fd, path, flags & AT_EMPTY_PATH, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  const argumentList = stringsAt(task, argumentsAt);
  // A program that is given no name at all is given an empty one, as Linux does since 5.18.
  if (argumentList.length === 0) argumentList.push('');
  const environment = stringsAt(task, environmentAt);
  const told =
    (fd | 0) === AT_FDCWD || name.startsWith('/') ? name : `/dev/fd/${fd | 0}${name === '' ? '' : `/${name}`}`;
  execute(task.kernel, task, { location, path: told, argumentList, environment });
  return REGISTERS_SET;
};

/** CLONE_PIDFD: a descriptor of the child, stored in its parent's memory. */
function giveProcess(task: Task, child: Process, address: number): void {
  task.space.writeU32(address, addProcessDescriptor(task, child));
}

const clone3: SystemCall = (task, address, size) => {
  if (size < CLONE_ARGS_SIZE_VER0) throw errno('EINVAL');
  if (size > 4096) throw errno('E2BIG');
  const field = (index: number): number => task.space.readI64(address + index * 8);
  const flags = field(0);
  if (flags >= CLONE_CLEAR_SIGHAND * 2 || flags < 0) throw errno('EINVAL');
  const stack = field(5);
  const stackSize = field(6);
  if ((stack === 0) !== (stackSize === 0)) throw errno('EINVAL');
  if (size >= 80 && field(9) !== 0) throw errno('EINVAL');
  return cloneTask(task.kernel, task, {
    flags: (flags % CLONE_CLEAR_SIGHAND) | 0,
    giveDescriptor: flags & Clone.pidfd ? (child) => giveProcess(task, child, field(1)) : undefined,
    childTid: field(2),
    parentTid: field(3),
    exitSignal: field(4),
    stack: stack + stackSize,
    tls: field(7),
    clearHandlers: flags >= CLONE_CLEAR_SIGHAND,
  });
};

interface Found {
  readonly process: Process;
  readonly status: number;
}

/** A child that has changed as `options` ask for, or undefined. Throws ECHILD where none ever could. */
function findChild(task: Task, matches: (process: Process) => boolean, options: number): Found | undefined {
  let any = false;
  for (const process of task.process.children) {
    if (!matches(process)) continue;
    const isClone = process.leader.exitSignal !== Signal.SIGCHLD;
    if ((options & WALL) === 0 && isClone !== ((options & WCLONE) !== 0)) continue;
    any = true;
    if (options & WEXITED && process.isZombie) return { process, status: process.exitStatus! };
    if (options & WUNTRACED && process.stopReport !== undefined && !process.isZombie)
      return { process, status: stoppedStatus(process.stopReport) };
    if (options & WCONTINUED && process.continueReport) return { process, status: CONTINUED_STATUS };
  }
  if (!any) throw errno('ECHILD');
  return undefined;
}

/** What was told is told no more. */
function consume(kernel: Kernel, { process, status }: Found): void {
  if (process.isZombie) reap(kernel, process);
  else if (status === CONTINUED_STATUS) process.continueReport = false;
  else process.stopReport = undefined;
}

const wait4: SystemCall = (task, pid, statusAt, options, usageAt) => {
  if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE)) throw errno('EINVAL');
  const wanted = pid | 0;
  const group = wanted < 0 ? task.pidMeant(-wanted) : task.process.group;
  const one = task.pidMeant(wanted);
  const matches = (process: Process): boolean =>
    wanted === -1 || (wanted > 0 ? process.pid === one : process.group === group);
  return task.block({
    attempt: () => {
      const found = findChild(task, matches, options | WEXITED);
      if (!found) return options & WNOHANG ? 0 : BLOCKED;
      if (statusAt !== 0) task.space.writeU32(statusAt, found.status);
      if (usageAt !== 0) writeUsage(task, usageAt, allTimes(found.process));
      const number = task.pidSeen(found.process.pid);
      consume(task.kernel, found);
      return number;
    },
    on: [task.process.childChanged],
    interrupted: 'restart',
  });
};

const waitid: SystemCall = (task, kind, id, informationAt, options, usageAt) => {
  if (options & ~(WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | WNOTHREAD | WALL | WCLONE))
    throw errno('EINVAL');
  if ((options & (WUNTRACED | WEXITED | WCONTINUED)) === 0 || kind < 0 || kind > P_PIDFD) throw errno('EINVAL');
  const meant = task.pidMeant(id | 0);
  const behind = kind === P_PIDFD ? processBehind(task, id) : undefined;
  const mustNotWait = behind !== undefined && (task.files.get(id | 0).flags & O_NONBLOCK) !== 0;
  const matches = (process: Process): boolean =>
    behind
      ? process === behind
      : kind === 0 || (kind === 1 ? process.pid === meant : process.group === (id === 0 ? task.process.group : meant));
  return task.block({
    attempt: () => {
      const found = findChild(task, matches, options);
      if (!found) {
        if (mustNotWait) throw errno('EAGAIN');
        if ((options & WNOHANG) === 0) return BLOCKED;
        if (informationAt !== 0) task.space.write(informationAt, new Uint8Array(128));
        return 0;
      }
      const { process, status } = found;
      if (informationAt !== 0) task.space.write(informationAt, childInformation(task, process, status));
      if (usageAt !== 0) writeUsage(task, usageAt, allTimes(process));
      if ((options & WNOWAIT) === 0) consume(task.kernel, found);
      return 0;
    },
    on: [task.process.childChanged],
    interrupted: 'restart',
  });
};

function childInformation(task: Task, process: Process, status: number): Uint8Array {
  const signal = status & 0x7f;
  const [code, value] =
    status === CONTINUED_STATUS
      ? [SiCode.CLD_CONTINUED, Signal.SIGCONT]
      : signal === 0x7f
        ? [SiCode.CLD_STOPPED, status >> 8]
        : signal === 0
          ? [SiCode.CLD_EXITED, status >> 8]
          : [status & 0x80 ? SiCode.CLD_DUMPED : SiCode.CLD_KILLED, signal];
  const { pid, leader } = process;
  return siginfo({ signal: Signal.SIGCHLD, code, pid, uid: leader.credentials.uid, status: value }, task);
}

/** A process's times and those of the children it has waited for. */
function allTimes({ times, waitedChildren }: Process): Times {
  return { user: times.user + waitedChildren.user, system: times.system + waitedChildren.system };
}

/** struct rusage. */
function writeUsage(task: Task, address: number, { user, system }: Times): void {
  task.space.write(address, new Uint8Array(144));
  writeTime(task, address, user, 1e6);
  writeTime(task, address + 16, system, 1e6);
  task.space.writeI64(address + 32, Math.ceil(task.space.resident / 1024));
}

const getrusage: SystemCall = (task, who, address) => {
  const of = who | 0;
  if (of === 0) writeUsage(task, address, task.process.times);
  else if (of === -1) writeUsage(task, address, task.process.waitedChildren);
  else if (of === 1) writeUsage(task, address, task.times);
  else throw errno('EINVAL');
  return 0;
};

const times: SystemCall = (task, address) => {
  const ticks = (nanoseconds: number): number => Math.floor(nanoseconds / (SECOND / 100));
  if (address !== 0) {
    const { times: own, waitedChildren } = task.process;
    for (const [at, time] of [own.user, own.system, waitedChildren.user, waitedChildren.system].entries())
      task.space.writeI64(address + at * 8, ticks(time));
  }
  return ticks(task.kernel.now());
};

function processOf(task: Task, pid: number): Process {
  const id = pid | 0;
  const process = id === 0 ? task.process : task.other(id)?.process;
  if (!process) throw errno('ESRCH');
  return process;
}

const setpgid: SystemCall = (task, pid, group) => {
  const process = processOf(task, pid);
  if ((group | 0) < 0) throw errno('EINVAL');
  const to = (group | 0) === 0 ? process.pid : task.pidMeant(group | 0);
  if (process !== task.process && process.parent !== task.process) throw errno('ESRCH');
  if (process !== task.process && process.hasExecuted) throw errno('EACCES');
  if (process.session !== task.process.session || process.pid === process.session.id) throw errno('EPERM');
  if (to !== process.pid) {
    const { session } = process;
    const exists = [...task.kernel.processes.values()].some((other) => other.group === to && other.session === session);
    if (!exists) throw errno('EPERM');
  }
  process.group = to;
  return 0;
};

const setsid: SystemCall = (task) => {
  const { process, kernel } = task;
  for (const other of kernel.processes.values()) if (other.group === process.pid) throw errno('EPERM');
  process.session = { id: process.pid, terminal: null };
  process.group = process.pid;
  return task.pidSeen(process.pid);
};

const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
const limitWord = (value: number): bigint => (value === Infinity ? RLIM_INFINITY : BigInt(value));
const limitOf = (word: bigint): number => (word === RLIM_INFINITY ? Infinity : Number(word));
const CAP_SYS_RESOURCE = 24;
/** fs.nr_open */
const FILES_MAX = 1 << 20;

function prlimit(task: Task, process: Process, resource: number, newAt: number, oldAt: number): number {
  if (resource < 0 || resource > 15) throw errno('EINVAL');
  const before = process.limits[resource];
  if (newAt !== 0) {
    const soft = limitOf(task.space.readBig(newAt));
    const hard = limitOf(task.space.readBig(newAt + 8));
    if (soft > hard) throw errno('EINVAL');
    if (resource === Rlimit.files && hard > FILES_MAX) throw errno('EPERM');
    if (hard > before.hard && !task.credentials.capable(CAP_SYS_RESOURCE)) throw errno('EPERM');
    process.limits[resource] = { soft, hard };
    if (resource === Rlimit.cpu && soft !== Infinity) watchOf(task.kernel, process);
    if (resource === Rlimit.stack) process.leader.space.stackLimit = Math.min(soft, 1 << 30);
  }
  if (oldAt !== 0) {
    task.space.writeBig(oldAt, limitWord(before.soft));
    task.space.writeBig(oldAt + 8, limitWord(before.hard));
  }
  return 0;
}

export const processCalls: Record<string, SystemCall> = {
  fork: (task) =>
    cloneTask(task.kernel, task, { flags: 0, stack: 0, parentTid: 0, childTid: 0, tls: 0, exitSignal: Signal.SIGCHLD }),
  vfork: (task) =>
    cloneTask(task.kernel, task, {
      flags: Clone.vfork | Clone.vm,
      stack: 0,
      parentTid: 0,
      childTid: 0,
      tls: 0,
      exitSignal: Signal.SIGCHLD,
    }),
  clone: (task, flags, stack, parentTid, childTid, tls) => {
    if (flags & Clone.pidfd && flags & Clone.parentSetTid) throw errno('EINVAL');
    return cloneTask(task.kernel, task, {
      flags: flags & ~0xff,
      stack,
      parentTid,
      childTid,
      tls,
      exitSignal: flags & 0xff,
      giveDescriptor: flags & Clone.pidfd ? (child) => giveProcess(task, child, parentTid) : undefined,
    });
  },
  clone3,
  execve: (task, path, argumentsAt, environmentAt) => execveat(task, AT_FDCWD, path, argumentsAt, environmentAt, 0, 0),
  execveat,
  exit: (task, code) => {
    exitTask(task.kernel, task, code & 0xff);
    return REGISTERS_SET;
  },
  exit_group: (task, code) => {
    exitProcess(task.kernel, task.process, 0, code & 0xff);
    return REGISTERS_SET;
  },
  wait4,
  waitid,
  getrusage,
  times,
  getpid: (task) => task.pidSeen(task.process.pid),
  gettid: (task) => task.pidSeen(task.tid),
  getppid: (task) => task.pidSeen(task.process.parent?.pid ?? 0),
  getpgrp: (task) => task.pidSeen(task.process.group),
  getpgid: (task, pid) => task.pidSeen(processOf(task, pid).group),
  getsid: (task, pid) => task.pidSeen(processOf(task, pid).session.id),
  setpgid,
  setsid,
  set_tid_address: (task, address) => {
    task.clearTid = address;
    return task.pidSeen(task.tid);
  },
  set_robust_list: (task, head, size) => {
    if (size !== 24) throw errno('EINVAL');
    task.robustList = head;
    return 0;
  },
  get_robust_list: (task, pid, headAt, sizeAt) => {
    const of = (pid | 0) === 0 ? task : task.other(pid | 0);
    if (!of) throw errno('ESRCH');
    task.space.writeI64(headAt, of.robustList);
    task.space.writeI64(sizeAt, 24);
    return 0;
  },
  getrlimit: (task, resource, address) => prlimit(task, task.process, resource, 0, address),
  setrlimit: (task, resource, address) => prlimit(task, task.process, resource, address, 0),
  prlimit64: (task, pid, resource, newAt, oldAt) => prlimit(task, processOf(task, pid), resource, newAt, oldAt),
  sched_yield: (task) => {
    task.kernel.leave();
    return 0;
  },
};
