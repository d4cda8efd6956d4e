import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newCable, RingPort } from './ring-port.ts';

test('the reader is rung for at once, but not for each frame of a stream, and for the last one by a flush', () => {
  const cable = newCable();
  const state = { rings: 0, now: 0 };
  const near = new RingPort(
    cable,
    () => state.rings++,
    () => state.now,
  );
  const far = new RingPort(
    { fromGuest: cable.toGuest, toGuest: cable.fromGuest },
    () => {},
    () => 0,
  );
  const pass = () => {
    assert.equal(near.send(new Uint8Array(60)), true);
    return state.rings;
  };
  const take = () => {
    assert.equal(far.next()?.length, 60);
    far.advance();
  };
  assert.equal(pass(), 1);
  assert.equal(pass(), 1, 'the reader is awake: it has not come to the end');
  near.flush();
  assert.equal(state.rings, 1, 'nobody is owed a ring');
  take();
  take();
  assert.equal(pass(), 1, 'it was rung for just now');
  near.flush();
  assert.equal(state.rings, 2);
  take();
  state.now = 1;
  assert.equal(pass(), 3, 'that was long ago');
});
