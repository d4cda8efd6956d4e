// A pair of connected stream sockets: what one end writes, the other reads.
// Owns both directions, each a pipe's buffer, and their shutdown.
// Never has a name or an address.

import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../vfs/constants.ts';
import { type Inode, OpenFile } from '../vfs/types.ts';
import { Pipe } from './pipe.ts';

const ROOM = 4096;

export class SocketPair extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  private readonly incoming: Pipe;
  private readonly outgoing: Pipe;
  private reads = true;
  private writes = true;

  private constructor(incoming: Pipe, outgoing: Pipe) {
    super();
    this.incoming = incoming;
    this.outgoing = outgoing;
    incoming.readers++;
    outgoing.writers++;
  }

  static make(): [SocketPair, SocketPair] {
    const there = new Pipe();
    const back = new Pipe();
    return [new SocketPair(there, back), new SocketPair(back, there)];
  }

  override read(into: Uint8Array): number {
    return this.reads ? this.incoming.read(into) : 0;
  }

  override write(from: Uint8Array): number {
    return this.outgoing.write(from);
  }

  /** SHUT_RD, SHUT_WR or SHUT_RDWR. */
  shutdown(how: number): void {
    if (how !== 1 && this.reads) {
      this.reads = false;
      this.incoming.readers--;
    }
    if (how !== 0 && this.writes) {
      this.writes = false;
      this.outgoing.writers--;
    }
    this.incoming.changed.wake();
    this.outgoing.changed.wake();
  }

  override poll(): number {
    const { incoming, outgoing } = this;
    const ended = incoming.writers === 0;
    const gone = outgoing.readers === 0;
    return (
      (incoming.used > 0 || ended || !this.reads ? POLLIN | POLLRDNORM : 0) |
      (outgoing.capacity - outgoing.used >= ROOM || gone ? POLLOUT | POLLWRNORM : 0) |
      (ended && gone ? POLLHUP : 0) |
      (gone && this.writes && !ended ? POLLERR : 0)
    );
  }

  override onReady(waiter: () => void): () => void {
    const one = this.incoming.changed.add(waiter);
    const other = this.outgoing.changed.add(waiter);
    return () => {
      one();
      other();
    };
  }

  override release(): void {
    this.shutdown(2);
  }
}
