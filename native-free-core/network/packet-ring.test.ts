import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketRing, RING_FRAME_MAX } from './packet-ring.ts';

test('frames come out as they went in, in order, over many turns of the ring', () => {
  const writer = new PacketRing(256 * 1024);
  const reader = new PacketRing(writer.buffer);
  let next = 0;
  let expected = 0;
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48271) % 0x7fffffff) % below;
  const frame = (number: number) => {
    const bytes = new Uint8Array(14 + ((number * 7919) % 9000));
    return bytes.fill(number & 0xff).fill(number >>> 8, 4, 6);
  };
  for (let turn = 0; turn < 4000; turn++) {
    for (let count = random(40); count > 0; count--) {
      const wasEmpty = writer.isEmpty;
      const result = writer.push(frame(next));
      if (result === 'full') break;
      assert.equal(result, wasEmpty ? 'first' : 'done');
      next++;
    }
    for (let count = random(40); count > 0 && expected < next; count--, expected++) {
      assert.deepEqual(reader.next(), frame(expected));
      reader.advance();
    }
  }
  assert.ok(next > 10_000, `${next} frames`);
  reader.clear();
  assert.equal(reader.next(), undefined);
  reader.advance();
  assert.equal(writer.isEmpty, true);
});

test('a full ring takes nothing and loses nothing', () => {
  const ring = new PacketRing(256 * 1024);
  const long = new Uint8Array(RING_FRAME_MAX).fill(7);
  assert.equal(ring.push(new Uint8Array(RING_FRAME_MAX + 1)), 'full');
  let count = 0;
  while (ring.push(long) !== 'full') count++;
  assert.equal(count, 3);
  assert.equal(ring.next()?.length, RING_FRAME_MAX);
  // The rest up to the end is too short for it, and the start is not free yet.
  assert.ok(ring.free < RING_FRAME_MAX);
  ring.advance();
  assert.equal(ring.push(long), 'done');
  assert.equal(ring.push(new Uint8Array(14)), 'full', 'not a byte is left');
  for (let i = 0; i < 3; i++, ring.advance()) assert.deepEqual(ring.next(), long);
  assert.equal(ring.isEmpty, true);
});

test('an unfinished frame comes out with its header, a finished one without', () => {
  const ring = new PacketRing(256 * 1024);
  const reader = new PacketRing(ring.buffer);
  const header = new Uint8Array(12).fill(9);
  ring.push(new Uint8Array(61).fill(1), header);
  ring.push(new Uint8Array(60).fill(2));
  assert.deepEqual(reader.next(), new Uint8Array(61).fill(1));
  assert.deepEqual(reader.header, header);
  reader.advance();
  assert.deepEqual(reader.next(), new Uint8Array(60).fill(2));
  assert.equal(reader.header, undefined);
  reader.advance();
  assert.equal(ring.isEmpty, true);
  reader.takes = 3;
  assert.equal(ring.takes, 3);
});
