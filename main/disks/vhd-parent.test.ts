import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createDisk, diskInfo } from './disks.ts';
import { assertSame, imageFolder, openAt, seeded, work } from './testing.ts';

const folder = imageFolder(after);
const SIZE = (6 << 20) + 5 * 4096;
/** libvhdi 20210425 takes the parent's sectors for zeros behind a child's own where one byte of the bitmap tells both. */
const UNIT = 4096;

/** Opens images from the lowest on, each the parent of the next, and compares the last one's bytes with a file's. */
const JUDGE = `
import sys, pyvhdi
shadow = open(sys.argv[1], 'rb').read()
parent = None
kept = []
for path in sys.argv[2:]:
    image = pyvhdi.file()
    image.open(path)
    if parent is not None:
        assert image.get_parent_identifier() == parent.get_identifier(), 'the parent it names'
        image.set_parent(parent)
    parent = image
    kept.append(image)
assert image.get_media_size() == len(shadow), 'the size'
got = b''
while len(got) < len(shadow):
    got += image.read_buffer_at_offset(min(1 << 20, len(shadow) - len(got)), len(got))
assert got == shadow, 'the bytes'
`;
const skip =
  spawnSync('/usr/bin/python3', ['-c', 'import pyvhdi']).status === 0
    ? false
    : 'libvhdi for Python (Debian: python3-libvhdi) is not installed';

describe('differencing VHD images after random workloads, by the judgement of libvhdi', { skip }, () => {
  for (const isFixed of [false, true]) {
    test(`three deep, the lowest ${isFixed ? 'fixed' : 'dynamic'}`, async () => {
      const random = seeded(41);
      const shadow = new Uint8Array(SIZE);
      const names = ['root', 'middle', 'top'].map((name) => `${isFixed ? 'fixed ' : ''}${name}.vhd`);
      const paths = names.map((name) => join(folder, name));
      for (const [index, path] of paths.entries()) {
        if (index === 0) await createDisk(path, { format: 'vhd', size: SIZE, isFixed });
        else await createDisk(path, { format: 'vhd', backing: paths[index - 1] });
        for (let session = 0; session < 2; session++) {
          const device = await openAt(path, 'write');
          await assertSame(device, shadow);
          await work(device, shadow, random, 60, UNIT);
          await device.close();
          const raw = join(folder, 'shadow');
          writeFileSync(raw, shadow);
          const { status, stderr } = spawnSync('/usr/bin/python3', ['-c', JUDGE, raw, ...paths.slice(0, index + 1)], {
            encoding: 'utf8',
          });
          assert.equal(status, 0, stderr);
        }
      }
      assert.deepEqual((await diskInfo(paths[2]!)).backing, [names[1], names[0]]);
    });
  }
});

test('an image over a parent has its size and its format', async () => {
  const base = join(folder, 'base.vhd');
  await createDisk(base, { format: 'vhd', size: 1 << 20 });
  const create = (name: string, disk: Partial<Parameters<typeof createDisk>[1]>) =>
    createDisk(join(folder, name), { format: 'vhd', backing: base, ...disk });
  await assert.rejects(create('a.vhd', { size: 2 << 20 }), /has its size: 1048576 bytes/);
  await assert.rejects(create('a.vmdk', { format: 'vmdk' }), /made over a vmdk image only/);
  await assert.rejects(create('a.vdi', { format: 'vdi' }), /has no backing file; qcow2, vmdk and vhd have/);
  await assert.rejects(create('a.vhd', { isFixed: true }), /fixed image has no backing file/);
  assert.equal((await create('over.qcow2', { format: 'qcow2' })).size, 1 << 20);
});

/** What the tables of an image may take meanwhile (bytes). */
const METADATA = 128 << 10;

const makesHoles = process.platform === 'linux' && spawnSync('fallocate', ['--version']).status === 0;

for (const format of ['raw', 'qcow2', 'vdi', 'vmdk', 'vhd'] as const) {
  test(`${format}: what is discarded takes no room on this host`, {
    skip: !makesHoles && 'no fallocate here',
  }, async () => {
    const path = join(folder, `given back.${format}`);
    await createDisk(path, { format, size: 16 << 20 });
    const device = await openAt(path, 'write', format);
    await device.write(0, new Uint8Array(16 << 20).fill(9));
    await device.flush();
    const full = statSync(path).blocks * 512;
    await device.discard(0, 8 << 20);
    await device.writeZeros(8 << 20, 4 << 20);
    await device.flush();
    await device.close();
    const left = statSync(path).blocks * 512;
    assert.ok(full - left >= (12 << 20) - METADATA, `${full} bytes before, ${left} after`);
    const again = await openAt(path, 'read', format);
    await assertSame(again, new Uint8Array(16 << 20).fill(9, 12 << 20));
    await again.close();
  });
}
