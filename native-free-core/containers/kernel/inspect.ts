// Who may look into another process: its memory, its open files, where it is.
// Owns the one rule that ptrace, /proc and pidfd_getfd go by.
// Never looks.

import type { Process } from './process.ts';
import type { Task } from './task.ts';

const CAP_SYS_PTRACE = 19;

/** PTRACE_MODE_ATTACH (ptrace(2)): the same user with no more capabilities, and a program that may be looked into. */
export function mayInspect(task: Task, process: Process): boolean {
  if (task.process === process || task.credentials.capableIn(process.leader.credentials.namespace, CAP_SYS_PTRACE))
    return true;
  const { uid, gid } = task.credentials;
  const target = process.leader.credentials;
  const same = [target.uid, target.euid, target.suid].every((id) => id === uid);
  const sameGroup = [target.gid, target.egid, target.sgid].every((id) => id === gid);
  return same && sameGroup && process.dumpable === 1 && (target.permitted & ~task.credentials.permitted) === 0n;
}
