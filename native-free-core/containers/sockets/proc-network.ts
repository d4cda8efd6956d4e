// /proc/net and /sys/class/net of a network namespace, in the formats that programs parse (proc(5)).
// Owns the texts.
// Never shows another namespace's sockets.

import type { SysInterface } from '../vfs/sys.ts';
import { Family } from './constants.ts';
import { ANY4, ANY6, bytesOf, type Endpoint, type IpAddress, ipv4Of, isIpv4 } from './inet/inet-address.ts';
import type { InetSocket } from './inet/inet-socket.ts';
import type { Interface } from './inet/stack.ts';
import { TcpSocket } from './inet/tcp-socket.ts';
import { UdpSocket } from './inet/udp-socket.ts';
import { NetlinkSocket } from './netlink/netlink-socket.ts';
import { hardwareType, interfaceFlags, routesOf } from './netlink/route.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import { UnixSocket } from './unix/unix-socket.ts';

const hex = (value: number, width: number): string => (value >>> 0).toString(16).toUpperCase().padStart(width, '0');

/** An address as words of the machine's byte order. */
function words(address: IpAddress): string {
  const view = new DataView(bytesOf(address).buffer);
  let text = '';
  for (let at = 0; at < view.byteLength; at += 4) text += hex(view.getUint32(at, true), 8);
  return text;
}

function endpointText({ address, port }: Endpoint, family: number): string {
  const mapped = `${'\0'.repeat(10)}\xff\xff${address}`;
  const shown = family === Family.inet6 && isIpv4(address) ? (address === ANY4 ? ANY6 : mapped) : address;
  return `${words(shown)}:${hex(port, 4)}`;
}

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const HEAD6 =
  '  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

interface Row {
  readonly socket: InetSocket;
  readonly state: number;
  readonly toRead: number;
  readonly end: string;
}

function table(network: NetworkNamespace, family: number, rows: readonly Row[], more: string): string {
  const none = { address: family === Family.inet ? ANY4 : ANY6, port: 0 };
  const lines = rows.map(({ socket, state, toRead, end }, index) => {
    const places = `${endpointText(socket.local, family)} ${endpointText(socket.remote ?? none, family)}`;
    return (
      `${String(index).padStart(4)}: ${places} ${hex(state, 2)} 00000000:${hex(toRead, 8)} 00:00000000 00000000 ` +
      `${String(socket.owner).padStart(5)}        0 ${network.kernel.inoOf(socket)} ${end}\n`
    );
  });
  return `${(family === Family.inet ? HEAD : HEAD6) + more}\n${lines.join('')}`;
}

function tcpText(network: NetworkNamespace, family: number): string {
  const rows: Row[] = [];
  for (const socket of network.stack.tcp.all())
    if (socket instanceof TcpSocket && socket.family === family && socket.state !== 'closed')
      rows.push({
        socket,
        state: socket.stateNumber,
        toRead: socket.isListening ? socket.arrivedCount : socket.incoming.length,
        end: '1 0000000000000000 100 0 0 10 0',
      });
  return table(network, family, rows, '');
}

function udpText(network: NetworkNamespace, family: number): string {
  const rows: Row[] = [];
  for (const socket of network.stack.udp.all())
    if (socket instanceof UdpSocket && socket.family === family)
      rows.push({
        socket,
        state: socket.remote ? 1 : 7,
        toRead: socket.queuedBytes,
        end: `2 0000000000000000 ${socket.drops}`,
      });
  return table(network, family, rows, ' ref pointer drops');
}

function unixText(network: NetworkNamespace): string {
  let text = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
  for (const socket of network.sockets) {
    if (!(socket instanceof UnixSocket)) continue;
    const flags = socket.isListening ? 0x10000 : 0;
    const state = socket.peer ? 3 : 1;
    const name = socket.shownName === '' ? '' : ` ${socket.shownName}`;
    text +=
      `0000000000000000: 00000002 00000000 ${hex(flags, 8)} ${hex(socket.type, 4)} ${hex(state, 2)} ` +
      `${String(network.kernel.inoOf(socket)).padStart(5)}${name}\n`;
  }
  return text;
}

function devText({ stack }: NetworkNamespace): string {
  const head =
    'Inter-|   Receive                                                |  Transmit\n' +
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n';
  const rows = stack.interfaces.map(({ name, counters: { bytesIn, packetsIn, bytesOut, packetsOut, dropped } }) => {
    const column = (value: number, width: number): string => String(value).padStart(width);
    return (
      `${name.padStart(6)}: ${column(bytesIn, 7)} ${column(packetsIn, 7)}    0 ${column(dropped, 4)}    0     0          0         0 ` +
      `${column(bytesOut, 8)} ${column(packetsOut, 7)}    0    0    0     0       0          0\n`
    );
  });
  return head + rows.join('');
}

const ROUTE_UP = 1;
const ROUTE_GATEWAY = 2;

