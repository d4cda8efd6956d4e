// What /proc shows: the kernel's tasks and figures as the file system of that name asks for them.
// Owns the way from tasks to ProcTask; one object a task as long as it lives.
// Never makes text.

import { Epoll } from '../devices/epoll.ts';
import { EventFile, SignalFile, TimerFile } from '../devices/event-files.ts';
import { Inotify } from '../devices/inotify.ts';
import { ProcessFile } from '../devices/process-file.ts';
import { Terminal } from '../devices/terminal.ts';
import { Errno, errno } from '../errno.ts';
import { PAGE } from '../memory/page-pool.ts';
import { Protection } from '../memory/regions.ts';
import { procNetworkFiles } from '../sockets/proc-network.ts';
import { Socket } from '../sockets/socket.ts';
import { S_IFSOCK } from '../vfs/constants.ts';
import type { ProcDescriptor, ProcMachine, ProcRegion, ProcSource, ProcTask } from '../vfs/proc-source.ts';
import type { Location, Mount, OpenFile } from '../vfs/types.ts';
import type { Description } from './descriptors.ts';
import { mayInspect } from './inspect.ts';
import type { Kernel } from './kernel.ts';
import type { Namespace } from './namespace.ts';
import { labelOfNamespace, placeOfNamespace } from './namespace-files.ts';
import type { PidNamespace, UtsNamespace } from './namespaces.ts';
import type { IoCounts, Process } from './process.ts';
import { Filter, seccompMode } from './seccomp.ts';
import { bitOf, SIG_DFL, SIG_IGN, SIGNAL_MAX } from './signal-numbers.ts';
import { NOBODY_LOGGED_IN, type Task } from './task.ts';
import { mapText, writeMap, writeSetsGroups } from './user-namespace.ts';

/** What readlink shows of files that are made by calls, in Linux's words. */
const KINDS: readonly [abstract new (...of: never[]) => OpenFile, string][] = [
  [EventFile, '[eventfd]'],
  [TimerFile, '[timerfd]'],
  [SignalFile, '[signalfd]'],
  [Epoll, '[eventpoll]'],
  [ProcessFile, '[pidfd]'],
  [Inotify, 'inotify'],
];
const kindOf = (file: OpenFile): string => KINDS.find(([kind]) => file instanceof kind)?.[1] ?? '[unknown]';

/** Where what was made by a call can be looked at. */
function placeOf(kernel: Kernel, file: OpenFile): Location {
  const { anonymous } = kernel;
  const ino = kernel.inoOf(file);
  if (file instanceof Socket) return anonymous.placeOf(file, `socket:[${ino}]`, ino, S_IFSOCK | 0o777);
  return anonymous.placeOf(file, `anon_inode:${kindOf(file)}`, ino, 0o600);
}

const CAP_SYS_ADMIN = 21;
const CAP_SYS_RESOURCE = 24;
const CAP_AUDIT_CONTROL = 30;

class TaskView implements ProcTask {
  private readonly task: Task;
  private readonly source: KernelProc;
  private readonly shown = new WeakMap<Description, ProcDescriptor>();

  constructor(task: Task, source: KernelProc) {
    this.task = task;
    this.source = source;
  }

