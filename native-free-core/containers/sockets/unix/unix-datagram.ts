// AF_UNIX sockets without connections: each message is whole and goes to a name (SOCK_DGRAM).
// Owns whom one is connected to by default, and the bound of a receiver's queue.
// Never loses a message: a full queue makes the sender wait.

import { errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../vfs/constants.ts';
import { Family, MSG_OOB, MSG_PEEK, POLLRDHUP, POLLWRBAND, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND } from '../constants.ts';
import type { Received, ReceiveRequest, SendRequest } from '../socket.ts';
import { readUnixAddress } from './unix-address.ts';
import { UnixSocket } from './unix-socket.ts';
import { received } from './unix-stream.ts';

/** Messages that wait beyond the first: net.unix.max_dgram_qlen. */
const QUEUE_MAX = 10;

export class UnixDatagram extends UnixSocket {
  override readonly isConnectionBased = false;
  override readonly isStream = false;
  /** Who found this one's queue full. */
  private readonly waitingSenders = new Set<UnixDatagram>();

  private get isFull(): boolean {
    return this.queue.length > QUEUE_MAX;
  }

  override connect(task: Task, address: Uint8Array): void {
    const before = this.peer;
    if (address.length >= 2 && (address[0] | (address[1] << 8)) === Family.unspecified) this.peer = undefined;
    else {
      const name = readUnixAddress(address);
      if (name.kind === 'none') throw errno('EINVAL');
      if (this.wantsCredentials) this.autobind();
      const found = this.find(task, name);
      if (found.peer && found.peer !== this) throw errno('EPERM');
      this.peer = found;
    }
    if (before && before !== this.peer) {
      // What the former peer sent is gone, and it is told (unix_dgram_disconnected).
      if (this.queue.length > 0) {
        this.purge();
        if (!before.isDead && before.peer === this) before.pendingError = 'ECONNRESET';
      }
      before.changed.wake();
    }
    this.changed.wake();
  }

  override send(request: SendRequest): number {
    const { data, address, flags, sender } = request;
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    let to = this.peer as UnixDatagram | undefined;
    const name = address && readUnixAddress(address);
    if (!name && !to) throw errno('ENOTCONN');
    if (this.wantsCredentials) this.autobind();
    if (data.length > this.sendBuffer - 32) throw errno('EMSGSIZE');
    this.throwError();
    if (this.shut & SHUT_SEND) throw errno('EPIPE');
    if (name) {
      if (name.kind === 'none' || !sender) throw errno('EINVAL');
      to = this.find(sender, name) as UnixDatagram;
    }
    const receiver = to!;
    if (receiver.peer && receiver.peer !== this) throw errno('EPERM');
    if (receiver.isDead) {
      if (!name) this.peer = undefined;
      throw errno('ECONNREFUSED');
    }
    if (receiver.shut & SHUT_RECEIVE) throw errno('EPIPE');
    const isFull = receiver !== this && receiver.peer !== this && receiver.isFull;
    if (isFull || this.sent >= this.sendBuffer) {
      this.wantsRoom = true;
      if (isFull) receiver.waitingSenders.add(this);
      throw errno('EAGAIN');
    }
    this.enqueue(this.message(request, receiver, data, true), receiver);
    return data.length;
  }

  override receive({ length, flags }: ReceiveRequest): Received {
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    const [message] = this.queue;
    if (!message) {
      this.throwError();
      if ((this.shut & SHUT_RECEIVE) === 0) throw errno('EAGAIN');
      return { data: new Uint8Array(0), length: 0, address: null, flags: 0, control: [], rights: [] };
    }
    if ((flags & MSG_PEEK) === 0) {
      this.queue.shift();
      this.discharge(message);
      this.wakeSenders();
    }
    // An unnamed sender has no address.
    const address = message.address.length > 2 ? message.address : new Uint8Array(0);
    return received(message, length, flags, this.credentialsMessage(message.credentials), address);
  }

  private wakeSenders(): void {
    if (this.isFull) return;
    const senders = [...this.waitingSenders];
    this.waitingSenders.clear();
    for (const sender of senders) sender.changed.wake();
  }

  override poll(): number {
    let mask = this.pendingError ? POLLERR : 0;
    if (this.shut === SHUT_BOTH) mask |= POLLHUP;
    if (this.shut & SHUT_RECEIVE) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (this.queue.length > 0) mask |= POLLIN | POLLRDNORM;
    const peer = this.peer as UnixDatagram | undefined;
    const isPeerFull = peer !== undefined && peer.peer !== this && peer.isFull;
    if (isPeerFull) peer.waitingSenders.add(this);
    if (!isPeerFull && this.writable()) mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return mask;
  }

  override release(): void {
    if (this.isDead) return;
    super.release();
    this.wakeSenders();
    for (const sender of this.waitingSenders) sender.changed.wake();
    this.waitingSenders.clear();
  }
}
