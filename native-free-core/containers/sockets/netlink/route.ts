// rtnetlink (rtnetlink(7)): what ip(8) and getifaddrs(3) ask of links, addresses and routes.
// Owns the messages of the family NETLINK_ROUTE.
// Never changes an interface: the guest's network is given to it.

import { errno } from '../../errno.ts';
import { bytesToName } from '../../vfs/names.ts';
import type { Credentials } from '../../vfs/types.ts';
import { CAP_NET_ADMIN, Family } from '../constants.ts';
import { bytesOf, type IpAddress, isIpv4, prefixOf } from '../inet/inet-address.ts';
import { broadcastOf, type Interface, type InterfaceAddress, type InternetStack } from '../inet/stack.ts';
import { attributesIn, body, done, NLM_F_DUMP, oneOfMany, type Request, single, text, u8, u32 } from './messages.ts';

const Type = {
  newLink: 16,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  getAddress: 22,
  newRoute: 24,
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
    [16, u8(of.isLoopback ? 0 : of.isUp ? 6 : 2)],
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
  const isDirect = uplink?.interface.addresses.some(
    (own) =>
      own.address.length === address.length && prefixOf(own.address, own.prefix) === prefixOf(address, own.prefix),
  );
  const gateway = uplink && !isDirect ? uplink.gateway : null;
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

/** The answers to a request: whole messages. Throws what NLMSG_ERROR shall say; nothing: it is only acknowledged. */
export function answerRoute(stack: InternetStack, request: Request, port: number, who: Credentials): Uint8Array[] {
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
      if (!who.capable(CAP_NET_ADMIN)) throw errno('EPERM');
      const of = linkOf(stack, request);
      const view = new DataView(request.body.buffer, request.body.byteOffset);
      const change = view.getUint32(12, true);
      // Up or down is all that can be said of an interface here.
      if (change & ~Flag.up || [...attributesIn(request.body, 16).keys()].some((key) => key !== 3))
        throw errno('EOPNOTSUPP');
      if (change & Flag.up) of.isUp = (view.getUint32(8, true) & Flag.up) !== 0;
      return [];
    }
    default:
      throw errno(who.capable(CAP_NET_ADMIN) ? 'EOPNOTSUPP' : 'EPERM');
  }
}
