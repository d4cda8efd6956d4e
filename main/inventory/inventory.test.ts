import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import Database from 'better-sqlite3';
import { GuestSettings } from '../contract.ts';
import { HomeError, Inventory } from './inventory.ts';
import { migrations } from './migrations.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-inventory-'));
after(() => rmSync(folder, { recursive: true }));
let homes = 0;
const newHome = (): string => join(folder, `home-${homes++}`, 'deeper');
const settings = (name: string): GuestSettings => GuestSettings.parse({ name, kernel: '/k' });

test('guests are kept, found by id and by name in any case, changed and removed', () => {
  const home = newHome();
  const first = Inventory.open(home);
  const alpine = first.add(settings('Alpine'))!;
  assert.equal(first.add(settings('alpine')), null);
  first.close();

  const second = Inventory.open(home);
  assert.deepEqual(second.find(alpine.id), alpine);
  assert.deepEqual(second.find('ALPINE'), alpine);
  assert.equal(second.find('none'), null);
  const other = second.add(settings('other'))!;
  assert.equal(second.set(other.id, settings('Alpine')), false);
  assert.equal(second.set(other.id, { ...settings('third'), memoryMiB: 64 }), true);
  assert.equal(second.find('third')?.settings.memoryMiB, 64);
  second.remove(alpine.id);
  assert.deepEqual(
    second.list().map((guest) => guest.settings.name),
    ['third'],
  );
  second.close();
});

test('the last run is told, and runs that nobody saw end are closed by the next owner', () => {
  const inventory = Inventory.open(newHome());
  const { id } = inventory.add(settings('a'))!;
  const run = inventory.runStarted(id, 1);
  assert.equal(inventory.find(id)?.lastEnd, null);
  inventory.runEnded(run, { at: 2, reason: 'powerOff', detail: 'done' });
  assert.deepEqual(inventory.find(id)?.lastEnd, { at: 2, reason: 'powerOff', detail: 'done' });
  inventory.runStarted(id, 3);
  inventory.closeLostRuns();
  assert.equal(inventory.find(id)?.lastEnd?.reason, 'crashed');
  inventory.remove(id); // The runs go with it: the foreign key would refuse otherwise.
  inventory.close();
});

test('a database of a newer version is refused and left as it is', () => {
  const home = newHome();
  Inventory.open(home).close();
  const file = join(home, 'inventory.db');
  const database = new Database(file);
  database.pragma(`user_version = ${migrations.length + 1}`);
  database.close();
  assert.throws(() => Inventory.open(home), /^Error: The inventory .* was written by a newer version of Trivisor/);
  const after = new Database(file);
  assert.equal(after.pragma('user_version', { simple: true }), migrations.length + 1);
  after.close();
});

test('a file that is no database, and a home that cannot be, are told in one sentence', (context) => {
  const home = newHome();
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'inventory.db'), 'this is not a database, whatever its name says'.repeat(20));
  assert.throws(() => Inventory.open(home), /is not an inventory of Trivisor\.$/);
  const blocked = join(folder, 'blocked');
  writeFileSync(blocked, '');
  assert.throws(() => Inventory.open(join(blocked, 'home')), /^Error: Cannot create the home folder .*not a folder\.$/);
  if (process.getuid?.() === 0) return context.diagnostic('read-only home not tried: root may write anywhere');
  const readOnly = newHome();
  mkdirSync(readOnly, { recursive: true });
  chmodSync(readOnly, 0o500);
  assert.throws(() => Inventory.open(readOnly), HomeError);
  assert.ok(!existsSync(join(readOnly, 'inventory.db')));
});
