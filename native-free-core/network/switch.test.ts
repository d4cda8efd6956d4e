import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unfinished } from '../devices/offload.ts';
import { Switch } from './switch.ts';

const BROADCAST = 0xffffffffffff;

function frame(to: number, from: number, length = 60): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < 6; i++) {
    bytes[i] = Math.floor(to / 2 ** (40 - 8 * i)) & 0xff;
    bytes[6 + i] = Math.floor(from / 2 ** (40 - 8 * i)) & 0xff;
  }
  return bytes;
}

function lab(count = 3) {
  const time = { now: 0 };
  const network = new Switch({ now: () => time.now });
  const got: number[] = new Array(count).fill(0);
  const full: boolean[] = new Array(count).fill(false);
  const ports = got.map((_, index) =>
    network.connect(() => {
      if (full[index]) return false;
      got[index]++;
      return true;
    }),
  );
  const taken = () => got.splice(0, count, ...new Array(count).fill(0));
  return { network, ports, taken, full, time };
}

test('unknown and broadcast frames go everywhere, known ones to their port, never back', () => {
  const { ports, taken } = lab();
  ports[0].input(frame(0x0200_0000_0002, 0x0200_0000_0001));
  assert.deepEqual(taken(), [0, 1, 1], 'unknown');
  ports[1].input(frame(0x0200_0000_0001, 0x0200_0000_0002));
  assert.deepEqual(taken(), [1, 0, 0], 'learned');
  ports[0].input(frame(0x0200_0000_0002, 0x0200_0000_0001));
  assert.deepEqual(taken(), [0, 1, 0]);
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001));
  assert.deepEqual(taken(), [0, 1, 1], 'broadcast');
  ports[2].input(frame(0x0100_5e00_0001, 0x0200_0000_0003));
  assert.deepEqual(taken(), [1, 1, 0], 'multicast');
  ports[0].input(frame(0x0200_0000_0001, 0x0200_0000_0001));
  assert.deepEqual(taken(), [0, 0, 0], 'to itself');
});

test('a station that moves is found at its new port; one that is silent is forgotten', () => {
  const { ports, taken, time, network } = lab();
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001));
  ports[2].input(frame(BROADCAST, 0x0200_0000_0001));
  taken();
  ports[1].input(frame(0x0200_0000_0001, 0x0200_0000_0002));
  assert.deepEqual(taken(), [0, 0, 1]);
  time.now += 300_001;
  ports[1].input(frame(0x0200_0000_0001, 0x0200_0000_0002));
  assert.deepEqual(taken(), [1, 0, 1]);
  ports[2].close();
  ports[2].input(frame(BROADCAST, 0x0200_0000_0001));
  ports[1].input(frame(0x0200_0000_0001, 0x0200_0000_0002));
  assert.deepEqual(taken(), [1, 0, 0]);
  assert.equal(network.portCount, 2);
  assert.equal(network.addressCount, 1);
});

test('who makes up addresses displaces only its own', () => {
  const { ports, taken, network } = lab();
  ports[1].input(frame(BROADCAST, 0x0200_0000_0001));
  for (let i = 0; i < 5000; i++) ports[0].input(frame(BROADCAST, 0x0600_0000_0000 + i));
  assert.equal(network.addressCount, 1025);
  taken();
  ports[2].input(frame(0x0200_0000_0001, 0x0200_0000_0003));
  assert.deepEqual(taken(), [0, 1, 0]);
});

test('runts, giants and groups as source are refused; a port without room loses frames; all is counted', () => {
  const { ports, taken, full } = lab();
  ports[0].input(new Uint8Array(13));
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001, 9019));
  ports[0].input(frame(BROADCAST, 0x0100_0000_0001));
  assert.deepEqual(taken(), [0, 0, 0]);
  full[1] = true;
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001, 9018));
  assert.deepEqual(taken(), [0, 0, 1]);
  assert.deepEqual(ports[0].counters, {
    framesIn: 1,
    framesOut: 0,
    bytesIn: 9018,
    bytesOut: 0,
    refused: 3,
    spoofed: 0,
    dropped: 0,
  });
  assert.equal(ports[1].counters.dropped, 1);
  assert.equal(ports[2].counters.bytesOut, 9018);
});

