// The end of threads and processes, and who is told.
// Owns what is given back at an end, zombies, orphans, and the reports that wait collects.
// Never chooses an exit status.

import type { Terminal } from '../devices/terminal.ts';
import { Errno } from '../errno.ts';
import type { Kernel } from './kernel.ts';
import { isFirst } from './namespaces.ts';
import { exitedStatus, type Process, signalledStatus } from './process.ts';
import { SiCode, SigAction, Signal } from './signal-numbers.ts';
import { sendToProcess } from './signals.ts';
import type { Task } from './task.ts';

/** The whole process ends. `signal` not 0: by it; otherwise by exit_group(code). */
export function exitProcess(kernel: Kernel, process: Process, signal: number, code = 0, core = false): void {
  if (process.isZombie || process.ending) return;
  process.ending = true;
  const status = signal === 0 ? exitedStatus(code) : signalledStatus(signal, core);
  process.stopSignal = 0;
  for (const task of [...process.threads]) endTask(kernel, task, status);
}

/** One thread ends by exit(code); with the last one the process does. */
export function exitTask(kernel: Kernel, task: Task, code: number): void {
  endTask(kernel, task, exitedStatus(code));
}

/** All threads of the process but one end, which then is its leader: exec. */
export function endOtherThreads(kernel: Kernel, task: Task): void {
  for (const other of [...task.process.threads]) if (other !== task) endTask(kernel, other, 0);
}

function endTask(kernel: Kernel, task: Task, status: number): void {
  const { process } = task;
  if (task.state === 'dead') return;
  if (task === kernel.current) kernel.leave();
  task.endWait();
  task.state = 'dead';
  releaseRobustFutexes(kernel, task);
  if (task.clearTid !== 0 && task.space.users > 1) {
    try {
      task.space.writeU32(task.clearTid, 0);
      kernel.futexes.wake(task, task.clearTid, 1, 0xffffffff);
    } catch (error) {
      // Nothing is mapped there any more: then nobody waits for it either.
      if (!(error instanceof Errno)) throw error;
    }
  }
  task.vforkDone?.();
  task.vforkDone = undefined;
  process.endedThreads.user += task.times.user;
  process.endedThreads.system += task.times.system;
  process.threads.delete(task);
  kernel.processor.forget(task);
  leaveSpace(kernel, task);
  if (--task.files.users === 0) task.files.closeAll();
  if (task !== process.leader) {
    kernel.tasks.delete(task.tid);
    process.countTask(-1);
    kernel.freeNumber(task.namespaces.pid, task.tid);
  }
  if (process.threads.size === 0) endProcess(kernel, process, status);
}

/** A task stops using its address space. */
export function leaveSpace(kernel: Kernel, task: Task): void {
  if (--task.space.users > 0) return;
  kernel.translation.leave(task.space);
  task.space.clear();
}

/** Futexes that the thread holds are marked: whoever waits for one learns that its holder is gone. */
function releaseRobustFutexes(kernel: Kernel, task: Task): void {
  if (task.robustList === 0) return;
  const { space } = task;
  try {
    const head = task.robustList;
    const offset = space.readI64(head + 8);
    const pending = space.readI64(head + 16);
    let entry = space.readI64(head);
    // A list that a program has tied into a knot ends here: ROBUST_LIST_LIMIT.
    for (let left = 2048; entry !== head && left > 0; left--) {
      const next = space.readI64(entry);
      if (entry !== pending) kernel.futexes.ownerDied(task, entry - (entry % 2) + offset);
      entry = next - (next % 2);
    }
    if (pending !== 0) kernel.futexes.ownerDied(task, pending - (pending % 2) + offset);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
  }
}

