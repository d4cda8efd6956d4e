// The switch of virtio sockets: packets between guests, and between a guest and the host, by CID.
// Owns the connections that pass it: who may say what in which state, and how much each end may be sent.
// Never lets a guest that takes nothing, or sends without credit, cost more than its own connections.

import {
  readVsock,
  VSOCK_HEADER_BYTES,
  VSOCK_STREAM,
  type VsockHeader,
  VsockOp,
  vsockReset,
  writeVsock,
} from './packet.ts';

/** Connections that a guest has at most, whoever began them. */
const CONNECTIONS_MAX = 1024;
/** Room that an end has for data, as the other end is told: what one that takes nothing may keep waiting here. */
export const VSOCK_BUFFER_MAX = 256 * 1024;
/** Bytes that wait for a guest which does not take them; what would be more ends its connection. */
const WAITING_BYTES_MAX = 4 << 20;

/** What one side of the switch does with a packet for it; false where it has no room now. The bytes are its to keep. */
export type DeliverVsock = (packet: Uint8Array) => boolean;

/** One end of a connection, and what may be sent to it: counts of bytes are modulo 2^32. */
interface End {
  readonly cid: number;
  readonly port: number;
  /** Room that it has, what it has taken out of it, and what was sent to it. */
  room: number;
  taken: number;
  sent: number;
}

interface Connection {
  readonly caller: End;
  readonly called: End;
  isEstablished: boolean;
}

const room = (bytes: number) => Math.min(bytes, VSOCK_BUFFER_MAX);

/** The same for both directions. */
function keyOf({ source, sourcePort, destination, destinationPort }: VsockHeader): string {
  const one = `${source}:${sourcePort}`;
  const other = `${destination}:${destinationPort}`;
  return source < destination ? `${one} ${other}` : `${other} ${one}`;
}

/** The header of a reset that `from` sends to `to`. */
function resetBetween(from: End, to: End): VsockHeader {
  return {
    source: from.cid,
    destination: to.cid,
    sourcePort: from.port,
    destinationPort: to.port,
    type: VSOCK_STREAM,
    op: VsockOp.reset,
    flags: 0,
    bufferBytes: 0,
    taken: 0,
  };
}

export class VsockPort {
  readonly cid: number;
  /** @internal Its connections by their keys. */
  readonly connections = new Map<string, Connection>();
  private readonly owner: VsockSwitch;
  private readonly deliver: DeliverVsock;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;

  constructor(owner: VsockSwitch, cid: number, deliver: DeliverVsock) {
    this.owner = owner;
    this.cid = cid;
    this.deliver = deliver;
  }

  /** A packet comes in here. Its bytes may be changed when this returns. */
  input(packet: Uint8Array): void {
    this.owner.forward(this, packet);
  }

  /** Gives on what waits, as far as there is room now. */
  flush(): void {
    let count = 0;
    for (const packet of this.waiting) {
      if (!this.deliver(packet)) break;
      this.waitingBytes -= packet.length;
      count++;
    }
    this.waiting.splice(0, count);
  }

  /** Whether it has too much waiting for more that could as well be left out. */
  get isBehind(): boolean {
    return this.waitingBytes > WAITING_BYTES_MAX;
  }

  /** @internal A packet goes out here, behind those that wait. */
  output(packet: Uint8Array): void {
    if (this.waiting.length === 0 && this.deliver(packet)) return;
    this.waiting.push(packet);
    this.waitingBytes += packet.length;
  }

  /** Unplugs it: its connections are reset. */
  close(): void {
    this.owner.remove(this);
  }
}

export class VsockSwitch {
  private readonly ports = new Map<number, VsockPort>();

  /** Plugs an end in. Throws where there is one of this CID already. */
  connect(cid: number, deliver: DeliverVsock): VsockPort {
    if (this.ports.has(cid)) throw new Error(`There is an end of the CID ${cid} already.`);
    const port = new VsockPort(this, cid, deliver);
    this.ports.set(cid, port);
    return port;
  }

  /** @internal */
  remove(port: VsockPort): void {
    if (this.ports.get(port.cid) !== port) return;
    this.ports.delete(port.cid);
    const over = [...port.connections];
    port.connections.clear();
    for (const [key, connection] of over) this.drop(key, connection);
  }

