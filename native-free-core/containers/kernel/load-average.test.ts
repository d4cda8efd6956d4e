import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoadAverage } from './load-average.ts';

const SECOND = 1e9;

test('load averages grow with who is ready and fade while nobody is', () => {
  const load = new LoadAverage();
  const two = (): number => 2;
  const rounded = (at: number, ready: () => number): string =>
    load
      .at(at * SECOND, ready)
      .map((value) => value.toFixed(2))
      .join(' ');
  assert.equal(rounded(4.9, two), '0.00 0.00 0.00', 'no sample is due yet');
  for (let at = 5; at <= 60; at += 5) rounded(at, two);
  assert.equal(rounded(62, two), '1.26 0.36 0.13', 'a minute of two tasks: 2 (1 - 1/e) and so on');
  assert.equal(
    rounded(360, () => 0),
    '0.01 0.13 0.09',
    'five minutes nobody looked, because nobody executed',
  );
});
