// Control groups, version 2: a tree of groups of processes, and what each may take of processor, memory and processes
// (Documentation/admin-guide/cgroup-v2.rst).
// Owns the tree, the limits, and what each group has used. Never shows itself: cgroup-fs.ts does.

import { errno } from '../errno.ts';
import type { MemoryAccount } from '../memory/memory-account.ts';
import { PAGE } from '../memory/page-pool.ts';
import { IoAccount } from './cgroup-io.ts';
import type { Process } from './process.ts';
import type { Task } from './task.ts';

export const CONTROLLERS = ['cpu', 'io', 'memory', 'pids'] as const;
export type Controller = (typeof CONTROLLERS)[number];

export const WEIGHT_DEFAULT = 100;
/** Nanoseconds: what cpu.max begins with. */
const PERIOD_DEFAULT = 100_000_000;
/** Pages above memory.high after which the caches are looked through again. */
const RECLAIM_EVERY = 64;
/** Groups of one guest, and how deep: keeps a guest from filling the kernel's own memory with them. */
const GROUPS_MAX = 4096;
const DEPTH_MAX = 32;

/** What the tree needs of the kernel. */
export interface CgroupHost {
  now(): number;
  at(time: number, act: () => void): () => void;
  /** Gives up cached pages; whether there were any. */
  reclaim(): boolean;
}

interface Bandwidth {
  /** Nanoseconds in each period; Infinity: no limit. */
  quota: number;
  period: number;
  began: number;
  used: number;
  periods: number;
  throttles: number;
  throttledTime: number;
}

export class Cgroup implements MemoryAccount {
  readonly name: string;
  readonly parent: Cgroup | null;
  readonly children = new Map<string, Cgroup>();
  readonly processes = new Set<Process>();
  /** Controllers that its children have. */
  readonly enabled = new Set<Controller>();
  private readonly host: CgroupHost;
  private readonly depth: number;
  isGone = false;
  isFrozen = false;

  // ---- processor
  weight = WEIGHT_DEFAULT;
  readonly bandwidth: Bandwidth = {
    quota: Infinity,
    period: PERIOD_DEFAULT,
    began: 0,
    used: 0,
    periods: 0,
    throttles: 0,
    throttledTime: 0,
  };
  /** Nanoseconds executed, of all below as well. */
  userTime = 0;
  systemTime = 0;
  private readonly ready: Task[] = [];
  /** Tasks that could execute, here and below. */
  private runnable = 0;
  /** Time it has had by its weight, and what its own tasks have had beside its children. */
  private virtual = 0;
  private ownVirtual = 0;
  /** Of the one that executed last: who comes anew begins here. */
  private virtualNow = 0;
  private throttledSince = -1;

  // ---- memory, in bytes
  memoryMax = Infinity;
  memoryHigh = Infinity;
  memoryLow = 0;
  memoryMin = 0;
  memoryPeak = 0;
  killsTogether = false;
  readonly memoryEvents = { low: 0, high: 0, max: 0, oom: 0, oom_kill: 0, oom_group_kill: 0 };
  private pages = 0;
  /** Bytes of files in memory: the outermost group's, which counts them beside its pages. */
  private reserved = 0;

  readonly io = new IoAccount();

  // ---- processes
  tasks = 0;
  tasksPeak = 0;
  tasksMax = Infinity;
  tasksRefused = 0;

  constructor(host: CgroupHost, name = '', parent: Cgroup | null = null) {
    this.host = host;
    this.name = name;
    this.parent = parent;
    this.depth = parent ? parent.depth + 1 : 0;
  }

  // ---- the tree

  /** Throws EAGAIN where there are too many. */
  make(name: string): Cgroup {
    if (this.depth >= DEPTH_MAX || this.root.descendants >= GROUPS_MAX) throw errno('EAGAIN');
    const child = new Cgroup(this.host, name, this);
    this.children.set(name, child);
    return child;
  }

  /** Throws EBUSY. */
  remove(name: string): void {
    const child = this.children.get(name);
    if (!child) throw errno('ENOENT');
    if (child.processes.size > 0 || child.children.size > 0) throw errno('EBUSY');
    // Tasks that have ended since they were put there.
    while (child.takeOwn());
    this.children.delete(name);
    child.isGone = true;
  }

