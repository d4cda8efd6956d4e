import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createDisk, withNewDisks } from './disks.ts';
import { inspectMedium, sizeText } from './inspect.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-media-'));
after(() => rmSync(folder, { recursive: true }));
const MIB = 2 ** 20;

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** An ISO image with a primary volume descriptor, and a boot record behind it if wanted. */
function iso(label: string, isBootable: boolean): Uint8Array {
  const bytes = Buffer.alloc(40 * 2048);
  bytes.write('\x01CD001\x01', 16 * 2048, 'latin1');
  bytes.write(label.padEnd(32), 16 * 2048 + 40, 'latin1');
  if (isBootable) bytes.write('\x00CD001\x01EL TORITO SPECIFICATION', 17 * 2048, 'latin1');
  return bytes;
}

test('disks tell their format and size, by their name or as they are said to be', async () => {
  const made = join(folder, 'a.qcow2');
  await createDisk(made, { format: 'qcow2', size: 20 * 1024 * MIB });
  const found = await inspectMedium(made, 'disk', null);
  assert.deepEqual([found.problem, found.format, found.size], [null, 'qcow2', 20 * 1024 * MIB]);
  assert.match(found.description, /^qcow2, 20 GiB, /);
  const raw = await inspectMedium(file('b.img', new Uint8Array(MIB)), 'disk', null);
  assert.deepEqual([raw.problem, raw.format, raw.size], [null, 'raw', MIB]);
});

test('a disk whose name hides what it looks like is asked about', async () => {
  const made = join(folder, 'c.img');
  await createDisk(made, { format: 'qcow2', size: MIB });
  const found = await inspectMedium(made, 'disk', null);
  assert.equal(found.format, 'qcow2');
  assert.match(found.problem!, /looks like a qcow2 image/);
  assert.equal((await inspectMedium(made, 'disk', 'qcow2')).problem, null);
  assert.equal((await inspectMedium(made, 'disk', 'raw')).problem, null);
});

test('CDs tell their label and whether they boot', async () => {
  const bootable = await inspectMedium(file('d.iso', iso('DEBIAN 12', true)), 'cd', null);
  assert.deepEqual(bootable, {
    description: '“DEBIAN 12”, 80 KiB, bootable',
    problem: null,
    format: null,
    size: 81920,
  });
  const data = await inspectMedium(file('e.iso', iso('', false)), 'cd', null);
  assert.equal(data.description, '80 KiB, without a boot record');
  const other = await inspectMedium(file('f.iso', new Uint8Array(4096)), 'cd', null);
  assert.deepEqual([other.description, other.problem], ['4 KiB, without an ISO 9660 file system', null]);
  assert.match((await inspectMedium(file('g.iso', new Uint8Array(0)), 'cd', null)).problem!, /is empty/);
});

test('what cannot be used is told in one sentence', async () => {
  for (const use of ['disk', 'cd', 'floppy'] as const) {
    const { problem } = await inspectMedium(join(folder, 'none.bin'), use, null);
    assert.match(problem!, /no such file/);
    assert.match((await inspectMedium(folder, use, null)).problem!, /^[^\n]+\.$/);
  }
  assert.equal(
    (await inspectMedium(file('h.img', new Uint8Array(1440 * 1024)), 'floppy', null)).description,
    '1440 KiB',
  );
  assert.match(
    (await inspectMedium(file('i.img', new Uint8Array(3 * MIB)), 'floppy', null)).problem!,
    /no floppy disk/,
  );
  assert.match((await inspectMedium(file('j.vdi', new Uint8Array(MIB)), 'disk', null)).problem!, /./);
});

test('new disks are there when what they are for is done, and none is left when it fails', async () => {
  const home = join(folder, 'home');
  const disk = (name: string) => ({ file: join(home, 'disks', name), format: 'qcow2' as const, size: MIB });
  assert.equal(await withNewDisks(home, [disk('a.qcow2')], () => existsSync(join(home, 'disks', 'a.qcow2'))), true);
  const failing = withNewDisks(home, [disk('b.qcow2')], () => {
    throw new Error('no guest');
  });
  await assert.rejects(failing, /no guest/);
  await assert.rejects(
    withNewDisks(home, [disk('c.qcow2'), disk('a.qcow2')], () => assert.fail('it is there already')),
    /a\.qcow2/,
  );
  for (const name of ['b', 'c']) assert.ok(!existsSync(join(home, 'disks', `${name}.qcow2`)));
  assert.ok(existsSync(join(home, 'disks', 'a.qcow2')), 'what was there before stays');
});

test('sizes are told in powers of 1024', () => {
  assert.deepEqual([512, 1536, 20 * 2 ** 30, 2 ** 50].map(sizeText), ['512 bytes', '1.5 KiB', '20 GiB', '1024 TiB']);
});
