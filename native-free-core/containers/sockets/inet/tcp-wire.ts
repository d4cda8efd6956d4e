// How a TCP connection's bytes get to the other end: through the kernel itself, or over a network.
// Owns the interface, and the direct way between two sockets of one kernel, which needs no segments.
// Never knows who reads or writes.

import type { TcpSocket } from './tcp-socket.ts';

/** A connection as its socket uses it. */
export interface TcpWire {
  /** Bytes that can be written now. */
  readonly room: number;
  /** There is room for much of what the buffers take. */
  readonly isWritable: boolean;
  /** Bytes that were written and did not arrive yet. */
  readonly unsent: number;
  /** Takes bytes that nobody changes any more, at most {@link room}. */
  write(bytes: Uint8Array): void;
  /** Nothing more will be written. */
  end(): void;
  /** The reader has taken bytes: there is room for more. */
  taken(): void;
  /** The socket is closed; what was written still goes. `hard`: the other end is told that it was cut. */
  close(hard: boolean): void;
}

/** Bytes that wait at most for a reader at this kernel, unless its buffers were set. */
const DIRECT_ROOM = 512 << 10;

/** Two sockets of one kernel: what one writes lies in the other's queue at once. */
export class DirectWire implements TcpWire {
  private readonly own: TcpSocket;
  private readonly other: TcpSocket;
  /** The writer found no room. */
  private isBlocked = false;
  private isOtherClosed = false;

  constructor(own: TcpSocket, other: TcpSocket) {
    this.own = own;
    this.other = other;
  }

  static join(one: TcpSocket, other: TcpSocket): void {
    one.wire = new DirectWire(one, other);
    other.wire = new DirectWire(other, one);
  }

  private get peerWire(): DirectWire | undefined {
    return this.other.wire instanceof DirectWire ? this.other.wire : undefined;
  }

  private get capacity(): number {
    const isChosen = this.own.hasChosenBuffer || this.other.hasChosenBuffer;
    return isChosen ? this.own.sendBuffer + this.other.receiveBuffer : DIRECT_ROOM;
  }

  get room(): number {
    if (this.isOtherClosed) return DIRECT_ROOM;
    const room = Math.max(0, this.capacity - this.other.incoming.length);
    if (room === 0) this.isBlocked = true;
    return room;
  }

  get isWritable(): boolean {
    const isWritable = this.room >= this.capacity / 3;
    if (!isWritable) this.isBlocked = true;
    return isWritable;
  }

  get unsent(): number {
    return 0;
  }

  write(bytes: Uint8Array): void {
    // Who writes to a socket that is closed is answered by a reset.
    if (this.isOtherClosed) this.own.onReset('EPIPE');
    else {
      this.own.network.stack.countLoopback(bytes.length);
      this.other.onData(bytes);
    }
  }

  end(): void {
    if (!this.isOtherClosed) this.other.onEnd();
  }

  taken(): void {
    const { peerWire } = this;
    if (!peerWire?.isBlocked || peerWire.room < peerWire.capacity / 3) return;
    peerWire.isBlocked = false;
    this.other.changed.wake();
  }

  close(hard: boolean): void {
    if (this.isOtherClosed) return;
    const { peerWire } = this;
    if (hard) this.other.onReset('ECONNRESET');
    else this.other.onEnd();
    if (peerWire) peerWire.isOtherClosed = true;
  }
}
