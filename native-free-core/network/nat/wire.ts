// IP packets of a network of guests, of both versions: taken apart and put together (RFC 791, 8200, 768, 9293).
// Owns the layout of the headers and their checksums.
// Never decides what a packet is answered with.

import { addWords, FRAME_MIN, fold } from '../../devices/packets.ts';

export const EtherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const Protocol = { icmp: 1, tcp: 6, udp: 17, fragment: 44, icmp6: 58 } as const;
/** Headers before the message that only say something of the way (RFC 8200, 4): of eight-byte units behind the first. */
const SKIPPED_HEADERS: readonly number[] = [0, 43, 60];
/** Headers that a packet may have before its message. */
const HEADERS_MAX = 8;
export const ETHERNET_BYTES = 14;
export const IP_BYTES = 20;
export const IP6_BYTES = 40;
const FRAGMENT_BYTES = 8;
const UDP_BYTES = 8;
/** Bytes of an IP packet on these networks. */
export const MTU = 1500;
const TTL = 64;

/** An IPv4 address as a number. */
export type Address = number;
/** An IPv6 address as sixteen characters, one a byte. */
export type Address6 = string;
export type IpAddress = Address | Address6;

export function formatAddress(address: Address): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

export function parseAddress(text: string): Address | undefined {
  const parts = text.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (parts.length !== 4 || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((address, part) => address * 256 + part, 0);
}

export function readAddress6(bytes: Uint8Array, at: number): Address6 {
  return String.fromCharCode(...bytes.subarray(at, at + 16));
}

export function putAddress6(bytes: Uint8Array, at: number, address: Address6): void {
  for (let i = 0; i < 16; i++) bytes[at + i] = address.charCodeAt(i);
}

/** The sixteen bytes in a URL's and every socket's way of writing them, without the longest run of zeros (RFC 5952). */
export function formatAddress6(address: Address6): string {
  const words = Array.from({ length: 8 }, (_, i) => (address.charCodeAt(2 * i) << 8) | address.charCodeAt(2 * i + 1));
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && words[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (part: readonly number[]): string => part.map((each) => each.toString(16)).join(':');
  if (best.length < 2) return hex(words);
  return `${hex(words.slice(0, best.at))}::${hex(words.slice(best.at + best.length))}`;
}

export function parseAddress6(text: string): Address6 | undefined {
  const [head, tail, ...more] = text.split('::');
  if (more.length > 0) return undefined;
  const parts = (side: string | undefined): string[] => (side ? side.split(':') : []);
  const [left, right] = [parts(head), parts(tail)];
  const gap = 8 - left.length - right.length;
  if (tail === undefined ? gap !== 0 : gap < 1) return undefined;
  const all = [...left, ...Array<string>(gap).fill('0'), ...right];
  if (!all.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part))) return undefined;
  return all
    .map((part) => Number.parseInt(part, 16))
    .map((value) => String.fromCharCode(value >> 8, value & 0xff))
    .join('');
}

export function formatIp(address: IpAddress): string {
  return typeof address === 'number' ? formatAddress(address) : formatAddress6(address);
}

export function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function dword(bytes: Uint8Array, at: number): number {
  return word(bytes, at) * 0x10000 + word(bytes, at + 2);
}

export function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >>> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

export function putDword(bytes: Uint8Array, at: number, value: number): void {
  putWord(bytes, at, value >>> 16);
  putWord(bytes, at + 2, value & 0xffff);
}

/** A whole packet; both its addresses are of the same version. */
export interface IpPacket<Of extends IpAddress = Address> {
  source: Of;
  destination: Of;
  protocol: number;
  payload: Uint8Array;
  /** Routers that it may still pass; what was put together here has none of its own. */
  hops?: number;
}

/** Puts fragments together: gives the whole once the last one has come. */
export interface Fragments {
  add(source: IpAddress, key: string, at: number, isLast: boolean, data: Uint8Array): Uint8Array | undefined;
}

/** The IPv4 packet in a frame; undefined where it is damaged, or one of several fragments of which some lack. */
export function readIp(frame: Uint8Array, fragments?: Fragments): IpPacket | undefined {
  const packet = frame.subarray(ETHERNET_BYTES);
  const header = 4 * (packet[0] & 15);
  if (packet.length < IP_BYTES || packet[0] >> 4 !== 4 || header < IP_BYTES) return undefined;
  const total = word(packet, 2);
  if (total < header || total > packet.length) return undefined;
  if (fold(addWords(0, packet, 0, header)) !== 0xffff) return undefined;
  const source = dword(packet, 12);
  const destination = dword(packet, 16);
  const protocol = packet[9];
  let payload: Uint8Array | undefined = packet.subarray(header, total);
  const cut = word(packet, 6) & 0x3fff;
  if (cut !== 0) {
    const key = `${source}>${destination}:${protocol}:${word(packet, 4)}`;
    payload = fragments?.add(source, key, (cut & 0x1fff) * 8, (cut & 0x2000) === 0, payload);
    if (payload === undefined) return undefined;
  }
  return { source, destination, protocol, payload, hops: packet[8] };
}

