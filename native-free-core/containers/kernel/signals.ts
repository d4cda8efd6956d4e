// Signals on their way: who may be sent one, whom it wakes, and what happens when it is delivered.
// Owns sending to tasks, processes and groups, default actions, stopping and continuing, and restarts of calls.
// Never lays out a frame: signal-frame.ts does.

import { S } from '../../cpu/state.ts';
import { errno } from '../errno.ts';
import { exitProcess, reportStop } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { isFirst } from './namespaces.ts';
import type { Process } from './process.ts';
import { pushFrame } from './signal-frame.ts';
import {
  bitOf,
  defaultActionOf,
  SIG_DFL,
  SIG_IGN,
  SiCode,
  SigAction,
  Signal,
  STOPPING,
  UNBLOCKABLE,
} from './signal-numbers.ts';
import type { SignalInformation } from './signal-queue.ts';
import type { Task } from './task.ts';

const CAP_KILL = 5;
/** Length of SYSCALL: how far a restart goes back. */
const CALL_BYTES = 2n;

/** Nothing would happen if it were delivered. */
function isIgnored(process: Process, signal: number): boolean {
  const { handler } = process.handlers.get(signal);
  return handler === SIG_IGN || (handler === SIG_DFL && defaultActionOf(signal) === 'ignore');
}

/** What a signal does the moment it is sent, delivered or not. */
function onSent(kernel: Kernel, process: Process, signal: number): void {
  if (signal === Signal.SIGCONT) {
    process.pending.remove(STOPPING);
    for (const task of process.threads) task.pending.remove(STOPPING);
    if (process.isStopped) {
      process.stopSignal = 0;
      process.continueReport = true;
      reportStop(kernel, process, SiCode.CLD_CONTINUED, Signal.SIGCONT);
      for (const task of process.threads) kernel.enqueue(task);
    }
  } else if ((bitOf(signal) & STOPPING) !== 0n) {
    process.pending.remove(bitOf(Signal.SIGCONT));
    for (const task of process.threads) task.pending.remove(bitOf(Signal.SIGCONT));
  }
}

/** Makes a task that waits, or that is another one than the one that executes, look at its signals. */
function notice(kernel: Kernel, task: Task): void {
  if (task === kernel.current) kernel.leave();
  task.wake();
  kernel.enqueue(task);
}

/** Sends to one task. False: its queue is full. */
export function sendToTask(kernel: Kernel, task: Task, information: SignalInformation): boolean {
  const { process } = task;
  const { signal } = information;
  if (process.isZombie || task.state === 'dead') return true;
  onSent(kernel, process, signal);
  const bit = bitOf(signal);
  if ((task.blocked & bit) === 0n && isIgnored(process, signal)) return true;
  if (signal === Signal.SIGKILL) return killNow(kernel, process);
  if (!task.pending.add(information)) return false;
  process.signalled.wake();
  if ((task.blocked & bit) === 0n || waitsFor(task, bit)) notice(kernel, task);
  return true;
}

/** Sends to a process: any thread that does not block it takes it. */
export function sendToProcess(kernel: Kernel, process: Process, information: SignalInformation): boolean {
  const { signal } = information;
  if (process.isZombie) return true;
  onSent(kernel, process, signal);
  const bit = bitOf(signal);
  const threads = [...process.threads];
  if (threads.every((task) => (task.blocked & bit) === 0n) && isIgnored(process, signal)) return true;
  if (signal === Signal.SIGKILL) return killNow(kernel, process);
  if (!process.pending.add(information)) return false;
  process.signalled.wake();
  const takes = (task: Task): boolean => (task.blocked & bit) === 0n || waitsFor(task, bit);
  const taker = takes(process.leader) && process.leader.state !== 'dead' ? process.leader : threads.find(takes);
  if (taker) notice(kernel, taker);
  return true;
}

/** Whether sigtimedwait would take it. */
const waitsFor = (task: Task, bit: bigint): boolean => (task.awaited & bit) !== 0n;

/** SIGKILL waits for nobody. */
function killNow(kernel: Kernel, process: Process): boolean {
  exitProcess(kernel, process, Signal.SIGKILL);
  return true;
}

/** An exception of the processor: where the program would not see it, it is ended. */
export function forceSignal(kernel: Kernel, task: Task, information: SignalInformation): void {
  const { signal } = information;
  const { handlers } = task.process;
  const bit = bitOf(signal);
  if (handlers.get(signal).handler === SIG_IGN || (task.blocked & bit) !== 0n) {
    handlers.reset(signal);
    task.blocked &= ~bit;
  }
  task.pending.add(information);
  if (task === kernel.current) kernel.leave();
}

/** kill(2)'s permission: the same user, a capability, or SIGCONT within a session. */
export function maySignal(from: Task, to: Process, signal: number): boolean {
  const { credentials } = from;
  const target = to.leader.credentials;
  if (credentials.capableIn(target.namespace, CAP_KILL)) return true;
  if (signal === Signal.SIGCONT && from.process.session === to.session) return true;
  return [credentials.euid, credentials.uid].some((uid) => uid === target.uid || uid === target.suid);
}

