import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitReasons } from '../native-free-core/hypervisor/control-block.ts';
import { guestUsageFields } from './contract.ts';

test('every exit reason has a figure that is kept, in an order that only grows', () => {
  const kept = guestUsageFields.filter((field) => field.startsWith('exits.'));
  assert.deepEqual(
    kept,
    exitReasons.map((reason) => `exits.${reason}`),
  );
  // Rows of the inventory are read by these places.
  assert.equal(guestUsageFields.indexOf('steal'), 7);
  assert.equal(guestUsageFields.indexOf('exits.portIo'), 22);
});
