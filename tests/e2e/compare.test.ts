import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { before, test } from 'node:test';
import { build } from '../../main/build/build.ts';
import { GuestSettings } from '../../main/contract.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { noDebian } from '../guests/debian.ts';
import { drivers } from './drivers.ts';

before(async () => {
  await build();
});

const [driver] = drivers;
const noCompiler = (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'gcc')))
  ? false
  : 'gcc, which compiles what is compared, is not installed';
/** Set, pictures of the page are left in this folder. */
const pictures = process.env.TRIVISOR_PICTURES;
/** Kinds that are compared: all of them take minutes. */
const kinds = (process.env.TRIVISOR_COMPARED ?? 'os').split(',');

test('the page compares kinds, tells how far it is, and stops when it is told to', {
  skip: driver!.unavailable ?? (noDebian || noCompiler),
  timeout: 900_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  const kernel = join(folder, 'kernel');
  writeFileSync(kernel, fakeKernel([]));
  const inventory = Inventory.open(home);
  inventory.add(GuestSettings.parse({ name: 'one', kernel }));
  inventory.close();
  const app = await driver!.launch({ home, machineModule: new URL('./busy-machine.ts', import.meta.url).href });
  const { page } = app;
  t.after(() => app.close());
  page.setDefaultTimeout(60_000);
  const button = (name: string) => page.getByRole('button', { name, exact: true });

  await button('Compare the kinds').click();
  await page.getByText('Nothing has been compared').waitFor();
  for (const kind of ['full', 'para', 'os'])
    await page
      .getByRole('checkbox', { name: { full: 'Full', para: 'Para', os: 'OS-level' }[kind]! })
      .setChecked(kinds.includes(kind));
  await button('Compare').click();
  await page.getByRole('status').filter({ hasText: /\w/ }).waitFor();
  await button('Compare').waitFor({ timeout: 800_000 });
  const table = page.getByRole('region', { name: 'One after the other' });
  const rows = table.getByRole('row');
  // Boot, processor, processes, disk both ways, and the head.
  assert.equal(await rows.count(), 1 + 5 * kinds.length);
  await table.getByRole('rowheader', { name: 'Process storm' }).waitFor();
  const seconds = await rows.nth(1).locator('b').innerText();
  assert.ok(Number(seconds) > 0, seconds);
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, 'compare.png'), fullPage: true });

  // Whoever opens the page anew sees it, too.
  await page.reload();
  await button('Compare the kinds').click();
  await table.getByRole('rowheader', { name: 'Boot to ready' }).waitFor();
  await page.getByRole('radio', { name: /^Usual/ }).check();
  await button('Compare').click();
  await button('Stop').click();
  await page.getByText('The comparison was stopped.').waitFor();
});
