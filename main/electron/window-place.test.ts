import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPlace, writePlace } from './window-place.ts';

const home = mkdtempSync(join(tmpdir(), 'trivisor-window-'));
after(() => rmSync(home, { recursive: true }));
const screen = { x: 0, y: 0, width: 1920, height: 1080 };
const place = { x: 100, y: 50, width: 1240, height: 820, isMaximized: false };

test('a window comes back where it was, as long as a screen shows it there', () => {
  assert.equal(readPlace(home, [screen]), null);
  writePlace(home, place);
  assert.deepEqual(readPlace(home, [screen]), place);
  const left = { x: -1920, y: 0, width: 1920, height: 1080 };
  writePlace(home, { ...place, x: -1800, isMaximized: true });
  assert.equal(readPlace(home, [left, screen])?.isMaximized, true);
  assert.equal(readPlace(home, [screen]), null, 'that screen is gone');
  writePlace(home, { ...place, y: -30 });
  assert.equal(readPlace(home, [screen]), null, 'its upper edge cannot be grasped');
});

test('a file of anything else is as none, and a home that is gone is a warning', async () => {
  for (const text of [
    '',
    '{',
    '[]',
    '{"x":1}',
    JSON.stringify({ ...place, width: 0 }),
    JSON.stringify({ ...place, x: 1e9 }),
  ]) {
    writeFileSync(join(home, 'window.json'), text);
    assert.equal(readPlace(home, [screen]), null, text);
  }
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  writePlace(join(home, 'none'), place);
  assert.match((await warned).message, /The window's place could not be kept/);
});
