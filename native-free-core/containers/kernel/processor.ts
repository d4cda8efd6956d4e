// What the kernels of all guests of a thread have in common: the engine, the pool of pages, and cached pages of image files.
// Owns whose turn it is, whose registers the engine has, and what goes when a guest does.
// Never looks into a guest: each has a kernel of its own, and no kernel knows of another.

import type { Cpu } from '../../cpu/cpu.ts';
import { S, VCPU_STATE_BYTES } from '../../cpu/state.ts';
import { enterUserMode, type ProgramException, type Supervisor } from '../../cpu/system/supervisor.ts';
import { STATE_BASE } from '../../memory/layout.ts';
import type { MemoryAccount } from '../memory/memory-account.ts';
import { PagePool } from '../memory/page-pool.ts';
import type { SharedPages } from '../memory/shared-pages.ts';
import { ProgramTranslation } from '../memory/translation.ts';
import type { Kernel } from './kernel.ts';
import type { Task } from './task.ts';

export class Processor implements Supervisor {
  readonly translation = new ProgramTranslation();
  cpu!: Cpu;
  pool!: PagePool;
  /** Cached pages of files that several guests see: those of image layers. */
  readonly caches = new Set<SharedPages>();
  /** The guests, one kernel each. */
  readonly kernels = new Set<Kernel>();
  /** Whose program executes, or did last. */
  private owner: Kernel | undefined;
  /** Whose registers the vCPU has. */
  private loaded: Task | undefined;
  /** A program's registers before its first instruction. */
  private readonly blank = new Uint8Array(VCPU_STATE_BYTES);

  /** The engine that executes; before anything else. */
  attach(cpu: Cpu): void {
    this.cpu = cpu;
    this.pool = new PagePool(cpu.system.u8, cpu.system.physical);
    this.pool.reclaim = () => this.reclaim();
    this.translation.mmu = cpu.system.mmu;
    this.translation.onCodeMoved = () => cpu.kick();
    enterUserMode(cpu.system);
    cpu.saveState(this.blank);
  }

  /** What the time-stamp counter shows: nanoseconds of the guest that executes. */
  get timestamp(): number {
    return Math.floor(this.owner?.now() ?? 0);
  }

  systemCall(): void {
    this.owner!.systemCall();
  }

  exception(exception: ProgramException): void {
    this.owner!.exception(exception);
  }

  // ---- registers

  /** Puts a task's registers into the vCPU: its program is the one that executes. */
  load(task: Task): void {
    if (this.loaded !== task) {
      this.unload();
      this.cpu.restoreState(task.registers);
      this.loaded = task;
      task.kernel.contextSwitches++;
    }
    this.owner = task.kernel;
    this.translation.enter(task.space);
  }

  private unload(): void {
    if (this.loaded) this.cpu.saveState(this.loaded.registers);
    this.loaded = undefined;
  }

  /** A task executes from `entry` on with registers in which nothing has happened yet. */
  beginProgram(task: Task, entry: number, stack: number): void {
    task.registers.set(this.blank);
    const registers = new DataView(task.registers.buffer);
    registers.setBigUint64(S.ip - STATE_BASE, BigInt(entry), true);
    registers.setBigUint64(S.regs + 4 * 8 - STATE_BASE, BigInt(stack), true);
    if (this.loaded !== task) return;
    this.cpu.restoreState(task.registers);
    this.translation.enter(task.space);
  }

  /** A task is gone: its registers are worth nothing. */
  forget(task: Task): void {
    if (this.loaded === task) this.loaded = undefined;
  }

  // ---- memory

  /** Gives up cached pages that nobody maps, whosever they are. Whether there were any. */
  reclaim(): boolean {
    let released = 0;
    for (const pages of this.caches) released += pages.shrink();
    for (const { caches } of this.kernels) for (const pages of caches) released += pages.shrink();
    return released > 0;
  }

  /** The guest that has most memory: where the pool itself is full, and nobody has met a limit. */
  largest(): Kernel | undefined {
    let largest: Kernel | undefined;
    for (const kernel of this.kernels)
      if (!largest || kernel.cgroup.memoryUsed > largest.cgroup.memoryUsed) largest = kernel;
    return largest;
  }

  // ---- the end of a guest

  /**
   * A guest is gone, whatever state it was left in: nothing of it executes again, and no page is its own any more. Pages of image
   * files that were counted for it stay cached for the others.
   */
  leave(kernel: Kernel, isOf: (account: MemoryAccount | undefined) => boolean): void {
    this.kernels.delete(kernel);
    if (this.loaded?.kernel === kernel) this.loaded = undefined;
    if (this.owner === kernel) this.owner = undefined;
    this.translation.enter(undefined);
    for (const pages of this.caches) pages.disown(isOf);
    this.pool.releaseAll(isOf);
  }

  /** After a fault of ours in the midst of a program: the engine begins anew, whatever it was left with. */
  recover(): void {
    this.loaded = undefined;
    this.owner = undefined;
    this.translation.enter(undefined);
    this.cpu.abandon();
    this.cpu.restoreState(this.blank);
  }
}
