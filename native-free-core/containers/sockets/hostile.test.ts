// What comes from a network and from programs may be anything: it is refused or dropped, and memory stays bounded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PacketPort } from '../../devices/packets.ts';
import { DhcpServer } from '../../network/nat/dhcp.ts';
import { type IpPacket, ipFrames, parseAddress, readIp, readUdp, udpPacket, word } from '../../network/nat/wire.ts';
import { Errno } from '../errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { Timers } from '../kernel/timers.ts';
import { ByteQueue } from './byte-queue.ts';
import type { EthernetLink } from './ethernet/ethernet-link.ts';
import { answerRoute } from './netlink/route.ts';
import { NetworkNamespace } from './network-namespace.ts';

/** A small generator of the same numbers in each run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

const HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 9);
const ROUTER = parseAddress('10.9.0.1')!;
const OWN = parseAddress('10.9.0.15')!;

interface Plugged {
  readonly network: NetworkNamespace;
  readonly link: EthernetLink;
  /** Frames that wait to be taken. */
  readonly waiting: Uint8Array[];
  readonly sent: Uint8Array[];
  /** So many nanoseconds go by. */
  pass(nanoseconds: number): void;
}

/** An interface with an address that a server gave it. */
function plugged(): Plugged {
  const timers = new Timers();
  let now = 0;
  const next = random(7);
  const kernel = {
    timers,
    now: () => now,
    host: { randomness: (into: Uint8Array) => into.set(into.map(() => next() >>> 24)) },
  } as unknown as Kernel;
  const network = new NetworkNamespace(kernel);
  const waiting: Uint8Array[] = [];
  const sent: Uint8Array[] = [];
  const mask = parseAddress('255.255.255.0')!;
  const server = new DhcpServer({ first: OWN, count: 1, mask, router: ROUTER, dns: ROUTER, domain: 'test' });
  const port: PacketPort = {
    isUp: true,
    send: (frame) => {
      sent.push(frame.slice());
      const packet = word(frame, 12) === 0x800 ? readIp(frame) : undefined;
      const message = packet && readUdp(packet);
      const answer = message?.to === 67 ? server.answer(message.data, frame.subarray(6, 12)) : undefined;
      if (answer) frames(udpPacket({ address: ROUTER, port: 67 }, { address: OWN, port: 68 }, answer.reply));
      return true;
    },
    next: () => waiting[0],
    advance: () => void waiting.shift(),
  };
  const frames = (packet: IpPacket): void => void waiting.push(...ipFrames(HARDWARE, HARDWARE, packet));
  const link = network.plug(port, HARDWARE, 'guest', () => {});
  for (let turn = 0; turn < 4; turn++) link.poll();
  assert.deepEqual(link.interface.addresses.length, 1);
  const pass = (nanoseconds: number): void => {
    now += nanoseconds;
    timers.run(now);
    link.poll();
  };
  return { network, link, waiting, sent, pass };
}

test('frames of chance are taken or dropped, and nothing fails', () => {
  const { link, waiting, sent, pass } = plugged();
  const next = random(1);
  for (let round = 0; round < 20_000; round++) {
    const payload = Uint8Array.from({ length: next() % 80 }, () => next() >>> 24);
    const packet = {
      source: (next() & 7) + ROUTER,
      destination: OWN,
      protocol: [1, 6, 17, next() & 255][next() & 3],
      payload,
    };
    const [frame] = ipFrames(HARDWARE, HARDWARE, packet);
    // Some have whole headers, some are cut or changed anywhere.
    if (next() & 1) for (let each = 0; each < 3; each++) frame[next() % frame.length] = next() >>> 24;
    if ((next() & 7) === 0) frame[12] = 8;
    if ((next() & 7) === 0) frame[13] = 6;
    waiting.push(next() & 1 ? frame : frame.subarray(0, next() % frame.length));
    link.poll();
    if (sent.length > 1000) sent.length = 0;
    if (round % 100 === 0) pass(1e9);
  }
  assert.equal(waiting.length, 0);
});

test('a flood of questions for neighbours that are not there is bounded', () => {
  const { network, sent, pass } = plugged();
  for (let last = 0; last < 5000; last++) {
    const to = `\x0a\x09\0${String.fromCharCode(20 + (last % 200))}`;
    network.stack.sendIcmp('\x0a\x09\0\x0f', to, new Uint8Array(64));
  }
  for (let second = 0; second < 10; second++) pass(1e9);
  // 64 at once are asked for, three times each.
  assert.ok(sent.length < 64 * 3 + 20, `${sent.length} frames`);
});

test('a lease is asked for again, and an address is given up when it is over', () => {
  const { link, waiting, pass } = plugged();
  for (let hour = 0; hour < 48; hour++) {
    pass(3600e9);
    link.poll();
  }
  assert.equal(link.interface.addresses.length, 1);
  assert.equal(waiting.length, 0);
});

test('requests of chance to rtnetlink fail with an error number, or are answered', () => {
  const { network } = plugged();
  const next = random(3);
  for (let round = 0; round < 20_000; round++) {
    const body = Uint8Array.from({ length: next() % 64 }, () => (next() >>> 24) & (next() & 1 ? 255 : 7));
    const request = {
      type: 16 + (next() % 24),
      flags: next() & 0x3ff,
      sequence: round,
      header: new Uint8Array(16),
      body,
    };
    try {
      for (const answer of answerRoute(network.stack, request, 1, (next() & 1) === 0))
        assert.ok(answer.length % 4 === 0);
    } catch (error) {
      assert.ok(error instanceof Errno, String(error));
    }
  }
  for (const { addresses } of network.stack.interfaces) assert.ok(addresses.length <= 64);
});

test('a queue gives out what came in, in whatever pieces', () => {
  const next = random(5);
  const queue = new ByteQueue();
  let written = 0;
  let read = 0;
  for (let round = 0; round < 20_000; round++) {
    if (next() & 1) queue.push(Uint8Array.from({ length: next() % 3000 }, () => written++ & 255));
    else {
      const length = next() % 4000;
      const peeked = queue.peek(length).slice();
      const bytes = queue.take(length);
      assert.ok(bytes.length <= length);
      assert.deepEqual(peeked.subarray(0, bytes.length), bytes);
      for (const byte of bytes) if (byte !== (read++ & 255)) assert.fail(`byte ${read}`);
    }
    assert.equal(queue.length, written - read);
  }
});
