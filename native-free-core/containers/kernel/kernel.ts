// One guest's kernel: every program's supervisor, on the vCPU that all guests' kernels of a thread share.
// Owns the tasks, whose turn it is, the way of a system call to its handler, and what exceptions become.
// Never implements a system call: syscalls/ does. Never reads the host's clock but through its host.

import type { Cpu } from '../../cpu/cpu.ts';
import { S, Vector } from '../../cpu/state.ts';
import type { ProgramException } from '../../cpu/system/supervisor.ts';
import type { Devices } from '../devices/devices.ts';
import { Errno, errno } from '../errno.ts';
import type { MemoryAccount } from '../memory/memory-account.ts';
import { PAGE, type PagePool } from '../memory/page-pool.ts';
import type { SharedPages } from '../memory/shared-pages.ts';
import type { ProgramTranslation } from '../memory/translation.ts';
import { InFlight } from '../sockets/unix/in-flight.ts';
import type { Budget } from '../vfs/file-content.ts';
import type { OpenFile } from '../vfs/types.ts';
import { AnonymousFiles } from './anonymous-files.ts';
import { Cgroup } from './cgroups.ts';
import type { Description } from './descriptors.ts';
import { exitProcess } from './exit.ts';
import { forgetLocks } from './file-locks.ts';
import { Futexes } from './futex.ts';
import { LoadAverage } from './load-average.ts';
import { shrinkCaches } from './mapped-files.ts';
import type { Namespaces, PidNamespace } from './namespaces.ts';
import { outOfMemory } from './out-of-memory.ts';
import type { Process } from './process.ts';
import type { Processor } from './processor.ts';
import { decide } from './seccomp.ts';
import { SiCode, Signal } from './signal-numbers.ts';
import type { SignalInformation } from './signal-queue.ts';
import { deliverSignals, forceSignal } from './signals.ts';
import { BLOCKED, type Task } from './task.ts';
import { Timers } from './timers.ts';

/** What the kernel needs of its host. */
export interface KernelHost {
  monotonicNanoseconds(): number;
  /** Since the Unix epoch. */
  wallMilliseconds(): number;
  randomness(into: Uint8Array): void;
}

/** A system call: its result, {@link BLOCKED}, or {@link REGISTERS_SET}. Arguments are signed 64-bit numbers. May throw an Errno. */
export type SystemCall = (task: Task, a: number, b: number, c: number, d: number, e: number, f: number) => number;

/** What a call gives that has put all registers where they belong, rAX included. */
export const REGISTERS_SET = -0x10001;

/** Instructions of a task's turn. */
const TURN = 200_000;
/** One system call in this many is timed, for what processes are told of their time in the kernel; a prime. */
const TIMED_EVERY = 17;
const HIGH = 0x1_0000_0000;
const ENOSYS = -38;
const RAX = 0;
const ARGUMENTS = [7, 6, 2, 10, 8, 9].map((register) => (S.regs + register * 8) >>> 2);

export interface KernelParts {
  host: KernelHost;
  release: string;
  /** The engine and the memory, which other guests' kernels have as well. */
  processor: Processor;
  calls: readonly (SystemCall | undefined)[];
  /** Name of a call by its number. */
  nameOf(call: number): string;
}

export class Kernel {
  readonly host: KernelHost;
  readonly processor: Processor;
  readonly pool: PagePool;
  readonly cpu: Cpu;
  readonly translation: ProgramTranslation;
  readonly timers = new Timers();
  readonly futexes = new Futexes();
  /** Open files that are being passed through sockets. */
  readonly inFlight = new InFlight(this);
  /** How many file systems programs have mounted: each has a st_dev of its own. */
  mountsMade = 0;
  readonly anonymous: AnonymousFiles;
  /** Cached pages of files that this guest alone sees. */
  readonly caches = new Set<SharedPages>();
  readonly tasks = new Map<number, Task>();
  readonly processes = new Map<number, Process>();
  /** Who executes. */
  current: Task | undefined;
  /** Set with the guest's console. */
  devices!: Devices;
  /** The first process has ended, with this wait status. */
  endStatus: number | undefined;
  /** System calls made, and calls that are not implemented by name. */
  systemCalls = 0;
  readonly unimplemented = new Map<string, number>();
  /** What files in memory take counts as memory. */
  readonly fileBudget: Budget = {
    charge: (bytes) => {
      if (!this.cgroup.reserve(bytes)) throw errno('ENOSPC');
    },
    release: (bytes) => this.cgroup.unreserve(bytes),
  };
  /** What the first process is in; set with the guest's mounts. */
  namespaces!: Namespaces;
  /** What uname tells of itself. */
  readonly release: string;
  /** Of the host's monotonic clock, less the time that the guest was paused. */
  startedAt: number;
  wallAtStart: number;
  private readonly calls: readonly (SystemCall | undefined)[];
  private readonly nameOf: (call: number) => string;
  /** The outermost group of the guest's processes; all limits of the guest are its own. */
  readonly cgroup: Cgroup;
  private lastPid = 0;
  /** Logins that were told of: the last one's number. */
  lastAuditSession = 0;
  /** How often another task than the one before was executed. */
  contextSwitches = 0;
  readonly loadAverage = new LoadAverage();
  private readonly inos = new WeakMap<OpenFile, number>();
  private lastIno = 1000;
  private turnBegan = 0;
  private readonly u32: Uint32Array;

