import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { frameCheck, multicastBit } from '../packets.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { TestLine } from '../testing.ts';
import { Ne2000Isa, Ne2000Pci } from './ne2000.ts';
import { TEST_ADDRESS, TestPort, testFrame } from './testing.ts';

const BASE = 0x300;
const [FIRST, STOP] = [0x46, 0x60];
const BROADCAST = [255, 255, 255, 255, 255, 255];

function lab() {
  const bus = new IoBus();
  const port = new TestPort();
  const line = new TestLine();
  const card = new Ne2000Isa({ port, line, address: TEST_ADDRESS });
  card.attach(bus, BASE);
  const read = (register: number, size: 1 | 2 | 4 = 1) => bus.readPort(BASE + register, size);
  const write = (register: number, value: number, size: 1 | 2 | 4 = 1) => bus.writePort(BASE + register, size, value);
  const remote = (command: number, address: number, count: number) => {
    write(0x08, address & 0xff);
    write(0x09, address >> 8);
    write(0x0a, count & 0xff);
    write(0x0b, count >> 8);
    write(0x00, command);
  };
  /** Bytes of packet memory, by words as drivers read them. */
  const fetch = (address: number, count: number) => {
    remote(0x0a, address, count);
    const bytes = new Uint8Array(count + 1);
    for (let i = 0; i < count; i += 2) new DataView(bytes.buffer).setUint16(i, read(0x10, 2), true);
    return bytes.subarray(0, count);
  };
  const store = (address: number, bytes: Uint8Array) => {
    remote(0x12, address, bytes.length);
    for (let i = 0; i < bytes.length; i += 2) write(0x10, bytes[i] | ((bytes[i + 1] ?? 0) << 8), 2);
  };
  /** As drivers do it: a ring from FIRST to STOP, own and broadcast frames. */
  const start = (config = 0x04) => {
    read(0x1f);
    write(0x00, 0x21);
    write(0x0e, 0x49);
    write(0x0c, config);
    write(0x0d, 0);
    write(0x01, FIRST);
    write(0x02, STOP);
    write(0x03, FIRST);
    write(0x07, 0xff);
    write(0x00, 0x61);
    for (let i = 0; i < 6; i++) write(1 + i, TEST_ADDRESS[i]);
    write(0x07, FIRST + 1);
    write(0x00, 0x22);
    write(0x0f, 0x3f);
  };
  const offer = (...frames: Uint8Array[]) => {
    port.waiting.push(...frames);
    card.poll();
  };
  const current = () => {
    write(0x00, 0x62);
    const page = read(0x07);
    write(0x00, 0x22);
    return page;
  };
  return { port, line, card, read, write, remote, fetch, store, start, offer, current };
}

test('the PROM tells the address twice and the width; a reset is told', () => {
  const { read, write, fetch } = lab();
  read(0x1f);
  assert.equal(read(0x07), 0x80);
  write(0x0e, 0x49);
  const prom = fetch(0, 32);
  for (let i = 0; i < 6; i++) assert.deepEqual([prom[2 * i], prom[2 * i + 1]], [TEST_ADDRESS[i], TEST_ADDRESS[i]]);
  assert.deepEqual([...prom.subarray(28)], [0x57, 0x57, 0x57, 0x57]);
  assert.equal(read(0x07) & 0xc0, 0x40, 'remote transfer done, no reset any more');
});

test('frames go out from packet memory, and wait for room', () => {
  const { port, card, read, write, store, start, line } = lab();
  start();
  const frame = testFrame(333);
  store(0x4000, frame);
  assert.equal(read(0x07) & 0x40, 0x40);
  write(0x07, 0x40);
  port.room = 0;
  write(0x04, 0x40);
  write(0x05, 333 & 0xff);
  write(0x06, 333 >> 8);
  write(0x00, 0x26);
  assert.equal(read(0x00) & 4, 4, 'under way');
  assert.equal(line.level, false);
  port.room = 1;
  card.poll();
  assert.deepEqual(port.sent, [frame]);
  assert.equal(read(0x00) & 4, 0);
  assert.equal(read(0x04), 1);
  assert.equal(line.level, true);
  write(0x07, 2);
  assert.equal(line.level, false);
});

