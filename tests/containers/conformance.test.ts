// Small C programs, run natively and by the shared kernel: what they print and how they end must be the same.
// The judge is the host's own kernel, so these tests need Linux on x86-64 and a C compiler.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { osRun } from './os-run.ts';

const sources = join(import.meta.dirname, 'programs');
const programs = readdirSync(sources).map((name) => name.replace(/\.c$/, ''));
const isJudge = process.platform === 'linux' && process.arch === 'x64' && spawnSync('gcc', ['--version']).status === 0;
const skip = isJudge ? false : 'the judge is a Linux host of x86-64 with gcc';
/** Programs that do as root what only root may. */
const ofRoot = ['capabilities', 'namespaces', 'seccomp'];
const skipOf = (program: string): false | string =>
  skip ||
  (ofRoot.includes(program) && process.getuid?.() !== 0 ? 'as a judge of root’s rights the host must be root' : false);

/** What a dynamic program of these needs. */
const LOADER = '/lib64/ld-linux-x86-64.so.2';
const LIBRARY = '/lib/x86_64-linux-gnu/libc.so.6';

const root = mkdtempSync(join(tmpdir(), 'trivisor-conformance-'));
after(() => rmSync(root, { recursive: true }));

before(() => {
  if (!isJudge) return;
  // Programs that are not root's look into it as well.
  chmodSync(root, 0o755);
  for (const folder of ['tmp', 'lib64', 'lib/x86_64-linux-gnu']) mkdirSync(join(root, folder), { recursive: true });
  for (const file of [LOADER, LIBRARY]) copyFileSync(file, join(root, file));
});

function compile(name: string, ...flags: string[]): string {
  const file = join(root, name + (flags.includes('-static') ? '' : '-dynamic'));
  execFileSync('gcc', ['-O1', '-w', '-pthread', ...flags, '-o', file, join(sources, `${name}.c`)]);
  return file;
}

function natively(file: string): { output: string; status: number | null } {
  const { stdout, status, signal } = spawnSync(file, { encoding: 'latin1', timeout: 30_000 });
  assert.equal(signal, null, 'the program itself must end by an exit');
  return { output: stdout, status };
}

for (const program of programs)
  test(`${program}.c does what it does natively`, { skip: skipOf(program) }, async () => {
    const file = compile(program, '-static');
    const { output, status } = await osRun(root, [`/${program}`]);
    assert.deepEqual({ output, status }, natively(file));
  });

test('a dynamic program finds its loader and library, and its code may be translated at once', { skip }, async () => {
  const file = compile('processes');
  const expected = natively(file);
  for (const translation of ['eager', 'off'] as const) {
    const { output, status } = await osRun(root, ['/processes-dynamic'], { translation });
    assert.deepEqual({ output, status }, expected, translation);
  }
});
