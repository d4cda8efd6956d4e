import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { CreateOptions } from '../../native-free-core/disk/images.ts';
import { createDisk } from './disks.ts';
import { assertSame, create, imageFolder, openAt, qemuImg, seeded, withoutQemuImg, work } from './testing.ts';

const folder = imageFolder(after);
const SIZE = (6 << 20) + 5 * 512;
const skip = withoutQemuImg;
const qemuName = (format: string): string => (format === 'vhd' ? 'vpc' : format);

/** qemu-img finds nothing wrong in an image, and the shadow's bytes. */
function judge(path: string, format: string, shadow: Uint8Array): void {
  if (format === 'qcow2' || format === 'vdi' || format === 'vmdk') qemuImg('check', '-f', format, path);
  const raw = `${path}.shadow`;
  writeFileSync(raw, shadow);
  qemuImg('compare', '-f', qemuName(format), '-F', 'raw', path, raw);
}

describe('images made here, after random workloads, by the judgement of qemu-img', { skip }, () => {
  const kinds: Record<string, Omit<CreateOptions, 'random' | 'size'>> = {
    raw: { format: 'raw' },
    qcow2: { format: 'qcow2' },
    'qcow2 of version 2': { format: 'qcow2', version: 2 },
    'qcow2 with clusters of 512 bytes': { format: 'qcow2', clusterBits: 9 },
    'qcow2 with clusters of 2 MiB': { format: 'qcow2', clusterBits: 21 },
    'qcow2 with refcounts of 1 bit and small clusters': { format: 'qcow2', clusterBits: 12, refcountOrder: 0 },
    'qcow2 with refcounts of 64 bits': { format: 'qcow2', clusterBits: 9, refcountOrder: 6 },
    'qcow2 with lazy refcounts': { format: 'qcow2', lazyRefcounts: true },
    vdi: { format: 'vdi' },
    'vdi, fixed': { format: 'vdi', isFixed: true },
    vmdk: { format: 'vmdk' },
    vhd: { format: 'vhd' },
    'vhd, fixed': { format: 'vhd', isFixed: true },
  };
  for (const [name, options] of Object.entries(kinds)) {
    test(name, async () => {
      const path = join(folder, `ours ${name}`);
      await create(path, { ...options, size: SIZE });
      const shadow = new Uint8Array(SIZE);
      const random = seeded(name.length * 977);
      for (let session = 0; session < 3; session++) {
        const device = await openAt(path, 'write', options.format);
        await assertSame(device, shadow);
        await work(device, shadow, random, 60);
        await device.close();
        judge(path, options.format, shadow);
      }
    });
  }

  test('vmdk over a vmdk, two deep, and refused when what is below was written', async () => {
    const random = seeded(23);
    const shadow = new Uint8Array(SIZE);
    let below: string | undefined;
    for (const name of ['root', 'middle', 'top']) {
      const path = join(folder, `${name}.vmdk`);
      if (below === undefined) await create(path, { format: 'vmdk', size: SIZE });
      else await createDisk(path, { format: 'vmdk', backing: join(folder, below) });
      for (let session = 0; session < 2; session++) {
        const device = await openAt(path, 'write');
        await assertSame(device, shadow);
        await work(device, shadow, random, 60);
        await device.close();
        judge(path, 'vmdk', shadow);
      }
      below = `${name}.vmdk`;
    }
    const device = await openAt(join(folder, 'root.vmdk'), 'write');
    await device.write(0, new Uint8Array(512).fill(1));
    await device.close();
    await assert.rejects(openAt(join(folder, 'top.vmdk'), 'read'), /middle|root\.vmdk was changed or replaced/);
    assert.notEqual(
      spawnSync('qemu-img', ['compare', join(folder, 'middle.vmdk'), join(folder, 'top.vmdk')]).status,
      0,
    );
  });

  test('qcow2 over backing files of every format', async () => {
    const random = seeded(5);
    for (const format of ['raw', 'qcow2', 'vdi', 'vmdk', 'vhd'] as const) {
      const base = join(folder, `base.${format}`);
      const size = SIZE - 70_000 + (70_000 % 512);
      await create(base, { format, size });
      const below = await openAt(base, 'write', format);
      const shadow = new Uint8Array(SIZE);
      await work(below, shadow.subarray(0, below.size), random, 60);
      await below.close();
      for (const version of [2, 3] as const) {
        const path = join(folder, `over ${format} ${version}`);
        await create(path, { format: 'qcow2', size: SIZE, version, backing: { name: `base.${format}`, format } });
        const device = await openAt(path, 'write');
        const copy = shadow.slice();
        await assertSame(device, copy);
        await work(device, copy, random, 60);
        await device.close();
        judge(path, 'qcow2', copy);
      }
    }
  });
});

