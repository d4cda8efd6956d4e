import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../../bus.ts';
import { addWords, fold, frameCheck, multicastBit } from '../../packets.ts';
import { PciBus } from '../../pci/pci-bus.ts';
import { TestLine, TestTime } from '../../testing.ts';
import { TEST_ADDRESS, TestMemory, TestPort, testFrame } from '../testing.ts';
import { Cause, R } from './registers.ts';
import { Rtl8139 } from './rtl8139.ts';

const BASE = 0xc000;
const RING = 0x8000;
const BROADCAST = [255, 255, 255, 255, 255, 255];

function lab(isPlus = true) {
  const time = new TestTime();
  const memory = new TestMemory();
  const port = new TestPort();
  const card = new Rtl8139({ clock: time.clock, timers: time.timers, memory, port, address: TEST_ADDRESS, isPlus });
  const bus = new IoBus();
  const line = new TestLine();
  const pci = new PciBus(bus, [line, line, line, line]);
  pci.add(4, 0, card.pci);
  card.pci.assignBar(0, BASE);
  card.pci.assignBar(1, 0xfe000000);
  card.pci.writeConfig(4, 2, 7);
  const read = (register: number, size: 1 | 2 | 4) => bus.readPort(BASE + register, size);
  const write = (register: number, size: 1 | 2 | 4, value: number) => bus.writePort(BASE + register, size, value);
  /** The older chip's way: a ring of 8 KiB, own and broadcast frames. */
  const start = (config = 0x0a) => {
    write(R.rxBuffer, 4, RING);
    write(R.command, 1, 0x0c);
    write(R.rxConfig, 4, config);
    write(R.mask, 2, 0xffff);
  };
  const offer = (...frames: Uint8Array[]) => {
    port.waiting.push(...frames);
    card.poll();
  };
  return { time, memory, port, card, bus, line, read, write, start, offer };
}

/** The record of a frame in the receive ring. */
function record(memory: TestMemory, at: number) {
  const length = memory.view.getUint16(RING + at + 2, true);
  return {
    status: memory.view.getUint16(RING + at, true),
    length,
    data: memory.bytes.slice(RING + at + 4, RING + at + 4 + length - 4),
    check: memory.view.getUint32(RING + at + length, true),
  };
}

test('the address stands in the registers and in the EEPROM; the two chips say who they are', () => {
  for (const isPlus of [true, false]) {
    const { read, write, card } = lab(isPlus);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].map((i) => read(i, 1)),
      [...TEST_ADDRESS],
    );
    assert.equal(card.pci.readConfig(8, 1), isPlus ? 0x20 : 0x10);
    assert.equal(read(R.txConfig, 4) & 0x7cc00000, isPlus ? 0x74800000 : 0x74000000);
    // Select, start bit, opcode 10, six address bits, sixteen clocks.
    const word = (address: number) => {
      write(R.eeprom, 1, 0x80);
      write(R.eeprom, 1, 0x88);
      const clock = (bit: number) => {
        write(R.eeprom, 1, 0x88 | (bit << 1));
        write(R.eeprom, 1, 0x8c | (bit << 1));
        return read(R.eeprom, 1) & 1;
      };
      for (let i = 8; i >= 0; i--) clock(((0x180 | address) >> i) & 1);
      let value = 0;
      for (let i = 0; i < 16; i++) value = (value << 1) | clock(0);
      write(R.eeprom, 1, 0);
      return value;
    };
    assert.deepEqual([0, 7, 8, 9].map(word), [0x8129, 0x1102, 0x3322, 0x5544]);
  }
});

test('configuration needs its key, and a reset leaves the address', () => {
  const { read, write } = lab();
  write(R.config1, 1, 0xff);
  assert.equal(read(R.config1, 1), 0x0c);
  write(R.eeprom, 1, 0xc0);
  write(R.config1, 1, 0xff);
  assert.equal(read(R.config1, 1), 0xfc);
  write(0, 4, 0x01020304);
  write(R.command, 1, 0x10);
  assert.equal(read(R.command, 1), 0x01, 'reset is over, the ring is empty');
  assert.equal(read(0, 4), 0x01020304);
  write(R.eeprom, 1, 0x40);
  assert.equal(read(0, 4), 0x33221102, 'loaded again');
});

