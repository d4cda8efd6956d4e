import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRaw } from './raw.ts';
import { SnapshotDisk } from './snapshot.ts';
import { MemoryFile } from './testing/memory-file.ts';

const BYTES = 200 * 1024 + 512;

test('writes are read back at any offset, and the disk below stays as it is', async () => {
  const file = new MemoryFile();
  const original = Uint8Array.from({ length: BYTES }, (_, i) => i * 7 + (i >> 8));
  await file.write(0, original);
  const disk = new SnapshotDisk(await openRaw(file));
  const expected = original.slice();
  // Within a block, over the border of two, and in the last one, which is not whole.
  for (const [offset, length, value] of [
    [10, 3, 1],
    [65_530, 70_000, 2],
    [BYTES - 100, 100, 3],
  ]) {
    await disk.write(offset, new Uint8Array(length).fill(value));
    expected.fill(value, offset, offset + length);
  }
  const got = new Uint8Array(BYTES);
  await disk.read(0, got);
  assert.deepEqual(got, expected);
  const part = new Uint8Array(1000);
  await disk.read(65_000, part);
  assert.deepEqual(part, expected.subarray(65_000, 66_000));
  await disk.flush();
  await disk.close();
  const below = new Uint8Array(BYTES);
  await file.read(0, below);
  assert.deepEqual(below, original);
});

test('a request beyond the disk is refused', async () => {
  const file = new MemoryFile();
  await file.write(0, new Uint8Array(1024));
  const disk = new SnapshotDisk(await openRaw(file));
  await assert.rejects(disk.read(1000, new Uint8Array(25)), /exceeds the disk/);
  await assert.rejects(disk.write(-1, new Uint8Array(1)), /exceeds the disk/);
});