  constructor({ host, release, processor, calls, nameOf }: KernelParts) {
    this.host = host;
    this.release = release;
    this.processor = processor;
    this.translation = processor.translation;
    this.pool = processor.pool;
    this.cpu = processor.cpu;
    this.u32 = processor.cpu.system.u32;
    this.calls = calls;
    this.nameOf = nameOf;
    this.startedAt = host.monotonicNanoseconds();
    this.wallAtStart = host.wallMilliseconds() * 1e6;
    this.cgroup = new Cgroup({
      now: () => this.now(),
      at: (time, act) => this.timers.at(time, act),
      reclaim: () => this.reclaim(),
    });
    this.anonymous = new AnonymousFiles(() => BigInt(Math.floor(this.wall())), this.fileBudget);
    processor.kernels.add(this);
  }

  /** Nobody has executed for so many nanoseconds, which CLOCK_MONOTONIC does not count (as in a suspended Linux). */
  wasPaused(nanoseconds: number): void {
    this.startedAt += nanoseconds;
    this.wallAtStart += nanoseconds;
  }

  /** Nanoseconds since the kernel was started: CLOCK_MONOTONIC. */
  now(): number {
    return this.host.monotonicNanoseconds() - this.startedAt;
  }

  /** Nanoseconds since the Unix epoch: CLOCK_REALTIME. A double: exact to about 256 ns. */
  wall(): number {
    return this.wallAtStart + this.now();
  }

  /** The number that was given out last. */
  get newestPid(): number {
    return this.lastPid;
  }

  /** A number that no task, group or session has. */
  newPid(): number {
    do this.lastPid = this.lastPid >= 0x3fffff ? 300 : this.lastPid + 1;
    while (this.isTaken(this.lastPid));
    return this.lastPid;
  }

  private isTaken(pid: number): boolean {
    if (this.tasks.has(pid) || this.processes.has(pid)) return true;
    for (const { group, session } of this.processes.values()) if (group === pid || session.id === pid) return true;
    return false;
  }

  /** Gives up what the guest's memory can do without; whether there was anything. */
  reclaim(): boolean {
    return shrinkCaches(this);
  }

  /** Bytes of memory that the guest has, and that are left of them. */
  get memoryTotal(): number {
    return Math.min(this.cgroup.memoryMax, this.pool.total * PAGE);
  }
  get memoryFree(): number {
    return Math.max(0, Math.min(this.cgroup.memoryLeft, this.pool.available * PAGE));
  }

  /**
   * The guest is over: its processes end, its files are closed, its pages are others'. Whatever state it was left in, nothing of it
   * stays in what guests share. Gives what went wrong with the processes, if anything did.
   */
  end(): unknown {
    const isOf = (account: MemoryAccount | undefined): boolean =>
      account !== undefined && (account as Cgroup).isWithin(this.cgroup);
    let problem: unknown;
    try {
      for (const process of [...this.processes.values()]) exitProcess(this, process, Signal.SIGKILL);
      for (const pages of this.caches) pages.drop();
    } catch (error) {
      problem = error;
    }
    this.caches.clear();
    this.tasks.clear();
    this.processes.clear();
    this.processor.leave(this, isOf);
    return problem;
  }

  /** A number means nothing any more, unless a group or session still has it. */
  freeNumber(namespace: PidNamespace, pid: number): void {
    if (namespace.level > 0 && !this.isTaken(pid)) namespace.forget(pid);
  }

  // ---- scheduling

  /** A task may execute. */
  enqueue(task: Task): void {
    if (task.queued || task.state !== 'ready') return;
    task.queued = true;
    task.process.cgroup.put(task);
  }

