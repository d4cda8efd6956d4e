// Messages of ICMP and ICMPv6 that a gateway sends: echoes, and why a packet went nowhere (RFC 792, 4443).
// Owns their layout.
// Never decides who is answered.

import { addWords, fold } from '../../devices/packets.ts';
import {
  IP_BYTES,
  IP6_BYTES,
  type IpAddress,
  type IpPacket,
  Protocol,
  putAddress6,
  putDword,
  putSum,
  putWord,
  word,
} from './wire.ts';

const HEADER_BYTES = 8;
const Type4 = { echoReply: 0, unreachable: 3, echo: 8, exceeded: 11 } as const;
const Type6 = { unreachable: 1, exceeded: 3, echo: 128, echoReply: 129 } as const;
/** What of the packet that went nowhere is told: enough to know whose it was. */
const QUOTED_MAX = 512;

/** Why a packet was not delivered. */
export type Failure = 'noRoute' | 'prohibited' | 'noPort' | 'noHost' | 'exceeded';
const codes4: Record<Failure, readonly [number, number]> = {
  noRoute: [Type4.unreachable, 0],
  noHost: [Type4.unreachable, 1],
  noPort: [Type4.unreachable, 3],
  prohibited: [Type4.unreachable, 13],
  exceeded: [Type4.exceeded, 0],
};
const codes6: Record<Failure, readonly [number, number]> = {
  noRoute: [Type6.unreachable, 0],
  prohibited: [Type6.unreachable, 1],
  noHost: [Type6.unreachable, 3],
  noPort: [Type6.unreachable, 4],
  exceeded: [Type6.exceeded, 0],
};

/** Puts in the checksum, which covers the addresses in version 6 alone. */
function finish<Of extends IpAddress>(packet: IpPacket<Of>): IpPacket<Of> {
  const { payload, protocol } = packet;
  if (protocol === Protocol.icmp6) putSum(packet, 2);
  else {
    putWord(payload, 2, 0);
    putWord(payload, 2, ~fold(addWords(0, payload, 0, payload.length)));
  }
  return packet;
}

/** An ICMPv6 message as a packet. */
export function icmp6Packet(packet: IpPacket<string>): IpPacket<string> {
  return finish(packet);
}

/** Whether a message asks for an echo, in either version. */
export function isEcho({ protocol, payload }: IpPacket<IpAddress>): boolean {
  const type = protocol === Protocol.icmp6 ? Type6.echo : Type4.echo;
  return payload.length >= HEADER_BYTES && payload[0] === type && payload[1] === 0;
}

/** Whether the checksum of an ICMP message is right; that of ICMPv6 is like UDP's. */
export function isIcmpSumRight({ payload }: IpPacket<IpAddress>): boolean {
  return fold(addWords(0, payload, 0, payload.length)) === 0xffff;
}

/** The answer to an echo request, of all it carried. */
export function echoReply<Of extends IpAddress>({
  source,
  destination,
  protocol,
  payload,
}: IpPacket<Of>): IpPacket<Of> {
  const answer = payload.slice();
  answer[0] = protocol === Protocol.icmp6 ? Type6.echoReply : Type4.echoReply;
  return finish({ source: destination, destination: source, protocol, payload: answer });
}

/** Tells who sent `packet` that it was not delivered, from the gateway at `from`. */
export function failureMessage<Of extends IpAddress>(packet: IpPacket<Of>, from: Of, failure: Failure): IpPacket<Of> {
  const { source, destination, protocol } = packet;
  const quoted = packet.payload.subarray(0, QUOTED_MAX);
  const is4 = typeof source === 'number';
  const header = is4 ? IP_BYTES : IP6_BYTES;
  const payload = new Uint8Array(HEADER_BYTES + header + quoted.length);
  payload.set((is4 ? codes4 : codes6)[failure]);
  const ip = payload.subarray(HEADER_BYTES);
  if (is4) {
    ip[0] = 0x45;
    putWord(ip, 2, IP_BYTES + packet.payload.length);
    ip[8] = packet.hops ?? 1;
    ip[9] = protocol;
    putDword(ip, 12, source);
    putDword(ip, 16, destination as number);
    putWord(ip, 10, ~fold(addWords(0, ip, 0, IP_BYTES)));
  } else {
    ip[0] = 0x60;
    putWord(ip, 4, packet.payload.length);
    ip[6] = protocol;
    ip[7] = packet.hops ?? 1;
    putAddress6(ip, 8, source);
    putAddress6(ip, 24, destination as string);
  }
  ip.set(quoted, header);
  return finish({ source: from, destination: source, protocol: is4 ? Protocol.icmp : Protocol.icmp6, payload });
}

/** Whether a failure may be told of a packet: not of one that tells of one itself (RFC 1122, 3.2.2; RFC 4443, 2.4). */
export function mayFail(packet: IpPacket<IpAddress>): boolean {
  if (packet.protocol === Protocol.icmp) return packet.payload[0] === Type4.echo;
  if (packet.protocol === Protocol.icmp6) return word(packet.payload, 0) === Type6.echo << 8;
  return true;
}
