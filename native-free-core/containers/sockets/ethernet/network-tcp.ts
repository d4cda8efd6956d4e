// TCP of a guest's sockets over a network: connections to and from other machines.
// Owns which connection a segment belongs to, and the way between a socket and the connection that carries its bytes.
// Never repeats or orders segments: TcpConnection does.

import type { HostTcp, HostTcpEvents } from '../../../network/nat/host-sockets.ts';
import {
  lengthOf,
  type OutgoingSegment,
  readTcp,
  TcpConnection,
  TcpFlag,
  type TcpSegment,
  tcpMessage,
} from '../../../network/nat/tcp-connection.ts';
import { type IpPacket, isSumRight, Protocol, putSum } from '../../../network/nat/wire.ts';
import { type Endpoint, ipv4Number, ipv4Of } from '../inet/inet-address.ts';
import type { InternetStack } from '../inet/stack.ts';
import type { TcpSocket } from '../inet/tcp-socket.ts';
import type { TcpWire } from '../inet/tcp-wire.ts';

/** Connections at once, and those of them that others have begun and not finished: what a flood can take. */
const CONNECTIONS_MAX = 4096;
const HALF_OPEN_MAX = 256;
/** The most that one segment carries on a network of 1,500 bytes. */
const SEGMENT_MAX = 1460;
/** Bytes that wait at most in each direction. */
const WAITING_ROOM = 128 << 10;
/** Bytes that a socket may write at once while the connection takes any. */
const WRITE_ROOM = 64 << 10;
/** Nanoseconds between looks at what is due, and for which a closed socket's connection may still be under way. */
const TICK = 100e6;
const ORPHAN_LIFE = 60e9;

export interface NetworkTcpWiring {
  readonly stack: InternetStack;
  now(): number;
  at(time: number, act: () => void): () => void;
  random(): number;
  /** Sends a packet; `failed`: its receiver cannot be found. */
  send(packet: IpPacket, failed?: () => void): void;
}

/** The two sides of a connection: what its socket sees of it, and what it sees of the socket. */
class NetworkWire implements TcpWire {
  readonly socket: TcpSocket;
  connection!: TcpConnection;
  events!: HostTcpEvents;
  /** A reset has come. */
  wasReset = false;
  /** The socket is closed; the connection comes to its end alone. */
  isOrphan = false;
  private isPaused = false;
  private isEnded = false;
  private hasOtherEnded = false;
  readonly host: HostTcp;

  constructor(socket: TcpSocket) {
    this.socket = socket;
    const wire = this;
    this.host = {
      write: (pieces) => wire.arrived(pieces),
      get pending() {
        return wire.isOrphan ? 0 : socket.incoming.length;
      },
      end: () => {
        wire.hasOtherEnded = true;
        if (!wire.isOrphan) socket.onEnd();
      },
      destroy: () => wire.over(),
      pause: () => {
        wire.isPaused = true;
      },
      resume: () => {
        wire.isPaused = false;
        if (!wire.isOrphan) socket.onRoom();
      },
    };
  }

  private arrived(pieces: readonly Uint8Array[]): void {
    // Nobody will read it any more: the other end has to know.
    if (this.isOrphan) this.events.closed('reset');
    else for (const piece of pieces) this.socket.onData(piece);
  }

  private over(): void {
    const { socket } = this;
    if (this.isOrphan) return;
    if (socket.state === 'connecting') socket.fail(this.wasReset ? 'ECONNREFUSED' : 'ETIMEDOUT');
    else if (this.wasReset) socket.onReset('ECONNRESET');
    else if (!this.isEnded || !this.hasOtherEnded) socket.onReset('ETIMEDOUT');
  }

  get room(): number {
    return this.isPaused ? 0 : WRITE_ROOM;
  }

  get isWritable(): boolean {
    return !this.isPaused;
  }

  readonly unsent = 0;

  write(bytes: Uint8Array): void {
    this.events.data(bytes);
  }

  end(): void {
    this.isEnded = true;
    this.events.ended();
  }

  taken(): void {
    this.events.drained();
  }

  close(hard: boolean): void {
    this.isOrphan = true;
    if (hard) this.events.closed('reset');
    else if (!this.isEnded) this.end();
  }
}

export class NetworkTcp {
  private readonly wiring: NetworkTcpWiring;
  private readonly wires = new Map<string, NetworkWire>();
  private readonly owing = new Set<TcpConnection>();
  private halfOpen = 0;
  private isTicking = false;

  constructor(wiring: NetworkTcpWiring) {
    this.wiring = wiring;
  }

  get size(): number {
    return this.wires.size;
  }

  /** Connects a socket; it is told what becomes of it. */
  call(socket: TcpSocket, remote: Endpoint): void {
    const wire = new NetworkWire(socket);
    socket.wire = wire;
    if (this.wires.size >= CONNECTIONS_MAX) socket.fail('ENOBUFS');
    else this.open(wire, socket.local, remote, undefined, () => socket.onConnected());
  }

  private open(
    wire: NetworkWire,
    local: Endpoint,
    remote: Endpoint,
    syn: TcpSegment | undefined,
    onOpen: () => void,
  ): void {
    const { wiring, owing } = this;
    const key = keyOf(local, remote);
    const ends = { source: ipv4Number(local.address), destination: ipv4Number(remote.address), protocol: Protocol.tcp };
    this.wires.set(key, wire);
    wire.connection = new TcpConnection(
      {
        now: () => wiring.now() / 1e6,
        largest: SEGMENT_MAX,
        room: () => WAITING_ROOM,
        send: (segment, options, segmentMax) => {
          for (const part of partsOf(segment, segmentMax)) {
            const packet = { ...ends, payload: tcpMessage(local.port, remote.port, part, options) };
            putSum(packet, 16);
            wiring.send(packet, () => wire.socket.fail('EHOSTUNREACH'));
          }
        },
        onOpen,
        wantsFlush: () => owing.add(wire.connection),
        onClosed: () => {
          this.wires.delete(key);
          owing.delete(wire.connection);
        },
      },
      syn,
      wiring.random(),
      (events) => {
        wire.events = events;
        return wire.host;
      },
    );
    if (syn) wire.events.connected();
    this.tickLater();
  }

