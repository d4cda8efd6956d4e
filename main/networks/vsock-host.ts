// The host's end of virtio sockets: local sockets that lead to ports of guests, and that guests' calls are led to.
// Owns the streams between the two, and how much each side may be ahead of the other.
// Never opens a path but those it was given, and those with _PORT behind.

import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import {
  HOST_CID,
  readVsock,
  VSOCK_HEADER_BYTES,
  VSOCK_STREAM,
  type VsockHeader,
  VsockOp,
  VsockShutdown,
  vsockPacket,
  vsockReset,
} from '../../native-free-core/network/vsock/packet.ts';
import {
  VSOCK_BUFFER_MAX,
  type VsockPort,
  type VsockSwitch,
} from '../../native-free-core/network/vsock/vsock-switch.ts';

/** Data of a packet to a guest. */
const PIECE_BYTES = 32 * 1024;
/** What a program of the host says first, `CONNECT PORT`, has at most so many bytes. */
const GREETING_MAX = 32;
/** Milliseconds that it may take to say that, and that a guest may take to let go of a stream. */
const PATIENCE = 10_000;
/** Ports of ours that call guests; those below are for programs that guests call. */
const FIRST_PORT = 0x4000_0000;

export class VsockHost {
  readonly #port: VsockPort;
  readonly #ring: () => void;
  readonly #streams = new Map<string, Stream>();
  /** By guest: its path. */
  readonly #paths = new Map<number, string>();
  #nextPort = FIRST_PORT;

  constructor(hub: VsockSwitch, ring: () => void) {
    this.#ring = ring;
    this.#port = hub.connect(HOST_CID, (packet) => {
      this.#receive(packet);
      return true;
    });
  }

  /** Opens a guest to the host at a path, as Firecracker does; the answer closes it. `problem` is told why it could not be. */
  open(cid: number, path: string, problem: (sentence: string) => void): () => void {
    this.#paths.set(cid, path);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      this.#greet(cid, socket);
    });
    server.on('error', (error) => problem(`The virtio socket ${path} cannot be had: ${error.message}`));
    // Of a process that did not end as it should.
    if (process.platform !== 'win32') rmSync(path, { force: true });
    server.listen(path, () => {
      if (process.platform !== 'win32') chmodSync(path, 0o600);
    });
    return () => {
      this.#paths.delete(cid);
      server.close();
      for (const socket of sockets) socket.destroy();
      for (const stream of [...this.#streams.values()]) if (stream.cid === cid) stream.reset();
    };
  }

  /** A program of the host says which port of the guest it wants. */
  #greet(cid: number, socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), PATIENCE);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => clearTimeout(timer));
    let said = Buffer.alloc(0);
    const listen = (bytes: Buffer): void => {
      said = Buffer.concat([said, bytes]);
      const end = said.indexOf(10);
      if (end < 0 && said.length <= GREETING_MAX) return;
      clearTimeout(timer);
      socket.off('data', listen);
      const port = /^CONNECT (\d{1,10})\r?$/.exec(said.toString('latin1', 0, Math.max(0, end)))?.[1];
      if (port === undefined || Number(port) > 0xffff_ffff) {
        socket.destroy();
        return;
      }
      const own = this.#nextPort;
      this.#nextPort = own === 0xffff_fffe ? FIRST_PORT : own + 1;
      const stream = this.#add(cid, Number(port), own, socket);
      stream.onAccepted = () => void socket.write(`OK ${own}\n`);
      socket.pause();
      if (said.length > end + 1) socket.unshift(said.subarray(end + 1));
      stream.send(VsockOp.request);
    };
    socket.on('data', listen);
  }

  #add(cid: number, guestPort: number, ownPort: number, socket: Socket): Stream {
    const key = `${cid}:${guestPort}:${ownPort}`;
    const give = (packet: Uint8Array): void => {
      this.#port.input(packet);
      this.#ring();
    };
    const stream = new Stream({ cid, guestPort, ownPort, socket, give, over: () => this.#streams.delete(key) });
    this.#streams.set(key, stream);
    return stream;
  }

  #receive(packet: Uint8Array): void {
    const header = readVsock(packet);
    if (header === undefined) return;
    const stream = this.#streams.get(`${header.source}:${header.sourcePort}:${header.destinationPort}`);
    if (stream !== undefined) stream.receive(header, packet.subarray(VSOCK_HEADER_BYTES));
    else if (header.op === VsockOp.request) this.#call(header);
    else if (header.op !== VsockOp.reset) this.#port.input(vsockReset(header));
  }

  /** A guest calls a port of the host. */
  #call(header: VsockHeader): void {
    const path = this.#paths.get(header.source);
    if (path === undefined) {
      this.#port.input(vsockReset(header));
      return;
    }
    const socket = connect({ path: `${path}_${header.destinationPort}`, allowHalfOpen: true });
    const stream = this.#add(header.source, header.sourcePort, header.destinationPort, socket);
    stream.learn(header);
    socket.on('connect', () => stream.accept());
    socket.on('error', () => stream.reset());
  }
}

