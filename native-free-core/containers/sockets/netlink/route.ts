// rtnetlink (rtnetlink(7)): what ip(8) and getifaddrs(3) ask of links, addresses and routes.
// Owns the messages of the family NETLINK_ROUTE.
// Never changes an interface: the guest's network is given to it.

import { errno } from '../../errno.ts';
import { bytesToName } from '../../vfs/names.ts';
import { Family } from '../constants.ts';
import { bytesOf, type IpAddress, isIpv4, prefixOf } from '../inet/inet-address.ts';
import { broadcastOf, type Interface, type InterfaceAddress, type InternetStack } from '../inet/stack.ts';
import { attributesIn, body, done, NLM_F_DUMP, oneOfMany, type Request, single, text, u8, u32 } from './messages.ts';

const Type = {
  newLink: 16,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  getNeighbour: 30,
  getRule: 34,
  getQueue: 38,
} as const;
/** IFF_*. */
const Flag = { up: 1, broadcast: 2, loopback: 8, running: 0x40, multicast: 0x1000, lowerUp: 0x10000 } as const;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const TABLE_MAIN = 254;
const Scope = { global: 0, link: 253, host: 254 } as const;
const PROTOCOL_KERNEL = 2;
const PROTOCOL_DHCP = 16;
const ROUTE_UNICAST = 1;
const ROUTE_LOCAL = 2;
const ADDRESS_PERMANENT = 0x80;
const FOR_EVER = 0xffffffff;
/** Addresses of one interface. */
const ADDRESSES_MAX = 64;

export const interfaceFlags = ({ isLoopback, isUp }: Interface): number =>
  (isLoopback ? Flag.loopback : Flag.broadcast | Flag.multicast) | (isUp ? Flag.up | Flag.running | Flag.lowerUp : 0);

export const hardwareType = ({ isLoopback }: Interface): number => (isLoopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER);

function linkBody(of: Interface): Uint8Array {
  const fixed = new Uint8Array(16);
  const view = new DataView(fixed.buffer);
  view.setUint16(2, hardwareType(of), true);
  view.setInt32(4, of.index, true);
  view.setUint32(8, interfaceFlags(of), true);
  const { counters } = of;
  const figures = [
    counters.packetsIn,
    counters.packetsOut,
    counters.bytesIn,
    counters.bytesOut,
    0,
    0,
    counters.dropped,
  ];
  const short = new Uint32Array(24);
  const long = new BigUint64Array(25);
  figures.forEach((value, at) => {
    short[at] = value;
    long[at] = BigInt(value);
  });
  const broadcast = new Uint8Array(6).fill(of.isLoopback ? 0 : 0xff);
  return body(fixed, [
    [3, text(of.name)],
    [13, u32(1000)],
    [16, u8(of.isUp ? (of.isLoopback ? 0 : 6) : 2)],
    [17, u8(0)],
    [4, u32(of.mtu)],
    [27, u32(0)],
    [30, u32(0)],
    [31, u32(1)],
    [32, u32(1)],
    [33, u8(of.isUp ? 1 : 0)],
    [6, text(of.isLoopback ? 'noqueue' : 'fq_codel')],
    [1, of.hardware],
    [2, broadcast],
    [23, new Uint8Array(long.buffer)],
    [7, new Uint8Array(short.buffer)],
  ]);
}

const scopeOf = (of: Interface, address: IpAddress): number => {
  if (of.isLoopback) return Scope.host;
  return address.startsWith('\xfe\x80') ? Scope.link : Scope.global;
};

const familyOf = (address: IpAddress): number => (isIpv4(address) ? Family.inet : Family.inet6);

function addressBody(of: Interface, own: InterfaceAddress): Uint8Array {
  const { address, prefix } = own;
  const fixed = Uint8Array.of(familyOf(address), prefix, ADDRESS_PERMANENT, scopeOf(of, address), 0, 0, 0, 0);
  new DataView(fixed.buffer).setUint32(4, of.index, true);
  const times = new Uint8Array(Uint32Array.of(FOR_EVER, FOR_EVER, 0, 0).buffer);
  if (!isIpv4(address))
    return body(fixed, [
      [1, bytesOf(address)],
      [6, times],
      [8, u32(ADDRESS_PERMANENT)],
    ]);
  const broadcast: [number, Uint8Array][] = of.isLoopback ? [] : [[4, bytesOf(broadcastOf(own))]];
  return body(fixed, [
    [1, bytesOf(address)],
    [2, bytesOf(address)],
    ...broadcast,
    [3, text(of.name)],
    [8, u32(ADDRESS_PERMANENT)],
    [6, times],
  ]);
}

