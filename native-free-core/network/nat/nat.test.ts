import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostSockets, HostTcp, HostTcpEvents } from './host-sockets.ts';
import { GATEWAY, NAME_SERVER, Nat } from './nat.ts';
import { readTcp, TcpFlag, tcpMessage } from './tcp-connection.ts';
import {
  type Address,
  dword,
  type IpPacket,
  ipFrames,
  isSumRight,
  Protocol,
  parseAddress,
  putDword,
  putSum,
  putWord,
  readIp,
  readUdp,
  udpPacket,
  word,
} from './wire.ts';

const GUEST = parseAddress('10.0.2.15')!;
const WORLD = parseAddress('93.184.216.34')!;
const HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 1);
const NOBODY = new Uint8Array(6);
const { syn, acknowledge: ack, fin, reset } = TcpFlag;

/** A socket of the host, as a test plays it. */
function fakeTcp(address: string, port: number, events: HostTcpEvents) {
  return {
    ...{ address, port, events, pending: 0, isEnded: false, isDestroyed: false, isPaused: false },
    written: [] as number[],
    write(bytes: Uint8Array) {
      this.written.push(...bytes);
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

function lab({ allowHost = false } = {}) {
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
  const sockets: HostSockets = {
    now: () => time.now,
    random: (into) => into.fill(0xff),
    connectTcp(address, port, events) {
      tcp.push(fakeTcp(address, port, events));
      return tcp.at(-1)!;
    },
    openUdp(received) {
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
  };
  const frames: Uint8Array[] = [];
  const nat = new Nat({ sockets, allowHost, send: (frame) => frames.push(frame) });
  const send = (packet: IpPacket) => {
    for (const frame of ipFrames(NOBODY, HARDWARE, packet)) nat.input(frame);
  };
  /** What came back, whole and with right checksums. */
  const packets = () =>
    frames.splice(0).map((frame) => {
      const packet = readIp(frame)!;
      assert.ok(packet && (packet.protocol === Protocol.icmp || isSumRight(packet)));
      return packet;
    });
  const sendTcp = (
    flags: number,
    sequence: number,
    acknowledged: number,
    data: Uint8Array = new Uint8Array(0),
    { to = WORLD, port = 80, from = 4000, window = 0xffff, options = [] as number[] } = {},
  ) => {
    const payload = tcpMessage(from, port, { flags, sequence, acknowledged, window, data }, options);
    const packet = { source: GUEST, destination: to, protocol: Protocol.tcp, payload };
    putSum(packet, 16);
    send(packet);
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
      tcp.push(fakeTcp('', 0, events));
      return tcp.at(-1)!;
    });
    return tcp.at(-1)!;
  };
  return { nat, time, tcp, udp, frames, send, packets, sendTcp, segments, open, accept, listeners };
}

const bytes = (length: number, seed = 0) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 0xff);

test('ARP: the gateway and the name server are there, nobody else is', () => {
  const { nat, frames } = lab();
  const request = (address: Address) => {
    const frame = new Uint8Array(60);
    frame.fill(0xff, 0, 6);
    frame.set(HARDWARE, 6);
    frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...HARDWARE], 12);
    putDword(frame, 28, GUEST);
    putDword(frame, 38, address);
    nat.input(frame);
  };
  for (const address of [GATEWAY, NAME_SERVER]) {
    request(address);
    const [reply] = frames.splice(0);
    assert.deepEqual([...reply.subarray(0, 6)], [...HARDWARE]);
    assert.deepEqual([word(reply, 20), dword(reply, 28), dword(reply, 38)], [2, address, GUEST]);
    assert.deepEqual([...reply.subarray(22, 28)], [...reply.subarray(6, 12)]);
  }
  request(GUEST);
  request(parseAddress('10.0.2.77')!);
  assert.equal(frames.length, 0);
});

test('DHCP: discover, offer, request, acknowledge; a wrong request is refused; leases are bounded', () => {
  const { send, packets } = lab();
  const ask = (station: number, type: number, wanted?: Address) => {
    const message = new Uint8Array(300);
    message.set([1, 1, 6, 0, 9, 9, 9, 9]);
    putWord(message, 28, 0x0200);
    putDword(message, 30, station);
    putDword(message, 236, 0x63825363);
    message.set([53, 1, type], 240);
    if (wanted !== undefined) {
      message.set([50, 4], 243);
      putDword(message, 245, wanted);
    }
    message[wanted === undefined ? 243 : 249] = 255;
    send(udpPacket({ address: 0, port: 68 }, { address: 0xffffffff, port: 67 }, message));
    const [reply] = packets();
    if (reply === undefined) return undefined;
    const { data, to } = readUdp(reply)!;
    assert.deepEqual([reply.source, reply.destination, to], [GATEWAY, 0xffffffff, 68]);
    assert.deepEqual([...data.subarray(4, 8)], [9, 9, 9, 9]);
    return { type: data[242], address: dword(data, 16) };
  };
  assert.deepEqual(ask(1, 1), { type: 2, address: GUEST });
  assert.deepEqual(ask(2, 1), { type: 2, address: GUEST + 1 });
  assert.deepEqual(ask(1, 3, GUEST), { type: 5, address: GUEST });
  assert.deepEqual(ask(1, 3, GUEST + 1), { type: 6, address: 0 });
  assert.equal(ask(1, 7), undefined, 'released');
  for (let station = 10; station < 2000; station++) assert.equal(ask(station, 1)?.type, 2);
  const { address } = ask(5000, 1)!;
  assert.ok(address >= GUEST && address < GUEST + 200);
});

