// A task: one thread of a program, with its registers, its signals and what it waits for.
// Owns a thread's state while it does not execute, and the protocol of system calls that have to wait.
// Never runs anything: the kernel's scheduler does.

import { VCPU_STATE_BYTES } from '../../cpu/state.ts';
import { errno } from '../errno.ts';
import type { AddressSpace } from '../memory/address-space.ts';
import type { NetworkNamespace } from '../sockets/network-namespace.ts';
import type { WalkContext } from '../vfs/types.ts';
import type { CredentialSet } from './credentials.ts';
import type { Descriptors } from './descriptors.ts';
import type { Kernel } from './kernel.ts';
import type { Namespaces } from './namespaces.ts';
import type { Process, Times } from './process.ts';
import type { Seccomp } from './seccomp.ts';
import type { SignalSet } from './signal-numbers.ts';
import type { SignalInformation } from './signal-queue.ts';
import { SignalQueue } from './signal-queue.ts';

/** What a system call gives while its task waits. No result: results are at least -4095. */
export const BLOCKED = -0x10000;

/** Nanoseconds, where nothing was said. */
export const TIMER_SLACK = 50_000;

/** What becomes of a call that a signal interrupts (signal(7)). */
export type Interrupted =
  /** Begins anew where the handler was installed with SA_RESTART, and where no handler is called. */
  | 'restart'
  /** Begins anew only where no handler is called. */
  | 'restartWithoutHandler'
  /** EINTR in any case. */
  | 'fail';

export interface Wait {
  /** Looks again: the result, or {@link BLOCKED}. May throw an Errno. */
  attempt(): number;
  /** Subscribes to what may end the wait; each answer takes a subscription back. */
  readonly on?: readonly { add(waiter: () => void): () => void }[];
  /** Kernel time in nanoseconds at which the wait ends with `timeoutResult`. */
  readonly deadline?: number;
  readonly timeoutResult?: number;
  readonly interrupted: Interrupted;
  /** Undoes what the wait has registered, however it ends. */
  finish?(): void;
  /** The wait has been interrupted; gives the result in place of EINTR. */
  onInterrupt?(): number;
}

interface ActiveWait extends Wait {
  timedOut: boolean;
  readonly subscriptions: (() => void)[];
  cancelTimer: (() => void) | undefined;
}

export type TaskState = 'ready' | 'waiting' | 'stopped' | 'dead';

/** Working directory, root and umask: shared by threads. */
export interface FileSystemContext {
  root: WalkContext['root'];
  cwd: WalkContext['cwd'];
  umask: number;
}

/** loginuid and sessionid where nobody has: AUDIT_UID_UNSET, AUDIT_SID_UNSET. */
export const NOBODY_LOGGED_IN = 0xffff_ffff;

export class Task {
  readonly kernel: Kernel;
  /** Changes where a thread that is no leader executes another program. */
  tid: number;
  process: Process;
  space: AddressSpace;
  files: Descriptors;
  fs: FileSystemContext;
  network: NetworkNamespace;
  credentials: CredentialSet;
  namespaces: Namespaces;
  name: string;
  /** The vCPU's state, while it is not the one that executes. */
  readonly registers = new Uint8Array(VCPU_STATE_BYTES);
  state: TaskState = 'ready';
  /** In the scheduler's queue. */
  queued = false;
  wait: ActiveWait | undefined;

  readonly pending = new SignalQueue();
  blocked: SignalSet = 0n;
  /** What was blocked before sigsuspend and its kin, until the handler's frame has it. */
  savedBlocked: SignalSet | undefined;
  /** What sigtimedwait waits for. */
  awaited: SignalSet = 0n;
  alternateStack = { base: 0, size: 0, flags: 2 };
  /** Number of the call under way, which a restart puts back; -1: none was interrupted. */
  callNumber = -1;
  interrupted: Interrupted | undefined;

  /** Where to write 0 and wake a futex at the end of the thread. */
  clearTid = 0;
  robustList = 0;
  /** Who waits for this task's vfork to be over. */
  vforkDone: (() => void) | undefined;
  exitSignal: number;
  deathSignal = 0;
  nice = 0;
  /** SCHED_*, and what ioprio_get tells. */
  policy = 0;
  ioPriority = 0;
  /** Nanoseconds executed, those in the kernel included. */
  cpuTime = 0;
  /** Of them in system calls: extrapolated from those that were timed. */
  kernelTime = 0;
  /** How often it was given the processor. */
  turns = 0;
  /** Who logged in, in the kernel's own numbers, and which login it was; what a task is made with. */
  loginUid = NOBODY_LOGGED_IN;
  auditSession = NOBODY_LOGGED_IN;
  /** PR_SET_TIMERSLACK: kept for who asks; timers are as exact as the kernel's turns. */
  timerSlack = TIMER_SLACK;
  keepCapabilities = false;
  noNewPrivileges = false;
  /** What restricts its calls. */
  seccomp: Seccomp | undefined;