  get root(): Cgroup {
    let at: Cgroup = this;
    while (at.parent) at = at.parent;
    return at;
  }

  get descendants(): number {
    let count = 0;
    for (const child of this.children.values()) count += 1 + child.descendants;
    return count;
  }

  /** Controllers that it has: its parent gives them, and the outermost has all. */
  get controllers(): readonly Controller[] {
    const { parent } = this;
    return parent ? CONTROLLERS.filter((name) => parent.enabled.has(name)) : CONTROLLERS;
  }

  /** As /proc/PID/cgroup tells it in a namespace whose root is `from`. */
  pathFrom(from: Cgroup): string {
    if (this === from) return '/';
    let path = '';
    for (let at: Cgroup | null = this; at; at = at.parent) {
      if (at === from) return path;
      path = `/${at.name}${path}`;
    }
    return `/..${path}`;
  }

  isWithin(other: Cgroup): boolean {
    for (let at: Cgroup | null = this; at; at = at.parent) if (at === other) return true;
    return false;
  }

  /** Whether any process is here or below. */
  get isPopulated(): boolean {
    if (this.processes.size > 0) return true;
    for (const child of this.children.values()) if (child.isPopulated) return true;
    return false;
  }

  /** Processes here and below. */
  *everyProcess(): Generator<Process> {
    yield* this.processes;
    for (const child of this.children.values()) yield* child.everyProcess();
  }

  // ---- processes

  /** Takes a process in that another group had. Throws EBUSY where it has given its controllers to children. */
  adopt(process: Process): void {
    if (this.enabled.size > 0 && this.parent) throw errno('EBUSY');
    if (this.isGone) throw errno('ENODEV');
    const before = process.cgroup;
    if (before === this) return;
    const count = process.countedTasks;
    before.processes.delete(process);
    before.countTasks(-count);
    process.cgroup = this;
    this.processes.add(process);
    this.countTasks(count);
    for (const thread of process.threads) thread.space.account = this;
  }

  /** Room for one more task. Throws EAGAIN. */
  demandTask(): void {
    for (let at: Cgroup | null = this; at; at = at.parent)
      if (at.tasks >= at.tasksMax) {
        at.tasksRefused++;
        throw errno('EAGAIN');
      }
  }

  countTasks(more: number): void {
    for (let at: Cgroup | null = this; at; at = at.parent) {
      at.tasks += more;
      at.tasksPeak = Math.max(at.tasksPeak, at.tasks);
    }
  }

  // ---- memory

  get memoryUsed(): number {
    return this.pages * PAGE;
  }

  charge(): boolean {
    failed = null;
    for (let at: Cgroup | null = this; at; at = at.parent)
      if (PAGE > at.memoryLeft && !at.makeRoom(PAGE)) {
        at.tellMemory('max');
        failed = at;
        return false;
      }
    for (let at: Cgroup | null = this; at; at = at.parent) {
      at.pages++;
      const used = at.pages * PAGE;
      if (used > at.memoryPeak) at.memoryPeak = used;
      if (used > at.memoryHigh) at.aboveHigh();
    }
    return true;
  }

  release(): void {
    for (let at: Cgroup | null = this; at; at = at.parent) at.pages--;
  }

  /** Bytes below its limit. */
  get memoryLeft(): number {
    return this.memoryMax - this.pages * PAGE - this.reserved;
  }

  /** Bytes that files in memory take, which are no group's but the guest's. False: there is no room for them. */
  reserve(bytes: number): boolean {
    if (bytes > this.memoryLeft && !this.makeRoom(bytes)) return false;
    this.reserved += bytes;
    return true;
  }

  unreserve(bytes: number): void {
    this.reserved -= bytes;
  }

  private makeRoom(bytes: number): boolean {
    this.host.reclaim();
    return bytes <= this.memoryLeft;
  }

