import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { build } from '../../main/build/build.ts';
import { GuestSettings } from '../../main/contract.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { drivers } from './drivers.ts';

before(async () => {
  await build();
});

const [driver] = drivers;

/** A port that nobody listens to at the moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('the page of the networks shows who is where and how much passes, changes cables and records', {
  skip: driver!.unavailable ?? false,
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  const kernel = join(folder, 'kernel');
  writeFileSync(kernel, fakeKernel([]));
  const inventory = Inventory.open(home);
  const port = await freePort();
  const forwards = [{ port, guestPort: 80 }];
  for (const [name, nets] of [
    ['web', [{ network: 'nat', forwards }, { network: 'internal:lab' }]],
    ['database', [{ network: 'internal:lab', vlan: 0 }]],
    ['idle', [{ network: 'internal:lab' }]],
  ] as const)
    inventory.add(GuestSettings.parse({ name, kernel, memoryMiB: 32, nets }));
  inventory.close();

  const app = await driver!.launch({ home, machineModule: new URL('./chatty-machine.ts', import.meta.url).href });
  const { page } = app;
  let isOpen = true;
  t.after(async () => {
    if (isOpen) await app.close().catch(() => {});
  });
  const broken: string[] = [];
  page.on('pageerror', (error) => broken.push(error.message));
  page.setDefaultTimeout(20_000);
  const state = (name: string) => page.locator('article').getByRole('status').filter({ hasText: name });
  /** Something passes, both ways. */
  const busy = /^↑ [\d.,]+.[KM]iB\/s ↓ [\d.,]+.[KM]iB\/s$/;
  const button = (name: string) => page.getByRole('button', { name, exact: true });

  for (const name of ['web', 'database']) {
    await page.getByRole('navigation').getByText(name, { exact: true }).click();
    await button('Start').click();
    await state('Running').waitFor();
  }
  await button('Networks').click();
  await page.getByRole('heading', { name: 'Networks', exact: true }).waitFor();
  const nat = page.getByRole('region', { name: 'NAT', exact: true });
  const lab = page.getByRole('region', { name: 'Internal network lab' });
  await nat.getByText('10.0.2.15').waitFor();
  await nat.getByText(`127.0.0.1:${port} → 80`).waitFor();
  const web = lab.getByRole('listitem', { name: 'web, card 2' });
  const database = lab.getByRole('listitem', { name: 'database, card 1' });
  await database.getByText(busy).waitFor();
  await lab.getByRole('listitem', { name: 'idle, card 1' }).getByText('off', { exact: true }).waitFor();

  await database.getByRole('button', { name: 'Unplug' }).click();
  await database.getByText('link=down').waitFor();
  // Nothing reaches it any more, and it sends nothing.
  await database.getByText('↑ 0\u00a0B/s ↓ 0\u00a0B/s').waitFor();
  await database.getByRole('button', { name: 'Plug in' }).click();
  await database.getByText(busy).waitFor();

  await web.getByRole('button', { name: 'Cable…' }).click();
  await page.getByLabel('Loss (%)').fill('101');
  await button('Apply').click();
  await page.getByRole('alert').filter({ hasText: 'link.lossPercent must be at most 100 %.' }).waitFor();
  await page.getByLabel('Loss (%)').fill('50');
  await page.getByLabel('Delay (ms)').fill('20');
  await button('Apply').click();
  await web.getByText('delay=20, loss=50').waitFor();
  await web.getByText(/ lost/).waitFor();

  const file = join(folder, 'lab.pcapng');
  const record = lab.locator('header').getByRole('button', { name: 'Record', exact: true });
  await record.click();
  await page.getByLabel('File', { exact: true }).fill(file);
  await page.getByRole('dialog').getByRole('button', { name: 'Record' }).click();
  await lab.getByRole('button', { name: 'Stop recording' }).waitFor();
  if (process.env.TRIVISOR_SCREENSHOTS) {
    await page.waitForTimeout(Number(process.env.TRIVISOR_SCREENSHOTS) * 1000);
    await page.screenshot({ path: join(import.meta.dirname, 'screenshots', 'networks.png') });
  }
  await lab.getByRole('button', { name: 'Stop recording' }).click();
  await record.waitFor();
  assert.ok(existsSync(file));

  // A guest's name leads to its own page.
  await database.getByRole('button', { name: 'database' }).click();
  await page.getByRole('heading', { name: 'database' }).waitFor();
  for (const name of ['web', 'database']) {
    await page.getByRole('navigation').getByText(name, { exact: true }).click();
    await button('Stop').click();
    await state('Off').waitFor();
  }
  assert.deepEqual(broken, []);
  isOpen = false;
  await app.close();
});
