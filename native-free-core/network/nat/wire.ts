// IPv4 packets of a network of guests: taken apart and put together (RFC 791, 768, 9293).
// Owns the layout of the headers and their checksums.
// Never decides what a packet is answered with.

import { addWords, FRAME_MIN, fold } from '../../devices/packets.ts';

export const EtherType = { ipv4: 0x0800, arp: 0x0806 } as const;
export const Protocol = { icmp: 1, tcp: 6, udp: 17 } as const;
export const ETHERNET_BYTES = 14;
const IP_BYTES = 20;
const UDP_BYTES = 8;
/** Bytes of an IP packet on these networks. */
export const MTU = 1500;
const TTL = 64;

/** An IPv4 address as a number. */
export type Address = number;

export function formatAddress(address: Address): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

export function parseAddress(text: string): Address | undefined {
  const parts = text.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (parts.length !== 4 || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((address, part) => address * 256 + part, 0);
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

/** A whole IPv4 packet of a frame. */
export interface IpPacket {
  source: Address;
  destination: Address;
  protocol: number;
  payload: Uint8Array;
}

/** The packet in a frame; undefined where it is damaged, or a fragment: those are not put together here. */
export function readIp(frame: Uint8Array): IpPacket | undefined {
  const packet = frame.subarray(ETHERNET_BYTES);
  const header = 4 * (packet[0] & 15);
  if (packet.length < IP_BYTES || packet[0] >> 4 !== 4 || header < IP_BYTES) return undefined;
  const total = word(packet, 2);
  if (total < header || total > packet.length || (word(packet, 6) & 0x3fff) !== 0) return undefined;
  if (fold(addWords(0, packet, 0, header)) !== 0xffff) return undefined;
  return {
    source: dword(packet, 12),
    destination: dword(packet, 16),
    protocol: packet[9],
    payload: packet.subarray(header, total),
  };
}

function pseudoSum({ source, destination, protocol }: Omit<IpPacket, 'payload'>, length: number): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length;
}

/** Whether the checksum of a TCP or UDP message is right; none is right for UDP. */
export function isSumRight(packet: IpPacket): boolean {
  const { payload, protocol } = packet;
  if (protocol === Protocol.udp && word(payload, 6) === 0) return true;
  return fold(addWords(pseudoSum(packet, payload.length), payload, 0, payload.length)) === 0xffff;
}

/** Puts the checksum of a message into it. */
export function putSum(packet: IpPacket, at: number): void {
  putWord(packet.payload, at, 0);
  const sum = ~fold(addWords(pseudoSum(packet, packet.payload.length), packet.payload, 0, packet.payload.length));
  putWord(packet.payload, at, (sum & 0xffff) === 0 ? 0xffff : sum);
}

let identification = 0;

/** The frames of a packet: several where it is longer than the network takes. */
export function* ipFrames(to: Uint8Array, from: Uint8Array, packet: IpPacket): Generator<Uint8Array> {
  const { payload } = packet;
  identification = (identification + 1) & 0xffff;
  // Fragments are of whole units of eight bytes.
  const most = (MTU - IP_BYTES) & ~7;
  for (let at = 0; at === 0 || at < payload.length; at += most) {
    const isWhole = payload.length <= MTU - IP_BYTES;
    const part = isWhole ? payload : payload.subarray(at, at + most);
    const isLast = isWhole || at + most >= payload.length;
    const frame = new Uint8Array(Math.max(FRAME_MIN, ETHERNET_BYTES + IP_BYTES + part.length));
    frame.set(to);
    frame.set(from, 6);
    putWord(frame, 12, EtherType.ipv4);
    const header = frame.subarray(ETHERNET_BYTES);
    header[0] = 0x45;
    putWord(header, 2, IP_BYTES + part.length);
    putWord(header, 4, identification);
    putWord(header, 6, (at >> 3) | (isLast ? 0 : 0x2000));
    header[8] = TTL;
    header[9] = packet.protocol;
    putDword(header, 12, packet.source);
    putDword(header, 16, packet.destination);
    putWord(header, 10, ~fold(addWords(0, header, 0, IP_BYTES)));
    header.set(part, IP_BYTES);
    yield frame;
    if (isWhole) return;
  }
}

/** A UDP message as an IP packet. */
export function udpPacket(
  source: { address: Address; port: number },
  destination: { address: Address; port: number },
  data: Uint8Array,
): IpPacket {
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
export function readUdp({ payload }: IpPacket): { from: number; to: number; data: Uint8Array } | undefined {
  const length = word(payload, 4);
  if (payload.length < UDP_BYTES || length < UDP_BYTES || length > payload.length) return undefined;
  return { from: word(payload, 0), to: word(payload, 2), data: payload.subarray(UDP_BYTES, length) };
}
