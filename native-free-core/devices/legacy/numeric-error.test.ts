// IRQ 13 follows the processor's x87 errors until port F0h is written, across saved states too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestLine } from '../testing.ts';
import { NumericError } from './numeric-error.ts';

test('an x87 error raises IRQ 13 until port F0h is written', () => {
  const line = new TestLine();
  let ignored = 0;
  const errors = new NumericError(line, () => ignored++);
  errors.writePort(0xf0, 1, 0);
  assert.equal(ignored, 0, 'there is nothing to ignore');
  errors.raise();
  errors.writePort(0xf1, 1, 0);
  assert.equal(line.level, true);
  errors.writePort(0xf0, 1, 0);
  assert.equal(line.level, false);
  assert.equal(ignored, 1);
});

test('a saved state carries the latch', () => {
  const errors = new NumericError(new TestLine(), () => {});
  errors.raise();
  const line = new TestLine();
  const other = new NumericError(line, () => {});
  other.restore(errors.save());
  assert.equal(line.level, true);
});
