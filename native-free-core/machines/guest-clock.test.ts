import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostClock } from './guest-clock.ts';

const MS = 1e6;

/** A clock, and what it says after so many milliseconds of the host's have passed. */
function clock() {
  let host = 1e12;
  const guest = new HostClock(() => host);
  const sleep = (milliseconds: number): void => {
    host += milliseconds * MS;
  };
  const after = (milliseconds: number): number => {
    sleep(milliseconds);
    return guest.now() / MS;
  };
  return { guest, sleep, after };
}

test('the clock follows the host while it is looked at often', () => {
  const { after } = clock();
  for (let ms = 1; ms <= 50; ms++) assert.equal(after(1), ms);
  assert.equal(after(4), 54);
});

test('what the host took comes by and by, and all of it', () => {
  const { after } = clock();
  assert.equal(after(1), 1);
  // 100 ms away: seen are 5.
  assert.equal(after(100), 6);
  assert.equal(after(1), 8);
  assert.equal(after(4), 16);
  let last = 16;
  for (let ms = 0; ms < 200; ms++) {
    const now = after(1);
    assert.ok(now > last && now - last <= 2, `a step of ${now - last}`);
    last = now;
  }
  assert.equal(last, 1 + 100 + 1 + 4 + 200);
});

test('a guest that is given a little at a time still sees its ticks', () => {
  const { after } = clock();
  let ticks = 0;
  let next = 4;
  const begin = after(0);
  let now = begin;
  // 1 ms in 100: one timer is served each time.
  while (now - begin < 160) {
    now = after(99);
    now = after(1);
    if (now < next) continue;
    ticks++;
    next = now - (now % 4) + 4;
  }
  assert.ok(ticks >= 20, `${ticks} ticks`);
});

test('time that a guest slept is there at once, and none passes while it is paused', () => {
  const { guest, after } = clock();
  assert.equal(after(1), 1);
  assert.equal(after(100), 6);
  after(1000);
  guest.slept(Infinity);
  assert.equal(after(0), 1101);
  guest.pause();
  assert.equal(after(500), 1101);
  guest.resume();
  assert.equal(after(1), 1102);
});

test('a guest that is woken late sees each of its ticks in its time, and is in time once it has', () => {
  const { guest, sleep, after } = clock();
  for (let ms = 1; ms <= 4; ms++) after(1);
  // It halted at 4 ms; its next ticks are at 8, 12, 16 and 20 ms, and it is woken at 22.
  sleep(18);
  guest.slept(8 * MS);
  const seen = [after(0)];
  for (const tick of [12, 16, 20]) {
    assert.equal(guest.skipTo(tick * MS), true);
    seen.push(after(0));
  }
  assert.deepEqual(seen, [8, 12, 16, 20]);
  assert.equal(guest.skipTo(24 * MS), false);
  assert.equal(after(0), 22);
});

test('a guest that something woke before its tick is there when it came', () => {
  const { guest, sleep, after } = clock();
  after(1);
  sleep(2);
  guest.slept(8 * MS);
  assert.equal(after(0), 3);
});

test('a host that was suspended has its guests make up for nothing', () => {
  const { guest, sleep, after } = clock();
  after(1);
  sleep(5_000);
  guest.slept(4 * MS);
  assert.equal(after(0), 5_001);
});