  /** A packet of TCP for an address of ours. */
  receive(packet: IpPacket): void {
    const segment = readTcp(packet.payload);
    if (!segment || !isSumRight(packet)) return;
    const local = { address: ipv4Of(packet.destination), port: segment.to };
    const remote = { address: ipv4Of(packet.source), port: segment.from };
    const wire = this.wires.get(keyOf(local, remote));
    if (wire) {
      wire.wasReset ||= (segment.flags & TcpFlag.reset) !== 0;
      wire.connection.receive(segment);
      return;
    }
    const isSyn = (segment.flags & (TcpFlag.syn | TcpFlag.acknowledge | TcpFlag.reset)) === TcpFlag.syn;
    const listener = isSyn ? this.wiring.stack.listener(local) : undefined;
    if (!listener) this.refuse(packet, segment);
    // What finds no room is tried again by whoever calls.
    else if (listener.hasRoom && this.wires.size < CONNECTIONS_MAX && this.halfOpen < HALF_OPEN_MAX)
      this.answer(listener, local, remote, segment);
  }

  /** Somebody calls a socket that listens. */
  private answer(listener: TcpSocket, local: Endpoint, remote: Endpoint, syn: TcpSegment): void {
    const socket = listener.child(local, remote);
    const wire = new NetworkWire(socket);
    socket.wire = wire;
    this.halfOpen++;
    let isOpen = false;
    const over = wire.host.destroy;
    wire.host.destroy = () => {
      if (!isOpen) {
        isOpen = true;
        this.halfOpen--;
        wire.isOrphan = true;
        socket.release();
      }
      over();
    };
    this.open(wire, local, remote, { ...syn, data: new Uint8Array(0) }, () => {
      isOpen = true;
      this.halfOpen--;
      // It listens no more: whoever called is cut off.
      if (listener.isListening) listener.put(socket);
      else socket.release();
    });
  }

  /** Sends the acknowledgements that are owed, when all that came at once has been dealt with. */
  flush(): void {
    for (const connection of this.owing) {
      this.owing.delete(connection);
      connection.flush();
    }
  }

  private tickLater(): void {
    if (this.isTicking) return;
    this.isTicking = true;
    const { wiring } = this;
    wiring.at(wiring.now() + TICK, () => {
      this.isTicking = false;
      for (const wire of [...this.wires.values()]) {
        if (wire.isOrphan) this.orphaned(wire);
        wire.connection.tick(wiring.now() / 1e6);
      }
      if (this.wires.size > 0) this.tickLater();
    });
  }

  private readonly orphans = new WeakMap<NetworkWire, number>();

  /** A closed socket's connection whose other end never ends is cut after a while. */
  private orphaned(wire: NetworkWire): void {
    const now = this.wiring.now();
    const since = this.orphans.get(wire);
    if (since === undefined) this.orphans.set(wire, now);
    else if (now - since > ORPHAN_LIFE) wire.events.closed('reset');
  }

  /** Nobody is there: a reset, as RFC 9293, 3.10.7.1 says. */
  private refuse({ source, destination }: IpPacket, segment: TcpSegment & { from: number; to: number }): void {
    const payload = resetFor(segment);
    if (!payload) return;
    const packet = { source: destination, destination: source, protocol: Protocol.tcp, payload };
    putSum(packet, 16);
    this.wiring.send(packet);
  }
}

const keyOf = (local: Endpoint, remote: Endpoint): string =>
  `${local.address}${remote.address}:${local.port}:${remote.port}`;

/** A message in segments of so many bytes. */
function* partsOf(segment: OutgoingSegment, segmentMax: number): Generator<OutgoingSegment> {
  const { sequence, flags } = segment;
  const length = lengthOf(segment.data);
  if (segmentMax <= 0 || length <= segmentMax) {
    yield segment;
    return;
  }
  const data = new Uint8Array(length);
  let end = 0;
  for (const piece of segment.data) {
    data.set(piece, end);
    end += piece.length;
  }
  for (let at = 0; at < data.length; at += segmentMax) {
    const isLast = at + segmentMax >= data.length;
    yield {
      ...segment,
      sequence: (sequence + at) >>> 0,
      flags: isLast ? flags : flags & ~(TcpFlag.fin | TcpFlag.push),
      data: [data.subarray(at, at + segmentMax)],
    };
  }
}

/** The reset that answers a segment which belongs to no connection; none answers a reset. */
function resetFor({
  flags,
  sequence,
  acknowledged,
  data,
  from,
  to,
}: TcpSegment & { from: number; to: number }): Uint8Array | undefined {
  if ((flags & TcpFlag.reset) !== 0) return undefined;
  const isAcknowledging = (flags & TcpFlag.acknowledge) !== 0;
  const isCounted = (flags & (TcpFlag.syn | TcpFlag.fin)) !== 0 ? 1 : 0;
  return tcpMessage(to, from, {
    sequence: isAcknowledging ? acknowledged : 0,
    acknowledged: (sequence + data.length + isCounted) >>> 0,
    flags: TcpFlag.reset | (isAcknowledging ? 0 : TcpFlag.acknowledge),
    window: 0,
    data: [],
  });
}
