// One home, one owner: the process that has its guests in memory, found by the others through a local socket.
// Owns the claim to a home, the socket, and the way to whoever owns it already.
// Never lets two processes run guests of one home, and never reaches beyond this host and this user.

import { chmodSync, rmSync } from 'node:fs';
import { connect as connectSocket, createServer, type Socket, type Server as SocketServer } from 'node:net';
import { join } from 'node:path';
import { type Client, createClient, Failure } from '../contract.ts';
import { explainFileError, makeFolder, withLock } from '../files/folders.ts';
import { HomeError } from '../inventory/inventory.ts';
import { type Connection, type Peer, Server, type ServerOptions } from '../server.ts';
import { proxySocket, serveSocket, socketTransport } from './line-frames.ts';
import { localSocketPath } from './socket-path.ts';

/** The longest another process may take to become the owner, or fail to (milliseconds). */
const CLAIM_PATIENCE = 20_000;

/** A home without guests in memory or front ends is left after this time (milliseconds) by an owner that may. */
const IDLE_PATIENCE = 2000;

/** An owner is dialled so often: one that was about to end at the first time is gone, or another, by the next. */
const DIALS = 3;

/** A home that is served: by this process, or through this process by the one that owns it. */
export interface Home {
  /** The server, where this process owns the home. */
  readonly server: Server | null;
  /** Connects a front end. */
  connect(peer: Peer): Connection;
  /** A client of its own, to be closed by whoever asked for it. */
  client(): Client;
  /** Resolves with one sentence if the owner, another process, ends; never for an owner. */
  readonly lost: Promise<string>;
  /** Gives the home up. An owner's guests are ended without being asked. */
  close(): Promise<void>;
}

export type HomeOptions = Omit<ServerOptions, 'isOwner'>;

/**
 * Serves a home: as its owner if nobody is, else through its owner. Throws a {@link HomeError} with one sentence if
 * the home cannot be used.
 */
export async function openHome(options: HomeOptions): Promise<Home> {
  return (await claimHome(options)) ?? (await throughOwner(options.home));
}

/** Becomes a home's owner; answers null if another process is. Throws a {@link HomeError} like {@link openHome}. */
export async function claimHome(options: HomeOptions): Promise<(Home & { server: Server }) | null> {
  const { home } = options;
  try {
    makeFolder(home, 'home folder');
  } catch (error) {
    throw new HomeError((error as Error).message, { cause: error });
  }
  try {
    // The lock covers the moment between finding nobody and listening.
    return await withLock(join(home, 'owner.lock'), () => claimLocked(options), CLAIM_PATIENCE);
  } catch (error) {
    if (error instanceof HomeError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new HomeError(explainFileError(error, `Cannot write in the home folder ${home}`), { cause: error });
  }
}

async function claimLocked(options: HomeOptions): Promise<(Home & { server: Server }) | null> {
  const path = socketPath(options.home);
  const other = await dial(path);
  if (other) {
    other.destroy();
    return null;
  }
  if (process.platform !== 'win32') rmSync(path, { force: true });
  const server = new Server({ ...options, isOwner: true });
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveSocket(socket, (peer) => server.connect(peer));
  });
  try {
    await listen(listener, path);
  } catch (error) {
    await server.close();
    throw error;
  }
  return {
    server,
    connect: (peer) => server.connect(peer),
    client: () => createClient(server.connectDirectly()),
    lost: new Promise(() => {}),
    async close() {
      // First nobody may come any more, then the guests end, then those who are here are told.
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      await server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A home that another process owns. */
async function throughOwner(home: string): Promise<Home> {
  const path = socketPath(home);
  // One connection is held from end to end: it keeps the owner there, and tells when it goes.
  const client = await connectToOwner(home);
  if (!client) throw new HomeError(`The Trivisor that owns ${home} has just ended; try again.`);
  const lost = new Promise<string>((resolve) => client.onClose(resolve));
  return {
    server: null,
    connect: (peer) => proxySocket(connectSocket(path), peer),
    client: () => createClient(socketTransport(connectSocket(path))),
    lost,
    async close() {
      client.close();
    },
  };
}

/** A client of the process that owns a home; null if nobody does. */
export async function connectToOwner(home: string): Promise<Client | null> {
  const path = socketPath(home);
  for (let dials = 0; dials < DIALS; dials++) {
    const socket = await dial(path);
    if (!socket) return null;
    const client = createClient(socketTransport(socket));
    if (await answers(client)) return client;
    client.close();
  }
  return null;
}

/** Whether an owner is there for this client: one that is about to end may still be connected to, and never answer. */
async function answers(client: Client): Promise<boolean> {
  let isLost = false;
  client.onClose(() => (isLost = true));
  try {
    await client.call('reserve.get');
  } catch {
    // What an owner of another version makes of the question is an answer too.
  }
  return !isLost;
}

/**
 * A client for one act: of the home's owner, or else of a server in this process, which starts no guests. The caller
 * calls `close`. Throws a {@link HomeError} with one sentence if the home cannot be used.
 */
export async function visitHome(
  options: HomeOptions,
): Promise<{ client: Client; isOwned: boolean; close(): Promise<void> }> {
  const client = await connectToOwner(options.home);
  if (client) return { client, isOwned: true, close: async () => client.close() };
  const server = new Server({ ...options, isOwner: false });
  const own = createClient(server.connectDirectly());
  return {
    client: own,
    isOwned: false,
    async close() {
      own.close();
      await server.close();
    },
  };
}

/** {@link visitHome} for one act, after which the client is closed. */
export async function withHome<Result>(
  options: HomeOptions,
  act: (client: Client) => Promise<Result>,
): Promise<Result> {
  const { client, close } = await visitHome(options);
  try {
    return await act(client);
  } finally {
    await close();
  }
}

/** Resolves once nobody has been connected and no guest in memory for a while. */
export function idle(server: Server): Promise<void> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      clearTimeout(timer);
      if (server.connections > 0 || server.guests.isBusy) return;
      timer = setTimeout(() => {
        // Whoever has come while the process stood still is heard before it leaves.
        setImmediate(() => {
          if (server.connections === 0 && !server.guests.isBusy) resolve();
        });
      }, IDLE_PATIENCE);
    };
    server.onActivity = look;
    look();
  });
}

/** Connects; null if nobody listens there. */
function dial(path: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // A home that cannot be is told by whoever tries to make it.
      if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(error.code ?? '')) resolve(null);
      else reject(new Failure('failed', explainFileError(error, `Cannot reach the Trivisor behind ${path}`)));
    });
  });
}

function listen(listener: SocketServer, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(path, () => {
      // Whoever can open the socket commands the guests: that is this user alone.
      if (process.platform !== 'win32') chmodSync(path, 0o600);
      resolve();
    });
  });
}

/** The socket of a home. */
function socketPath(home: string): string {
  try {
    return localSocketPath(home, 'trivisor');
  } catch (error) {
    throw new HomeError((error as Error).message, { cause: error });
  }
}