  /** @internal */
  forward(from: VsockPort, packet: Uint8Array): void {
    const header = readVsock(packet);
    // Who says that he is somebody else is not heard.
    if (header === undefined || header.source !== from.cid || this.ports.get(from.cid) !== from) return;
    const to = this.ports.get(header.destination);
    const key = keyOf(header);
    const connection = from.connections.get(key);
    const length = packet.length - VSOCK_HEADER_BYTES;
    if (to === undefined || to === from || !this.accepts(header, length, connection, from, to)) {
      if (connection !== undefined) this.drop(key, connection);
      // Resets that answer nobody's packets are not worth waiting for who takes nothing.
      else if (header.op !== VsockOp.reset && !from.isBehind) from.output(vsockReset(header));
      return;
    }
    if (to.isBehind && header.op !== VsockOp.reset) {
      const behind = from.connections.get(key);
      if (behind !== undefined) this.drop(key, behind);
      return;
    }
    const copy = packet.slice();
    writeVsock(copy, { ...header, bufferBytes: room(header.bufferBytes) }, length);
    to.output(copy);
  }

  /** Whether a packet may be sent in the state that its connection is in, which it then changes. */
  private accepts(
    header: VsockHeader,
    length: number,
    connection: Connection | undefined,
    from: VsockPort,
    to: VsockPort,
  ): boolean {
    if (header.type !== VSOCK_STREAM || (length > 0 && header.op !== VsockOp.data)) return false;
    if (connection === undefined) return header.op === VsockOp.request && this.begin(header, from, to);
    const isCaller = connection.caller.cid === from.cid;
    const { sender, receiver } = isCaller
      ? { sender: connection.caller, receiver: connection.called }
      : { sender: connection.called, receiver: connection.caller };
    if (header.op === VsockOp.reset) {
      this.forget(keyOf(header), connection);
      return true;
    }
    // Nobody can have taken out what was not sent to him.
    if ((header.taken - sender.taken) >>> 0 > (sender.sent - sender.taken) >>> 0) return false;
    sender.taken = header.taken;
    sender.room = room(header.bufferBytes);
    switch (header.op) {
      case VsockOp.response:
        if (isCaller || connection.isEstablished) return false;
        connection.isEstablished = true;
        return true;
      case VsockOp.data:
        if (!connection.isEstablished || ((receiver.sent - receiver.taken) >>> 0) + length > receiver.room)
          return false;
        receiver.sent = (receiver.sent + length) >>> 0;
        return true;
      case VsockOp.shutdown:
        return true;
      case VsockOp.creditUpdate:
      case VsockOp.creditRequest:
        return connection.isEstablished;
      default:
        return false;
    }
  }

  private begin(header: VsockHeader, from: VsockPort, to: VsockPort): boolean {
    // Nobody begins what only adds to what waits: each connection that ends is one more packet.
    if (from.isBehind || to.isBehind) return false;
    if (from.connections.size >= CONNECTIONS_MAX || to.connections.size >= CONNECTIONS_MAX) return false;
    const { source, sourcePort, destination, destinationPort } = header;
    const connection: Connection = {
      caller: {
        cid: source,
        port: sourcePort,
        room: room(header.bufferBytes),
        taken: header.taken,
        sent: header.taken,
      },
      called: { cid: destination, port: destinationPort, room: 0, taken: 0, sent: 0 },
      isEstablished: false,
    };
    for (const port of [from, to]) port.connections.set(keyOf(header), connection);
    return true;
  }

  private forget(key: string, { caller, called }: Connection): void {
    for (const { cid } of [caller, called]) this.ports.get(cid)?.connections.delete(key);
  }

  /** Ends a connection that went wrong; both ends are told. */
  private drop(key: string, connection: Connection): void {
    this.forget(key, connection);
    const { caller, called } = connection;
    // One for each connection, and none begins while too much waits: so they are never too many.
    this.ports.get(caller.cid)?.output(resetPacket(called, caller));
    this.ports.get(called.cid)?.output(resetPacket(caller, called));
  }
}

function resetPacket(from: End, to: End): Uint8Array {
  const packet = new Uint8Array(VSOCK_HEADER_BYTES);
  writeVsock(packet, resetBetween(from, to), 0);
  return packet;
}
