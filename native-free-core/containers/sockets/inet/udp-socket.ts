// UDP sockets (udp(7)): datagrams between ports.
// Owns the queue of what came, bounded in bytes, and what a connected one is told of refusals.
// Never waits for room: what does not fit is lost, as on any network.

import { errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../vfs/constants.ts';
import {
  Family,
  Level,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLRDHUP,
  POLLWRBAND,
  Protocol,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SocketOption,
  SocketType,
} from '../constants.ts';
import type { NetworkNamespace } from '../network-namespace.ts';
import type { ControlMessage, Received, ReceiveRequest, SendRequest } from '../socket.ts';
import {
  bytesOf,
  type Endpoint,
  endpointAddress,
  familyOf,
  isIpv4,
  isMulticast,
  readEndpoint,
} from './inet-address.ts';
import { IpOption, Ipv6Option } from './inet-options.ts';
import { InetSocket } from './inet-socket.ts';
import type { Ports } from './ports.ts';

/** Bytes of the longest datagram over IPv4 and IPv6. */
const LONGEST = 65_507;
/** What a datagram takes of a buffer beside its bytes. */
const OVERHEAD = 512;

export interface Datagram {
  readonly data: Uint8Array;
  readonly from: Endpoint;
  readonly to: Endpoint;
}

export class UdpSocket extends InetSocket {
  override readonly isStream = false;
  private readonly queue: Datagram[] = [];
  private queued = 0;
  private shut = 0;
  /** Datagrams that found no room, for /proc/net/udp. */
  drops = 0;

  constructor(network: NetworkNamespace, family: number, owner: number) {
    super(network, family, SocketType.datagram, Protocol.udp, owner);
  }

  protected override get ports(): Ports {
    return this.network.stack.udp;
  }

  override connect(_task: Task, address: Uint8Array): void {
    if (address.length < 2) throw errno('EINVAL');
    if (familyOf(address) === Family.unspecified) {
      this.remote = undefined;
      if (!this.hasChosenAddress) this.local = { address: this.any, port: this.local.port };
      return;
    }
    const { address: to, port } = this.destination(address);
    const way = this.way(to);
    this.demandBroadcast(way.to);
    this.autobind();
    this.local = { address: way.from, port: this.local.port };
    this.remote = { address: way.to, port };
    this.changed.wake();
  }

  private destination(address: Uint8Array): Endpoint {
    // An IPv6 socket that takes IPv4 as well is given addresses of either.
    const isOther = this.family === Family.inet6 && familyOf(address) === Family.inet;
    return readEndpoint(address, isOther && !this.isV6Only ? Family.inet : this.family);
  }

  private demandBroadcast(to: string): void {
    if (this.network.stack.isBroadcast(to) && !this.option(SocketOption.broadcast)) throw errno('EACCES');
  }

  override send({ data, address, flags }: SendRequest): number {
    // A port first, whatever becomes of the message (inet_send_prepare).
    this.autobind();
    if (data.length > LONGEST) throw errno('EMSGSIZE');
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    let to: Endpoint;
    if (address && familyOf(address) !== Family.unspecified) {
      to = this.destination(address);
      if (to.port === 0) throw errno('EINVAL');
    } else if (this.remote) to = this.remote;
    else throw errno('EDESTADDRREQ');
    this.throwError();
    if (this.shut & SHUT_SEND) throw errno('EPIPE');
    const way = this.way(to.address);
    this.demandBroadcast(way.to);
    const datagram = {
      data: data.slice(),
      from: { address: way.from, port: this.local.port },
      to: { address: way.to, port: to.port },
    };
    this.network.stack.sendUdp(datagram, this);
    return data.length;
  }

  /** Nobody is there: ICMP has said so. Only who is connected there hears of it. */
  refused(by: Endpoint): void {
    if (this.remote?.address !== by.address || this.remote.port !== by.port) return;
    this.pendingError = 'ECONNREFUSED';
    this.changed.wake();
  }

  deliver(datagram: Datagram): void {
    if (this.queued >= this.receiveBuffer) {
      this.drops++;
      return;
    }
    this.queued += datagram.data.length + OVERHEAD;
    this.queue.push(datagram);
    this.changed.wake();
  }

  override receive({ length, flags }: ReceiveRequest): Received {
    if (flags & MSG_ERRQUEUE) throw errno('EAGAIN');
    this.throwError();
    const [datagram] = this.queue;
    if (!datagram) {
      if (this.shut & SHUT_RECEIVE)
        return { data: new Uint8Array(0), length: 0, address: null, flags: 0, control: [], rights: [] };
      throw errno('EAGAIN');
    }
    const { data, from, to } = datagram;
    if ((flags & MSG_PEEK) === 0) {
      this.queue.shift();
      this.queued -= data.length + OVERHEAD;
    }
    return {
      data: data.subarray(0, length),
      length: data.length,
      address: endpointAddress(from, this.family),
      flags: data.length > length ? MSG_TRUNC : 0,
      control: this.packetInformation(to),
      rights: [],
    };
  }

  /** IP_PKTINFO and IPV6_PKTINFO: at which address and interface it came. */
  private packetInformation({ address }: Endpoint): ControlMessage[] {
    const { stack } = this.network;
    const index = stack.interfaceOf(address)?.index ?? 1;
    if (this.family === Family.inet && this.inetOptions.get(Level.ip, IpOption.packetInformation)) {
      const data = new Uint8Array(12);
      new DataView(data.buffer).setUint32(0, index, true);
      data.set(bytesOf(isMulticast(address) ? stack.sourceFor(address) : address), 4);
      data.set(bytesOf(address), 8);
      return [{ level: Level.ip, type: IpOption.packetInformation, data }];
    }
    if (this.family === Family.inet6 && this.inetOptions.get(Level.ipv6, Ipv6Option.receivePacketInformation)) {
      const data = new Uint8Array(20);
      data.set(
        isIpv4(address) ? endpointAddress({ address, port: 0 }, Family.inet6).subarray(8, 24) : bytesOf(address),
      );
      new DataView(data.buffer).setUint32(16, index, true);
      return [{ level: Level.ipv6, type: Ipv6Option.packetInformation, data }];
    }
    return [];
  }

  override shutdown(how: number): void {
    if (!this.remote) throw errno('ENOTCONN');
    this.shut |= how;
    this.changed.wake();
  }

  override poll(): number {
    let mask = this.pendingError ? POLLERR : 0;
    if (this.shut === SHUT_BOTH) mask |= POLLHUP;
    if (this.shut & SHUT_RECEIVE) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (this.queue.length > 0) mask |= POLLIN | POLLRDNORM;
    return mask | POLLOUT | POLLWRNORM | POLLWRBAND;
  }

  protected override get levels(): readonly number[] {
    return [...super.levels, Level.udp];
  }

  protected override waiting(): { toRead: number; toSend: number } {
    return { toRead: this.queue[0]?.data.length ?? 0, toSend: 0 };
  }

  /** Bytes that wait, for /proc/net/udp. */
  get queuedBytes(): number {
    return this.queued;
  }

  override release(): void {
    super.release();
    this.queue.length = 0;
    this.changed.wake();
  }
}