function endProcess(kernel: Kernel, process: Process, status: number): void {
  process.exitStatus = status;
  process.cgroup.processes.delete(process);
  for (const alarm of process.alarms) alarm?.cancel();
  process.timers.clear();
  for (const act of process.atEnd) act();
  process.ended.wake();
  if (process.pid === 1) kernel.endStatus = status;
  const { pid } = process.leader.namespaces;
  if (isFirst(process)) {
    // All that is in its namespace ends with it.
    pid.hasEnded = true;
    for (const other of [...kernel.processes.values()])
      if (other !== process && other.leader.namespaces.pid.isWithin(pid)) exitProcess(kernel, other, Signal.SIGKILL);
    if (process.pid === 1) return;
  }
  hangUpOrphans(kernel, process);
  const heir = heirOf(kernel, process);
  for (const child of process.children) {
    child.parent = heir;
    heir?.children.add(child);
    if (child.leader.deathSignal !== 0)
      sendToProcess(kernel, child, { signal: child.leader.deathSignal, code: SiCode.SI_USER, pid: process.pid });
    if (child.isZombie && heir) announce(kernel, child);
  }
  process.children.clear();
  announce(kernel, process);
}

/** A group that loses its last tie to the session while it is stopped is woken up (setpgid(2), orphaned groups). */
function hangUpOrphans(kernel: Kernel, process: Process): void {
  const { session } = process;
  if (process.pid !== session.id || !session.terminal) return;
  (session.terminal as Terminal).abandon();
  for (const other of [...kernel.processes.values()]) {
    if (other.session !== session || other.isZombie || other === process) continue;
    const isStopped = other.isStopped;
    sendToProcess(kernel, other, { signal: Signal.SIGHUP, code: SiCode.SI_KERNEL });
    if (isStopped) sendToProcess(kernel, other, { signal: Signal.SIGCONT, code: SiCode.SI_KERNEL });
  }
}

/** Who takes over the children: the nearest subreaper, or the first process. */
function heirOf(kernel: Kernel, process: Process): Process | undefined {
  const { pid } = process.leader.namespaces;
  for (let at = process.parent; at && at.leader.namespaces.pid === pid; at = at.parent)
    if (at.isSubreaper && !at.isZombie) return at;
  return pid.first?.isZombie === false ? pid.first : kernel.processes.get(1);
}

/** Tells the parent of a zombie, or lets it go where nobody wants to know. */
function announce(kernel: Kernel, process: Process): void {
  const { parent, leader } = process;
  if (!parent || parent.isZombie) {
    reap(kernel, process);
    return;
  }
  const status = process.exitStatus!;
  const forgets = leader.exitSignal === Signal.SIGCHLD && parent.handlers.forgetsChildren;
  if (leader.exitSignal !== 0) {
    const signal = status & 0x7f;
    sendToProcess(kernel, parent, {
      signal: leader.exitSignal,
      code: signal === 0 ? SiCode.CLD_EXITED : status & 0x80 ? SiCode.CLD_DUMPED : SiCode.CLD_KILLED,
      pid: process.pid,
      uid: leader.credentials.uid,
      status: signal === 0 ? status >> 8 : signal,
    });
  }
  if (forgets) reap(kernel, process);
  parent.childChanged.wake();
}

/** A zombie that has been waited for is gone. */
export function reap(kernel: Kernel, process: Process): void {
  const { parent, leader } = process;
  if (parent) {
    parent.children.delete(process);
    const { waitedChildren } = parent;
    waitedChildren.user += process.endedThreads.user + process.waitedChildren.user;
    waitedChildren.system += process.endedThreads.system + process.waitedChildren.system;
  }
  kernel.processes.delete(process.pid);
  process.countTask(-process.countedTasks);
  kernel.tasks.delete(process.pid);
  const { pid } = leader.namespaces;
  for (const number of [process.pid, process.group, process.session.id]) kernel.freeNumber(pid, number);
}

/** Tells the parent that a process stopped or goes on. */
export function reportStop(kernel: Kernel, process: Process, code: number, signal: number): void {
  const { parent } = process;
  if (!parent || parent.isZombie) return;
  if ((parent.handlers.get(Signal.SIGCHLD).flags & SigAction.SA_NOCLDSTOP) === 0)
    sendToProcess(kernel, parent, {
      signal: Signal.SIGCHLD,
      code,
      pid: process.pid,
      uid: process.leader.credentials.uid,
      status: signal,
    });
  parent.childChanged.wake();
}