test('pings of the gateway are answered, others and damaged ones are not', () => {
  const { send, packets } = lab();
  const ping = Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4, 5, 6);
  putWord(ping, 2, ~(0x0800 + 0x0102 + 0x0304 + 0x0506));
  const echo = (destination: Address, payload: Uint8Array) =>
    send({ source: GUEST, destination, protocol: Protocol.icmp, payload });
  echo(GATEWAY, ping);
  const [{ source, payload }] = packets();
  assert.equal(source, GATEWAY);
  assert.deepEqual([...payload.subarray(0, 2), ...payload.subarray(4, 10)], [0, 0, 1, 2, 3, 4, 5, 6]);
  echo(WORLD, ping);
  echo(GATEWAY, Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4));
  assert.deepEqual(packets(), []);
});

test('UDP: there and back, names to the host’s server, only answers of whom was asked; flows are bounded', () => {
  const { send, packets, udp, nat, time } = lab();
  const say = (address: Address, port: number, from = 5000) =>
    send(udpPacket({ address: GUEST, port: from }, { address, port }, Uint8Array.of(1, 2)));
  say(NAME_SERVER, 53);
  assert.deepEqual(udp[0].sent, [[[1, 2], '127.0.0.53', 53]]);
  udp[0].received(Uint8Array.of(7), '127.0.0.53', 53);
  udp[0].received(Uint8Array.of(8), '127.0.0.1', 53);
  const answers = packets();
  assert.equal(answers.length, 1);
  assert.deepEqual([answers[0].source, answers[0].destination], [NAME_SERVER, GUEST]);
  assert.deepEqual({ ...readUdp(answers[0]), data: [...readUdp(answers[0])!.data] }, { from: 53, to: 5000, data: [7] });
  say(WORLD, 123);
  say(WORLD, 123);
  assert.deepEqual(udp[1].sent, [
    [[1, 2], '93.184.216.34', 123],
    [[1, 2], '93.184.216.34', 123],
  ]);
  for (let port = 1; port < 2000; port++) say(WORLD, port, 6000);
  assert.equal(nat.size, 512);
  assert.equal(udp.filter(({ isClosed }) => !isClosed).length, 512);
  time.now += 120_001;
  nat.tick();
  assert.equal(nat.size, 0);
});

test('the host’s own services are out of reach, unless they were allowed', () => {
  const places = ['10.0.2.2', '127.0.0.1', '192.168.1.7', '0.0.0.0', '169.254.169.254', '224.0.0.1', '10.0.2.99'];
  for (const allowHost of [false, true]) {
    const { sendTcp, segments, tcp, send, udp } = lab({ allowHost });
    for (const place of places) {
      const to = parseAddress(place)!;
      sendTcp(syn, 1, 0, undefined, { to });
      send(udpPacket({ address: GUEST, port: 5000 }, { address: to, port: 53 }, Uint8Array.of(1)));
    }
    const allowed = allowHost ? ['127.0.0.1', '192.168.1.7'] : [];
    assert.deepEqual(
      tcp.map(({ address }) => address),
      allowed,
    );
    assert.equal(udp.length, allowed.length);
    const refusals = segments();
    assert.equal(refusals.length, places.length - allowed.length);
    assert.ok(refusals.every(({ flags, acknowledged }) => flags === (reset | ack) && acknowledged === 2));
  }
});

