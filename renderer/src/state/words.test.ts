import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ago, duration, exitName, mebibytes, percent, quantity } from './words.ts';

const plain = (text: string) => text.replaceAll('\u00a0', ' ');

test('durations, moments and sizes are told with their units', () => {
  assert.equal(plain(duration(59.9)), '59 s');
  assert.equal(plain(duration(185)), '3 min 05 s');
  assert.equal(plain(duration(7860)), '2 h 11 min');
  assert.equal(plain(duration(-5)), '0 s');
  assert.equal(ago(0, 9000), 'just now');
  assert.equal(plain(ago(0, 200_000)), '3 min ago');
  assert.equal(plain(mebibytes(96.4)), '96 MiB');
  assert.equal(plain(mebibytes(1536)), '1.5 GiB');
  assert.equal(plain(mebibytes(4096)), '4 GiB');
});

test('numbers stay short', () => {
  assert.equal(plain(quantity(840)), '840');
  assert.equal(plain(quantity(12_400)), '12.4 k');
  assert.equal(plain(quantity(310e6)), '310 M');
  assert.equal(plain(percent(0)), '0 %');
  assert.equal(plain(percent(4.21)), '4.2 %');
  assert.equal(plain(percent(99.6)), '100 %');
});

test('an exit reason of a newer core keeps its own name', () => {
  assert.equal(exitName('portIo'), 'Port I/O');
  assert.equal(exitName('ept'), 'ept');
});