  constructor(
    kernel: Kernel,
    tid: number,
    parts: {
      process: Process;
      space: AddressSpace;
      files: Descriptors;
      fs: FileSystemContext;
      network: NetworkNamespace;
      credentials: CredentialSet;
      name: string;
      exitSignal: number;
    },
  ) {
    this.kernel = kernel;
    this.tid = tid;
    this.process = parts.process;
    this.space = parts.space;
    this.files = parts.files;
    this.fs = parts.fs;
    this.network = parts.network;
    this.credentials = parts.credentials;
    this.namespaces = kernel.namespaces;
    this.name = parts.name;
    this.exitSignal = parts.exitSignal;
  }

  /** What a path is walked with. */
  get walk(): WalkContext {
    const { root, cwd, umask } = this.fs;
    return { root, cwd, umask, credentials: this.credentials };
  }

  /** Nanoseconds in the program and in the kernel. */
  get times(): Times {
    const system = Math.min(this.kernelTime, this.cpuTime);
    return { user: this.cpuTime - system, system };
  }

  /** The number that this task sees of what the kernel calls `pid`; 0: none. */
  pidSeen(pid: number): number {
    return this.namespaces.pid.seen(pid);
  }

  /** What the kernel calls the task that this one calls `number`; -1: there is none. */
  pidMeant(number: number): number {
    return this.namespaces.pid.meant(number);
  }

  /** The task that this one calls `number`. */
  other(number: number): Task | undefined {
    return this.kernel.tasks.get(this.pidMeant(number));
  }

  /** The kernel's id of a user, or a group, that this task calls so. Throws EINVAL where it has none. */
  uidMeant(uid: number): number {
    const meant = this.credentials.namespace.uids.meant(uid);
    if (meant < 0) throw errno('EINVAL');
    return meant;
  }

  gidMeant(gid: number): number {
    const meant = this.credentials.namespace.gids.meant(gid);
    if (meant < 0) throw errno('EINVAL');
    return meant;
  }

  uidSeen(uid: number): number {
    return this.credentials.namespace.uids.shown(uid);
  }

  gidSeen(gid: number): number {
    return this.credentials.namespace.gids.shown(gid);
  }

  get isLeader(): boolean {
    return this.tid === this.process.pid;
  }

  /** Signals that would be delivered now. */
  get deliverable(): SignalSet {
    return (this.pending.set | this.process.pending.set) & ~this.blocked;
  }

  /** Takes the signal that comes first of those that would be delivered. */
  takeSignal(set: SignalSet): SignalInformation | undefined {
    return this.pending.take(set) ?? this.process.pending.take(set);
  }

  // ---- waiting

  /** Does a call that may have to wait: its result, or {@link BLOCKED} while the task does. */
  block(wait: Wait): number {
    let result = 0;
    try {
      result = wait.attempt();
    } finally {
      if (result !== BLOCKED) wait.finish?.();
    }
    if (result !== BLOCKED) return result;
    const active: ActiveWait = { ...wait, timedOut: false, subscriptions: [], cancelTimer: undefined };
    for (const queue of wait.on ?? []) active.subscriptions.push(queue.add(() => this.wake()));
    if (wait.deadline !== undefined && wait.deadline !== Infinity)
      active.cancelTimer = this.kernel.timers.at(wait.deadline, () => {
        active.timedOut = true;
        this.wake();
      });
    this.wait = active;
    this.state = 'waiting';
    this.kernel.leave();
    if (this.deliverable !== 0n) this.wake();
    return BLOCKED;
  }

  /** Something that it waits for may have come. */
  wake(): void {
    if (this.state !== 'waiting') return;
    this.state = 'ready';
    this.kernel.enqueue(this);
  }

  /** Looks whether the wait is over: the call's result, or {@link BLOCKED}. Errnos are results here. */
  retry(): number {
    const { wait } = this;
    if (!wait) return BLOCKED;
    let result = this.kernel.resultOf(() => wait.attempt());
    if (result === BLOCKED && wait.timedOut) result = wait.timeoutResult ?? 0;
    if (result === BLOCKED && this.deliverable !== 0n) {
      this.interrupted = wait.interrupted;
      result = wait.onInterrupt?.() ?? -4;
      // Part of it has been done: that is told, and nothing begins anew.
      if (result !== -4) this.interrupted = undefined;
    }
    if (result === BLOCKED) {
      this.state = 'waiting';
      return BLOCKED;
    }
    this.endWait();
    return result;
  }

  /** Gives up what it waits for. */
  endWait(): void {
    const { wait } = this;
    if (!wait) return;
    this.wait = undefined;
    for (const unsubscribe of wait.subscriptions) unsubscribe();
    wait.cancelTimer?.();
    wait.finish?.();
  }
}
