// The gateway's part of neighbour discovery: who it is, and what network this is (RFC 4861, 4862, 8106).
// Owns the layout of advertisements.
// Never learns anything: who a guest is tells every packet of it.

import { icmp6Packet } from './icmp.ts';
import {
  type Address6,
  type IpPacket,
  Protocol,
  parseAddress6,
  putAddress6,
  putDword,
  putWord,
  readAddress6,
} from './wire.ts';

export const NdType = {
  routerSolicitation: 133,
  routerAdvertisement: 134,
  solicitation: 135,
  advertisement: 136,
} as const;
const Option = { source: 1, target: 2, prefix: 3, mtu: 5, dns: 25, domain: 31 } as const;
/** Addresses are made by the guests, or by DHCPv6, which knows of name servers too. */
const MANAGED = 0xc0;
const ON_LINK_AND_AUTONOMOUS = 0xc0;
const SOLICITED_AND_OVERRIDE = 0x60;
const IS_ROUTER = 0x80;
/** Seconds. */
const LIFETIME = 1800;
const PREFIX_LIFETIME = 86_400;
const HOPS = 255;
const HEADER_BYTES = 8;

export const ALL_NODES = parseAddress6('ff02::1')!;

export interface Router {
  hardware: Uint8Array;
  /** Where it is asked as a neighbour. */
  linkLocal: Address6;
  /** What else it answers for. */
  addresses: readonly Address6[];
  prefix: Address6;
  dns: Address6;
  domain: string;
  mtu: number;
}

/** What the router says of its network, to everybody or to who asked. */
export function routerAdvertisement(router: Router, to: Address6): IpPacket<Address6> {
  const name = domainName(router.domain);
  const domainBytes = Math.ceil((8 + name.length) / 8) * 8;
  const payload = new Uint8Array(16 + 8 + 8 + 32 + 24 + domainBytes);
  payload[0] = NdType.routerAdvertisement;
  payload[4] = 64;
  payload[5] = MANAGED;
  putWord(payload, 6, LIFETIME);
  let at = 16;
  payload.set([Option.source, 1], at);
  payload.set(router.hardware, at + 2);
  at += 8;
  payload.set([Option.mtu, 1], at);
  putDword(payload, at + 4, router.mtu);
  at += 8;
  payload.set([Option.prefix, 4, 64, ON_LINK_AND_AUTONOMOUS], at);
  putDword(payload, at + 4, PREFIX_LIFETIME);
  putDword(payload, at + 8, PREFIX_LIFETIME);
  putAddress6(payload, at + 16, router.prefix);
  at += 32;
  payload.set([Option.dns, 3], at);
  putDword(payload, at + 4, LIFETIME);
  putAddress6(payload, at + 8, router.dns);
  at += 24;
  payload.set([Option.domain, domainBytes / 8], at);
  putDword(payload, at + 4, LIFETIME);
  payload.set(name, at + 8);
  return message(router.linkLocal, to, payload);
}

/** The answer to a neighbour's or router's question; undefined where it is not about this router. */
export function discoveryAnswer(router: Router, packet: IpPacket<Address6>): IpPacket<Address6> | undefined {
  const { payload, source, hops } = packet;
  // What a router passed on is no neighbour's (RFC 4861, 6.1.1, 7.1.1).
  if (hops !== HOPS || payload[1] !== 0 || payload.length < HEADER_BYTES) return undefined;
  const isNobody = source === UNSPECIFIED;
  if (payload[0] === NdType.routerSolicitation) return routerAdvertisement(router, isNobody ? ALL_NODES : source);
  if (payload[0] !== NdType.solicitation || payload.length < HEADER_BYTES + 16) return undefined;
  const target = readAddress6(payload, HEADER_BYTES);
  if (target !== router.linkLocal && !router.addresses.includes(target)) return undefined;
  const answer = new Uint8Array(32);
  answer[0] = NdType.advertisement;
  // Who has no address yet asks whether it may have this one: everybody is told that it may not.
  answer[4] = IS_ROUTER | (isNobody ? 0x20 : SOLICITED_AND_OVERRIDE);
  putAddress6(answer, 8, target);
  answer.set([Option.target, 1], 24);
  answer.set(router.hardware, 26);
  return message(target, isNobody ? ALL_NODES : source, answer);
}

export const UNSPECIFIED = parseAddress6('::')!;

function message(source: Address6, destination: Address6, payload: Uint8Array): IpPacket<Address6> {
  return icmp6Packet({ source, destination, protocol: Protocol.icmp6, payload, hops: HOPS });
}

/** A name as it travels: labels behind their lengths (RFC 1035, 3.1). */
export function domainName(name: string): Uint8Array {
  const labels = name.split('.').filter((label) => label !== '');
  return Uint8Array.from([...labels.flatMap((label) => [label.length, ...new TextEncoder().encode(label)]), 0]);
}
