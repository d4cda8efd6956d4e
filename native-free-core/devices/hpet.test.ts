import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from './bus.ts';
import { HPET_BASE, Hpet } from './hpet.ts';
import { TestLine, TestTime } from './testing.ts';

function machine() {
  const time = new TestTime();
  const lines = Array.from({ length: 4 }, () => new TestLine());
  const legacy = [new TestLine(), new TestLine()] as const;
  const messages: string[] = [];
  const replaced: boolean[] = [];
  const hpet = new Hpet({
    clock: time.clock,
    timers: time.timers,
    lines,
    legacyLines: legacy,
    messages: { write: (address, data) => messages.push(`${address.toString(16)}=${data.toString(16)}`) },
    onLegacy: (on) => replaced.push(on),
  });
  const bus = new IoBus();
  hpet.attach(bus);
  const read = (offset: number) => bus.readMmio(HPET_BASE + offset, 4);
  const write = (offset: number, value: number) => bus.writeMmio(HPET_BASE + offset, 4, value);
  return { time, lines, legacy, messages, replaced, hpet, bus, read, write };
}

const ENABLE = 4;
const PERIODIC = 8;
const SET = 0x40;
const NARROW = 0x100;
const route = (gsi: number) => gsi << 9;

test('it says what it is, and counts nanoseconds by tens while it is enabled', () => {
  const { time, bus, read, write } = machine();
  assert.equal(read(0), 0x8086a201);
  assert.equal(read(4), 10_000_000);
  time.advance(1000);
  assert.equal(read(0xf0), 0);
  write(0x10, 1);
  time.advance(1000);
  assert.equal(read(0xf0), 100);
  assert.equal(bus.readMmio(HPET_BASE + 0xf1, 1), 0);
  write(0x10, 0);
  time.advance(1000);
  assert.equal(read(0xf0), 100, 'it stands');
  write(0xf4, 7);
  write(0xf0, 0xfffffff0);
  write(0x10, 1);
  time.advance(150);
  const low = read(0xf0);
  time.advance(20);
  assert.deepEqual([low, read(0xf4)], [0xffffffff, 7], 'the high half is that of the moment the low half was read');
  assert.equal(read(0xf4), 8);
});

test('a one-shot comparator interrupts once, at its input of the I/O APIC', () => {
  const { time, lines, read, write } = machine();
  write(0x140, ENABLE | route(22));
  write(0x148, 500);
  write(0x14c, 0);
  write(0x10, 1);
  time.advance(4990);
  assert.equal(lines[2].edges, 0);
  time.advance(20);
  assert.equal(lines[2].edges, 1);
  assert.equal(read(0x20), 0, 'an edge leaves no status');
  time.advance(1e12);
  assert.equal(lines[2].edges, 1, '64 bits do not come round');
  write(0x140, ENABLE | route(23) | NARROW);
  write(0x148, (read(0xf0) + 100) >>> 0);
  time.advance(2 ** 32 * 10 + 2000);
  assert.equal(lines[3].edges, 2, '32 bits do');
});

test('a periodic comparator: first match by VAL_SET, then the period; lost periods are made up for', () => {
  const { time, lines, read, write } = machine();
  write(0x10, 1);
  write(0x100, ENABLE | PERIODIC | SET | NARROW | route(20));
  write(0x108, 100_000);
  write(0x108, 30_000);
  time.advance(999_000);
  assert.equal(lines[0].edges, 0);
  time.advance(2000);
  assert.equal(lines[0].edges, 1);
  time.advance(300_000);
  assert.equal(lines[0].edges, 2);
  time.stall(3_000_000);
  assert.equal(lines[0].edges, 3, 'one at once');
  time.advance(600_000);
  assert.equal(lines[0].edges, 2 + 12, 'and no less in the end than there were periods');
  assert.ok(read(0x108) > read(0xf0), 'the comparator is ahead');
  assert.equal((read(0x108) - 100_000) % 30_000, 0, 'and in phase');
  time.stall(1e9);
  const before = lines[0].edges;
  write(0x108, 30_000);
  time.advance(299_000);
  assert.ok(lines[0].edges <= before + 1, 'programmed anew, nothing is owed');
});

test('a period that ends while it is being armed is not lost', () => {
  const { time, lines, write } = machine();
  write(0x100, ENABLE | PERIODIC | SET | NARROW | route(20));
  write(0x108, 100);
  write(0x108, 100);
  write(0x10, 1);
  // From one look at the clock to the next a busy host lets 60 counts pass.
  const now = time.clock.now;
  time.clock.now = () => {
    time.nanoseconds += 600;
    return now();
  };
  time.advance(10_000);
  time.clock.now = now;
  const before = lines[0].edges;
  time.advance(10_000);
  assert.ok(lines[0].edges >= before + 9, `${lines[0].edges - before} interrupts in ten periods`);
});

test('a level-triggered comparator holds its line until its status is cleared', () => {
  const { time, lines, read, write } = machine();
  write(0x10, 1);
  write(0x120, 2 | route(21));
  write(0x128, 10);
  write(0x12c, 0);
  time.advance(200);
  assert.equal(read(0x20), 2, 'status without an enabled interrupt');
  assert.equal(lines[1].level, false);
  write(0x120, 2 | ENABLE | route(21));
  assert.equal(lines[1].level, true);
  write(0x20, 2);
  assert.equal(lines[1].level, false);
});

test('under legacy replacement two comparators are IRQ 0 and IRQ 8', () => {
  const { time, legacy, lines, replaced, hpet, write } = machine();
  write(0x100, ENABLE);
  write(0x108, 10);
  write(0x10c, 0);
  write(0x120, ENABLE);
  write(0x128, 20);
  write(0x12c, 0);
  write(0x10, 3);
  assert.deepEqual(replaced, [true]);
  time.advance(1000);
  assert.deepEqual([legacy[0].edges, legacy[1].edges], [1, 1]);
  assert.ok(lines.every((line) => line.edges === 0));
  hpet.reset();
  assert.deepEqual(replaced, [true, false]);
});

test('a comparator sends messages, and state survives saving', () => {
  const { time, messages, hpet, write, read } = machine();
  write(0x10, 1);
  write(0x110, 0x4031);
  write(0x114, 0xfee01000);
  write(0x100, ENABLE | PERIODIC | SET | NARROW | 0x4000);
  write(0x108, 100);
  const state = structuredClone(hpet.save());
  time.advance(1010);
  assert.deepEqual(messages, ['fee01000=4031']);
  hpet.reset();
  hpet.restore(state);
  assert.equal(read(0xf0), 0);
  time.advance(2010);
  assert.deepEqual(messages.length, 3);
  assert.throws(() => hpet.restore({ ...state, comparators: [] }), /no valid comparators/);
});
