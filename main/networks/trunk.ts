// Joins the same internal network of several processes: one of them listens on a local socket, the others connect.
// Owns the sockets and the choice of who listens; whoever does is the middle of a star, so that there are no circles.
// Never reaches beyond this host and this user.

import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { HEADER_BYTES } from '../../native-free-core/devices/packets.ts';
import { RING_FRAME_MAX } from '../../native-free-core/network/packet-ring.ts';
import type { Switch, SwitchPort } from '../../native-free-core/network/switch.ts';
import { withLock } from '../files/folders.ts';

/** What both sides say first. Another version of us has another one. */
const GREETING = Buffer.from('trvnet02', 'latin1');
/** Bytes that wait for a process that does not take them; more are lost, as at any switch. */
const BACKLOG_MAX = 4 * 2 ** 20;
/** Frames are written together up to this many bytes. */
const BATCH_BYTES = 256 * 1024;
/** Milliseconds before the processes that are left look for a new middle; at most, by chance. */
const RETRY = 200;
const LENGTH_BYTES = 4;
/** Milliseconds that another process may take to begin listening. */
const LOCK_PATIENCE = 10_000;

export interface TrunkOptions {
  /** The socket's path. */
  meeting: string;
  hub: Switch;
  /** Told once, in one sentence, if this process is not joined to the others. */
  problem(message: string): void;
}

export class Trunk {
  readonly #options: TrunkOptions;
  readonly #links = new Set<Link>();
  #server: Server | null = null;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;
  #hasComplained = false;

  constructor(options: TrunkOptions) {
    this.#options = options;
    void this.#join();
  }

  /** Leaves the others. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#server?.close();
    for (const link of this.#links) link.close();
  }

  async #join(): Promise<void> {
    const { meeting } = this.#options;
    try {
      if (await this.#connect()) return;
      // Under the lock: two processes that find nobody must not both become the middle.
      await withLock(
        `${meeting}.lock`,
        async () => {
          if (this.#isClosed || (await this.#connect())) return;
          // Nobody listens: what lies there was left behind by a process that was killed.
          if (process.platform !== 'win32') rmSync(meeting, { force: true });
          await this.#listen();
        },
        LOCK_PATIENCE,
      );
    } catch (error) {
      if (this.#isClosed) return;
      if (!this.#hasComplained)
        this.#options.problem(
          `Guests of other processes cannot be reached on an internal network: ${(error as Error).message}`,
        );
      this.#hasComplained = true;
      this.#joinLater();
    }
  }

  #joinLater(): void {
    if (this.#isClosed) return;
    this.#retry = setTimeout(() => void this.#join(), Math.random() * RETRY);
  }

  /** Connects to the middle; false if there is none. */
  async #connect(): Promise<boolean> {
    const socket = await dial(this.#options.meeting);
    if (!socket) return false;
    if (this.#isClosed) socket.destroy();
    else this.#add(socket, () => this.#joinLater());
    return true;
  }

  async #listen(): Promise<void> {
    const server = createServer((socket) => this.#add(socket, () => {}));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#options.meeting, resolve);
    });
    // Whoever can open the socket is on the network: that is this user alone.
    if (process.platform !== 'win32') chmodSync(this.#options.meeting, 0o600);
    this.#server = server;
    if (this.#isClosed) server.close();
  }

  #add(socket: Socket, lost: () => void): void {
    const link = new Link(socket, this.#options.hub, () => {
      this.#links.delete(link);
      lost();
    });
    this.#links.add(link);
  }
}

/** Connects; null if nobody listens there. */
function dial(path: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (['ENOENT', 'ECONNREFUSED'].includes(error.code ?? '')) resolve(null);
      else reject(error);
    });
  });
}

/** One connected process: a port of the switch. A frame is its length in four bytes, low byte first, and its bytes. */
class Link {
  readonly #socket: Socket;
  readonly #port: SwitchPort;
  /** Frames on their way into the next write. */
  #batch = Buffer.allocUnsafe(BATCH_BYTES);
  #filled = 0;
  #isFlushDue = false;
  /** Bytes that came and are no whole frame yet. */
  #rest: Buffer = Buffer.alloc(0);
  #isGreeted = false;
  #isClosed = false;

  constructor(socket: Socket, hub: Switch, lost: () => void) {
    this.#socket = socket;
    this.#port = hub.connect((frame) => this.#send(frame), { isTrunk: true });
    socket.write(GREETING);
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#isClosed = true;
      this.#port.close();
      lost();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(frame: Uint8Array): boolean {
    const bytes = LENGTH_BYTES + frame.length;
    if (this.#isClosed || this.#socket.writableLength + this.#filled + bytes > BACKLOG_MAX) return false;
    if (this.#filled + bytes > BATCH_BYTES) this.#flush();
    this.#batch.writeUInt32LE(frame.length, this.#filled);
    this.#batch.set(frame, this.#filled + LENGTH_BYTES);
    this.#filled += bytes;
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      // After all that is carried in this turn.
      setImmediate(() => {
        this.#isFlushDue = false;
        this.#flush();
      });
    }
    return true;
  }

  #flush(): void {
    if (this.#filled === 0 || this.#isClosed) return;
    this.#socket.write(this.#batch.subarray(0, this.#filled));
    // The socket keeps what it was given until it is written.
    this.#batch = Buffer.allocUnsafe(BATCH_BYTES);
    this.#filled = 0;
  }

  #receive(bytes: Buffer): void {
    let data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    if (!this.#isGreeted) {
      if (data.length < GREETING.length) {
        this.#rest = data;
        return;
      }
      if (!data.subarray(0, GREETING.length).equals(GREETING)) {
        this.#socket.destroy();
        return;
      }
      this.#isGreeted = true;
      data = data.subarray(GREETING.length);
    }
    let at = 0;
    while (data.length - at >= LENGTH_BYTES) {
      const length = data.readUInt32LE(at);
      if (length < HEADER_BYTES || length > RING_FRAME_MAX) {
        this.#socket.destroy();
        return;
      }
      if (data.length - at < LENGTH_BYTES + length) break;
      this.#port.input(data.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length));
      at += LENGTH_BYTES + length;
    }
    // A copy: the rest must not hold on to all that came with it.
    this.#rest = Buffer.from(data.subarray(at));
  }
}
