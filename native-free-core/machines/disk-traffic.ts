// The requests a machine's drives make of their disks: how many are under way, what they came to, and which wait for room.
// Owns the counts, and the writes that the host had no room for.
// Never changes a request, and never lets a drive see that the host is full.

import type { ImageMedium } from '../devices/storage/medium.ts';
import { type BlockDevice, HostFullError, lengthOf } from '../disk/block.ts';
import type { ControlBlock } from '../hypervisor/control-block.ts';

/** A write, or what makes one durable, that waits for room on the host. */
interface Stalled {
  act: () => Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class DiskTraffic {
  /** Requests that have not been answered. */
  pending = 0;
  private reads = 0;
  private writes = 0;
  private bytesRead = 0;
  private bytesWritten = 0;
  private stalled: Stalled[] = [];
  private retrying: Promise<boolean> | null = null;
  private nanoseconds = 0;
  private readonly now: () => number;
  private readonly asked: () => void;
  private readonly answered: () => void;
  private readonly onFull: (reason: string) => void;

  /**
   * `now` is a clock in nanoseconds. `asked` is called with each request, `answered` when a request and what followed from it is over, and `onFull`, with a
   * sentence, when the host has no room: the guest is to stand still then until {@link retry} has found some.
   */
  constructor(now: () => number, asked: () => void, answered: () => void, onFull: (reason: string) => void) {
    this.now = now;
    this.asked = asked;
    this.answered = answered;
    this.onFull = onFull;
  }

  /** A disk whose requests are counted. */
  medium(disk: BlockDevice): ImageMedium {
    return {
      size: disk.size,
      isReadOnly: disk.isReadOnly,
      read: (offset, into) => {
        this.reads++;
        this.bytesRead += into.length;
        return this.follow(this.timed(disk.read(offset, into)));
      },
      write: (offset, from) => {
        this.writes++;
        this.bytesWritten += from.length;
        return this.follow(this.timed(this.insist(() => disk.write(offset, from))));
      },
      ...(disk.readNow ? { readNow: (offset, into) => this.readNow(disk, offset, into) } : {}),
      ...(disk.writeNow ? { writeNow: (offset, from) => this.writeNow(disk, offset, from) } : {}),
      flush: () => this.follow(this.insist(() => disk.flush())),
      writeZeros: (offset, length) => this.follow(this.insist(() => disk.writeZeros(offset, length))),
      discard: (offset, length) => this.follow(this.insist(() => disk.discard(offset, length))),
    };
  }

  private timed<T>(work: Promise<T>): Promise<T> {
    const asked = this.now();
    const over = () => {
      this.nanoseconds += this.now() - asked;
    };
    work.then(over, over);
    return work;
  }

  private readNow(disk: BlockDevice, offset: number, into: readonly Uint8Array[]): boolean {
    const asked = this.now();
    if (disk.readNow?.(offset, into) !== true) return false;
    this.nanoseconds += this.now() - asked;
    this.reads++;
    this.bytesRead += lengthOf(into);
    return true;
  }

  /** What waits for room on the host comes first. */
  private writeNow(disk: BlockDevice, offset: number, from: readonly Uint8Array[]): boolean {
    const asked = this.now();
    if (this.stalled.length > 0 || disk.writeNow?.(offset, from) !== true) return false;
    this.nanoseconds += this.now() - asked;
    this.writes++;
    this.bytesWritten += lengthOf(from);
    return true;
  }

  /** Counts work that requests are part of as one more request. */
  follow<T>(work: Promise<T>): Promise<T> {
    this.pending++;
    this.asked();
    const over = () => {
      this.pending--;
      this.answered();
    };
    // The drive hears of it first: whoever is told that a disk answered finds what followed from that.
    const told = work.then();
    told.then(over, over);
    return work;
  }

  /** Does an act, which waits for as long as the host has no room for it. */
  private insist(act: () => Promise<void>): Promise<void> {
    return act().catch((error: unknown) => {
      if (!(error instanceof HostFullError)) throw error;
      return new Promise<void>((resolve, reject) => {
        this.stalled.push({ act, resolve, reject });
        this.onFull(error.message);
      });
    });
  }

  /** Does again what the host had no room for, in order. Resolves with whether all of it is done; never rejects. */
  retry(): Promise<boolean> {
    this.retrying ??= this.retryAll().finally(() => {
      this.retrying = null;
    });
    return this.retrying;
  }

  private async retryAll(): Promise<boolean> {
    for (let first = this.stalled[0]; first !== undefined; first = this.stalled[0]) {
      try {
        await first.act();
        this.stalled.shift();
        first.resolve();
      } catch (error) {
        if (error instanceof HostFullError) return false;
        this.stalled.shift();
        first.reject(error);
      }
    }
    return true;
  }

  /** Writes the counters. */
  publish(control: ControlBlock): void {
    control.set('diskReads', this.reads);
    control.set('diskWrites', this.writes);
    control.set('diskBytesRead', this.bytesRead);
    control.set('diskBytesWritten', this.bytesWritten);
    control.set('diskNanoseconds', this.nanoseconds);
  }
}
