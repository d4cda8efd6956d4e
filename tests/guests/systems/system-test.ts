// A test that a system of the README's table starts and works.
// Owns the recording of what came of it, where that is asked for: TRIVISOR_RECORD=1.
// Never records a run in another engine than ours.

import { test } from 'node:test';
import { engine } from '../engines.ts';
import { type Result, record, type SystemId, systems } from './table.ts';

const isRecording = process.env.TRIVISOR_RECORD === '1';

/** Writes down what came of a run in an engine of ours. */
function note(id: SystemId, result: Result): void {
  if (isRecording && engine !== 'qemu') record(id, engine === 'window' ? 'window' : 'alone', result);
}

/** Why a long test is left to the night, where a like one of the other width or controller runs each time. */
export const nightly: string | false =
  process.env.TRIVISOR_NIGHTLY === '1' ? false : 'it takes minutes: TRIVISOR_NIGHTLY=1 runs it';

export function systemTest(id: SystemId, skip: string | false, work: () => Promise<void>): void {
  const { system, from, shows } = systems[id];
  test(`${system} (${from}): ${shows} [${id}]`, { skip }, async () => {
    try {
      await work();
    } catch (error) {
      note(id, 'fails');
      throw error;
    }
    note(id, 'works');
  });
}
