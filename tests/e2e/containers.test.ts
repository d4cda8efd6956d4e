import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { debianRoot, noDebianRoot } from '../guests/systems/debian-root.ts';
import { drivers, type Running } from './drivers.ts';

// Guests of kind os in the app: an image imported, a guest made of it, and real programs in its terminal.

const [driver] = drivers;
const skip = driver!.unavailable ?? noDebianRoot;
const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-os-'));
let app: Running;
before(async () => {
  if (skip !== false) return;
  await build();
  app = await driver!.launch({ home: join(folder, 'home'), machineModule: undefined });
  app.page.setDefaultTimeout(30_000);
});
after(async () => {
  await app?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Takes a picture where TRIVISOR_PICTURES names a folder, to be looked at. */
async function picture(page: Page, name: string): Promise<void> {
  const into = process.env.TRIVISOR_PICTURES;
  if (into) await page.screenshot({ path: join(into, `${name}.png`) });
}

async function screen(terminal: Page): Promise<string> {
  return (await terminal.locator('.xterm-rows > div').allTextContents()).join('\n').replaceAll('\u00a0', ' ');
}

async function waitForScreen(terminal: Page, pattern: RegExp): Promise<void> {
  for (const end = Date.now() + 120_000; !pattern.test(await screen(terminal)); await sleep(100))
    if (Date.now() > end) assert.fail(`${pattern} did not appear in the terminal:\n${await screen(terminal)}`);
}

/** Types a line at the shell, and waits for what it prints. */
async function type(terminal: Page, line: string, answer: RegExp): Promise<void> {
  await terminal.keyboard.type(line);
  await terminal.keyboard.press('Enter');
  await waitForScreen(terminal, answer);
}

test('an image is imported, and a guest of it runs real programs in a terminal', {
  skip,
  timeout: 600_000,
}, async () => {
  const { page } = app;
  const archive = await debianRoot();
  await page.getByRole('button', { name: 'New guest' }).click();
  await page.getByLabel('All on one page').check();
  await page.getByLabel('Name', { exact: true }).fill('box');
  await page.getByRole('radio', { name: 'OS-level' }).check();
  // Nothing of a machine is offered.
  for (const gone of ['CD', 'Floppy', 'Boot order', 'vCPUs', 'Model'])
    assert.equal(await page.getByLabel(gone, { exact: true }).count(), 0, gone);
  await page.getByRole('button', { name: 'Import…' }).click();
  const importing = page.getByRole('dialog', { name: 'Import an image' });
  await importing.getByLabel('Archive', { exact: true }).fill(join(folder, 'nothing.tar'));
  await importing.getByRole('button', { name: 'Import', exact: true }).click();
  await importing.getByRole('alert').filter({ hasText: 'nothing.tar' }).waitFor();
  await importing.getByLabel('Archive', { exact: true }).fill(archive);
  await importing.getByLabel('Name', { exact: true }).fill('debian');
  await importing.getByRole('button', { name: 'Import', exact: true }).click();
  await importing.getByRole('progressbar').waitFor();
  await picture(page, 'import');
  await importing.waitFor({ state: 'detached', timeout: 120_000 });
  assert.equal(await page.getByLabel('Image', { exact: true }).inputValue(), 'debian');
  await page.getByLabel('Command', { exact: true }).fill('bash');
  await page.getByLabel('Environment', { exact: true }).fill('GREETING=hello there');
  assert.equal(
    await page.getByTestId('line').textContent(),
    `trivisor create box --kind os --net nat --image debian --command bash --env 'GREETING=hello there' --tty`,
  );
  await picture(page, 'dialog');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('heading', { name: 'box' }).waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.getByRole('button', { name: 'Terminal', exact: true }).and(page.locator(':enabled')).waitFor();

  const terminal = await app.opened(() => page.getByRole('button', { name: 'Terminal', exact: true }).click());
  terminal.setDefaultTimeout(30_000);
  await terminal.setViewportSize({ width: 820, height: 460 });
  await terminal.locator('.xterm-screen').click();
  await waitForScreen(terminal, /root@box:.*#/);
  await type(terminal, 'echo "$GREETING, $(tty)"', /hello there, \/dev\/pts\/0/);
  await type(
    terminal,
    "python3 -c \"import sqlite3, sys; print(sqlite3.connect(chr(58) + 'memory:').execute('select 6*7').fetchone(), sys.stdout.isatty())\"",
    /\(42,\) True/,
  );
  await type(terminal, 'perl -e \'print join(",", map { $_ ** 2 } 1..5), "\\n"\'', /1,4,9,16,25/);
  // Job control: a program is stopped by a key, and ended by another.
  await type(terminal, 'sleep 100', /sleep 100/);
  await terminal.keyboard.press('Control+z');
  await waitForScreen(terminal, /\[1\]\+ +Stopped +sleep 100/);
  await page
    .getByRole('region', { name: /^Processes/ })
    .getByRole('rowheader', { name: 'sleep 100' })
    .waitFor();
  await picture(page, 'processes');
  await type(terminal, 'fg', /fg\s+sleep 100/);
  await terminal.keyboard.press('Control+c');
  // The window's size is the terminal's, and changes with it.
  await type(terminal, 'stty size', /stty size\s+\d+ \d+/);
  const before = /stty size\s+(\d+) (\d+)/.exec(await screen(terminal))!;
  const rows = terminal.locator('.xterm-rows > div');
  await terminal.setViewportSize({ width: 1000, height: 560 });
  for (const end = Date.now() + 30_000; (await rows.count()) <= Number(before[1]); await sleep(100))
    assert.ok(Date.now() < end, 'the terminal has not become larger');
  await type(terminal, 'echo now: $(stty size)', /now: \d+ \d+/);
  const now = /now: (\d+) (\d+)/.exec(await screen(terminal))!;
  assert.ok(Number(now[1]) > Number(before[1]) && Number(now[2]) > Number(before[2]), `${before[0]}, then ${now[0]}`);
  await picture(terminal, 'terminal');
  await terminal.keyboard.type('exit 4\n');
  await terminal.getByText('The shell ended with status 4.').waitFor();
  await terminal.close();

  await page.getByRole('button', { name: 'Force stop' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Force stop' }).click();
  await page.getByRole('status').filter({ hasText: /^Off$/ }).waitFor();
});
