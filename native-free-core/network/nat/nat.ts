// The translated network: guests reach the world through ordinary sockets of the host, and are reached where a port of the
// host was forwarded to them.
// Owns the gateway's address, its DHCP server, and the connections and flows of the guests.
// Never touches a socket itself, and never lets a guest reach the host's own services unless it was allowed to.

import { addWords, fold } from '../../devices/packets.ts';
import { DhcpServer } from './dhcp.ts';
import { type Forward, Forwards } from './forwards.ts';
import type { HostListener, HostSockets, HostTcp, HostTcpEvents, HostUdp } from './host-sockets.ts';
import { readTcp, TcpConnection, TcpFlag, type TcpSegment, tcpMessage } from './tcp-connection.ts';
import {
  type Address,
  dword,
  ETHERNET_BYTES,
  EtherType,
  formatAddress,
  type IpPacket,
  ipFrames,
  isSumRight,
  Protocol,
  parseAddress,
  putDword,
  putSum,
  putWord,
  readIp,
  readUdp,
  udpPacket,
  word,
} from './wire.ts';

const NETWORK = parseAddress('10.0.2.0')!;
const MASK = parseAddress('255.255.255.0')!;
/** The gateway, which is also the host's place in this network. */
export const GATEWAY = parseAddress('10.0.2.2')!;
/** Where guests ask for names. */
export const NAME_SERVER = parseAddress('10.0.2.3')!;
const FIRST_GUEST = parseAddress('10.0.2.15')!;
const GUESTS = 200;
const BROADCAST = parseAddress('255.255.255.255')!;
/** The gateway's hardware address: locally administered, the same on each of these networks. */
const HARDWARE = Uint8Array.of(0x02, 0x54, 0x0a, 0x00, 0x02, 0x02);
const EVERYBODY = new Uint8Array(6).fill(0xff);

const Port = { dns: 53, dhcpServer: 67, dhcpClient: 68 } as const;
/** Connections and flows at once: what a guest that opens more and more can take of the host. */
const CONNECTIONS_MAX = 2048;
const FLOWS_MAX = 512;
/** Stations whose hardware address is remembered. */
const STATIONS_MAX = 512;
/** Milliseconds of silence after which a UDP flow is forgotten (RFC 4787, REQ-5: at least two minutes; DNS: at once). */
const FLOW_IDLE = 120_000;
const ARP_BYTES = 28;

export interface NatOptions {
  sockets: HostSockets;
  /** Sends a frame into the network. */
  send(frame: Uint8Array): void;
  /** The guests may reach the host itself, at the gateway's address. */
  allowHost: boolean;
}

/** Whether an address is one that a guest of this network may have. */
const isGuest = (address: Address): boolean =>
  (address & MASK) >>> 0 === NETWORK && address !== GATEWAY && address !== NAME_SERVER;

interface Flow {
  socket: HostUdp;
  usedAt: number;
}

export class Nat {
  private readonly options: NatOptions;
  private readonly dhcp = new DhcpServer({
    first: FIRST_GUEST,
    count: GUESTS,
    mask: MASK,
    router: GATEWAY,
    dns: NAME_SERVER,
  });
  /** Hardware addresses of guests, heard of longest ago first. */
  private readonly stations = new Map<Address, Uint8Array>();
  private readonly connections = new Map<string, TcpConnection>();
  /** By the guest's address and port: one socket each, so that answers find back whoever sends them. */
  private readonly flows = new Map<string, Flow>();
  private readonly forwards: Forwards;

  constructor(options: NatOptions) {
    this.options = options;
    this.forwards = new Forwards({
      sockets: options.sockets,
      find: (station) => this.find(station),
      call: (guest, from, connect) => this.call(guest, from, connect),
      send: (guest, from, bytes) => this.sendIp(udpPacket({ address: GATEWAY, port: from }, guest, bytes)),
    });
  }

  /**
   * Lets a port of the host lead to the guest with hardware address `station`, until the answer is closed. Rejects with an
   * Error of one sentence where nobody can listen there.
   */
  forward(forward: Forward, station: Uint8Array): Promise<HostListener> {
    return this.forwards.add(forward, station);
  }

  /** Where a guest is: at the address that it was given, or else the one that it was last heard from. */
  private find(station: Uint8Array): Address | undefined {
    const leased = this.dhcp.addressOf(station);
    if (leased !== undefined) {
      if (!this.stations.has(leased)) this.learn(leased, station);
      return leased;
    }
    const name = station.join();
    let heard: Address | undefined;
    for (const [address, hardware] of this.stations) if (hardware.join() === name) heard = address;
    return heard;
  }

  /** Connections and flows that there are. */
  get size(): number {
    return this.connections.size + this.flows.size;
  }

