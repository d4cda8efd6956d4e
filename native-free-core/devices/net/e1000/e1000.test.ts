import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../../bus.ts';
import { addWords, fold, frameCheck } from '../../packets.ts';
import { PciBus } from '../../pci/pci-bus.ts';
import { TestLine, TestTime } from '../../testing.ts';
import { TEST_ADDRESS, TestMemory, TestPort, testFrame } from '../testing.ts';
import { E1000 } from './e1000.ts';
import { Cause, R } from './registers.ts';

const BASE = 0xfe000000;
const TX_RING = 0x1000;
const RX_RING = 0x2000;
const COUNT = 8;
const BUFFERS = 0x10000;
const BROADCAST = [255, 255, 255, 255, 255, 255];

function lab() {
  const time = new TestTime();
  const memory = new TestMemory();
  const port = new TestPort();
  const card = new E1000({ clock: time.clock, timers: time.timers, memory, port, address: TEST_ADDRESS });
  const bus = new IoBus();
  const line = new TestLine();
  const pci = new PciBus(bus, [line, line, line, line]);
  pci.add(4, 0, card.pci);
  card.pci.assignBar(0, BASE);
  card.pci.assignBar(2, 0xc100);
  card.pci.writeConfig(4, 2, 7);
  const read = (register: number) => bus.readMmio(BASE + register, 4);
  const write = (register: number, value: number) => bus.writeMmio(BASE + register, 4, value);
  /** Rings of eight descriptors; the card receives and sends. */
  const start = (receive = 0x8002) => {
    write(R.txBaseLow, TX_RING);
    write(R.txLength, COUNT * 16);
    write(R.rxBaseLow, RX_RING);
    write(R.rxLength, COUNT * 16);
    for (let i = 0; i < COUNT; i++) memory.view.setUint32(RX_RING + 16 * i, BUFFERS + 0x1000 * i, true);
    write(R.rxTail, COUNT - 1);
    write(R.transmitControl, 0x0a);
    write(R.receiveControl, receive);
  };
  let tail = 0;
  /** Puts a descriptor of four words into the ring. */
  const describe = (...words: number[]) => {
    words.forEach((word, i) => {
      memory.view.setUint32(TX_RING + 16 * tail + 4 * i, word, true);
    });
    tail = (tail + 1) % COUNT;
  };
  const go = () => write(R.txTail, tail);
  const received = (index: number) => {
    const at = RX_RING + 16 * index;
    return {
      length: memory.view.getUint16(at + 8, true),
      checksum: memory.view.getUint16(at + 10, true),
      status: memory.bytes[at + 12],
      errors: memory.bytes[at + 13],
      tag: memory.view.getUint16(at + 14, true),
      data: memory.bytes.subarray(BUFFERS + 0x1000 * index),
    };
  };
  return { time, memory, port, card, bus, line, read, write, start, describe, go, received };
}

