// A guest's interface on a virtual network: its IPv4 packets as Ethernet frames of a switch.
// Owns the interface, its way to neighbours and the router, and what comes in for whom.
// Never forwards a packet: a guest is no router here.

import { addWords, fold, type PacketPort } from '../../../devices/packets.ts';
import {
  type Address,
  dword,
  ETHERNET_BYTES,
  EtherType,
  type IpPacket,
  ipFrames,
  isSumRight,
  Protocol,
  putWord,
  readIp,
  readUdp,
  udpPacket,
  word,
} from '../../../network/nat/wire.ts';
import { errno } from '../../errno.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import {
  BROADCAST4,
  type Endpoint,
  type IpAddress,
  ipv4Number,
  ipv4Of,
  isIpv4,
  isMulticast,
} from '../inet/inet-address.ts';
import { broadcastOf, type Interface, type InternetStack, type Uplink } from '../inet/stack.ts';
import type { TcpSocket } from '../inet/tcp-socket.ts';
import type { Datagram } from '../inet/udp-socket.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpClient, type Lease } from './dhcp-client.ts';
import { EVERYBODY, Neighbours } from './neighbours.ts';
import { NetworkTcp } from './network-tcp.ts';

/** Frames that wait for room in the cable; more are lost, as at any full queue. */
const OUTGOING_MAX = 256;
/** Frames that are taken at once, so that programs go on as well. */
const BURST = 64;
const MTU = 1500;
const BROADCAST = 0xffffffff;
const Icmp = { echoReply: 0, unreachable: 3, echo: 8 } as const;
const PORT_UNREACHABLE = 3;
/** Bytes of a packet that did not arrive, which a message about it quotes: the IP header and eight more. */
const QUOTED = 28;

export interface EthernetLinkOptions {
  readonly kernel: Kernel;
  readonly stack: InternetStack;
  readonly port: PacketPort;
  readonly hardware: Uint8Array;
  readonly index: number;
  readonly name: string;
  readonly hostName: string;
  /** An address, a new one, or none any more. */
  onLease(lease: Lease | null): void;
}

export class EthernetLink implements Uplink {
  readonly interface: Interface;
  gateway: IpAddress | null = null;
  private readonly stack: InternetStack;
  private readonly port: PacketPort;
  private readonly neighbours: Neighbours;
  private readonly tcp: NetworkTcp;
  private readonly dhcp: DhcpClient;
  private readonly outgoing: Uint8Array[] = [];
  private wasUp = false;

  constructor(options: EthernetLinkOptions) {
    const { kernel, stack, port, hardware, index, name, hostName } = options;
    this.stack = stack;
    this.port = port;
    this.interface = {
      index,
      name,
      mtu: MTU,
      hardware,
      isLoopback: false,
      isUp: true,
      addresses: [],
      counters: { bytesIn: 0, packetsIn: 0, bytesOut: 0, packetsOut: 0, dropped: 0 },
    };
    const now = (): number => kernel.now();
    const at = (time: number, act: () => void): (() => void) => kernel.timers.at(time, act);
    const random = (): number => {
      const value = new Uint32Array(1);
      kernel.host.randomness(new Uint8Array(value.buffer));
      return value[0];
    };
    this.neighbours = new Neighbours({
      hardware,
      now,
      at,
      own: () => this.own(),
      isOwn: (address) => this.interface.addresses.some((own) => own.address === ipv4Of(address)),
      send: (frame) => this.transmit(frame),
    });
    this.tcp = new NetworkTcp({ stack, now, at, random, send: (packet, failed) => this.send(packet, failed) });
    this.dhcp = new DhcpClient({
      hardware,
      hostName,
      now,
      at,
      random,
      send: (message, source) =>
        this.send(
          udpPacket(
            { address: source, port: DHCP_CLIENT_PORT },
            { address: BROADCAST, port: DHCP_SERVER_PORT },
            message,
          ),
        ),
      onLease: (lease) => {
        this.take(lease);
        options.onLease(lease);
      },
    });
  }

  /** Frames wait for room in the cable. */
  get isSending(): boolean {
    return this.outgoing.length > 0;
  }

  private own(): Address | undefined {
    const own = this.interface.addresses.find(({ address }) => isIpv4(address));
    return own && ipv4Number(own.address);
  }

  private take(lease: Lease | null): void {
    const { addresses } = this.interface;
    addresses.length = 0;
    this.gateway = lease?.router ? ipv4Of(lease.router) : null;
    if (!lease) return;
    addresses.push({ address: ipv4Of(lease.address), prefix: lease.prefix });
    this.neighbours.announce(lease.address);
  }

  // ---- the cable

  /** Takes what has come, and sends what has waited for room. To be called between programs' turns. */
  poll(): void {
    const { port } = this;
    if (port.isUp !== this.wasUp) {
      this.wasUp = port.isUp;
      if (this.wasUp) this.dhcp.start();
    }
    while (this.outgoing.length > 0 && port.send(this.outgoing[0])) this.outgoing.shift();
    for (let count = 0; count < BURST; count++) {
      const frame = port.next();
      if (!frame) break;
      this.receive(frame);
      port.advance();
    }
    this.tcp.flush();
  }

  private transmit(frame: Uint8Array): void {
    const { counters, isUp } = this.interface;
    if (!isUp) return;
    if (this.outgoing.length === 0 && this.port.send(frame)) {
      counters.packetsOut++;
      counters.bytesOut += frame.length;
    } else if (this.outgoing.length < OUTGOING_MAX) {
      this.outgoing.push(frame);
      counters.packetsOut++;
      counters.bytesOut += frame.length;
    } else counters.dropped++;
  }

