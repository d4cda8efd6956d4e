// Signals that have been sent and not been delivered: of one task, or of a process.
// Owns their order: of one kind the earlier first, of several the one with the lowest number.
// Never decides whether a signal is delivered.

import { bitOf, lowest, SIGRTMIN, type SignalSet, SYNCHRONOUS } from './signal-numbers.ts';

/** What a handler is told (siginfo_t), as far as Linux fills it in for this kind of signal. */
export interface SignalInformation {
  readonly signal: number;
  readonly code: number;
  /** Sender, or child. */
  readonly pid?: number;
  readonly uid?: number;
  /** SIGCHLD. */
  readonly status?: number;
  /** Of a call that a filter refused: SIGSYS. */
  readonly call?: { number: number; architecture: number; error: number };
  /** Of a fault. */
  readonly address?: number;
  /** sigqueue's value, 64 bits; a timer's. */
  readonly value?: bigint;
  readonly timerId?: number;
  readonly overrun?: number;
  /** Vector and error code of the exception, and CR2, for the frame. */
  readonly trap?: { vector: number; code: number; address: number };
}

/** Signals that a task can have waiting at once: RLIMIT_SIGPENDING. */
const QUEUE_MAX = 4096;

export class SignalQueue {
  set: SignalSet = 0n;
  private list: SignalInformation[] = [];

  /** False: the queue is full, and a real-time signal was not taken. */
  add(information: SignalInformation): boolean {
    const { signal } = information;
    if (signal < SIGRTMIN && (this.set & bitOf(signal)) !== 0n) return true;
    if (signal >= SIGRTMIN && this.list.length >= QUEUE_MAX) return false;
    this.set |= bitOf(signal);
    this.list.push(information);
    return true;
  }

  /** Takes the first signal of those in `of`. What the processor raised goes first. */
  take(of: SignalSet): SignalInformation | undefined {
    const there = this.set & of;
    if (there === 0n) return undefined;
    const signal = lowest(there & SYNCHRONOUS || there);
    const at = this.list.findIndex((information) => information.signal === signal);
    const [taken] = this.list.splice(at, 1);
    if (!this.list.some((information) => information.signal === signal)) this.set &= ~bitOf(signal);
    return taken;
  }

  /** Whether this very signal still waits. */
  has(information: SignalInformation): boolean {
    return this.list.includes(information);
  }

  /** Throws away signals. */
  remove(of: SignalSet): void {
    if ((this.set & of) === 0n) return;
    this.set &= ~of;
    this.list = this.list.filter(({ signal }) => (of & bitOf(signal)) === 0n);
  }
}
