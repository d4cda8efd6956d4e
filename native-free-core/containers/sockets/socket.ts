// What every socket is: an open file that is bound, connected, sent to and received from.
// Owns the options that all families have, the pending error, and reads and writes as messages without an address.
// Never copies from or to a program's memory, and never waits: EAGAIN says that somebody has to.

import { type ErrnoCode, errno } from '../errno.ts';
import type { Description } from '../kernel/descriptors.ts';
import type { Task } from '../kernel/task.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { type Inode, OpenFile, type UserMemory } from '../vfs/types.ts';
import { BUFFER_DEFAULT, BUFFER_MAX, CAP_NET_ADMIN, Level, SocketOption } from './constants.ts';
import type { NetworkNamespace } from './network-namespace.ts';

/** A control message: cmsg(3). */
export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** What SCM_CREDENTIALS and SO_PEERCRED tell. */
export interface UnixCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface SendRequest {
  /** The caller's to change when the call is over, unless it is whole. */
  readonly data: Uint8Array;
  /** A struct sockaddr; null: where it is connected to. */
  readonly address: Uint8Array | null;
  /** MSG_*. */
  readonly flags: number;
  readonly control: readonly ControlMessage[];
  /** Open files that are passed on. */
  readonly rights: readonly Description[];
  readonly sender: Task | undefined;
}

export interface ReceiveRequest {
  /** Most bytes that the caller has room for. */
  readonly length: number;
  readonly flags: number;
}

export interface Received {
  /** As much as there was room for. */
  readonly data: Uint8Array;
  /** Bytes that the message had. */
  readonly length: number;
  readonly address: Uint8Array | null;
  /** MSG_TRUNC and its kin. */
  readonly flags: number;
  readonly control: readonly ControlMessage[];
  /** Open files that came with it; the receiver holds them, and drops what it does not take. */
  readonly rights: readonly Description[];
}

const SHORT_MAX = 0x7fff_ffff;
const SECOND = 1e9;
const CONTROL_MAX = 20_480;

/** Options that are numbers which are only kept, and what they are at first. */
const KEPT: ReadonlyMap<number, number> = new Map([
  [SocketOption.debug, 0],
  [SocketOption.reuseAddress, 0],
  [SocketOption.dontRoute, 0],
  [SocketOption.broadcast, 0],
  [SocketOption.keepAlive, 0],
  [SocketOption.outOfBandInline, 0],
  [SocketOption.noCheck, 0],
  [SocketOption.priority, 0],
  [SocketOption.reusePort, 0],
  [SocketOption.passCredentials, 0],
  [SocketOption.receiveLow, 1],
  [SocketOption.timestamp, 0],
  [SocketOption.timestampNanoseconds, 0],
  [SocketOption.mark, 0],
  [SocketOption.overflows, 0],
  [SocketOption.busyPoll, 0],
  [SocketOption.incomingCpu, 0],
  [SocketOption.zeroCopy, 0],
]);
/** Of these, those that are on or off. */
const SWITCHES: ReadonlySet<number> = new Set([
  SocketOption.debug,
  SocketOption.reuseAddress,
  SocketOption.dontRoute,
  SocketOption.broadcast,
  SocketOption.keepAlive,
  SocketOption.outOfBandInline,
  SocketOption.noCheck,
  SocketOption.reusePort,
  SocketOption.passCredentials,
  SocketOption.timestamp,
  SocketOption.timestampNanoseconds,
  SocketOption.overflows,
]);
const SEND_BUFFER_MIN = 4608;
const RECEIVE_BUFFER_MIN = 2304;

export const int32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

/** The number in an option's value. Throws EINVAL where it is too short. */
export function numberIn(value: Uint8Array): number {
  if (value.length < 4) throw errno('EINVAL');
  return new DataView(value.buffer, value.byteOffset).getInt32(0, true);
}

