// Ordinary sockets of this host for the guests of a translated network.
// Owns nothing: each socket belongs to whoever opened it.
// Never listens but where it is told to.

import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import type {
  HostListener,
  HostSockets,
  HostTcp,
  HostTcpEvents,
  HostUdp,
} from '../../native-free-core/network/nat/host-sockets.ts';

const DNS_PORT = 53;
/** Milliseconds that an echo may take. */
const PING_PATIENCE = 3000;
/** The most that an echo request carries so that it is one packet on any network. */
const PING_BYTES_MAX = 1400;
/** Milliseconds for which what the system says of its interfaces and name servers is taken to be true. */
const FACTS_AGE = 5000;

export function nodeSockets(): HostSockets {
  let factsAt = -Infinity;
  let own = new Set<string>();
  let server: { address: string; port: number } | undefined;
  const facts = (): void => {
    if (performance.now() - factsAt < FACTS_AGE) return;
    factsAt = performance.now();
    own = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
    server = nameServer();
  };
  return {
    now: () => performance.now(),
    random: (into) => void randomFillSync(into),
    connectTcp,
    listenTcp,
    listenUdp,
    openUdp,
    nameServer() {
      facts();
      return server;
    },
    isOwn(address) {
      facts();
      return own.has(address);
    },
    ping,
  };
}

/** The host's first name server: `1.2.3.4`, `1.2.3.4:5353`, `2001:db8::1` or `[2001:db8::1]:5353`. */
function nameServer(): { address: string; port: number } | undefined {
  const [first] = getServers();
  if (first === undefined) return undefined;
  const match = /^\[(.+)\]:(\d+)$/.exec(first) ?? /^([^:]+):(\d+)$/.exec(first);
  return { address: match?.[1] ?? first, port: Number(match?.[2] ?? DNS_PORT) };
}

/** Loopback's other address: services that listen on one of the two alone are reached through either. */
const otherLoopback: Record<string, string> = { '127.0.0.1': '::1', '::1': '127.0.0.1' };

function connectTcp(address: string, port: number, events: HostTcpEvents): HostTcp {
  const other = otherLoopback[address];
  const common = { port, allowHalfOpen: true, noDelay: true };
  if (other === undefined) return hostTcp(connect({ ...common, host: address }), events);
  const places = [address, other].map((each) => ({ address: each, family: each.includes(':') ? 6 : 4 }));
  return hostTcp(
    connect({
      ...common,
      host: 'localhost',
      autoSelectFamily: true,
      lookup: (_name, _options, found) => found(null, places),
    }),
    events,
  );
}

/**
 * Asks with the system's own program, which may do what Node's sockets cannot: ICMP without rights. False where there is no
 * such program, or it may not.
 */
export function ping(address: string, bytes: number, program = 'ping'): Promise<boolean> {
  const size = String(Math.max(0, Math.min(bytes, PING_BYTES_MAX)));
  const version = address.includes(':') ? '-6' : '-4';
  const seconds = String(Math.ceil(PING_PATIENCE / 1000));
  const args: Record<string, string[]> = {
    win32: [version, '-n', '1', '-w', String(PING_PATIENCE), '-l', size, address],
    // There -W is milliseconds, and IPv6 has a program of its own.
    darwin: ['-n', '-c', '1', '-W', String(PING_PATIENCE), '-s', size, address],
    linux: ['-n', '-q', version, '-c', '1', '-W', seconds, '-s', size, address],
  };
  const isMac6 = process.platform === 'darwin' && version === '-6';
  const file = isMac6 ? 'ping6' : program;
  const own = isMac6 ? ['-n', '-c', '1', '-s', size, address] : (args[process.platform] ?? args.linux!);
  return new Promise((resolve) => {
    try {
      execFile(file, own, { timeout: 2 * PING_PATIENCE, killSignal: 'SIGKILL', windowsHide: true }, (error) =>
        resolve(error === null),
      );
    } catch {
      // Some ways of not being there are told at once: nobody answers either way.
      resolve(false);
    }
  });
}

function hostTcp(socket: Socket, events: HostTcpEvents): HostTcp {
  let reason: Parameters<HostTcpEvents['closed']>[0] = 'done';
  let isConnected = !socket.connecting;
  socket.on('connect', () => {
    isConnected = true;
    events.connected();
  });
  socket.on('data', (bytes) => events.data(bytes));
  socket.on('drain', () => events.drained());
  socket.on('end', () => events.ended());
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (isConnected) reason = 'reset';
    else reason = error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable';
  });
  socket.on('close', () => events.closed(reason));
  return {
    write(pieces) {
      if (pieces.length > 1) socket.cork();
      for (const piece of pieces) socket.write(piece);
      if (pieces.length > 1) socket.uncork();
    },
    get pending() {
      return socket.writableLength;
    },
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}

function listenTcp(
  address: string,
  port: number,
  accepted: (connect: (events: HostTcpEvents) => HostTcp) => void,
): Promise<HostListener> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    accepted((events) => hostTcp(socket, events));
  });
  return new Promise((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, address, port)));
    // Every address of IPv6 is none of IPv4.
    server.listen({ host: address, port, exclusive: true, ipv6Only: address.includes(':') }, () =>
      resolve({
        close() {
          server.close();
          for (const socket of open) socket.destroy();
        },
      }),
    );
  });
}

function listenUdp(
  address: string,
  port: number,
  received: (bytes: Uint8Array, address: string, port: number) => void,
): Promise<HostUdp> {
  const socket = address.includes(':') ? createSocket({ type: 'udp6', ipv6Only: true }) : createSocket('udp4');
  return new Promise((resolve, reject) => {
    socket.on('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, address, port)));
    socket.bind({ address, port, exclusive: true }, () => resolve(hostUdp(socket, received)));
  });
}

function cannotListen(error: NodeJS.ErrnoException, address: string, port: number): Error {
  const place = `Port ${port} of ${address}`;
  const sentences: Record<string, string> = {
    EADDRINUSE: `${place} is used by another program; forward another one.`,
    EACCES: `${place} needs rights that you do not have; forward one from 1024 on.`,
    EADDRNOTAVAIL: `${address} is no address of this host; forward from 127.0.0.1, 0.0.0.0 or ::1.`,
  };
  return new Error(sentences[error.code ?? ''] ?? `${place} cannot be listened to: ${error.message}.`, {
    cause: error,
  });
}

function openUdp(family: 4 | 6, received: (bytes: Uint8Array, address: string, port: number) => void): HostUdp {
  return hostUdp(createSocket(family === 6 ? 'udp6' : 'udp4'), received);
}

function hostUdp(
  socket: DatagramSocket,
  received: (bytes: Uint8Array, address: string, port: number) => void,
): HostUdp {
  let isClosed = false;
  socket.on('message', (bytes, { address, port }) => received(bytes, address, port));
  // What cannot be sent is lost, as on any network.
  socket.on('error', () => {});
  return {
    send(bytes, address, port) {
      if (!isClosed && port > 0) socket.send(bytes, port, address, () => {});
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      socket.close();
    },
  };
}