  get process(): Process {
    return this.task.process;
  }
  get pid(): number {
    return this.source.seen(this.task.tid);
  }
  get group(): number {
    return this.source.seen(this.task.process.pid);
  }
  get name(): string {
    return this.task.name;
  }
  get state(): string {
    const { process, state } = this.task;
    if (process.isZombie) return 'Z';
    if (process.isStopped) return 'T';
    return state === 'ready' ? 'R' : 'S';
  }
  get parent(): number {
    return this.source.seen(this.task.process.parent?.pid ?? 0);
  }
  get processGroup(): number {
    return this.source.seen(this.task.process.group);
  }
  get session(): number {
    return this.source.seen(this.task.process.session.id);
  }
  get terminal(): number {
    const { terminal } = this.task.process.session;
    return terminal instanceof Terminal ? terminal.device : 0;
  }
  get terminalGroup(): number {
    const { terminal } = this.task.process.session;
    return terminal instanceof Terminal ? this.source.seen(terminal.group) : -1;
  }
  get userTime(): number {
    return this.task.process.times.user;
  }
  get systemTime(): number {
    return this.task.process.times.system;
  }
  get childUserTime(): number {
    return this.task.process.waitedChildren.user;
  }
  get childSystemTime(): number {
    return this.task.process.waitedChildren.system;
  }
  get nice(): number {
    return this.task.nice;
  }
  get startTime(): number {
    return this.task.process.startTime;
  }
  get virtualBytes(): number {
    return this.task.process.isZombie ? 0 : this.task.space.size;
  }
  get residentBytes(): number {
    return this.task.process.isZombie ? 0 : this.task.space.resident;
  }
  get peakBytes(): number {
    return this.virtualBytes;
  }
  get exitSignal(): number {
    return this.task.exitSignal;
  }
  get umask(): number {
    return this.task.fs.umask;
  }
  get uids(): readonly [number, number, number, number] {
    const { uid, euid, suid, fsuid } = this.task.credentials;
    return [uid, euid, suid, fsuid];
  }
  get gids(): readonly [number, number, number, number] {
    const { gid, egid, sgid, fsgid } = this.task.credentials;
    return [gid, egid, sgid, fsgid];
  }
  get groups(): readonly number[] {
    return this.task.credentials.groups;
  }
  get signals() {
    const { pending, process, blocked } = this.task;
    let ignored = 0n;
    let caught = 0n;
    for (let signal = 1; signal <= SIGNAL_MAX; signal++) {
      const { handler } = process.handlers.get(signal);
      if (handler === SIG_IGN) ignored |= bitOf(signal);
      else if (handler !== SIG_DFL) caught |= bitOf(signal);
    }
    return { pending: pending.set, shared: process.pending.set, blocked, ignored, caught };
  }
  get capabilities() {
    const { inheritable, permitted, effective, bounding, ambient } = this.task.credentials;
    return { inheritable, permitted, effective, bounding, ambient };
  }
  get noNewPrivileges(): boolean {
    return this.task.noNewPrivileges;
  }
  get numbers(): readonly number[] {
    const { tid, namespaces } = this.task;
    const numbers: number[] = [];
    for (let at: PidNamespace | null = namespaces.pid; at; at = at.parent) {
      numbers.unshift(at.seen(tid));
      if (at === this.source.pids) break;
    }
    return numbers;
  }
  get seccomp(): number {
    return seccompMode(this.task);
  }
  get seccompFilters(): number {
    const { seccomp } = this.task;
    return seccomp instanceof Filter ? seccomp.depth : 0;
  }
  get cgroup(): string {
    return this.task.process.cgroup.pathFrom(this.source.reader.namespaces.cgroup.root);
  }
  get oomAdjust(): number {
    return this.task.process.oomAdjust;
  }
  setOomAdjust(value: number): void {
    const { process } = this.task;
    if (value < process.oomAdjust && !this.source.reader.credentials.capable(CAP_SYS_RESOURCE)) throw errno('EACCES');
    process.oomAdjust = value;
  }

  threads(): readonly ProcTask[] {
    return [...this.task.process.threads].map((thread) => this.source.view(thread));
  }

  /** Bytes [from, to) of the program's memory; as much as is there. */
  private memory(from: number, to: number): string {
    const { space, process } = this.task;
    if (process.isZombie || to <= from) return '';
    try {
      return Array.from(space.bytes(from, Math.min(to - from, 1 << 20)), (byte) => String.fromCharCode(byte)).join('');
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      return '';
    }
  }

  commandLine(): string {
    return this.memory(this.task.space.argumentsStart, this.task.space.argumentsEnd);
  }

  environment(): string {
    return this.memory(this.task.space.environmentStart, this.task.space.environmentEnd);
  }

  auxiliaryVector(): string {
    return this.memory(this.task.space.auxiliaryStart, this.task.space.auxiliaryEnd);
  }

