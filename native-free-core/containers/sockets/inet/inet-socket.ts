// What the sockets of AF_INET and AF_INET6 have in common: binding, names, the options of their levels.
// Owns the local and the remote endpoint.
// Never moves bytes: its subclasses do.

import { errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { CAP_NET_BIND_SERVICE, Family, Level } from '../constants.ts';
import type { NetworkNamespace } from '../network-namespace.ts';
import { int32, numberIn, Socket } from '../socket.ts';
import {
  ANY4,
  ANY6,
  type Endpoint,
  endpointAddress,
  familyOf,
  type IpAddress,
  isAny,
  isIpv4,
  isLoopback,
  isMulticast,
  LOOPBACK4,
  LOOPBACK6,
  readEndpoint,
} from './inet-address.ts';
import { InetOptions, Ipv6Option } from './inet-options.ts';
import { type Ports, PRIVILEGED_PORTS } from './ports.ts';

/** Options that are taken and change nothing here: memberships of groups that nobody sends to, and filters of sources. */
const TAKEN: ReadonlySet<number> = new Set([
  Level.ip * 256 + 32, // IP_MULTICAST_IF
  Level.ip * 256 + 35, // IP_ADD_MEMBERSHIP
  Level.ip * 256 + 36, // IP_DROP_MEMBERSHIP
  Level.ipv6 * 256 + 17, // IPV6_MULTICAST_IF
  Level.ipv6 * 256 + 20, // IPV6_JOIN_GROUP
  Level.ipv6 * 256 + 21, // IPV6_LEAVE_GROUP
]);

export abstract class InetSocket extends Socket {
  readonly family: number;
  /** Who made it: only its owner's sockets share a port by SO_REUSEPORT. */
  readonly owner: number;
  local: Endpoint;
  remote: Endpoint | undefined;
  protected readonly inetOptions = new InetOptions();
  private boundPort = 0;
  /** bind chose the address, so that a disconnect keeps it. */
  protected hasChosenAddress = false;

  constructor(network: NetworkNamespace, family: number, type: number, protocol: number, owner: number) {
    super(network, type, protocol);
    this.family = family;
    this.owner = owner;
    this.local = { address: this.any, port: 0 };
  }

  protected abstract get ports(): Ports | undefined;

  protected get any(): IpAddress {
    return this.family === Family.inet ? ANY4 : ANY6;
  }

  get isV6Only(): boolean {
    return this.family === Family.inet6 && this.inetOptions.get(Level.ipv6, Ipv6Option.only) === 1;
  }

  get isBound(): boolean {
    return this.boundPort !== 0;
  }

  override bind(task: Task, address: Uint8Array): void {
    let { address: ip, port } = this.readLocal(address);
    if (isAny(ip) && !isIpv4(ip)) ip = ANY6;
    const { stack } = this.network;
    if (!isAny(ip) && !stack.isLocal(ip) && !isMulticast(ip) && !stack.isBroadcast(ip)) throw errno('EADDRNOTAVAIL');
    if (isMulticast(ip) && this.isStream) throw errno('EADDRNOTAVAIL');
    const isPrivileged = port !== 0 && port < PRIVILEGED_PORTS;
    if (isPrivileged && !task.credentials.capableIn(this.network.owner, CAP_NET_BIND_SERVICE)) throw errno('EACCES');
    if (this.isBound || this.remote) throw errno('EINVAL');
    const { ports } = this;
    if (ports && port !== 0 && ports.isTaken(this, ip, port)) throw errno('EADDRINUSE');
    port ||= ports?.free(this, ip) ?? 0;
    this.take(ip, port);
    this.hasChosenAddress = !isAny(ip);
  }

  private readLocal(address: Uint8Array): Endpoint {
    // An unspecified family with no address has always been taken for IPv4 (__inet_bind).
    const isOld = this.family === Family.inet && address.length >= 16 && familyOf(address) === Family.unspecified;
    if (isOld && address.subarray(4, 8).every((byte) => byte === 0)) {
      return { address: ANY4, port: (address[2] << 8) | address[3] };
    }
    const endpoint = readEndpoint(address, this.family);
    if (this.family === Family.inet6 && isIpv4(endpoint.address) && this.isV6Only) throw errno('EINVAL');
    return endpoint;
  }

  /** Is at an address and a port from here on. */
  protected take(address: IpAddress, port: number): void {
    this.local = { address, port };
    this.boundPort = port;
    if (port !== 0) this.ports?.add(this, port);
  }

  /** Gives the port back. */
  protected leavePort(): void {
    if (this.boundPort === 0) return;
    this.ports?.remove(this, this.boundPort);
    this.boundPort = 0;
  }

  /** A port of its own where it has none. Throws EADDRINUSE, EAGAIN. */
  protected autobind(): void {
    if (!this.isBound && this.ports) this.take(this.local.address, this.ports.free(this, this.local.address));
  }

  /** Where a packet to `address` would go, and from which address. Throws ENETUNREACH, EINVAL. */
  protected way(address: IpAddress): { to: IpAddress; from: IpAddress } {
    let to = address;
    if (isAny(to)) to = isIpv4(to) || this.family === Family.inet ? LOOPBACK4 : LOOPBACK6;
    if (this.family === Family.inet6 && isIpv4(to) && this.isV6Only) throw errno('ENETUNREACH');
    const own = this.local.address;
    const from = isAny(own) ? this.network.stack.sourceFor(to) : own;
    if (isIpv4(from) !== isIpv4(to)) throw errno('ENETUNREACH');
    // Nothing leaves the guest from an address of its loopback.
    if (isLoopback(from) && !this.network.stack.isLocal(to)) throw errno('EINVAL');
    return { to, from };
  }

  override name(): Uint8Array {
    return endpointAddress(this.local, this.family);
  }

  override peerName(): Uint8Array {
    if (!this.remote) throw errno('ENOTCONN');
    return endpointAddress(this.remote, this.family);
  }

  override inherit(from: Socket): void {
    super.inherit(from);
    if (from instanceof InetSocket) this.inetOptions.copyFrom(from.inetOptions);
  }

  protected get levels(): readonly number[] {
    return this.family === Family.inet ? [Level.ip] : [Level.ip, Level.ipv6];
  }

  override getOption(task: Task, level: number, option: number): Uint8Array {
    if (level === Level.socket) return super.getOption(task, level, option);
    if (!this.levels.includes(level)) throw errno('EOPNOTSUPP');
    const value = this.inetOptions.get(level, option);
    if (value === undefined) throw errno('ENOPROTOOPT');
    return int32(value);
  }

  override setOption(task: Task, level: number, option: number, value: Uint8Array): void {
    if (level === Level.socket) {
      super.setOption(task, level, option, value);
      return;
    }
    if (!this.levels.includes(level)) throw errno('ENOPROTOOPT');
    if (TAKEN.has(level * 256 + option)) return;
    if (level === Level.ipv6 && option === Ipv6Option.only && this.isBound) throw errno('EINVAL');
    // Options of IP may be single bytes.
    const number = level === Level.ip && value.length > 0 && value.length < 4 ? value[0] : numberIn(value);
    if (!this.inetOptions.set(level, option, number)) throw errno('ENOPROTOOPT');
  }

  override release(): void {
    super.release();
    this.leavePort();
  }
}