  /** A frame of a guest. */
  input(frame: Uint8Array): void {
    const type = word(frame, 12);
    if (type === EtherType.arp) this.arp(frame);
    if (type !== EtherType.ipv4) return;
    const packet = readIp(frame);
    if (packet === undefined) return;
    if (packet.protocol === Protocol.udp && this.dhcpMessage(packet)) return;
    if (!isGuest(packet.source)) return;
    this.learn(packet.source, frame.subarray(6, 12));
    if (packet.protocol === Protocol.icmp) this.echo(packet);
    else if (packet.protocol === Protocol.udp) this.udp(packet);
    else if (packet.protocol === Protocol.tcp) this.tcp(packet);
  }

  /** What is due by time; to be called some times a second while there are connections. */
  tick(): void {
    const now = this.options.sockets.now();
    for (const connection of [...this.connections.values()]) connection.tick(now);
    this.forwards.tick(now);
    for (const [key, flow] of this.flows) if (now - flow.usedAt > FLOW_IDLE) this.closeFlow(key);
  }

  /** Sends the acknowledgements that are owed, when all that came at once has been dealt with. */
  flush(): void {
    for (const connection of this.connections.values()) connection.flush();
  }

  close(): void {
    for (const connection of [...this.connections.values()]) connection.close();
    for (const key of [...this.flows.keys()]) this.closeFlow(key);
  }

  private learn(address: Address, hardware: Uint8Array): void {
    this.stations.delete(address);
    this.stations.set(address, hardware.slice());
    if (this.stations.size > STATIONS_MAX) this.stations.delete(this.stations.keys().next().value!);
  }

  private sendIp(packet: IpPacket): void {
    const to = packet.destination === BROADCAST ? EVERYBODY : this.stations.get(packet.destination);
    if (to === undefined) return;
    for (const frame of ipFrames(to, HARDWARE, packet)) this.options.send(frame);
  }