  /** Whether some task could execute now. */
  get isBusy(): boolean {
    return this.cgroup.hasReady;
  }

  /** The executing task's turn ends with the instruction at hand. */
  leave(): void {
    this.cpu.leave();
  }

  /** Tasks that could execute. */
  readonly countReady = (): number => {
    let ready = 0;
    for (const { state } of this.tasks.values()) if (state === 'ready') ready++;
    return ready;
  };

  /** Gives one task its turn, if any can execute. */
  runOne(): boolean {
    const now = this.now();
    this.timers.run(now);
    this.loadAverage.at(now, this.countReady);
    const task = this.cgroup.take();
    if (!task) return false;
    task.queued = false;
    if (task.state !== 'ready') return true;
    if (task.process.isStopped && !task.process.ending) {
      // SIGCONT puts it back; SIGKILL ends it.
      return true;
    }
    this.turn(task);
    if (task.state === 'ready') this.enqueue(task);
    return true;
  }

  private turn(task: Task): void {
    if (task.wait) {
      this.current = task;
      const result = task.retry();
      this.current = undefined;
      if (result === BLOCKED) return;
      this.processor.load(task);
      this.setResult(result);
    } else this.processor.load(task);
    this.current = task;
    task.turns++;
    const before = this.host.monotonicNanoseconds();
    this.turnBegan = before;
    const kernelBefore = task.kernelTime;
    const { cgroup: group } = task.process;
    if (this.hasSignals(task)) deliverSignals(this, task);
    if (task.state === 'ready' && !task.process.isStopped) {
      this.cpu.run(TURN);
      // What an exception or another task has sent is acted on before anything else happens.
      if (task.state === 'ready' && this.hasSignals(task)) deliverSignals(this, task);
    }
    const spent = this.host.monotonicNanoseconds() - before;
    const inKernel = Math.min(spent, task.kernelTime - kernelBefore);
    task.cpuTime += spent;
    group.spent(spent - inKernel, inKernel);
    task.process.cpuWatch?.run(task);
    this.current = undefined;
  }

  /** Nanoseconds that a task has executed, its present turn included. */
  cpuTimeOf(task: Task): number {
    return task.cpuTime + (task === this.current ? this.host.monotonicNanoseconds() - this.turnBegan : 0);
  }

  private hasSignals({ pending, process, interrupted, savedBlocked }: Task): boolean {
    return pending.set !== 0n || process.pending.set !== 0n || interrupted !== undefined || savedBlocked !== undefined;
  }

  private setResult(result: number): void {
    const at = (S.regs + RAX * 8) >>> 2;
    this.u32[at] = result;
    this.u32[at + 1] = Math.floor(result / HIGH);
  }

  // ---- what stops a program

  systemCall(): void {
    const { u32, cpu } = this;
    const task = this.current!;
    const { system } = cpu;
    const number = u32[(S.regs + RAX * 8) >>> 2];
    system.setReg(1, system.ip);
    system.setReg(11, BigInt(system.flags()));
    const isTimed = this.systemCalls++ % TIMED_EVERY === 0;
    const began = isTimed ? this.host.monotonicNanoseconds() : 0;
    task.callNumber = number;
    const refused = task.seccomp && this.filter(task, number);
    if (refused !== undefined) {
      if (refused !== 'stopped') this.setResult(refused);
      if (this.hasSignals(task)) this.leave();
      return;
    }
    const call = this.calls[number];
    let result: number;
    if (call) {
      try {
        result = call(
          task,
          this.argument(0),
          this.argument(1),
          this.argument(2),
          this.argument(3),
          this.argument(4),
          this.argument(5),
        );
      } catch (error) {
        if (!(error instanceof Errno)) throw error;
        result = -error.number;
      }
    } else result = this.notImplemented(this.nameOf(number));
    if (result !== BLOCKED && result !== REGISTERS_SET) this.setResult(result);
    if (isTimed) task.kernelTime += (this.host.monotonicNanoseconds() - began) * TIMED_EVERY;
    if (this.hasSignals(task)) this.leave();
  }

  /** What the task's filters make of a call: undefined, it is carried out. */
  private filter(task: Task, number: number): number | 'stopped' | undefined {
    return decide(this, task, {
      number,
      address: Number(this.cpu.system.ip),
      words: (into) => {
        ARGUMENTS.forEach((at, index) => {
          into[index * 2] = this.u32[at];
          into[index * 2 + 1] = this.u32[at + 1];
        });
      },
    });
  }

  private argument(index: number): number {
    const at = ARGUMENTS[index];
    return (this.u32[at + 1] | 0) * HIGH + this.u32[at];
  }

