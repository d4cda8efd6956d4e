import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestLine, TestTime } from '../testing.ts';
import { Watchdog } from './watchdog.ts';

/** A tick in nanoseconds, as the datasheet's 33 MHz gives it. */
const TICK = 2 ** 15 / 0.033;

function machine() {
  const time = new TestTime();
  const line = new TestLine();
  const resets: number[] = [];
  const bus = new IoBus();
  const watchdog = new Watchdog({
    clock: time.clock,
    timers: time.timers,
    onReset: () => void resets.push(time.nanoseconds),
  });
  const { pci } = watchdog;
  pci.connect(bus, line);
  pci.assignBar(0, 0xe0000000);
  pci.writeConfig(4, 2, 2);
  const unlocked = (offset: number, value: number) => {
    bus.writeMmio(0xe000000c, 2, 0x80);
    bus.writeMmio(0xe000000c, 2, 0x86);
    bus.writeMmio(0xe0000000 + offset, 4, value);
  };
  return { time, line, resets, bus, watchdog, pci, unlocked };
}

test('a guest that stops feeding it is reset after both stages, and can see why', () => {
  const { time, resets, bus, watchdog, pci, unlocked } = machine();
  bus.writeMmio(0xe0000000, 4, 5);
  unlocked(0, 512);
  unlocked(4, 512);
  pci.writeConfig(0x60, 2, 0x03);
  pci.writeConfig(0x68, 1, 0x02);
  for (let round = 0; round < 3; round++) {
    time.advance(TICK * 1000);
    unlocked(0x0c, 0x100);
  }
  assert.deepEqual(resets, []);
  time.advance(TICK * 1023);
  assert.deepEqual(resets, []);
  time.advance(TICK * 2);
  assert.equal(resets.length, 1);
  watchdog.reset();
  pci.assignBar(0, 0xe0000000);
  pci.writeConfig(4, 2, 2);
  assert.equal(bus.readMmio(0xe000000c, 2), 0x200);
  unlocked(0x0c, 0x200);
  assert.equal(bus.readMmio(0xe000000c, 2), 0);
  time.advance(1e13);
  assert.equal(resets.length, 1, 'after a reset it is off');
});

test('without the unlocking sequence nothing is written, and a locked one cannot be switched off', () => {
  const { time, resets, bus, pci, unlocked } = machine();
  unlocked(0, 100);
  unlocked(4, 100);
  pci.writeConfig(0x60, 2, 0x03);
  pci.writeConfig(0x68, 1, 0x03);
  pci.writeConfig(0x68, 1, 0);
  assert.equal(pci.readConfig(0x68, 1), 3);
  bus.writeMmio(0xe000000c, 2, 0x80);
  bus.writeMmio(0xe000000c, 2, 0x85);
  time.advance(TICK * 150);
  bus.writeMmio(0xe000000c, 2, 0x100);
  time.advance(TICK * 51);
  assert.equal(resets.length, 1);
});

test('the first stage interrupts where it is told to, and free running it never resets', () => {
  const { time, line, resets, bus, pci, unlocked } = machine();
  unlocked(0, 0);
  unlocked(4, 10);
  pci.writeConfig(0x60, 2, 0x04);
  pci.writeConfig(0x68, 1, 0x06);
  time.advance(1000);
  assert.equal(line.level, true);
  assert.equal(bus.readMmio(0xe0000008, 4), 1);
  bus.writeMmio(0xe0000008, 4, 1);
  assert.equal(line.level, false);
  time.advance(1e6);
  assert.equal(line.edges, 2);
  assert.deepEqual(resets, []);
});

test('the time that is left survives saving', () => {
  const { time, resets, watchdog, pci, unlocked } = machine();
  unlocked(0, 100);
  unlocked(4, 100);
  pci.writeConfig(0x60, 2, 0x03);
  pci.writeConfig(0x68, 1, 0x02);
  time.advance(TICK * 150);
  const state = structuredClone(watchdog.save());
  watchdog.reset();
  watchdog.restore(state);
  time.advance(TICK * 49);
  assert.deepEqual(resets, []);
  time.advance(TICK * 2);
  assert.equal(resets.length, 1);
});
