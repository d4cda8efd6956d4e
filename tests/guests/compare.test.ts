import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { CompareResults, Job } from '../../main/compare/compare.ts';
import { noDebian } from './debian.ts';
import { needsTrivisor, patience, trivisorCommand } from './engines.ts';

const noCompiler = (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'gcc')))
  ? false
  : 'gcc, which compiles what is compared, is not installed';
/** Seconds: two boots and a little work, on a noisy machine. */
const PATIENCE = 600;

test('the same work takes a para guest fewer instructions to boot and fewer exits for its disk and network', {
  skip: noDebian || needsTrivisor || noCompiler,
}, async () => {
  const options = ['--only', 'write,read,random,network', '--disk-size', '16', '--scale', '5', '--no-together'];
  const { file, args } = trivisorCommand('compare', ...options, '--no-memory-trial', '--json');
  const { stdout } = await promisify(execFile)(file, args, { timeout: PATIENCE * patience * 1000, maxBuffer: 1 << 24 });
  const { alone, missing } = JSON.parse(stdout) as CompareResults;
  // Containers have no card of their own here; nothing else may be missing.
  assert.deepEqual(
    missing.map(({ kind, job }) => `${kind} ${job}`),
    ['os network'],
  );
  const of = (kind: string, job: Job) => alone.find((each) => each.kind === kind && each.job === job)!.measured;
  // Counts, not times: those are the host's.
  const boot = of('para', 'boot').instructions / of('full', 'boot').instructions;
  assert.ok(boot <= 0.5, `${boot} of the instructions`);
  for (const [job, most] of [
    ['write', 0.3],
    ['read', 0.3],
    ['random', 0.2],
    ['network', 0.8],
  ] as const) {
    const ratio = of('para', job).exits / of('full', job).exits;
    assert.ok(ratio <= most, `${job}: ${ratio} of the exits`);
  }
});
