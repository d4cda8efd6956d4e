// New tasks: fork, vfork, clone and clone3.
// Owns which parts of a task its child shares and which it copies.
// Never schedules.

import { S, Seg, segBaseAddress } from '../../cpu/state.ts';
import { STATE_BASE } from '../../memory/layout.ts';
import { errno } from '../errno.ts';
import type { AddressSpace } from '../memory/address-space.ts';
import { NetworkNamespace } from '../sockets/network-namespace.ts';
import { Clone } from './clone-flags.ts';
import { watchOf } from './cpu-watch.ts';
import type { Kernel } from './kernel.ts';
import { checkNamespaceFlags, inNewUserNamespace, newNamespaces } from './new-namespaces.ts';
import { outOfMemory } from './out-of-memory.ts';
import { Process, Rlimit } from './process.ts';
import { BLOCKED, Task } from './task.ts';

export interface CloneRequest {
  flags: number;
  /** 0: the parent's own. */
  stack: number;
  parentTid: number;
  childTid: number;
  tls: number;
  exitSignal: number;
  /** Handlers are as after exec. */
  clearHandlers?: boolean;
  /** CLONE_PIDFD: gives the parent a descriptor of its child. */
  giveDescriptor?: ((child: Process) => void) | undefined;
}

/** Whoever is asked for memory in the child's name is the child. */
function forkSpace(kernel: Kernel, space: AddressSpace, child: Process): AddressSpace {
  const copy = space.fork();
  copy.onFull = () => outOfMemory(kernel, child);
  return copy;
}

/** Most tasks at once: what pids.max bounds below. */
const TASKS_MAX = 32768;

/** The parent's result: the child's tid. Throws EINVAL, EAGAIN, EPERM. */
export function cloneTask(kernel: Kernel, parent: Task, request: CloneRequest): number {
  const { flags } = request;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(Clone.thread) && !has(Clone.sighand)) throw errno('EINVAL');
  if (has(Clone.sighand) && !has(Clone.vm)) throw errno('EINVAL');
  checkNamespaceFlags(parent, flags);
  const credentials = has(Clone.newUser) ? inNewUserNamespace(parent.credentials, parent) : parent.credentials;
  const { namespaces, fs: place } = newNamespaces(parent, flags, credentials);
  if (namespaces.pidForChildren.hasEnded) throw errno('ENOMEM');
  if (has(Clone.pidfd) && has(Clone.thread)) throw errno('EINVAL');
  const limit = parent.process.limit(Rlimit.processes);
  if (kernel.tasks.size >= Math.min(TASKS_MAX, limit)) throw errno('EAGAIN');

  parent.process.cgroup.demandTask();
  const tid = kernel.newPid();
  const { pidForChildren } = namespaces;
  pidForChildren.admit(tid);
  const make = (process: Process): Task => {
    const task = new Task(kernel, tid, {
      process,
      space: has(Clone.vm) ? parent.space : forkSpace(kernel, parent.space, process),
      files: has(Clone.files) ? parent.files : parent.files.fork(),
      fs: has(Clone.fs) ? parent.fs : { ...parent.fs, ...place },
      network: has(Clone.newNet) ? new NetworkNamespace(kernel, credentials.namespace) : parent.network,
      credentials,
      name: parent.name,
      exitSignal: has(Clone.thread) ? 0 : request.exitSignal,
    });
    task.namespaces = { ...namespaces, pid: pidForChildren };
    if (has(Clone.vm)) parent.space.users++;
    if (has(Clone.files)) parent.files.users++;
    return task;
  };
  let child: Task;
  if (has(Clone.thread)) {
    child = make(parent.process);
    parent.process.threads.add(child);
    parent.process.countTask(1);
  } else {
    const process = new Process(
      tid,
      has(Clone.parent) ? parent.process.parent : parent.process,
      parent.process.session,
      parent.process.cgroup,
      make,
    );
    child = process.leader;
    process.group = parent.process.group;
    process.limits = parent.process.limits.map((entry) => ({ ...entry }));
    if (process.limit(Rlimit.cpu) !== Infinity) watchOf(kernel, process);
    process.executable = parent.process.executable;
    process.executableLocation = parent.process.executableLocation;
    process.startTime = kernel.now();
    if (has(Clone.sighand)) {
      process.handlers = parent.process.handlers;
      process.handlers.users++;
    } else
      process.handlers = request.clearHandlers ? parent.process.handlers.forExec() : parent.process.handlers.fork();
    if (pidForChildren.seen(tid) === 1) pidForChildren.first = process;
    kernel.processes.set(tid, process);
  }
  kernel.tasks.set(tid, child);
  child.blocked = parent.blocked;
  child.nice = parent.nice;
  child.policy = parent.policy;
  child.ioPriority = parent.ioPriority;
  child.timerSlack = parent.timerSlack;
  child.loginUid = parent.loginUid;
  child.auditSession = parent.auditSession;
  child.noNewPrivileges = parent.noNewPrivileges;
  child.seccomp = parent.seccomp;
  child.keepCapabilities = parent.keepCapabilities;
  // A thread has no alternate stack, and neither has who shares the memory and goes on beside its parent.
  if (!has(Clone.vm) || has(Clone.vfork)) child.alternateStack = { ...parent.alternateStack };

  kernel.cpu.saveState(child.registers);
  const registers = new DataView(child.registers.buffer);
  registers.setBigUint64(S.regs - STATE_BASE, 0n, true);
  if (request.stack !== 0) registers.setBigUint64(S.regs + 4 * 8 - STATE_BASE, BigInt(request.stack), true);
  if (has(Clone.setTls)) registers.setBigUint64(segBaseAddress(Seg.fs) - STATE_BASE, BigInt(request.tls), true);
  if (has(Clone.parentSetTid)) parent.space.writeU32(request.parentTid, parent.pidSeen(tid));
  if (has(Clone.childSetTid)) child.space.writeU32(request.childTid, child.pidSeen(tid));
  if (has(Clone.childClearTid)) child.clearTid = request.childTid;
  request.giveDescriptor?.(child.process);
  kernel.enqueue(child);
  return has(Clone.vfork) ? waitForVfork(kernel, parent, child) : parent.pidSeen(tid);
}

/** The parent goes on when its child has its own program, or has ended. */
function waitForVfork(kernel: Kernel, parent: Task, child: Task): number {
  const tid = parent.pidSeen(child.tid);
  let done = false;
  child.vforkDone = () => {
    done = true;
    parent.wake();
  };
  const { blocked } = parent;
  // Nothing but SIGKILL, which waits for nobody, ends this wait.
  parent.blocked = ~0n & ((1n << 64n) - 1n);
  kernel.leave();
  return parent.block({
    attempt: () => (done ? tid : BLOCKED),
    interrupted: 'restart',
    finish: () => {
      parent.blocked = blocked;
    },
  });
}