  /** Answers who asks for the gateway's or the name server's hardware address (RFC 826). */
  private arp(frame: Uint8Array): void {
    const request = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + ARP_BYTES);
    if (request.length < ARP_BYTES || dword(request, 0) !== 0x00010800 || dword(request, 4) !== 0x06040001) return;
    const wanted = dword(request, 24);
    const asker = dword(request, 14);
    if (isGuest(asker)) this.learn(asker, request.subarray(8, 14));
    if ((wanted !== GATEWAY && wanted !== NAME_SERVER) || asker === wanted) return;
    const reply = new Uint8Array(60);
    reply.set(frame.subarray(6, 12));
    reply.set(HARDWARE, 6);
    putWord(reply, 12, EtherType.arp);
    const answer = reply.subarray(ETHERNET_BYTES);
    putDword(answer, 0, 0x00010800);
    putDword(answer, 4, 0x06040002);
    answer.set(HARDWARE, 8);
    putDword(answer, 14, wanted);
    answer.set(request.subarray(8, 18), 18);
    this.options.send(reply);
  }

  private dhcpMessage(packet: IpPacket): boolean {
    const message = readUdp(packet);
    if (message?.to !== Port.dhcpServer || message.from !== Port.dhcpClient) return false;
    const isForUs = packet.destination === BROADCAST || packet.destination === GATEWAY;
    const answer = isForUs && isSumRight(packet) ? this.dhcp.answer(message.data) : undefined;
    if (answer === undefined) return true;
    const from = { address: GATEWAY, port: Port.dhcpServer };
    this.sendIp(udpPacket(from, { address: answer.to, port: Port.dhcpClient }, answer.reply));
    return true;
  }

  /** The gateway and the name server answer pings; those to others need rights that an ordinary user lacks. */
  private echo({ source, destination, payload }: IpPacket): void {
    if (destination !== GATEWAY && destination !== NAME_SERVER) return;
    if (payload.length < 8 || payload[0] !== 8 || fold(addWords(0, payload, 0, payload.length)) !== 0xffff) return;
    const answer = payload.slice();
    answer[0] = 0;
    putWord(answer, 2, 0);
    putWord(answer, 2, ~fold(addWords(0, answer, 0, answer.length)));
    this.sendIp({ source: destination, destination: source, protocol: Protocol.icmp, payload: answer });
  }

  /** Where a guest's packet to `address` really goes; undefined where it must not go anywhere. */
  private target(address: Address, port: number): { address: string; port: number } | undefined {
    const { sockets, allowHost } = this.options;
    if (address === NAME_SERVER) return port === Port.dns ? sockets.nameServer() : undefined;
    if (address === GATEWAY) return allowHost ? { address: '127.0.0.1', port } : undefined;
    if ((address & MASK) >>> 0 === NETWORK) return undefined;
    const first = address >>> 24;
    // This network, loopback, link-local, groups and what is reserved.
    const isNowhere = first === 0 || first === 127 || first >= 224 || address >>> 16 === 0xa9fe;
    const text = formatAddress(address);
    return isNowhere || (!allowHost && sockets.isOwn(text)) ? undefined : { address: text, port };
  }

  private udp(packet: IpPacket): void {
    const message = readUdp(packet);
    if (message === undefined || !isSumRight(packet)) return;
    const isAnswer =
      packet.destination === GATEWAY &&
      this.forwards.answered(packet.source, message.from, message.to, message.data.slice());
    const target = isAnswer ? undefined : this.target(packet.destination, message.to);
    if (target === undefined) return;
    // Each destination has a socket of its own: an answer comes from where the question went, and only that one.
    const key = `${packet.source}:${message.from}>${packet.destination}:${message.to}`;
    let flow = this.flows.get(key);
    if (flow === undefined) {
      if (this.flows.size >= FLOWS_MAX) this.closeFlow(this.flows.keys().next().value!);
      const guest = { address: packet.source, port: message.from };
      const peer = { address: packet.destination, port: message.to };
      const socket = this.options.sockets.openUdp((bytes, address, port) => {
        if (address === target.address && port === target.port) this.sendIp(udpPacket(peer, guest, bytes));
      });
      flow = { socket, usedAt: 0 };
    }
    flow.usedAt = this.options.sockets.now();
    this.flows.delete(key);
    this.flows.set(key, flow);
    flow.socket.send(message.data.slice(), target.address, target.port);
  }

  private closeFlow(key: string): void {
    this.flows.get(key)?.socket.close();
    this.flows.delete(key);
  }

  private tcp(packet: IpPacket): void {
    const segment = readTcp(packet.payload);
    if (segment === undefined || !isSumRight(packet)) return;
    const key = `${packet.source}:${segment.from}>${packet.destination}:${segment.to}`;
    const known = this.connections.get(key);
    if (known !== undefined) {
      known.receive(segment);
      return;
    }
    const isSyn = (segment.flags & (TcpFlag.syn | TcpFlag.acknowledge | TcpFlag.reset)) === TcpFlag.syn;
    const target = isSyn ? this.target(packet.destination, segment.to) : undefined;
    if (target === undefined || this.connections.size >= CONNECTIONS_MAX) {
      this.refuse(packet, segment);
      return;
    }
    // What the closures keep must not hold on to the guest's ring.
    const syn = { ...segment, data: new Uint8Array(0) };
    const guest = { address: packet.source, port: segment.from };
    this.connect(guest, { address: packet.destination, port: segment.to }, syn, (events) =>
      this.options.sockets.connectTcp(target.address, target.port, events),
    );
  }

  /** A connection between a guest and what it takes `peer` for; `syn` where the guest began it. */
  private connect(
    guest: { address: Address; port: number },
    peer: { address: Address; port: number },
    syn: TcpSegment | undefined,
    connect: (events: HostTcpEvents) => HostTcp,
  ): void {
    const key = `${guest.address}:${guest.port}>${peer.address}:${peer.port}`;
    const ends = { source: guest.address, destination: peer.address };
    const start = new Uint8Array(4);
    const { sockets } = this.options;
    sockets.random(start);
    const wiring = {
      now: () => sockets.now(),
      send: (answer: Parameters<typeof tcpMessage>[2], options?: number[]) =>
        this.sendTcp(ends, tcpMessage(peer.port, guest.port, answer, options)),
      onClosed: () => this.connections.delete(key),
    };
    this.connections.set(key, new TcpConnection(wiring, syn, dword(start, 0), connect));
  }

  /** For {@link Forwards}. */
  private call(
    guest: { address: Address; port: number },
    from: number,
    connect: (events: HostTcpEvents) => HostTcp,
  ): boolean {
    const key = `${guest.address}:${guest.port}>${GATEWAY}:${from}`;
    if (this.connections.size >= CONNECTIONS_MAX || this.connections.has(key)) return false;
    this.connect(guest, { address: GATEWAY, port: from }, undefined, connect);
    return true;
  }

  private sendTcp({ source, destination }: Pick<IpPacket, 'source' | 'destination'>, payload: Uint8Array): void {
    const packet = { source: destination, destination: source, protocol: Protocol.tcp, payload };
    putSum(packet, 16);
    this.sendIp(packet);
  }

  /** Nobody is there: a reset, as RFC 9293, 3.10.7.1 says. */
  private refuse(packet: IpPacket, segment: TcpSegment & { from: number; to: number }): void {
    if ((segment.flags & TcpFlag.reset) !== 0) return;
    const isAcknowledging = (segment.flags & TcpFlag.acknowledge) !== 0;
    const isCounted = (segment.flags & (TcpFlag.syn | TcpFlag.fin)) !== 0 ? 1 : 0;
    this.sendTcp(
      packet,
      tcpMessage(segment.to, segment.from, {
        sequence: isAcknowledging ? segment.acknowledged : 0,
        acknowledged: (segment.sequence + segment.data.length + isCounted) >>> 0,
        flags: TcpFlag.reset | (isAcknowledging ? 0 : TcpFlag.acknowledge),
        window: 0,
        data: new Uint8Array(0),
      }),
    );
  }
}