export abstract class Socket extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  abstract readonly family: number;
  readonly type: number;
  readonly protocol: number;
  readonly network: NetworkNamespace;
  readonly changed = new WaitQueue();
  /** Tells the next call what became of an earlier one: SO_ERROR. */
  pendingError: ErrnoCode | null = null;
  sendBuffer = BUFFER_DEFAULT;
  receiveBuffer = BUFFER_DEFAULT;
  /** Nanoseconds; Infinity: for ever. */
  receiveTimeout = Infinity;
  sendTimeout = Infinity;
  /** Seconds that close waits for what was written; undefined: it does not. */
  linger: number | undefined;
  private readonly kept = new Map<number, number>();
  private boundDevice = '';

  constructor(network: NetworkNamespace, type: number, protocol: number) {
    super();
    this.network = network;
    this.type = type;
    this.protocol = protocol;
    network.sockets.add(this);
  }

  /** Throws what bind(2) shall. `task` says who asks, and where paths begin. */
  abstract bind(task: Task, address: Uint8Array): void;
  /**
   * connect(2). Throws EAGAIN where it has to be tried again when the socket changed, and EINPROGRESS where it goes on by
   * itself: {@link connecting} tells what becomes of it.
   */
  abstract connect(task: Task, address: Uint8Array): void;

  /** A connection that was begun. Throws EAGAIN while it goes on, and what became of it. */
  connecting(): void {}

  listen(_task: Task, _backlog: number): void {
    throw errno('EOPNOTSUPP');
  }

  /** A connection that waits. Throws EAGAIN where there is none. */
  accept(): Socket {
    throw errno('EOPNOTSUPP');
  }

  /** Bytes sent. Throws EAGAIN where there is no room. */
  abstract send(request: SendRequest): number;
  /** Throws EAGAIN where nothing is there. */
  abstract receive(request: ReceiveRequest): Received;
  /** `how`: bits of SHUT_*. */
  abstract shutdown(how: number): void;
  /** Its own address. */
  abstract name(): Uint8Array;
  /** Whom it is connected to. Throws ENOTCONN. */
  abstract peerName(): Uint8Array;

  /** Whether bytes come without bounds of messages: then a send may be done in parts. */
  abstract readonly isStream: boolean;

  get isListening(): boolean {
    return false;
  }

  /** The pending error, which is then forgotten. */
  takeError(): ErrnoCode | null {
    const error = this.pendingError;
    this.pendingError = null;
    return error;
  }

  /** Throws the pending error, if there is one. */
  throwError(): void {
    const error = this.takeError();
    if (error) throw errno(error);
  }

  /** A switch or number of the level of sockets. */
  option(option: number): number {
    return this.kept.get(option) ?? KEPT.get(option) ?? 0;
  }

  /** What an accepted socket has of the one that listened. */
  inherit(from: Socket): void {
    for (const [option, value] of from.kept) this.kept.set(option, value);
    this.sendBuffer = from.sendBuffer;
    this.receiveBuffer = from.receiveBuffer;
    this.receiveTimeout = from.receiveTimeout;
    this.sendTimeout = from.sendTimeout;
    this.linger = from.linger;
  }

  /** An option's value: socket(7). Throws ENOPROTOOPT. */
  getOption(_task: Task, level: number, option: number): Uint8Array {
    if (level !== Level.socket) throw errno('EOPNOTSUPP');
    if (KEPT.has(option)) return int32(this.option(option));
    switch (option) {
      case SocketOption.type:
        return int32(this.type);
      case SocketOption.protocol:
        return int32(this.protocol);
      case SocketOption.domain:
        return int32(this.family);
      case SocketOption.error: {
        const error = this.takeError();
        return int32(error ? errno(error).number : 0);
      }
      case SocketOption.sendBuffer:
        return int32(this.sendBuffer);
      case SocketOption.receiveBuffer:
        return int32(this.receiveBuffer);
      case SocketOption.sendLow:
        return int32(1);
      case SocketOption.acceptsConnections:
        return int32(this.isListening ? 1 : 0);
      case SocketOption.linger:
        return new Uint8Array(Int32Array.of(this.linger === undefined ? 0 : 1, this.linger ?? 0).buffer);
      case SocketOption.receiveTimeout:
        return timeValue(this.receiveTimeout);
      case SocketOption.sendTimeout:
        return timeValue(this.sendTimeout);
      case SocketOption.bindToDevice:
        return new TextEncoder().encode(this.boundDevice);
      case SocketOption.cookie:
        return new Uint8Array(BigUint64Array.of(BigInt(this.network.kernel.inoOf(this))).buffer);
      default:
        throw errno('ENOPROTOOPT');
    }
  }

  /** Throws ENOPROTOOPT, EINVAL, EPERM. */
  setOption(task: Task, level: number, option: number, value: Uint8Array): void {
    if (level !== Level.socket) throw errno('EOPNOTSUPP');
    if (option === SocketOption.bindToDevice) {
      const name = new TextDecoder().decode(value).replace(/\0.*$/s, '');
      if (name !== '' && !this.network.interfaceNamed(name)) throw errno('ENODEV');
      this.boundDevice = name;
      return;
    }
    const number = numberIn(value);
    if (KEPT.has(option)) {
      const isPrivileged =
        option === SocketOption.mark || (option === SocketOption.priority && (number < 0 || number > 6));
      if (isPrivileged && !task.credentials.capableIn(this.network.owner, CAP_NET_ADMIN)) throw errno('EPERM');
      if (option === SocketOption.receiveLow) this.kept.set(option, number < 0 ? SHORT_MAX : number || 1);
      else this.kept.set(option, SWITCHES.has(option) ? Number(number !== 0) : number);
      return;
    }
    switch (option) {
      case SocketOption.sendBuffer:
      case SocketOption.sendBufferForce:
        this.sendBuffer = Math.max(SEND_BUFFER_MIN, 2 * Math.min(number >>> 0, BUFFER_MAX));
        this.changed.wake();
        return;
      case SocketOption.receiveBuffer:
      case SocketOption.receiveBufferForce:
        this.receiveBuffer = Math.max(RECEIVE_BUFFER_MIN, 2 * Math.min(number >>> 0, BUFFER_MAX));
        return;
      case SocketOption.linger:
        if (value.length < 8) throw errno('EINVAL');
        this.linger = number === 0 ? undefined : numberIn(value.subarray(4));
        return;
      case SocketOption.receiveTimeout:
        this.receiveTimeout = timeIn(value);
        return;
      case SocketOption.sendTimeout:
        this.sendTimeout = timeIn(value);
        return;
      case SocketOption.peerCredentials:
      case SocketOption.type:
      case SocketOption.protocol:
      case SocketOption.domain:
      case SocketOption.error:
      case SocketOption.acceptsConnections:
      case SocketOption.sendLow:
        throw errno('ENOPROTOOPT');
      default:
        throw errno('ENOPROTOOPT');
    }
  }

  override read(into: Uint8Array): number {
    const { data, rights } = this.receive({ length: into.length, flags: 0 });
    for (const description of rights) description.drop();
    into.set(data);
    return data.length;
  }

  override write(from: Uint8Array): number {
    return this.send({
      data: from.slice(),
      address: null,
      flags: 0,
      control: [],
      rights: [],
      sender: this.network.kernel.current,
    });
  }

  /** Bytes that could be read now, and that were written and not read yet; undefined: this socket cannot tell. */
  protected abstract waiting(): { toRead: number; toSend: number };

  override ioctl(request: number, argument: number, memory: UserMemory): number {
    switch (request) {
      case 0x541b: // FIONREAD, SIOCINQ
        if (this.isListening) throw errno('EINVAL');
        memory.write(argument, int32(this.waiting().toRead));
        return 0;
      case 0x5411: // TIOCOUTQ, SIOCOUTQ
        if (this.isListening) throw errno('EINVAL');
        memory.write(argument, int32(this.waiting().toSend));
        return 0;
      default:
        return this.network.ioctl(request, argument, memory);
    }
  }

  override onReady(waiter: () => void): () => void {
    return this.changed.add(waiter);
  }

  override release(): void {
    this.network.sockets.delete(this);
  }
}

/** Bytes of control messages that a call may carry: net.core.optmem_max. */
export const controlMax = CONTROL_MAX;

/** A struct timeval as a time to wait; 0: for ever. Throws EDOM, EINVAL. */
function timeIn(value: Uint8Array): number {
  if (value.length < 16) throw errno('EINVAL');
  const view = new DataView(value.buffer, value.byteOffset);
  const seconds = Number(view.getBigInt64(0, true));
  const microseconds = Number(view.getBigInt64(8, true));
  if (microseconds < 0 || microseconds >= 1e6) throw errno('EDOM');
  if (seconds < 0) return 0;
  return seconds === 0 && microseconds === 0 ? Infinity : seconds * SECOND + microseconds * 1000;
}

function timeValue(time: number): Uint8Array {
  const finite = time === Infinity ? 0 : time;
  const seconds = Math.floor(finite / SECOND);
  return new Uint8Array(
    BigInt64Array.of(BigInt(seconds), BigInt(Math.floor((finite - seconds * SECOND) / 1000))).buffer,
  );
}