/**
 * Whether a call can send this: the first process of a PID namespace gets from within only what it handles, not even SIGKILL
 * (pid_namespaces(7)).
 */
export function reaches(from: Task, to: Process, signal: number): boolean {
  const { pid } = to.leader.namespaces;
  if (!isFirst(to) || !from.namespaces.pid.isWithin(pid)) return true;
  // A command that is a container's first process ends by its own signals as it would elsewhere.
  if (from.process === to && !pid.parent) return true;
  if (signal === Signal.SIGKILL || signal === Signal.SIGSTOP) return false;
  if (to.handlers.get(signal).handler !== SIG_DFL) return true;
  // What is blocked may have a handler by the time that it is not.
  return [...to.threads].some(({ blocked }) => (blocked & bitOf(signal)) !== 0n);
}

/** kill(2): `pid` as the call has it. `signal` 0 only looks. Throws ESRCH, EPERM. */
export function kill(kernel: Kernel, task: Task, pid: number, signal: number, information: SignalInformation): number {
  let targets: Process[];
  if (pid > 0) {
    const found = task.pidMeant(pid);
    const process = kernel.processes.get(found) ?? kernel.tasks.get(found)?.process;
    targets = process ? [process] : [];
  } else if (pid === -1)
    targets = [...kernel.processes.values()].filter(
      (process) => process !== task.process && task.pidSeen(process.pid) > 1,
    );
  else {
    const group = pid === 0 ? task.process.group : task.pidMeant(-pid);
    targets = [...kernel.processes.values()].filter((process) => process.group === group && !process.isZombie);
  }
  if (targets.length === 0) throw errno('ESRCH');
  const allowed = targets.filter((process) => maySignal(task, process, signal));
  if (allowed.length === 0) throw errno('EPERM');
  if (signal !== 0)
    for (const process of allowed) if (reaches(task, process, signal)) sendToProcess(kernel, process, information);
  return 0;
}

/** To every process of a group: what a terminal does. */
export function signalGroup(kernel: Kernel, group: number, signal: number): void {
  for (const process of [...kernel.processes.values()])
    if (process.group === group) sendToProcess(kernel, process, { signal, code: SiCode.SI_KERNEL });
}

/** What waits is delivered to the task, whose registers the vCPU has. */
export function deliverSignals(kernel: Kernel, task: Task): void {
  for (;;) {
    if (task.state === 'dead' || task.process.ending) return;
    const information = task.takeSignal(~task.blocked);
    if (!information) break;
    const { signal } = information;
    const action = task.process.handlers.get(signal);
    if (action.handler === SIG_IGN) continue;
    if (action.handler === SIG_DFL) {
      act(kernel, task, signal);
      if (task.process.isStopped) return;
      continue;
    }
    settleCall(kernel, task, (action.flags & SigAction.SA_RESTART) !== 0 ? 'mayRestart' : 'fails');
    const blockedBefore = task.savedBlocked ?? task.blocked;
    task.savedBlocked = undefined;
    if (!pushFrame(kernel.cpu.system, task, action, information, blockedBefore)) {
      // There is no room for the frame: SIGSEGV, and no handler can be called for that one either.
      task.process.handlers.reset(Signal.SIGSEGV);
      task.blocked &= ~bitOf(Signal.SIGSEGV);
      task.pending.add({ signal: Signal.SIGSEGV, code: SiCode.SI_KERNEL });
      continue;
    }
    task.blocked |= action.mask & ~UNBLOCKABLE;
    if ((action.flags & SigAction.SA_NODEFER) === 0) task.blocked |= bitOf(signal) & ~UNBLOCKABLE;
    if (action.flags & SigAction.SA_RESETHAND) task.process.handlers.reset(signal);
  }
  settleCall(kernel, task, 'noHandler');
  if (task.savedBlocked !== undefined) {
    task.blocked = task.savedBlocked;
    task.savedBlocked = undefined;
  }
}

/** An interrupted call begins anew, or stays with its EINTR. */
function settleCall(kernel: Kernel, task: Task, how: 'mayRestart' | 'fails' | 'noHandler'): void {
  const { interrupted } = task;
  if (interrupted === undefined) return;
  task.interrupted = undefined;
  if (interrupted === 'fail') return;
  const again = how === 'noHandler' || (how === 'mayRestart' && interrupted === 'restart');
  if (!again) return;
  const { system } = kernel.cpu;
  system.set64(S.regs, BigInt(task.callNumber));
  system.ip -= CALL_BYTES;
}

function act(kernel: Kernel, task: Task, signal: number): void {
  const { process } = task;
  switch (defaultActionOf(signal)) {
    case 'ignore':
    case 'continue':
      return;
    case 'stop': {
      process.stopSignal = signal;
      process.stopReport = signal;
      reportStop(kernel, process, SiCode.CLD_STOPPED, signal);
      kernel.leave();
      return;
    }
    case 'core':
    case 'terminate':
      exitProcess(kernel, process, signal);
  }
}
