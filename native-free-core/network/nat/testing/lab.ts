// A translated network without a host: sockets, clock and guests as a test plays them.
// Owns what went through each of them.
// Never opens anything real.

import assert from 'node:assert/strict';
import { finish, frameHeader } from '../../../devices/offload.ts';
import type { HostSockets, HostTcp, HostTcpEvents } from '../host-sockets.ts';
import { Nat } from '../nat.ts';
import { readTcp, TcpFlag, tcpMessage } from '../tcp-connection.ts';
import {
  EtherType,
  type IpAddress,
  type IpPacket,
  ipFrames,
  isSumRight,
  Protocol,
  parseAddress,
  putSum,
  readIp,
  readIp6,
  word,
} from '../wire.ts';

export const GUEST = parseAddress('10.0.2.15')!;
export const WORLD = parseAddress('93.184.216.34')!;
export const HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 1);
const NOBODY = new Uint8Array(6);
const { syn, acknowledge: ack } = TcpFlag;

/** A socket of the host, as a test plays it: all that comes is a turn of its own, after which is done what waits for its end. */
function fakeTcp(address: string, port: number, given: HostTcpEvents, turn: () => void) {
  const events: HostTcpEvents = {
    ...given,
    data(bytes) {
      given.data(bytes.slice());
      turn();
    },
  };
  return {
    ...{ address, port, events, pending: 0, isEnded: false, isDestroyed: false, isPaused: false },
    written: [] as number[],
    write(pieces: readonly Uint8Array[]) {
      for (const piece of pieces) this.written.push(...piece);
    },
    end() {
      this.isEnded = true;
    },
    destroy() {
      this.isDestroyed = true;
    },
    pause() {
      this.isPaused = true;
    },
    resume() {
      this.isPaused = false;
    },
  };
}

export function lab({ allowHost = false } = {}) {
  const time = { now: 0 };
  const tcp: ReturnType<typeof fakeTcp>[] = [];
  const udp: {
    sent: unknown[];
    received(bytes: Uint8Array, address: string, port: number): void;
    isClosed: boolean;
  }[] = [];
  const listeners: {
    listener: { isClosed: boolean };
    accepted(connect: (events: HostTcpEvents) => HostTcp): void;
  }[] = [];
  const pings: { address: string; size: number; answer(isAnswered: boolean): void }[] = [];
  const sockets: HostSockets = {
    now: () => time.now,
    random: (into) => into.fill(0xff),
    connectTcp(address, port, events) {
      tcp.push(fakeTcp(address, port, events, () => nat.flush()));
      return tcp.at(-1)!;
    },
    openUdp(_family, received) {
      const socket = { sent: [] as unknown[], received, isClosed: false };
      udp.push(socket);
      return {
        send: (bytes, address, port) => void socket.sent.push([[...bytes], address, port]),
        close: () => void (socket.isClosed = true),
      };
    },
    listenTcp(_address, _port, accepted) {
      const listener = { isClosed: false, close: () => void (listener.isClosed = true) };
      listeners.push({ listener, accepted });
      return Promise.resolve(listener);
    },
    listenUdp(_address, _port, received) {
      const socket = { sent: [] as unknown[], received, isClosed: false };
      udp.push(socket);
      return Promise.resolve({
        send: (bytes: Uint8Array, address: string, port: number) => void socket.sent.push([[...bytes], address, port]),
        close: () => void (socket.isClosed = true),
      });
    },
    nameServer: () => ({ address: '127.0.0.53', port: 53 }),
    isOwn: (address) => address === '192.168.1.7',
    ping(address, size) {
      const answer = Promise.withResolvers<boolean>();
      pings.push({ address, size, answer: answer.resolve });
      return answer.promise;
    },
  };
  const frames: Uint8Array[] = [];
  const take = (frame: Uint8Array) => void frames.push(frame.slice());
  const nat = new Nat({
    sockets,
    allowHost,
    // As the switch does for who takes finished frames alone.
    send: (frame, header) => (header ? finish(frame, frameHeader(header), take) : take(frame)),
  });
  const send = (packet: IpPacket<IpAddress>, hardware = HARDWARE) => {
    for (const frame of ipFrames(NOBODY, hardware, packet)) nat.input(frame);
  };
  const taken = (type: number) => frames.splice(0).filter((frame) => word(frame, 12) === type);
  /** What came back by IPv4, whole and with right checksums. */
  const packets = () =>
    taken(EtherType.ipv4).map((frame) => {
      const packet = readIp(frame)!;
      assert.ok(packet && (packet.protocol === Protocol.icmp || isSumRight(packet)));
      return packet;
    });
  /** The same of IPv6. */
  const packets6 = () =>
    taken(EtherType.ipv6).map((frame) => {
      const packet = readIp6(frame)!;
      assert.ok(packet && isSumRight(packet));
      return packet;
    });
  const sendTcp = (
    flags: number,
    sequence: number,
    acknowledged: number,
    data: Uint8Array = new Uint8Array(0),
    { to = WORLD, port = 80, from = 4000, window = 0xffff, options = [] as number[], source = GUEST } = {},
    hardware = HARDWARE,
  ) => {
    const payload = tcpMessage(from, port, { flags, sequence, acknowledged, window, data: [data] }, options);
    const packet = { source, destination: to, protocol: Protocol.tcp, payload };
    putSum(packet, 16);
    send(packet, hardware);
  };
  const segments = () => packets().map(({ payload }) => readTcp(payload)!);
  /** A connection to the world that is open: our first byte is 2, the host's first byte is 0. */
  const open = (window = 0xffff) => {
    sendTcp(syn, 1, 0, undefined, { window, options: [2, 4, 5, 180] });
    assert.deepEqual(segments(), [], 'nobody is there yet');
    tcp.at(-1)!.events.connected();
    const [greeting] = segments();
    assert.equal(greeting.flags, syn | ack);
    assert.deepEqual([greeting.sequence, greeting.acknowledged, greeting.segmentMax], [0xffffffff, 2, 1460]);
    sendTcp(ack, 2, 0, undefined, { window });
    return tcp.at(-1)!;
  };
  /** Somebody outside connects to a forwarded port. */
  const accept = () => {
    listeners.at(-1)!.accepted((events) => {
      tcp.push(fakeTcp('', 0, events, () => nat.flush()));
      return tcp.at(-1)!;
    });
    return tcp.at(-1)!;
  };
  return { nat, time, tcp, udp, pings, frames, send, packets, packets6, sendTcp, segments, open, accept, listeners };
}

/** Bytes that differ from each other and from those of other seeds. */
export const bytes = (length: number, seed = 0) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 0xff);
