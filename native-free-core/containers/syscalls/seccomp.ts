// seccomp, and prctl(PR_SET_SECCOMP).
// Owns their flags, and how a filter gets to all threads of a process.
// Never decides on a call.

import { errno } from '../errno.ts';
import { BpfProgram, INSTRUCTION_BYTES, INSTRUCTIONS_MAX } from '../kernel/classic-bpf.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { Action, Filter } from '../kernel/seccomp.ts';
import type { Task } from '../kernel/task.ts';

const SET_MODE_STRICT = 0;
const SET_MODE_FILTER = 1;
const GET_ACTION_AVAIL = 2;
const FLAG_TSYNC = 1;
const FLAG_LOG = 2;
const FLAG_SPEC_ALLOW = 4;
const FLAG_NEW_LISTENER = 8;
const FLAG_TSYNC_ESRCH = 16;
const FLAG_WAIT_KILLABLE = 32;
const MODE_STRICT = 1;
const MODE_FILTER = 2;
const CAP_SYS_ADMIN = 21;
/** Of these, those that need somebody who listens are not there. */
const AVAILABLE: readonly number[] = [
  Action.killProcess,
  Action.killThread,
  Action.trap,
  Action.errno,
  Action.trace,
  Action.log,
  Action.allow,
];

function setStrict(task: Task): number {
  if (task.seccomp) throw errno('EINVAL');
  task.seccomp = 'strict';
  return 0;
}

function setFilter(task: Task, flags: number, programAt: number): number {
  if (flags & ~(FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | FLAG_NEW_LISTENER | FLAG_TSYNC_ESRCH | FLAG_WAIT_KILLABLE))
    throw errno('EINVAL');
  if (flags & (FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE)) {
    task.kernel.notImplemented('seccomp: SECCOMP_FILTER_FLAG_NEW_LISTENER');
    throw errno('EINVAL');
  }
  const { credentials, space } = task;
  const length = space.readU32(programAt) & 0xffff;
  const instructionsAt = space.readI64(programAt + 8);
  if (length === 0 || length > INSTRUCTIONS_MAX) throw errno('EINVAL');
  if (!task.noNewPrivileges && !credentials.capableIn(credentials.namespace, CAP_SYS_ADMIN)) throw errno('EACCES');
  const program = new BpfProgram(space.bytes(instructionsAt, length * INSTRUCTION_BYTES));
  if (task.seccomp === 'strict') throw errno('EINVAL');
  const filter = new Filter(program, task.seccomp);
  if (flags & FLAG_TSYNC) {
    for (const thread of task.process.threads) {
      if (thread === task) continue;
      if (thread.seccomp === 'strict' || (thread.seccomp && !task.seccomp?.includes(thread.seccomp))) {
        if (flags & FLAG_TSYNC_ESRCH) throw errno('ESRCH');
        return task.pidSeen(thread.tid);
      }
    }
    for (const thread of task.process.threads) {
      thread.seccomp = filter;
      thread.noNewPrivileges ||= task.noNewPrivileges;
    }
  }
  task.seccomp = filter;
  return 0;
}

/** PR_SET_SECCOMP. */
export function setSeccomp(task: Task, mode: number, programAt: number): number {
  if (mode === MODE_STRICT) return setStrict(task);
  if (mode === MODE_FILTER) return setFilter(task, 0, programAt);
  throw errno('EINVAL');
}

const seccomp: SystemCall = (task, operation, flags, address) => {
  switch (operation) {
    case SET_MODE_STRICT:
      if (flags !== 0 || address !== 0) throw errno('EINVAL');
      return setStrict(task);
    case SET_MODE_FILTER:
      return setFilter(task, flags, address);
    case GET_ACTION_AVAIL:
      if (flags !== 0) throw errno('EINVAL');
      if (!AVAILABLE.includes(task.space.readU32(address))) throw errno('EOPNOTSUPP');
      return 0;
    default:
      throw errno('EINVAL');
  }
};

export const seccompCalls: Record<string, SystemCall> = { seccomp };
