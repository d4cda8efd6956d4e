// The Internet protocols of one network namespace: its interfaces with their addresses, and who is at which port.
// Owns which addresses are its own, the choice of the socket that something comes to, and the way out.
// Never moves bytes of a stream.

import { errno } from '../../errno.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { SocketOption } from '../constants.ts';
import {
  ANY4,
  BROADCAST4,
  type Endpoint,
  type IpAddress,
  ipv4Number,
  ipv4Of,
  isAny,
  isIpv4,
  isLoopback,
  isMulticast,
  LOOPBACK4,
  LOOPBACK6,
  prefixOf,
} from './inet-address.ts';
import type { InetSocket } from './inet-socket.ts';
import { ECHO, ECHO_REPLY, finishIcmp, type PingSocket } from './ping-socket.ts';
import { Ports, takes } from './ports.ts';
import { TcpSocket } from './tcp-socket.ts';
import { type Datagram, UdpSocket } from './udp-socket.ts';

export interface InterfaceAddress {
  readonly address: IpAddress;
  readonly prefix: number;
}

/** What /proc/net/dev shows. */
export interface InterfaceCounters {
  bytesIn: number;
  packetsIn: number;
  bytesOut: number;
  packetsOut: number;
  dropped: number;
}

/** A network interface. */
export interface Interface {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  /** Six bytes. */
  readonly hardware: Uint8Array;
  readonly isLoopback: boolean;
  isUp: boolean;
  readonly addresses: InterfaceAddress[];
  readonly counters: InterfaceCounters;
}

/** A way out of the guest: where packets to other addresses go. */
export interface Uplink {
  readonly interface: Interface;
  /** The router, or null where there is none. */
  gateway: IpAddress | null;
  /** Connects a socket to another machine; it is told what becomes of it. */
  callTcp(socket: TcpSocket, remote: Endpoint): void;
  sendUdp(datagram: Datagram): void;
  sendIcmp(from: IpAddress, to: IpAddress, message: Uint8Array): void;
}

const LOOPBACK_MTU = 65_536;
const IP_BYTES = 20;
const TTL = 64;
const IP_UDP_BYTES = 28;

export class InternetStack {
  readonly tcp: Ports;
  readonly udp: Ports;
  readonly loopback: Interface = {
    index: 1,
    name: 'lo',
    mtu: LOOPBACK_MTU,
    hardware: new Uint8Array(6),
    isLoopback: true,
    isUp: true,
    addresses: [
      { address: LOOPBACK4, prefix: 8 },
      { address: LOOPBACK6, prefix: 128 },
    ],
    counters: { bytesIn: 0, packetsIn: 0, bytesOut: 0, packetsOut: 0, dropped: 0 },
  };
  readonly uplinks: Uplink[] = [];
  /** Sockets of ICMP. */
  readonly pings = new Set<PingSocket>();
  private lastPing = 0;

  constructor(kernel: Kernel) {
    const random = (): number => {
      const bytes = new Uint32Array(1);
      kernel.host.randomness(new Uint8Array(bytes.buffer));
      return bytes[0];
    };
    this.tcp = new Ports(true, random);
    this.udp = new Ports(false, random);
  }

  // ---- addresses

  get interfaces(): Interface[] {
    return [this.loopback, ...this.uplinks.map((uplink) => uplink.interface)];
  }

  interfaceOf(address: IpAddress): Interface | undefined {
    if (isLoopback(address)) return this.loopback;
    return this.interfaces.find(({ addresses }) => addresses.some((own) => own.address === address));
  }

  /** Whether an address is one of its own. */
  isLocal(address: IpAddress): boolean {
    return this.interfaceOf(address)?.isUp ?? false;
  }

  isBroadcast(address: IpAddress): boolean {
    if (address === BROADCAST4) return true;
    return this.uplinks.some((uplink) =>
      uplink.interface.addresses.some((own) => isIpv4(own.address) && broadcastOf(own) === address),
    );
  }

  /** Whether an address is on an interface's own network. */
  isDirect(uplink: Uplink, address: IpAddress): boolean {
    return uplink.interface.addresses.some(
      (own) =>
        own.address.length === address.length && prefixOf(own.address, own.prefix) === prefixOf(address, own.prefix),
    );
  }

  /** The way to an address that is not its own. Throws ENETUNREACH. */
  uplinkTo(address: IpAddress): Uplink {
    const isV4 = isIpv4(address);
    const able = this.uplinks.filter(
      (uplink) => uplink.interface.isUp && uplink.interface.addresses.some((own) => isIpv4(own.address) === isV4),
    );
    const direct = able.find((uplink) => this.isDirect(uplink, address));
    const isForAll = address === BROADCAST4 || isMulticast(address);
    const found = direct ?? able.find(({ gateway }) => isForAll || (gateway !== null && isIpv4(gateway) === isV4));
    if (!found) throw errno('ENETUNREACH');
    return found;
  }

