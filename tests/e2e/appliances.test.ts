import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { build } from '../../main/build/build.ts';
import { GuestSettings } from '../../main/contract.ts';
import { createDisk } from '../../main/disks/disks.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { drivers } from './drivers.ts';

const driver = drivers.find(({ name }) => name === 'browser')!;

before(async () => {
  await build();
});

test('a guest is exported to a package and imported again in the app', {
  skip: driver.unavailable ?? false,
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  const disk = join(folder, 'system.qcow2');
  await createDisk(disk, { format: 'qcow2', size: 8 << 20 });
  const inventory = Inventory.open(home);
  const disks = [{ file: disk, interface: 'virtio' }];
  inventory.add(GuestSettings.parse({ name: 'web', memoryMiB: 96, disks, nets: [{ network: 'nat' }] }));
  inventory.close();
  const app = await driver.launch({ home, machineModule: undefined });
  t.after(() => app.close());
  const { page } = app;
  page.setDefaultTimeout(20_000);
  const dialog = page.getByRole('dialog');
  const button = (name: string) => dialog.getByRole('button', { name, exact: true });
  const look = async (name: string): Promise<void> => {
    if (process.env.TRIVISOR_LOOK) await page.screenshot({ path: join(process.env.TRIVISOR_LOOK, `${name}.png`) });
  };

  await page.getByRole('heading', { level: 1, name: 'web' }).waitFor();
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Export…' }).click();
  assert.equal(await dialog.getByRole('textbox', { name: 'Package' }).inputValue(), join(folder, 'web.ova'));
  await look('export');
  await button('Export').click();
  await dialog.getByRole('status').filter({ hasText: 'Written to' }).waitFor();
  await dialog.getByText(/Disk 1 is on virtio here/).waitFor();
  await look('exported');
  assert.ok(existsSync(join(folder, 'web.ova')));
  await button('Close').first().click();

  await page.getByRole('button', { name: 'Import an appliance' }).click();
  await dialog.getByRole('textbox', { name: 'Package' }).fill(join(folder, 'none.ova'));
  await button('Look into it').click();
  await dialog.getByText(/there is no such file or folder/).waitFor();
  await dialog.getByRole('textbox', { name: 'Package' }).fill(join(folder, 'web.ova'));
  await button('Look into it').click();
  await dialog
    .getByRole('status')
    .filter({ hasText: /96.MiB, 1 vCPU, 8.MiB/ })
    .waitFor();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('web 2');
  await look('import');
  await button('Import').click();
  await page.getByRole('heading', { level: 1, name: 'web 2' }).waitFor();
  assert.ok(existsSync(join(home, 'disks', 'web 2.qcow2')));
});
