import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompareState, CompareWish, Failure } from '../contract.ts';
import type { CompareOptions, CompareResults } from './compare.ts';
import { Comparisons } from './comparisons.ts';

const measured: CompareResults['alone'][number]['measured'] = {
  wallSeconds: 2,
  guestSeconds: 1,
  kernelSeconds: 0,
  hypervisorSeconds: 1,
  hypervisorParts: { exits: 1, devices: 0, paging: 0, translation: 0, scheduling: 0 },
  hypervisorShare: 0.5,
  fileSeconds: 0,
  processorSeconds: 2,
  exits: 10,
  exitsByReason: {},
  instructions: 1000,
  residentMiB: 64,
};
const results: CompareResults = {
  host: { processor: 'p', cores: 2, node: '24' },
  work: { diskMiB: 1, randomPages: 1, networkMiB: 1 },
  alone: [{ kind: 'full', job: 'boot', measured }],
  together: [],
  memory: null,
  missing: [{ kind: 'os', job: 'network', reason: 'none' }],
};

test('a comparison tells how far it is, and one runs at a time', async () => {
  const told: CompareState[] = [];
  const ended = Promise.withResolvers<void>();
  const comparisons = new Comparisons({
    changed: (state) => {
      told.push(CompareState.parse(state));
      if (!state.isRunning) ended.resolve();
    },
    compare: async ({ progress, measured: tell, kinds, only }: CompareOptions) => {
      assert.deepEqual([kinds, only], [['full'], ['cpu']]);
      progress?.('full: boot');
      tell?.(results);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return results;
    },
  });
  const wish = CompareWish.parse({ kinds: ['full'], jobs: ['cpu'] });
  assert.equal(comparisons.start(wish).isRunning, true);
  assert.throws(() => comparisons.start(wish), Failure);
  await ended.promise;
  assert.ok(told.some(({ doing, alone }) => doing === 'full: boot' && alone.length === 0));
  const { state } = comparisons;
  assert.deepEqual([state.isRunning, state.doing, state.problem], [false, '', null]);
  assert.deepEqual(state.alone[0], {
    ...{ kind: 'full', job: 'boot', wallSeconds: 2, guestSeconds: 1, kernelSeconds: 0, hypervisorSeconds: 1 },
    ...{ hypervisorShare: 0.5, exits: 10, residentMiB: 64 },
  });
  assert.equal(state.missing[0]?.reason, 'none');
});

test('one that is stopped keeps what was measured; one that fails tells why', async () => {
  const stopped = new Comparisons({
    changed: () => {},
    compare: ({ measured: tell, signal }) => {
      tell?.(results);
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('interrupted'))));
    },
  });
  stopped.start(CompareWish.parse({}));
  await Promise.resolve();
  const state = await stopped.stop();
  assert.deepEqual([state.isRunning, state.alone.length, state.problem], [false, 1, 'The comparison was stopped.']);
  const failing = new Comparisons({ changed: () => {}, compare: () => Promise.reject(new Error('There is no gcc.')) });
  failing.start(CompareWish.parse({}));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(failing.state.problem, 'There is no gcc.');
  assert.throws(() => CompareWish.parse({ kinds: [] }));
});
