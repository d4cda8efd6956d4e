import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openHostFile } from './host-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-host-file-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a file is read and written at once, into many pieces of shared memory, and not behind its end or once closed', async () => {
  const path = join(folder, 'file');
  const bytes = Uint8Array.from({ length: 3 << 20 }, (_, index) => index >> 8);
  writeFileSync(path, bytes);
  const file = await openHostFile(path, 'write');
  const memory = new Uint8Array(new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }).buffer);
  // More pieces than one call of the host takes.
  const pieces = Array.from({ length: 2000 }, (_, index) => memory.subarray(index * 1500, index * 1500 + 1024));
  assert.ok(file.readNow?.(512, pieces));
  for (const [index, piece] of pieces.entries())
    assert.deepEqual(piece.slice(), bytes.slice(512 + index * 1024, 512 + (index + 1) * 1024), `piece ${index}`);
  for (const piece of pieces) piece.fill(7);
  assert.ok(file.writeNow?.(100, pieces));
  bytes.fill(7, 100, 100 + 2000 * 1024);
  assert.ok(readFileSync(path).equals(bytes));
  assert.equal(file.readNow?.(bytes.length - 100, pieces), false);
  await file.close();
  assert.equal(file.readNow?.(0, pieces), false);
});

test('what cannot be written is not written at once, and the other way says why', async () => {
  const path = join(folder, 'protected');
  writeFileSync(path, new Uint8Array(4096));
  const file = await openHostFile(path, 'read');
  assert.equal(file.writeNow?.(0, [new Uint8Array(512)]), false);
  await assert.rejects(file.write(0, new Uint8Array(512)));
  await file.close();
});