/** The IPv6 packet in a frame, like {@link readIp}. Its message is what comes behind the headers for those on the way. */
export function readIp6(frame: Uint8Array, fragments?: Fragments): IpPacket<Address6> | undefined {
  const packet = frame.subarray(ETHERNET_BYTES);
  if (packet.length < IP6_BYTES || packet[0] >> 4 !== 6) return undefined;
  const total = IP6_BYTES + word(packet, 4);
  if (total > packet.length) return undefined;
  const source = readAddress6(packet, 8);
  const destination = readAddress6(packet, 24);
  let protocol = packet[6];
  let payload: Uint8Array = packet.subarray(IP6_BYTES, total);
  for (let headers = 0; ; headers++) {
    const isFragment = protocol === Protocol.fragment;
    if (!isFragment && !SKIPPED_HEADERS.includes(protocol)) break;
    const length = isFragment ? FRAGMENT_BYTES : 8 * ((payload[1] ?? 0) + 1);
    if (headers === HEADERS_MAX || payload.length < length) return undefined;
    const cut = isFragment ? word(payload, 2) : 0;
    const key = isFragment ? `${source}${destination}${dword(payload, 4)}` : '';
    protocol = payload[0];
    payload = payload.subarray(length);
    // A packet that says it is the only fragment of itself is whole (RFC 6946).
    if ((cut & 0xfff9) === 0) continue;
    const whole = fragments?.add(source, key, cut & 0xfff8, (cut & 1) === 0, payload);
    if (whole === undefined) return undefined;
    payload = whole;
  }
  return { source, destination, protocol, payload, hops: packet[7] };
}

function addressSum(address: IpAddress): number {
  if (typeof address === 'number') return (address >>> 16) + (address & 0xffff);
  let sum = 0;
  for (let at = 0; at < 16; at += 2) sum += (address.charCodeAt(at) << 8) | address.charCodeAt(at + 1);
  return sum;
}

/** The sum of what a checksum covers beside the message itself (RFC 9293, 3.1; RFC 8200, 8.1). */
export function pseudoSum(packet: Omit<IpPacket<IpAddress>, 'payload'>, length: number): number {
  return addressSum(packet.source) + addressSum(packet.destination) + packet.protocol + length;
}

/** Whether the checksum of a TCP, UDP or ICMPv6 message is right; none is right for UDP over IPv4. */
export function isSumRight(packet: IpPacket<IpAddress>): boolean {
  const { payload, protocol, source } = packet;
  if (protocol === Protocol.udp && word(payload, 6) === 0) return typeof source === 'number';
  return fold(addWords(pseudoSum(packet, payload.length), payload, 0, payload.length)) === 0xffff;
}

/** Puts the checksum of a message into it. */
export function putSum(packet: IpPacket<IpAddress>, at: number): void {
  putWord(packet.payload, at, 0);
  const sum = ~fold(addWords(pseudoSum(packet, packet.payload.length), packet.payload, 0, packet.payload.length));
  putWord(packet.payload, at, (sum & 0xffff) === 0 ? 0xffff : sum);
}

let identification = 0;

function ethernetFrame(to: Uint8Array, from: Uint8Array, type: number, length: number): Uint8Array {
  const frame = new Uint8Array(Math.max(FRAME_MIN, ETHERNET_BYTES + length));
  frame.set(to);
  frame.set(from, 6);
  putWord(frame, 12, type);
  return frame;
}

type Headers4 = Omit<IpPacket, 'payload'>;
type Headers6 = Omit<IpPacket<Address6>, 'payload'>;

/** Writes the header of an IPv4 packet or of a fragment of it, whose message begins at `at`. */
function putHeader4(ip: Uint8Array, packet: Headers4, length: number, at: number, isLast: boolean): void {
  ip[0] = 0x45;
  putWord(ip, 2, length);
  putWord(ip, 4, identification);
  putWord(ip, 6, (at >> 3) | (isLast ? 0 : 0x2000));
  ip[8] = packet.hops ?? TTL;
  ip[9] = packet.protocol;
  putDword(ip, 12, packet.source);
  putDword(ip, 16, packet.destination);
  putWord(ip, 10, ~fold(addWords(0, ip, 0, IP_BYTES)));
}

