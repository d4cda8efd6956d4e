import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestLine, TestTime } from '../testing.ts';
import { Uhci } from './uhci.ts';
import { UsbTablet } from './usb-tablet.ts';

const FRAME_LIST = 0x1000;
const QUEUE = 0x3000;
const TDS = 0x4000;
const BUFFER = 0x8000;
const ACTIVE = 1 << 23;
const INTERRUPT = 1 << 24;
const ERRORS = 3 << 27;
const SHORT = 1 << 29;
const SETUP = 0x2d;
const IN = 0x69;
const OUT = 0xe1;

function machine() {
  const time = new TestTime();
  const bytes = new Uint8Array(0x10000);
  const ram = new DataView(bytes.buffer);
  const inside = (at: number, length: number) => at + length <= bytes.length;
  const memory = {
    read(at: number, into: Uint8Array) {
      if (inside(at, into.length)) into.set(bytes.subarray(at, at + into.length));
      return inside(at, into.length);
    },
    write(at: number, from: Uint8Array) {
      if (inside(at, from.length)) bytes.set(from, at);
      return inside(at, from.length);
    },
  };
  const tablet = new UsbTablet(time.clock);
  const uhci = new Uhci({ clock: time.clock, timers: time.timers, memory }, [tablet.plug]);
  const bus = new IoBus();
  const line = new TestLine();
  uhci.pci.connect(bus, line);
  uhci.pci.assignBar(4, 0xc020);
  uhci.pci.writeConfig(4, 2, 5);
  const read = (offset: number) => bus.readPort(0xc020 + offset, 2);
  const write = (offset: number, value: number) => bus.writePort(0xc020 + offset, 2, value);
  for (let frame = 0; frame < 1024; frame++) ram.setUint32(FRAME_LIST + frame * 4, QUEUE | 2, true);
  ram.setUint32(QUEUE, 1, true);
  ram.setUint32(QUEUE + 4, 1, true);
  bus.writePort(0xc028, 4, FRAME_LIST);
  write(4, 0x0f);
  write(0x10, 0x200);
  write(0x10, 0);
  write(0x10, 4);
  write(0, 1);
  /** Queues packets and lets frames pass; gives each descriptor's control word. */
  const transfer = (
    address: number,
    packets: readonly [pid: number, length: number, flags?: number][],
    endpoint = 0,
  ) => {
    packets.forEach(([pid, length, flags = 0], index) => {
      const at = TDS + index * 32;
      ram.setUint32(at, index === packets.length - 1 ? 1 : (at + 32) | 4, true);
      ram.setUint32(at + 4, ACTIVE | ERRORS | flags, true);
      ram.setUint32(at + 8, (pid | (address << 8) | (endpoint << 15) | (((length - 1) & 0x7ff) << 21)) >>> 0, true);
      ram.setUint32(at + 12, BUFFER + index * 64, true);
    });
    ram.setUint32(QUEUE + 4, TDS, true);
    time.advance(10e6);
    return packets.map((_, index) => ram.getUint32(TDS + index * 32 + 4, true));
  };
  const put = (index: number, ...data: number[]) => bytes.set(data, BUFFER + index * 64);
  const got = (index: number, length: number) => [...bytes.slice(BUFFER + index * 64, BUFFER + index * 64 + length)];
  /** Gives the device address 5 and configures it. */
  const configure = () => {
    put(0, 0, 5, 5, 0, 0, 0, 0, 0);
    transfer(0, [
      [SETUP, 8],
      [IN, 0],
    ]);
    put(0, 0, 9, 1, 0, 0, 0, 0, 0);
    transfer(5, [
      [SETUP, 8],
      [IN, 0],
    ]);
  };
  return { time, ram, bytes, tablet, uhci, line, read, write, transfer, put, got, configure };
}

test('a device is seen, reset, and tells its descriptor', () => {
  const { read, line, transfer, put, got, ram, write } = machine();
  assert.equal(read(0x10) & 7, 7, 'connected, changed, enabled');
  assert.equal(read(0x12) & 0xff, 0x80, 'the other port is empty');
  write(0x10, 6);
  assert.equal(read(0x10) & 7, 5);
  put(0, 0x80, 6, 0, 1, 0, 0, 18, 0);
  const controls = transfer(0, [
    [SETUP, 8],
    [IN, 8],
    [IN, 8],
    [IN, 8],
    [OUT, 0, INTERRUPT],
  ]);
  assert.deepEqual(
    controls.map((control) => [(control & ACTIVE) !== 0, ((control & 0x7ff) + 1) & 0x7ff]),
    [
      [false, 8],
      [false, 8],
      [false, 8],
      [false, 2],
      [false, 0],
    ],
  );
  assert.deepEqual([...got(1, 8), ...got(2, 8), ...got(3, 2)].slice(0, 8), [18, 1, 0, 2, 0, 0, 0, 8]);
  assert.equal(ram.getUint32(QUEUE + 4, true), 1, 'the queue is empty');
  assert.equal(read(2) & 1, 1);
  assert.equal(line.level, true);
  write(2, 1);
  assert.equal(line.level, false);
});

