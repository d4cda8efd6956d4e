import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-threads-'));
after(() => rmSync(folder, { recursive: true }));
const program = join(folder, 'program.ts');
const source = JSON.stringify(join(import.meta.dirname, 'engine-threads.ts'));
writeFileSync(
  program,
  `import { limitEngineThreads } from ${source};
const args = process.argv.slice(3);
limitEngineThreads(args, Number(process.argv[2]));
console.log(JSON.stringify({ pid: process.pid, options: process.execArgv, args }));`,
);

/** What a process finds that was started so, on a host of so many processors. */
function start(processors: number, args: string[], options: string[] = [], environment = '') {
  const child = spawnSync(process.execPath, [...options, program, String(processors), ...args], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: environment },
  });
  assert.equal(child.stderr, '');
  assert.equal(child.status, 0);
  const found = JSON.parse(child.stdout) as { pid: number; options: string[]; args: string[] };
  assert.equal(found.pid, child.pid);
  assert.deepEqual(found.args, args);
  return found.options;
}

const canExecute = process.platform !== 'win32' && process.execve !== undefined;

test('where guests are executed, V8 has one thread less than there are processors', {
  skip: canExecute ? false : 'this Node or system has no execve',
}, () => {
  assert.deepEqual(start(1, ['run', 'a b', '--x']), ['--v8-pool-size=1']);
  assert.deepEqual(start(2, ['serve'], ['--no-deprecation']), ['--v8-pool-size=1', '--no-deprecation']);
  assert.deepEqual(start(3, ['daemon']), ['--v8-pool-size=2']);
});

test('nothing is begun anew where there are enough processors, no guests, or a number was given', () => {
  assert.deepEqual(start(4, ['run']), []);
  assert.deepEqual(start(2, ['list']), []);
  assert.deepEqual(start(2, ['run'], ['--v8-pool-size=3']), ['--v8-pool-size=3']);
  assert.deepEqual(start(2, ['run'], [], '--v8-pool-size=3'), []);
});