  // ---- what calls on files ask for

  /** Mappings of it are anonymous memory: /dev/zero. */
  mapsAnonymously(file: OpenFile): boolean {
    return this.devices.isZero(file);
  }

  forgetLocks(description: Description, process: Process): void {
    forgetLocks(description, process);
  }

  /** Number of a file that is in no file system. */
  inoOf(file: OpenFile): number {
    let ino = this.inos.get(file);
    if (ino === undefined) this.inos.set(file, (ino = ++this.lastIno));
    return ino;
  }

  /** Counts a call, or a part of one, that is not there. */
  notImplemented(name: string): number {
    this.unimplemented.set(name, (this.unimplemented.get(name) ?? 0) + 1);
    return ENOSYS;
  }

  /** A call's result, with an Errno as its negative number. */
  resultOf(act: () => number): number {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      return -error.number;
    }
  }

  exception(exception: ProgramException): void {
    const task = this.current!;
    const { system } = this.cpu;
    const { vector, isSoftware } = exception;
    let address = Number(system.ip);
    if (isSoftware && vector !== Vector.breakpoint && vector !== Vector.debug) {
      // INT n, of which INT 0x80 is the call of 32-bit programs: #GP at the instruction, as by a kernel without them.
      if (vector === 0x80) this.notImplemented('int 0x80');
      system.ip -= 2n;
      forceSignal(this, task, { signal: Signal.SIGSEGV, code: SiCode.SI_KERNEL, address: 0 });
    } else if (vector === Vector.pageFault && task.space.failure === 'noMemory' && this.isMapped(task)) {
      // Somebody is ended; the instruction is carried out again, unless it was its own program.
      outOfMemory(this, task.process);
    } else {
      if (vector === Vector.pageFault) address = Number(system.get64(S.cr2));
      const trap = { vector, code: Math.max(0, exception.code), address };
      const information = this.exceptionSignal(task, vector, address);
      forceSignal(this, task, { ...information, trap });
    }
    this.leave();
  }

  private isMapped(task: Task): boolean {
    return task.space.regions.find(Number(this.cpu.system.get64(S.cr2))) !== undefined;
  }

  /** arch/x86/kernel/traps.c and mm/fault.c: which signal an exception is, and how it is told. */
  private exceptionSignal(task: Task, vector: number, address: number): SignalInformation {
    const { system } = this.cpu;
    switch (vector) {
      case Vector.divideError:
        return { signal: Signal.SIGFPE, code: SiCode.FPE_INTDIV, address };
      case Vector.debug:
        return { signal: Signal.SIGTRAP, code: SiCode.TRAP_TRACE, address };
      case Vector.breakpoint:
        return { signal: Signal.SIGTRAP, code: SiCode.SI_KERNEL };
      case Vector.invalidOpcode:
        return { signal: Signal.SIGILL, code: SiCode.ILL_ILLOPN, address };
      case Vector.pageFault: {
        const known = task.space.regions.find(address) !== undefined;
        if (task.space.failure === 'beyondEnd' && known)
          return { signal: Signal.SIGBUS, code: SiCode.BUS_ADRERR, address };
        return { signal: Signal.SIGSEGV, code: known ? SiCode.SEGV_ACCERR : SiCode.SEGV_MAPERR, address };
      }
      case Vector.stackFault:
        return { signal: Signal.SIGBUS, code: SiCode.SI_KERNEL };
      case Vector.alignmentCheck:
        return { signal: Signal.SIGBUS, code: SiCode.BUS_ADRALN };
      case Vector.x87:
        return { signal: Signal.SIGFPE, code: floatCode(system.get32(S.fsw) & ~system.get32(S.fcw)), address };
      case Vector.simd: {
        const mxcsr = system.get32(S.mxcsr);
        return { signal: Signal.SIGFPE, code: floatCode(mxcsr & ~(mxcsr >>> 7)), address };
      }
      default:
        return { signal: Signal.SIGSEGV, code: SiCode.SI_KERNEL, address: 0 };
    }
  }
}

/** si_code of the exceptions of x87 or SSE that are raised and not masked. */
function floatCode(raised: number): number {
  if (raised & 1) return SiCode.FPE_FLTINV;
  if (raised & 4) return SiCode.FPE_FLTDIV;
  if (raised & 8) return SiCode.FPE_FLTOVF;
  if (raised & 0x12) return SiCode.FPE_FLTUND;
  return raised & 0x20 ? SiCode.FPE_FLTRES : SiCode.SI_KERNEL;
}
