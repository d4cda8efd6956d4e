import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Locator, Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { noDebian } from '../guests/debian.ts';
import { drivers, type Running } from './drivers.ts';
import { type GuestFiles, guestFiles } from './guest-files.ts';
import { until } from './waiting.ts';

before(async () => {
  await build();
});

for (const driver of drivers) {
  test(`the app: ${driver.name}`, { skip: driver.unavailable ?? false, timeout: 600_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const files = await guestFiles(folder);
    const app = await driver.launch({ home: join(folder, 'home'), machineModule: files.machineModule });
    let open = true;
    t.after(async () => {
      if (open) await app.close().catch(() => {});
    });
    broken = watch(app.page);
    app.page.setDefaultTimeout(20_000);
    for (const [name, step] of steps) {
      await t.test(name, (context) => step(app, files, folder, context));
    }
    await t.test('the page breaks no rule and throws nothing', () => assert.deepEqual(broken, []));
    if (app.loseServer) {
      await t.test('a server that is gone is told', async () => {
        await app.loseServer!();
        await app.page.getByRole('alert').filter({ hasText: 'Not connected.' }).waitFor();
      });
    }
    open = false;
    await t.test('it ends when it is asked to', () => app.close());
  });
}

/** What the pages complained about. */
let broken: string[] = [];

/** Everything that a page complains about, from now on. */
function watch(page: Page, broken: string[] = []): string[] {
  page.on('pageerror', (error) => broken.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') broken.push(message.text());
  });
  return broken;
}

type Step = (app: Running, files: GuestFiles, folder: string, t: TestContext) => Promise<void>;

const button = (page: Page, name: string | RegExp) =>
  page.getByRole('button', { name, exact: typeof name === 'string' });

async function textOf(locator: Locator): Promise<string> {
  return (await locator.textContent()) ?? '';
}

/** The text of a terminal's rows. */
async function screen(console: Page): Promise<string> {
  return (await console.locator('.xterm-rows > div').allTextContents()).join('\n').replaceAll('\u00a0', ' ');
}

/** What is seen of an element, as a digest. */
async function digest(locator: Locator): Promise<string> {
  return createHash('sha256')
    .update(await locator.screenshot())
    .digest('hex');
}

/** What the chart's canvas shows. */
const cpuChart = (page: Page) => page.getByRole('region', { name: 'CPU', exact: true }).locator('figure');
const picture = (page: Page): Promise<string> => digest(cpuChart(page).locator('canvas'));

/** Waits for a text on a guest's display. */
async function waitForText(display: Page, pattern: RegExp, milliseconds: number): Promise<void> {
  let text = '';
  const rows = display.getByTestId('screen-text').locator('div');
  const shown = until(async () => pattern.test((text = (await rows.allTextContents()).join('\n'))), milliseconds);
  await shown.catch(() => assert.fail(`${pattern} did not appear on the display:\n${text}`));
}

async function waitForScreen(console: Page, pattern: RegExp, milliseconds: number): Promise<void> {
  let text = '';
  const shown = until(async () => pattern.test((text = await screen(console))), milliseconds);
  await shown.catch(() => assert.fail(`${pattern} did not appear on the console:\n${text}`));
}

/** The pictures of the README, taken anew where TRIVISOR_SCREENSHOTS is set. */
async function takeScreenshots(page: Page, console: Page): Promise<void> {
  await sleep(Number(process.env.TRIVISOR_SCREENSHOTS) * 1000);
  await page.screenshot({ path: join(import.meta.dirname, 'screenshots', 'manager.png') });
  await console.setViewportSize({ width: 780, height: 440 });
  await sleep(1000);
  await console.screenshot({ path: join(import.meta.dirname, 'screenshots', 'console.png') });
  await display.setViewportSize({ width: 744, height: 492 });
  await sleep(1000);
  await display.screenshot({ path: join(import.meta.dirname, 'screenshots', 'display.png') });
}

let serial: Page;
let display: Page;