test('a message that is not cut goes as it is to who takes it so, and in frames to others', () => {
  const network = new Switch({ now: () => 0 });
  const got: { length: number; header: boolean }[][] = [[], [], []];
  const takes = [Unfinished.checksum | Unfinished.tcp4, Unfinished.checksum, 0];
  for (const [index, frames] of got.entries())
    network.connect((bytes, header) => frames.push({ length: bytes.length, header: header !== undefined }) > 0, {
      takes: () => takes[index]!,
    });
  const sender = network.connect(() => true);
  // TCP over IPv4 with 2,500 bytes of data.
  const message = frame(BROADCAST, 0x0200_0000_0009, 54 + 2500);
  message.set([0x08, 0x00, 0x45], 12);
  message[23] = 6;
  message[46] = 5 << 4;
  const header = Uint8Array.of(1, 1, 54, 0, 0xe8, 0x03, 34, 0, 16, 0, 0, 0);
  sender.input(message, header);
  assert.deepEqual(got[0], [{ length: 2554, header: true }]);
  const cut = [1054, 1054, 554].map((length) => ({ length, header: false }));
  assert.deepEqual(got.slice(1), [cut, cut]);
  // Only its checksum is missing.
  sender.input(message.subarray(0, 100), Uint8Array.of(1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0));
  assert.deepEqual(
    got.map((frames) => frames.at(-1)),
    [true, true, false].map((header) => ({ length: 100, header })),
  );
  sender.input(message);
  assert.equal(sender.counters.refused, 0);
});

test('ports of a VLAN hear each other and nobody else; their own tags do not get them out', () => {
  const network = new Switch({ now: () => 0 });
  const got: Uint8Array[][] = [[], [], [], [], []];
  const options = [{ vlan: 7 }, { vlan: 7 }, { vlan: 8 }, {}, { isTrunk: true }];
  const ports = options.map((each, index) => network.connect((bytes) => got[index].push(bytes.slice()) > 0, each));
  const taken = () => got.map((frames) => frames.splice(0).length);
  const tag = (bytes: Uint8Array, type: number, vlan: number) =>
    Uint8Array.of(...bytes.subarray(0, 12), type >> 8, type & 0xff, 0, vlan, ...bytes.subarray(12));
  const plain = frame(BROADCAST, 0x0200_0000_0001);
  ports[0].input(plain);
  assert.deepEqual(got[4][0], tag(plain, 0x88a8, 7), 'another switch learns which VLAN it is');
  assert.deepEqual(taken(), [0, 1, 0, 0, 1]);
  ports[3].input(frame(BROADCAST, 0x0200_0000_0004));
  assert.deepEqual(taken(), [0, 0, 0, 0, 1]);
  ports[4].input(tag(frame(BROADCAST, 0x0200_0000_0005), 0x88a8, 8));
  assert.equal(got[2][0].length, 60, 'without the tag');
  assert.deepEqual(taken(), [0, 0, 1, 0, 0]);
  ports[0].input(tag(plain, 0x8100, 8));
  ports[0].input(tag(plain, 0x88a8, 8));
  ports[3].input(tag(plain, 0x88a8, 8));
  assert.deepEqual(taken(), [0, 0, 0, 0, 0]);
  assert.deepEqual([ports[0].counters.refused, ports[3].counters.refused], [2, 1]);
  ports[0].input(tag(plain, 0x8100, 0));
  assert.deepEqual(taken(), [0, 1, 0, 0, 1], 'a tag that only tells a priority');
  ports[3].input(tag(plain, 0x8100, 8));
  assert.deepEqual(taken(), [0, 0, 0, 0, 1], 'stations of an undivided network tag as they like');
});

test('a port takes no longer frames than its own, and the same address may be in two VLANs', () => {
  const network = new Switch({ now: () => 0 });
  const got = [0, 0, 0];
  const ports = [{ mtu: 9000 }, { mtu: 1500 }, { vlan: 5 }].map((options, index) =>
    network.connect(() => ++got[index] > 0, options),
  );
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001, 9014));
  assert.deepEqual([got, ports[1].counters.dropped], [[0, 0, 0], 1]);
  ports[1].input(frame(BROADCAST, 0x0200_0000_0002, 1519));
  assert.equal(ports[1].counters.refused, 1);
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001));
  ports[2].input(frame(BROADCAST, 0x0200_0000_0001));
  ports[1].input(frame(0x0200_0000_0001, 0x0200_0000_0002));
  assert.deepEqual(got, [1, 1, 0]);
});

test('nobody is heard under the address of another’s card, or under more than a port may have', () => {
  const network = new Switch({ now: () => 0 });
  const got = [0, 0];
  const station = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const ports = [{ station, stationsMax: 3 }, {}].map((options, index) =>
    network.connect(() => ++got[index] > 0, options),
  );
  ports[1].input(frame(BROADCAST, 0x0200_0000_0001));
  assert.deepEqual([got, ports[1].counters.spoofed], [[0, 0], 1]);
  for (let i = 5; i < 50; i++) ports[0].input(frame(BROADCAST, 0x0200_0000_0000 + i));
  ports[0].input(frame(BROADCAST, 0x0200_0000_0001));
  assert.deepEqual([got, ports[0].counters.spoofed], [[0, 4], 42]);
  ports[0].close();
  ports[1].input(frame(BROADCAST, 0x0200_0000_0001));
  assert.equal(ports[1].counters.spoofed, 1);
});
