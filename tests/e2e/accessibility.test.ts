import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { AxeResults, ImpactValue } from 'axe-core';
import type { Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { GuestSettings } from '../../main/contract.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { drivers } from './drivers.ts';

const driver = drivers.find(({ name }) => name === 'browser')!;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** What keeps somebody from using a page; what is less is left to taste. */
const grave: readonly (ImpactValue | undefined)[] = ['serious', 'critical'];

before(async () => {
  await build();
});

/** What axe finds grave on a page, in each of its appearances: the rule, and where. */
async function found(page: Page, name: string): Promise<string[]> {
  const all: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    // Whatever fades in has.
    await page.waitForTimeout(300);
    const { violations } = (await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as AxeResults;
    for (const { id, impact, nodes } of violations)
      if (grave.includes(impact))
        for (const { html, failureSummary } of nodes)
          all.push(`${name}, ${colorScheme}: ${id}: ${html.slice(0, 160)}: ${failureSummary?.split('\n')[1]?.trim()}`);
    const shots = process.env.TRIVISOR_LOOK;
    if (shots) await page.screenshot({ path: join(shots, `${name.replaceAll(' ', '-')}-${colorScheme}.png`) });
  }
  return all;
}

test('axe finds nothing serious on any page, light or dark, and the keyboard alone is enough', {
  skip: driver.unavailable ?? false,
  timeout: 600_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-axe-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  const app = await driver.launch({ home, machineModule: new URL('./small-machine.ts', import.meta.url).href });
  t.after(() => app.close());
  const { page } = app;
  page.setDefaultTimeout(20_000);
  const problems: string[] = [];
  const look = async (name: string, on: Page = page): Promise<void> => {
    problems.push(...(await found(on, name)));
  };
  const start = page.getByRole('button', { name: 'Start', exact: true });
  await page.getByRole('heading', { level: 1 }).waitFor();
  await look('welcome');

  const kernel = join(folder, 'kernel');
  writeFileSync(kernel, fakeKernel([]));
  const inventory = Inventory.open(home);
  for (const name of ['web', 'database', 'idle'])
    inventory.add(GuestSettings.parse({ name, kernel, memoryMiB: 32, nets: [{ network: 'internal:lab' }] }));
  inventory.close();
  await page.reload();
  await start.waitFor();
  await look('a guest that is off');

  // By the keyboard alone: Enter on the focused button starts the guest.
  for (let presses = 0; presses < 80 && !(await start.evaluate((button) => button.matches(':focus'))); presses++)
    await page.keyboard.press('Tab');
  assert.ok(await start.evaluate((button) => button.matches(':focus-visible')), 'Tab comes to Start, and it is seen');
  await page.keyboard.press('Enter');
  await page.locator('article').getByRole('status').filter({ hasText: 'Running' }).waitFor();
  await look('a guest that runs');

  await page.keyboard.press('n');
  const dialog = page.getByRole('dialog').first();
  await dialog.waitFor();
  await look('the dialog of a new guest');
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    // Between its last and its first element a browser has its own.
    const isOutside = await page.evaluate(
      'document.activeElement !== document.body && !document.activeElement.closest("dialog")',
    );
    assert.ok(!isOutside, 'Tab stays in the dialog');
  }
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });

  for (const name of ['Guests together', 'Networks', 'This host', 'Compare']) {
    const link = page.locator('.pages').getByRole('button', { name });
    if ((await link.count()) === 0) continue;
    await link.first().focus();
    await page.keyboard.press('Enter');
    await page.locator('main h1, main h2').first().waitFor();
    await look(`the page ${name}`);
  }
  await page.getByRole('button', { name: 'Reserve…' }).press('Enter');
  await page.getByRole('dialog').first().waitFor();
  await look('the dialog of the reserve');
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: 'Import an appliance' }).press('Enter');
  await page.getByRole('dialog').first().waitFor();
  await look('the dialog of an import');
  await page.keyboard.press('Escape');

  await page.getByText('database', { exact: true }).first().click();
  for (const name of ['Console', 'Display']) {
    const opened = await app.opened(() => page.getByRole('button', { name, exact: true }).first().press('Enter'));
    await opened.getByRole('banner').first().waitFor();
    await look(`the window ${name}`, opened);
    await opened.close();
  }
  assert.deepEqual([...new Set(problems)], []);
});
