// What ioctl tells of network interfaces (netdevice(7)).
// Owns struct ifreq and struct ifconf.
// Never changes an interface.

import { errno } from '../errno.ts';
import { bytesToName } from '../vfs/names.ts';
import type { UserMemory } from '../vfs/types.ts';
import { Family } from './constants.ts';
import { endpointAddress, type IpAddress, ipv4Of, isIpv4 } from './inet/inet-address.ts';
import { broadcastOf, type Interface, type InternetStack } from './inet/stack.ts';
import { hardwareType, interfaceFlags } from './netlink/route.ts';

const NAME_BYTES = 16;
const REQUEST_BYTES = 40;
const Request = {
  name: 0x8910,
  list: 0x8912,
  flags: 0x8913,
  address: 0x8915,
  broadcast: 0x8919,
  netmask: 0x891b,
  metric: 0x891d,
  mtu: 0x8921,
  hardware: 0x8927,
  index: 0x8933,
  queueLength: 0x8942,
} as const;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Answers a request. Throws ENOTTY for what it does not know, ENODEV, EADDRNOTAVAIL. */
export function interfaceIoctl(stack: InternetStack, request: number, argument: number, memory: UserMemory): number {
  if (!(Object.values(Request) as number[]).includes(request)) throw errno('ENOTTY');
  if (request === Request.list) return list(stack, argument, memory);
  const bytes = new Uint8Array(REQUEST_BYTES);
  memory.read(argument, bytes);
  const view = viewOf(bytes);
  const name = bytesToName(bytes.subarray(0, NAME_BYTES)).replace(/\0.*$/s, '');
  const wanted = request === Request.name ? view.getInt32(NAME_BYTES, true) : 0;
  const found = stack.interfaces.find((each) =>
    request === Request.name ? each.index === wanted : each.name === name,
  );
  if (!found) throw errno('ENODEV');
  if (request === Request.name) putName(bytes, found.name);
  else {
    bytes.fill(0, NAME_BYTES);
    put(found, request, bytes.subarray(NAME_BYTES));
  }
  memory.write(argument, bytes);
  return 0;
}

function putName(bytes: Uint8Array, name: string): void {
  bytes.fill(0, 0, NAME_BYTES);
  for (let at = 0; at < name.length && at < NAME_BYTES - 1; at++) bytes[at] = name.charCodeAt(at);
}

function put(of: Interface, request: number, into: Uint8Array): void {
  const view = viewOf(into);
  const own = of.addresses.find(({ address }) => isIpv4(address));
  const address = (value: IpAddress): void => into.set(endpointAddress({ address: value, port: 0 }, Family.inet));
  switch (request) {
    case Request.flags:
      view.setInt16(0, interfaceFlags(of) & 0xffff, true);
      return;
    case Request.mtu:
      view.setInt32(0, of.mtu, true);
      return;
    case Request.index:
      view.setInt32(0, of.index, true);
      return;
    case Request.queueLength:
      view.setInt32(0, 1000, true);
      return;
    case Request.metric:
      return;
    case Request.hardware:
      view.setUint16(0, hardwareType(of), true);
      into.set(of.hardware, 2);
      return;
  }
  if (!own) throw errno('EADDRNOTAVAIL');
  if (request === Request.address) address(own.address);
  else if (request === Request.netmask) address(ipv4Of(own.prefix === 0 ? 0 : (-1 << (32 - own.prefix)) >>> 0));
  else address(of.isLoopback ? ipv4Of(0) : broadcastOf(own));
}

/** SIOCGIFCONF: the interfaces that have an IPv4 address. */
function list(stack: InternetStack, argument: number, memory: UserMemory): number {
  const head = new Uint8Array(16);
  memory.read(argument, head);
  const view = viewOf(head);
  const room = view.getInt32(0, true);
  const at = Number(view.getBigUint64(8, true));
  const entries = stack.interfaces.flatMap((of) =>
    of.addresses
      .filter(({ address }) => isIpv4(address))
      .map(({ address }) => {
        const entry = new Uint8Array(REQUEST_BYTES);
        putName(entry, of.name);
        entry.set(endpointAddress({ address, port: 0 }, Family.inet), NAME_BYTES);
        return entry;
      }),
  );
  const count = at === 0 ? entries.length : Math.min(entries.length, Math.floor(room / REQUEST_BYTES));
  if (at !== 0) for (let index = 0; index < count; index++) memory.write(at + index * REQUEST_BYTES, entries[index]);
  view.setInt32(0, count * REQUEST_BYTES, true);
  memory.write(argument, head.subarray(0, 4));
  return 0;
}