interface StreamOptions {
  cid: number;
  guestPort: number;
  ownPort: number;
  socket: Socket;
  give(packet: Uint8Array): void;
  over(): void;
}

/** One connection between a guest's port and a local socket. */
class Stream {
  readonly cid: number;
  /** Called once the guest has accepted. */
  onAccepted: () => void = () => {};
  readonly #options: StreamOptions;
  #isOpen = false;
  #isOver = false;
  /** The guest's room, what it has taken out, and what it was sent: modulo 2^32. */
  #room = 0;
  #taken = 0;
  #sent = 0;
  /** What the socket has taken of what the guest sent, and what the guest was told of that. */
  #given = 0;
  #told = 0;
  #waiting: Buffer[] = [];
  #hasEnded = false;
  #shutdown = 0;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.cid = options.cid;
    const { socket } = options;
    socket.on('data', (bytes) => {
      this.#waiting.push(bytes);
      this.#pump();
    });
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#pump();
    });
    socket.on('error', () => this.reset());
    socket.on('close', () => this.#closed());
  }

  /** The guest has accepted, or is accepted. */
  accept(): void {
    if (this.#isOver) return;
    this.send(VsockOp.response);
    this.#begin();
  }

  #begin(): void {
    this.#isOpen = true;
    this.onAccepted();
    this.#options.socket.resume();
    this.#pump();
  }

  learn({ bufferBytes, taken }: VsockHeader): void {
    this.#room = bufferBytes;
    this.#taken = taken;
  }

  receive(header: VsockHeader, data: Uint8Array): void {
    this.learn(header);
    const { socket } = this.#options;
    switch (header.op) {
      case VsockOp.response:
        this.#begin();
        return;
      case VsockOp.data:
        socket.write(Buffer.from(data), () => this.#took(data.length));
        return;
      case VsockOp.creditUpdate:
        this.#pump();
        return;
      case VsockOp.creditRequest:
        this.#tellCredit();
        return;
      case VsockOp.shutdown:
        this.#shutdown |= header.flags;
        if ((this.#shutdown & VsockShutdown.send) !== 0) socket.end();
        if (this.#shutdown !== (VsockShutdown.send | VsockShutdown.receive)) return;
        // The guest is done: it only waits to be told that we are.
        this.send(VsockOp.reset);
        this.#finish();
        return;
      case VsockOp.reset:
        this.#finish();
        if (this.#isOpen) socket.end();
        else socket.destroy();
    }
  }

  #took(bytes: number): void {
    this.#given = (this.#given + bytes) >>> 0;
    if ((this.#given - this.#told) >>> 0 >= VSOCK_BUFFER_MAX / 4) this.#tellCredit();
  }

  #tellCredit(): void {
    if (this.#isOpen && !this.#isOver) this.send(VsockOp.creditUpdate);
  }

  /** Sends the guest what it has room for. */
  #pump(): void {
    const { socket } = this.#options;
    if (!this.#isOpen || this.#isOver) return;
    while (this.#waiting.length > 0) {
      const room = this.#room - ((this.#sent - this.#taken) >>> 0);
      const [first] = this.#waiting;
      const part = first.subarray(0, Math.min(first.length, room, PIECE_BYTES));
      if (part.length === 0) break;
      this.#sent = (this.#sent + part.length) >>> 0;
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
      this.send(VsockOp.data, 0, part);
    }
    if (this.#waiting.length > 0) socket.pause();
    else if (this.#hasEnded) {
      this.#hasEnded = false;
      this.send(VsockOp.shutdown, VsockShutdown.send);
    } else socket.resume();
  }

  send(op: number, flags = 0, data?: Uint8Array): void {
    const { cid, guestPort, ownPort, give } = this.#options;
    this.#told = this.#given;
    give(
      vsockPacket(
        {
          source: HOST_CID,
          destination: cid,
          sourcePort: ownPort,
          destinationPort: guestPort,
          type: VSOCK_STREAM,
          op,
          flags,
          bufferBytes: VSOCK_BUFFER_MAX,
          taken: this.#given,
        },
        data,
      ),
    );
  }

  /** Ends it at once, for both sides. */
  reset(): void {
    if (this.#isOver) return;
    this.send(VsockOp.reset);
    this.#finish();
    this.#options.socket.destroy();
  }

  /** The socket is over; the guest lets go by a reset. */
  #closed(): void {
    if (this.#isOver) return;
    if (!this.#isOpen) {
      this.reset();
      return;
    }
    this.send(VsockOp.shutdown, VsockShutdown.send | VsockShutdown.receive);
    setTimeout(() => this.reset(), PATIENCE).unref();
  }

  #finish(): void {
    this.#isOver = true;
    this.#options.over();
  }
}
