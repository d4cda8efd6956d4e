import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import { archiveOf } from '../../native-free-core/containers/images/testing/archives.ts';
import { createClient, type EventPayload } from '../contract.ts';
import { Server } from '../server.ts';
import { execute } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-image-'));
after(() => rmSync(folder, { recursive: true }));
const home = join(folder, 'home');

/** Executes `trivisor image` in this process. */
async function image(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const write = process.stdout.write.bind(process.stdout);
  const outMock = mock.method(process.stdout, 'write', (text: string | Uint8Array) =>
    typeof text === 'string' ? out.push(text) > 0 : write(text),
  );
  const errMock = mock.method(process.stderr, 'write', (text: string) => err.push(String(text)) > 0);
  try {
    const status = await execute(args.length > 0 ? ['image', ...args, '--home', home] : ['image']);
    return { status, out: out.join(''), err: err.join('') };
  } finally {
    outMock.mock.restore();
    errMock.mock.restore();
  }
}

function archive(name: string, content: string): string {
  const file = join(folder, name);
  writeFileSync(file, archiveOf([{ name: 'etc/f', content }]));
  return file;
}
const layers = (): string[] => readdirSync(join(home, 'images/layers')).filter((name) => name.endsWith('.tar'));

test('import, list, remove; layers go with the last image that has them', async () => {
  assert.match((await image('list')).err, /There are no images\. Take one in with/);
  const one = await image('import', archive('one.tar', 'one'));
  assert.deepEqual([one.status, one.err], [0, 'one is imported: 1 layer, 2 KiB.\n']);
  const again = await image('import', join(folder, 'one.tar'), '--name', 'Alias', '--json');
  assert.deepEqual([again.status, again.err], [0, '']);
  assert.equal((await image('import', archive('two.tar', 'two'))).status, 0);
  const listed = JSON.parse((await image('list', '--json')).out) as { name: string; id: string }[];
  assert.deepEqual(
    listed.map(({ name }) => name),
    ['one', 'Alias', 'two'],
  );
  assert.match(
    (await image('list')).out,
    /^NAME {3}ID {12}LAYERS {2}SIZE {3}COMMAND\none {4}[0-9a-f]{12} {2}1 {7}2 KiB {2}\/bin\/sh\n/,
  );
  assert.equal(layers().length, 2);
  assert.equal((await image('remove', 'one')).status, 0);
  assert.equal(layers().length, 2, 'the alias has the layer still');
  const removed = await image('remove', listed[1].id.slice(7, 25));
  assert.deepEqual([removed.status, layers().length], [0, 1]);
});

test('what is wrong is told in one sentence, with the status of a wrong command', async () => {
  const wrong: [string[], RegExp][] = [
    [['import', join(folder, 'none')], /^trivisor: There is no .*none\.\n$/],
    [['import', archive('bad name.tar', 'x'), '--name', 'a b'], /^trivisor: name must begin with a letter/],
    [['remove', 'nobody'], /^trivisor: There is no image nobody; trivisor image list shows those there are\.\n$/],
    [[], /^trivisor: Name what to do: image import, list or remove/],
  ];
  for (const [args, message] of wrong) {
    const { status, err } = await image(...args);
    assert.equal(status, 2, err);
    assert.match(err, message);
  }
  const conflict = await image('import', archive('other.tar', 'other'), '--name', 'TWO');
  assert.deepEqual([conflict.status, layers().length], [1, 1]);
  assert.match(conflict.err, /Another image is called TWO; remove it, or choose a name with --name\./);
});

test('front ends see the way of an import and its end', async () => {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'blobs/sha256'), { recursive: true });
  const put = (bytes: Uint8Array): { digest: string; size: number } => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(root, 'blobs/sha256', hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const layer = put(archiveOf([{ name: 'big', content: 'x'.repeat(30_000_000) }]));
  const config = put(
    json({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [layer.digest] } }),
  );
  const manifest = put(json({ schemaVersion: 2, config, layers: [layer] }));
  writeFileSync(join(root, 'index.json'), json({ schemaVersion: 2, manifests: [manifest] }));
  const server = new Server({ home, isOwner: true });
  const client = createClient(server.connectDirectly());
  try {
    const seen: string[] = [];
    const ways: EventPayload<'images.progress'>[] = [];
    client.on('images.progress', (progress) => ways.push(progress));
    client.on('image.added', ({ name }) => seen.push(`added ${name}`));
    client.on('image.removed', ({ id }) => seen.push(`removed ${id === config.digest}`));
    const view = await client.call('images.import', { source: root });
    assert.deepEqual([view.id, view.name, view.size], [config.digest, 'root', layer.size]);
    assert.ok(ways.length > 0);
    assert.ok(ways.every(({ source, done, total }) => source === root && total === layer.size && done <= total));
    await client.call('images.remove', { image: 'ROOT' });
    await client.call('images.list');
    assert.deepEqual(seen, ['added root', 'removed true']);
  } finally {
    client.close();
    await server.close();
  }
});
