// Futexes: tasks that wait for a word of memory to change (futex(2)).
// Owns who waits for which word; words are told apart by what memory they are, not by their address.
// Never looks at a clock.

import { errno } from '../errno.ts';
import { PAGE } from '../memory/page-pool.ts';
import type { SharedPages } from '../memory/shared-pages.ts';
import { BLOCKED, type Task } from './task.ts';

const FUTEX_WAITERS = 0x80000000;
const FUTEX_OWNER_DIED = 0x40000000;
const FUTEX_TID_MASK = 0x3fffffff;

interface Waiter {
  key: string;
  readonly bits: number;
  readonly task: Task;
  woken: boolean;
  wake: () => void;
}

let named = 0;
const names = new WeakMap<object, number>();

/** A number for an object: two that are the same have the same one. */
function numberOf(thing: object): number {
  let number = names.get(thing);
  if (number === undefined) {
    number = ++named;
    names.set(thing, number);
  }
  return number;
}

export class Futexes {
  private readonly waiters = new Map<string, Set<Waiter>>();

  /** What tells a word from others: shared memory and the place in it, or the address space and the address. */
  private keyOf(task: Task, address: number): string {
    if (address % 4 !== 0) throw errno('EINVAL');
    const region = task.space.regions.find(address);
    if (!region) throw errno('EFAULT');
    if (!region.shared || !region.pages) return `${numberOf(task.space)}:${address}`;
    const pages: SharedPages = region.pages;
    return `${numberOf(pages)}:${region.firstPage * PAGE + (address - region.start)}`;
  }

  /** FUTEX_WAIT_BITSET. `deadline` is kernel time. Throws EAGAIN where the word is not `expected`. */
  wait(task: Task, address: number, expected: number, bits: number, deadline: number): number {
    if (bits === 0) throw errno('EINVAL');
    if (task.space.readU32(address) !== expected >>> 0) throw errno('EAGAIN');
    const waiter: Waiter = { key: this.keyOf(task, address), bits, task, woken: false, wake: () => {} };
    this.put(waiter);
    return task.block({
      attempt: () => (waiter.woken ? 0 : BLOCKED),
      on: [
        {
          add: (wake) => {
            waiter.wake = wake;
            return () => {};
          },
        },
      ],
      deadline,
      timeoutResult: -110,
      interrupted: deadline === Infinity ? 'restart' : 'restartWithoutHandler',
      finish: () => this.take(waiter),
    });
  }

  private put(waiter: Waiter): void {
    let set = this.waiters.get(waiter.key);
    if (!set) this.waiters.set(waiter.key, (set = new Set()));
    set.add(waiter);
  }

  private take(waiter: Waiter): void {
    const set = this.waiters.get(waiter.key);
    set?.delete(waiter);
    if (set?.size === 0) this.waiters.delete(waiter.key);
  }

  /** Wakes at most `count` that wait for any of `bits`. How many. */
  wake(task: Task, address: number, count: number, bits: number): number {
    const set = this.waiters.get(this.keyOf(task, address));
    if (!set) return 0;
    let woken = 0;
    for (const waiter of [...set]) {
      if (woken >= count) break;
      if ((waiter.bits & bits) === 0) continue;
      waiter.woken = true;
      this.take(waiter);
      waiter.wake();
      woken++;
    }
    return woken;
  }

  /** Wakes some and makes others wait for another word. How many of both. */
  requeue(task: Task, address: number, count: number, target: number, moved: number): number {
    const woken = this.wake(task, address, count, 0xffffffff);
    const to = this.keyOf(task, target);
    const set = this.waiters.get(this.keyOf(task, address));
    let requeued = 0;
    for (const waiter of [...(set ?? [])]) {
      if (requeued >= moved) break;
      this.take(waiter);
      waiter.key = to;
      this.put(waiter);
      requeued++;
    }
    return woken + requeued;
  }

  /** A thread ended that may have held a robust futex. */
  ownerDied(task: Task, address: number): void {
    const word = task.space.readU32(address);
    if ((word & FUTEX_TID_MASK) !== task.pidSeen(task.tid)) return;
    task.space.writeU32(address, ((word & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0);
    if (word & FUTEX_WAITERS) this.wake(task, address, 1, 0xffffffff);
  }
}
