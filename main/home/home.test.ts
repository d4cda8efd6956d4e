import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fakeKernel } from '../guests/fake-machine.ts';
import { HomeError } from '../inventory/inventory.ts';
import { claimHome, connectToOwner, idle, openHome, visitHome } from './home.ts';
import { localSocketPath } from './socket-path.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-home-'));
after(() => rmSync(folder, { recursive: true }));
const machineModule = new URL('../guests/fake-machine.ts', import.meta.url).href;
let homes = 0;
const newHome = () => ({ home: join(folder, `home-${homes++}`), machineModule });

const kernel = join(folder, 'kernel');
writeFileSync(kernel, fakeKernel(['say hello', 'echo']));

test('a home has one owner; the others reach its guests through it', async () => {
  const options = newHome();
  const [one, two] = await Promise.all([claimHome(options), claimHome(options)]);
  const owner = (one ?? two)!;
  assert.equal([one, two].filter((home) => home === null).length, 1);

  const client = (await connectToOwner(options.home))!;
  const { id } = await client.call('guests.create', { settings: { name: 'a', kernel } });
  await client.call('guests.start', { guest: 'a' });
  const proxy = await openHome(options);
  assert.equal(proxy.server, null);
  const second = proxy.client();
  const said = Promise.withResolvers<string>();
  second.open('console', { guest: id }, { data: (bytes) => said.resolve(new TextDecoder().decode(bytes)) });
  assert.match(await said.promise, /hello/);

  const lost = new Promise<string>((resolve) => client.onClose(resolve));
  await owner.close();
  assert.equal(await lost, 'The Trivisor that runs the guests has ended.');
  await proxy.lost;
  second.close();
  assert.equal(await connectToOwner(options.home), null);
  const next = await claimHome(options);
  assert.equal((await next!.client().call('guests.get', { guest: 'a' })).lastEnd?.reason, 'forced');
  await next!.close();
});

test('an owner that leaves as it is dialled is none', async () => {
  const options = newHome();
  mkdirSync(options.home);
  const sockets: Socket[] = [];
  const leaving = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    leaving.close();
    setImmediate(() => socket.destroy());
  });
  await new Promise<void>((resolve) => leaving.listen(localSocketPath(options.home, 'trivisor'), resolve));
  assert.equal(await connectToOwner(options.home), null);
  assert.equal(sockets.length, 1);
  const owner = await claimHome(options);
  const client = (await connectToOwner(options.home))!;
  assert.deepEqual(await client.call('guests.list'), []);
  client.close();
  await owner!.close();
});

test('a visit works with and without an owner', async () => {
  const options = newHome();
  const alone = await visitHome(options);
  assert.equal(alone.isOwned, false);
  await alone.client.call('guests.create', { settings: { name: 'a', kernel } });
  await alone.close();
  const owner = await claimHome(options);
  const guest = await visitHome(options);
  assert.equal(guest.isOwned, true);
  assert.equal((await guest.client.call('guests.list')).length, 1);
  await guest.close();
  await owner!.close();
});

test('an owner knows when it is idle', { timeout: 10_000 }, async () => {
  const options = newHome();
  const owner = (await claimHome(options))!;
  const client = (await connectToOwner(options.home))!;
  await client.call('guests.list');
  let isIdle = false;
  const idling = idle(owner.server).then(() => (isIdle = true));
  await new Promise((resolve) => setTimeout(resolve, 2300));
  assert.equal(isIdle, false);
  client.close();
  await idling;
  await owner.close();
});

test('a socket that speaks something else is cut off, and the owner goes on', async () => {
  const options = newHome();
  const owner = (await claimHome(options))!;
  for (const nonsense of ['GET / HTTP/1.1\r\n\r\n', '{"type":"surprise"}\n', '[]\n', '\n']) {
    const socket = connect(join(options.home, 'trivisor.sock'));
    socket.on('error', () => {});
    socket.write(nonsense);
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  const client = (await connectToOwner(options.home))!;
  assert.deepEqual(await client.call('guests.list'), []);
  client.close();
  await owner.close();
});

test('a home whose path is too long for a socket still has one, and one that cannot be is told', async () => {
  const home = join(folder, 'x'.repeat(120));
  const owner = await claimHome({ home, machineModule });
  assert.equal(await claimHome({ home, machineModule }), null);
  await owner!.close();
  const file = join(folder, 'file');
  writeFileSync(file, '');
  await assert.rejects(claimHome({ home: join(file, 'home') }), HomeError);
});
