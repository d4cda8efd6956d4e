import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { listFolder } from './browse.ts';

test('folders come first, hidden entries and dead links not at all', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'browse-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'z'));
  for (const name of ['file10', 'file2', '.hidden']) writeFileSync(join(folder, name), 'four');
  symlinkSync('nowhere', join(folder, 'dead'));
  symlinkSync('z', join(folder, 'link'));
  const listing = await listFolder(folder);
  assert.deepEqual(
    listing.entries.map(({ name, kind, bytes }) => [name, kind, bytes]),
    [
      ['link', 'folder', 0],
      ['z', 'folder', 0],
      ['file2', 'file', 4],
      ['file10', 'file', 4],
    ],
  );
  assert.equal(listing.folder, folder);
  assert.equal(listing.parent, tmpdir());
  assert.equal(listing.isWhole, true);
  assert.equal(listing.entries[2].path, join(folder, 'file2'));
});

test('a folder that cannot be listed is told in one sentence', async () => {
  const missing = join(tmpdir(), 'browse-missing');
  await assert.rejects(listFolder(missing), {
    name: 'Failure',
    message: `The folder ${missing} cannot be listed: there is no such file or folder.`,
  });
});
