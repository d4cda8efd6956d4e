import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestLine, TestTime } from '../testing.ts';
import { Cmos } from './cmos.ts';

const START = Date.UTC(2024, 1, 28, 23, 59, 58, 500);
const MIB = 1024 * 1024;

function machine(low = 256 * MIB, high = 0) {
  const time = new TestTime();
  const line = new TestLine();
  const cmos = new Cmos({ ...time, clock: time.clock, wallTime: () => START, line, memory: { low, high } });
  const read = (index: number) => {
    cmos.writePort(0x70, 1, index);
    return cmos.readPort(0x71, 1);
  };
  const write = (index: number, value: number) => {
    cmos.writePort(0x70, 1, index);
    cmos.writePort(0x71, 1, value);
  };
  return { time, line, cmos, read, write };
}

test('time in BCD and binary, 24 and 12 hours, over a leap day', () => {
  const { time, read, write } = machine();
  assert.deepEqual([4, 2, 0].map(read), [0x23, 0x59, 0x58]);
  assert.deepEqual([0x32, 9, 8, 7, 6].map(read), [0x20, 0x24, 0x02, 0x28, 4]);
  time.advance(2e9);
  assert.deepEqual([8, 7, 4, 2, 0].map(read), [0x02, 0x29, 0, 0, 0]);
  write(0x0b, 0x06);
  assert.deepEqual([0x32, 9, 7].map(read), [20, 24, 29]);
  write(0x0b, 0x00);
  assert.equal(read(4), 0x12, 'midnight is 12 AM');
  write(4, 0x81);
  write(0x0b, 0x02);
  assert.equal(read(4), 0x13, '1 PM');
});

test('setting the time holds the clock while SET is on', () => {
  const { time, read, write } = machine();
  write(0x0b, 0x82);
  [
    [0, 0x30],
    [2, 0x15],
    [4, 0x08],
    [7, 0x31],
    [8, 0x12],
    [9, 0x99],
    [0x32, 0x19],
  ].forEach(([i, v]) => {
    write(i, v);
  });
  time.advance(5e9);
  assert.equal(read(0), 0x30);
  write(0x0b, 0x02);
  assert.deepEqual([0x32, 9, 8, 7, 4, 2, 0].map(read), [0x19, 0x99, 0x12, 0x31, 0x08, 0x15, 0x30]);
  time.advance(3e9);
  assert.equal(read(0), 0x33);
});

test('update in progress shows just before the second changes', () => {
  const { time, read } = machine();
  assert.equal(read(0x0a) & 0x80, 0);
  time.advance(0.499e9);
  assert.equal(read(0x0a) & 0x80, 0x80);
  time.advance(0.002e9);
  assert.equal(read(0x0a) & 0x80, 0);
});

test('periodic, update and alarm interrupts raise IRQ 8 until register C is read', () => {
  const { time, line, read, write } = machine();
  write(0x0a, 0x26);
  write(0x0b, 0x42);
  let count = 0;
  for (let i = 0; i < 2000; i++) {
    time.advance(500_000);
    if (line.level) {
      count++;
      assert.equal(read(0x0c) & 0xc0, 0xc0);
      assert.equal(line.level, false);
    }
  }
  assert.ok(Math.abs(count - 1000) < 40, `${count} of about 1024 interrupts in a second`);

  write(0x0b, 0x12);
  read(0x0c);
  time.advance(1e9);
  assert.equal(line.level, true);
  assert.equal(read(0x0c) & 0x90, 0x90);

  write(0x01, 0x05);
  write(0x03, 0xff);
  write(0x05, 0xff);
  write(0x0b, 0x22);
  read(0x0c);
  time.advance(4e9);
  assert.equal(line.level, false);
  time.advance(2e9);
  assert.equal(line.level, true, 'second 5 of any minute');
  assert.equal(read(0x0c) & 0xa0, 0xa0);
  time.advance(58e9);
  assert.equal(line.level, false);
  time.advance(1e9);
  assert.equal(line.level, true);
});

test('a flag that comes up while register C is read gives IRQ 8 an edge of its own', () => {
  const time = new TestTime();
  const line = new TestLine();
  // Each look at the clock takes a while, as on a host that has other work.
  let passed = 0;
  const clock = { now: () => time.clock.now() + (passed += 400_000) };
  const cmos = new Cmos({ ...time, clock, wallTime: () => START, line, memory: { low: MIB, high: 0 } });
  cmos.writePort(0x70, 1, 0x0b);
  cmos.writePort(0x71, 1, 0x42); // periodic, every 977 us
  cmos.writePort(0x70, 1, 0x0c);
  let again = 0;
  for (let reads = 0; reads < 50; reads++) {
    const edges = line.edges;
    cmos.readPort(0x71, 1);
    if (!line.level) continue;
    assert.ok(line.edges > edges, `after ${reads} reads the line is up without an edge`);
    again++;
  }
  assert.ok(again > 0, 'it came up while it was read');
});

test('flags without enables are seen by polling', () => {
  const { time, line, read } = machine();
  read(0x0c);
  time.advance(1.1e9);
  assert.equal(read(0x0c), 0x50);
  assert.equal(line.level, false);
});

test('memory sizes and the checksum', () => {
  const { read } = machine(3072 * MIB, 1024 * MIB);
  assert.equal(read(0x15) | (read(0x16) << 8), 640);
  assert.equal(read(0x17) | (read(0x18) << 8), 0xffff);
  assert.equal(read(0x34) | (read(0x35) << 8), (3072 - 16) * 16);
  assert.equal(read(0x5b) | (read(0x5c) << 8) | (read(0x5d) << 16), 1024 * 16);
  let sum = 0;
  for (let i = 0x10; i <= 0x2d; i++) sum += read(i);
  assert.equal((read(0x2e) << 8) | read(0x2f), sum & 0xffff);
});

test('state survives saving', () => {
  const { time, cmos, write } = machine();
  write(0x40, 0x5a);
  const other = new Cmos({
    ...time,
    clock: time.clock,
    // Saved for two minutes.
    wallTime: () => START + 120_000,
    line: new TestLine(),
    memory: { low: 0, high: 0 },
  });
  other.restore(structuredClone(cmos.save()));
  assert.equal(other.readPort(0x71, 1), 0x5a);
  const shown = [4, 2].map((register) => {
    other.writePort(0x70, 1, register);
    return other.readPort(0x71, 1);
  });
  assert.deepEqual(shown, [0x00, 0x01]);
  assert.throws(() => other.restore({ version: 1, ram: new Uint8Array(5) }), /no valid ram/);
});
