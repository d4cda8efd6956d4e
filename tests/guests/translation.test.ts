// The small guests once more, with their code translated from its first execution on, and never.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needsTrivisor, translation } from './engines.ts';

const files = ['small-kernels.test.ts', 'boot-images.test.ts'].map((name) =>
  fileURLToPath(new URL(name, import.meta.url)),
);

for (const when of ['eager', 'off']) {
  const again = translation === 'hot' ? false : 'TRIVISOR_TRANSLATION says how already';
  test(`the small guests do the same with translation ${when}`, { skip: needsTrivisor || again }, () => {
    const env: NodeJS.ProcessEnv = { ...process.env, TRIVISOR_TRANSLATION: when };
    // Without this the tests below would report to ours instead of by their status.
    delete env.NODE_TEST_CONTEXT;
    const { status, stdout } = spawnSync(process.execPath, ['--test', ...files], { env, encoding: 'utf8' });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /pass [1-9]/);
  });
}