interface Route {
  readonly family: number;
  /** Empty: the default route. */
  readonly destination: IpAddress;
  readonly prefix: number;
  readonly gateway: IpAddress | null;
  readonly source: IpAddress | null;
  readonly of: Interface;
}

/** Routes of the main table. */
export function routesOf(stack: InternetStack): Route[] {
  const routes: Route[] = [];
  for (const { interface: of, gateway } of stack.uplinks) {
    if (gateway !== null)
      routes.push({ family: familyOf(gateway), destination: '', prefix: 0, gateway, source: null, of });
    for (const { address, prefix } of of.addresses)
      routes.push({
        family: familyOf(address),
        destination: prefixOf(address, prefix),
        prefix,
        gateway: null,
        source: isIpv4(address) ? address : null,
        of,
      });
  }
  return routes;
}

function routeBody({ family, destination, prefix, gateway, source, of }: Route): Uint8Array {
  const scope = gateway !== null || family === Family.inet6 ? Scope.global : Scope.link;
  const protocol = gateway !== null ? PROTOCOL_DHCP : PROTOCOL_KERNEL;
  const fixed = Uint8Array.of(family, prefix, 0, 0, TABLE_MAIN, protocol, scope, ROUTE_UNICAST, 0, 0, 0, 0);
  return body(fixed, [
    [15, u32(TABLE_MAIN)],
    ...(destination === '' ? [] : ([[1, bytesOf(destination)]] as [number, Uint8Array][])),
    ...(gateway === null ? [] : ([[5, bytesOf(gateway)]] as [number, Uint8Array][])),
    ...(source === null ? [] : ([[7, bytesOf(source)]] as [number, Uint8Array][])),
    [4, u32(of.index)],
  ]);
}

/** The way to one address: `ip route get`. Throws ENETUNREACH, EINVAL. */
function wayBody(stack: InternetStack, request: Request): Uint8Array {
  const wanted = attributesIn(request.body, 12).get(1);
  if (!wanted || (wanted.length !== 4 && wanted.length !== 16)) throw errno('EINVAL');
  const address = bytesToName(wanted);
  const isLocal = stack.isLocal(address);
  const source = stack.sourceFor(address);
  const uplink = isLocal ? undefined : stack.uplinkTo(address);
  const of = uplink?.interface ?? stack.loopback;
  const gateway = uplink && !stack.isDirect(uplink, address) ? uplink.gateway : null;
  const kind = isLocal ? ROUTE_LOCAL : ROUTE_UNICAST;
  const fixed = Uint8Array.of(request.body[0], 8 * wanted.length, 0, 0, TABLE_MAIN, 0, 0, kind, 0, 0, 0, 0);
  return body(fixed, [
    [15, u32(TABLE_MAIN)],
    [1, wanted],
    ...(gateway === null ? [] : ([[5, bytesOf(gateway)]] as [number, Uint8Array][])),
    [7, bytesOf(source)],
    [4, u32(of.index)],
  ]);
}

/** The interface that a request names. Throws ENODEV. */
function linkOf(stack: InternetStack, { body: asked }: Request): Interface {
  const names = attributesIn(asked, 16);
  const index = new DataView(asked.buffer, asked.byteOffset).getInt32(4, true);
  const name = names.get(3) ?? names.get(53);
  const wanted = name && bytesToName(name).replace(/\0.*$/s, '');
  const found = stack.interfaces.find((each) => (index > 0 ? each.index === index : each.name === wanted));
  if (!found) throw errno('ENODEV');
  return found;
}

/** Gives an interface an address, or takes one away. Throws ENODEV, EINVAL, EEXIST, EADDRNOTAVAIL, EOPNOTSUPP. */
function changeAddress(stack: InternetStack, { type, body: asked }: Request): void {
  const attributes = attributesIn(asked, 8);
  const index = new DataView(asked.buffer, asked.byteOffset).getUint32(4, true);
  const of = stack.interfaces.find((each) => each.index === index);
  if (!of) throw errno('ENODEV');
  const value = attributes.get(2) ?? attributes.get(1);
  const [family, prefix] = asked;
  if (value?.length !== (family === Family.inet ? 4 : 16) || prefix > 8 * value.length) throw errno('EINVAL');
  // Interfaces of virtual networks speak IPv4 alone.
  if (family === Family.inet6 && !of.isLoopback) throw errno('EOPNOTSUPP');
  const address = bytesToName(value);
  const at = of.addresses.findIndex((own) => own.address === address && own.prefix === prefix);
  if (type === Type.newAddress) {
    if (at >= 0) throw errno('EEXIST');
    if (of.addresses.length >= ADDRESSES_MAX) throw errno('ENOBUFS');
    of.addresses.push({ address, prefix });
  } else {
    if (at < 0) throw errno('EADDRNOTAVAIL');
    of.addresses.splice(at, 1);
    // A router that cannot be reached any more is none.
    for (const uplink of stack.uplinks)
      if (uplink.gateway !== null && !stack.isDirect(uplink, uplink.gateway)) uplink.gateway = null;
  }
}

