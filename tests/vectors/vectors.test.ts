// Checks our processor against the recorded vectors of a real one: a test a vector file, a subtest an instruction encoding.
// Owns how mismatches are reported: grouped, the first few in full.
// Set VECTORS to a part of file or encoding names ("x87", "ADD 00") to run those alone, VECTORS_SHOW to see more mismatches of each.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MODES } from './environments.ts';
import type { MachineUnderTest } from './machine-under-test.ts';
import { machinesUnderTest } from './machines.ts';
import type { Vector } from './vector.ts';
import { checkVector, describeVector, modesOf, prepareMachine } from './vector-check.ts';
import { decodeVectors } from './vector-file.ts';

const FOLDER = fileURLToPath(new URL('recorded/', import.meta.url));
const WANTED = process.env.VECTORS ?? '';
const SHOWN = Number(process.env.VECTORS_SHOW ?? 3);

/** Runs the vectors of one encoding; the text of all that went wrong, or the empty string. */
function checkGroup(machine: MachineUnderTest, vectors: readonly Vector[], sample: number): string {
  const shown: string[] = [];
  const counts = new Map<string, number>();
  let runs = 0;
  for (let i = 0; i < vectors.length; i += sample) {
    const vector = vectors[i];
    for (const mode of modesOf(vector)) {
      if (!machine.runsIn(MODES[mode])) continue;
      runs++;
      const wrong = checkVector(machine, vector, mode);
      if (wrong.length === 0) continue;
      counts.set(MODES[mode].name, (counts.get(MODES[mode].name) ?? 0) + 1);
      if (shown.length < SHOWN) shown.push(`${describeVector(vector, mode)}\n      ${wrong.join('\n      ')}`);
    }
  }
  if (counts.size === 0) return '';
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const byMode = [...counts].map(([mode, count]) => `${mode} ${count}`).join(', ');
  return `${total} of ${runs} runs differ from the real processor (${byMode})\n    ${shown.join('\n    ')}`;
}

const machines = machinesUnderTest();
if (machines.length === 0)
  test('the processor against recorded vectors', { skip: 'there is no processor yet' }, () => {});

for (const machine of machines) {
  for (const file of readdirSync(FOLDER).sort()) {
    test(`${machine.name}: ${file}`, async (t) => {
      prepareMachine(machine);
      // Sequences are what blocks and translations are most likely to get wrong.
      const sample = file.startsWith('sequences') ? Math.ceil(machine.sample / 5) : machine.sample;
      for (const group of decodeVectors(readFileSync(`${FOLDER}${file}`))) {
        if (!`${file} ${group.name}`.includes(WANTED)) continue;
        await t.test(group.name, () => {
          const trouble = checkGroup(machine, group.vectors, sample);
          if (trouble !== '') assert.fail(trouble);
        });
      }
    });
  }
}
