import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addWords, fold } from '../../devices/packets.ts';
import { GATEWAY, NAME_SERVER } from './nat.ts';
import { readTcp, TcpFlag, tcpMessage, WAITING_MAX } from './tcp-connection.ts';
import { bytes, GUEST, HARDWARE, lab, WORLD } from './testing/lab.ts';
import {
  type Address,
  dword,
  ipFrame,
  ipFrames,
  Protocol,
  parseAddress,
  putDword,
  putWord,
  readUdp,
  udpPacket,
  word,
} from './wire.ts';

const { syn, acknowledge: ack, fin, reset } = TcpFlag;

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
    const hardware = message.slice(28, 34);
    putDword(message, 236, 0x63825363);
    message.set([53, 1, type], 240);
    if (wanted !== undefined) {
      message.set([50, 4], 243);
      putDword(message, 245, wanted);
    }
    message[wanted === undefined ? 243 : 249] = 255;
    send(udpPacket({ address: 0, port: 68 }, { address: 0xffffffff, port: 67 }, message), hardware);
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
  echo(GATEWAY, Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4));
  assert.deepEqual(packets(), []);
});

test('pings of others are the host’s to ask, a few at a time', async () => {
  const { send, packets, pings, nat } = lab();
  const ping = Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4, 5, 6);
  putWord(ping, 2, ~(0x0800 + 0x0102 + 0x0304 + 0x0506));
  const echo = (destination: Address) => send({ source: GUEST, destination, protocol: Protocol.icmp, payload: ping });
  for (let i = 0; i < 20; i++) echo(WORLD);
  assert.equal(pings.length, 16);
  assert.deepEqual([pings[0].address, pings[0].size], ['93.184.216.34', 2]);
  pings.forEach(({ answer }, index) => {
    answer(index < 3);
  });
  await new Promise(setImmediate);
  const answers = packets();
  assert.deepEqual(
    answers.map(({ source, payload: [type] }) => [source, type]),
    Array(3).fill([WORLD, 0]),
  );
  assert.equal(nat.counters.refused, 4);
  echo(parseAddress('192.168.1.7')!);
  assert.equal(pings.length, 16, 'not the host itself');
  assert.deepEqual([...packets()[0].payload.subarray(0, 2)], [3, 13], 'prohibited');
});

test('a packet that may be passed on no more comes back from the gateway, as traceroute wants', () => {
  const { send, packets, udp } = lab();
  send({ ...udpPacket({ address: GUEST, port: 5 }, { address: WORLD, port: 33434 }, bytes(9)), hops: 1 });
  const [{ source, payload }] = packets();
  assert.deepEqual([source, ...payload.subarray(0, 2)], [GATEWAY, 11, 0]);
  assert.equal(dword(payload, 8 + 16), WORLD, 'and says which');
  assert.equal(udp.length, 0);
});

test('fragments are put together, in any order; what overlaps is thrown away', () => {
  const { nat, send, udp } = lab();
  const long = bytes(4000);
  const frames = [
    ...ipFrames(HARDWARE, HARDWARE, udpPacket({ address: GUEST, port: 5 }, { address: WORLD, port: 7 }, long)),
  ];
  assert.equal(frames.length, 3);
  for (const frame of [frames[2], frames[0], frames[0], frames[1]]) nat.input(frame);
  assert.deepEqual(udp[0].sent, [[[...long], '93.184.216.34', 7]]);
  // The second fragment begins eight bytes too early.
  const early = frames[1].slice();
  putWord(early, 20, word(early, 20) - 1);
  putWord(early, 24, 0);
  putWord(early, 24, ~fold(addWords(0, early, 14, 34)));
  for (const frame of [frames[0], early, frames[2]]) nat.input(frame);
  assert.equal(nat.counters.fragments, 1);
  assert.equal(udp[0].sent.length, 1);
  send(udpPacket({ address: GUEST, port: 5 }, { address: WORLD, port: 7 }, Uint8Array.of(1)));
  assert.equal(udp[0].sent.length, 2);
});

