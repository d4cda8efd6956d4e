// The translated network: guests reach the world through ordinary sockets of the host, and are reached where a port of the
// host was forwarded to them.
// Owns the gateway's addresses, what it gives away and answers for, and the connections and flows of the guests.
// Never touches a socket itself, and never lets a guest reach the host's own services unless it was allowed to.

import { frameHeader, Gso, MESSAGE_MAX, NET_HEADER_BYTES, NetFlag } from '../../devices/offload.ts';
import { FRAME_MIN, fold } from '../../devices/packets.ts';
import { DhcpServer, stationKey } from './dhcp.ts';
import { Dhcp6Server } from './dhcp6.ts';
import { answerRoom, DOMAIN, dnsOverTcp, failedAnswer, fitted, labelOf, localAnswer, type Zone } from './dns.ts';
import { type Forward, Forwards } from './forwards.ts';
import type { HostListener, HostSockets, HostTcp, HostTcpEvents, HostUdp } from './host-sockets.ts';
import { echoReply, type Failure, failureMessage, isEcho, isIcmpSumRight, mayFail } from './icmp.ts';
import { ALL_NODES, discoveryAnswer, NdType, type Router, routerAdvertisement } from './neighbour-discovery.ts';
import { Reassembly } from './reassembly.ts';
import { type Station, Stations } from './stations.ts';
import {
  lengthOf,
  type OutgoingSegment,
  putTcp,
  readTcp,
  TcpConnection,
  TcpFlag,
  type TcpSegment,
  tcpLength,
  WAITING_MAX,
} from './tcp-connection.ts';
import {
  type Address,
  type Address6,
  dword,
  ETHERNET_BYTES,
  EtherType,
  formatIp,
  IP_BYTES,
  IP6_BYTES,
  type IpAddress,
  type IpPacket,
  ipFrames,
  isSumRight,
  MTU,
  Protocol,
  parseAddress,
  parseAddress6,
  pseudoSum,
  putDword,
  putHeaders,
  putWord,
  readAddress6,
  readIp,
  readIp6,
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
/** The same in IPv6: a unique local network (RFC 4193), so that who has both prefers IPv4 (RFC 6724, 2.1). */
const NETWORK6 = parseAddress6('fd74:7276:6972:2::')!;
export const GATEWAY6 = parseAddress6('fd74:7276:6972:2::2')!;
export const NAME_SERVER6 = parseAddress6('fd74:7276:6972:2::3')!;
const LINK_LOCAL6 = parseAddress6('fe80::2')!;
const FIRST_GUEST6 = 0x100;
const PREFIX_BYTES = 8;
/** The gateway's hardware address: locally administered, the same on each of these networks. */
export const GATEWAY_HARDWARE = Uint8Array.of(0x02, 0x54, 0x0a, 0x00, 0x02, 0x02);
const EVERYBODY = new Uint8Array(6).fill(0xff);
/** What a whole network is called in IPv6: its groups' hardware addresses end as they do (RFC 2464, 7). */
const GROUP_PREFIX = 0x3333;

const Port = { dns: 53, dhcpServer: 67, dhcpClient: 68, dhcp6Client: 546, dhcp6Server: 547 } as const;
const DHCP6_SERVERS = parseAddress6('ff02::1:2')!;
/** Connections and flows at once, of all guests and of one: what a guest that opens more and more can take of the host. */
const CONNECTIONS_MAX = 4096;
const OWN_CONNECTIONS_MAX = 2048;
/** Connections of one guest of which one end has not been heard: a flood of SYNs finds no more room. */
const HALF_OPEN_MAX = 512;
/** Bytes that wait in each direction of all connections together, and of one where there are many. */
const WAITING_BYTES = 64 * 2 ** 20;
const WAITING_MIN = 16 * 1024;
const FLOWS_MAX = 1024;
const OWN_FLOWS_MAX = 512;
/** Echo requests that the host has passed on and not seen answered. */
const PINGS_MAX = 16;
/** Milliseconds of silence after which a UDP flow is forgotten (RFC 4787, REQ-5: at least two minutes). */
const FLOW_IDLE = 120_000;
/** Milliseconds between advertisements that nobody asked for (RFC 4861, 6.2.1: up to 1,800 s). */
const ADVERTISE_EVERY = 300_000;
const ARP_BYTES = 28;

export interface NatOptions {
  sockets: HostSockets;
  /** Sends a frame into the network, with its header if it is unfinished. Their bytes are others when this returns. */
  send(frame: Uint8Array, header?: Uint8Array): void;
  /** There is something to do at the end of this turn: {@link Nat.flush}. For hosts that do not call it then anyway. */
  wantsFlush?(): void;
  /** The guests may reach the host itself, at the gateway's address. */
  allowHost: boolean;
}

/** What was refused, for whoever wonders why. */
export interface NatCounters {
  /** Packets and claims of stations under addresses of others. */
  spoofed: number;
  /** Connections and flows that found no room, and SYNs of floods. */
  refused: number;
  /** To places where guests must not go. */
  prohibited: number;
  /** Packets of which fragments lacked or overlapped. */
  fragments: number;
  /** Frames that no packet could be read from. */
  damaged: number;
}

type Place<Of extends IpAddress = IpAddress> = { address: Of; port: number };

interface Flow {
  socket: HostUdp;
  station: string;
  usedAt: number;
  /** Bytes of an answer that its asker takes; of name servers alone. */
  room: number;
}

interface Connection {
  tcp: TcpConnection;
  station: string;
}

/** What one station has open. */
interface Own {
  connections: number;
  halfOpen: number;
  flows: number;
}

export class Nat {
  private readonly options: NatOptions;
  private readonly dhcp = new DhcpServer({
    first: FIRST_GUEST,
    count: GUESTS,
    mask: MASK,
    router: GATEWAY,
    dns: NAME_SERVER,
    domain: DOMAIN,
  });
  private readonly dhcp6 = new Dhcp6Server({
    hardware: GATEWAY_HARDWARE,
    addressOf: (index) => address6(FIRST_GUEST6 + index),
    count: GUESTS,
    dns: NAME_SERVER6,
    domain: DOMAIN,
  });
  private readonly router: Router = {
    hardware: GATEWAY_HARDWARE,
    linkLocal: LINK_LOCAL6,
    addresses: [GATEWAY6, NAME_SERVER6],
    prefix: NETWORK6,
    dns: NAME_SERVER6,
    domain: DOMAIN,
    mtu: MTU,
  };
  private readonly stations: Stations;
  private readonly fragments: Reassembly;
  private readonly connections = new Map<string, Connection>();
  /** Connections that have something to do at the end of a batch. */
  private readonly wanting = new Set<TcpConnection>();
  /** By the guest's address and port: one socket each, so that answers find back whoever sends them. */
  private readonly flows = new Map<string, Flow>();
  private readonly own = new Map<string, Own>();
  /** The message that is sent, put together here each time: whoever takes it takes a copy. */
  private readonly outgoing = newOutgoing();
  private readonly forwards: Forwards;
  /** Cards of guests by the labels of their names. */
  private readonly names = new Map<string, Uint8Array>();
  private readonly zone: Zone;
  private pings = 0;
  /** Whether the frame that is dealt with has its checksums. */
  private isSummed = true;
  private advertiseAt: number;
  private readonly counts = { spoofed: 0, refused: 0, prohibited: 0, damaged: 0 };

  constructor(options: NatOptions) {
    this.options = options;
    const now = (): number => options.sockets.now();
    this.fragments = new Reassembly(now);
    // Who comes later asks.
    this.advertiseAt = now() + ADVERTISE_EVERY;
    this.stations = new Stations(now, (address) =>
      typeof address === 'number' ? this.dhcp.holderOf(address) : this.dhcp6.holderOf(address),
    );
    this.zone = {
      find: (label) => this.findName(label),
      nameOf: (address) => this.nameOf(address),
    };
    this.forwards = new Forwards({
      sockets: options.sockets,
      find: (station) => this.find(station) ?? this.find6(station),
      call: (guest, from, connect) => this.call(guest, from, connect),
      send: (guest, from, bytes) =>
        this.sendIp(udpPacket<IpAddress>({ address: gatewayFor(guest.address), port: from }, guest, bytes)),
    });
  }

  /**
   * Lets a port of the host lead to the guest with hardware address `station`, until the answer is closed. Rejects with an
   * Error of one sentence where nobody can listen there.
   */
  forward(forward: Forward, station: Uint8Array): Promise<HostListener> {
    return this.forwards.add(forward, station);
  }

  /** A guest's card is plugged in: it keeps its leases whatever others do, and is found by the guest's name. */
  plug(station: Uint8Array, name: string): void {
    this.dhcp.cards.add(stationKey(station));
    this.dhcp6.cards.add(stationKey(station));
    const label = labelOf(name);
    if (label !== '' && label !== 'host' && !this.names.has(label)) this.names.set(label, station);
  }

  /** It is unplugged: nothing that it had open stays. */
  unplug(station: Uint8Array): void {
    const key = stationKey(station);
    this.dhcp.cards.delete(key);
    this.dhcp6.cards.delete(key);
    for (const [label, card] of this.names) if (stationKey(card) === key) this.names.delete(label);
    for (const connection of [...this.connections.values()]) if (connection.station === key) connection.tcp.close();
    for (const [flowKey, flow] of [...this.flows]) if (flow.station === key) this.closeFlow(flowKey);
    this.stations.forget(station);
  }

  /** The addresses of a guest, the one that it was given first. */
  addressesOf(station: Uint8Array): string[] {
    const leased = [this.dhcp.addressOf(station), this.dhcp6.addressOf(stationKey(station))];
    const all = new Set<IpAddress>(leased.filter((address) => address !== undefined));
    for (const address of this.stations.addressesOf(station)) if (isGlobal(address)) all.add(address);
    return [...all].map(formatIp);
  }

  get counters(): NatCounters {
    return { ...this.counts, fragments: this.fragments.dropped };
  }

  /** Where a guest is: at the address that it was given, or else the one that it was last heard from. */
  private find(station: Uint8Array): Address | undefined {
    const leased = this.dhcp.addressOf(station);
    if (leased !== undefined) {
      this.stations.learn(leased, station);
      return leased;
    }
    return this.stations.addressesOf(station).find((address) => typeof address === 'number');
  }

  /** The same in IPv6. */
  private find6(station: Uint8Array): Address6 | undefined {
    const leased = this.dhcp6.addressOf(stationKey(station));
    if (leased !== undefined) {
      this.stations.learn(leased, station);
      return leased;
    }
    const heard = this.stations.addressesOf(station);
    return heard.find((address): address is Address6 => typeof address === 'string' && isGlobal(address));
  }

  private findName(label: string): { address: Address | undefined; address6: Address6 | undefined } | undefined {
    if (label === 'host') return { address: GATEWAY, address6: GATEWAY6 };
    const station = this.names.get(label);
    if (station === undefined) return undefined;
    return { address: this.find(station), address6: this.find6(station) };
  }

  private nameOf(address: Address): string | null | undefined {
    if ((address & MASK) >>> 0 !== NETWORK) return undefined;
    if (address === GATEWAY) return 'host';
    for (const [label, station] of this.names) if (this.find(station) === address) return label;
    return null;
  }

  /** Connections and flows that there are. */
  get size(): number {
    return this.connections.size + this.flows.size;
  }

  /**
   * Whether a frame of a guest claims to be somebody else: the gateway, a server of addresses, or who was given what it
   * names as its own. A switch that asks this first keeps guests from each other's traffic.
   */
  isForged(frame: Uint8Array): boolean {
    const isForged = this.claims(frame);
    if (isForged) this.counts.spoofed++;
    return isForged;
  }

  private claims(frame: Uint8Array): boolean {
    const hardware = frame.subarray(6, 12);
    const ip = frame.subarray(ETHERNET_BYTES);
    const type = word(frame, 12);
    if (type === EtherType.arp) {
      if (ip.length < ARP_BYTES) return false;
      const sender = dword(ip, 14);
      if (stationKey(ip.subarray(8, 14)) !== stationKey(hardware)) return true;
      return sender !== 0 && !this.maySend(sender, hardware);
    }
    if (type === EtherType.ipv4 && ip.length >= IP_BYTES) {
      const source = dword(ip, 12);
      const isServer = ip[9] === Protocol.udp && word(ip, 4 * (ip[0] & 15)) === Port.dhcpServer;
      return isServer || (source !== 0 && !this.maySend(source, hardware));
    }
    if (type !== EtherType.ipv6 || ip.length < IP6_BYTES) return false;
    const isAdvertisement = ip[6] === Protocol.icmp6 && ip[IP6_BYTES] === NdType.routerAdvertisement;
    const isServer = ip[6] === Protocol.udp && word(ip, IP6_BYTES) === Port.dhcp6Server;
    if (isAdvertisement || isServer) return true;
    const isNeighbour = ip[6] === Protocol.icmp6 && ip[IP6_BYTES] === NdType.advertisement && ip.length >= 64;
    return (
      !this.maySend(readAddress6(ip, 8), hardware) || (isNeighbour && !this.maySend(readAddress6(ip, 48), hardware))
    );
  }

  private maySend(address: IpAddress, hardware: Uint8Array): boolean {
    return !isOurs(address) && this.stations.mayUse(address, hardware);
  }

  /** A frame of a guest, finished or not: its checksum is only looked at where it must be there. */
  input(frame: Uint8Array, header?: Uint8Array): void {
    this.isSummed = header === undefined || (frameHeader(header).flags & NetFlag.needsChecksum) === 0;
    const type = word(frame, 12);
    if (type === EtherType.arp) this.arp(frame);
    else if (type === EtherType.ipv4) this.input4(frame);
    else if (type === EtherType.ipv6) this.input6(frame);
  }

  private isRight(packet: IpPacket<IpAddress>): boolean {
    return !this.isSummed || isSumRight(packet);
  }

  private input4(frame: Uint8Array): void {
    const packet = readIp(frame, this.fragments);
    if (packet === undefined) {
      if ((word(frame, ETHERNET_BYTES + 6) & 0x3fff) === 0) this.counts.damaged++;
      return;
    }
    const hardware = frame.subarray(6, 12);
    if (packet.protocol === Protocol.udp && this.dhcpMessage(packet, hardware)) return;
    if (!isGuest(packet.source)) return;
    this.dispatch(packet, hardware);
  }

  private input6(frame: Uint8Array): void {
    const packet = readIp6(frame, this.fragments);
    const hardware = frame.subarray(6, 12);
    if (packet === undefined || isGroup(packet.source)) return;
    if (packet.protocol === Protocol.icmp6 && !isEcho(packet)) {
      this.discovery(packet, hardware);
      return;
    }
    if (packet.protocol === Protocol.udp && this.dhcp6Message(packet, hardware)) return;
    if (!isGuest6(packet.source)) return;
    this.dispatch(packet, hardware);
  }

  private dispatch(packet: IpPacket<IpAddress>, hardware: Uint8Array): void {
    const station = this.stations.learn(packet.source, hardware);
    if (station === undefined) {
      this.counts.spoofed++;
      return;
    }
    // A router says when it passes a packet on no more (RFC 1812, 5.3.1).
    if ((packet.hops ?? 2) <= 1 && !isOurs(packet.destination) && !isGroup(packet.destination)) {
      this.fail(packet, 'exceeded');
      return;
    }
    if (packet.protocol === Protocol.tcp) this.tcp(packet, station);
    else if (packet.protocol === Protocol.udp) this.udp(packet, station);
    else if (isEcho(packet)) this.echo(packet);
  }

  /** What is due by time; to be called some times a second while there are connections. */
  tick(): void {
    const now = this.options.sockets.now();
    for (const { tcp } of [...this.connections.values()]) tcp.tick(now);
    this.forwards.tick(now);
    this.fragments.expire();
    for (const [key, flow] of this.flows) {
      if (now - flow.usedAt <= FLOW_IDLE) break;
      this.closeFlow(key);
    }
    if (now < this.advertiseAt) return;
    this.advertiseAt = now + ADVERTISE_EVERY;
    this.sendIp(routerAdvertisement(this.router, ALL_NODES));
  }

  /** Writes and acknowledges what came, when all that came at once has been dealt with. */
  flush(): void {
    if (this.wanting.size === 0) return;
    const wanting = [...this.wanting];
    this.wanting.clear();
    for (const connection of wanting) connection.flush();
  }

  close(): void {
    for (const { tcp } of [...this.connections.values()]) tcp.close();
    for (const key of [...this.flows.keys()]) this.closeFlow(key);
  }

  private sendIp(packet: IpPacket<IpAddress>): void {
    const to = this.hardwareOf(packet.destination);
    if (to === undefined) return;
    for (const frame of ipFrames(to, GATEWAY_HARDWARE, packet)) this.options.send(frame);
  }

  private hardwareOf(address: IpAddress): Uint8Array | undefined {
    if (address === BROADCAST) return EVERYBODY;
    if (typeof address === 'number' || !isGroup(address)) return this.stations.hardwareOf(address);
    const group = new Uint8Array(6);
    putWord(group, 0, GROUP_PREFIX);
    for (let i = 0; i < 4; i++) group[2 + i] = address.charCodeAt(12 + i);
    return group;
  }

  /** Tells a guest why its packet was not delivered. */
  private fail(packet: IpPacket<IpAddress>, failure: Failure): void {
    if (!mayFail(packet)) return;
    this.sendIp(failureMessage(packet, gatewayFor(packet.source), failure));
  }

  /** Answers who asks for the gateway's or the name server's hardware address (RFC 826). */
  private arp(frame: Uint8Array): void {
    const request = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + ARP_BYTES);
    if (request.length < ARP_BYTES || dword(request, 0) !== 0x00010800 || dword(request, 4) !== 0x06040001) return;
    const wanted = dword(request, 24);
    const asker = dword(request, 14);
    if (isGuest(asker) && !this.stations.learn(asker, request.subarray(8, 14))) this.counts.spoofed++;
    if ((wanted !== GATEWAY && wanted !== NAME_SERVER) || asker === wanted) return;
    const reply = new Uint8Array(60);
    reply.set(frame.subarray(6, 12));
    reply.set(GATEWAY_HARDWARE, 6);
    putWord(reply, 12, EtherType.arp);
    const answer = reply.subarray(ETHERNET_BYTES);
    putDword(answer, 0, 0x00010800);
    putDword(answer, 4, 0x06040002);
    answer.set(GATEWAY_HARDWARE, 8);
    putDword(answer, 14, wanted);
    answer.set(request.subarray(8, 18), 18);
    this.options.send(reply);
  }

  private discovery(packet: IpPacket<Address6>, hardware: Uint8Array): void {
    if (!this.isRight(packet)) return;
    if (isGuest6(packet.source) && !this.stations.learn(packet.source, hardware)) {
      this.counts.spoofed++;
      return;
    }
    const answer = discoveryAnswer(this.router, packet);
    if (answer !== undefined) this.sendIp(answer);
  }

  private dhcpMessage(packet: IpPacket, hardware: Uint8Array): boolean {
    const message = readUdp(packet);
    if (message?.to !== Port.dhcpServer || message.from !== Port.dhcpClient) return false;
    const isForUs = packet.destination === BROADCAST || packet.destination === GATEWAY;
    const answer = isForUs && this.isRight(packet) ? this.dhcp.answer(message.data, hardware) : undefined;
    if (answer === undefined) return true;
    const from = { address: GATEWAY, port: Port.dhcpServer };
    this.sendIp(udpPacket(from, { address: answer.to, port: Port.dhcpClient }, answer.reply));
    return true;
  }

  private dhcp6Message(packet: IpPacket<Address6>, hardware: Uint8Array): boolean {
    const message = readUdp(packet);
    if (message?.to !== Port.dhcp6Server || message.from !== Port.dhcp6Client) return false;
    if (packet.destination !== DHCP6_SERVERS || !this.isRight(packet)) return true;
    const station = this.stations.learn(packet.source, hardware);
    const answer = station && this.dhcp6.answer(message.data, station.key);
    if (answer === undefined) return true;
    const from = { address: LINK_LOCAL6, port: Port.dhcp6Server };
    this.sendIp(udpPacket(from, { address: packet.source, port: Port.dhcp6Client }, answer));
    return true;
  }

  /** The gateway and the name server answer pings themselves; the host asks others, where its user may. */
  private echo(packet: IpPacket<IpAddress>): void {
    const { source, destination, payload } = packet;
    const isRight = typeof source === 'number' ? isIcmpSumRight(packet) : this.isRight(packet);
    if (!isRight) return;
    if (isOurs(destination)) {
      this.sendIp(echoReply(packet));
      return;
    }
    const target = this.target(destination, 0);
    if (target === undefined) {
      this.prohibit(packet);
      return;
    }
    if (this.pings >= PINGS_MAX) {
      this.counts.refused++;
      return;
    }
    this.pings++;
    const kept = { ...packet, payload: payload.slice() };
    const done = (isAnswered: boolean): void => {
      this.pings--;
      if (isAnswered) this.sendIp(echoReply(kept));
    };
    this.options.sockets.ping(target.address, payload.length - 8).then(done, () => done(false));
  }

  private prohibit(packet: IpPacket<IpAddress>): void {
    if (isGroup(packet.destination)) return;
    this.counts.prohibited++;
    this.fail(packet, isOurs(packet.destination) ? 'noPort' : 'prohibited');
  }

  /** Where a guest's packet to `address` really goes; undefined where it must not go anywhere. */
  private target(address: IpAddress, port: number): { address: string; port: number } | undefined {
    const { sockets, allowHost } = this.options;
    if (address === NAME_SERVER || address === NAME_SERVER6)
      return port === Port.dns ? sockets.nameServer() : undefined;
    if (address === GATEWAY) return allowHost ? { address: '127.0.0.1', port } : undefined;
    if (address === GATEWAY6) return allowHost ? { address: '::1', port } : undefined;
    if (isNowhere(address)) return undefined;
    const text = formatIp(address);
    return !allowHost && sockets.isOwn(text) ? undefined : { address: text, port };
  }

  /** What a station has open. */
  private ownOf(station: string): Own {
    let own = this.own.get(station);
    if (own === undefined) this.own.set(station, (own = { connections: 0, halfOpen: 0, flows: 0 }));
    return own;
  }

  /** A station that has nothing open is forgotten. */
  private dropOwn(station: string, own: Own): void {
    if (own.connections === 0 && own.flows === 0) this.own.delete(station);
  }

  private udp(packet: IpPacket<IpAddress>, station: Station): void {
    const message = readUdp(packet);
    if (message === undefined || !this.isRight(packet)) return;
    const { source, destination } = packet;
    if (
      (destination === GATEWAY || destination === GATEWAY6) &&
      this.forwards.answered(source, message.from, message.to, message.data.slice())
    )
      return;
    const isDns = (destination === NAME_SERVER || destination === NAME_SERVER6) && message.to === Port.dns;
    const guest = { address: source, port: message.from };
    const peer = { address: destination, port: message.to };
    const room = isDns ? answerRoom(message.data) : 0;
    const own = isDns ? localAnswer(message.data, this.zone) : undefined;
    if (own !== undefined) {
      if (own.length > 0) this.sendIp(udpPacket(peer, guest, fitted(own, room)));
      return;
    }
    const target = this.target(destination, message.to);
    if (target === undefined) {
      if (isDns) this.sendIp(udpPacket(peer, guest, failedAnswer(message.data)));
      else this.prohibit(packet);
      return;
    }
    // Each destination has a socket of its own: an answer comes from where the question went, and only that one.
    const key = `${source}:${message.from}>${destination}:${message.to}`;
    const flow = this.flows.get(key) ?? this.openFlow(station.key, guest, peer, target);
    flow.usedAt = this.options.sockets.now();
    flow.room = room;
    this.flows.delete(key);
    this.flows.set(key, flow);
    flow.socket.send(message.data.slice(), target.address, target.port);
  }

  private openFlow(station: string, guest: Place, peer: Place, target: { address: string; port: number }): Flow {
    const own = this.ownOf(station);
    if (own.flows >= OWN_FLOWS_MAX || this.flows.size >= FLOWS_MAX) {
      const isFull = own.flows >= OWN_FLOWS_MAX;
      const oldest = [...this.flows].find(([, flow]) => !isFull || flow.station === station);
      if (oldest) this.closeFlow(oldest[0]);
    }
    const socket = this.options.sockets.openUdp(target.address.includes(':') ? 6 : 4, (bytes, address, port) => {
      if (address !== target.address || port !== target.port) return;
      this.sendIp(udpPacket(peer, guest, flow.room > 0 ? fitted(bytes, flow.room) : bytes));
    });
    const flow: Flow = { socket, station, usedAt: 0, room: 0 };
    this.ownOf(station).flows++;
    return flow;
  }

  private closeFlow(key: string): void {
    const flow = this.flows.get(key);
    if (flow === undefined) return;
    this.flows.delete(key);
    flow.socket.close();
    const own = this.ownOf(flow.station);
    own.flows--;
    this.dropOwn(flow.station, own);
  }

  private tcp(packet: IpPacket<IpAddress>, station: Station): void {
    const segment = readTcp(packet.payload);
    if (segment === undefined || !this.isRight(packet)) return;
    const key = `${packet.source}:${segment.from}>${packet.destination}:${segment.to}`;
    const known = this.connections.get(key);
    if (known !== undefined) {
      known.tcp.receive(segment);
      return;
    }
    const isSyn = (segment.flags & (TcpFlag.syn | TcpFlag.acknowledge | TcpFlag.reset)) === TcpFlag.syn;
    const target = isSyn ? this.target(packet.destination, segment.to) : undefined;
    if (target === undefined) {
      if (isSyn) this.counts.prohibited++;
      this.refuse(packet, segment);
      return;
    }
    const own = this.ownOf(station.key);
    if (own.halfOpen >= HALF_OPEN_MAX) {
      // Nothing is said: an honest guest asks again when some of its connections have been made.
      this.counts.refused++;
      return;
    }
    if (own.connections >= OWN_CONNECTIONS_MAX || this.connections.size >= CONNECTIONS_MAX) {
      this.counts.refused++;
      this.refuse(packet, segment);
      return;
    }
    // What the closures keep must not hold on to the guest's ring.
    const syn = { ...segment, data: new Uint8Array(0) };
    const { destination } = packet;
    const { sockets } = this.options;
    const isDns = destination === NAME_SERVER || destination === NAME_SERVER6;
    this.connect(
      station.key,
      { address: packet.source, port: segment.from },
      { address: destination, port: segment.to },
      syn,
      (events) =>
        isDns ? dnsOverTcp(sockets, this.zone, events) : sockets.connectTcp(target.address, target.port, events),
    );
  }

  /** A connection between a guest and what it takes `peer` for; `syn` where the guest began it. */
  private connect(
    station: string,
    guest: Place,
    peer: Place,
    syn: TcpSegment | undefined,
    connect: (events: HostTcpEvents) => HostTcp,
  ): void {
    const key = `${guest.address}:${guest.port}>${peer.address}:${peer.port}`;
    const ends = { source: guest.address, destination: peer.address };
    const ports = { from: peer.port, to: guest.port };
    const start = new Uint8Array(4);
    const { sockets } = this.options;
    sockets.random(start);
    const own = this.ownOf(station);
    own.connections++;
    own.halfOpen++;
    let isHalfOpen = true;
    const settle = (): void => {
      if (isHalfOpen) own.halfOpen--;
      isHalfOpen = false;
    };
    const wiring = {
      now: () => sockets.now(),
      largest: MTU - TCP_BYTES - (typeof guest.address === 'number' ? IP_BYTES : IP6_BYTES),
      room: () => this.waitingRoom,
      send: (answer: OutgoingSegment, options: number[] | undefined, segmentMax: number) =>
        this.sendTcp(ends, ports, answer, options, segmentMax),
      onOpen: settle,
      wantsFlush: () => {
        this.wanting.add(tcp);
        this.options.wantsFlush?.();
      },
      onClosed: () => {
        settle();
        own.connections--;
        this.dropOwn(station, own);
        this.connections.delete(key);
        this.wanting.delete(tcp);
      },
    };
    const tcp: TcpConnection = new TcpConnection(wiring, syn, dword(start, 0), connect);
    this.connections.set(key, { tcp, station });
  }

  /** For {@link Forwards}. */
  private call(guest: Place, from: number, connect: (events: HostTcpEvents) => HostTcp): boolean {
    const gateway = gatewayFor(guest.address);
    const key = `${guest.address}:${guest.port}>${gateway}:${from}`;
    const hardware = this.stations.hardwareOf(guest.address);
    if (hardware === undefined || this.connections.size >= CONNECTIONS_MAX || this.connections.has(key)) return false;
    this.connect(stationKey(hardware), guest, { address: gateway, port: from }, undefined, connect);
    return true;
  }

  /** Bytes that may wait in each direction of a connection: those that are there share what there is. */
  private get waitingRoom(): number {
    return Math.max(WAITING_MIN, Math.min(WAITING_MAX, Math.floor(WAITING_BYTES / this.connections.size)));
  }

  /** Sends a message without its checksum, which whoever takes it needs or puts in; longer ones are cut on the way. */
  private sendTcp(
    { source, destination }: Pick<IpPacket<IpAddress>, 'source' | 'destination'>,
    ports: { from: number; to: number },
    segment: OutgoingSegment,
    options: readonly number[] = [],
    segmentMax = 0,
  ): void {
    const to = this.hardwareOf(source);
    if (to === undefined) return;
    const { frame, header, view } = this.outgoing;
    const packet = { source: destination, destination: source, protocol: Protocol.tcp };
    const length = tcpLength(segment, options);
    const start = putHeaders(frame, to, GATEWAY_HARDWARE, packet, length);
    putTcp(frame, start, ports, segment, options);
    // What the checksum begins with.
    putWord(frame, start + TCP_SUM_AT, fold(pseudoSum(packet, length)));
    const data = lengthOf(segment.data);
    const isLong = segmentMax > 0 && data > segmentMax;
    const is4 = typeof source === 'number';
    view.setUint8(0, NetFlag.needsChecksum);
    view.setUint8(1, isLong ? (is4 ? Gso.tcp4 : Gso.tcp6) : Gso.none);
    view.setUint16(2, isLong ? start + length - data : 0, true);
    view.setUint16(4, isLong ? segmentMax : 0, true);
    view.setUint16(6, start, true);
    view.setUint16(8, TCP_SUM_AT, true);
    const end = Math.max(FRAME_MIN, start + length);
    frame.fill(0, start + length, end);
    this.options.send(frame.subarray(0, end), header);
  }

  /** Nobody is there: a reset, as RFC 9293, 3.10.7.1 says. */
  private refuse(packet: IpPacket<IpAddress>, segment: TcpSegment & { from: number; to: number }): void {
    if ((segment.flags & TcpFlag.reset) !== 0) return;
    const isAcknowledging = (segment.flags & TcpFlag.acknowledge) !== 0;
    const isCounted = (segment.flags & (TcpFlag.syn | TcpFlag.fin)) !== 0 ? 1 : 0;
    this.sendTcp(
      packet,
      { from: segment.to, to: segment.from },
      {
        sequence: isAcknowledging ? segment.acknowledged : 0,
        acknowledged: (segment.sequence + segment.data.length + isCounted) >>> 0,
        flags: TcpFlag.reset | (isAcknowledging ? 0 : TcpFlag.acknowledge),
        window: 0,
        data: [],
      },
    );
  }
}