  regions(): readonly ProcRegion[] {
    const { space } = this.task;
    return [...space.regions].map(({ start, end, protection, shared, firstPage, name }) => ({
      start,
      end,
      permissions:
        (protection & Protection.read ? 'r' : '-') +
        (protection & Protection.write ? 'w' : '-') +
        (protection & Protection.execute ? 'x' : '-') +
        (shared ? 's' : 'p'),
      offset: firstPage * PAGE,
      place: null,
      label: name,
      residentBytes: space.table.count(start, end) * PAGE,
    }));
  }

  descriptors(): readonly number[] {
    return [...this.task.files.numbers()];
  }

  descriptor(number: number): ProcDescriptor | null {
    const { files, kernel } = this.task;
    if (!files.has(number)) return null;
    const description = files.get(number);
    let shown = this.shown.get(description);
    if (!shown) {
      const { file, location } = description;
      const place = location ?? placeOf(kernel, file);
      const label = kernel.anonymous.labelOf(place) ?? '';
      shown = {
        place,
        label,
        get flags() {
          return description.flags;
        },
        get position() {
          return description.offset;
        },
      };
      this.shown.set(description, shown);
    }
    return shown;
  }

  executable() {
    return this.task.process.executableLocation ?? null;
  }

  cwd() {
    return this.task.process.isZombie ? null : this.task.fs.cwd;
  }

  root() {
    return this.task.process.isZombie ? null : this.task.fs.root;
  }

  namespaces() {
    const { namespaces, credentials } = this.task;
    if (this.task.process.isZombie) return [];
    const named: [string, Namespace][] = [
      ['cgroup', namespaces.cgroup],
      ['ipc', namespaces.ipc],
      ['mnt', namespaces.mnt],
      ['net', this.task.network],
      ['pid', namespaces.pid],
      ['pid_for_children', namespaces.pidForChildren],
      ['user', credentials.namespace],
      ['uts', namespaces.uts],
    ];
    return named.map(([name, namespace]) => ({
      name,
      label: labelOfNamespace(namespace),
      place: placeOfNamespace(namespace),
    }));
  }

  idMap(kind: 'uids' | 'gids'): string {
    return mapText(this.task.credentials.namespace, kind, this.source.reader.credentials.namespace);
  }

  writeIdMap(kind: 'uids' | 'gids', text: string): void {
    writeMap(this.task.credentials.namespace, kind, text, this.source.reader);
  }

  setsGroups(): string {
    return this.task.credentials.namespace.setsGroups ? 'allow' : 'deny';
  }

  writeSetsGroups(text: string): void {
    writeSetsGroups(this.task.credentials.namespace, text, this.source.reader);
  }

  mounts(): readonly Mount[] {
    return this.task.namespaces.mnt.mounts.list();
  }

  limit(resource: number): readonly [number, number] {
    const { soft, hard } = this.task.process.limits[resource];
    return [soft, hard];
  }

  networkFiles(): ReadonlyMap<string, () => string> {
    return procNetworkFiles(this.task.network);
  }

  rename(name: string): void {
    this.task.name = name.slice(0, 15);
  }

  io(): IoCounts {
    return this.task.process.io;
  }
  get personality(): number {
    return this.task.process.personality;
  }
  get turns(): number {
    return this.task.turns;
  }
  get timerSlack(): number {
    return this.task.timerSlack;
  }
  get loginUid(): number {
    const { loginUid } = this.task;
    return loginUid === NOBODY_LOGGED_IN ? loginUid : this.source.userOf(loginUid);
  }
  get auditSession(): number {
    return this.task.auditSession;
  }
  /** kernel/auditsc.c, audit_set_loginuid: once by anybody, for oneself; after that by who may. */
  setLoginUid(uid: number): void {
    const { task } = this;
    if (task !== this.source.reader) throw errno('EPERM');
    if (task.loginUid !== NOBODY_LOGGED_IN && !task.credentials.capable(CAP_AUDIT_CONTROL)) throw errno('EPERM');
    if (uid === NOBODY_LOGGED_IN) {
      task.loginUid = task.auditSession = uid;
      return;
    }
    task.loginUid = task.uidMeant(uid);
    task.auditSession = ++task.kernel.lastAuditSession;
  }

