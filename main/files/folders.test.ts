import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { explainFileError, withLock } from './folders.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-folders-'));
after(() => rmSync(folder, { recursive: true }));

test('a lock is held by one at a time, and freed when the work fails', async () => {
  const file = join(folder, 'lock');
  let inside = 0;
  const work = async () => {
    assert.equal(++inside, 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    inside--;
  };
  await Promise.all([withLock(file, work), withLock(file, work)]);
  await assert.rejects(
    withLock(file, () => Promise.reject(new Error('no'))),
    /^Error: no$/,
  );
  assert.ok(!existsSync(file));
});

test('the lock of a dead process is taken over, that of a living one is not', async () => {
  const file = join(folder, 'stale');
  writeFileSync(file, '4194305\n'); // Above the largest process number Linux gives out.
  assert.equal(await withLock(file, async () => 'mine'), 'mine');
  writeFileSync(file, `${process.ppid}\n`);
  await assert.rejects(
    withLock(file, async () => 'mine', 0),
    /held .* for too long/,
  );
});

test('file errors become one sentence', () => {
  const error = Object.assign(new Error('EACCES: x'), { code: 'EACCES' });
  assert.equal(explainFileError(error, 'Cannot open /x'), 'Cannot open /x: permission is denied.');
});
