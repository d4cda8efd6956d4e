// AF_UNIX sockets with connections: streams of bytes, and messages in order (SOCK_STREAM, SOCK_SEQPACKET).
// Owns listening, connecting and accepting, and how bytes are cut where credentials change or files came with them.
// Never loses anything: who finds no room waits.

import { errno } from '../../errno.ts';
import type { Description } from '../../kernel/descriptors.ts';
import type { Task } from '../../kernel/task.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../vfs/constants.ts';
import {
  BACKLOG_MAX,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLRDHUP,
  POLLWRBAND,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SocketType,
} from '../constants.ts';
import type { ControlMessage, Received, ReceiveRequest, SendRequest, UnixCredentials } from '../socket.ts';
import { readUnixAddress } from './unix-address.ts';
import { credentialsOf, type UnixMessage, UnixSocket } from './unix-socket.ts';

/** Most bytes that are one piece in a queue. */
const PIECE = 65_536;

export class UnixStream extends UnixSocket {
  override readonly isConnectionBased = true;
  private state: 'closed' | 'listening' | 'connected' = 'closed';
  private backlog = 0;
  private readonly arrived: UnixStream[] = [];
  private listener: { credentials: UnixCredentials; groups: readonly number[] } | undefined;
  /** Somebody found the backlog full. */
  private isAwaited = false;

  override get isStream(): boolean {
    return this.type === SocketType.stream;
  }

  override get isListening(): boolean {
    return this.state === 'listening';
  }

  static pair(first: UnixStream, second: UnixStream, task: Task): void {
    UnixSocket.join(first, second, task);
    first.state = second.state = 'connected';
  }

  override listen(task: Task, backlog: number): void {
    if (this.localName.kind === 'none') throw errno('EINVAL');
    if (this.state === 'connected') throw errno('EINVAL');
    this.state = 'listening';
    this.backlog = Math.min(backlog >>> 0, BACKLOG_MAX);
    this.listener = { credentials: credentialsOf(task), groups: task.credentials.groups };
    this.meet(this.listener.credentials, this.listener.groups);
    this.changed.wake();
  }

  override connect(task: Task, address: Uint8Array): void {
    const name = readUnixAddress(address);
    if (name.kind === 'none') throw errno('EINVAL');
    const server = this.find(task, name) as UnixStream;
    if (server.state !== 'listening' || server.shut & SHUT_RECEIVE) throw errno('ECONNREFUSED');
    if (this.state === 'connected') throw errno('EISCONN');
    if (this.state === 'listening') throw errno('EINVAL');
    if (server.arrived.length > server.backlog) {
      server.isAwaited = true;
      this.waitFor(server);
      throw errno('EAGAIN');
    }
    if (this.wantsCredentials) this.autobind();
    const other = new UnixStream(server.network, this.type, this.protocol);
    other.inherit(server);
    other.nameAs(server);
    other.state = this.state = 'connected';
    other.peer = this;
    this.peer = other;
    other.meet(credentialsOf(task), task.credentials.groups);
    this.meet(server.listener?.credentials, server.listener?.groups);
    other.waitsAt = server;
    server.arrived.push(other);
    server.changed.wake();
    this.changed.wake();
  }

  /** The backlog of `server` is full: this socket's waiters look again when that changes. */
  private waitFor(server: UnixStream): void {
    const stop = server.changed.add(() => {
      stop();
      this.changed.wake();
    });
  }

  override accept(): UnixStream {
    if (this.state !== 'listening') throw errno('EINVAL');
    const socket = this.arrived.shift();
    if (!socket) throw errno(this.shut & SHUT_RECEIVE ? 'EINVAL' : 'EAGAIN');
    socket.waitsAt = undefined;
    if (this.isAwaited) {
      this.isAwaited = false;
      this.changed.wake();
    }
    return socket;
  }

