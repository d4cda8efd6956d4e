// Disposable guests: what they write goes when they stop, also when that was not foreseen.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createClient, Failure, GuestSettings } from '../contract.ts';
import { createDisk } from '../disks/disks.ts';
import { openAt } from '../disks/testing.ts';
import { Server } from '../server.ts';
import { fakeKernel } from './fake-machine.ts';
import { throwawayDisks, throwawayFolder } from './throwaway-disks.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-throwaway-'));
process.env.TRIVISOR_LOCKS = join(folder, 'locks');
const home = join(folder, 'home');
const machineModule = new URL('./fake-machine.ts', import.meta.url).href;
const server = new Server({ home, isOwner: true, machineModule });
const client = createClient(server.connectDirectly());
after(async () => {
  client.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

const overlays = (): string[] => (existsSync(throwawayFolder(home)) ? readdirSync(throwawayFolder(home)) : []);

test('what is written goes to overlays, and the disks stay as they are', async () => {
  const files = { raw: join(folder, 'a.img'), qcow2: join(folder, 'b.qcow2'), read: join(folder, 'c.img') };
  writeFileSync(files.raw, Buffer.alloc(1 << 20, 7));
  writeFileSync(files.read, Buffer.alloc(1 << 20, 8));
  await createDisk(files.qcow2, { format: 'qcow2', size: 1 << 20 });
  const settings = GuestSettings.parse({
    name: 'x',
    disks: [{ file: files.raw }, { file: files.qcow2, interface: 'virtio' }, { file: files.read, readOnly: true }],
    floppies: [{ file: files.raw }],
  });
  const before = [files.raw, files.qcow2].map((file) => readFileSync(file));
  const made = await throwawayDisks(home, settings);
  assert.deepEqual(
    made.settings.disks.map(({ interface: bus, readOnly }) => [bus, readOnly]),
    settings.disks.map(({ interface: bus, readOnly }) => [bus, readOnly]),
  );
  assert.equal(made.settings.disks[2]!.file, files.read);
  assert.equal(made.settings.floppies[0]!.snapshot, true);
  const device = await openAt(made.settings.disks[0]!.file, 'write', 'qcow2');
  const bytes = new Uint8Array(512);
  await device.read(0, bytes);
  assert.deepEqual(bytes, new Uint8Array(512).fill(7), 'the disk shows through');
  await device.write(0, new Uint8Array(512).fill(9));
  await device.close();
  await made.discard();
  assert.deepEqual(
    [files.raw, files.qcow2].map((file) => readFileSync(file)),
    before,
  );
  assert.deepEqual(overlays(), []);
  await assert.rejects(
    throwawayDisks(home, {
      ...settings,
      disks: [settings.disks[0]!, { ...settings.disks[1]!, file: join(folder, 'none') }],
    }),
    Failure,
  );
  assert.deepEqual(overlays(), [], 'nothing stays of what failed');
});

test('a guest runs on overlays until it stops, however that is, and has no state to save', async () => {
  const kernel = join(folder, 'kernel');
  writeFileSync(kernel, fakeKernel(['say hello', 'echo']));
  const disk = join(folder, 'd.img');
  writeFileSync(disk, Buffer.alloc(1 << 20));
  await client.call('guests.create', { settings: { name: 'd', kernel, disks: [{ file: disk }], disposable: true } });
  const [first, second] = await Promise.allSettled([
    client.call('guests.start', { guest: 'd' }),
    client.call('guests.start', { guest: 'd' }),
  ]);
  assert.deepEqual([first.status, second.status], ['fulfilled', 'rejected'], 'one of two starts is refused');
  assert.equal(overlays().length, 1);
  await assert.rejects(client.call('guests.save', { guest: 'd' }), /is disposable/);
  await assert.rejects(client.call('snapshots.take', { guest: 'd', name: 's' }), /is disposable/);
  await client.call('guests.reset', { guest: 'd' });
  await client.call('guests.stop', { guest: 'd', force: true });
  for (let wait = 0; overlays().length > 0 && wait < 100; wait++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(overlays(), []);
  assert.deepEqual((await client.call('guests.get', { guest: 'd' })).settings.disks[0]!.file, disk);
});
