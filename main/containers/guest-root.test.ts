import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { archiveOf } from '../../native-free-core/containers/images/testing/archives.ts';
import { OverlayFs } from '../../native-free-core/containers/vfs/overlay.ts';
import type { Inode } from '../../native-free-core/containers/vfs/types.ts';
import { GuestSettings } from '../contract.ts';
import { Inventory } from '../inventory/inventory.ts';
import { chooseRoot, openRoot, type RootChoice } from './guest-root.ts';
import { Images } from './images/images.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-root-'));
const home = join(folder, 'home');
let inventory: Inventory;
let images: Images;

before(() => {
  inventory = Inventory.open(home);
  images = new Images({ home, inventory, added: () => {}, removed: () => {}, progress: () => {} });
});
after(async () => {
  await images.close();
  inventory.close();
  rmSync(folder, { recursive: true });
});

const now = (): bigint => 1n;
const rootOf = (choice: RootChoice): Inode =>
  new OverlayFs({ device: 9, now, lowers: openRoot(choice, { device: 10, now }).map(({ root }) => root) }).root;

function textOf(inode: Inode | null): string {
  const bytes = new Uint8Array(inode!.size);
  const open = inode!.open(0);
  open.read(bytes, 0);
  open.release();
  return new TextDecoder().decode(bytes);
}

test('a folder, an archive and the image that it becomes are roots', async () => {
  const root = join(folder, 'a-root');
  mkdirSync(root);
  writeFileSync(join(root, 'f'), 'from the folder');
  const archive = join(folder, 'packed.tar');
  writeFileSync(archive, archiveOf([{ name: 'f', content: 'from the archive' }]));
  const ofFolder = await chooseRoot(home, images, root);
  assert.equal(ofFolder.type, 'folder');
  assert.equal(textOf(rootOf(ofFolder).lookup('f')), 'from the folder');
  const ofArchive = await chooseRoot(home, images, archive);
  assert.deepEqual(
    images.list().map(({ name }) => name),
    ['packed'],
  );
  const ofName = await chooseRoot(home, images, 'Packed');
  assert.deepEqual(ofName, ofArchive);
  assert.deepEqual(JSON.parse(JSON.stringify(ofName)), ofName, 'plain data, for the guest’s thread');
  const one = rootOf(ofName).lookup('f')!;
  const two = rootOf(ofArchive).lookup('f')!;
  assert.equal(textOf(one), 'from the archive');
  assert.notEqual(one, two, 'guests have files of their own');
  assert.equal(one.pages(), two.pages(), 'and share the pages of the image');
});

test('what is neither is told', async () => {
  await assert.rejects(
    chooseRoot(home, images, 'nobody'),
    /There is no image nobody, and no file or folder of that name/,
  );
  await assert.rejects(chooseRoot(home, images, './packed'), /There is no .*packed\. trivisor image list/);
});

test('an image that a guest stands on is not removed', async () => {
  const archive = join(folder, 'used.tar');
  writeFileSync(archive, archiveOf([{ name: 'f', content: 'needed' }]));
  const { id } = await images.import({ source: archive, name: null, ref: null });
  const settings = GuestSettings.parse({ name: 'one', kind: 'os', image: id.slice('sha256:'.length, 20) });
  const { id: guest } = inventory.add(settings)!;
  await assert.rejects(images.remove('USED'), /used is the image of one: remove that first\./);
  assert.equal(images.lookUp('used')?.id, id);
  inventory.remove(guest);
  await images.remove('used');
  assert.equal(images.lookUp('used'), null);
});
