import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newCable, RingPort } from '../network/ring-port.ts';
import { NetworkTraffic } from './network-traffic.ts';

test('unfinished frames pass with their headers, both ways, and are counted', () => {
  const cable = newCable();
  const far = new RingPort(
    { fromGuest: cable.toGuest, toGuest: cable.fromGuest },
    () => {},
    () => 0,
  );
  const port = new NetworkTraffic().port(
    new RingPort(
      cable,
      () => {},
      () => 0,
    ),
  );
  const frame = new Uint8Array(100).fill(7);
  const header = new Uint8Array(12).fill(1);
  assert.equal(port.sendUnfinished?.(frame, header), true);
  assert.deepEqual([far.next(), far.header], [frame, header]);
  assert.equal(port.header, undefined);
  far.sendUnfinished(frame, header);
  assert.deepEqual([port.next(), port.header], [frame, header]);
  port.advance();
  far.send(frame);
  assert.deepEqual([port.next(), port.header], [frame, undefined]);
});