  /** Sends a packet to its neighbour or the router; `failed`: nobody there has answered. */
  private send(packet: IpPacket, failed: () => void = () => {}): void {
    const { hardware } = this.interface;
    const go = (to: Uint8Array): void => {
      for (const frame of ipFrames(to, hardware, packet)) this.transmit(frame);
    };
    const { destination } = packet;
    const address = ipv4Of(destination);
    if (address === BROADCAST4 || this.isForAll(address)) go(EVERYBODY);
    else if (isMulticast(address))
      go(Uint8Array.of(1, 0, 0x5e, (destination >>> 16) & 0x7f, (destination >>> 8) & 0xff, destination & 0xff));
    else {
      const router = this.gateway === null ? null : ipv4Number(this.gateway);
      const next = this.isNeighbour(destination) ? destination : router;
      if (next === null) failed();
      else this.neighbours.resolve(next, { go, fail: failed });
    }
  }

  private isForAll(address: IpAddress): boolean {
    return this.interface.addresses.some((own) => isIpv4(own.address) && broadcastOf(own) === address);
  }

  private isNeighbour(address: Address): boolean {
    return this.interface.addresses.some(({ address: own, prefix }) => {
      const mask = prefix === 0 ? 0 : (-1 << (32 - prefix)) >>> 0;
      return isIpv4(own) && ((ipv4Number(own) ^ address) & mask) === 0;
    });
  }

  // ---- what comes in

  private receive(frame: Uint8Array): void {
    const { counters, isUp, hardware } = this.interface;
    const isForUs = (frame[0] & 1) !== 0 || hardware.every((byte, at) => frame[at] === byte);
    if (!isUp || !isForUs || frame.length < ETHERNET_BYTES) return;
    counters.packetsIn++;
    counters.bytesIn += frame.length;
    const type = word(frame, 12);
    if (type === EtherType.arp) this.neighbours.receive(frame);
    if (type !== EtherType.ipv4) return;
    const packet = readIp(frame);
    if (!packet) {
      counters.dropped++;
      return;
    }
    if (packet.protocol === Protocol.udp) {
      this.udp(packet, frame);
      return;
    }
    const isOwn = this.interface.addresses.some(({ address }) => address === ipv4Of(packet.destination));
    if (!isOwn) return;
    if (packet.protocol === Protocol.tcp) this.tcp.receive(packet);
    else if (packet.protocol === Protocol.icmp) this.icmp(packet);
  }

  private udp(packet: IpPacket, frame: Uint8Array): void {
    const message = readUdp(packet);
    if (!message || !isSumRight(packet)) return;
    if (message.to === DHCP_CLIENT_PORT && message.from === DHCP_SERVER_PORT) {
      this.dhcp.receive(message.data.slice());
      return;
    }
    const datagram = {
      data: message.data.slice(),
      from: { address: ipv4Of(packet.source), port: message.from },
      to: { address: ipv4Of(packet.destination), port: message.to },
    };
    if (this.stack.receiveUdp(datagram)) return;
    const payload = new Uint8Array(8 + QUOTED);
    payload[0] = Icmp.unreachable;
    payload[1] = PORT_UNREACHABLE;
    payload.set(frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + QUOTED), 8);
    this.sendMessage(packet.destination, packet.source, payload);
  }

  private icmp({ source, destination, payload, hops }: IpPacket): void {
    if (payload.length < 8 || fold(addWords(0, payload, 0, payload.length)) !== 0xffff) return;
    const [type, code] = payload;
    if (type === Icmp.echo) {
      const answer = payload.slice();
      answer[0] = Icmp.echoReply;
      this.sendMessage(destination, source, answer);
    } else if (type === Icmp.unreachable && code === PORT_UNREACHABLE) this.unreachable(payload.subarray(8));
    else this.stack.receiveIcmp(ipv4Of(source), ipv4Of(destination), payload.slice(), hops);
  }

  /** A datagram of ours came to a port where nobody is. */
  private unreachable(quoted: Uint8Array): void {
    const header = 4 * (quoted[0] & 15);
    if (quoted.length < header + 4 || quoted[9] !== Protocol.udp) return;
    const place = (addressAt: number, portAt: number): Endpoint => ({
      address: ipv4Of(dword(quoted, addressAt)),
      port: word(quoted, header + portAt),
    });
    this.stack.udpRefused(place(12, 0), place(16, 2));
  }

  private sendMessage(source: Address, destination: Address, payload: Uint8Array, failed?: () => void): void {
    putWord(payload, 2, 0);
    putWord(payload, 2, ~fold(addWords(0, payload, 0, payload.length)));
    this.send({ source, destination, protocol: Protocol.icmp, payload }, failed);
  }

  // ---- what sockets ask for

  callTcp(socket: TcpSocket, remote: Endpoint): void {
    if (!isIpv4(remote.address)) throw errno('ENETUNREACH');
    this.tcp.call(socket, remote);
    this.tcp.flush();
  }

  sendUdp({ data, from, to }: Datagram): void {
    if (!isIpv4(to.address)) throw errno('ENETUNREACH');
    this.send(
      udpPacket(
        { address: ipv4Number(from.address), port: from.port },
        { address: ipv4Number(to.address), port: to.port },
        data,
      ),
    );
  }

  sendIcmp(from: IpAddress, to: IpAddress, message: Uint8Array): void {
    this.sendMessage(ipv4Number(from), ipv4Number(to), message);
  }
}