  private aboveHigh(): void {
    // Told for each page above, as often as Linux slows its tasks down; looked for in caches less often.
    this.tellMemory('high');
    if (this.pages % RECLAIM_EVERY === 0) this.host.reclaim();
  }

  /** Counts an event here and in all that it lies in. */
  tellMemory(event: keyof Cgroup['memoryEvents']): void {
    for (let at: Cgroup | null = this; at; at = at.parent) at.memoryEvents[event]++;
  }

  // ---- processor

  /** A task waits for its turn. */
  put(task: Task): void {
    this.ready.push(task);
    for (let at: Cgroup | null = this; at; at = at.parent) {
      if (at.runnable++ === 0 && at.parent) at.virtual = Math.max(at.virtual, at.parent.virtualNow);
    }
    if (this.ready.length === 1) this.ownVirtual = Math.max(this.ownVirtual, this.virtualNow);
  }

  /** Whether any task waits for its turn, held back or not. */
  get hasReady(): boolean {
    return this.runnable > 0;
  }

  /** The task whose turn it is, by weights, and nobody's that is frozen or has used up its time. */
  take(): Task | undefined {
    if (this.runnable === 0 || this.isFrozen || this.isThrottled) return undefined;
    if (this.children.size === 0) return this.takeOwn();
    const children = [...this.children.values()].filter((child) => child.runnable > 0);
    children.sort((a, b) => a.virtual - b.virtual);
    for (const child of children) {
      if (this.ready.length > 0 && this.ownVirtual <= child.virtual) break;
      const task = child.take();
      if (!task) continue;
      this.virtualNow = child.virtual;
      return task;
    }
    if (this.ready.length > 0) {
      this.virtualNow = this.ownVirtual;
      return this.takeOwn();
    }
    return undefined;
  }

  private takeOwn(): Task | undefined {
    const task = this.ready.shift();
    if (task) for (let at: Cgroup | null = this; at; at = at.parent) at.runnable--;
    return task;
  }

  private get isThrottled(): boolean {
    return this.throttledSince >= 0;
  }

  /** One of its tasks has executed for so many nanoseconds. */
  spent(user: number, system: number): void {
    const time = user + system;
    this.ownVirtual += time;
    for (let at: Cgroup | null = this; at; at = at.parent) {
      at.userTime += user;
      at.systemTime += system;
      at.virtual += (time * WEIGHT_DEFAULT) / at.weight;
      if (at.bandwidth.quota !== Infinity) at.useQuota(time);
    }
  }

  private useQuota(time: number): void {
    const { bandwidth } = this;
    const now = this.host.now();
    this.renew(now);
    bandwidth.used += time;
    if (bandwidth.used < bandwidth.quota || this.isThrottled) return;
    bandwidth.throttles++;
    this.throttledSince = now;
    const waitUntilAllowed = (): void => {
      const until = bandwidth.began + bandwidth.period;
      this.host.at(until, () => {
        const time = this.host.now();
        this.renew(Math.max(time, until));
        if (bandwidth.used >= bandwidth.quota) return waitUntilAllowed();
        bandwidth.throttledTime += time - this.throttledSince;
        this.throttledSince = -1;
      });
    };
    waitUntilAllowed();
  }

  /** Periods that have passed give their time back; what was used beyond one is owed. */
  private renew(now: number): void {
    const { bandwidth } = this;
    const passed = Math.floor((now - bandwidth.began) / bandwidth.period);
    if (passed <= 0) return;
    bandwidth.periods += Math.min(passed, 1);
    bandwidth.used = Math.max(0, bandwidth.used - passed * bandwidth.quota);
    bandwidth.began += passed * bandwidth.period;
  }

  /** cpu.max. */
  setQuota(quota: number, period: number): void {
    Object.assign(this.bandwidth, { quota, period, began: this.host.now(), used: 0 });
    if (this.isThrottled && quota === Infinity) this.throttledSince = -1;
  }
}

/** The group whose limit the last page did not fit in. */
let failed: Cgroup | null = null;

/** Whose limit an allocation has just met; null: the guest's memory itself was full. */
export function takeFailed(): Cgroup | null {
  const found = failed;
  failed = null;
  return found;
}