test('the four slots send in turn, wait for room, and tell of it', () => {
  const { memory, port, card, read, write, start, line } = lab(false);
  start();
  memory.bytes.set(testFrame(200), 0x4001);
  for (let i = 0; i < 4; i++) write(R.txAddress + 4 * i, 4, 0x4001);
  port.room = 2;
  write(R.txStatus, 4, 200);
  assert.equal(read(R.txStatus, 4), 0xa000 | 200);
  assert.deepEqual(port.sent, [testFrame(200)]);
  assert.equal(line.level, true);
  write(R.cause, 2, 0xffff);
  assert.equal(line.level, false);
  write(R.txStatus + 4, 4, 20);
  write(R.txStatus + 8, 4, 100);
  assert.equal(port.sent[1].length, 60, 'padded');
  assert.equal(read(R.txStatus + 8, 4), 100, 'waits');
  assert.equal(read(R.txSummary, 2), 0x300b);
  port.room = 3;
  card.poll();
  assert.equal(port.sent.length, 3);
  assert.equal(read(R.txStatus + 8, 4), 0xa000 | 100);
});

test('the receive ring: header, check sequence, alignment, wrapping, no room', () => {
  const { memory, port, card, read, write, start, offer } = lab(false);
  start();
  const frame = testFrame(101);
  offer(frame);
  assert.deepEqual(record(memory, 0), { status: 0x4001, length: 105, data: frame, check: frameCheck(frame, 101) });
  assert.equal(read(R.rxWritten, 2), 112);
  assert.equal(read(R.command, 1) & 1, 0);
  write(R.rxRead, 2, 112 - 16);
  assert.equal(read(R.command, 1) & 1, 1, 'empty again');
  // Five more of 1,512 bytes each fit 8 KiB, and a sixth does not.
  offer(...Array.from({ length: 6 }, () => testFrame(1504)));
  assert.equal(port.waiting.length, 1);
  assert.equal(read(R.rxWritten, 2), 112 + 5 * 1512);
  write(R.rxRead, 2, 112 + 5 * 1512 - 16);
  card.poll();
  assert.equal(port.waiting.length, 0);
  const at = 112 + 5 * 1512;
  const room = 8192 - at;
  assert.deepEqual(memory.bytes.subarray(RING, RING + 1504 - (room - 4)), testFrame(1504).subarray(room - 4));
  assert.equal(read(R.rxWritten, 2), 1512 - room);
});

test('with WRAP a frame goes on behind the end of the ring', () => {
  const { memory, read, write, start, offer } = lab(false);
  start(0x8a);
  write(R.rxRead, 2, 8000 - 16);
  for (let i = 0; i < 5; i++) offer(testFrame(1504));
  write(R.rxRead, 2, 7560 - 16);
  offer(testFrame(1504));
  assert.deepEqual(record(memory, 7560).data, testFrame(1504));
  assert.equal(read(R.rxWritten, 2), 7560 + 1512 - 8192);
});

test('filters: own, broadcast, multicast by hash, all; nothing while off', () => {
  const { read, write, start, offer } = lab(false);
  start(0);
  const group = [1, 0, 0x5e, 0, 0, 0xfb];
  const taken = (frame: Uint8Array) => {
    const before = read(R.rxWritten, 2);
    write(R.rxRead, 2, (before - 16) & 0xffff);
    offer(frame);
    return read(R.rxWritten, 2) !== before;
  };
  const results = (config: number) => {
    write(R.rxConfig, 4, config);
    return [testFrame(60), testFrame(60, [2, 9, 9, 9, 9, 9]), testFrame(60, BROADCAST), testFrame(60, group)].map(
      taken,
    );
  };
  assert.deepEqual(results(0), [false, false, false, false]);
  assert.deepEqual(results(0x02), [true, false, false, false]);
  assert.deepEqual(results(0x08), [false, false, true, false]);
  assert.deepEqual(results(0x04), [false, false, false, false]);
  const bit = multicastBit(Uint8Array.from(group));
  write(R.multicast + 4 * (bit >> 5), 4, 2 ** (bit & 31));
  assert.deepEqual(results(0x04), [false, false, false, true]);
  assert.deepEqual(results(0x01), [true, true, true, true]);
  write(R.command, 1, 0);
  assert.deepEqual(results(0x01), [false, false, false, false]);
});