function newOutgoing() {
  const header = new Uint8Array(NET_HEADER_BYTES);
  return { frame: new Uint8Array(MESSAGE_MAX), header, view: new DataView(header.buffer) };
}

const TCP_BYTES = 20;
const TCP_SUM_AT = 16;

/** An address of this network in IPv6. */
function address6(last: number): Address6 {
  return NETWORK6.slice(0, 14) + String.fromCharCode(last >> 8, last & 0xff);
}

/** The gateway's address of the version of another one. */
function gatewayFor(address: IpAddress): IpAddress {
  return typeof address === 'number' ? GATEWAY : GATEWAY6;
}

/** Whether an address is one that a guest of this network may have. */
function isGuest(address: Address): boolean {
  return (address & MASK) >>> 0 === NETWORK && address !== GATEWAY && address !== NAME_SERVER;
}

function isGuest6(address: Address6): boolean {
  const isNear = address.startsWith(NETWORK6.slice(0, PREFIX_BYTES)) || isLinkLocal(address);
  return isNear && !isOurs(address);
}

function isLinkLocal(address: Address6): boolean {
  return address.charCodeAt(0) === 0xfe && (address.charCodeAt(1) & 0xc0) === 0x80;
}

/** Whether others may use an address to reach who has it. */
function isGlobal(address: IpAddress): boolean {
  return typeof address === 'number' || !isLinkLocal(address);
}

function isOurs(address: IpAddress): boolean {
  if (typeof address === 'number') return address === GATEWAY || address === NAME_SERVER;
  return address === GATEWAY6 || address === NAME_SERVER6 || address === LINK_LOCAL6;
}

function isGroup(address: IpAddress): boolean {
  return typeof address === 'number' ? address >>> 28 === 14 || address === BROADCAST : address.charCodeAt(0) === 0xff;
}

/** This network, loopback, link-local, groups, what is reserved, and IPv4 in the clothes of IPv6 (RFC 6890). */
function isNowhere(address: IpAddress): boolean {
  if (typeof address === 'number') {
    const first = address >>> 24;
    const isHere = (address & MASK) >>> 0 === NETWORK;
    return isHere || first === 0 || first === 127 || first >= 224 || address >>> 16 === 0xa9fe;
  }
  const isMapped = address.startsWith('\0'.repeat(10));
  return isMapped || isGroup(address) || isLinkLocal(address) || address.startsWith(NETWORK6.slice(0, PREFIX_BYTES));
}
