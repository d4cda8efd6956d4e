import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LinkConditions, LinkDirection, perfectLink } from './link.ts';

function lab(conditions: Partial<LinkConditions> = {}) {
  const time = { now: 0 };
  const timers: { at: number; act(): void }[] = [];
  let seed = 9;
  const got: { data: number; at: number }[] = [];
  const link = new LinkDirection(
    {
      now: () => time.now,
      random: () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff,
      after: (milliseconds, act) => void timers.push({ at: time.now + milliseconds, act }),
    },
    (frame) => got.push({ data: frame[0], at: time.now }) > 0,
  );
  link.set({ ...perfectLink, ...conditions });
  /** Lets time pass until nothing is on its way. */
  const settle = () => {
    while (timers.length > 0) {
      timers.sort((left, right) => left.at - right.at);
      const { at, act } = timers.shift()!;
      time.now = Math.max(time.now, at);
      act();
    }
  };
  const send = (data: number, length = 1000) => link.send(new Uint8Array(length).fill(data));
  return { link, got, send, settle, time };
}

test('a perfect link gives frames on at once', () => {
  const { got, send } = lab();
  assert.equal(send(1), true);
  assert.deepEqual(got, [{ data: 1, at: 0 }]);
});

test('frames are late by the delay, spread by the rate, and stay in order', () => {
  const { got, send, settle, link } = lab({ delay: 20, rate: 1_000_000 });
  for (let i = 0; i < 3; i++) send(i);
  settle();
  assert.deepEqual(got, [
    { data: 0, at: 28 },
    { data: 1, at: 36 },
    { data: 2, at: 44 },
  ]);
  send(3);
  link.set(perfectLink);
  send(4);
  settle();
  assert.deepEqual(
    got.map(({ data }) => data),
    [0, 1, 2, 3, 4],
  );
});

test('a share is lost, all of it where the cable is cut; what was on its way too', () => {
  const lossy = lab({ loss: 0.05 });
  for (let i = 0; i < 10_000; i++) lossy.send(1, 60);
  assert.ok(lossy.link.lost > 400 && lossy.link.lost < 600, String(lossy.link.lost));
  assert.equal(lossy.got.length, 10_000 - lossy.link.lost);
  const cut = lab({ delay: 10 });
  cut.send(1);
  cut.link.set({ ...perfectLink, isUp: false });
  cut.send(2);
  cut.settle();
  assert.deepEqual([cut.got.length, cut.link.lost], [0, 2]);
});

test('what waits is bounded', () => {
  const { send, settle, got } = lab({ rate: 1000 });
  let taken = 0;
  while (send(1)) taken++;
  assert.equal(taken, 524);
  settle();
  assert.equal(got.length, 524);
});
