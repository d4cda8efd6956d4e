// sigaction, kill and their kin.
// Owns their arguments.
// Never delivers a signal: kernel/signals.ts does.

import { errno } from '../errno.ts';
import { REGISTERS_SET, type SystemCall } from '../kernel/kernel.ts';
import { popFrame, siginfo, stackFlags } from '../kernel/signal-frame.ts';
import {
  bitOf,
  defaultActionOf,
  SIG_DFL,
  SIG_IGN,
  SIGNAL_MAX,
  SiCode,
  Signal,
  type SignalSet,
  UNBLOCKABLE,
} from '../kernel/signal-numbers.ts';
import type { SignalInformation } from '../kernel/signal-queue.ts';
import { forceSignal, kill, maySignal, reaches, sendToProcess, sendToTask } from '../kernel/signals.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { signalSetAt, timespecAt } from './arguments.ts';

const SS_DISABLE = 2;
const SS_ONSTACK = 1;
const MINSIGSTKSZ = 2048;

/** The number of a signal that a call names. Throws EINVAL. */
export function checkedSignal(signal: number, from = 0): number {
  const number = signal | 0;
  if (number < from || number > SIGNAL_MAX) throw errno('EINVAL');
  return number;
}

/** Signals that are not blocked any more are delivered before the program goes on. */
export function setBlocked(task: Task, blocked: SignalSet): void {
  task.blocked = blocked & ~UNBLOCKABLE;
  if (task.deliverable !== 0n) task.kernel.leave();
}

const sigaction: SystemCall = (task, signal, newAt, oldAt, size) => {
  const number = checkedSignal(signal, 1);
  if (size !== 8) throw errno('EINVAL');
  if (newAt !== 0 && (bitOf(number) & UNBLOCKABLE) !== 0n) throw errno('EINVAL');
  const { handlers } = task.process;
  const before = handlers.get(number);
  const { space } = task;
  if (newAt !== 0) {
    const handler = space.readI64(newAt);
    const flags = Number(space.readBig(newAt + 8) & 0xffff_ffffn);
    handlers.set(number, { handler, flags, restorer: space.readI64(newAt + 16), mask: space.readBig(newAt + 24) });
    const ignores = handler === SIG_IGN || (handler === SIG_DFL && defaultActionOf(number) === 'ignore');
    if (ignores) {
      task.process.pending.remove(bitOf(number));
      for (const thread of task.process.threads) thread.pending.remove(bitOf(number));
    }
  }
  if (oldAt !== 0) {
    space.writeI64(oldAt, before.handler);
    space.writeI64(oldAt + 8, before.flags);
    space.writeI64(oldAt + 16, before.restorer);
    space.writeBig(oldAt + 24, before.mask);
  }
  return 0;
};

const sigprocmask: SystemCall = (task, how, newAt, oldAt, size) => {
  const before = task.blocked;
  if (newAt !== 0) {
    const set = signalSetAt(task, newAt, size);
    if (how === 0) setBlocked(task, before | set);
    else if (how === 1) setBlocked(task, before & ~set);
    else if (how === 2) setBlocked(task, set);
    else throw errno('EINVAL');
  } else if (size !== 8) throw errno('EINVAL');
  if (oldAt !== 0) task.space.writeBig(oldAt, before);
  return 0;
};

const sigreturn: SystemCall = (task) => {
  const { cpu } = task.kernel;
  if (!popFrame(cpu.system, task))
    forceSignal(task.kernel, task, { signal: Signal.SIGSEGV, code: SiCode.SI_KERNEL, address: 0 });
  else if (task.deliverable !== 0n) task.kernel.leave();
  return REGISTERS_SET;
};

const sigaltstack: SystemCall = (task, newAt, oldAt) => {
  const { space, alternateStack } = task;
  const pointer = Number(task.kernel.cpu.system.reg(4));
  const flagsBefore = stackFlags(task, pointer);
  if (newAt !== 0) {
    if (flagsBefore & SS_ONSTACK) throw errno('EPERM');
    const flags = space.readU32(newAt + 8);
    const mode = flags & 0x7fffffff;
    if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) throw errno('EINVAL');
    const size = space.readI64(newAt + 16);
    if (mode !== SS_DISABLE && size < MINSIGSTKSZ) throw errno('ENOMEM');
    task.alternateStack =
      mode === SS_DISABLE
        ? { base: 0, size: 0, flags: SS_DISABLE }
        : { base: space.readI64(newAt), size, flags: flags & 0x80000000 };
  }
  if (oldAt !== 0) {
    space.writeI64(oldAt, alternateStack.base);
    space.writeI64(oldAt + 8, flagsBefore >>> 0);
    space.writeI64(oldAt + 16, alternateStack.size);
  }
  return 0;
};

