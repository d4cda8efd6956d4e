// The guest library in a browser: search, groups, sorting, several guests at once, keys, thumbnails, and two hundred guests.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { GuestSettings, type GuestSettingsInput } from '../../main/contract.ts';
import { createDisk } from '../../main/disks/disks.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { drivers, type Running } from './drivers.ts';
import { smallGuest } from './guest-files.ts';
import { until } from './waiting.ts';

const [browser] = drivers;

before(async () => {
  await build();
});

interface Library extends Running {
  folder: string;
  list: Locator;
  item(name: string): Locator;
  /** Names of the guests in the list, from the top; what is scrolled out of sight is not among them. */
  names(): Promise<string[]>;
  selected(): Promise<string[]>;
}

/** The app with guests of these settings, which are in the inventory before it starts. */
async function launch(t: TestContext, guests: (folder: string) => Partial<GuestSettingsInput>[]): Promise<Library> {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-library-'));
  const home = join(folder, 'home');
  const { kernel, machineModule } = smallGuest(folder);
  const inventory = Inventory.open(home);
  for (const settings of guests(folder)) {
    inventory.add(GuestSettings.parse({ kernel, memoryMiB: 32, ...settings }));
    // Guests of one millisecond are listed by name: these are to be listed by age.
    const { createdAt } = inventory.list().at(-1)!;
    while (Date.now() <= createdAt);
  }
  inventory.close();
  const app = await browser!.launch({ home, machineModule });
  const broken: string[] = [];
  app.page.on('pageerror', (error) => broken.push(error.message));
  t.after(async () => {
    await app.close();
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(broken, []);
  });
  app.page.setDefaultTimeout(20_000);
  const list = app.page.getByRole('tree', { name: 'Guests' });
  await list.waitFor();
  const named = async (items: Locator): Promise<string[]> =>
    (await items.locator('.name').allTextContents()).map((name) => name.trim());
  return Object.assign(app, {
    folder,
    list,
    item: (name: string) => list.getByRole('treeitem').filter({ has: app.page.getByText(name, { exact: true }) }),
    names: () => named(list.getByRole('treeitem')),
    selected: () => named(list.locator('[role=treeitem][aria-selected=true]')),
  });
}

const button = (page: Page, name: string | RegExp): Locator =>
  page.getByRole('button', { name, exact: typeof name === 'string' });

const options = { skip: browser!.unavailable ?? false, timeout: 180_000 };

test('guests are searched, sorted and grouped', options, async (t) => {
  const app = await launch(t, () => [
    { name: 'web 10', group: 'Servers' },
    { name: 'web 9', group: 'Servers', kind: 'para' },
    { name: 'Café' },
  ]);
  const { page, list } = app;
  assert.deepEqual(await app.names(), ['Servers', 'web 10', 'web 9', 'Not in a group', 'Café']);
  await button(page, 'Sort by').click();
  await page.getByRole('menuitemradio', { name: 'Name' }).click();
  await until(async () => (await app.names()).join() === 'Servers,web 9,web 10,Not in a group,Café');
  await page.keyboard.press('/');
  await page.keyboard.type('cafe off');
  await until(async () => (await app.names()).join() === 'Not in a group,Café');
  await page.getByRole('searchbox').fill('nothing like it');
  await page.getByText('No guest is found').waitFor();
  await page.keyboard.press('Escape');
  await app.item('Servers').click();
  await until(async () => (await app.names()).join() === 'Servers,Not in a group,Café');
  assert.equal(await app.item('Servers').getAttribute('aria-expanded'), 'false');
  // What was closed and how it is sorted is remembered.
  await page.reload();
  await until(async () => (await app.names()).join() === 'Servers,Not in a group,Café');
  await list.focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await until(async () => (await app.names()).length === 5);

  // A guest that runs changes its group, too.
  await app.item('Café').click();
  await button(page, 'Start').click();
  await page.locator('[data-state=running]').waitFor();
  await app.item('Café').click({ button: 'right' });
  await page.getByRole('menuitem', { name: 'Group…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Group of Café' });
  await dialog.getByLabel('Group').fill('/no');
  await dialog.getByText(/Group must be 1 to 63 letters/).waitFor();
  await dialog.getByLabel('Group').fill('Servers');
  await button(page, 'Set').click();
  await until(async () => (await app.names()).join() === 'Servers,Café,web 9,web 10');
});

