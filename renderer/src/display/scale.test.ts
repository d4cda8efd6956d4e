import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCrisp, scaleOf } from './scale.ts';

const vga = { width: 720, height: 400 };

test('each way to scale has its size', () => {
  const room = { width: 1800, height: 1200 };
  assert.equal(scaleOf('fit', vga, room), 2.5);
  assert.equal(scaleOf('integer', vga, room), 2);
  assert.equal(scaleOf('original', vga, room), 1);
});

test('what does not fit is shown whole, but in its original size', () => {
  const room = { width: 360, height: 400 };
  assert.equal(scaleOf('fit', vga, room), 0.5);
  assert.equal(scaleOf('integer', vga, room), 0.5);
  assert.equal(scaleOf('original', vga, room), 1);
  assert.ok(scaleOf('fit', vga, { width: 0, height: 0 }) > 0);
});

test('a window that is a little larger shows letters as they are', () => {
  assert.equal(scaleOf('fit', vga, { width: 744, height: 421 }), 1);
  assert.equal(scaleOf('fit', vga, { width: 1490, height: 900 }), 2);
  assert.equal(scaleOf('fit', vga, { width: 900, height: 900 }), 1.25);
});

test('squares stay squares where they can', () => {
  assert.ok(isCrisp(1, 1));
  assert.ok(isCrisp(2.5, 1));
  assert.ok(isCrisp(0.5, 2));
  assert.ok(!isCrisp(1.3, 1));
  assert.ok(!isCrisp(0.6, 1));
});
