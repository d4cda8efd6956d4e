import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostClock } from './guest-clock.ts';

const MS = 1e6;

/** A clock, and what it says after so many milliseconds of the host's have passed. */
function clock() {
  let host = 1e12;
  const guest = new HostClock(() => host);
  const after = (milliseconds: number): number => {
    host += milliseconds * MS;
    return guest.now() / MS;
  };
  return { guest, after };
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
  guest.slept();
  assert.equal(after(0), 1101);
  guest.pause();
  assert.equal(after(500), 1101);
  guest.resume();
  assert.equal(after(1), 1102);
});