test('a request that is not there stalls, and a device that is not there times out', () => {
  const { transfer, put, read, line } = machine();
  put(0, 0x80, 6, 0, 9, 0, 0, 18, 0);
  const [, stalled] = transfer(0, [
    [SETUP, 8],
    [IN, 8],
  ]);
  assert.equal(stalled & (ACTIVE | (1 << 22)), 1 << 22);
  assert.equal(read(2) & 2, 2);
  assert.equal(line.level, true);
  const [lost] = transfer(77, [[SETUP, 8]]);
  assert.equal(lost & (ACTIVE | (1 << 22) | (1 << 18) | ERRORS), (1 << 22) | (1 << 18));
});

test('a configured tablet waits with reports, tells positions and clicks, and wakes an idle controller', () => {
  const { time, tablet, transfer, got, configure, ram, line } = machine();
  assert.equal(tablet.active, false);
  configure();
  const [waiting] = transfer(5, [[IN, 6, INTERRUPT]], 1);
  assert.equal(waiting & (ACTIVE | (1 << 19)), (ACTIVE | (1 << 19)) >>> 0, 'not now');
  assert.equal(tablet.active, true);
  time.advance(500e6);
  const edges = line.edges;
  tablet.report(0xffff, 0, 1, -2);
  time.advance(2e6);
  assert.equal(line.edges, edges + 1, 'within two frames although nothing moved for long');
  assert.deepEqual(got(0, 6), [1, 0xff, 0x7f, 0, 0, 2]);
  tablet.report(0x8000, 0x8000, 1, 0);
  tablet.report(0x4000, 0x8000, 1, 0);
  tablet.report(0x4000, 0x8000, 0, 0);
  tablet.report(0x4000, 0x8000, 0, 0);
  transfer(5, [[IN, 6]], 1);
  assert.deepEqual(got(0, 6), [1, 0xff, 0x1f, 0xff, 0x3f, 0], 'positions are put together');
  transfer(5, [[IN, 6]], 1);
  assert.deepEqual(got(0, 1), [0], 'clicks are not');
  transfer(5, [[IN, 6]], 1);
  assert.notEqual(ram.getUint32(TDS + 4, true) & ACTIVE, 0, 'and nothing twice');
  time.advance(2e6);
  ram.setUint32(QUEUE + 4, 1, true);
  time.advance(2e9);
  assert.equal(tablet.active, false, 'nobody has asked for two seconds');
});

test('a short packet stops a queue that asks for it', () => {
  const { transfer, put, ram, read } = machine();
  put(0, 0x80, 6, 0, 1, 0, 0, 4, 0);
  const [, short, behind] = transfer(0, [
    [SETUP, 8],
    [IN, 8, SHORT],
    [IN, 8],
  ]);
  assert.equal(short & (ACTIVE | 0x7ff), 3);
  assert.notEqual(behind & ACTIVE, 0);
  assert.equal(ram.getUint32(QUEUE + 4, true), (TDS + 32) | 4, 'it stays at that descriptor');
  assert.equal(read(2) & 1, 1);
});

test('schedules in circles, in no memory and in nonsense end', () => {
  const { time, ram, read, write, line } = machine();
  ram.setUint32(QUEUE, QUEUE | 2, true);
  time.advance(5e6);
  assert.equal(read(2) & 0x38, 0);
  ram.setUint32(QUEUE, TDS, true);
  ram.setUint32(TDS, TDS, true);
  time.advance(5e6);
  assert.equal(read(2) & 0x38, 0);
  ram.setUint32(TDS + 4, ACTIVE, true);
  ram.setUint32(TDS + 8, 0x1234, true);
  time.advance(2e6);
  assert.equal(read(2) & 0x38, 0x30, 'a damaged schedule stops the controller');
  assert.equal(line.level, true);
  write(2, 0x3f);
  ram.setUint32(FRAME_LIST, 0xfffffff0, true);
  for (let frame = 0; frame < 1024; frame++) ram.setUint32(FRAME_LIST + frame * 4, 0xfffffff0, true);
  write(0, 1);
  time.advance(2e6);
  assert.equal(read(2) & 0x38, 0x28, 'and so does memory that is not there');
});

test('frames are counted while it runs, and state survives saving', () => {
  const { time, read, write, uhci, tablet, configure } = machine();
  configure();
  const frame = read(6);
  time.advance(100e6);
  assert.equal(read(6), frame + 100);
  time.advance(3000e6);
  assert.equal(read(6), (frame + 3100) % 2048);
  const states = [structuredClone(uhci.save()), structuredClone(tablet.save())];
  const before = read(6);
  uhci.reset();
  assert.equal(read(6), 0xffff, 'its ports are gone');
  tablet.restore(states[1]);
  uhci.restore(states[0]);
  assert.equal(read(6), before);
  assert.equal(tablet.plug.address, 5);
  write(0, 0);
  time.advance(100e6);
  assert.equal(read(6), before);
  assert.throws(() => tablet.restore({ ...states[1], queue: 1 }), /no valid queue/);
});