  override send(request: SendRequest): number {
    const { data, flags } = request;
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    const { peer } = this;
    if (this.isStream && request.address) throw errno(this.state === 'connected' ? 'EISCONN' : 'EOPNOTSUPP');
    if (this.state !== 'connected' || !peer) throw errno('ENOTCONN');
    if (this.shut & SHUT_SEND || peer.isDead || peer.shut & SHUT_RECEIVE) throw errno('EPIPE');
    if (!this.isStream) {
      if (data.length > this.sendBuffer - 32) throw errno('EMSGSIZE');
      if (this.sent >= this.sendBuffer) {
        this.wantsRoom = true;
        throw errno('EAGAIN');
      }
      this.enqueue(this.message(request, peer, data, true), peer);
      return data.length;
    }
    let done = 0;
    while (done < data.length) {
      const room = this.sendBuffer - this.sent;
      if (room <= 0) {
        this.wantsRoom = true;
        if (done > 0) return done;
        throw errno('EAGAIN');
      }
      // Never more than half of the buffer in one piece, so that writer and reader can take turns.
      const length = Math.min(data.length - done, PIECE, Math.max(this.sendBuffer >> 1, 1));
      // The files go with the first bytes.
      this.enqueue(this.message(request, peer, data.subarray(done, done + length), done === 0), peer);
      done += length;
    }
    return done;
  }

  override receive(request: ReceiveRequest): Received {
    return this.isStream ? this.receiveBytes(request) : this.receiveMessage(request);
  }

  /** Throws what an empty queue means; gives nothing where the other end has ended. */
  private whenEmpty(): void {
    this.throwError();
    if (this.shut & SHUT_RECEIVE) return;
    throw errno('EAGAIN');
  }

  private receiveBytes({ length, flags }: ReceiveRequest): Received {
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    if (this.state !== 'connected') throw errno('EINVAL');
    const isPeek = (flags & MSG_PEEK) !== 0;
    const { queue } = this;
    if (queue.length === 0) {
      this.whenEmpty();
      return { data: new Uint8Array(0), length: 0, address: null, flags: 0, control: [], rights: [] };
    }
    const parts: Uint8Array[] = [];
    let done = 0;
    let credentials: UnixCredentials | undefined;
    let rights: readonly Description[] = [];
    for (let index = 0; index < queue.length && done < length; ) {
      const message = queue[index];
      if (index === 0 && parts.length === 0) credentials = message.credentials;
      else if (this.wantsCredentials && !isSame(credentials, message.credentials)) break;
      const part = message.data.subarray(0, length - done);
      const { passed } = message;
      if (passed) rights = isPeek ? passed.copy() : passed.take();
      parts.push(part);
      done += part.length;
      if (isPeek) index++;
      else {
        message.passed = undefined;
        message.data = message.data.subarray(part.length);
        if (message.data.length > 0) break;
        queue.shift();
        this.discharge(message);
      }
      if (passed) break;
    }
    const control: ControlMessage[] = this.credentialsMessage(credentials);
    return { data: joined(parts, done), length: done, address: null, flags: 0, control, rights };
  }

  private receiveMessage({ length, flags }: ReceiveRequest): Received {
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    if (this.state !== 'connected') throw errno('ENOTCONN');
    const [message] = this.queue;
    if (!message) {
      this.whenEmpty();
      return { data: new Uint8Array(0), length: 0, address: null, flags: 0, control: [], rights: [] };
    }
    if ((flags & MSG_PEEK) === 0) {
      this.queue.shift();
      this.discharge(message);
    }
    return received(message, length, flags, this.credentialsMessage(message.credentials), null);
  }

  override poll(): number {
    let mask = this.pendingError ? POLLERR : 0;
    if (this.shut === SHUT_BOTH) mask |= POLLHUP;
    if (this.shut & SHUT_RECEIVE) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (this.queue.length > 0 || this.arrived.length > 0) mask |= POLLIN | POLLRDNORM;
    if (this.state === 'closed') mask |= POLLHUP;
    if (this.state !== 'listening' && this.writable()) mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return mask;
  }

  override release(): void {
    if (this.isDead) return;
    super.release();
    for (const socket of this.arrived.splice(0)) {
      socket.waitsAt = undefined;
      socket.leavePeer('ECONNRESET');
      socket.release();
    }
  }
}

const isSame = (one: UnixCredentials | undefined, other: UnixCredentials | undefined): boolean =>
  one?.pid === other?.pid && one?.uid === other?.uid && one?.gid === other?.gid;

export function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A whole message, cut to the room that there is. */
export function received(
  { data, passed }: UnixMessage,
  length: number,
  flags: number,
  control: readonly ControlMessage[],
  address: Uint8Array | null,
): Received {
  const isPeek = (flags & MSG_PEEK) !== 0;
  return {
    data: data.subarray(0, length),
    length: data.length,
    address,
    flags: data.length > length ? MSG_TRUNC : 0,
    control,
    rights: passed ? (isPeek ? passed.copy() : passed.take()) : [],
  };
}
