// eventfd, timerfd and signalfd: files that are ready when something has happened.
// Owns their counters, timers and masks.
// Never blocks anybody: EAGAIN does.

import { errno } from '../errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { siginfo } from '../kernel/signal-frame.ts';
import type { SignalSet } from '../kernel/signal-numbers.ts';
import type { Task } from '../kernel/task.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { POLLIN, POLLOUT } from '../vfs/constants.ts';
import { type Inode, OpenFile } from '../vfs/types.ts';

const COUNT_MAX = 0xffff_ffff_ffff_fffen;
const SIGNALFD_BYTES = 128;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** eventfd(2) */
export class EventFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  private count: bigint;
  private readonly isSemaphore: boolean;
  private readonly changed = new WaitQueue();

  constructor(count: number, isSemaphore: boolean) {
    super();
    this.count = BigInt(count);
    this.isSemaphore = isSemaphore;
  }

  override read(into: Uint8Array): number {
    if (into.length < 8) throw errno('EINVAL');
    if (this.count === 0n) throw errno('EAGAIN');
    const given = this.isSemaphore ? 1n : this.count;
    this.count -= given;
    viewOf(into).setBigUint64(0, given, true);
    this.changed.wake();
    return 8;
  }

  override write(from: Uint8Array): number {
    if (from.length < 8) throw errno('EINVAL');
    const more = viewOf(from).getBigUint64(0, true);
    if (more > COUNT_MAX) throw errno('EINVAL');
    if (this.count + more > COUNT_MAX) throw errno('EAGAIN');
    this.count += more;
    if (more > 0n) this.changed.wake();
    return 8;
  }

  override poll(): number {
    return (this.count > 0n ? POLLIN : 0) | (this.count < COUNT_MAX ? POLLOUT : 0);
  }

  override onReady(waiter: () => void): () => void {
    return this.changed.add(waiter);
  }
}

/** timerfd_create(2) */
export class TimerFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  /** CLOCK_*. */
  readonly clock: number;
  /** Nanoseconds between expirations; 0: there is only one. */
  interval = 0;
  private readonly kernel: Kernel;
  private deadline = Infinity;
  private expirations = 0;
  private cancel: (() => void) | undefined;
  private readonly changed = new WaitQueue();

  constructor(kernel: Kernel, clock: number) {
    super();
    this.kernel = kernel;
    this.clock = clock;
  }

  /** Nanoseconds to the next expiration; 0: not armed. */
  get left(): number {
    return this.deadline === Infinity ? 0 : Math.max(1, this.deadline - this.kernel.now());
  }

  /** Expires at kernel time `deadline`; Infinity: never. */
  set(deadline: number, interval: number): void {
    this.cancel?.();
    this.cancel = undefined;
    this.expirations = 0;
    this.interval = interval;
    this.arm(deadline);
  }

  private arm(deadline: number): void {
    this.deadline = deadline;
    if (deadline === Infinity) return;
    this.cancel = this.kernel.timers.at(deadline, () => {
      const late = this.kernel.now() - deadline;
      const times = this.interval > 0 ? 1 + Math.max(0, Math.floor(late / this.interval)) : 1;
      this.expirations += times;
      this.cancel = undefined;
      this.arm(this.interval > 0 ? deadline + times * this.interval : Infinity);
      this.changed.wake();
    });
  }

  override read(into: Uint8Array): number {
    if (into.length < 8) throw errno('EINVAL');
    if (this.expirations === 0) throw errno('EAGAIN');
    viewOf(into).setBigUint64(0, BigInt(this.expirations), true);
    this.expirations = 0;
    return 8;
  }

  override poll(): number {
    return this.expirations > 0 ? POLLIN : 0;
  }

  override onReady(waiter: () => void): () => void {
    return this.changed.add(waiter);
  }

  override release(): void {
    this.cancel?.();
  }
}

/** signalfd(2): takes the signals of whoever reads. */
export class SignalFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  mask: SignalSet;
  private readonly kernel: Kernel;
  private readonly owner: Task;

  constructor(kernel: Kernel, owner: Task, mask: SignalSet) {
    super();
    this.kernel = kernel;
    this.owner = owner;
    this.mask = mask;
  }

  private get reader(): Task {
    return this.kernel.current ?? this.owner;
  }

  override read(into: Uint8Array): number {
    if (into.length < SIGNALFD_BYTES) throw errno('EINVAL');
    let done = 0;
    while (done + SIGNALFD_BYTES <= into.length) {
      const information = this.reader.takeSignal(this.mask);
      if (!information) break;
      const told = viewOf(siginfo(information, this.reader));
      const record = new Uint8Array(SIGNALFD_BYTES);
      const view = viewOf(record);
      view.setUint32(0, information.signal, true);
      view.setInt32(8, information.code, true);
      view.setUint32(12, this.reader.pidSeen(information.pid ?? 0), true);
      view.setUint32(16, this.reader.uidSeen(information.uid ?? 0), true);
      view.setInt32(40, information.status ?? 0, true);
      view.setBigUint64(48, told.getBigUint64(24, true), true);
      into.set(record, done);
      done += SIGNALFD_BYTES;
    }
    if (done === 0) throw errno('EAGAIN');
    return done;
  }

  override poll(): number {
    const { pending, process } = this.reader;
    return ((pending.set | process.pending.set) & this.mask) !== 0n ? POLLIN : 0;
  }

  override onReady(waiter: () => void): () => void {
    return this.owner.process.signalled.add(waiter);
  }
}
