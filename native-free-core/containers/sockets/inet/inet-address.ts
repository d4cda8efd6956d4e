// Addresses of the Internet families: IPv4 and IPv6 (ip(7), ipv6(7)), and endpoints with a port.
// Owns their forms: bytes, struct sockaddr, text; and what ranges mean.
// Never knows which addresses an interface has.

import { errno } from '../../errno.ts';
import { bytesToName } from '../../vfs/names.ts';
import { Family } from '../constants.ts';

/** An address as a string of its 4 or 16 bytes, one character each: equal addresses are equal strings. */
export type IpAddress = string;

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export const ANY4: IpAddress = '\0\0\0\0';
export const ANY6: IpAddress = '\0'.repeat(16);
export const LOOPBACK4: IpAddress = '\x7f\0\0\x01';
export const LOOPBACK6: IpAddress = `${'\0'.repeat(15)}\x01`;
export const BROADCAST4: IpAddress = '\xff\xff\xff\xff';
const MAPPED = `${'\0'.repeat(10)}\xff\xff`;

export const SOCKADDR_IN_BYTES = 16;
export const SOCKADDR_IN6_BYTES = 28;
/** The shortest struct sockaddr_in6 that is taken: without the scope (SIN6_LEN_RFC2133). */
const SOCKADDR_IN6_MIN = 24;

export const isIpv4 = (address: IpAddress): boolean => address.length === 4;
export const isAny = (address: IpAddress): boolean => address === ANY4 || address === ANY6;
export const isMulticast = (address: IpAddress): boolean =>
  isIpv4(address) ? (address.charCodeAt(0) & 0xf0) === 0xe0 : address.charCodeAt(0) === 0xff;
export const isLoopback = (address: IpAddress): boolean =>
  isIpv4(address) ? address.charCodeAt(0) === 127 : address === LOOPBACK6;

/** An IPv4 address in ::ffff:0:0/96 as IPv4; any other as it is. */
export const unmapped = (address: IpAddress): IpAddress => (address.startsWith(MAPPED) ? address.slice(12) : address);
const mapped = (address: IpAddress): IpAddress => (isIpv4(address) ? MAPPED + address : address);

export const ipv4Number = (address: IpAddress): number =>
  ((address.charCodeAt(0) << 24) |
    (address.charCodeAt(1) << 16) |
    (address.charCodeAt(2) << 8) |
    address.charCodeAt(3)) >>>
  0;

export const ipv4Of = (number: number): IpAddress =>
  String.fromCharCode(number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255);

export const bytesOf = (address: IpAddress): Uint8Array => Uint8Array.from(address, (byte) => byte.charCodeAt(0));

/** The first `length` bits of an address, the others zero. */
export function prefixOf(address: IpAddress, length: number): IpAddress {
  const bytes = bytesOf(address);
  for (let at = 0; at < bytes.length; at++) {
    const left = Math.max(0, Math.min(8, length - 8 * at));
    bytes[at] &= 0xff << (8 - left);
  }
  return bytesToName(bytes);
}

export const familyOf = (address: Uint8Array): number => (address.length < 2 ? -1 : address[0] | (address[1] << 8));

/** A struct sockaddr_in or sockaddr_in6. Throws EINVAL, EAFNOSUPPORT. */
export function readEndpoint(address: Uint8Array, family: number): Endpoint {
  const isV4 = family === Family.inet;
  if (address.length < (isV4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_MIN)) throw errno('EINVAL');
  if (familyOf(address) !== family) throw errno('EAFNOSUPPORT');
  const port = (address[2] << 8) | address[3];
  const bytes = isV4 ? address.subarray(4, 8) : address.subarray(8, 24);
  return { address: unmapped(bytesToName(bytes)), port };
}

export function endpointAddress({ address, port }: Endpoint, family: number): Uint8Array {
  const isV4 = family === Family.inet;
  const result = new Uint8Array(isV4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  result[0] = family;
  result[2] = port >> 8;
  result[3] = port & 255;
  if (isV4) result.set(bytesOf(isIpv4(address) ? address : ANY4), 4);
  else result.set(bytesOf(mapped(address)), 8);
  return result;
}
