// Policies, priorities and affinity of tasks.
// Owns their arguments, and who may change whose (sched(7), ioprio_set(2)).
// Never schedules: a policy is kept for who asks, and turns go by cgroups' weights.

import { errno } from '../errno.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { SECOND, viewOf } from './arguments.ts';

const SCHED_FIFO = 1;
const SCHED_RR = 2;
const SCHED_DEADLINE = 6;
const SCHED_RESET_ON_FORK = 0x40000000;
/** Those that are only told apart from each other: other, batch, idle. */
const ORDINARY: readonly number[] = [0, 3, 5];
const CAP_SYS_NICE = 23;
const ATTRIBUTES_BYTES = 48;
const PRIO_PROCESS = 0;
const PRIO_USER = 2;
const IOPRIO_CLASS_MAX = 3;

/** The task of a call that names 0 or a number. Throws ESRCH, EINVAL. */
function taskOf(task: Task, pid: number): Task {
  if ((pid | 0) < 0) throw errno('EINVAL');
  const found = (pid | 0) === 0 ? task : task.other(pid | 0);
  if (!found) throw errno('ESRCH');
  return found;
}

function demandControl(task: Task, of: Task): void {
  const { credentials } = task;
  const target = of.credentials;
  if (credentials.euid === target.euid || credentials.euid === target.uid) return;
  if (!credentials.capableIn(target.namespace, CAP_SYS_NICE)) throw errno('EPERM');
}

function setPolicy(task: Task, of: Task, given: number, priority: number): number {
  const policy = given & ~SCHED_RESET_ON_FORK;
  if (policy === SCHED_FIFO || policy === SCHED_RR || policy === SCHED_DEADLINE) {
    if (policy !== SCHED_DEADLINE && (priority < 1 || priority > 99)) throw errno('EINVAL');
    // Nobody goes before all others: that would be a guest's way to starve its neighbours.
    throw errno('EPERM');
  }
  if (!ORDINARY.includes(policy) || priority !== 0) throw errno('EINVAL');
  demandControl(task, of);
  of.policy = policy;
  return 0;
}

function setNice(task: Task, of: Task, nice: number): void {
  const to = Math.max(-20, Math.min(19, nice | 0));
  demandControl(task, of);
  if (to < of.nice && !task.credentials.capableIn(of.credentials.namespace, CAP_SYS_NICE)) throw errno('EACCES');
  of.nice = to;
}

/** The tasks that PRIO_PROCESS, PRIO_PGRP or PRIO_USER mean. Throws ESRCH. */
function tasksOf(task: Task, which: number, who: number): Task[] {
  if (which < PRIO_PROCESS || which > PRIO_USER) throw errno('EINVAL');
  if (which === PRIO_PROCESS) return [taskOf(task, who)];
  const all = [...task.kernel.tasks.values()];
  const group = who === 0 ? task.process.group : task.pidMeant(who | 0);
  const uid = who === 0 ? task.credentials.uid : task.uidMeant(who >>> 0);
  const found = all.filter(({ process, credentials }) =>
    which === PRIO_USER ? credentials.uid === uid : process.group === group,
  );
  if (found.length === 0) throw errno('ESRCH');
  return found;
}

const affinity: SystemCall = (task, pid, size, address) => {
  taskOf(task, pid);
  if (size < 8 || size % 8 !== 0) throw errno('EINVAL');
  // One processor.
  task.space.writeI64(address, 1);
  return 8;
};

const getAttributes: SystemCall = (task, pid, address, size, flags) => {
  if (flags !== 0 || size < ATTRIBUTES_BYTES || size > 4096 || address === 0) throw errno('EINVAL');
  const of = taskOf(task, pid);
  const bytes = new Uint8Array(ATTRIBUTES_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, ATTRIBUTES_BYTES, true);
  view.setUint32(4, of.policy, true);
  view.setInt32(16, of.nice, true);
  task.space.write(address, bytes);
  return 0;
};

const setAttributes: SystemCall = (task, pid, address, flags) => {
  if (flags !== 0 || address === 0) throw errno('EINVAL');
  const size = task.space.readU32(address) || ATTRIBUTES_BYTES;
  if (size < ATTRIBUTES_BYTES) throw errno('E2BIG');
  const of = taskOf(task, pid);
  setPolicy(task, of, task.space.readU32(address + 4), task.space.readU32(address + 20));
  setNice(task, of, task.space.readI32(address + 16));
  return 0;
};

export const schedulingCalls: Record<string, SystemCall> = {
  sched_getaffinity: affinity,
  sched_setaffinity: (task, pid, size, address) => {
    const of = taskOf(task, pid);
    demandControl(task, of);
    const first = size > 0 ? task.space.readU8(address) : 0;
    if ((first & 1) === 0) throw errno('EINVAL');
    return 0;
  },
  sched_getparam: (task, pid, address) => {
    if (address === 0) throw errno('EINVAL');
    taskOf(task, pid);
    task.space.writeU32(address, 0);
    return 0;
  },
  sched_setparam: (task, pid, address) => {
    if (address === 0) throw errno('EINVAL');
    const of = taskOf(task, pid);
    return setPolicy(task, of, of.policy, task.space.readI32(address));
  },
  sched_getscheduler: (task, pid) => taskOf(task, pid).policy,
  sched_setscheduler: (task, pid, policy, address) => {
    if (address === 0 || (policy | 0) < 0) throw errno('EINVAL');
    return setPolicy(task, taskOf(task, pid), policy, task.space.readI32(address));
  },
  sched_getattr: getAttributes,
  sched_setattr: setAttributes,
  sched_get_priority_max: (_task, policy) => priorities(policy, 99),
  sched_get_priority_min: (_task, policy) => priorities(policy, 1),
  sched_rr_get_interval: (task, pid, address) => {
    taskOf(task, pid);
    // What Linux tells of ordinary tasks: a slice of a few milliseconds.
    task.space.writeI64(address, 0);
    task.space.writeI64(address + 8, SECOND / 250);
    return 0;
  },
  getpriority: (task, which, who) => 20 - Math.min(...tasksOf(task, which, who).map(({ nice }) => nice)),
  setpriority: (task, which, who, nice) => {
    for (const each of tasksOf(task, which, who)) setNice(task, each, nice);
    return 0;
  },
  ioprio_get: (task, which, who) => Math.max(...tasksOf(task, which - 1, who).map(({ ioPriority }) => ioPriority)),
  ioprio_set: (task, which, who, priority) => {
    const kind = priority >>> 13;
    if (kind > IOPRIO_CLASS_MAX || (kind !== 0 && (priority & 0x1fff) > 7)) throw errno('EINVAL');
    if (kind === 1 && !task.credentials.capable(21)) throw errno('EPERM');
    for (const each of tasksOf(task, which - 1, who)) {
      demandControl(task, each);
      each.ioPriority = priority;
    }
    return 0;
  },
};

function priorities(policy: number, ofRealTime: number): number {
  if (policy === SCHED_FIFO || policy === SCHED_RR) return ofRealTime;
  if (!ORDINARY.includes(policy) && policy !== SCHED_DEADLINE) throw errno('EINVAL');
  return 0;
}