const steps: readonly [string, Step][] = [
  [
    'a first start welcomes, and offers a guest',
    async ({ page }) => {
      await page.getByRole('heading', { name: 'Welcome to Trivisor' }).waitFor();
      assert.ok((await button(page, /Create and start|Choose an image/).count()) > 0);
    },
  ],
  [
    'a guest of kind para is offered what a microvm has, and nothing else',
    async ({ page }) => {
      await button(page, 'New guest').click();
      await page.getByLabel('All on one page').check();
      await page.getByRole('radio', { name: 'Para' }).check();
      for (const gone of ['A kernel', 'Boot order', 'CD', 'Floppy', 'Model'])
        assert.equal(await page.getByLabel(gone, { exact: true }).count(), 0, gone);
      await page.getByLabel('Virtio transport').selectOption('mmio');
      const line = page.getByTestId('line');
      assert.equal(
        await textOf(line),
        'trivisor create NAME --kind para --net nat,model=virtio --virtio-transport mmio',
      );
      await page.getByRole('radio', { name: 'Full' }).check();
      assert.equal(await textOf(line), 'trivisor create NAME --net nat');
      await button(page, 'Cancel').click();
    },
  ],
  [
    'a kernel that is not one is told before anything is created',
    async ({ page }, _files, folder) => {
      const bad = join(folder, 'picture.png');
      writeFileSync(bad, '\x89PNG\r\n\x1a\n and nothing that boots');
      await button(page, 'New guest').click();
      await page.getByLabel('All on one page').check();
      await page.getByLabel('Name').fill('Bad');
      await page.getByLabel('A kernel').check();
      await page.getByRole('textbox', { name: 'Kernel', exact: true }).fill(bad);
      const told = page.locator('#kernel-help.error');
      await told.waitFor();
      assert.match(await textOf(told), /picture\.png|kernel/i);
      await page.getByRole('spinbutton', { name: 'Memory in MiB' }).fill('0');
      assert.match(await textOf(page.locator('#memory-help')), /Memory must be at least 1 MiB\./);
      await page.getByRole('spinbutton', { name: 'Memory in MiB' }).fill('999999');
      assert.match(await textOf(page.locator('#memory-help')), /at most/);
    },
  ],
  [
    'the dialog tells the command line that does the same, and creates the guest',
    async ({ page }, files) => {
      await page.getByLabel('Name').fill('Debian 12');
      await page.getByLabel('A kernel').check();
      await page.getByRole('textbox', { name: 'Kernel', exact: true }).fill(files.kernel);
      await page.getByLabel('Initial RAM disk', { exact: true }).fill(files.initrd);
      await page.getByLabel('Kernel command line').fill(files.append);
      await page.getByRole('spinbutton', { name: 'Memory in MiB' }).fill(String(files.memoryMiB));
      const line = await textOf(page.getByTestId('line'));
      assert.ok(line.startsWith("trivisor create 'Debian 12' --"), line);
      assert.ok(line.includes(`--kernel ${files.kernel}`), line);
      await button(page, 'Create').click();
      await page.getByRole('heading', { name: 'Debian 12' }).waitFor();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      assert.equal(await page.locator('[data-state]').getAttribute('data-state'), 'off');
    },
  ],
  [
    'a second guest of the same name is refused in one sentence, in place',
    async ({ page }, files) => {
      await page.keyboard.press('n');
      await page.getByLabel('All on one page').check();
      await page.getByLabel('Name').fill('Debian 12');
      await page.getByLabel('A kernel').check();
      await page.getByRole('textbox', { name: 'Kernel', exact: true }).fill(files.kernel);
      await button(page, 'Create').click();
      assert.match(await textOf(page.getByRole('dialog').getByRole('alert')), /Debian 12/);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    },
  ],
  [
    'a guest that starts from its drives gets disks of its own, and a line that makes them',
    async ({ page }, _files, folder) => {
      await page.keyboard.press('n');
      await page.getByLabel('All on one page').check();
      await page.getByLabel('Name').fill('Installed');
      await button(page, 'New disk').click();
      await page.getByLabel('Size').fill('0.0001');
      await page.getByText('Size must be at least 1 MiB.').waitFor();
      await page.getByLabel('Size').fill('2');
      const iso = join(folder, 'install.iso');
      const image = Buffer.alloc(40 * 2048);
      image.write('\x01CD001\x01', 16 * 2048, 'latin1');
      image.write('INSTALLER', 16 * 2048 + 40, 'latin1');
      image.write('\x00CD001\x01EL TORITO SPECIFICATION', 17 * 2048, 'latin1');
      await page.getByLabel('CD', { exact: true }).fill(`${iso}.none`);
      await page.getByText(/install\.iso\.none: there is no such file/).waitFor();
      writeFileSync(iso, image);
      await page.getByLabel('CD', { exact: true }).fill(iso);
      await page.getByText(/INSTALLER.*bootable/).waitFor();
      const line = await textOf(page.getByTestId('line'));
      const disk = join(folder, 'home', 'disks', 'Installed.qcow2');
      assert.equal(
        line,
        `trivisor disk create ${disk} 2G --format qcow2 && trivisor create Installed --disk ${disk} --cdrom ${iso} --net nat`,
      );
      await button(page, 'Create').click();
      await page.getByRole('heading', { name: 'Installed' }).waitFor();
      assert.ok(existsSync(disk));
      await button(page, 'More actions').click();
      await page.getByRole('menuitem', { name: 'Remove…' }).click();
      await button(page, 'Remove').click();
      await page.getByRole('heading', { name: 'Debian 12' }).waitFor();
    },
  ],
  [
    'its settings can be changed while it is off, from the keyboard alone',
    async ({ page }) => {
      await button(page, 'More actions').focus();
      await page.keyboard.press('Enter');
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: 'Settings of Debian 12' });
      await dialog.waitFor();
      assert.ok(await button(page, 'Save').isDisabled(), 'nothing has been changed yet');
      await page.getByRole('spinbutton', { name: 'Memory in MiB' }).focus();
      await page.keyboard.press('Control+a');
      await page.keyboard.type('320');
      await page.keyboard.press('Enter');
      await dialog.waitFor({ state: 'detached' });
      await page.getByText('320\u00a0MiB', { exact: true }).waitFor();
    },
  ],
  [
    'every control has a name',
    async ({ page }) => {
      await page.keyboard.press('n');
      await page.getByLabel('All on one page').check();
      await page.getByRole('dialog').waitFor();
      const nameless = await page.locator('button, input').evaluateAll((controls) =>
        controls
          .filter((control) => {
            const { labels } = control as unknown as { labels: ArrayLike<unknown> | null };
            return !control.textContent?.trim() && !control.getAttribute('aria-label') && !labels?.length;
          })
          .map(({ outerHTML }) => outerHTML),
      );
      assert.deepEqual(nameless, []);
      await page.keyboard.press('Escape');
    },
  ],
  [
    'it starts, and its console is a window of its own',
    async (app, files) => {
      const { page } = app;
      await button(page, 'Start').click();
      await page.locator('[data-state=running]').waitFor();
      serial = await app.opened(() => button(page, 'Console').click());
      await waitForScreen(serial, files.prompt, files.bootMilliseconds);
    },
  ],
  [
    'what is typed reaches the guest, and its answer the console',
    async (_app, files) => {
      await serial.locator('.xterm-helper-textarea').focus();
      await serial.keyboard.type(files.typed);
      await serial.keyboard.press('Enter');
      await waitForScreen(serial, files.answer, 30_000);
    },
  ],
  [
    'its display is a window of its own that shows what the guest draws',
    async (app, files) => {
      await app.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
      display = await app.opened(() => button(app.page, 'Display').click());
      watch(display, broken);
      await waitForText(display, files.screen, 60_000);
      assert.match(await textOf(display.getByTestId('size')), /^\s*\d+ × \d+, text 80 × 25 · \d+\s%\s*$/);
    },
  ],
  [
    'what is typed at the display reaches the guest, and its answer the picture',
    async (_app, files) => {
      const screen = display.getByRole('application', { name: 'Display of Debian 12' });
      await screen.focus();
      await display.getByText(/Keys go to the guest/).waitFor();
      const before = await digest(display.locator('canvas'));
      await display.keyboard.type(files.typed);
      await display.keyboard.press('Enter');
      await waitForText(display, files.answer, 30_000);
      assert.notEqual(await digest(display.locator('canvas')), before);
      await display.keyboard.press('ControlRight');
      await display.getByText('Click the screen to type').waitFor();
    },
  ],
  [
    'its text is copied, and what is copied is typed',
    async (_app, files) => {
      // It is told for a moment only.
      const told = display.getByText('The screen’s text is copied.').waitFor();
      await Promise.all([told, button(display, 'Copy text').click()]);
      const copied = await display.evaluate('navigator.clipboard.readText()');
      assert.match(String(copied), files.answer);
      await display.evaluate(`navigator.clipboard.writeText(${JSON.stringify(`${files.pasted}\n`)})`);
      await button(display, 'Keys').click();
      await display.getByRole('menuitem', { name: /Type the clipboard/ }).click();
      await waitForText(display, files.pastedAnswer, 30_000);
    },
  ],
  [
    'a screenshot is saved, and the picture is scaled as one likes',
    async (_app, _files, folder) => {
      const [saved] = await Promise.all([display.waitForEvent('download'), button(display, 'Screenshot').click()]);
      assert.match(saved.suggestedFilename(), /^Debian 12 .*\.png$/);
      const file = join(folder, 'saved.png');
      await saved.saveAs(file);
      const png = readFileSync(file);
      assert.equal(png.toString('latin1', 1, 4), 'PNG');
      assert.ok(png.readUInt32BE(16) >= 640);
      await display.setViewportSize({ width: 1000, height: 700 });
      for (const [name, shown] of [
        ['Original size', '100'],
        ['Fit the window', /^1[1-9]\d$/],
        ['Whole multiples', '100'],
      ] as const) {
        await button(display, 'View').click();
        await display.getByRole('menuitemradio', { name, exact: true }).click();
        await until(
          async () => new RegExp(shown).test(/(\d+)\s%/.exec(await textOf(display.getByTestId('size')))![1]!),
          5000,
        );
      }
    },
  ],
  [
    'the chart moves while the guest works',
    async ({ page }, files) => {
      await serial.keyboard.type(files.work);
      await serial.keyboard.press('Enter');
      const figure = cpuChart(page);
      const before = await picture(page);
      // Not by a script in the page: its policy lets none be evaluated.
      const guestPercent = async () =>
        Number.parseFloat((await figure.getAttribute('aria-label'))?.match(/Guest (\S+)/)?.[1] ?? '0');
      await until(async () => (await guestPercent()) > 5, 20_000);
      assert.match(
        (await figure.getAttribute('aria-label')) ?? '',
        /^CPU: Guest \S+\s%, Hypervisor \S+\s%, Steal \S+\s%$/,
      );
      await until(async () => Number(await figure.getAttribute('data-samples')) >= 3, 10_000);
      await until(async () => (await picture(page)) !== before, 10_000);
      if (process.env.TRIVISOR_SCREENSHOTS) await takeScreenshots(page, serial);
    },
  ],
  [
    'quitting with a guest in memory asks first',
    async (app, _files, _folder, t) => {
      if (!app.quitAndCancel) return t.skip('a tab may be closed at any time, and Electron’s box is out of reach');
      assert.equal(await app.quitAndCancel(), 'Debian 12 is running.');
      await app.page.locator('[data-state=running]').waitFor();
    },
  ],
  [
    'pause and resume',
    async ({ page }) => {
      await button(page, 'Pause').click();
      await page.locator('[data-state=paused]').waitFor();
      await display.getByText('Paused', { exact: true }).last().waitFor();
      await button(display, 'Resume').click();
      await page.locator('[data-state=running]').waitFor();
    },
  ],
  [
    'it is saved, and goes on where it was',
    async ({ page }) => {
      await button(page, 'Save state').click();
      await page.getByRole('status').filter({ hasText: 'Saved' }).waitFor();
      await display.getByText('Saved', { exact: true }).last().waitFor();
      assert.equal(await page.getByRole('menuitem', { name: 'Settings…' }).count(), 0);
      await button(page, 'Resume').click();
      await page.locator('[data-state=running]').waitFor();
      await display.getByText('Saved', { exact: true }).waitFor({ state: 'detached' });
    },
  ],
  [
    'the host’s reserve is shown and set',
    async ({ page }) => {
      await page.getByRole('button', { name: 'Reserve…' }).click();
      const question = page.getByRole('dialog', { name: 'This host’s reserve' });
      const share = question.getByRole('spinbutton', { name: /Processors/ });
      await share.fill('95');
      await question.getByText('It must be at most 90.').waitFor();
      assert.equal(await question.getByRole('button', { name: 'Set' }).isDisabled(), true);
      await share.fill('15');
      await question.getByRole('button', { name: 'Set' }).click();
      await question.waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Reserve…' }).click();
      await until(async () => (await share.inputValue()) === '15', 5000);
      await question.getByRole('button', { name: 'Cancel' }).click();
    },
  ],
  [
    'a snapshot is taken while it runs, and is one to go back to when it is off',
    async ({ page }) => {
      const card = page.getByRole('region', { name: 'Snapshots' });
      await card.getByRole('button', { name: 'Take…' }).click();
      await page.getByRole('textbox', { name: 'Name' }).fill('Before the storm');
      await page.getByRole('button', { name: 'Take', exact: true }).click();
      await card.getByText('What the guest is now', { exact: true }).waitFor();
      await page.locator('[data-state=running]').waitFor();
      const menu = card.getByRole('button', { name: 'What to do with Before the storm' });
      await menu.click();
      assert.equal(await page.getByRole('menuitem', { name: 'Go back to it…' }).isDisabled(), true);
      await page.keyboard.press('Escape');
      await button(page, 'Save state').click();
      await page.getByRole('status').filter({ hasText: 'Saved' }).waitFor();
      await menu.click();
      await page.getByRole('menuitem', { name: 'Go back to it…' }).click();
      await page
        .getByRole('dialog', { name: 'Go back to Before the storm?' })
        .getByRole('button', { name: 'Go back' })
        .click();
      await card.getByText('Before the storm').waitFor();
      await menu.click();
      await page.getByRole('menuitem', { name: 'Delete…' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
      await card.getByText('What the guest is now can be kept', { exact: false }).waitFor();
      await button(page, 'Resume').click();
      await page.locator('[data-state=running]').waitFor();
    },
  ],
  [
    'forcing it to stop is asked about, and can be thought better of',
    async ({ page }) => {
      await button(page, 'Force stop').click();
      const question = page.getByRole('dialog', { name: 'Force Debian 12 to stop?' });
      await question.waitFor();
      await question.getByRole('button', { name: 'Cancel' }).click();
      await question.waitFor({ state: 'detached' });
      assert.equal(await page.locator('[data-state]').getAttribute('data-state'), 'running');
    },
  ],
  [
    'asked to stop, it powers off',
    async ({ page }) => {
      await button(page, 'Stop').click();
      await page.locator('[data-state=off]').waitFor({ timeout: 60_000 });
      assert.match(await textOf(page.locator('[data-state]')), /Powered off/);
      await display.getByText('Powered off', { exact: true }).waitFor();
      await display.close();
    },
  ],
  [
    'it is started anew from its console, and stopped by force',
    async ({ page }) => {
      await button(serial, 'Start').click();
      await page.locator('[data-state=running]').waitFor();
      await button(page, 'Force stop').click();
      await page.getByRole('dialog').getByRole('button', { name: 'Force stop' }).click();
      await page.locator('[data-state=off]').waitFor();
      assert.match(await textOf(page.locator('[data-state]')), /Stopped by force/);
      await button(serial, 'Start').waitFor();
    },
  ],
  [
    'it is removed, and the page welcomes again',
    async ({ page }) => {
      await serial.close();
      await button(page, 'More actions').click();
      await page.getByRole('menuitem', { name: 'Remove…' }).click();
      await button(page, 'Remove').click();
      await page.getByRole('heading', { name: 'Welcome to Trivisor' }).waitFor();
    },
  ],
  [
    'one click on the welcome page brings a Linux guest and starts it',
    async ({ page }, _files, _folder, t) => {
      if (noDebian) return t.skip(noDebian);
      await button(page, /Create and start 64-bit Linux/).click();
      // The kernel is fetched here if no other test has fetched it yet.
      await page.locator('[data-state=running]').waitFor({ timeout: 300_000 });
      await button(page, 'Force stop').click();
      await page.getByRole('dialog').getByRole('button', { name: 'Force stop' }).click();
      await page.locator('[data-state=off]').waitFor();
    },
  ],
];