  /** The address that packets to `to` come from. Throws ENETUNREACH. */
  sourceFor(to: IpAddress): IpAddress {
    if (isLoopback(to)) {
      if (!this.loopback.isUp) throw errno('ENETUNREACH');
      return isIpv4(to) ? LOOPBACK4 : LOOPBACK6;
    }
    if (this.isLocal(to)) return to;
    const { addresses } = this.uplinkTo(to).interface;
    return addresses.find(({ address }) => isIpv4(address) === isIpv4(to))!.address;
  }

  // ---- TCP

  /** Who listens at an endpoint; of several that share it, one after the other. */
  listener(at: Endpoint): TcpSocket | undefined {
    const able: TcpSocket[] = [];
    for (const socket of this.tcp.at(at.port))
      if (socket instanceof TcpSocket && socket.isListening && takes(socket.local.address, socket.isV6Only, at.address))
        able.push(socket);
    const exact = able.filter(({ local }) => local.address === at.address);
    const sameFamily = able.filter(({ local }) => isIpv4(local.address) === isIpv4(at.address));
    const [best] = [exact, sameFamily, able].filter(({ length }) => length > 0);
    return best && this.choose(best);
  }

  private turn = 0;

  private choose<Kind extends InetSocket>(sockets: Kind[]): Kind {
    if (sockets.length === 1) return sockets[0];
    // Those that share a port take turns; of others, the last one that was bound.
    const sharing = sockets.filter((socket) => socket.option(SocketOption.reusePort));
    return sharing.length > 0 ? sharing[this.turn++ % sharing.length] : sockets[sockets.length - 1];
  }

  callTcp(socket: TcpSocket, remote: Endpoint): void {
    this.uplinkTo(remote.address).callTcp(socket, remote);
  }

  // ---- UDP

  /** The socket that a datagram comes to. */
  private receiver(to: Endpoint, from: Endpoint): UdpSocket | undefined {
    let best = -1;
    let able: UdpSocket[] = [];
    for (const socket of this.udp.at(to.port)) {
      if (!(socket instanceof UdpSocket) || !takes(socket.local.address, socket.isV6Only, to.address)) continue;
      const { remote } = socket;
      if (remote && (remote.address !== from.address || remote.port !== from.port)) continue;
      const isSameFamily = isIpv4(socket.local.address) === isIpv4(to.address);
      const score = (remote ? 4 : 0) + (isAny(socket.local.address) ? 0 : 2) + (isSameFamily ? 1 : 0);
      if (score > best) able = [];
      if (score >= best) able.push(socket);
      best = Math.max(best, score);
    }
    return able.length > 0 ? this.choose(able) : undefined;
  }

  sendUdp(datagram: Datagram, sender: UdpSocket): void {
    const { to } = datagram;
    if (!this.isLocal(to.address)) {
      this.uplinkTo(to.address).sendUdp(datagram);
      return;
    }
    this.countLoopback(datagram.data.length + IP_UDP_BYTES);
    const receiver = this.receiver(to, datagram.from);
    if (receiver) receiver.deliver(datagram);
    else sender.refused(to);
  }

  /** A datagram from outside; false where nobody takes it. */
  receiveUdp(datagram: Datagram): boolean {
    const { to } = datagram;
    const isForAll = this.isBroadcast(to.address) || isMulticast(to.address);
    if (!isForAll && (!this.isLocal(to.address) || isLoopback(to.address))) return true;
    const receiver = this.receiver(isForAll ? { address: ANY4, port: to.port } : to, datagram.from);
    receiver?.deliver(datagram);
    return receiver !== undefined || isForAll;
  }

  /** A port of another machine has refused a datagram. */
  udpRefused(from: Endpoint, by: Endpoint): void {
    for (const socket of this.udp.at(from.port))
      if (socket instanceof UdpSocket && takes(socket.local.address, socket.isV6Only, from.address)) socket.refused(by);
  }

  // ---- ICMP

  /** An identifier for a socket of pings. */
  nextPing(): number {
    this.lastPing = (this.lastPing % 0xffff) + 1;
    return this.lastPing;
  }

  sendIcmp(from: IpAddress, to: IpAddress, message: Uint8Array): void {
    if (!this.isLocal(to)) {
      this.uplinkTo(to).sendIcmp(from, to, message);
      return;
    }
    this.countLoopback(message.length + IP_BYTES);
    this.receiveIcmp(from, to, message);
    if (message[0] !== ECHO) return;
    const answer = message.slice();
    answer[0] = ECHO_REPLY;
    finishIcmp(answer);
    this.countLoopback(message.length + IP_BYTES);
    this.receiveIcmp(to, from, answer);
  }

  /** A message for the guest. */
  receiveIcmp(from: IpAddress, to: IpAddress, message: Uint8Array, ttl = TTL): void {
    for (const socket of this.pings) socket.deliver(from, to, message, ttl);
  }

  countLoopback(bytes: number): void {
    const { counters } = this.loopback;
    counters.bytesIn += bytes;
    counters.bytesOut += bytes;
    counters.packetsIn++;
    counters.packetsOut++;
  }
}

/** The address of everybody on an interface's network. */
export const broadcastOf = ({ address, prefix }: InterfaceAddress): IpAddress =>
  ipv4Of((ipv4Number(address) | (prefix === 0 ? 0xffffffff : 2 ** (32 - prefix) - 1)) >>> 0);
