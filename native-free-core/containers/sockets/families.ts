// Which socket a family, a type and a protocol mean.
// Owns the choice, and the refusals of what there is none of.
// Never does anything with a socket.

import { errno } from '../errno.ts';
import type { Task } from '../kernel/task.ts';
import { CAP_NET_RAW, Family, Protocol, SocketType } from './constants.ts';
import { PingSocket } from './inet/ping-socket.ts';
import { TcpSocket } from './inet/tcp-socket.ts';
import { UdpSocket } from './inet/udp-socket.ts';
import { NetlinkSocket } from './netlink/netlink-socket.ts';
import type { Socket } from './socket.ts';
import { UnixDatagram } from './unix/unix-datagram.ts';
import { UnixSocket } from './unix/unix-socket.ts';
import { UnixStream } from './unix/unix-stream.ts';

/** Whether Linux has such a family. */
export const isFamily = (family: number): boolean =>
  (Object.values(Family) as number[]).includes(family) && family !== 0;

/** socket(2). Throws EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EPERM. */
export function makeSocket(task: Task, family: number, type: number, protocol: number): Socket {
  switch (family) {
    case Family.unix:
      return makeUnix(task, type, protocol);
    case Family.inet:
    case Family.inet6:
      return makeInet(task, family, type, protocol);
    case Family.netlink:
      return makeNetlink(task, type, protocol);
    default:
      task.kernel.notImplemented(`socket: family ${family}`);
      throw errno('EAFNOSUPPORT');
  }
}

function makeUnix(task: Task, type: number, protocol: number): UnixStream | UnixDatagram {
  if (protocol !== 0 && protocol !== Family.unix) throw errno('EPROTONOSUPPORT');
  switch (type) {
    case SocketType.stream:
    case SocketType.seqpacket:
      return new UnixStream(task.network, type, 0);
    case SocketType.datagram:
    // A raw one has always been the same (unix_create).
    case SocketType.raw:
      return new UnixDatagram(task.network, SocketType.datagram, 0);
    default:
      throw errno('ESOCKTNOSUPPORT');
  }
}

function makeInet(task: Task, family: number, type: number, protocol: number): Socket {
  const owner = task.credentials.euid;
  const isDefault = protocol === Protocol.ip;
  const isPing = family === Family.inet && protocol === Protocol.icmp;
  switch (type) {
    case SocketType.stream:
      if (isDefault || protocol === Protocol.tcp) return new TcpSocket(task.network, family, owner);
      break;
    case SocketType.datagram:
      if (isDefault || protocol === Protocol.udp) return new UdpSocket(task.network, family, owner);
      if (isPing) return new PingSocket(task.network, type, owner);
      break;
    case SocketType.raw:
      if (isDefault) throw errno('EPROTONOSUPPORT');
      if (!task.credentials.capableIn(task.network.owner, CAP_NET_RAW)) throw errno('EPERM');
      if (isPing) return new PingSocket(task.network, type, owner);
      break;
    default:
      throw errno('ESOCKTNOSUPPORT');
  }
  if (protocol < 0 || protocol > 255) throw errno('EINVAL');
  task.kernel.notImplemented(`socket: family ${family}, type ${type}, protocol ${protocol}`);
  throw errno('EPROTONOSUPPORT');
}

const NETLINK_ROUTE = 0;

function makeNetlink(task: Task, type: number, protocol: number): NetlinkSocket {
  if (type !== SocketType.raw && type !== SocketType.datagram) throw errno('ESOCKTNOSUPPORT');
  if (protocol === NETLINK_ROUTE) return new NetlinkSocket(task.network, type, protocol);
  task.kernel.notImplemented(`socket: netlink protocol ${protocol}`);
  throw errno('EPROTONOSUPPORT');
}

/** socketpair(2) of AF_UNIX. */
export function makePair(task: Task, type: number, protocol: number): [Socket, Socket] {
  const one = makeUnix(task, type, protocol);
  const other = makeUnix(task, type, protocol);
  if (one instanceof UnixStream && other instanceof UnixStream) UnixStream.pair(one, other, task);
  else UnixSocket.join(one, other, task);
  return [one, other];
}
