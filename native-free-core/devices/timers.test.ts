import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimerQueue } from './timers.ts';

test('timers fire once, earliest first, and know the next deadline', () => {
  const queue = new TimerQueue();
  const fired: string[] = [];
  const a = queue.create((deadline) => fired.push(`a${deadline}`));
  const b = queue.create((deadline) => fired.push(`b${deadline}`));
  assert.equal(queue.next(), Infinity);
  a.arm(20);
  b.arm(10);
  assert.equal(queue.next(), 10);
  queue.run(5);
  assert.deepEqual(fired, []);
  queue.run(30);
  assert.deepEqual(fired, ['b10', 'a20']);
  assert.equal(queue.next(), Infinity);
  a.arm(40);
  a.arm(50);
  assert.equal(queue.next(), 50);
  a.cancel();
  assert.equal(queue.next(), Infinity);
});

test('a callback may cancel or move another due timer', () => {
  const queue = new TimerQueue();
  const fired: string[] = [];
  const b = queue.create(() => fired.push('b'));
  const c = queue.create(() => fired.push('c'));
  const a = queue.create(() => {
    fired.push('a');
    b.cancel();
    c.arm(100);
  });
  a.arm(1);
  b.arm(2);
  c.arm(3);
  queue.run(10);
  assert.deepEqual(fired, ['a']);
  assert.equal(queue.next(), 100);
});

test('a timer that re-arms itself in the past waits for the next run', () => {
  const queue = new TimerQueue();
  let count = 0;
  const timer = queue.create(() => {
    count++;
    timer.arm(0);
  });
  timer.arm(0);
  queue.run(10);
  assert.equal(count, 1);
  queue.run(10);
  assert.equal(count, 2);
});
