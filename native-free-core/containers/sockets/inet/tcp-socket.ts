// TCP sockets (tcp(7)): listening, connecting, streams of bytes, and how they end.
// Owns the states as a program sees them, and the queue of what was received.
// Never makes a segment: a wire brings bytes to the other end.

import { type ErrnoCode, errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../vfs/constants.ts';
import { ByteQueue } from '../byte-queue.ts';
import {
  BACKLOG_MAX,
  Family,
  Level,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLRDHUP,
  Protocol,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SocketOption,
  SocketType,
} from '../constants.ts';
import type { NetworkNamespace } from '../network-namespace.ts';
import { int32, type Received, type ReceiveRequest, type SendRequest } from '../socket.ts';
import { type Endpoint, familyOf, isMulticast, readEndpoint } from './inet-address.ts';
import { TcpOption } from './inet-options.ts';
import { InetSocket } from './inet-socket.ts';
import type { Ports } from './ports.ts';
import { DirectWire, type TcpWire } from './tcp-wire.ts';

export type TcpState = 'closed' | 'listening' | 'connecting' | 'connected';

/** Nanoseconds that a connection is tried for: about what six repetitions of a SYN take. */
const CONNECT_PATIENCE = 127e9;
/** State numbers of /proc/net/tcp and struct tcp_info (include/net/tcp_states.h). */
const StateNumber = {
  established: 1,
  synSent: 2,
  finWait: 5,
  closed: 7,
  closeWait: 8,
  lastAck: 9,
  listen: 10,
} as const;
const TCP_INFO_BYTES = 232;
/** Bytes of a segment over a loopback of 65,536, and on Ethernet. */
const SEGMENT_LOOPBACK = 65_483;
const SEGMENT_UNCONNECTED = 536;

export class TcpSocket extends InetSocket {
  override readonly isStream = true;
  state: TcpState = 'closed';
  readonly incoming = new ByteQueue();
  wire: TcpWire | undefined;
  /** Halves that are shut down. */
  shut = 0;
  /** The other end has ended: reads give nothing, whatever else has happened. */
  private isDone = false;
  /** connect(2) has been told that it is connected. */
  private isTold = false;
  private hasConnected = false;
  private hasChosenSendBuffer = false;
  private backlog = 0;
  private readonly arrived: TcpSocket[] = [];
  /** Who wants to connect and found the backlog full. */
  private readonly callers = new Set<TcpSocket>();
  private calls: TcpSocket | undefined;
  private stopTimer: (() => void) | undefined;
  private isReleased = false;

  constructor(network: NetworkNamespace, family: number, owner: number) {
    super(network, family, SocketType.stream, Protocol.tcp, owner);
  }

  protected override get ports(): Ports {
    return this.network.stack.tcp;
  }

  override get isListening(): boolean {
    return this.state === 'listening';
  }

  get hasChosenBuffer(): boolean {
    return this.hasChosenSendBuffer;
  }

  // ---- connections

  override listen(_task: Task, backlog: number): void {
    if (this.state === 'connected' || this.state === 'connecting') throw errno('EINVAL');
    const wasListening = this.state === 'listening';
    this.backlog = Math.min(backlog >>> 0, BACKLOG_MAX);
    if (wasListening) return;
    this.autobind();
    const { address, port } = this.local;
    this.state = 'listening';
    if (this.ports.isTaken(this, address, port)) {
      this.state = 'closed';
      throw errno('EADDRINUSE');
    }
    this.shut = 0;
    this.changed.wake();
  }

  override connect(_task: Task, address: Uint8Array): void {
    if (familyOf(address) === Family.unspecified) {
      this.disconnect();
      return;
    }
    switch (this.state) {
      case 'connecting':
        throw errno('EALREADY');
      case 'connected':
        if (this.isTold) throw errno('EISCONN');
        this.isTold = true;
        return;
      case 'listening':
        throw errno('EISCONN');
      case 'closed':
    }
    const to = readEndpoint(address, this.family);
    this.throwError();
    if (isMulticast(to.address) || this.network.stack.isBroadcast(to.address)) throw errno('ENETUNREACH');
    const { to: target, from } = this.way(to.address);
    this.begin({ address: target, port: to.port }, from);
    throw errno('EINPROGRESS');
  }

  private begin(remote: Endpoint, from: string): void {
    this.autobind();
    this.local = { address: from, port: this.local.port };
    this.remote = remote;
    this.state = 'connecting';
    this.shut = 0;
    this.isDone = this.isTold = false;
    const { kernel, stack } = this.network;
    this.stopTimer = kernel.timers.at(kernel.now() + CONNECT_PATIENCE, () => this.fail('ETIMEDOUT'));
    if (!stack.isLocal(remote.address)) {
      stack.callTcp(this, remote);
      return;
    }
    const server = stack.listener(remote);
    if (!server) this.fail('ECONNREFUSED');
    else server.arrive(this);
  }

  /** Somebody of this kernel connects. */
  private arrive(caller: TcpSocket): void {
    if (this.arrived.length > this.backlog) {
      this.callers.add(caller);
      caller.calls = this;
      return;
    }
    const socket = this.child(caller.remote!, { address: caller.local.address, port: caller.local.port });
    DirectWire.join(socket, caller);
    this.put(socket);
    caller.onConnected();
  }

  /** A connection that comes in: it is not this one's to accept before {@link put}. */
  child(local: Endpoint, remote: Endpoint): TcpSocket {
    const socket = new TcpSocket(this.network, this.family, this.owner);
    socket.inherit(this);
    socket.hasChosenSendBuffer = this.hasChosenSendBuffer;
    socket.take(local.address, local.port);
    socket.remote = remote;
    socket.state = 'connected';
    socket.hasConnected = socket.isTold = true;
    return socket;
  }

  /** Whether one more connection may wait to be accepted. */
  get hasRoom(): boolean {
    return this.arrived.length <= this.backlog;
  }

  put(socket: TcpSocket): void {
    this.arrived.push(socket);
    this.changed.wake();
  }

  override accept(): TcpSocket {
    if (this.state !== 'listening') throw errno('EINVAL');
    const socket = this.arrived.shift();
    if (!socket) throw errno('EAGAIN');
    const [caller] = this.callers;
    if (caller) {
      this.callers.delete(caller);
      caller.calls = undefined;
      this.arrive(caller);
    }
    return socket;
  }

  override connecting(): void {
    if (this.state === 'connecting') throw errno('EAGAIN');
    this.throwError();
    if (this.state !== 'connected') throw errno('ECONNABORTED');
    this.isTold = true;
  }

  // ---- what the wire tells

  onConnected(): void {
    if (this.state !== 'connecting') return;
    this.stopWaiting();
    this.state = 'connected';
    this.hasConnected = true;
    this.changed.wake();
  }

  /** The connection could not be made. */
  fail(error: ErrnoCode): void {
    if (this.state !== 'connecting') return;
    this.pendingError = error;
    this.drop();
  }

  onData(bytes: Uint8Array): void {
    this.incoming.push(bytes);
    this.changed.wake();
  }

  onEnd(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.shut |= SHUT_RECEIVE;
    this.changed.wake();
  }

  /** It was cut. A program that has read the end before hears of a broken pipe. */
  onReset(error: ErrnoCode): void {
    if (this.state !== 'connected') return;
    this.pendingError = this.isDone && error === 'ECONNRESET' ? 'EPIPE' : error;
    this.drop();
  }

  /** There is room to write again. */
  onRoom(): void {
    this.changed.wake();
  }

  /** No connection any more; what was received can still be read. */
  private drop(): void {
    this.stopWaiting();
    this.state = 'closed';
    this.shut = SHUT_BOTH;
    this.wire = undefined;
    this.leavePort();
    this.changed.wake();
  }

  private stopWaiting(): void {
    this.stopTimer?.();
    this.stopTimer = undefined;
    this.calls?.callers.delete(this);
    this.calls = undefined;
  }

  // ---- bytes

  override send({ data, flags }: SendRequest): number {
    if (this.state === 'connecting') throw errno('EAGAIN');
    this.throwError();
    const { wire } = this;
    if (this.state !== 'connected' || !wire || this.shut & SHUT_SEND) throw errno('EPIPE');
    // Urgent data goes with the other bytes, as with SO_OOBINLINE.
    if (flags & MSG_OOB) this.network.kernel.notImplemented('send: MSG_OOB as urgent data');
    if (data.length === 0) return 0;
    const room = Math.min(wire.room, data.length);
    if (room === 0) throw errno('EAGAIN');
    wire.write(room === data.length ? data : data.slice(0, room));
    return room;
  }

  override receive({ length, flags }: ReceiveRequest): Received {
    const none = { address: null, flags: 0, control: [], rights: [] };
    if (flags & MSG_OOB) throw errno('EINVAL');
    if (this.state === 'listening') throw errno('ENOTCONN');
    if (length > 0 && this.incoming.length === 0) {
      if (this.isDone) return { data: new Uint8Array(0), length: 0, ...none };
      this.throwError();
      if (this.shut & SHUT_RECEIVE) return { data: new Uint8Array(0), length: 0, ...none };
      if (this.state === 'closed') throw errno('ENOTCONN');
      throw errno('EAGAIN');
    }
    if (flags & MSG_PEEK) {
      const data = this.incoming.peek(length);
      return { data, length: data.length, ...none };
    }
    const data = this.incoming.take(length);
    this.wire?.taken();
    // MSG_TRUNC throws the bytes away.
    return { data: flags & MSG_TRUNC ? data.subarray(0, 0) : data, length: data.length, ...none };
  }

  override shutdown(how: number): void {
    if (this.state === 'listening') {
      if (how & SHUT_RECEIVE) this.stopListening();
      return;
    }
    if (this.state === 'connecting') {
      this.disconnect();
      return;
    }
    if (this.state === 'closed') throw errno('ENOTCONN');
    const ends = (how & SHUT_SEND) !== 0 && (this.shut & SHUT_SEND) === 0;
    this.shut |= how;
    if (ends) this.wire?.end();
    this.changed.wake();
  }

  private stopListening(): void {
    this.state = 'closed';
    for (const caller of this.callers) caller.fail('ECONNREFUSED');
    for (const socket of this.arrived.splice(0)) socket.abort();
    this.changed.wake();
  }

  /** Ends it at once; the other end is told. */
  private abort(): void {
    this.wire?.close(true);
    this.drop();
    this.release();
  }

  /** connect(2) with no family: the socket is as at first. */
  private disconnect(): void {
    if (this.state === 'listening') this.stopListening();
    this.wire?.close(true);
    this.incoming.clear();
    const { port } = this.local;
    const wasBound = this.isBound;
    this.drop();
    this.remote = undefined;
    this.shut = 0;
    this.pendingError = null;
    if (wasBound && this.hasChosenAddress) this.take(this.local.address, port);
    else this.local = { address: this.any, port: 0 };
  }

  override poll(): number {
    if (this.state === 'listening') return this.arrived.length > 0 ? POLLIN | POLLRDNORM : 0;
    let mask = this.pendingError ? POLLERR : 0;
    if (this.shut === SHUT_BOTH || this.state === 'closed') mask |= POLLHUP;
    if (this.shut & SHUT_RECEIVE) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (this.state === 'connecting') return mask;
    if (this.incoming.length > 0) mask |= POLLIN | POLLRDNORM;
    const { wire } = this;
    if (!wire || this.shut & SHUT_SEND) mask |= POLLOUT | POLLWRNORM;
    else if (wire.isWritable) mask |= POLLOUT | POLLWRNORM;
    return mask;
  }

  protected override waiting(): { toRead: number; toSend: number } {
    return { toRead: this.incoming.length, toSend: this.wire?.unsent ?? 0 };
  }

  // ---- options

  protected override get levels(): readonly number[] {
    return [...super.levels, Level.tcp];
  }

  override getOption(task: Task, level: number, option: number): Uint8Array {
    if (level === Level.tcp) {
      if (option === TcpOption.segmentMax)
        return int32(this.state === 'connected' ? SEGMENT_LOOPBACK : SEGMENT_UNCONNECTED);
      if (option === TcpOption.congestion) return new TextEncoder().encode('cubic'.padEnd(16, '\0'));
      if (option === TcpOption.information) return this.information();
    }
    return super.getOption(task, level, option);
  }

  override setOption(task: Task, level: number, option: number, value: Uint8Array): void {
    if (level === Level.tcp && option === TcpOption.congestion) {
      const name = new TextDecoder().decode(value).replace(/\0.*$/s, '');
      if (name !== 'cubic' && name !== 'reno') throw errno('ENOENT');
      return;
    }
    if (level === Level.tcp && option === TcpOption.segmentMax) return;
    super.setOption(task, level, option, value);
    const isBuffer = option === SocketOption.sendBuffer || option === SocketOption.receiveBuffer;
    if (level === Level.socket && isBuffer) this.hasChosenSendBuffer = true;
  }

  /** As in /proc/net/tcp. */
  get stateNumber(): number {
    if (this.state === 'listening') return StateNumber.listen;
    if (this.state === 'connecting') return StateNumber.synSent;
    if (this.state === 'closed') return StateNumber.closed;
    if (this.isDone) return this.shut & SHUT_SEND ? StateNumber.lastAck : StateNumber.closeWait;
    return this.shut & SHUT_SEND ? StateNumber.finWait : StateNumber.established;
  }

  /** Connections that wait to be accepted, for /proc/net/tcp. */
  get arrivedCount(): number {
    return this.arrived.length;
  }

  private information(): Uint8Array {
    const bytes = new Uint8Array(TCP_INFO_BYTES);
    const view = new DataView(bytes.buffer);
    bytes[0] = this.stateNumber;
    for (const [at, value] of [
      [8, 200_000], // tcpi_rto
      [16, SEGMENT_LOOPBACK], // tcpi_snd_mss
      [20, SEGMENT_LOOPBACK], // tcpi_rcv_mss
      [68, 20], // tcpi_rtt
      [80, 10], // tcpi_snd_cwnd
    ])
      view.setUint32(at, value, true);
    return bytes;
  }

  override release(): void {
    if (this.isReleased) return;
    this.isReleased = true;
    const { state } = this;
    if (state === 'listening') this.stopListening();
    this.stopWaiting();
    // What was not read is lost, and the other end has to know.
    const hard = this.incoming.length > 0 || this.linger === 0;
    this.wire?.close(hard || (state === 'connecting' && !this.hasConnected));
    this.incoming.clear();
    this.state = 'closed';
    super.release();
    this.changed.wake();
  }
}