test('keys and clicks select as in a file manager', options, async (t) => {
  const app = await launch(t, () => ['alpha', 'beta', 'bravo', 'charlie', 'delta'].map((name) => ({ name })));
  const { page, list } = app;
  // What the page shows is what the list says is selected.
  assert.deepEqual(await app.selected(), ['alpha']);
  await list.focus();
  await page.keyboard.press('ArrowDown');
  assert.deepEqual(await app.selected(), ['beta']);
  await page.getByRole('heading', { name: 'beta' }).waitFor();
  await page.keyboard.press('b');
  assert.deepEqual(await app.selected(), ['bravo']);
  await page.keyboard.press('Shift+End');
  assert.deepEqual(await app.selected(), ['bravo', 'charlie', 'delta']);
  await page.getByRole('heading', { name: '3 guests selected' }).waitFor();
  await app.item('charlie').click({ modifiers: ['Control'] });
  assert.deepEqual(await app.selected(), ['bravo', 'delta']);
  await page.keyboard.press('Control+a');
  assert.equal((await app.selected()).length, 5);
  await page.keyboard.press('Home');
  assert.deepEqual(await app.selected(), ['alpha']);
  // One row alone takes part in the order of Tab, and names the one that keys act on.
  const active = await list.getAttribute('aria-activedescendant');
  assert.equal(await page.locator(`[id="${active}"] .name`).textContent(), 'alpha');
  // The menu key opens the menu at the row, Escape gives the focus back.
  await page.keyboard.press('Shift+F10');
  await page.getByRole('menu', { name: 'alpha' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('End');
  assert.deepEqual(await app.selected(), ['delta']);
  // Enter shows the guest: its display is a window of its own.
  const display = await app.opened(() => page.keyboard.press('Enter'));
  assert.match(display.url(), /#\/display\//);
  await display.close();
});

test('several guests are started, shown at a glance, stopped and removed together', options, async (t) => {
  const app = await launch(t, () => ['one', 'two', 'three'].map((name) => ({ name })));
  const { page, list } = app;
  await list.focus();
  await page.keyboard.press('Control+a');
  await button(page, /^Start \(3\)/).click();
  await page.getByText('3 × Running').waitFor();
  // Each shows its display in the list; this machine's is a text screen of grey on black.
  const stamps = list.locator('img');
  await until(async () => (await stamps.count()) === 3);
  const before = await stamps.first().getAttribute('src');
  await app.item('one').click();
  await button(page, 'Display').waitFor();
  const display = await app.opened(() => button(page, 'Display').click());
  await display.getByRole('application').focus();
  await display.keyboard.type('hello');
  await display.keyboard.press('Enter');
  await until(async () => (await stamps.first().getAttribute('src')) !== before);
  await display.close();
  await list.focus();
  await page.keyboard.press('Control+a');
  await button(page, /^Force stop… \(3\)/).click();
  await page
    .getByRole('dialog', { name: 'Force 3 guests to stop?' })
    .getByRole('button', { name: 'Force stop' })
    .click();
  await page.getByText('3 × Off').waitFor();
  await list.focus();
  await page.keyboard.press('Delete');
  const asked = page.getByRole('dialog', { name: 'Remove 3 guests?' });
  await asked.getByRole('button', { name: 'Cancel' }).click();
  await page.keyboard.press('Delete');
  await asked.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('heading', { name: 'Welcome to Trivisor' }).waitFor();
});

test('what one of several guests refuses is told of that one', options, async (t) => {
  const app = await launch(t, () => [{ name: 'bad', kernel: '/nowhere/vmlinuz' }, { name: 'good' }]);
  const { page, list } = app;
  await list.focus();
  await page.keyboard.press('Control+a');
  await button(page, /^Start \(2\)/).click();
  await page.getByText('1 × Off, 1 × Running').waitFor();
  await page.getByText(/^bad: .*\/nowhere\/vmlinuz/).waitFor();
});

test('a guest is cloned, and removed with its disk', options, async (t) => {
  const disk = (folder: string): string => join(folder, 'first.qcow2');
  const app = await launch(t, (folder) => [{ name: 'first', disks: [{ file: disk(folder) }] }]);
  const { page } = app;
  await createDisk(disk(app.folder), { format: 'qcow2', size: 4 << 20 });
  for (const [way, name] of [
    ['Disks of its own', 'first copy'],
    ['Linked', 'first copy 2'],
  ] as const) {
    await app.item('first').click({ button: 'right' });
    await page.getByRole('menuitem', { name: 'Clone…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Clone first' });
    assert.equal(await dialog.getByLabel('Name').inputValue(), name);
    await dialog.getByRole('radio', { name: way }).check();
    await button(page, 'Clone').click();
    await page.getByRole('heading', { name, exact: true }).waitFor();
  }
  await app.item('first copy').click();
  await page.keyboard.press('Delete');
  const asked = page.getByRole('dialog', { name: 'Remove first copy?' });
  await asked.getByRole('checkbox', { name: /Also delete the disks/ }).check();
  await asked.getByRole('button', { name: 'Remove' }).click();
  await until(async () => (await app.names()).join() === 'first,first copy 2');
});

test('two hundred guests scroll, and only those in sight are drawn', options, async (t) => {
  const app = await launch(t, () =>
    Array.from({ length: 200 }, (_, index) => ({ name: `guest ${index + 1}`, group: `Group ${index % 8}` })),
  );
  const { page, list } = app;
  const rows = list.getByRole('treeitem');
  assert.ok((await rows.count()) < 40, 'rows out of sight are not drawn');
  await list.focus();
  await page.keyboard.press('End');
  await until(async () => (await app.selected()).join() === 'guest 200');
  assert.ok((await rows.count()) < 40);
  await page.keyboard.press('Home');
  await until(async () => (await app.item('guest 1').count()) === 1);
  const tasks = await longTasks(page, async () => {
    const box = (await list.boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    for (let step = 0; step < 60; step++) await page.mouse.wheel(0, step < 30 ? 400 : -400);
  });
  t.diagnostic(`tasks of more than 50 ms while scrolling: ${tasks.length} (${tasks.map(Math.round).join(', ')})`);
  // Whether a machine that does something else is quick is not what CI is for.
  if (process.env.TRIVISOR_NIGHTLY) assert.deepEqual(tasks, []);
});

/** Milliseconds of each long task of the page while something is done, as the browser itself measures them. */
async function longTasks(page: Page, act: () => Promise<void>): Promise<number[]> {
  // The page's policy lets no script be evaluated by its own means; the inspector's are apart from it.
  const session = await page.context().newCDPSession(page);
  const evaluate = async (expression: string): Promise<unknown> =>
    (await session.send('Runtime.evaluate', { expression, returnByValue: true })).result.value;
  await evaluate(
    `globalThis.tasks = []; new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' }); 0`,
  );
  await act();
  // Entries come when the page has nothing else to do.
  await new Promise((resolve) => setTimeout(resolve, 500));
  return (await evaluate('globalThis.tasks')) as number[];
}
