import assert from 'node:assert/strict';
import { test } from 'node:test';
import { icmp6Packet } from './icmp.ts';
import { GATEWAY_HARDWARE, GATEWAY6, NAME_SERVER6 } from './nat.ts';
import { ALL_NODES, domainName, UNSPECIFIED } from './neighbour-discovery.ts';
import { readTcp, TcpFlag, tcpMessage } from './tcp-connection.ts';
import { bytes, HARDWARE, lab } from './testing/lab.ts';
import {
  type Address6,
  dword,
  formatAddress6,
  ipFrames,
  Protocol,
  parseAddress6,
  putAddress6,
  putSum,
  readAddress6,
  readUdp,
  udpPacket,
  word,
} from './wire.ts';

const GUEST6 = parseAddress6('fd74:7276:6972:2:0:ff:fe00:1')!;
const LINK6 = parseAddress6('fe80::ff:fe00:1')!;
const WORLD6 = parseAddress6('2001:db8::7')!;
const SERVERS = parseAddress6('ff02::1:2')!;
const { syn, acknowledge: ack } = TcpFlag;

const ndp = (source: Address6, destination: Address6, payload: Uint8Array, hops = 255) =>
  icmp6Packet({ source, destination, protocol: Protocol.icmp6, payload, hops });

test('addresses are read and written as RFC 5952 has them', () => {
  for (const [text, canonical] of [
    ['::', '::'],
    ['::1', '::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0DB8::0001', '2001:db8::1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
    ['fe80::', 'fe80::'],
  ])
    assert.equal(formatAddress6(parseAddress6(text)!), canonical);
  for (const text of [
    '',
    '1',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::12345',
    'g::',
    '1:2:3:4:5:6:7::8',
  ])
    assert.equal(parseAddress6(text), undefined, text);
});

test('a guest that asks hears of the network, its router and its name server', () => {
  const { send, packets6 } = lab();
  send(ndp(UNSPECIFIED, parseAddress6('ff02::2')!, Uint8Array.of(133, 0, 0, 0, 0, 0, 0, 0)));
  const [{ payload, destination, hops }] = packets6();
  assert.deepEqual([destination, hops, payload[0]], [ALL_NODES, 255, 134]);
  const options = new Map<number, Uint8Array>();
  for (let at = 16; at < payload.length; at += 8 * payload[at + 1]) options.set(payload[at], payload.subarray(at));
  assert.equal(formatAddress6(readAddress6(options.get(3)!, 16)), 'fd74:7276:6972:2::');
  assert.equal(options.get(3)![2], 64);
  assert.equal(readAddress6(options.get(25)!, 8), NAME_SERVER6);
  assert.equal(dword(options.get(5)!, 4), 1500);
  assert.deepEqual([...options.get(1)!.subarray(2, 8)], [...GATEWAY_HARDWARE]);
});

test('the gateway and the name server are found as neighbours, others are not; nothing routed is believed', () => {
  const { send, packets6 } = lab();
  const ask = (target: Address6, source = GUEST6, hops = 255) => {
    const payload = new Uint8Array(32);
    payload[0] = 135;
    putAddress6(payload, 8, target);
    payload.set([1, 1, ...HARDWARE], 24);
    send(ndp(source, parseAddress6('ff02::1:ff00:2')!, payload, hops));
    return packets6();
  };
  for (const target of [GATEWAY6, NAME_SERVER6, parseAddress6('fe80::2')!]) {
    const [{ source, destination, payload }] = ask(target);
    assert.deepEqual([source, destination, payload[0]], [target, GUEST6, 136]);
    assert.deepEqual([...payload.subarray(26)], [...GATEWAY_HARDWARE]);
  }
  assert.equal(ask(GATEWAY6, UNSPECIFIED)[0].destination, ALL_NODES, 'whoever wants it hears that it is taken');
  assert.deepEqual(ask(GUEST6), []);
  assert.deepEqual(ask(GATEWAY6, GUEST6, 64), []);
});

test('DHCPv6: solicit, advertise, request, reply; others’ servers and nonsense are left alone', () => {
  const { send, packets6, nat } = lab();
  const client = [0, 1, 0, 10, 0, 3, 0, 1, ...HARDWARE];
  const ask = (type: number, options: number[]) => {
    const message = Uint8Array.of(type, 1, 2, 3, ...options);
    send(udpPacket({ address: LINK6, port: 546 }, { address: SERVERS, port: 547 }, message));
    const [reply] = packets6();
    if (reply === undefined) return undefined;
    const { data, to } = readUdp(reply)!;
    assert.deepEqual([to, ...data.subarray(1, 4)], [546, 1, 2, 3]);
    const found = new Map<number, Uint8Array>();
    for (let at = 4; at < data.length; at += 4 + word(data, at + 2))
      found.set(word(data, at), data.slice(at + 4, at + 4 + word(data, at + 2)));
    return { type: data[0], options: found };
  };
  const association = [0, 3, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
  const offer = ask(1, [...client, ...association])!;
  assert.equal(offer.type, 2);
  const server = [...offer.options.get(2)!];
  assert.equal(readAddress6(offer.options.get(23)!, 0), NAME_SERVER6);
  assert.deepEqual(offer.options.get(24), domainName('trivisor'));
  const reply = ask(3, [...client, 0, 2, 0, server.length, ...server, ...association])!;
  assert.equal(reply.type, 7);
  const granted = reply.options.get(3)!;
  assert.equal(dword(granted, 0), 9);
  const address = readAddress6(granted, 16);
  assert.equal(formatAddress6(address), 'fd74:7276:6972:2::100');
  assert.deepEqual(nat.addressesOf(HARDWARE), ['fd74:7276:6972:2::100']);
  assert.equal(ask(3, [...client, 0, 2, 0, 3, 1, 2, 3, ...association]), undefined, 'to another server');
  assert.equal(ask(3, [...client, ...association]), undefined, 'to none');
  assert.equal(ask(1, association), undefined, 'from nobody');
  assert.equal(ask(1, [0, 1, 0, 200, 1]), undefined, 'cut short');
  assert.equal(ask(11, [])!.type, 7);
  const rapid = ask(1, [...client, ...association, 0, 14, 0, 0])!;
  assert.equal(rapid.type, 7);
});

test('TCP and UDP reach the world over IPv6, with segments that fit; forbidden places are refused', () => {
  for (const allowHost of [false, true]) {
    const { send, packets6, tcp, udp } = lab({ allowHost });
    const sendTcp = (to: Address6, flags: number, sequence: number, acknowledged: number, data = new Uint8Array(0)) => {
      const segment = { flags, sequence, acknowledged, window: 0xffff, data: [data] };
      const payload = tcpMessage(4000, 80, segment, flags === syn ? [2, 4, 5, 0xa0] : []);
      const packet = { source: GUEST6, destination: to, protocol: Protocol.tcp, payload };
      putSum(packet, 16);
      send(packet);
    };
    sendTcp(WORLD6, syn, 1, 0);
    assert.deepEqual([tcp[0].address, tcp[0].port], ['2001:db8::7', 80]);
    tcp[0].events.connected();
    const greeting = readTcp(packets6()[0].payload)!;
    assert.equal(greeting.segmentMax, 1440);
    sendTcp(WORLD6, ack, 2, 0);
    tcp[0].events.data(bytes(3000));
    assert.deepEqual(
      packets6().map(({ payload, source }) => [source, readTcp(payload)!.data.length]),
      [
        [WORLD6, 1440],
        [WORLD6, 1440],
        [WORLD6, 120],
      ],
    );
    send(udpPacket({ address: GUEST6, port: 9 }, { address: WORLD6, port: 7 }, Uint8Array.of(1, 2)));
    assert.deepEqual(udp[0].sent, [[[1, 2], '2001:db8::7', 7]]);
    for (const place of ['::1', '::', '::ffff:7f00:1', 'fe80::9', 'ff02::1', 'fd74:7276:6972:2::99']) {
      sendTcp(parseAddress6(place)!, syn, 1, 0);
    }
    assert.equal(tcp.length, 1);
    sendTcp(GATEWAY6, syn, 1, 0);
    assert.deepEqual(
      tcp.slice(1).map(({ address }) => address),
      allowHost ? ['::1'] : [],
    );
  }
});

test('long datagrams come in fragments and go out in them', () => {
  const { nat, udp, frames } = lab();
  const long = bytes(4000);
  const ends = [
    { address: GUEST6, port: 9 },
    { address: WORLD6, port: 7 },
  ] as const;
  const cut = [...ipFrames(HARDWARE, HARDWARE, udpPacket(...ends, long))];
  assert.equal(cut.length, 3);
  for (const frame of cut.toReversed()) nat.input(frame);
  assert.deepEqual(udp[0].sent, [[[...long], '2001:db8::7', 7]]);
  udp[0].received(long, '2001:db8::7', 7);
  assert.deepEqual(
    frames.map((frame) => [word(frame, 12), frame.length <= 1514, frame[20]]),
    Array(3).fill([0x86dd, true, 44]),
  );
});

test('pings of the gateway are answered over IPv6 as well; a lease is not taken by who did not get it', () => {
  const { send, packets6, nat } = lab();
  const echo = (source: Address6, hardware = HARDWARE) =>
    send(ndp(source, GATEWAY6, Uint8Array.of(128, 0, 0, 0, 1, 2, 3, 4, 5), 64), hardware);
  echo(GUEST6);
  const [{ source, payload }] = packets6();
  assert.deepEqual([source, payload[0], ...payload.subarray(4)], [GATEWAY6, 129, 1, 2, 3, 4, 5]);
  echo(GUEST6, Uint8Array.of(2, 0, 0, 0, 0, 7));
  assert.deepEqual(packets6(), []);
  assert.equal(nat.counters.spoofed, 1);
});

test('forwarded ports lead to a guest that has IPv6 alone, from the gateway’s address there', async () => {
  const { nat, send, packets6, accept, udp } = lab();
  const forward = { protocol: 'tcp', address: '::1', port: 8080, guestPort: 80 } as const;
  await nat.forward(forward, HARDWARE);
  await nat.forward({ ...forward, protocol: 'udp' }, HARDWARE);
  assert.equal(accept().isDestroyed, true, 'nobody knows where the guest is');
  send(udpPacket({ address: GUEST6, port: 9 }, { address: GATEWAY6, port: 9 }, bytes(1)));
  packets6();
  const socket = accept();
  const [call] = packets6();
  assert.deepEqual([call.source, call.destination], [GATEWAY6, GUEST6]);
  const { from, to, flags, sequence, segmentMax } = readTcp(call.payload)!;
  assert.deepEqual([to, flags, segmentMax], [80, syn, 1440]);
  const answer = (answered: number, at: number, data: Uint8Array, options: number[] = []) => {
    const segment = { flags: answered, sequence: at, acknowledged: (sequence + 1) >>> 0, window: 0xffff, data: [data] };
    const packet = { source: GUEST6, destination: GATEWAY6, protocol: Protocol.tcp };
    const payload = tcpMessage(80, from, segment, options);
    putSum({ ...packet, payload }, 16);
    send({ ...packet, payload });
  };
  answer(syn | ack, 500, bytes(0), [2, 4, 5, 0xa0]);
  answer(ack, 501, bytes(20, 3));
  nat.flush();
  assert.deepEqual(socket.written, [...bytes(20, 3)]);
  packets6();

  udp[0].received(bytes(5), '::2', 4000);
  const [datagram] = packets6();
  const { from: stands, data } = readUdp(datagram)!;
  assert.deepEqual([datagram.source, datagram.destination, [...data]], [GATEWAY6, GUEST6, [...bytes(5)]]);
  send(udpPacket({ address: GUEST6, port: 80 }, { address: GATEWAY6, port: stands }, bytes(6)));
  assert.deepEqual(udp[0].sent, [[[...bytes(6)], '::2', 4000]]);
});