test('nobody is heard under an address of another, or as the gateway', () => {
  const { nat, send, udp, sendTcp, tcp } = lab();
  const other = Uint8Array.of(2, 0, 0, 0, 0, 2);
  nat.plug(HARDWARE, 'first');
  sendTcp(syn, 1, 0);
  assert.equal(tcp.length, 1);
  send(udpPacket({ address: GUEST, port: 5 }, { address: WORLD, port: 7 }, Uint8Array.of(1)), other);
  assert.equal(udp.length, 0);
  assert.equal(nat.counters.spoofed, 1);
  const frame = (packet: Parameters<typeof ipFrames>[2], from: Uint8Array) => [...ipFrames(other, from, packet)][0];
  const say = (source: Address, port = 5) =>
    udpPacket({ address: source, port }, { address: WORLD, port: 7 }, Uint8Array.of(1));
  assert.equal(nat.isForged(frame(say(GUEST), HARDWARE)), false);
  assert.equal(nat.isForged(frame(say(GUEST), other)), true);
  assert.equal(nat.isForged(frame(say(GATEWAY), other)), true);
  assert.equal(nat.isForged(frame(say(GUEST + 1, 67), other)), true, 'another server of addresses');
  const claim = new Uint8Array(60);
  claim.set([255, 255, 255, 255, 255, 255, ...other, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, ...other]);
  putDword(claim, 28, GATEWAY);
  assert.equal(nat.isForged(claim), true);
  putDword(claim, 28, GUEST + 1);
  assert.equal(nat.isForged(claim), false);
});

test('UDP: there and back, names to the host’s server, only answers of whom was asked; flows are bounded', () => {
  const { send, packets, udp, nat, time } = lab();
  const say = (address: Address, port: number, from = 5000, data = Uint8Array.of(1, 2)) =>
    send(udpPacket({ address: GUEST, port: from }, { address, port }, data));
  const query = Uint8Array.of(0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 111, 114, 103, 0, 0, 1, 0, 1);
  say(NAME_SERVER, 53, 5000, query);
  assert.deepEqual(udp[0].sent, [[[...query], '127.0.0.53', 53]]);
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
    const { sendTcp, packets, tcp, send, udp } = lab({ allowHost });
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
    const answers = packets();
    assert.ok(answers.every(({ protocol, payload: [type] }) => protocol === Protocol.tcp || type === 3));
    const refusals = answers
      .filter(({ protocol }) => protocol === Protocol.tcp)
      .map(({ payload }) => readTcp(payload)!);
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
  nat.flush();
  assert.deepEqual(socket.written, [...bytes(100), ...bytes(100, 1)], 'not twice, and nothing out of order');
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
  for (let i = 0; i < 30; i++) socket.events.data(bytes(40_000));
  assert.equal(socket.isPaused, true);
  assert.equal(
    segments().reduce((sum, { data }) => sum + data.length, 0),
    3000,
  );
  for (let at = 3000; at < 1_200_000; at += 3000) sendTcp(ack, 2, at, undefined, { window: 3000 });
  assert.equal(socket.isPaused, false);
  segments();
  socket.pending = WAITING_MAX;
  sendTcp(ack, 2, 1_200_000, bytes(1000));
  nat.flush();
  assert.equal(segments().at(-1)!.window, 0);
  assert.deepEqual(socket.written, []);
  socket.pending = 0;
  socket.events.drained();
  assert.equal(segments().at(-1)!.window, 0xffff);
  sendTcp(ack, 2, 1_200_000, bytes(1000));
  nat.flush();
  assert.deepEqual(socket.written, [...bytes(1000)]);
});