/** The newer chip's way: rings of four descriptors. */
function plus() {
  const machine = lab();
  const { memory, write } = machine;
  const [tx, rx] = [0x1000, 0x2000];
  const describe = (ring: number, index: number, word: number, address: number, second = 0) => {
    const end = index === 3 ? 0x40000000 : 0;
    [word + end, second, address, 0].forEach((value, i) => {
      memory.view.setUint32(ring + 16 * index + 4 * i, value, true);
    });
  };
  const word = (ring: number, index: number) => memory.view.getUint32(ring + 16 * index, true);
  for (let i = 0; i < 4; i++) describe(rx, i, 0x80000000 + 1536, 0x10000 + 0x1000 * i);
  write(R.plusCommand, 2, 0x23);
  write(R.txRing, 4, tx);
  write(R.txRing + 4, 4, 0);
  write(R.rxRing, 4, rx);
  write(R.rxRing + 4, 4, 0);
  write(R.command, 1, 0x0c);
  write(R.rxConfig, 4, 0x0a);
  write(R.mask, 2, 0xffff);
  return { ...machine, tx, rx, describe, word };
}

function tcpFrame(payload: number): Uint8Array {
  const frame = testFrame(54 + payload);
  const view = new DataView(frame.buffer);
  frame.fill(0, 14, 54);
  view.setUint16(12, 0x0800);
  frame[14] = 0x45;
  view.setUint16(16, 40 + payload);
  frame.set([64, 6, 0xde, 0xad, 10, 0, 0, 1, 10, 0, 0, 2], 22);
  frame[46] = 0x50;
  frame[47] = 0x18;
  return frame;
}

function sumsAreRight(frame: Uint8Array): boolean {
  const end = 14 + ((frame[16] << 8) | frame[17]);
  const pseudo = addWords(6 + end - 34, frame, 26, 34);
  return fold(addWords(0, frame, 14, 34)) === 0xffff && fold(addWords(pseudo, frame, 34, end)) === 0xffff;
}

test('descriptors: parts of a frame, checksums, a tag, the ring’s end', () => {
  const { memory, port, write, read, tx, describe, word } = plus();
  const frame = tcpFrame(300);
  memory.bytes.set(frame, 0x4000);
  describe(tx, 0, 0xa0000000 + 54 + 0x50000, 0x4000);
  describe(tx, 1, 0x90000000 + 300 + 0x50000, 0x4000 + 54);
  describe(tx, 2, 0xb0000000 + 100, 0x4000, 0x20000 + 0x2301);
  describe(tx, 3, 0xb0000000 + 70, 0x4000);
  write(R.poll, 1, 0x40);
  assert.deepEqual(
    port.sent.map((sent) => sent.length),
    [354, 104, 70],
  );
  assert.ok(sumsAreRight(port.sent[0]));
  assert.deepEqual(port.sent[1].subarray(12, 16), Uint8Array.of(0x81, 0, 1, 0x23));
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => word(tx, index) >>> 28),
    [2, 1, 3, 7],
  );
  assert.equal(read(R.cause, 2) & (Cause.sent | Cause.noTxDescriptor), Cause.sent | Cause.noTxDescriptor);
  describe(tx, 0, 0xb0000000 + 80, 0x4000);
  write(R.poll, 1, 0x40);
  assert.equal(port.sent[3].length, 80, 'from the start again');
});

test('a long message is cut into segments', () => {
  const { memory, port, card, write, tx, describe, word } = plus();
  const frame = tcpFrame(3000);
  memory.bytes.set(frame, 0x4000);
  describe(tx, 0, 0xb8000000 + 3054 + 1448 * 0x10000, 0x4000);
  port.room = 1;
  write(R.poll, 1, 0x40);
  assert.equal(word(tx, 0) >>> 31, 1, 'not done yet');
  port.room = 9;
  card.poll();
  assert.deepEqual(
    port.sent.map((sent) => sent.length),
    [1502, 1502, 158],
  );
  assert.ok(port.sent.every(sumsAreRight));
  assert.equal(word(tx, 0) >>> 31, 0);
  assert.deepEqual(
    port.sent.flatMap((sent) => [...sent.subarray(54)]),
    [...frame.subarray(54)],
  );
});