describe("qemu-img's images, read and written here", { skip }, () => {
  const kinds: Record<string, { format: 'qcow2' | 'vdi' | 'vmdk' | 'vhd'; args: string[]; isReadOnly?: boolean }> = {
    qcow2: { format: 'qcow2', args: ['-O', 'qcow2'] },
    'qcow2, compressed': { format: 'qcow2', args: ['-O', 'qcow2', '-c'] },
    'qcow2, compressed with zstd': { format: 'qcow2', args: ['-O', 'qcow2', '-c', '-o', 'compression_type=zstd'] },
    'qcow2 with small clusters, compressed': { format: 'qcow2', args: ['-O', 'qcow2', '-c', '-o', 'cluster_size=4k'] },
    'qcow2 with lazy refcounts': { format: 'qcow2', args: ['-O', 'qcow2', '-o', 'lazy_refcounts=on'] },
    'qcow2 of version 0.10': { format: 'qcow2', args: ['-O', 'qcow2', '-o', 'compat=0.10'] },
    'qcow2, preallocated': { format: 'qcow2', args: ['-O', 'qcow2', '-o', 'preallocation=metadata'] },
    vdi: { format: 'vdi', args: ['-O', 'vdi'] },
    'vdi, fixed': { format: 'vdi', args: ['-O', 'vdi', '-o', 'static=on'] },
    vmdk: { format: 'vmdk', args: ['-O', 'vmdk'] },
    'vmdk, stream-optimized': {
      format: 'vmdk',
      args: ['-O', 'vmdk', '-o', 'subformat=streamOptimized'],
      isReadOnly: true,
    },
    vhd: { format: 'vhd', args: ['-O', 'vpc', '-o', 'force_size=on'] },
    'vhd, fixed': { format: 'vhd', args: ['-O', 'vpc', '-o', 'force_size=on,subformat=fixed'] },
  };
  for (const [name, { format, args, isReadOnly }] of Object.entries(kinds)) {
    test(name, async () => {
      const random = seeded(name.length * 31 + 3);
      const raw = join(folder, `theirs ${name}.raw`);
      await create(raw, { format: 'raw', size: SIZE });
      const source = await openAt(raw, 'write', 'raw');
      const shadow = new Uint8Array(SIZE);
      await work(source, shadow, random, 60);
      await source.close();
      const path = join(folder, `theirs ${name}`);
      qemuImg('convert', '-f', 'raw', ...args, raw, path);
      const reader = await openAt(path, 'read');
      await assertSame(reader, shadow);
      await reader.close();
      if (isReadOnly) {
        await assert.rejects(openAt(path, 'write'), /stream-optimized VMDK can only be read/);
        return;
      }
      const device = await openAt(path, 'write');
      await work(device, shadow, random, 80);
      await device.close();
      judge(path, format, shadow);
    });
  }

  test('vmdk over a vmdk', async () => {
    const random = seeded(29);
    const base = join(folder, 'their base.vmdk');
    const path = join(folder, 'their child.vmdk');
    await create(base, { format: 'vmdk', size: SIZE });
    const shadow = new Uint8Array(SIZE);
    const below = await openAt(base, 'write');
    await work(below, shadow, random, 60);
    await below.close();
    for (const options of ['zeroed_grain=on', 'zeroed_grain=off']) {
      rmSync(path, { force: true });
      qemuImg('create', '-f', 'vmdk', '-b', base, '-F', 'vmdk', '-o', options, path);
      const copy = shadow.slice();
      const device = await openAt(path, 'write');
      await assertSame(device, copy);
      await work(device, copy, random, 80);
      await device.close();
      judge(path, 'vmdk', copy);
    }
  });

  test('snapshots keep what they hold, whatever is written afterwards', async () => {
    const path = join(folder, 'snapshots');
    await create(path, { format: 'qcow2', size: SIZE });
    const random = seeded(11);
    const shadow = new Uint8Array(SIZE);
    const kept: Uint8Array[] = [];
    for (let round = 0; round < 3; round++) {
      const device = await openAt(path, 'write');
      await work(device, shadow, random, 60);
      await device.close();
      judge(path, 'qcow2', shadow);
      kept.push(shadow.slice());
      qemuImg('snapshot', '-c', `s${round}`, path);
    }
    const device = await openAt(path, 'write');
    await work(device, shadow, random, 60);
    await device.close();
    judge(path, 'qcow2', shadow);
    for (const [round, then] of kept.entries()) {
      qemuImg('snapshot', '-a', `s${round}`, path);
      judge(path, 'qcow2', then);
    }
  });
});