  children(): readonly ProcTask[] {
    const { process } = this.task;
    if (this.task !== process.leader) return [];
    const seen = [...process.children].filter(({ pid }) => this.source.seen(pid) > 0);
    return seen.map(({ leader }) => this.source.view(leader));
  }
}

export class KernelProc implements ProcSource {
  /** Whose processes are shown, by the numbers that they have there. */
  readonly pids: PidNamespace;
  readonly machine: ProcMachine;
  private readonly kernel: Kernel;
  private readonly views = new WeakMap<Task, TaskView>();

  constructor(kernel: Kernel, pids: PidNamespace) {
    this.kernel = kernel;
    this.pids = pids;
    this.machine = machineOf(kernel, pids);
  }

  seen(pid: number): number {
    return this.pids.seen(pid);
  }

  view(task: Task): TaskView {
    let view = this.views.get(task);
    if (!view) this.views.set(task, (view = new TaskView(task, this)));
    return view;
  }

  processes(): readonly ProcTask[] {
    const seen = [...this.kernel.processes.values()].filter(({ pid }) => this.seen(pid) > 0);
    return seen.sort((a, b) => this.seen(a.pid) - this.seen(b.pid)).map(({ leader }) => this.view(leader));
  }

  task(pid: number): ProcTask | null {
    const task = this.kernel.tasks.get(this.pids.meant(pid));
    return task ? this.view(task) : null;
  }

  /** Who makes the call. */
  get reader(): Task {
    const task = this.kernel.current ?? this.kernel.processes.get(1)?.leader;
    if (!task) throw new Error('Nobody can ask: there is no process.');
    return task;
  }

  current(): ProcTask {
    const { reader } = this;
    if (this.seen(reader.tid) === 0) throw errno('ENOENT');
    return this.view(reader);
  }

  mayInspect(task: ProcTask): boolean {
    return task instanceof TaskView && mayInspect(this.reader, task.process);
  }

  userOf(uid: number): number {
    return this.reader.uidSeen(uid);
  }

  groupOf(gid: number): number {
    return this.reader.gidSeen(gid);
  }
}

function machineOf(kernel: Kernel, pids: PidNamespace): ProcMachine {
  const uts = (): UtsNamespace => (kernel.current?.namespaces ?? kernel.namespaces).uts;
  const uuid = (): string => {
    const bytes = new Uint8Array(16);
    kernel.host.randomness(bytes);
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  };
  return {
    memory: () => {
      const free = kernel.memoryFree;
      return { total: kernel.memoryTotal, free, available: free, cached: 0, shared: 0, buffers: 0 };
    },
    cpus: 1,
    uptime: () => {
      const total = kernel.now();
      let user = 0;
      let system = 0;
      for (const { times } of kernel.tasks.values()) {
        user += times.user;
        system += times.system;
      }
      return { total, idle: Math.max(0, total - user - system), user, system };
    },
    bootTime: Math.floor(kernel.wallAtStart / 1e9),
    load: () => kernel.loadAverage.at(kernel.now(), kernel.countReady),
    counts: () => {
      const tasks = [...kernel.tasks.values()];
      return {
        runnable: kernel.countReady(),
        tasks: tasks.length,
        forks: kernel.newestPid,
        contextSwitches: kernel.contextSwitches,
        lastPid: pids.newest(kernel.newestPid),
      };
    },
    release: kernel.release,
    version: '#1 SMP PREEMPT Trivisor',
    hostname: () => uts().hostName,
    setHostname: (name) => {
      const { owner } = uts();
      if (kernel.current && !kernel.current.credentials.capableIn(owner, CAP_SYS_ADMIN)) throw errno('EPERM');
      uts().hostName = name;
    },
    fileSystems: ['tmpfs', 'ramfs', 'proc', 'sysfs', 'cgroup2', 'devtmpfs', 'devpts', 'overlay'],
    uuid,
    bootId: uuid(),
  };
}