test('received: status of kind and checksums; frames wait for descriptors', () => {
  const { memory, port, write, offer, card, rx, word, describe } = plus();
  const good = tcpFrame(100);
  good.fill(0, 24, 26);
  const view = new DataView(good.buffer);
  view.setUint16(24, ~fold(addWords(0, good, 14, 34)) & 0xffff);
  view.setUint16(50, ~fold(addWords(addWords(6 + 120, good, 26, 34), good, 34, 154)) & 0xffff);
  const bad = good.slice();
  bad[100] ^= 1;
  offer(good, bad, testFrame(60, BROADCAST), testFrame(60), testFrame(61));
  assert.equal(port.waiting.length, 1);
  assert.equal(word(rx, 0), 0x32010000 + 158);
  assert.equal(word(rx, 1), 0x32012000 + 158);
  assert.equal(word(rx, 2), 0x31000000 + 64);
  assert.equal(word(rx, 3) >>> 28, 7);
  assert.deepEqual(memory.bytes.subarray(0x10000, 0x10000 + 154), good);
  describe(rx, 0, 0x80000000 + 1536, 0x10000);
  card.poll();
  assert.equal(port.waiting.length, 0);
  assert.equal(word(rx, 0) & 0x1fff, 65);
  // The counters, wherever they are wanted: 64 bytes, from a multiple of 64.
  write(R.tally + 4, 4, 0);
  write(R.tally, 4, 0x6000 | 8);
  assert.equal(memory.view.getBigUint64(0x6008, true), 5n);
  assert.equal(memory.view.getBigUint64(0x6030, true), 1n);
});

test('the timer counts PCI clocks and interrupts where it is told to; the link is told', () => {
  const { time, read, write, line, port, card } = lab();
  write(R.mask, 2, Cause.timer | Cause.link);
  write(R.timer, 4, 0);
  time.advance(1_000_000);
  assert.equal(read(R.timer, 4), 33_000);
  write(R.timerInterrupt, 4, 66_000);
  time.advance(999_000);
  assert.equal(line.level, false);
  time.advance(2_000);
  assert.equal(line.level, true);
  write(R.cause, 2, 0xffff);
  port.isUp = false;
  card.poll();
  assert.equal(read(R.cause, 2), Cause.link);
  assert.equal(read(R.mediaStatus, 1) & 4, 4);
  assert.equal(read(R.phyStatus, 2) & 4, 0);
});

test('hostile registers, rings and descriptors neither throw nor keep the card busy; state survives saving', () => {
  let seed = 11;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const { card, write, read, port, memory, time } = lab();
  const other = lab();
  const values = [0, 1, 0xffffffff, 0x80000000, 0x0c, 0x1c, 0x23, 0x40, 0x2000, 0x8000];
  for (let step = 0; step < 20_000; step++) {
    const size = [1, 2, 4][below(3)] as 1 | 2 | 4;
    const register = below(256 - size + 1);
    const value = (below(2) === 0 ? values[below(values.length)] : below(0x7fffffff) * 2) % 2 ** (8 * size);
    if (below(3) === 0) assert.ok(read(register, size) >= 0);
    else write(register, size, value);
    if (below(8) === 0) write(R.command, 1, 0x0c);
    if (below(8) === 0) write(R.plusCommand, 2, below(128));
    if (below(8) === 0) for (let i = 0; i < 64; i++) memory.bytes[below(0x3000)] = below(256);
    if (below(8) === 0) {
      port.waiting.push(testFrame(14 + below(17_000)));
      card.poll();
    }
    port.room = port.sent.length + below(4);
    if (below(16) === 0) time.stall(below(1e6));
    if (port.sent.length > 1000) port.sent.length = 0;
  }
  const state = structuredClone(card.save());
  other.time.nanoseconds = time.nanoseconds;
  other.card.restore(state);
  assert.deepEqual(other.card.save(), card.save());
  assert.throws(() => other.card.restore({ ...state, slot: 4 }), /no valid slot/);
});