/** Replaces what is blocked until the call is over; a handler that is called first returns to what was blocked before. */
export function withBlocked(task: Task, blocked: SignalSet | undefined, act: () => number): number {
  if (blocked === undefined) return act();
  const before = task.blocked;
  task.blocked = blocked & ~UNBLOCKABLE;
  let result = BLOCKED;
  try {
    result = act();
  } finally {
    if (result !== BLOCKED) task.blocked = before;
  }
  if (result === BLOCKED) {
    const { wait } = task;
    const { finish } = wait!;
    task.wait = Object.assign(wait!, {
      finish: () => {
        finish?.();
        // Signals are delivered by the temporary set; then this one is put back.
        task.savedBlocked = before;
      },
    });
  }
  return result;
}

const sigsuspend: SystemCall = (task, maskAt, size) =>
  withBlocked(task, signalSetAt(task, maskAt, size), () =>
    task.block({ attempt: () => BLOCKED, interrupted: 'restartWithoutHandler' }),
  );

const sigtimedwait: SystemCall = (task, setAt, informationAt, timeoutAt, size) => {
  const set = signalSetAt(task, setAt, size) & ~UNBLOCKABLE;
  const deadline = timeoutAt === 0 ? Infinity : task.kernel.now() + timespecAt(task, timeoutAt);
  task.awaited = set;
  return task.block({
    attempt: () => {
      const information = task.takeSignal(set);
      if (!information) return deadline <= task.kernel.now() ? -11 : BLOCKED;
      if (informationAt !== 0) task.space.write(informationAt, siginfo(information, task));
      return information.signal;
    },
    deadline,
    timeoutResult: -11,
    interrupted: 'fail',
    finish: () => {
      task.awaited = 0n;
    },
  });
};

const fromUser = (task: Task, signal: number, code: number): SignalInformation => ({
  signal,
  code,
  pid: task.process.pid,
  uid: task.credentials.uid,
});

function tkill(task: Task, group: number, tid: number, signal: number): number {
  const number = checkedSignal(signal);
  if (tid <= 0) throw errno('EINVAL');
  const target = task.other(tid);
  if (!target || target.state === 'dead' || (group > 0 && target.process.pid !== task.pidMeant(group)))
    throw errno('ESRCH');
  if (!maySignal(task, target.process, number)) throw errno('EPERM');
  if (number === 0 || !reaches(task, target.process, number)) return 0;
  if (!sendToTask(task.kernel, target, fromUser(task, number, SiCode.SI_TKILL))) throw errno('EAGAIN');
  return 0;
}

/** A siginfo_t of the program's own, for sigqueue. Throws EPERM for what only the kernel may claim. */
export function queuedInformation(task: Task, signal: number, address: number, toItself: boolean): SignalInformation {
  const code = task.space.readI32(address + 8);
  if ((code >= 0 || code === SiCode.SI_TKILL) && !toItself) throw errno('EPERM');
  return {
    signal,
    code,
    pid: task.space.readI32(address + 16),
    uid: task.space.readU32(address + 20),
    value: task.space.readBig(address + 24),
  };
}

export const signalCalls: Record<string, SystemCall> = {
  rt_sigaction: sigaction,
  rt_sigprocmask: sigprocmask,
  rt_sigreturn: sigreturn,
  sigaltstack,
  rt_sigsuspend: sigsuspend,
  rt_sigtimedwait: sigtimedwait,
  rt_sigpending: (task, address, size) => {
    if (size > 8) throw errno('EINVAL');
    task.space.writeBig(address, (task.pending.set | task.process.pending.set) & task.blocked);
    return 0;
  },
  pause: (task) => task.block({ attempt: () => BLOCKED, interrupted: 'restartWithoutHandler' }),
  kill: (task, pid, signal) => {
    const number = checkedSignal(signal);
    return kill(task.kernel, task, pid | 0, number, fromUser(task, number, SiCode.SI_USER));
  },
  tkill: (task, tid, signal) => tkill(task, 0, tid | 0, signal),
  tgkill: (task, group, tid, signal) => {
    if ((group | 0) <= 0) throw errno('EINVAL');
    return tkill(task, group | 0, tid | 0, signal);
  },
  rt_sigqueueinfo: (task, pid, signal, informationAt) => {
    const number = checkedSignal(signal);
    const process = task.kernel.processes.get(task.pidMeant(pid | 0));
    if (!process) throw errno('ESRCH');
    const information = queuedInformation(task, number, informationAt, process === task.process);
    if (!maySignal(task, process, number)) throw errno('EPERM');
    if (number === 0 || !reaches(task, process, number)) return 0;
    if (!sendToProcess(task.kernel, process, information)) throw errno('EAGAIN');
    return 0;
  },
  rt_tgsigqueueinfo: (task, group, tid, signal, informationAt) => {
    const number = checkedSignal(signal);
    const target = task.other(tid | 0);
    if (!target || target.process.pid !== task.pidMeant(group | 0)) throw errno('ESRCH');
    const information = queuedInformation(task, number, informationAt, target.process === task.process);
    if (!maySignal(task, target.process, number)) throw errno('EPERM');
    if (number === 0 || !reaches(task, target.process, number)) return 0;
    if (!sendToTask(task.kernel, target, information)) throw errno('EAGAIN');
    return 0;
  },
};