test('TCP: data both ways, acknowledged once for all, half closed, and forgotten', () => {
  const { sendTcp, segments, open, nat, time } = lab();
  const socket = open();
  assert.deepEqual([socket.address, socket.port], ['93.184.216.34', 80]);
  sendTcp(ack, 2, 0, bytes(100));
  sendTcp(ack, 102, 0, bytes(100, 1));
  sendTcp(ack, 2, 0, bytes(100));
  sendTcp(ack, 302, 0, bytes(100, 9));
  assert.deepEqual(socket.written, [...bytes(100), ...bytes(100, 1)], 'not twice, and nothing out of order');
  nat.flush();
  nat.flush();
  assert.deepEqual(
    segments().map(({ acknowledged }) => acknowledged),
    [202],
  );
  sendTcp(ack | fin, 202, 0, bytes(10));
  assert.equal(socket.isEnded, true);
  socket.events.data(bytes(2000));
  const answer = segments();
  assert.deepEqual(
    answer.map(({ sequence, acknowledged, data }) => [sequence, acknowledged, data.length]),
    [
      [0, 213, 1460],
      [1460, 213, 540],
    ],
  );
  assert.deepEqual(
    answer.flatMap(({ data }) => [...data]),
    [...bytes(2000)],
  );
  sendTcp(ack, 213, 2000);
  socket.events.ended();
  const [end] = segments();
  assert.deepEqual([end.flags, end.sequence], [fin | ack, 2000]);
  sendTcp(ack, 213, 2001);
  assert.equal(nat.size, 1);
  time.now += 2001;
  nat.tick();
  assert.equal(nat.size, 0);
  assert.equal(socket.isDestroyed, true);
});

test('TCP: a slow guest stops the host’s socket, a slow socket closes the guest’s window', () => {
  const { sendTcp, segments, open, nat } = lab();
  const socket = open(3000);
  for (let i = 0; i < 6; i++) socket.events.data(bytes(10_000));
  assert.equal(socket.isPaused, true);
  assert.equal(
    segments().reduce((sum, { data }) => sum + data.length, 0),
    3000,
  );
  for (let at = 3000; at < 60_000; at += 3000) sendTcp(ack, 2, at, undefined, { window: 3000 });
  assert.equal(socket.isPaused, false);
  segments();
  socket.pending = 128 * 1024;
  sendTcp(ack, 2, 60_000, bytes(1000));
  nat.flush();
  assert.equal(segments().at(-1)!.window, 0);
  assert.deepEqual(socket.written, []);
  socket.pending = 0;
  socket.events.drained();
  assert.equal(segments().at(-1)!.window, 0xffff);
  sendTcp(ack, 2, 60_000, bytes(1000));
  assert.deepEqual(socket.written, [...bytes(1000)]);
});

test('TCP: what is lost on the way is sent again, a closed window is asked about, and patience ends', () => {
  const { sendTcp, segments, open, time, nat } = lab();
  const socket = open();
  const data = bytes(40_000);
  socket.events.data(data);
  socket.events.ended();
  let seed = 5;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const got: number[] = [];
  let isOver = false;
  for (let round = 0; round < 2000 && !isOver; round++) {
    for (const segment of segments()) {
      // One in four is lost, and one acknowledgement in four.
      if (below(4) === 0) continue;
      if (segment.sequence === got.length) {
        got.push(...segment.data);
        isOver ||= (segment.flags & fin) !== 0;
      }
      if (below(4) !== 0) sendTcp(ack, 2, got.length + (isOver ? 1 : 0));
    }
    time.now += 200;
    nat.tick();
  }
  assert.deepEqual(got, [...data]);
  assert.equal(isOver, true);
  for (let i = 0; i < 5; i++) sendTcp(ack | fin, 2, 40_001);
  time.now += 3000;
  nat.tick();
  assert.equal(nat.size, 0);

  const second = open(0);
  second.events.data(bytes(10));
  segments();
  time.now += 400;
  nat.tick();
  assert.deepEqual(
    segments().map((segment) => [...segment.data]),
    [[...bytes(1)]],
    'one byte asks',
  );
  for (let i = 0; i < 40; i++) {
    time.now += 10_000;
    nat.tick();
  }
  assert.equal(segments().at(-1)!.flags & reset, reset);
  assert.equal(nat.size, 0);
});

test('TCP: refused, unreachable and cut connections are told by a reset; resets count only in the window', () => {
  for (const reason of ['refused', 'unreachable', 'reset'] as const) {
    const { sendTcp, segments, tcp, nat } = lab();
    sendTcp(syn, 1, 0);
    tcp[0].events.closed(reason);
    const [answer] = segments();
    assert.deepEqual([answer.flags & reset, answer.acknowledged], [reset, 2]);
    assert.equal(nat.size, 0);
  }
  const { sendTcp, open, nat } = lab();
  const socket = open();
  sendTcp(reset, 0x80000000, 0);
  assert.equal(nat.size, 1);
  sendTcp(reset, 2, 0);
  assert.equal(socket.isDestroyed, true);
  assert.equal(nat.size, 0);
});

