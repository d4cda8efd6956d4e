import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { build } from '../../main/build/build.ts';
import { drivers } from './drivers.ts';

const driver = drivers.find(({ name }) => name === 'browser')!;

before(async () => {
  await build();
});

test('the app speaks the language of the system, or another by choice', {
  skip: driver.unavailable ?? false,
  timeout: 120_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-language-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const app = await driver.launch({ home: join(folder, 'home'), machineModule: undefined });
  t.after(() => app.close());
  const { page } = app;
  page.setDefaultTimeout(20_000);
  const title = (text: string) => page.getByRole('heading', { level: 1, name: text }).waitFor();
  const lang = () => page.locator('html').getAttribute('lang');

  await title('Welcome to Trivisor');
  assert.equal(await lang(), 'en');

  await page.getByLabel('Language').selectOption('Deutsch');
  await title('Willkommen bei Trivisor');
  await page.getByRole('button', { name: 'Neuer Gast' }).first().waitFor();
  assert.equal(await lang(), 'de');

  await page.reload();
  await title('Willkommen bei Trivisor');
  if (process.env.TRIVISOR_LOOK) await page.screenshot({ path: join(process.env.TRIVISOR_LOOK, 'german.png') });
  await page.getByLabel('Sprache').selectOption('system');
  await title('Welcome to Trivisor');

  const { cookies } = await page.context().storageState();
  const german = await page
    .context()
    .browser()!
    .newContext({ locale: 'de-AT', storageState: { cookies, origins: [] } });
  const there = await german.newPage();
  await there.goto(page.url());
  await there.getByRole('heading', { level: 1, name: 'Willkommen bei Trivisor' }).waitFor();
});
