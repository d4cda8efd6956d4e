// What the tests of disk images share: a folder of their own, seeded workloads, and qemu-img as a judge.
// Owns the workload and the shadow that an image is compared with.
// Never part of the product.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockDevice } from '../../native-free-core/disk/block.ts';
import { type CreateOptions, createImage, type ImageFormat, openImage } from '../../native-free-core/disk/images.ts';
import { seeded } from '../../native-free-core/disk/testing/memory-file.ts';
import { nodeDiskHost, openHostFile } from './host-file.ts';

export { seeded };

/** A folder for a test file's images and locks, removed when `after` runs what it is given. */
export function imageFolder(after: (act: () => void) => void): string {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-disks-'));
  process.env.TRIVISOR_LOCKS = join(folder, 'locks');
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}

export async function create(path: string, options: Omit<CreateOptions, 'random'>): Promise<void> {
  const file = await openHostFile(path, 'create');
  await createImage(file, { random: new Uint8Array(32).fill(7), ...options });
  await file.close();
}

export async function openAt(path: string, mode: 'read' | 'write', format?: ImageFormat): Promise<BlockDevice> {
  return (await openImage(await openHostFile(path, mode), nodeDiskHost(), format)).device;
}

/** Writes, zeroes, flushes and discards at random; the shadow has the same done, but for discards, which it learns. */
export async function work(
  device: BlockDevice,
  shadow: Uint8Array,
  random: () => number,
  acts: number,
  unit = 512,
): Promise<void> {
  for (let act = 0; act < acts; act++) {
    const large = random();
    const largest = large < 0.03 ? 5_000_000 : large < 0.1 ? 400_000 : 9000;
    const offset = Math.floor((random() * device.size) / unit) * unit;
    const length = Math.min(device.size - offset, Math.ceil((random() * largest) / unit) * unit);
    const kind = random();
    if (kind < 0.05) await device.flush();
    else if (kind < 0.15) {
      const before = shadow.slice(offset, offset + length);
      await device.discard(offset, length);
      const now = shadow.subarray(offset, offset + length);
      await device.read(offset, now);
      for (let at = 0; at < length; at++) assert.ok(now[at] === before[at] || now[at] === 0, 'discarded: old or zero');
    } else if (kind < 0.22) {
      await device.writeZeros(offset, length);
      shadow.fill(0, offset, offset + length);
    } else {
      const data = new Uint8Array(length).fill(kind < 0.3 ? 0 : Math.floor(random() * 256));
      if (kind > 0.6) for (let at = 0; at < length; at += 7) data[at] = at * random();
      await device.write(offset, data);
      shadow.set(data, offset);
    }
  }
}

export async function assertSame(device: BlockDevice, shadow: Uint8Array): Promise<void> {
  assert.equal(device.size, shadow.length);
  const all = new Uint8Array(shadow.length);
  await device.read(0, all);
  const wrong = Buffer.compare(all, shadow) === 0 ? -1 : all.findIndex((byte, at) => byte !== shadow[at]);
  assert.equal(wrong, -1, 'the first byte that differs');
}

/** Why qemu-img cannot judge here; false where it can. */
export const withoutQemuImg: string | false =
  spawnSync('qemu-img', ['--version']).status === 0 ? false : 'qemu-img (Debian: qemu-utils) is not installed';

/** Executes qemu-img, which must succeed. */
export function qemuImg(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
  assert.equal(status, 0, `qemu-img ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}
