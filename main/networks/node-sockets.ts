// Ordinary sockets of this host for the guests of a translated network.
// Owns nothing: each socket belongs to whoever opened it.
// Never listens but where it is told to.

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
  };
}

/** The first name server that is reached by IPv4: `1.2.3.4` or `1.2.3.4:5353`. */
function nameServer(): { address: string; port: number } | undefined {
  for (const each of getServers()) {
    const match = /^(\d+(?:\.\d+){3})(?::(\d+))?$/.exec(each);
    if (match) return { address: match[1]!, port: Number(match[2] ?? DNS_PORT) };
  }
  return undefined;
}

function connectTcp(address: string, port: number, events: HostTcpEvents): HostTcp {
  return hostTcp(connect({ host: address, port, family: 4, allowHalfOpen: true, noDelay: true }), events);
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
    // Copied: the bytes are those of a ring that goes on.
    write: (bytes) => void socket.write(Buffer.from(bytes)),
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
    server.listen({ host: address, port, exclusive: true }, () =>
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
  const socket = createSocket('udp4');
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
    EADDRNOTAVAIL: `${address} is no address of this host; forward from 127.0.0.1 or 0.0.0.0.`,
  };
  return new Error(sentences[error.code ?? ''] ?? `${place} cannot be listened to: ${error.message}.`, {
    cause: error,
  });
}

function openUdp(received: (bytes: Uint8Array, address: string, port: number) => void): HostUdp {
  return hostUdp(createSocket('udp4'), received);
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