test('frames come in behind each other, over the end of the ring, and wait where it is full', () => {
  const { port, card, read, write, fetch, start, offer, current, line } = lab();
  start();
  const frame = testFrame(1000);
  offer(frame);
  assert.equal(line.level, true);
  assert.equal(current(), FIRST + 5);
  const header = fetch((FIRST + 1) * 256, 4);
  assert.deepEqual([...header], [1, FIRST + 5, 1004 & 0xff, 1004 >> 8]);
  assert.deepEqual(fetch((FIRST + 1) * 256 + 4, 1000), frame);
  const check = fetch((FIRST + 1) * 256 + 1004, 4).slice();
  assert.equal(new DataView(check.buffer).getUint32(0, true), frameCheck(frame, 1000));
  // 26 pages; the one at the boundary stays free.
  offer(...Array.from({ length: 6 }, () => testFrame(1000)));
  assert.equal(current(), FIRST + 25);
  assert.equal(port.waiting.length, 1);
  write(0x03, FIRST + 24);
  card.poll();
  assert.equal(port.waiting.length, 0);
  assert.equal(current(), FIRST + 3);
  // A remote read goes around as the ring does.
  assert.deepEqual(fetch((STOP - 1) * 256 + 4, 1000), frame);
  assert.equal(read(0x0c), 1);
});

test('filters: own, broadcast, multicast by hash, promiscuous, monitor; stopped', () => {
  const { write, start, offer, current } = lab();
  start(0);
  const group = [1, 0, 0x5e, 0, 0, 0xfb];
  const taken = (frame: Uint8Array) => {
    const before = current();
    write(0x03, before === FIRST ? STOP - 1 : before - 1);
    offer(frame);
    return current() !== before;
  };
  const results = (config: number) => {
    write(0x0c, config);
    return [testFrame(60), testFrame(60, [2, 9, 9, 9, 9, 9]), testFrame(60, BROADCAST), testFrame(60, group)].map(
      taken,
    );
  };
  assert.deepEqual(results(0), [true, false, false, false]);
  assert.deepEqual(results(4), [true, false, true, false]);
  assert.deepEqual(results(8), [true, false, false, false]);
  const bit = multicastBit(Uint8Array.from(group));
  write(0x00, 0x62);
  write(8 + (bit >> 3), 1 << (bit & 7));
  write(0x00, 0x22);
  assert.deepEqual(results(8), [true, false, false, true]);
  assert.deepEqual(results(0x10), [true, true, false, false]);
  assert.deepEqual(results(0x20), [false, false, false, false]);
});

test('loopback stays in the chip, and a stopped one sends nothing', () => {
  const { port, read, write, start } = lab();
  start();
  write(0x05, 60);
  write(0x04, 0x40);
  write(0x0d, 2);
  write(0x00, 0x26);
  assert.equal(read(0x07) & 2, 2);
  write(0x0d, 0);
  write(0x00, 0x25);
  assert.equal(read(0x00) & 4, 0);
  assert.equal(port.sent.length, 0);
});

test('the PCI card is the same behind a BAR, and says whose it is', () => {
  const bus = new IoBus();
  const line = new TestLine();
  const port = new TestPort();
  const card = new Ne2000Pci({ port, address: TEST_ADDRESS });
  const pci = new PciBus(bus, [line, line, line, line]);
  pci.add(3, 0, card.pci);
  card.pci.assignBar(0, 0xc000);
  card.pci.writeConfig(4, 2, 1);
  assert.equal(card.pci.readConfig(0, 4), 0x802910ec);
  assert.deepEqual([bus.readPort(0xc00a, 1), bus.readPort(0xc00b, 1)], [0x50, 0x43]);
  bus.writePort(0xc00f, 1, 0x40);
  bus.writePort(0xc000, 1, 0x0a);
  assert.equal(line.level, true, 'a transfer of nothing is done at once');
  card.reset();
  assert.equal(line.level, false);
});

test('hostile registers neither throw nor keep the card busy; state survives saving', () => {
  let seed = 13;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const { card, write, read, port } = lab();
  const other = lab();
  for (let step = 0; step < 30_000; step++) {
    const size = [1, 2, 4][below(3)] as 1 | 2 | 4;
    const register = below(32 - size + 1);
    if (below(3) === 0 && register < 0x18) assert.ok(read(register, size) >= 0);
    else write(register, below(0x7fffffff) % 2 ** (8 * size), size);
    if (below(4) === 0) write(0, [0x22, 0x62, 0x26, 0x0a, 0x12, 0x1a][below(6)]);
    if (below(8) === 0) {
      port.waiting.push(testFrame(14 + below(3000)));
      card.poll();
    }
    port.room = port.sent.length + below(3);
    if (port.waiting.length > 100) port.waiting.length = 0;
    if (port.sent.length > 1000) port.sent.length = 0;
  }
  const state = structuredClone(card.save());
  other.card.restore(state);
  assert.deepEqual(other.card.save(), card.save());
  assert.throws(() => other.card.restore({ ...state, current: 256 }), /no valid current/);
});
