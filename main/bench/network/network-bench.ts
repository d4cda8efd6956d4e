// The benchmark of the networks: bytes through the address translation, both ways, and many connections at once.
// Owns the servers that the guests talk to, on loopback alone, and the table of what came of it.
// Never trusts a guest's clock but for its lease, whose answer no host sees.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Engine, peers, trivisor } from '../engines.ts';
import { median } from '../results.ts';
import { aligned } from '../table.ts';
import { timeGuest } from '../timing.ts';
import { networkBenchGuest } from './network-guest.ts';

export interface NetworkBenchOptions {
  runs: number;
  /** Percent of the usual work. */
  scale: number;
  timeout: number;
  progress?: (message: string) => void;
}

/** What one engine came to: medians. */
export interface NetworkFigures {
  engine: string;
  /** Mebibytes a second, host to guest and guest to host. */
  receive: number;
  send: number;
  /** Milliseconds by the guest's clock from the first question to the granted lease. */
  leaseMs: number;
  /** Connections that were open at once, seconds until all had been answered, and kibibytes that the process grew by each. */
  connections: number;
  connectSeconds: number;
  connectionKiB: number;
}

const MIB = 256;
const CONNECTIONS = 1000;
/** Bytes that a server writes at once. */
const PIECE = Buffer.alloc(1 << 18, 'trivisor');

/** Servers on loopback: one sends, one takes, one echoes. */
async function servers(bytes: number, opened: (open: number) => void) {
  const sockets = new Set<Socket>();
  const all: Server[] = [];
  const listen = async (serve: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => {});
      serve(socket);
    });
    all.push(server);
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0, backlog: CONNECTIONS }, resolve));
    return (server.address() as AddressInfo).port;
  };
  const source = await listen((socket) => {
    let left = bytes;
    const more = (): void => {
      while (left > 0) {
        const piece = PIECE.subarray(0, Math.min(left, PIECE.length));
        left -= piece.length;
        if (!socket.write(piece)) return;
      }
      socket.end();
    };
    socket.on('drain', more).resume();
    more();
  });
  const sink = await listen((socket) => {
    socket.on('data', () => {}).on('end', () => socket.end('!'));
  });
  let open = 0;
  const echo = await listen((socket) => {
    socket.once('data', (byte) => {
      socket.write(byte);
      opened(++open);
    });
    socket.on('end', () => socket.end());
  });
  return {
    ports: { source, sink, echo },
    close() {
      for (const socket of sockets) socket.destroy();
      for (const server of all) server.close();
    },
  };
}

/** Kibibytes of memory that a process and those it started have; 0 where the host does not tell. */
function residentKiB(process: number): number {
  try {
    const own = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${process}/status`, 'utf8'));
    const children = readFileSync(`/proc/${process}/task/${process}/children`, 'utf8').split(' ').filter(Boolean);
    return Number(own?.[1] ?? 0) + children.reduce((sum, child) => sum + residentKiB(Number(child)), 0);
  } catch {
    return 0;
  }
}

/** One guest's work. Rejects with one sentence if it does not come to its end. */
async function measure(engine: Engine, options: NetworkBenchOptions): Promise<NetworkFigures> {
  const mib = Math.max(1, Math.round((MIB * options.scale) / 100));
  const connections = Math.max(1, Math.round((CONNECTIONS * Math.min(100, options.scale)) / 100));
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-bench-'));
  let process = 0;
  let before = 0;
  let grown = 0;
  const { ports, close } = await servers(mib * 2 ** 20, (open) => {
    if (open === 1) before = residentKiB(process);
    if (open === connections) grown = residentKiB(process) - before;
  });
  try {
    const guest = await networkBenchGuest({ mib, connections, ...ports });
    const { workloads } = await timeGuest(
      engine.command(guest, join(folder, 'report.json')),
      options.timeout,
      undefined,
      (started) => (process = started),
    );
    const seconds = (name: string): number => workloads.get(name)?.seconds ?? Number.NaN;
    if (Number.parseInt(workloads.get('connections')?.checksum ?? '', 16) !== connections)
      throw new Error('not every connection was answered with what it had sent');
    return {
      engine: engine.name,
      receive: mib / seconds('receive'),
      send: mib / seconds('send'),
      leaseMs: (workloads.get('dhcp')?.guestSeconds ?? Number.NaN) * 1000,
      connections,
      connectSeconds: seconds('connections'),
      connectionKiB: grown / connections,
    };
  } finally {
    close();
    rmSync(folder, { recursive: true });
  }
}

/** Runs the engines in turn; one that fails is named with its reason. */
export async function runNetworkBench(
  options: NetworkBenchOptions,
): Promise<{ figures: NetworkFigures[]; missing: string[] }> {
  const engines = [trivisor, peers.qemu!];
  const missing: string[] = [];
  const measured = new Map<Engine, NetworkFigures[]>();
  for (let run = 1; run <= options.runs; run++)
    for (const engine of engines) {
      const reason = engine.missing(64);
      if (reason !== null) {
        if (run === 1) missing.push(`${engine.name}: ${reason}`);
        continue;
      }
      options.progress?.(`network, run ${run} of ${options.runs}: ${engine.name}`);
      try {
        measured.set(engine, [...(measured.get(engine) ?? []), await measure(engine, options)]);
      } catch (error) {
        missing.push(`${engine.name}, run ${run}: ${(error as Error).message}`);
      }
    }
  const figures = [...measured.values()].map((runs): NetworkFigures => {
    const of = (name: Exclude<keyof NetworkFigures, 'engine'>): number => median(runs.map((each) => each[name]));
    return {
      engine: runs[0].engine,
      receive: of('receive'),
      send: of('send'),
      leaseMs: of('leaseMs'),
      connections: of('connections'),
      connectSeconds: of('connectSeconds'),
      connectionKiB: of('connectionKiB'),
    };
  });
  return { figures, missing };
}

/** The table for people. */
export function networkTable({ figures, missing }: Awaited<ReturnType<typeof runNetworkBench>>): string {
  const row = (name: string, of: (each: NetworkFigures) => string): string[] => [name, ...figures.map(of)];
  const rows = [
    row('', ({ engine }) => engine),
    row('to guest, MiB/s', ({ receive }) => receive.toFixed(1)),
    row('to host, MiB/s', ({ send }) => send.toFixed(1)),
    row('lease, ms', ({ leaseMs }) => leaseMs.toFixed(1)),
    row('connections', ({ connections }) => String(connections)),
    row('  answered, s', ({ connectSeconds }) => connectSeconds.toFixed(2)),
    row('  each, KiB', ({ connectionKiB }) => connectionKiB.toFixed(1)),
  ];
  const lines = ['64-bit guest with a virtio card, address translation, servers on loopback', ...aligned(rows)];
  return `${[...lines, ...missing.map((each) => `missing: ${each}`)].join('\n')}\n`;
}
