import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedElectron } from './electron-runtime.ts';

test('an override names the folder of the runtime, and counts only if the runtime is in it', {
  skip: process.platform === 'linux' ? false : 'the executable has another name on this platform',
}, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'electron-'));
  t.after(() => rmSync(folder, { recursive: true }));
  assert.equal(installedElectron({ ELECTRON_OVERRIDE_DIST_PATH: folder }), null);
  writeFileSync(join(folder, 'electron'), '');
  assert.equal(installedElectron({ ELECTRON_OVERRIDE_DIST_PATH: folder }), join(folder, 'electron'));
});
