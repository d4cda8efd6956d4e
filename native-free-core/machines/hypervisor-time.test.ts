import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlBlock } from '../hypervisor/control-block.ts';
import type { EngineCounts, EngineState } from './engine-counts.ts';
import { HypervisorTime } from './hypervisor-time.ts';

/** Of an engine that has done nothing. */
const counts = {
  instructions: 0,
  translatedInstructions: 0,
  timedInstructions: 0,
  tlbMisses: 0,
  blocksDecoded: 0,
  blocksInvalidated: 0,
  blockFlushes: 0,
  regionsTranslated: 0,
  regionsInvalidated: 0,
  regionsFlushed: 0,
  regionsDiscarded: 0,
  translatedModules: 0,
  translatedBytes: 0,
  besideNanoseconds: 0,
} satisfies EngineCounts;
const state = { regionsInstalled: 0, regionsWaiting: 0, installedBytes: 0, touchedPages: 0 } satisfies EngineState;

test('acts are told by a sample of them, without those in the midst of which the host did something else', () => {
  let now = 0;
  const time = new HypervisorTime(() => now);
  const acts = 17 * 40;
  for (let act = 0; act < acts; act++)
    time.measure('devices', () => {
      // Each is a microsecond; in the twentieth sample the thread lost its processor for 20 ms.
      now += act === 17 * 20 ? 20_000_000 : 1000;
    });
  const control = new ControlBlock();
  time.publish(control, counts, state);
  assert.equal(control.get('devicesNanoseconds'), acts * 1000);
  // What is rare and takes long is all timed.
  time.time('devices', () => {
    now += 50_000_000;
  });
  time.publish(control, counts, state);
  assert.equal(control.get('devicesNanoseconds'), acts * 1000 + 50_000_000);
});
