import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestLine, TestTime } from '../testing.ts';
import { PIT_HZ, Pit } from './pit.ts';

const TICK = 1e9 / PIT_HZ;

function machine() {
  const time = new TestTime();
  const line = new TestLine();
  let hertz = 0;
  const pit = new Pit({ clock: time.clock, timers: time.timers, line, onSpeaker: (value) => (hertz = value) });
  const program = (channel: number, mode: number, count: number, bcd = 0) => {
    pit.writePort(0x43, 1, (channel << 6) | 0x30 | (mode << 1) | bcd);
    pit.writePort(0x40 + channel, 1, count & 0xff);
    pit.writePort(0x40 + channel, 1, count >> 8);
  };
  const latched = (channel: number) => {
    pit.writePort(0x43, 1, channel << 6);
    return pit.readPort(0x40 + channel, 1) | (pit.readPort(0x40 + channel, 1) << 8);
  };
  return { time, line, pit, program, latched, speaker: () => hertz };
}

test('mode 2 interrupts at its rate and counts down to 1', () => {
  const { time, line, program, latched } = machine();
  program(0, 2, 11932);
  const before = line.edges;
  time.advance(1e9);
  assert.ok(Math.abs(line.edges - before - 100) <= 1, `${line.edges - before} interrupts`);
  program(0, 2, 1000);
  time.advance(250 * TICK);
  assert.ok(Math.abs(latched(0) - 750) <= 1, `${latched(0)}`);
});

test('ticks that nobody ran become one interrupt, and the phase is kept', () => {
  const { time, line, program } = machine();
  program(0, 2, 1193);
  const before = line.edges;
  time.stall(10.5 * 1193 * TICK);
  assert.equal(line.edges - before, 1);
  assert.ok(Math.abs(time.timers.next() - 11 * 1193 * TICK) < 2 * TICK);
});

test('mode 0 interrupts once, a gate that is low stops it', () => {
  const { time, line, pit, program, latched } = machine();
  program(0, 0, 100);
  assert.equal(line.level, false);
  time.advance(99 * TICK);
  assert.equal(line.level, false);
  time.advance(2 * TICK);
  assert.equal(line.level, true);
  time.advance(1e9);
  assert.equal(line.edges, 1);

  pit.writePort(0x61, 1, 0);
  program(2, 0, 100);
  time.advance(500 * TICK);
  assert.equal(latched(2), 100);
  assert.equal(pit.readPort(0x61, 1) & 0x20, 0);
  pit.writePort(0x61, 1, 1);
  time.advance(50 * TICK);
  assert.ok(Math.abs(latched(2) - 50) <= 1);
  time.advance(51 * TICK);
  assert.equal(pit.readPort(0x61, 1) & 0x20, 0x20);
});

test('mode 3 is a square wave that the speaker hears', () => {
  const { time, pit, program, speaker } = machine();
  pit.writePort(0x61, 1, 3);
  program(2, 3, 1193);
  assert.ok(Math.abs(speaker() - 1000) < 1);
  let high = 0;
  for (let i = 0; i < 1000; i++) {
    time.advance(7.3 * TICK);
    if ((pit.readPort(0x61, 1) & 0x20) !== 0) high++;
  }
  assert.ok(Math.abs(high - 500) < 30, `${high} of 1000 samples are high`);
  pit.writePort(0x61, 1, 0);
  assert.equal(speaker(), 0);
});

test('modes 1, 4 and 5: one-shot and strobes', () => {
  const { time, pit, program } = machine();
  const out = () => (pit.readPort(0x61, 1) & 0x20) !== 0;
  time.advance(0.5 * TICK);
  pit.writePort(0x61, 1, 0);
  program(2, 1, 50);
  assert.equal(out(), true);
  pit.writePort(0x61, 1, 1);
  time.advance(TICK);
  assert.equal(out(), false);
  time.advance(51 * TICK);
  assert.equal(out(), true);

  program(2, 4, 50);
  time.advance(50 * TICK);
  assert.equal(out(), false, 'low for one clock');
  time.advance(TICK);
  assert.equal(out(), true);

  pit.writePort(0x61, 1, 0);
  program(2, 5, 50);
  time.advance(500 * TICK);
  assert.equal(out(), true);
  pit.writePort(0x61, 1, 1);
  time.advance(50 * TICK);
  assert.equal(out(), false);
});

test('read-back latches status and count, BCD counts in decimal', () => {
  const { time, pit, program, latched } = machine();
  program(0, 2, 0x1000, 1);
  time.advance(1.5 * TICK);
  assert.equal(latched(0), 0x0999);
  pit.writePort(0x43, 1, 0xc2); // count and status of channel 0
  const status = pit.readPort(0x40, 1);
  assert.equal(status, 0xb5); // out, both bytes, mode 2, BCD
  time.advance(100 * TICK);
  assert.equal(pit.readPort(0x40, 1) | (pit.readPort(0x40, 1) << 8), 0x0999, 'the latch holds');
  pit.writePort(0x43, 1, 0x34);
  pit.writePort(0x43, 1, 0xe2); // status only
  assert.equal(pit.readPort(0x40, 1) & 0x40, 0x40, 'no count is loaded yet');
});

test('state survives saving', () => {
  const { time, pit, program } = machine();
  program(0, 2, 1000);
  time.advance(300 * TICK);
  const line = new TestLine();
  const other = new Pit({ clock: time.clock, timers: time.timers, line });
  other.restore(structuredClone(pit.save()));
  time.advance(2000 * TICK);
  assert.equal(line.edges, 2);
  assert.throws(() => other.restore({ version: 1, control: 99 }), /no valid control/);
});