function routeText({ stack }: NetworkNamespace): string {
  const line = (fields: readonly string[]): string => `${fields.join('\t').padEnd(127)}\n`;
  const head = 'Iface,Destination,Gateway ,Flags,RefCnt,Use,Metric,Mask,,MTU,Window,IRTT'.split(',');
  const rows = routesOf(stack)
    .filter(({ family }) => family === Family.inet)
    .map(({ of, destination, gateway, prefix }) => [
      of.name,
      words(destination || ANY4),
      words(gateway ?? ANY4),
      hex(ROUTE_UP | (gateway === null ? 0 : ROUTE_GATEWAY), 4),
      ...['0', '0', '0'],
      words(ipv4Of(prefix === 0 ? 0 : (-1 << (32 - prefix)) >>> 0)),
      ...['0', '0', '0'],
    ]);
  return line(head) + rows.map(line).join('');
}

function inet6Text({ stack }: NetworkNamespace): string {
  let text = '';
  for (const of of stack.interfaces)
    for (const { address, prefix } of of.addresses) {
      if (isIpv4(address)) continue;
      const bytes = Array.from(bytesOf(address), (byte) => byte.toString(16).padStart(2, '0')).join('');
      const scope = of.isLoopback ? 0x10 : address.startsWith('\xfe\x80') ? 0x20 : 0;
      const column = (value: number): string => value.toString(16).padStart(2, '0');
      text += `${bytes} ${column(of.index)} ${column(prefix)} ${column(scope)} 80 ${of.name.padStart(8)}\n`;
    }
  return text;
}

function netlinkText(network: NetworkNamespace): string {
  let text = 'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n';
  for (const socket of network.sockets)
    if (socket instanceof NetlinkSocket)
      text +=
        `0000000000000000 ${String(socket.protocol).padEnd(3)} ${String(socket.port).padEnd(10)} 00000000 0        0        ` +
        `0     2        0        ${network.kernel.inoOf(socket)}\n`;
  return text;
}

function statisticsText(network: NetworkNamespace): string {
  const count = (is: (socket: object) => boolean): number => [...network.sockets].filter(is).length;
  const tcp = count((socket) => socket instanceof TcpSocket);
  const udp = count((socket) => socket instanceof UdpSocket);
  return (
    `sockets: used ${network.sockets.size}\nTCP: inuse ${tcp} orphan 0 tw 0 alloc ${tcp} mem 0\nUDP: inuse ${udp} mem 0\n` +
    'UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n'
  );
}

const ARP_HEAD = 'IP address       HW type     Flags       HW address            Mask     Device\n';

const FILES: Readonly<Record<string, (network: NetworkNamespace) => string>> = {
  arp: () => ARP_HEAD,
  dev: devText,
  if_inet6: inet6Text,
  netlink: netlinkText,
  route: routeText,
  sockstat: statisticsText,
  tcp: (network) => tcpText(network, Family.inet),
  tcp6: (network) => tcpText(network, Family.inet6),
  udp: (network) => udpText(network, Family.inet),
  udp6: (network) => udpText(network, Family.inet6),
  unix: unixText,
};

function interfaceFiles(of: Interface): { files: Record<string, string>; statistics: Record<string, string> } {
  const hardware = (bytes: Uint8Array): string =>
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
  const { counters } = of;
  const line = (value: string | number): string => `${value}\n`;
  return {
    files: {
      address: line(hardware(of.hardware)),
      addr_len: line(6),
      broadcast: line(hardware(new Uint8Array(6).fill(of.isLoopback ? 0 : 0xff))),
      carrier: line(of.isUp ? 1 : 0),
      dev_id: line('0x0'),
      flags: line(`0x${(interfaceFlags(of) & 0xffff & ~0x40).toString(16)}`),
      ifindex: line(of.index),
      iflink: line(of.index),
      mtu: line(of.mtu),
      operstate: line(of.isLoopback ? 'unknown' : of.isUp ? 'up' : 'down'),
      tx_queue_len: line(1000),
      type: line(hardwareType(of)),
    },
    statistics: {
      rx_bytes: line(counters.bytesIn),
      rx_packets: line(counters.packetsIn),
      rx_dropped: line(counters.dropped),
      rx_errors: line(0),
      tx_bytes: line(counters.bytesOut),
      tx_packets: line(counters.packetsOut),
      tx_dropped: line(0),
      tx_errors: line(0),
    },
  };
}

const procFiles = new WeakMap<NetworkNamespace, ReadonlyMap<string, () => string>>();

/** Files of /proc/net by name; the same functions as long as the namespace lives. */
export function procNetworkFiles(network: NetworkNamespace): ReadonlyMap<string, () => string> {
  let files = procFiles.get(network);
  if (!files) {
    files = new Map(Object.entries(FILES).map(([name, read]) => [name, () => read(network)]));
    procFiles.set(network, files);
  }
  return files;
}

const shownInterfaces = new WeakMap<Interface, SysInterface>();

/** What /sys/class/net shows; one object an interface. */
export function sysInterfaces({ stack }: NetworkNamespace): SysInterface[] {
  return stack.interfaces.map((of) => {
    let shown = shownInterfaces.get(of);
    if (!shown) {
      shown = {
        name: of.name,
        files: () => interfaceFiles(of).files,
        statistics: () => interfaceFiles(of).statistics,
      };
      shownInterfaces.set(of, shown);
    }
    return shown;
  });
}
