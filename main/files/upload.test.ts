import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { FileName, UPLOAD_WINDOW, type UploadMessage } from '../contract.ts';
import { clearUploads, Upload } from './upload.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'trivisor-upload-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function begin(name: string, bytes: number) {
  const told: UploadMessage[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const upload = new Upload(home, { name, bytes }, { tell: (message) => told.push(message), ended: resolve });
  return { upload, told, ended };
}
const names = (): string[] => readdirSync(join(home, 'media')).sort();

/** What is left is removed behind the sentence that tells the end. */
async function nothingStays(): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (readdirSync(home).includes('media') && names().length === 0) return;
  }
  assert.fail(`Left behind: ${names()}`);
}

test('a file comes in pieces, and another of its name gets a number', async () => {
  for (const expected of ['disc.iso', 'disc-2.iso']) {
    const { upload, told, ended } = begin('disc.iso', 7);
    upload.receive(Buffer.from('abc'));
    upload.receive(Buffer.from('defg'));
    assert.equal(await ended, 'The file is here.');
    const path = join(home, 'media', expected);
    assert.deepEqual(told, [{ written: 0 }, { written: 3 }, { written: 7 }, { path }]);
    assert.equal(readFileSync(path, 'utf8'), 'abcdefg');
  }
  assert.deepEqual(names(), ['disc-2.iso', 'disc.iso']);
});

test('one that has more than it said, or runs ahead of the disk, is refused and leaves nothing', async () => {
  const more = begin('disc.iso', 2);
  more.upload.receive(Buffer.from('abc'));
  assert.match(await more.ended, /More bytes came/);
  const ahead = begin('disc.iso', 4 * UPLOAD_WINDOW);
  for (let sent = 0; sent <= UPLOAD_WINDOW; sent += 1 << 20) ahead.upload.receive(Buffer.alloc(1 << 20));
  ahead.upload.receive(Buffer.alloc(1 << 20));
  assert.match(await ahead.ended, /did not wait/);
  const huge = begin('disc.iso', 2 ** 40);
  assert.match(await huge.ended, /no room/);
  await nothingStays();
});

test('a page that leaves takes what it sent with it', async () => {
  const { upload } = begin('disc.iso', 10);
  upload.receive(Buffer.from('abc'));
  upload.leave();
  await nothingStays();
});

test('what a killed process left is cleared away, and nothing else', () => {
  clearUploads(home);
  mkdirSync(join(home, 'media'));
  for (const name of ['.upload-1', 'disc.iso']) writeFileSync(join(home, 'media', name), '');
  clearUploads(home);
  assert.deepEqual(names(), ['disc.iso']);
});

test('a name leads nowhere else', () => {
  for (const name of ['', '.', '..', '.hidden', 'a/b', 'a\\b', 'a\0', 'x'.repeat(256)])
    assert.equal(FileName.safeParse(name).success, false, JSON.stringify(name));
  assert.equal(FileName.safeParse('Debian 12 (amd64).iso').success, true);
});
