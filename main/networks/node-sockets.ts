// Ordinary sockets of this host for the guests of a translated network.
// Owns nothing: each socket belongs to whoever opened it.
// Never listens.

import { randomFillSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { HostSockets, HostTcp, HostTcpEvents, HostUdp } from '../../native-free-core/network/nat/host-sockets.ts';

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
  const socket = connect({ host: address, port, family: 4, allowHalfOpen: true, noDelay: true });
  let reason: Parameters<HostTcpEvents['closed']>[0] = 'done';
  let isConnected = false;
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

function openUdp(received: (bytes: Uint8Array, address: string, port: number) => void): HostUdp {
  const socket = createSocket('udp4');
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
