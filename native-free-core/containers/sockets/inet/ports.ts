// The ports of one protocol in one namespace: who is bound where.
// Owns the rules of sharing a port (socket(7): SO_REUSEADDR, SO_REUSEPORT) and the choice of free ones.
// Never knows what comes to a port.

import { errno } from '../../errno.ts';
import { SocketOption } from '../constants.ts';
import { ANY4, ANY6, type IpAddress, isIpv4 } from './inet-address.ts';
import type { InetSocket } from './inet-socket.ts';

/** net.ipv4.ip_local_port_range. */
export const EPHEMERAL_FIRST = 32_768;
export const EPHEMERAL_LAST = 60_999;
const EPHEMERAL_COUNT = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
/** Ports below are for who may: CAP_NET_BIND_SERVICE. */
export const PRIVILEGED_PORTS = 1024;

/** Whether packets to `address` come to a socket that is bound to `bound`. */
export function takes(bound: IpAddress, isV6Only: boolean, address: IpAddress): boolean {
  if (bound === address) return true;
  if (bound === ANY4) return isIpv4(address);
  return bound === ANY6 && (!isIpv4(address) || !isV6Only);
}

export class Ports {
  private readonly byPort = new Map<number, Set<InetSocket>>();
  /** TCP: who listens has its port alone, unless all share it. */
  private readonly hasListeners: boolean;
  private readonly random: () => number;

  constructor(hasListeners: boolean, random: () => number) {
    this.hasListeners = hasListeners;
    this.random = random;
  }

  /** Sockets at a port, in the order in which they were bound. */
  at(port: number): Iterable<InetSocket> {
    return this.byPort.get(port) ?? [];
  }

  *all(): Generator<InetSocket> {
    for (const sockets of this.byPort.values()) yield* sockets;
  }

  private shares(one: InetSocket, other: InetSocket): boolean {
    const both = (option: number): boolean => one.option(option) !== 0 && other.option(option) !== 0;
    if (both(SocketOption.reusePort) && one.owner === other.owner) return true;
    return both(SocketOption.reuseAddress) && !(this.hasListeners && other.isListening);
  }

  /** Whether `socket` cannot be at this address and port because of another. */
  isTaken(socket: InetSocket, address: IpAddress, port: number): boolean {
    for (const other of this.at(port)) {
      if (other === socket || this.shares(socket, other)) continue;
      const overlap =
        takes(address, socket.isV6Only, other.local.address) || takes(other.local.address, other.isV6Only, address);
      if (overlap) return true;
    }
    return false;
  }

  /** A free port for `socket` at `address`. Throws EADDRINUSE. */
  free(socket: InetSocket, address: IpAddress): number {
    const start = this.random() % EPHEMERAL_COUNT;
    for (let tries = 0; tries < EPHEMERAL_COUNT; tries++) {
      const port = EPHEMERAL_FIRST + ((start + tries) % EPHEMERAL_COUNT);
      if (!this.byPort.has(port) || !this.isTaken(socket, address, port)) return port;
    }
    throw errno('EADDRINUSE');
  }

  add(socket: InetSocket, port: number): void {
    const sockets = this.byPort.get(port);
    if (sockets) sockets.add(socket);
    else this.byPort.set(port, new Set([socket]));
  }

  remove(socket: InetSocket, port: number): void {
    const sockets = this.byPort.get(port);
    if (!sockets?.delete(socket)) return;
    if (sockets.size === 0) this.byPort.delete(port);
  }
}
