// The guests once more, with their code translated from its first execution on, and never: the small ones each time, all of
// them by night.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needsTrivisor, translation } from './engines.ts';

const folder = import.meta.dirname;
const small: readonly string[] = ['small-kernels.test.ts', 'boot-images.test.ts'];
/** They choose themselves how their code is executed, or measure. */
const choosing: readonly string[] = [
  ...['bench.test.ts', 'hostile-code.test.ts', 'kernel-patching.test.ts', 'lockstep.test.ts', 'translation.test.ts'],
];
const others = readdirSync(folder).filter(
  (name) => name.endsWith('.test.ts') && !small.includes(name) && !choosing.includes(name),
);

const again = translation === 'hot' ? false : 'TRIVISOR_TRANSLATION says how already';
const nightly =
  process.env.TRIVISOR_NIGHTLY === '1'
    ? false
    : 'nightly: it takes hours; TRIVISOR_NIGHTLY=1 runs every guest once more';

function runAgain(when: string, files: readonly string[]): void {
  const env: NodeJS.ProcessEnv = { ...process.env, TRIVISOR_TRANSLATION: when };
  // Without this the tests below would report to ours instead of by their status.
  delete env.NODE_TEST_CONTEXT;
  // What only a night runs takes too long in other ways than usual.
  delete env.TRIVISOR_NIGHTLY;
  delete env.TRIVISOR_RECORD;
  const paths = files.map((name) => join(folder, name));
  const options = ['--test', '--test-concurrency=1', ...paths];
  const { status, stdout } = spawnSync(process.execPath, options, { env, encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(status, 0, stdout);
  assert.match(stdout, /(pass|skipped) [1-9]/);
}

for (const when of ['eager', 'off']) {
  test(`the small guests do the same with translation ${when}`, { skip: needsTrivisor || again }, () => {
    runAgain(when, small);
  });
  for (const name of others) {
    test(`the guests of ${name} do the same with translation ${when}`, {
      skip: needsTrivisor || again || nightly,
    }, () => {
      runAgain(when, [name]);
    });
  }
}