test('floods and garbage: connections are bounded, nothing throws, nothing is answered that should not be', () => {
  const { sendTcp, nat, segments } = lab();
  for (let i = 0; i < 5000; i++) sendTcp(syn, 1, 0, undefined, { from: 1 + (i % 60_000), port: 1 + (i >> 12) });
  assert.equal(nat.size, 2048);
  assert.equal(segments().filter(({ flags }) => (flags & reset) !== 0).length, 5000 - 2048);
  nat.close();
  assert.equal(nat.size, 0);
  let seed = 3;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const { nat: other, frames } = lab();
  for (let i = 0; i < 20_000; i++) {
    const frame = Uint8Array.from({ length: 30 + below(120) }, () => below(256));
    putWord(frame, 12, below(2) === 0 ? 0x0800 : 0x0806);
    if (below(2) === 0) frame.set([0x45, 0, 0, frame.length - 14, 0, 0, 0, 0, 64, [1, 6, 17][below(3)]], 14);
    other.input(frame);
    if (below(100) === 0) other.tick();
  }
  assert.ok(frames.length < 10, 'nearly all have wrong checksums');
});

const FORWARD = { protocol: 'tcp', address: '127.0.0.1', port: 8080, guestPort: 80 } as const;

test('forwarded TCP: the guest is called, answers, and both talk; it refuses, or does not answer', async () => {
  const { nat, sendTcp, segments, accept, time } = lab();
  await nat.forward(FORWARD, HARDWARE);
  const early = accept();
  assert.equal(early.isDestroyed, true, 'nobody knows where the guest is');
  // The guest is heard, at an address that it gave itself.
  sendTcp(reset, 0, 0);
  const socket = accept();
  const [call] = segments();
  assert.deepEqual([call.flags, call.to, call.sequence, call.segmentMax, call.scale], [syn, 80, 0xffffffff, 1460, 2]);
  socket.events.data(bytes(3000));
  assert.deepEqual(segments(), [], 'nothing is sent before it has answered');
  const guest = { to: GATEWAY, port: call.from, from: 80 };
  sendTcp(syn | ack, 500, 77, undefined, guest);
  assert.deepEqual(segments(), [], 'an answer to something else');
  sendTcp(syn | ack, 500, 0, undefined, { ...guest, options: [2, 4, 4, 0, 1, 3, 3, 0] });
  const data = segments();
  assert.deepEqual(
    data.map(({ flags, sequence, acknowledged, data: { length } }) => [flags & ~8, sequence, acknowledged, length]),
    [
      [ack, 0, 501, 1024],
      [ack, 1024, 501, 1024],
      [ack, 2048, 501, 952],
    ],
  );
  sendTcp(ack, 501, 3000, bytes(50, 4), guest);
  assert.deepEqual(socket.written, [...bytes(50, 4)]);
  sendTcp(ack | fin, 551, 3000, undefined, guest);
  socket.events.ended();
  assert.equal(socket.isEnded, true);
  sendTcp(ack, 552, 3001, undefined, guest);
  time.now += 2001;
  nat.tick();
  assert.equal(nat.size, 0);

  const refused = accept();
  const [second] = segments().slice(-1);
  assert.notEqual(second.from, call.from);
  sendTcp(reset | ack, 0, 0, undefined, { ...guest, port: second.from });
  assert.equal(refused.isDestroyed, true);

  const unheard = accept();
  segments();
  let calls = 0;
  for (let i = 0; i < 40; i++) {
    time.now += 10_000;
    nat.tick();
    calls += segments().filter(({ flags }) => flags === syn).length;
  }
  assert.equal(calls, 10);
  assert.equal(unheard.isDestroyed, true);
  assert.equal(nat.size, 0);
});

test('forwarded UDP: each stranger gets the guest’s answers, and they are bounded', async () => {
  const { nat, send, packets, udp, sendTcp } = lab();
  await nat.forward({ ...FORWARD, protocol: 'udp' }, HARDWARE);
  sendTcp(reset, 0, 0);
  const [socket] = udp;
  socket.received(Uint8Array.of(1), '127.0.0.1', 5000);
  socket.received(Uint8Array.of(2), '127.0.0.1', 6000);
  socket.received(Uint8Array.of(3), '127.0.0.1', 5000);
  const asked = packets().map((packet) => readUdp(packet)!);
  assert.deepEqual(
    asked.map(({ to, data }) => [to, data[0]]),
    [
      [80, 1],
      [80, 2],
      [80, 3],
    ],
  );
  assert.equal(asked[0].from, asked[2].from);
  const answer = (port: number, from = 80) =>
    send(udpPacket({ address: GUEST, port: from }, { address: GATEWAY, port }, Uint8Array.of(9)));
  answer(asked[1].from);
  answer(asked[1].from, 81);
  assert.deepEqual(socket.sent, [[[9], '127.0.0.1', 6000]], 'from the port that was asked, and no other');
  for (let port = 1; port < 1000; port++) socket.received(Uint8Array.of(1), '10.9.9.9', port);
  packets();
  answer(asked[1].from);
  assert.equal(socket.sent.length, 1, 'forgotten for others');
});
