// Snapshots of guests of the fake machine, whose disks the test writes to itself.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ImageFormat, openImage } from '../../native-free-core/disk/images.ts';
import { Images } from '../containers/images/images.ts';
import type { GuestSettings } from '../contract.ts';
import { GuestSettings as settingsSchema } from '../contract.ts';
import { createDisk, formatByName } from '../disks/disks.ts';
import { nodeDiskHost, openHostFile } from '../disks/host-file.ts';
import { fakeKernel } from '../guests/fake-machine.ts';
import { GuestManager } from '../guests/guest-manager.ts';
import { Inventory } from '../inventory/inventory.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-snapshots-'));
process.env.TRIVISOR_LOCKS = join(folder, 'locks');
const home = join(folder, 'home');
const inventory = Inventory.open(home);
const manager = new GuestManager({
  ...{ home, inventory, emit: () => {} },
  images: new Images({ home, inventory, added: () => {}, removed: () => {}, progress: () => {} }),
  machineModule: new URL('../guests/fake-machine.ts', import.meta.url).href,
});
after(async () => {
  await manager.close();
  inventory.close();
  rmSync(folder, { recursive: true });
});

const kernel = join(folder, 'kernel');
writeFileSync(kernel, fakeKernel(['echo']));
const SIZE = 1 << 20;

async function create(name: string, ...formats: ImageFormat[]): Promise<string[]> {
  const files = formats.map((format, index) => join(folder, `${name}-${index}.${format === 'raw' ? 'img' : format}`));
  for (const [index, file] of files.entries()) await createDisk(file, { format: formats[index]!, size: SIZE });
  manager.create(settingsSchema.parse({ name, kernel, memoryMiB: 16, disks: files.map((file) => ({ file })) }));
  return files;
}

type Disk = GuestSettings['disks'][number];
const disksOf = (guest: string): Disk[] => manager.get(guest).settings.disks;

async function open({ file, format }: Pick<Disk, 'file' | 'format'>) {
  const opened = await openImage(
    await openHostFile(file, 'write'),
    nodeDiskHost(),
    format ?? formatByName(file) ?? 'raw',
  );
  return opened.device;
}

/** Writes a word to each disk of a guest, at a place of its own for each word. */
async function write(guest: string, at: number, word: string): Promise<void> {
  for (const disk of disksOf(guest)) {
    const device = await open(disk);
    await device.write(at * 4096, Buffer.from(word.padEnd(16)));
    await device.close();
  }
}

/** What the first places of the disks say, the same on all. */
async function words(disks: readonly Pick<Disk, 'file' | 'format'>[]): Promise<string> {
  const all: string[] = [];
  for (const disk of disks) {
    const device = await open(disk);
    const said: string[] = [];
    for (let at = 0; at < 6; at++) {
      const bytes = Buffer.alloc(16);
      await device.read(at * 4096, bytes);
      said.push(bytes.toString('latin1').replaceAll('\0', '').trim());
    }
    await device.close();
    all.push(said.filter((word) => word !== '').join(' '));
  }
  assert.equal(new Set(all).size, 1, all.join(' | '));
  return all[0]!;
}

const read = (guest: string) => words(disksOf(guest));
const names = (guest: string) => manager.snapshots(guest).snapshots.map(({ name }) => name);
const overlays = (guest: string): number => {
  const own = join(home, 'snapshots', manager.get(guest).id);
  return existsSync(own) ? readdirSync(own).length : 0;
};

test('a guest goes back and forth between its snapshots, and its disks say what they said', async () => {
  await create('tree', 'raw', 'qcow2');
  await write('tree', 0, 'base');
  await manager.takeSnapshot('tree', 'first');
  await write('tree', 1, 'one');
  await manager.takeSnapshot('tree', 'second');
  await write('tree', 2, 'two');
  await manager.takeSnapshot('tree', 'third');
  await write('tree', 3, 'lost');
  assert.equal(await read('tree'), 'base one two lost');

  await manager.restoreSnapshot('tree', 'first');
  assert.equal(await read('tree'), 'base');
  await write('tree', 4, 'branch');
  await manager.takeSnapshot('tree', 'branch');
  await manager.restoreSnapshot('tree', 'third');
  assert.equal(await read('tree'), 'base one two');
  await manager.restoreSnapshot('tree', 'BRANCH');
  assert.equal(await read('tree'), 'base branch');
  const { current, snapshots } = manager.snapshots('tree');
  const byId = new Map(snapshots.map(({ id, name }) => [id, name]));
  assert.equal(byId.get(current!), 'branch');
  assert.deepEqual(
    snapshots.map(({ name, parent }) => `${name} ${byId.get(parent ?? '') ?? '-'}`),
    ['first -', 'second first', 'third second', 'branch first'],
  );
});

