// System V semaphores: sets of counters that a call changes all together or waits for (semop(2)).
// Owns the values, who waits for them, and what is undone when a process ends.
// Never decodes a call's arguments.

import { errno } from '../errno.ts';
import type { CredentialSet } from './credentials.ts';
import { IpcObject } from './ipc-objects.ts';
import type { Process } from './process.ts';
import { WaitQueue } from './wait-queue.ts';

/** semvmx, semmsl */
export const SEMAPHORE_MAX = 32767;
export const SEMAPHORES_MAX = 32000;
export const IPC_NOWAIT = 0o4000;
const SEM_UNDO = 0x1000;

export interface SemaphoreOperation {
  readonly number: number;
  readonly change: number;
  readonly flags: number;
}

export class SemaphoreSet extends IpcObject {
  readonly values: Int32Array;
  /** Who changed each last. */
  readonly pids: Int32Array;
  readonly changed = new WaitQueue();
  /** Those that wait for a value to grow, and for zero. */
  readonly growing: number[];
  readonly zero: number[];
  operatedAt = 0;
  private readonly undos = new Map<Process, Int32Array>();

  constructor(key: number, mode: number, who: CredentialSet, now: number, count: number) {
    super(key, mode, who, now);
    this.values = new Int32Array(count);
    this.pids = new Int32Array(count);
    this.growing = new Array<number>(count).fill(0);
    this.zero = new Array<number>(count).fill(0);
  }

  /** Does all operations, or none and says which one has to wait; -1: done. Throws ERANGE, EFBIG. */
  operate(operations: readonly SemaphoreOperation[], process: Process, now: number): number {
    const after = new Map<number, number>();
    for (const [index, { number, change }] of operations.entries()) {
      if (number >= this.values.length) throw errno('EFBIG');
      const value = after.get(number) ?? this.values[number];
      if (change === 0 ? value !== 0 : value + change < 0) return index;
      if (value + change > SEMAPHORE_MAX) throw errno('ERANGE');
      after.set(number, value + change);
    }
    for (const [number, value] of after) {
      this.values[number] = value;
      this.pids[number] = process.pid;
    }
    for (const { number, change, flags } of operations)
      if (flags & SEM_UNDO && change !== 0) this.note(process, number, change);
    this.operatedAt = now;
    this.changed.wake();
    return -1;
  }

  private note(process: Process, number: number, change: number): void {
    let undo = this.undos.get(process);
    if (!undo) {
      undo = new Int32Array(this.values.length);
      this.undos.set(process, undo);
      process.atEnd.add(() => this.undo(process));
    }
    undo[number] -= change;
  }

  private undo(process: Process): void {
    const undo = this.undos.get(process);
    this.undos.delete(process);
    if (!undo || this.isGone) return;
    undo.forEach((change, number) => {
      if (change !== 0) this.values[number] = Math.max(0, Math.min(SEMAPHORE_MAX, this.values[number] + change));
    });
    this.changed.wake();
  }

  /** SETVAL and SETALL: what was to be undone is forgotten. Throws ERANGE. */
  set(number: number, value: number, pid: number): void {
    if (value < 0 || value > SEMAPHORE_MAX) throw errno('ERANGE');
    this.values[number] = value;
    this.pids[number] = pid;
    for (const undo of this.undos.values()) undo[number] = 0;
    this.changed.wake();
  }
}