/** The same of an IPv6 packet; `protocol` is that of what comes next. */
function putHeader6(ip: Uint8Array, packet: Headers6, length: number, protocol: number): void {
  ip[0] = 0x60;
  putWord(ip, 4, length - IP6_BYTES);
  ip[6] = protocol;
  ip[7] = packet.hops ?? TTL;
  putAddress6(ip, 8, packet.source);
  putAddress6(ip, 24, packet.destination);
}

function isVersion4(packet: Omit<IpPacket<IpAddress>, 'payload'>): packet is Headers4 {
  return typeof packet.source === 'number';
}

/** Writes the headers of a packet with a message of so many bytes into a frame; gives where the message belongs. */
export function putHeaders(
  frame: Uint8Array,
  to: Uint8Array,
  from: Uint8Array,
  packet: Omit<IpPacket<IpAddress>, 'payload'>,
  bytes: number,
): number {
  identification = (identification + 1) & 0xffff;
  const is4 = isVersion4(packet);
  const header = is4 ? IP_BYTES : IP6_BYTES;
  frame.set(to);
  frame.set(from, 6);
  putWord(frame, 12, is4 ? EtherType.ipv4 : EtherType.ipv6);
  const ip = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + header).fill(0);
  if (is4) putHeader4(ip, packet, header + bytes, 0, true);
  else putHeader6(ip, packet as Headers6, header + bytes, packet.protocol);
  return ETHERNET_BYTES + header;
}

/** A packet as one frame, whatever its length. */
export function ipFrame(to: Uint8Array, from: Uint8Array, packet: IpPacket<IpAddress>): Uint8Array {
  const { payload } = packet;
  const header = isVersion4(packet) ? IP_BYTES : IP6_BYTES;
  const frame = new Uint8Array(Math.max(FRAME_MIN, ETHERNET_BYTES + header + payload.length));
  frame.set(payload, putHeaders(frame, to, from, packet, payload.length));
  return frame;
}

/** The frames of a packet: several where it is longer than the network takes. */
export function* ipFrames(to: Uint8Array, from: Uint8Array, packet: IpPacket<IpAddress>): Generator<Uint8Array> {
  const { payload } = packet;
  const header = isVersion4(packet) ? IP_BYTES : IP6_BYTES;
  if (payload.length <= MTU - header) {
    yield ipFrame(to, from, packet);
    return;
  }
  identification = (identification + 1) & 0xffff;
  const before = isVersion4(packet) ? header : header + FRAGMENT_BYTES;
  // Fragments are of whole units of eight bytes.
  const most = (MTU - before) & ~7;
  for (let at = 0; at < payload.length; at += most) {
    const part = payload.subarray(at, at + most);
    const isLast = at + most >= payload.length;
    const length = before + part.length;
    const frame = ethernetFrame(to, from, isVersion4(packet) ? EtherType.ipv4 : EtherType.ipv6, length);
    const ip = frame.subarray(ETHERNET_BYTES);
    if (isVersion4(packet)) putHeader4(ip, packet, length, at, isLast);
    else {
      putHeader6(ip, packet as Headers6, length, Protocol.fragment);
      ip[IP6_BYTES] = packet.protocol;
      putWord(ip, IP6_BYTES + 2, at | (isLast ? 0 : 1));
      putDword(ip, IP6_BYTES + 4, identification);
    }
    ip.set(part, before);
    yield frame;
  }
}

/** A UDP message as an IP packet. */
export function udpPacket<Of extends IpAddress>(
  source: { address: Of; port: number },
  destination: { address: Of; port: number },
  data: Uint8Array,
): IpPacket<Of> {
  const payload = new Uint8Array(UDP_BYTES + data.length);
  putWord(payload, 0, source.port);
  putWord(payload, 2, destination.port);
  putWord(payload, 4, payload.length);
  payload.set(data, UDP_BYTES);
  const packet = { source: source.address, destination: destination.address, protocol: Protocol.udp, payload };
  putSum(packet, 6);
  return packet;
}

/** What UDP carries; undefined where its length is wrong. */
export function readUdp({ payload }: IpPacket<IpAddress>): { from: number; to: number; data: Uint8Array } | undefined {
  const length = word(payload, 4);
  if (payload.length < UDP_BYTES || length < UDP_BYTES || length > payload.length) return undefined;
  return { from: word(payload, 0), to: word(payload, 2), data: payload.subarray(UDP_BYTES, length) };
}