test('deleted snapshots leave what came after them, and the last one the disks that the guest was made with', async () => {
  await assert.rejects(manager.deleteSnapshot('tree', 'first'), /More than one thing came of first: /);
  await manager.deleteSnapshot('tree', 'second');
  await manager.restoreSnapshot('tree', 'third');
  assert.equal(await read('tree'), 'base one two');
  await manager.deleteSnapshot('tree', 'branch');
  assert.deepEqual(names('tree'), ['first', 'third']);
  await write('tree', 5, 'now');
  await manager.deleteSnapshot('tree', 'first');
  assert.equal(await read('tree'), 'base one two now');
  await manager.deleteSnapshot('tree', 'third');
  assert.equal(await read('tree'), 'base one two now');
  assert.deepEqual(
    disksOf('tree').map(({ file }) => file),
    [join(folder, 'tree-0.img'), join(folder, 'tree-1.qcow2')],
  );
  assert.deepEqual(manager.snapshots('tree'), { current: null, snapshots: [] });
  assert.equal(overlays('tree'), 0);
});

test('a guest that runs goes on after its snapshot, and is made to go on there again', async () => {
  await create('alive', 'qcow2');
  await manager.start('alive');
  const run = () => Buffer.from(manager.console('alive').scrollback()).toString();
  await manager.takeSnapshot('alive', 'live');
  assert.equal(manager.get('alive').state, 'running');
  assert.equal(manager.get('alive').saved, null);
  await manager.stop('alive', true);
  await write('alive', 0, 'lost');
  assert.ok((await manager.restoreSnapshot('alive', 'live')).saved);
  assert.equal(await read('alive'), '');
  // Twice: the snapshot keeps its state.
  for (let round = 0; round < 2; round++) {
    await manager.restoreSnapshot('alive', 'live');
    await manager.start('alive');
    for (let wait = 0; wait < 200 && !run().includes('[restored]'); wait++) await sleep(10);
    assert.match(run(), /\[restored\]/);
    await assert.rejects(manager.restoreSnapshot('alive', 'live'), /is running/);
    await assert.rejects(manager.deleteSnapshot('alive', 'live'), /is running; its snapshots can be deleted when/);
    await manager.stop('alive', true);
  }
  // A saved guest whose disks are merged goes on all the same.
  await manager.restoreSnapshot('alive', 'live');
  await manager.deleteSnapshot('alive', 'live');
  assert.ok(manager.get('alive').saved);
  await manager.start('alive');
  await manager.stop('alive', true);
});

test('disks that the guest does not write to stay where they are', async () => {
  const [, second] = await create('mixed', 'qcow2', 'qcow2');
  await manager.set(
    'mixed',
    { disks: disksOf('mixed').map((disk, index) => ({ ...disk, readOnly: index === 1 })) },
    false,
  );
  await manager.takeSnapshot('mixed', 'one');
  assert.equal(disksOf('mixed')[1]!.file, second);
  assert.equal(overlays('mixed'), 1);
});

test('what cannot be is refused with a sentence, and changes nothing', async () => {
  await assert.rejects(manager.takeSnapshot('mixed', 'ONE'), /has a snapshot called ONE already/);
  await assert.rejects(manager.restoreSnapshot('mixed', 'none'), /mixed has no snapshot called none/);
  await assert.rejects(
    manager.remove('mixed'),
    /has 1 snapshot, without which its disks are as they were at the first/,
  );
  rmSync(join(folder, 'mixed-0.qcow2'));
  await assert.rejects(manager.takeSnapshot('mixed', 'two'));
  assert.deepEqual(names('mixed'), ['one']);
  assert.equal(overlays('mixed'), 1);
  const { id } = manager.get('mixed');
  await manager.remove('mixed', true);
  assert.ok(!existsSync(join(home, 'snapshots', id)));
});

test('a linked clone keeps its snapshot from being deleted', async () => {
  await create('origin', 'qcow2');
  await manager.takeSnapshot('origin', 'base');
  await write('origin', 0, 'more');
  await manager.takeSnapshot('origin', 'more');
  const frozen = inventory.snapshots.list().find(({ name }) => name === 'more')!.settings.disks[0]!;
  const linked = join(folder, 'linked.qcow2');
  await createDisk(linked, { format: 'qcow2', backing: frozen.file });
  manager.create(settingsSchema.parse({ name: 'linked', kernel, memoryMiB: 16, disks: [{ file: linked }] }));
  await assert.rejects(manager.deleteSnapshot('origin', 'more'), /linked is a linked clone that needs the disks/);
  assert.equal(await read('linked'), 'more');
  // The same where the clone has gone on behind a snapshot of its own.
  await manager.takeSnapshot('linked', 'own');
  await assert.rejects(manager.deleteSnapshot('origin', 'more'), /linked is a linked clone that needs the disks/);
  assert.equal(await read('linked'), 'more');
});
