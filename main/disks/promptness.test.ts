import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Promptness } from './promptness.ts';

function made() {
  let now = 1000;
  const promptness = new Promptness(() => now);
  /** An act of so many milliseconds, if it may be waited for. */
  const act = (milliseconds: number, bytes = 4096): boolean => {
    if (!promptness.begin()) return false;
    now += milliseconds;
    promptness.end(bytes);
    return true;
  };
  const pass = (milliseconds: number): void => {
    now += milliseconds;
  };
  return { act, pass };
}

test('a file that answers at once is waited for, also after a single slow answer, and a long act may take longer', () => {
  const { act } = made();
  for (let times = 0; times < 100; times++) assert.ok(act(times % 20 === 7 ? 10 : 0.1));
  for (let times = 0; times < 100; times++) assert.ok(act(5, 1 << 20));
});

test('nobody waits for a slow file, longer each time that it is slow again, until it is fast', () => {
  const { act, pass } = made();
  assert.ok(act(10));
  assert.ok(act(10));
  const pauses = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
  for (const pause of pauses) {
    pass(pause - 1);
    assert.equal(act(10), false);
    pass(1);
    assert.ok(act(10), `after ${pause} ms`);
  }
  pass(5000);
  for (let times = 0; times < 10; times++) assert.ok(act(0.1));
  assert.ok(act(10));
  assert.ok(act(10));
  pass(50);
  assert.ok(act(0.1));
});
