// The requests a machine's drives make of their disks: how many are under way, and what they came to.
// Owns the counts.
// Never changes a request.

import type { Medium } from '../devices/storage/medium.ts';
import type { BlockDevice } from '../disk/block.ts';
import type { ControlBlock } from '../hypervisor/control-block.ts';

export class DiskTraffic {
  /** Requests that have not been answered. */
  pending = 0;
  private reads = 0;
  private writes = 0;
  private bytesRead = 0;
  private bytesWritten = 0;
  private readonly asked: () => void;
  private readonly answered: () => void;

  /** `asked` is called with each request, `answered` when a request and what followed from it is over. */
  constructor(asked: () => void, answered: () => void) {
    this.asked = asked;
    this.answered = answered;
  }

  /** A disk whose requests are counted. */
  medium(disk: BlockDevice): Medium {
    return {
      size: disk.size,
      isReadOnly: disk.isReadOnly,
      read: (offset, into) => {
        this.reads++;
        this.bytesRead += into.length;
        return this.follow(disk.read(offset, into));
      },
      write: (offset, from) => {
        this.writes++;
        this.bytesWritten += from.length;
        return this.follow(disk.write(offset, from));
      },
      flush: () => this.follow(disk.flush()),
      discard: (offset, length) => this.follow(disk.discard(offset, length)),
    };
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

  /** Writes the counters. */
  publish(control: ControlBlock): void {
    control.set('diskReads', this.reads);
    control.set('diskWrites', this.writes);
    control.set('diskBytesRead', this.bytesRead);
    control.set('diskBytesWritten', this.bytesWritten);
  }
}
