import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEAD, MOST, SoundSchedule } from './schedule.ts';

const PIECE = 0.02;

test('pieces follow each other without a gap, however unevenly they come', () => {
  const schedule = new SoundSchedule();
  const at = [0, 0, 0.05, 0.05, 0.09].map((now) => schedule.place(1 + now, PIECE)!);
  at.forEach((time, index) => {
    assert.ok(Math.abs(time - (1 + LEAD + index * PIECE)) < 1e-9, `${time}`);
  });
});

test('after a silence sound begins anew, and never in the past', () => {
  const schedule = new SoundSchedule();
  schedule.place(1, PIECE);
  assert.equal(schedule.place(5, PIECE), 5 + LEAD);
  for (let now = 5; now < 6; now += 0.013) {
    const at = schedule.place(now, PIECE);
    assert.ok(at === null || at >= now);
  }
});

test('what is put by has a bound: a guest faster than the host is cut now and then, not heard later and later', () => {
  const schedule = new SoundSchedule();
  let left = 0;
  let ahead = 0;
  // A guest whose second has 1.1 seconds of sound, for a minute.
  for (let piece = 0; piece < 3300; piece++) {
    const now = 1 + (piece * PIECE) / 1.1;
    const at = schedule.place(now, PIECE);
    if (at === null) left++;
    else ahead = Math.max(ahead, at - now);
  }
  assert.ok(ahead <= MOST + PIECE, `${ahead}`);
  assert.ok(left > 200 && left < 400, `${left} pieces left out of 300 too many`);
});