/** Sets or clears the router, which is all that can be routed by hand. Throws ENODEV, ENETUNREACH, ESRCH, EOPNOTSUPP. */
function changeRoute(stack: InternetStack, { type, body: asked }: Request): void {
  const attributes = attributesIn(asked, 12);
  const gateway = attributes.get(5);
  const device = attributes.get(4);
  const index = device && new DataView(device.buffer, device.byteOffset).getUint32(0, true);
  if (asked[0] !== Family.inet || asked[1] !== 0) throw errno('EOPNOTSUPP');
  const address = gateway?.length === 4 ? bytesToName(gateway) : undefined;
  const able = stack.uplinks.filter((uplink) => index === undefined || uplink.interface.index === index);
  if (index !== undefined && able.length === 0) throw errno('ENODEV');
  if (type === Type.deleteRoute) {
    const uplink = able.find((each) => each.gateway !== null && (address === undefined || each.gateway === address));
    if (!uplink) throw errno('ESRCH');
    uplink.gateway = null;
    return;
  }
  const uplink = able.find((each) => address !== undefined && stack.isDirect(each, address));
  if (!uplink || address === undefined) throw errno('ENETUNREACH');
  if (uplink.gateway !== null) throw errno('EEXIST');
  uplink.gateway = address;
}

/** The answers to a request: whole messages. Throws what NLMSG_ERROR shall say; nothing: it is only acknowledged. */
export function answerRoute(stack: InternetStack, request: Request, port: number, isAdmin: boolean): Uint8Array[] {
  const { type, flags } = request;
  const isDump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
  const all = (answer: number, bodies: readonly Uint8Array[]): Uint8Array[] => [
    ...bodies.map((each) => oneOfMany(answer, request, port, each)),
    done(request, port),
  ];
  const family = request.body[0] ?? 0;
  const isWanted = (address: IpAddress): boolean => family === 0 || familyOf(address) === family;
  switch (type) {
    case Type.getLink:
      if (isDump) return all(Type.newLink, stack.interfaces.map(linkBody));
      return [single(Type.newLink, request, port, linkBody(linkOf(stack, request)))];
    case Type.getAddress: {
      if (!isDump) throw errno('EOPNOTSUPP');
      const bodies = stack.interfaces.flatMap((of) =>
        of.addresses.filter(({ address }) => isWanted(address)).map((own) => addressBody(of, own)),
      );
      return all(Type.newAddress, bodies);
    }
    case Type.getRoute:
      if (!isDump) return [single(Type.newRoute, request, port, wayBody(stack, request))];
      return all(
        Type.newRoute,
        routesOf(stack)
          .filter((route) => family === 0 || route.family === family)
          .map(routeBody),
      );
    case Type.getNeighbour:
    case Type.getRule:
    case Type.getQueue:
      if (!isDump) throw errno('EOPNOTSUPP');
      return all(0, []);
    case Type.newLink:
    case Type.setLink: {
      if (!isAdmin) throw errno('EPERM');
      const of = linkOf(stack, request);
      const view = new DataView(request.body.buffer, request.body.byteOffset);
      const change = view.getUint32(12, true);
      // Up or down is all that can be said of an interface here.
      if (change & ~Flag.up || [...attributesIn(request.body, 16).keys()].some((key) => key !== 3))
        throw errno('EOPNOTSUPP');
      if (change & Flag.up) of.isUp = (view.getUint32(8, true) & Flag.up) !== 0;
      return [];
    }
    case Type.newAddress:
    case Type.deleteAddress:
      if (!isAdmin) throw errno('EPERM');
      changeAddress(stack, request);
      return [];
    case Type.newRoute:
    case Type.deleteRoute:
      if (!isAdmin) throw errno('EPERM');
      changeRoute(stack, request);
      return [];
    default:
      throw errno(isAdmin ? 'EOPNOTSUPP' : 'EPERM');
  }
}
