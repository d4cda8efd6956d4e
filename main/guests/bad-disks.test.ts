// Guests whose disks cannot be used, beside one that runs: one sentence each, and the other goes on.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createClient, Failure } from '../contract.ts';
import { createDisk } from '../disks/disks.ts';
import { Server } from '../server.ts';
import { fakeKernel } from './fake-machine.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-bad-disks-'));
const machineModule = new URL('./fake-machine.ts', import.meta.url).href;
const server = new Server({ home: join(folder, 'home'), isOwner: true, machineModule });
const client = createClient(server.connectDirectly());
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const at = (name: string): string => join(folder, name);
const kernel = at('kernel');
writeFileSync(kernel, fakeKernel(['echo']));

/** The sentence that a guest with this disk does not start for. */
async function refusal(name: string, file: string): Promise<string> {
  const disks = [{ file, format: 'qcow2' as const }];
  const { id } = await client.call('guests.create', { settings: { name, kernel, disks } });
  const error = await client.call('guests.start', { guest: id }).then(
    () => assert.fail(`${name} started`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof Failure, String(error));
  assert.match(error.message, /^[^\n]{10,300}\.$/);
  const { state } = await client.call('guests.get', { guest: id });
  assert.equal(state, 'off');
  return error.message;
}

/** A qcow2 image, less that what is at a place of its header is another big-endian number. */
async function damaged(name: string, offset: number, value: bigint): Promise<string> {
  await createDisk(at(name), { format: 'qcow2', size: 2 ** 20 });
  const image = readFileSync(at(name));
  image.writeBigUInt64BE(value, offset);
  writeFileSync(at(name), image);
  return at(name);
}

test('disks that are in use, hostile or above themselves are told in a sentence, and no other guest notices', async () => {
  await createDisk(at('good.qcow2'), { format: 'qcow2', size: 2 ** 20 });
  const disks = [{ file: at('good.qcow2') }];
  const { id } = await client.call('guests.create', { settings: { name: 'good', kernel, disks } });
  await client.call('guests.start', { guest: id });
  const heard = { text: '' };
  const data = (bytes: Uint8Array): void => {
    heard.text += new TextDecoder().decode(bytes);
  };
  const console = client.open('console', { guest: id, port: 1 }, { data });

  assert.match(await refusal('second', at('good.qcow2')), /good\.qcow2 is in use/);
  // The disk's size, the table of the first level, the table of the reference counts (qcow2's header: 24, 40, 48).
  await refusal('huge', await damaged('huge.qcow2', 24, 2n ** 63n - 512n));
  await refusal('outside', await damaged('outside.qcow2', 40, 2n ** 62n));
  await refusal('uncounted', await damaged('uncounted.qcow2', 48, 2n ** 62n));
  await createDisk(at('lower.qcow2'), { format: 'qcow2', size: 2 ** 20 });
  await createDisk(at('upper.qcow2'), { format: 'qcow2', backing: at('lower.qcow2') });
  writeFileSync(
    at('lower.qcow2'),
    readFileSync(at('upper.qcow2')).toString('latin1').replace('lower', 'upper'),
    'latin1',
  );
  assert.match(await refusal('circle', at('upper.qcow2')), /circle|itself|its own/i);

  console.write(new TextEncoder().encode('still here'));
  for (let round = 0; round < 500 && !heard.text.includes('still here'); round++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.match(heard.text, /still here/);
  await client.call('guests.stop', { guest: id, force: true });
});
