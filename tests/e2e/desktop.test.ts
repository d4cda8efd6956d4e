import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { build } from '../../main/build/build.ts';
import { GuestSettings } from '../../main/contract.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { drivers } from './drivers.ts';
import { until } from './waiting.ts';

const driver = drivers.find(({ name }) => name.includes('stand-in'))!;

before(async () => {
  await build();
});

test('the app starts guests, tells of ends, has a menu and a tray, and keeps its window’s place', {
  skip: driver.unavailable ?? false,
  timeout: 120_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-desktop-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  const inventory = Inventory.open(home);
  const kernel = (name: string, ...script: string[]): string => {
    writeFileSync(join(folder, name), fakeKernel(script));
    return join(folder, name);
  };
  const add = (settings: object) => inventory.add(GuestSettings.parse({ memoryMiB: 16, ...settings }))!;
  add({ name: 'brief', kernel: kernel('brief', 'nap 500', 'off'), autostart: 2 });
  add({ name: 'lasting', kernel: kernel('lasting', 'say hello', 'echo'), autostart: 1 });
  const lost = add({ name: 'lost', kernel: kernel('lost', 'echo') });
  // As a process leaves it that is killed while the guest runs.
  inventory.runStarted(lost.id, Date.now());
  inventory.close();
  const machineModule = new URL('../../main/guests/fake-machine.ts', import.meta.url).href;
  const app = await driver.launch({ home, machineModule });
  const { standIn } = await import('./electron-stand-in/electron.ts');
  let isOpen = true;
  t.after(async () => {
    if (isOpen) await app.close().catch(() => {});
  });
  app.page.setDefaultTimeout(20_000);
  const titles = () => standIn.notices.map(({ title }) => title);
  await until(async () => titles().includes('brief is off'), 30_000);
  assert.deepEqual(titles(), ['Running when Trivisor ended: lost', 'brief is off']);

  const guests = standIn.menu.find(({ label }) => label === 'Guests')?.submenu ?? [];
  const labels = ['Show Trivisor', 'Save all and stop', 'Power all off'];
  assert.deepEqual(
    guests.flatMap(({ label }) => label ?? []),
    labels,
  );
  assert.deepEqual(
    standIn.tray.flatMap(({ label }) => label ?? []),
    [...labels, 'Quit'],
  );
  standIn.tray.find(({ label }) => label === 'Save all and stop')!.click!();
  await until(async () => {
    const now = Inventory.open(home);
    const saved = now.find('lasting')?.saved ?? null;
    now.close();
    return saved !== null;
  }, 30_000);
  assert.deepEqual(titles().length, 2, 'what a person wanted is told by nobody');

  isOpen = false;
  await app.close();
  assert.ok(existsSync(join(home, 'window.json')));
  assert.equal(JSON.parse(readFileSync(join(home, 'window.json'), 'utf8')).isMaximized, false);
});