/** An IPv4 frame with a TCP or UDP message of `payload` bytes, checksums as `sums` says. */
function ipFrame({ protocol = 6, payload = 100, sums = true } = {}): Uint8Array {
  const header = protocol === 6 ? 20 : 8;
  const frame = testFrame(14 + 20 + header + payload);
  const view = new DataView(frame.buffer);
  frame.fill(0, 14, 34 + header);
  view.setUint16(12, 0x0800);
  frame[14] = 0x45;
  view.setUint16(16, 20 + header + payload);
  view.setUint16(18, 0x1234);
  frame.set([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 22);
  if (protocol === 6) {
    view.setUint32(38, 0xffff_ff00);
    frame.set([0x50, 0x19], 46);
  } else view.setUint16(38, 8 + payload);
  if (sums) {
    view.setUint16(24, ~fold(addWords(0, frame, 14, 34)) & 0xffff);
    const pseudo = addWords(protocol + header + payload, frame, 26, 34);
    const at = 34 + (protocol === 6 ? 16 : 6);
    view.setUint16(at, ~fold(addWords(pseudo, frame, 34, frame.length)) & 0xffff);
  }
  return frame;
}

/** Whether the checksums of an IPv4 frame are right. */
function sumsAreRight(frame: Uint8Array, end = frame.length): boolean {
  const protocol = frame[23];
  const pseudo = addWords(protocol + end - 34, frame, 26, 34);
  return fold(addWords(0, frame, 14, 34)) === 0xffff && fold(addWords(pseudo, frame, 34, end)) === 0xffff;
}

test('the address is in the receive registers and, by both ways, in the EEPROM, whose sum is right', () => {
  const { read, write } = lab();
  assert.equal(read(R.addresses), 0x33221102);
  assert.equal(read(R.addresses + 4), 0x80005544);
  const words: number[] = [];
  for (let address = 0; address < 64; address++) {
    write(R.eepromRead, (address << 8) | 1);
    assert.equal(read(R.eepromRead) & 0x10, 0x10);
    words.push(read(R.eepromRead) >>> 16);
  }
  assert.deepEqual(words.slice(0, 3), [0x1102, 0x3322, 0x5544]);
  assert.equal(words.reduce((sum, word) => sum + word) & 0xffff, 0xbaba);
  // Bit by bit: chip select, then start bit, opcode 10 and six address bits, then sixteen clocks.
  write(R.eepromControl, 0x40);
  assert.equal(read(R.eepromControl) & 0xc0, 0xc0, 'granted');
  for (const address of [0, 1, 63]) {
    write(R.eepromControl, 0x42);
    const clock = (bit: number) => {
      write(R.eepromControl, 0x42 | (bit << 2));
      write(R.eepromControl, 0x43 | (bit << 2));
      const out = (read(R.eepromControl) >> 3) & 1;
      write(R.eepromControl, 0x42 | (bit << 2));
      return out;
    };
    for (let i = 8; i >= 0; i--) clock(((0x180 | address) >> i) & 1);
    let word = 0;
    for (let i = 0; i < 16; i++) word = (word << 1) | clock(0);
    assert.equal(word, words[address]);
    write(R.eepromControl, 0x40);
  }
});

test('the transceiver tells who it is and what the link is; a cable that is pulled is told', () => {
  const { read, write, port, card, line } = lab();
  const phy = (register: number) => {
    write(R.mdi, (2 << 26) | (1 << 21) | (register << 16));
    assert.equal(read(R.mdi) >>> 28, 1, 'ready, no error');
    return read(R.mdi) & 0xffff;
  };
  assert.deepEqual([phy(2), phy(3)], [0x0141, 0x0c20]);
  assert.equal(phy(1) & 0x24, 0x24);
  assert.equal(read(R.status) & 0x83, 0x83);
  write(R.mdi, (2 << 26) | (2 << 21));
  assert.equal(read(R.mdi) >>> 30, 1, 'nobody at address 2');
  write(R.maskSet, Cause.link);
  read(R.cause);
  port.isUp = false;
  card.poll();
  assert.equal(line.level, true);
  assert.equal(read(R.cause), Cause.link);
  assert.equal(line.level, false);
  assert.equal(read(R.status) & 2, 0);
  port.isUp = true;
  card.poll();
  assert.equal(phy(1) & 4, 0, 'a loss is told once');
  assert.equal(phy(1) & 4, 4);
  assert.equal(read(R.status) & 2, 2);
});

test('legacy descriptors: parts, checksum, padding, status and interrupts', () => {
  const { memory, port, start, describe, go, read, write, line } = lab();
  start();
  write(R.maskSet, Cause.txWritten);
  const frame = ipFrame({ payload: 200, sums: false });
  frame.set(ipFrame({ payload: 200 }).subarray(24, 26), 24);
  // As a driver does: the sum of the pseudo header stands where the checksum goes.
  new DataView(frame.buffer).setUint16(50, fold(addWords(6 + 220, frame, 26, 34)));
  memory.bytes.set(frame, 0x8001);
  describe(0x8001, 0, 60, 0);
  describe(0x8001 + 60, 0, ((0x0b | 4) << 24) | (50 << 16) | (frame.length - 60), 34 << 8);
  describe(0x9000, 0, (0x0b << 24) | 20, 0);
  go();
  assert.deepEqual(
    port.sent.map((sent) => sent.length),
    [frame.length, 60],
  );
  assert.ok(sumsAreRight(port.sent[0]));
  assert.equal(memory.bytes[TX_RING + 12], 0, 'not asked to report');
  assert.equal(memory.bytes[TX_RING + 16 + 12], 1);
  assert.equal(read(R.txHead), 3);
  assert.equal(line.level, true);
  assert.equal(read(R.cause) & (Cause.txWritten | Cause.txEmpty), Cause.txWritten | Cause.txEmpty);
  assert.equal(line.level, false);
  assert.equal(read(0x40d4), 2, 'frames sent');
  assert.equal(read(0x40d4), 0, 'cleared by reading');
  assert.equal(read(0x40c8), frame.length + 4 + 64, 'bytes sent');
});

test('a message is cut into segments: lengths, identification, sequence, flags and checksums', () => {
  const { memory, port, start, describe, go, read } = lab();
  start();
  const payload = 3000;
  const frame = ipFrame({ payload, sums: false });
  const view = new DataView(frame.buffer);
  view.setUint16(16, 0);
  view.setUint16(50, fold(addWords(6, frame, 26, 34)));
  memory.bytes.set(frame, 0x8000);
  describe(14 | (24 << 8) | (33 << 16), 34 | (50 << 8), (0x27 << 24) | payload, (54 << 8) | (1448 << 16));
  describe(0x8000, 0, (0x24 << 24) | (1 << 20) | 54, 0x0300);
  describe(0x8000 + 54, 0, (0x2d << 24) | (1 << 20) | payload, 0x0300);
  go();
  assert.deepEqual(
    port.sent.map((sent) => sent.length),
    [54 + 1448, 54 + 1448, 54 + 104],
  );
  let at = 0;
  for (const [index, sent] of port.sent.entries()) {
    const header = new DataView(sent.buffer);
    assert.equal(header.getUint16(16), sent.length - 14);
    assert.equal(header.getUint16(18), 0x1234 + index);
    assert.equal(header.getUint32(38), (0xffff_ff00 + at) >>> 0);
    assert.equal(sent[47], index === 2 ? 0x19 : 0x10, 'FIN and PSH in the last one only');
    assert.ok(sumsAreRight(sent), `segment ${index}`);
    assert.deepEqual(sent.subarray(54), frame.subarray(54 + at, 54 + at + sent.length - 54));
    at += sent.length - 54;
  }
  assert.equal(memory.bytes[TX_RING + 32 + 12], 1);
  assert.equal(read(0x40f8), 1, 'messages cut');
});

test('tags are put in and taken out, and filtered', () => {
  const { memory, port, start, describe, go, write, read, received, card } = lab();
  start();
  write(R.control, read(R.control) | (1 << 30));
  const frame = testFrame(100);
  memory.bytes.set(frame, 0x8000);
  describe(0x8000, 0, (0x4b << 24) | 100, 0x0123 << 16);
  go();
  const [sent] = port.sent;
  assert.deepEqual(sent.subarray(12, 16), Uint8Array.of(0x81, 0, 0x01, 0x23));
  assert.deepEqual([...sent.subarray(0, 12), ...sent.subarray(16)], [...frame]);
  port.waiting.push(sent);
  card.poll();
  const first = received(0);
  assert.deepEqual([first.length, first.tag, first.status & 8], [104, 0x0123, 8]);
  assert.deepEqual(first.data.subarray(0, 100), frame);
  write(R.receiveControl, 0x8002 | (1 << 18));
  port.waiting.push(sent);
  card.poll();
  assert.equal(received(1).status, 0, 'not in the filter');
  write(R.vlanTable + 4 * (0x123 >> 5), 1 << (0x123 & 31));
  port.waiting.push(sent);
  card.poll();
  assert.equal(received(1).tag, 0x123);
});

test('received: length with its check sequence, several buffers, checksums, interrupt', () => {
  const { port, start, write, read, received, card, line } = lab();
  // Buffers of 256 bytes.
  start(0x8002 | (3 << 16));
  write(R.rxChecksum, 0x300);
  write(R.maskSet, Cause.rxTimer | Cause.rxLow);
  const frame = ipFrame({ payload: 400 });
  port.waiting.push(frame);
  card.poll();
  assert.equal(line.level, true);
  assert.deepEqual([received(0).length, received(1).length], [256, frame.length + 4 - 256]);
  assert.deepEqual([received(0).status & 3, received(1).status & 3], [1, 3]);
  assert.equal(received(1).status & 0x64, 0x60);
  assert.equal(received(1).errors, 0);
  const whole = [...received(0).data.subarray(0, 256), ...received(1).data.subarray(0, frame.length + 4 - 256)];
  assert.deepEqual(whole.slice(0, frame.length), [...frame]);
  assert.equal(
    new DataView(Uint8Array.from(whole.slice(-4)).buffer).getUint32(0, true),
    frameCheck(frame, frame.length),
  );
  const wrong = ipFrame({ protocol: 17, payload: 50 });
  wrong[60] ^= 1;
  port.waiting.push(wrong);
  card.poll();
  assert.deepEqual([received(2).status & 0x60, received(2).errors], [0x60, 0x20]);
  const wrongHeader = ipFrame({ payload: 50 });
  wrongHeader[18] ^= 1;
  port.waiting.push(wrongHeader);
  card.poll();
  assert.equal(received(3).errors, 0x40);
  assert.equal(read(R.cause) & Cause.rxLow, Cause.rxLow, 'three descriptors of eight are few');
});

test('filters: own address, other, broadcast, multicast by table, promiscuous; long and short frames', () => {
  const { port, start, write, received, card, read } = lab();
  start(2);
  const multicast = [1, 0, 0x5e, 0, 0, 0xfb];
  const offer = (...frames: Uint8Array[]) => {
    const before = read(R.rxHead);
    port.waiting.push(...frames);
    card.poll();
    assert.equal(port.waiting.length, 0);
    const taken = (read(R.rxHead) - before + COUNT) % COUNT;
    write(R.rxTail, (read(R.rxHead) + COUNT - 1) % COUNT);
    return taken;
  };
  const other = testFrame(60, [2, 9, 9, 9, 9, 9]);
  assert.equal(offer(testFrame(60), other, testFrame(60, BROADCAST), testFrame(60, multicast)), 1);
  write(R.receiveControl, 2 | 0x8000);
  assert.equal(offer(testFrame(60, BROADCAST)), 1);
  // Bits 47 to 36 of the address: 0xfb0.
  write(R.multicastTable + 4 * (0xfb0 >> 5), 1 << (0xfb0 & 31));
  assert.equal(offer(testFrame(60, multicast)), 1);
  write(R.receiveControl, 2 | 8);
  assert.equal(offer(other, testFrame(60, BROADCAST)), 1);
  write(R.receiveControl, 2 | 0x10);
  assert.equal(offer(other, testFrame(60, [1, 2, 3, 4, 5, 6])), 1);
  assert.equal(offer(testFrame(1515)), 0, 'too long');
  assert.equal(read(0x40ac), 1);
  write(R.receiveControl, 2 | 0x20);
  const at = read(R.rxHead);
  assert.equal(offer(testFrame(3000)), 2);
  assert.equal(received((at + 1) % COUNT).length, 3004 - 2048);
  assert.equal(offer(testFrame(20)), 1);
  assert.equal(received((at + 2) % COUNT).length, 64, 'padded, and the check sequence');
  write(R.receiveControl, 0);
  assert.equal(offer(testFrame(60)), 0, 'off');
});

test('frames wait for descriptors, and for room at the port', () => {
  const { port, start, write, received, card, memory, describe, go, read } = lab();
  start();
  for (let i = 0; i < 10; i++) port.waiting.push(testFrame(60 + i));
  card.poll();
  assert.equal(port.waiting.length, 3);
  assert.equal(received(6).length, 70);
  write(R.rxTail, 2);
  card.poll();
  assert.equal(port.waiting.length, 0);
  assert.equal(read(R.rxHead), 2);
  memory.bytes.set(testFrame(100), 0x8000);
  port.room = 1;
  for (let i = 0; i < 3; i++) describe(0x8000, 0, (0x0b << 24) | 100, 0);
  go();
  assert.equal(port.sent.length, 1);
  assert.equal(memory.bytes[TX_RING + 16 + 12], 0, 'not done yet');
  port.room = 2;
  card.poll();
  assert.deepEqual([port.sent.length, memory.bytes[TX_RING + 16 + 12], memory.bytes[TX_RING + 32 + 12]], [2, 1, 0]);
  port.room = 3;
  card.poll();
  assert.equal(port.sent.length, 3);
  assert.equal(memory.bytes[TX_RING + 32 + 12], 1);
});

test('interrupts are held back as the throttling register says', () => {
  const { time, port, start, write, read, card, line } = lab();
  start();
  write(R.maskSet, Cause.rxTimer);
  write(R.throttle, 1000);
  const frame = () => {
    port.waiting.push(testFrame(60));
    card.poll();
  };
  frame();
  assert.equal(line.level, true);
  read(R.cause);
  frame();
  assert.equal(line.level, false, 'within 256 microseconds');
  time.advance(256_000);
  assert.equal(line.level, true);
  assert.equal(line.edges, 2);
  write(R.maskClear, Cause.rxTimer);
  assert.equal(line.level, false);
});

test('loopback brings frames back, and the I/O window reaches the registers', () => {
  const { bus, start, memory, describe, go, received, port } = lab();
  start(0x8002 | 0xc0);
  memory.bytes.set(testFrame(100), 0x8000);
  describe(0x8000, 0, (0x0b << 24) | 100, 0);
  go();
  assert.equal(port.sent.length, 0);
  assert.deepEqual(received(0).data.subarray(0, 100), testFrame(100));
  bus.writePort(0xc100, 4, R.addresses);
  assert.equal(bus.readPort(0xc104, 4), 0x33221102);
});

test('hostile rings and descriptors neither throw nor keep the card busy; state survives saving', () => {
  let seed = 7;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const { card, write, read, port, memory, time } = lab();
  const other = lab();
  const registers = [...Object.values(R), 0x5200, 0x5400, 0x4074, 0x10000, 0x1fffc];
  const values = [0, 1, 0xffffffff, 0x80000000, 0x80, 0xfff80, 0x1000, 0x8002, 0x0a, 0x20, 0x04008022];
  for (let step = 0; step < 20_000; step++) {
    const register = registers[below(registers.length)];
    if (below(3) === 0) assert.ok(read(register) >= 0);
    else write(register, below(2) === 0 ? values[below(values.length)] : below(0x7fffffff) * 2);
    if (below(8) === 0) for (let i = 0; i < 64; i++) memory.bytes[below(0x3000)] = below(256);
    if (below(8) === 0) {
      port.waiting.push(testFrame(14 + below(17_000)));
      card.poll();
    }
    port.room = port.sent.length + below(4);
    if (below(16) === 0) time.stall(below(1e6));
    if (below(100) === 0) port.isUp = below(4) !== 0;
    if (port.sent.length > 1000) port.sent.length = 0;
  }
  assert.ok(port.sent.every((frame) => frame.length <= 16_132));
  const state = structuredClone(card.save());
  other.card.restore(state);
  assert.deepEqual(other.card.save(), card.save());
  assert.throws(() => other.card.restore({ ...state, registers: [1] }), /no valid registers/);
});
