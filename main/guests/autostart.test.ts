import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestSettings, type GuestView } from '../contract.ts';
import { autostart, autostarted } from './autostart.ts';

const guest = (
  name: string,
  autostart: number | null,
  more: Partial<GuestView> = {},
  autostartDelay = 0,
): GuestView => ({
  ...({ createdAt: 0, startedAt: null, pauseReason: null, ejectedDisc: null, lastEnd: null, saved: null } as const),
  ...{ id: name, settings: GuestSettings.parse({ name, autostart, autostartDelay }), state: 'off', snapshots: 0 },
  ...more,
});

const guests = [
  guest('late', 5, {}, 7),
  guest('never', null),
  guest('broken', 1, { createdAt: 1 }, 2),
  guest('first', 1),
  guest('busy', 2, { state: 'running' }),
];

test('guests start in their order, after their waits; one that cannot holds nobody up', async () => {
  assert.deepEqual(
    autostarted(guests).map(({ id }) => id),
    ['first', 'broken', 'late'],
  );
  const told: string[] = [];
  const started = await autostart({
    list: () => guests,
    start: async (id) => {
      if (id === 'broken') throw new Error('There is no kernel.');
      told.push(`start ${id}`);
    },
    failed: ({ id }, sentence) => told.push(`${id}: ${sentence}`),
    wait: async (milliseconds) => void told.push(`wait ${milliseconds}`),
    signal: new AbortController().signal,
  });
  assert.deepEqual(told, ['start first', 'wait 2000', 'broken: There is no kernel.', 'wait 7000', 'start late']);
  assert.equal(started, 2);
});

test('nothing more starts once the app is left', async () => {
  const leaving = new AbortController();
  const started: string[] = [];
  await autostart({
    list: () => guests,
    start: async (id) => {
      started.push(id);
      leaving.abort();
    },
    failed: () => assert.fail('nothing fails'),
    wait: async () => {},
    signal: leaving.signal,
  });
  assert.deepEqual(started, ['first']);
});
