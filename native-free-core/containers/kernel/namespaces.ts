// Namespaces: what a task sees of names, processes, mounts and objects that programs share (namespaces(7)).
// Owns the set that a task has, the numbers of processes in each PID namespace, and what CLONE_NEW* makes.
// Never checks who asks: the calls do.

import type { PosixQueue } from '../devices/posix-queue.ts';
import { errno } from '../errno.ts';
import type { MountNamespace } from '../vfs/mounts.ts';
import type { Cgroup } from './cgroups.ts';
import { IpcTable } from './ipc-objects.ts';
import type { MessageQueue } from './message-queues.ts';
import { Namespace } from './namespace.ts';
import type { Process } from './process.ts';
import type { SemaphoreSet } from './semaphores.ts';
import { SharedSegments } from './shared-segments.ts';
import { FIRST_USER_NAMESPACE, type UserNamespace } from './user-namespace.ts';

/** PID namespaces within PID namespaces: MAX_PID_NS_LEVEL. */
const DEPTH_MAX = 32;
const PID_MAX = 0x3fffff;

export class UtsNamespace extends Namespace {
  readonly type = 'uts';
  readonly owner: UserNamespace;
  hostName: string;
  domainName: string;

  constructor(owner: UserNamespace, hostName: string, domainName: string) {
    super();
    this.owner = owner;
    this.hostName = hostName;
    this.domainName = domainName;
  }
}

export class IpcNamespace extends Namespace {
  readonly type = 'ipc';
  readonly owner: UserNamespace;
  readonly segments: SharedSegments;
  readonly semaphores: IpcTable<SemaphoreSet>;
  readonly messages: IpcTable<MessageQueue>;
  /** Of mq_open, by name. */
  readonly queues = new Map<string, PosixQueue>();

  constructor(owner: UserNamespace) {
    super();
    this.owner = owner;
    this.segments = new SharedSegments(owner);
    this.semaphores = new IpcTable(owner);
    this.messages = new IpcTable(owner);
  }
}

export class MountsNamespace extends Namespace {
  readonly type = 'mnt';
  readonly owner: UserNamespace;
  readonly mounts: MountNamespace;

  constructor(owner: UserNamespace, mounts: MountNamespace) {
    super();
    this.owner = owner;
    this.mounts = mounts;
  }
}

export class CgroupNamespace extends Namespace {
  readonly type = 'cgroup';
  readonly owner: UserNamespace;
  /** What is '/' in it. */
  readonly root: Cgroup;

  constructor(owner: UserNamespace, root: Cgroup) {
    super();
    this.owner = owner;
    this.root = root;
  }
}

/** The first one's numbers are the kernel's own; those within have numbers of their own for what they see. */
export class PidNamespace extends Namespace {
  readonly type = 'pid';
  readonly owner: UserNamespace;
  readonly parent: PidNamespace | null;
  readonly level: number;
  /** Its first process, with whose end all of it ends. */
  first: Process | undefined;
  hasEnded = false;
  private readonly inside = new Map<number, number>();
  private readonly outside = new Map<number, number>();
  private last = 0;

  /** Throws ENOSPC where it would be too deep. */
  constructor(owner: UserNamespace, parent: PidNamespace | null) {
    super();
    this.owner = owner;
    this.parent = parent;
    this.level = parent ? parent.level + 1 : 0;
    if (this.level > DEPTH_MAX) throw errno('ENOSPC');
  }

  /** The number here of what the kernel calls `pid`; 0: it is not seen from here. */
  seen(pid: number): number {
    return this.parent ? (this.inside.get(pid) ?? 0) : pid;
  }

  /** What the kernel calls `number` of here; -1: nothing. */
  meant(number: number): number {
    return this.parent ? (this.outside.get(number) ?? -1) : number;
  }

  /** Gives a new task its numbers, here and in all that this lies in. */
  admit(pid: number): void {
    if (!this.parent) return;
    do this.last = this.last >= PID_MAX ? 300 : this.last + 1;
    while (this.outside.has(this.last));
    this.inside.set(pid, this.last);
    this.outside.set(this.last, pid);
    this.parent.admit(pid);
  }

  /** Nobody has the number any more. */
  forget(pid: number): void {
    if (!this.parent) return;
    this.outside.delete(this.seen(pid));
    this.inside.delete(pid);
    this.parent.forget(pid);
  }

  /** Whether it is `other` or lies in it. */
  isWithin(other: PidNamespace): boolean {
    for (let at: PidNamespace | null = this; at; at = at.parent) if (at === other) return true;
    return false;
  }

  /** The number that was given out last; `kernels`: the kernel's. */
  newest(kernels: number): number {
    return this.parent ? this.last : kernels;
  }
}

/** What a task is in, but for its user namespace (its credentials have that) and its network. Never changed: replaced. */
export interface Namespaces {
  readonly uts: UtsNamespace;
  readonly ipc: IpcNamespace;
  readonly mnt: MountsNamespace;
  readonly cgroup: CgroupNamespace;
  /** Where the task's own number is. */
  readonly pid: PidNamespace;
  /** Where its children will be (unshare(CLONE_NEWPID)). */
  readonly pidForChildren: PidNamespace;
}

/** Whether it is the first process of its PID namespace. */
export function isFirst(process: Process): boolean {
  const { pid } = process.leader.namespaces;
  return pid.parent ? pid.first === process : process.pid === 1;
}

/** What a guest begins in. */
export function firstNamespaces(mounts: MountNamespace, hostName: string, cgroup: Cgroup): Namespaces {
  const owner = FIRST_USER_NAMESPACE;
  const pid = new PidNamespace(owner, null);
  return {
    uts: new UtsNamespace(owner, hostName, '(none)'),
    ipc: new IpcNamespace(owner),
    mnt: new MountsNamespace(owner, mounts),
    cgroup: new CgroupNamespace(owner, cgroup),
    pid,
    pidForChildren: pid,
  };
}
