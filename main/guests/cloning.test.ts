// Clones of guests, with copies of their disks and with images over them, and guests that are removed with their disks.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { createClient, Failure } from '../contract.ts';
import { createDisk, diskInfo } from '../disks/disks.ts';
import { openHostFile } from '../disks/host-file.ts';
import { Server } from '../server.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-cloning-'));
const server = new Server({ home: join(folder, 'home'), isOwner: true });
const client = createClient(server.connectDirectly());
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const at = (name: string): string => join(folder, name);

async function refused(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => assert.fail('it worked'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof Failure, String(error));
  return error.message;
}

/** A guest with a qcow2 disk, a raw one that looks like qcow2, a disk that is only read, and a floppy. */
async function guest(name: string) {
  await createDisk(at(`${name}.qcow2`), { format: 'qcow2', size: 2 ** 20 });
  writeFileSync(at(`${name}.img`), Buffer.concat([readFileSync(at(`${name}.qcow2`)), Buffer.alloc(4096, 7)]));
  writeFileSync(at(`${name}-master.img`), Buffer.alloc(4096, 1));
  writeFileSync(at(`${name}-floppy.img`), Buffer.alloc(1440 * 1024, 2));
  return client.call('guests.create', {
    settings: {
      name,
      disks: [
        { file: at(`${name}.qcow2`) },
        { file: at(`${name}.img`) },
        { file: at(`${name}-master.img`), readOnly: true },
      ],
      floppies: [{ file: at(`${name}-floppy.img`) }],
      nets: [{ network: 'nat', mac: '02:00:00:00:00:01', capture: at('frames.pcapng') }],
      printer: at('printed'),
    },
  });
}

test('a clone has copies of what the guest writes, and shares what it reads', async () => {
  const { id } = await guest('one');
  const { settings, id: cloneId } = await client.call('guests.clone', { guest: 'one', name: 'two' });
  assert.notEqual(cloneId, id);
  assert.deepEqual(
    settings.disks.map(({ file }) => file),
    [at('two.qcow2'), at('two.img'), at('one-master.img')],
  );
  assert.deepEqual(readFileSync(at('two.img')), readFileSync(at('one.img')), 'as it is: nobody looks into it');
  assert.deepEqual((await diskInfo(at('two.qcow2'))).backing, []);
  assert.deepEqual(settings.floppies, [
    { file: at('two.img').replace('two', 'two-2'), readOnly: false, snapshot: false },
  ]);
  assert.deepEqual([settings.nets[0]!.mac, settings.nets[0]!.capture, settings.printer], [null, null, null]);
  assert.equal(
    await refused(client.call('guests.clone', { guest: 'one', name: 'TWO' })),
    'There is a guest called TWO already.',
  );

  const removed = await client.call('guests.remove', { guest: 'two', disks: true });
  assert.deepEqual(removed.deleted, [at('two.qcow2'), at('two.img'), at('two-2.img')]);
  assert.deepEqual(removed.kept, []);
  for (const file of removed.deleted) assert.equal(existsSync(file), false);
  assert.ok(existsSync(at('one-master.img')) && existsSync(at('one.img')));
});

test('a linked clone and its original go on in images over the disks', async () => {
  await guest('base');
  const clone = await client.call('guests.clone', { guest: 'base', name: 'light', linked: true });
  const original = await client.call('guests.get', { guest: 'base' });
  assert.deepEqual(
    [original, clone].map(({ settings }) => settings.disks.map(({ file }) => file)),
    [
      [at('base-2.qcow2'), at('base-3.qcow2'), at('base-master.img')],
      [at('light.qcow2'), at('light-2.qcow2'), at('base-master.img')],
    ],
  );
  for (const [index, below] of [at('base.qcow2'), at('base.img')].entries())
    for (const { settings } of [original, clone]) {
      const { backing, size } = await diskInfo(settings.disks[index]!.file);
      assert.deepEqual(backing, [basename(below)]);
      // Taken as the raw disk that it is, whatever its guest has written at its beginning.
      assert.equal(size, index === 0 ? 2 ** 20 : readFileSync(below).length);
    }

  // The original's image is gone with it; what the clone stands on is not.
  const gone = await client.call('guests.remove', { guest: 'base', disks: true });
  assert.deepEqual(gone.deleted, [at('base-2.qcow2'), at('base-3.qcow2'), at('base-floppy.img')]);
  assert.ok(existsSync(at('base.qcow2')) && existsSync(at('base.img')));
});

test('a disk that another guest needs, or that is in use, is not deleted, and none is linked over', async () => {
  await guest('owner');
  await createDisk(at('over.qcow2'), { format: 'qcow2', backing: at('owner.qcow2') });
  await client.call('guests.create', { settings: { name: 'other', disks: [{ file: at('over.qcow2') }] } });
  assert.match(
    await refused(client.call('guests.clone', { guest: 'owner', name: 'x', linked: true })),
    /also a disk of other/,
  );
  const used = await openHostFile(at('owner.img'), 'write');
  assert.match(await refused(client.call('guests.clone', { guest: 'owner', name: 'x' })), /in use/);
  assert.ok(!existsSync(at('x.qcow2')), 'what was copied before is gone');
  const { deleted, kept } = await client.call('guests.remove', { guest: 'owner', disks: true });
  await used.close();
  assert.deepEqual(deleted, [at('owner-floppy.img')]);
  assert.deepEqual(
    kept.map(({ file }) => file),
    [at('owner.qcow2'), at('owner.img')],
  );
  assert.match(kept[0]!.reason, /other needs it/);
  assert.match(kept[1]!.reason, /in use/);
});

test('a guest with snapshots is cloned as it is now, with disks of its own', async () => {
  await guest('kept');
  await client.call('snapshots.take', { guest: 'kept', name: 'first' });
  assert.match(
    await refused(client.call('guests.clone', { guest: 'kept', name: 'y', linked: true })),
    /^kept has snapshots, /,
  );
  const { settings } = await client.call('guests.clone', { guest: 'kept', name: 'free' });
  const disks = join(folder, 'home', 'disks');
  assert.deepEqual(
    settings.disks.map(({ file }) => file),
    [join(disks, 'free.qcow2'), join(disks, 'free-2.qcow2'), at('kept-master.img')],
  );
  assert.deepEqual((await diskInfo(join(disks, 'free.qcow2'))).backing, []);
  const { deleted } = await client.call('guests.remove', { guest: 'kept', snapshots: true, disks: true });
  assert.deepEqual(deleted, [at('kept-floppy.img'), at('kept.qcow2'), at('kept.img')]);
  assert.ok(existsSync(join(disks, 'free.qcow2')));
});
