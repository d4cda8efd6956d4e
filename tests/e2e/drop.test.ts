// Files dropped on the window: in a browser, which tells no path of them, they are copied or their path is told.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { drivers } from './drivers.ts';
import { smallGuest } from './guest-files.ts';

const [browser] = drivers;
const options = { skip: browser!.unavailable ?? false, timeout: 120_000 };

before(async () => {
  await build();
});

async function launch(t: TestContext): Promise<{ page: Page; home: string; folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-drop-'));
  const home = join(folder, 'home');
  const app = await browser!.launch({ home, machineModule: smallGuest(folder).machineModule });
  t.after(async () => {
    await app.close();
    rmSync(folder, { recursive: true, force: true });
  });
  app.page.setDefaultTimeout(20_000);
  await app.page.getByRole('heading', { name: 'Welcome to Trivisor' }).waitFor();
  return { page: app.page, home, folder };
}

/** Drops a file of these bytes, which the page makes itself: `fill` is a script that fills `bytes`. */
async function drop(page: Page, name: string, size: number, fill: string): Promise<void> {
  const inspector = await page.context().newCDPSession(page);
  const { exceptionDetails } = await inspector.send('Runtime.evaluate', {
    expression: `{
      const bytes = new Uint8Array(${size});
      ${fill};
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], ${JSON.stringify(name)}));
      for (const type of ['dragenter', 'dragover', 'drop'])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    }`,
  });
  assert.equal(exceptionDetails, undefined);
}

const DISC = `bytes.set([1, 67, 68, 48, 48, 49, 1], 16 * 2048); bytes[bytes.length - 1] = 77`;

test('a disc that is dropped is copied, and the wizard begins with it', options, async (t) => {
  const { page, home } = await launch(t);
  const size = 20 * 2 ** 20 + 5;
  await drop(page, 'net inst.iso', size, DISC);
  const asked = page.getByRole('dialog', { name: 'net inst.iso' });
  await asked.getByRole('radio', { name: 'Copy it' }).check();
  await asked.getByRole('button', { name: 'Go on' }).click();
  const wizard = page.getByRole('dialog', { name: 'New guest' });
  await wizard.getByLabel('All on one page').check();
  const file = join(home, 'media', 'net inst.iso');
  assert.equal(await wizard.getByLabel('CD', { exact: true }).inputValue(), file);
  assert.equal(await wizard.getByLabel('Name').inputValue(), 'net inst');
  const copied = readFileSync(file);
  assert.deepEqual(
    [copied.length, copied.at(-1), copied.toString('latin1', 16 * 2048 + 1, 16 * 2048 + 6)],
    [size, 77, 'CD001'],
  );
});

test('a file that is on the host is used where it lies, and what is nothing is told', options, async (t) => {
  const { page, home, folder } = await launch(t);
  const floppy = join(folder, 'dos.img');
  writeFileSync(floppy, Buffer.alloc(1440 * 1024));
  const text = join(folder, 'letter.txt');
  writeFileSync(text, 'Dear Trivisor');
  for (const [file, size] of [
    [text, 13],
    [floppy, 1440 * 1024],
  ] as const) {
    await drop(page, file.slice(folder.length + 1), size, '');
    const asked = page.getByRole('dialog');
    await asked.getByRole('radio', { name: /on Trivisor’s host/ }).check();
    await asked.getByRole('textbox', { name: /^Path of/ }).fill(file);
    await asked.getByRole('button', { name: 'Go on' }).click();
    if (file === text) await page.getByText('letter.txt is nothing that a guest is made from').waitFor();
  }
  const wizard = page.getByRole('dialog', { name: 'New guest' });
  await wizard.getByLabel('All on one page').check();
  assert.equal(await wizard.getByLabel('Floppy', { exact: true }).inputValue(), floppy);
  assert.match((await page.getByTestId('line').textContent())!, /--boot acdn --floppy \S+dos\.img/);
  assert.ok(!existsSync(join(home, 'media')), 'nothing was copied');
});
