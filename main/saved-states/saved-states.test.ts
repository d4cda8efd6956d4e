import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Failure, GuestSettings } from '../contract.ts';
import { SavedStates } from './saved-states.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-saved-states-'));
after(() => rmSync(folder, { recursive: true }));

const disk = join(folder, 'disk.img');
const settings = GuestSettings.parse({ name: 'lab', disks: [{ file: disk }], floppies: [null] });

async function saved() {
  writeFileSync(disk, 'as it was');
  const states = new SavedStates(folder);
  writeFileSync(states.file('1'), 'state');
  return { states, record: await states.record('1', settings) };
}

test('a guest goes on where its disks are as they were', async () => {
  const { states, record } = await saved();
  assert.equal(record.bytes, 5);
  states.check('1', 'lab', record);
});

test('a disk that has changed or gone, or a state that has gone, is told in a sentence', async () => {
  const { states, record } = await saved();
  const refused = (sentence: RegExp) =>
    assert.throws(
      () => states.check('1', 'lab', record),
      (error) => error instanceof Failure && sentence.test(error.message),
    );
  writeFileSync(disk, 'another');
  refused(/disk\.img has changed since lab was saved, .*: discard the saved state to start lab anew\.$/);
  rmSync(disk);
  refused(/disk\.img is gone since lab was saved/);
  await states.remove('1');
  refused(/The file of lab’s saved state is gone/);
  assert.ok(!existsSync(states.file('1')));
});