test('TCP: what many connections may hold is shared among them', () => {
  const { sendTcp, segments, tcp, nat, time } = lab();
  let told = 0;
  for (let i = 0; i < 2000; i++) {
    sendTcp(syn, 1, 0, undefined, { from: 1 + i, options: [2, 4, 5, 180, 1, 3, 3, 7] });
    tcp.at(-1)!.events.connected();
    segments();
    sendTcp(ack, 2, 0, bytes(10), { from: 1 + i });
    nat.flush();
    told = segments().at(-1)!.window << 5;
  }
  assert.ok(told > 16 * 1024 && told <= (64 * 2 ** 20) / 2000, String(told));
  time.now += 1000;
  nat.close();
});

test('TCP: a message that is not cut is taken whole, and long data leaves in one', () => {
  const { open, nat, tcp, segments, frames } = lab();
  open();
  const payload = tcpMessage(4000, 80, {
    flags: ack,
    sequence: 2,
    acknowledged: 0,
    window: 0xffff,
    data: [bytes(5000)],
  });
  const packet = { source: GUEST, destination: WORLD, protocol: Protocol.tcp, payload };
  const frame = ipFrame(HARDWARE, HARDWARE, packet);
  // Its checksum is not there yet.
  nat.input(frame, Uint8Array.of(1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0));
  nat.flush();
  assert.deepEqual(tcp[0].written, [...bytes(5000)]);
  nat.input(frame);
  segments();
  const sent: number[] = [];
  const sockets = lab();
  sockets.open();
  sockets.tcp[0].events.data(bytes(40_000));
  for (const { data } of sockets.segments()) sent.push(data.length);
  assert.deepEqual([sent.length, Math.max(...sent)], [28, 1460]);
  assert.equal(frames.length, 0);
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
  const { sendTcp, nat, segments, tcp, time } = lab();
  for (let i = 0; i < 5000; i++) sendTcp(syn, 1, 0, undefined, { from: 1 + i });
  assert.equal(nat.size, 512, 'of which one end has not been heard');
  assert.equal(nat.counters.refused, 5000 - 512);
  assert.deepEqual(segments(), [], 'whoever is honest asks again');
  const neighbour = Uint8Array.of(2, 0, 0, 0, 0, 9);
  sendTcp(syn, 1, 0, undefined, { source: GUEST + 1 }, neighbour);
  assert.equal(nat.size, 513, 'others are unharmed');
  time.now += 80_000;
  nat.tick();
  assert.equal(nat.size, 0, 'the host gives up');
  segments();
  for (let i = 0; i < 2100; i++) {
    sendTcp(syn, 1, 0, undefined, { from: 1 + i });
    const last = tcp.at(-1)!;
    if (last.isDestroyed || i >= 2048) continue;
    last.events.connected();
    sendTcp(ack, 2, 0, undefined, { from: 1 + i });
  }
  assert.equal(nat.size, 2048);
  assert.equal(segments().filter(({ flags }) => (flags & reset) !== 0).length, 2100 - 2048);
  sendTcp(syn, 1, 0, undefined, { source: GUEST + 1 }, neighbour);
  assert.equal(nat.size, 2049);
  nat.unplug(neighbour);
  assert.equal(nat.size, 2048);
  nat.close();
  assert.equal(nat.size, 0);
  let seed = 3;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const { nat: other, frames } = lab();
  for (let i = 0; i < 20_000; i++) {
    const frame = Uint8Array.from({ length: 30 + below(120) }, () => below(256));
    putWord(frame, 12, [0x0800, 0x0806, 0x86dd][below(3)]);
    if (below(2) === 0) frame.set([0x45, 0, 0, frame.length - 14, 0, 0, 0, 0, 64, [1, 6, 17][below(3)]], 14);
    else if (frame.length > 54)
      frame.set([0x60, 0, 0, 0, 0, frame.length - 54, [58, 6, 17, 44, 0][below(5)], 255, 0xfe, 0x80], 14);
    other.isForged(frame);
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
  assert.deepEqual([call.flags, call.to, call.sequence, call.segmentMax, call.scale], [syn, 80, 0xffffffff, 1460, 5]);
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
  nat.flush();
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
