import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import { drivers, type Running } from './drivers.ts';

// What a person does with the devices of a guest: media, network cards, serial ports, sound, shared folders, and a host that is
// full; and with several guests. The guest is a small one that shows what comes to it, and does what it is told on its second serial port.

const [driver] = drivers;
const skip = driver!.unavailable ?? false;
const folder = mkdtempSync(join(tmpdir(), 'trivisor-devices-'));
const shots = process.env.TRIVISOR_LOOK;
let app: Running;
const broken: string[] = [];

before(async () => {
  if (skip) return;
  await build();
  const machineModule = new URL('../../main/guests/fake-machine.ts', import.meta.url).href;
  app = await driver!.launch({ home: join(folder, 'home'), machineModule });
  watch(app.page);
  for (const [index, name] of ['first.iso', 'second.iso', 'floppy.img'].entries())
    writeFileSync(join(folder, name), Buffer.alloc(2048 * (20 + index)));
});
after(async () => {
  await app?.close();
  rmSync(folder, { recursive: true, force: true });
});

function watch(page: Page): Page {
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => broken.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') broken.push(message.text());
  });
  return page;
}

const button = (at: Page | Locator, name: string | RegExp) =>
  at.getByRole('button', { name, exact: typeof name === 'string' });

/** A picture for whoever wants to look at what is tested. */
async function look(page: Page, name: string): Promise<void> {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** Begins a guest of this script in the dialog; the answer is the dialog, to be filled in further. */
async function begin(name: string, ...script: string[]): Promise<Locator> {
  const { page } = app;
  const kernel = join(folder, `${name}.kernel`);
  writeFileSync(kernel, fakeKernel(script));
  await button(page, 'New guest').click();
  await page.getByLabel('All on one page').check();
  const dialog = page.getByRole('dialog', { name: 'New guest' });
  await dialog.getByLabel('Name', { exact: true }).fill(name);
  await dialog.getByLabel('A kernel').check();
  await dialog.getByRole('textbox', { name: 'Kernel', exact: true }).fill(kernel);
  return dialog;
}

/** Creates the guest of the dialog. */
async function create(dialog: Locator, name: string): Promise<void> {
  await button(dialog, 'Create').click();
  await app.page.getByRole('heading', { name }).waitFor();
}

async function start(): Promise<void> {
  await button(app.page, 'Start').click();
  await app.page.locator('[data-state=running]').waitFor();
}

async function stop(): Promise<void> {
  await button(app.page, 'Force stop').click();
  await app.page.getByRole('dialog').getByRole('button', { name: 'Force stop' }).click();
  await app.page.locator('[data-state=off]').waitFor();
}

async function openDisplay(): Promise<Page> {
  const display = watch(await app.opened(() => button(app.page, 'Display').click()));
  await display.locator('[data-frames]:not([data-frames="0"])').waitFor();
  return display;
}

async function openSecondConsole(): Promise<Page> {
  const opened = await app.opened(async () => {
    await button(app.page, 'More actions').click();
    await app.page.getByRole('menuitem', { name: 'Console of the second serial port' }).click();
  });
  return watch(opened);
}

/** Types a line at a console, and waits until the guest has answered it. */
async function tell(console: Page, line: string): Promise<void> {
  await console.locator('.xterm-helper-textarea').focus();
  await console.keyboard.type(line);
  await console.locator('.xterm-rows').getByText(line).last().waitFor();
  await console.keyboard.press('Enter');
}

/** What the guest shows, as its window tells it. */
async function waitForScreen(display: Page, pattern: RegExp): Promise<void> {
  await display.getByTestId('screen-text').filter({ hasText: pattern }).waitFor({ state: 'attached' });
}

/** Chooses a file of the test's folder in the file dialog, from the keyboard alone. */
async function choose(page: Page, file: string): Promise<void> {
  const chooser = page.getByRole('dialog', { name: /^Image for the/ });
  const entry = chooser.getByRole('list', { name: 'Files' }).getByRole('button', { name: file });
  await entry.focus();
  await page.keyboard.press('Space');
  await button(chooser, 'Choose').focus();
  await page.keyboard.press('Enter');
}

test('network cards are chosen with the guest, and told by its line and its settings', { skip }, async () => {
  const { page } = app;
  const dialog = await begin('Networked', 'input');
  const line = () => dialog.getByTestId('line').textContent();
  assert.match((await line())!, / --net nat$/, 'a new guest has a card, as a PC has');
  const first = dialog.getByRole('group', { name: 'Network card 1', exact: true });
  await button(first, 'Port forward').click();
  assert.match((await line())!, / --net nat,forward=2222:22$/);
  await first.getByLabel('Guest’s port').fill('');
  await first.getByText(/^The guest’s port /).waitFor();
  await first.getByLabel('Guest’s port').fill('80');
  await button(dialog, 'Network card').click();
  const second = dialog.getByRole('group', { name: 'Network card 2' });
  await second.getByLabel('Plugged into').selectOption({ label: 'Internal network' });
  await second.getByLabel('Network’s name').fill('not a name');
  await second.getByText('The network needs a name').waitFor();
  await second.getByLabel('Network’s name').fill('lab');
  await second.getByLabel('Model').selectOption({ label: 'NE2000, PCI' });
  await second.getByText('Address, recording and boot ROM').click();
  await second.getByLabel('Address', { exact: true }).fill('03:00');
  await second.getByText(/^The address must be the address of a card/).waitFor();
  await second.getByLabel('Address', { exact: true }).fill('02-00-00-00-00-0A');
  await second.getByLabel('Recording', { exact: true }).fill(join(folder, 'frames.pcapng'));
  const card = `internal:lab,model=ne2k_pci,mac=02:00:00:00:00:0a,capture=${join(folder, 'frames.pcapng')}`;
  assert.ok((await line())!.endsWith(` --net nat,forward=2222:80 --net ${card}`), (await line())!);
  await first.scrollIntoViewIfNeeded();
  await look(page, 'dialog-network');
  await dialog.getByLabel('Deterministic').check();
  await dialog.getByText('A deterministic guest has no network').waitFor();
  assert.ok((await line())!.endsWith(' --deterministic'));
  await dialog.getByLabel('Deterministic').uncheck();
  await dialog.getByLabel('CD drive’s controller').selectOption({ label: 'AHCI (SATA)' });
  await dialog.getByLabel('Printer', { exact: true }).fill(join(folder, 'printed.txt'));
  assert.match((await line())!, / --cdrom-interface ahci --net .* --printer \S+printed\.txt$/);
  await dialog.getByRole('heading', { name: 'Expert' }).scrollIntoViewIfNeeded();
  await look(page, 'dialog-expert');
  await create(dialog, 'Networked');
  const settings = page.getByRole('region', { name: 'Settings' });
  await settings.getByText('NAT · Intel PRO/1000 (e1000) · 127.0.0.1:2222 → 80').waitFor();
  await settings.getByText('Internal network lab · NE2000, PCI · 02:00:00:00:00:0a').waitFor();
  await settings.getByText('AHCI (SATA)').waitFor();
  // A guest that is off: its cards are changed in the same rows.
  await button(page, 'More actions').click();
  await page.getByRole('menuitem', { name: 'Settings…' }).click();
  const edit = page.getByRole('dialog', { name: 'Settings of Networked' });
  await button(edit, 'Take network card 1 out').click();
  await edit.getByLabel('Network’s name').fill('dmz');
  await button(edit, 'Save').click();
  await settings.getByText('Internal network dmz · NE2000, PCI · 02:00:00:00:00:0a').waitFor();
  assert.equal(await settings.getByText('NAT · Intel').count(), 0);
});

test('media of a running guest are changed from its details and its display, by force where it has locked its drive', {
  skip,
}, async () => {
  const { page } = app;
  const dialog = await begin('Drives', 'pointer none', 'input');
  await dialog.getByLabel('CD', { exact: true }).fill(join(folder, 'first.iso'));
  await create(dialog, 'Drives');
  await start();
  const display = await openDisplay();
  const serial = await openSecondConsole();
  const media = page.getByRole('region', { name: 'Removable media' });
  const cd = media.getByRole('listitem', { name: 'CD drive' });
  await cd.getByText('first.iso').waitFor();

  await button(media, 'Insert a floppy in A').click();
  await page.getByRole('dialog').waitFor();
  await button(page.getByRole('dialog'), 'Cancel').click();
  // From its display, by the keyboard alone.
  await button(display, 'Drives').focus();
  await display.keyboard.press('Enter');
  await look(display, 'display-drives');
  await display.keyboard.press('Enter');
  // It is told for a moment only.
  await Promise.all([display.getByText('second.iso is in the CD drive now.').waitFor(), choose(display, 'second.iso')]);
  await waitForScreen(display, /cdrom 43008/);
  await cd.getByText('second.iso').waitFor();
  assert.equal(
    await display.evaluate('document.activeElement === document.querySelector("[role=application]")'),
    true,
    'the guest has the keyboard again',
  );

  await tell(serial, 'lock');
  await button(media, 'Eject the CD').click();
  const question = page.getByRole('dialog', { name: 'The guest has locked its CD drive' });
  await question.waitFor();
  await look(page, 'media-locked');
  await button(question, 'Cancel').click();
  await question.waitFor({ state: 'detached' });
  await cd.getByText('second.iso').waitFor();
  await button(media, 'Eject the CD').click();
  await button(question, 'Eject by force').click();
  await cd.getByText('Empty').waitFor();
  await waitForScreen(display, /cdrom empty/);
  assert.ok(await button(media, 'Eject the CD').isDisabled());

  await tell(serial, 'unlock');
  await button(media, 'Insert a CD').click();
  await choose(page, 'first.iso');
  await cd.getByText('first.iso').waitFor();
  await Promise.all([
    display.getByText('The guest has ejected first.iso.').waitFor(),
    cd.getByText('The guest ejected first.iso').waitFor(),
    tell(serial, 'eject'),
  ]);
  await look(page, 'media-ejected');
  await look(serial, 'second-console');
  await button(media, 'Insert first.iso again').click();
  await cd.getByTitle(join(folder, 'first.iso')).waitFor();

  writeFileSync(join(folder, 'large.img'), Buffer.alloc(4 << 20));
  await button(media, 'Insert a floppy in A').click();
  await choose(page, 'large.img');
  await media.getByRole('alert').filter({ hasText: 'no floppy disk' }).waitFor();
  await serial.close();
  await display.close();
  await stop();
});

test('a guest whose host is full says so in the list, its details and its window, and is tried again', {
  skip,
}, async () => {
  const { page } = app;
  const full = join(folder, 'full');
  writeFileSync(full, '');
  await create(await begin('Full', 'show here', `full ${full}`, 'input'), 'Full');
  await button(page, 'Start').click();
  await page.locator('[data-state=paused]').waitFor();
  await page
    .getByRole('tree', { name: 'Guests' })
    .getByRole('treeitem', { name: /Full.*Paused: host full/ })
    .waitFor();
  await page
    .getByRole('alert')
    .filter({ hasText: 'the disk of this host is full' })
    .filter({ hasText: 'Nothing is lost' })
    .waitFor();
  await look(page, 'full-details');
  await button(page, 'Try again').click();
  await page.getByRole('alert').filter({ hasText: 'There is still no room.' }).waitFor();
  const display = watch(await app.opened(() => button(page, 'Display').click()));
  await display.getByText('Paused: the host is full').waitFor();
  await look(display, 'full-display');
  rmSync(full);
  await button(display, 'Try again').click();
  await page.locator('[data-state=running]').waitFor();
  await display.getByText('Paused: the host is full').waitFor({ state: 'detached' });
  assert.equal(await page.getByText('Nothing is lost').count(), 0);
  await display.close();
  await stop();
});

/** Hears what a page plays: its loudest frequency (hertz) and its level (0 to 1) at this moment. */
const LISTEN = `(() => {
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const analyser = target.context.createAnalyser();
      analyser.fftSize = 8192;
      connect.call(this, analyser);
      window.heardSound = () => {
        const bins = new Float32Array(analyser.frequencyBinCount);
        analyser.getFloatFrequencyData(bins);
        const samples = new Float32Array(analyser.fftSize);
        analyser.getFloatTimeDomainData(samples);
        const hertz = (bins.indexOf(Math.max(...bins)) * target.context.sampleRate) / analyser.fftSize;
        return { hertz, level: Math.max(...samples) };
      };
    }
    return connect.call(this, target, ...rest);
  };
})()`;

test('what a guest plays is heard in its display, as loud as one likes, and made only while somebody listens', {
  skip,
}, async () => {
  const { page } = app;
  await create(await begin('Player', 'pointer none', 'tone 1000'), 'Player');
  await start();
  await page.context().addInitScript(LISTEN);
  const display = await openDisplay();
  const heard = async () =>
    (await display.evaluate('window.heardSound?.() ?? { hertz: 0, level: 0 }')) as { hertz: number; level: number };
  const waitForLevel = async (isRight: (level: number, hertz: number) => boolean) => {
    let now = { level: -1, hertz: -1 };
    for (let round = 0; round < 300; round++) {
      now = await heard();
      if (isRight(now.level, now.hertz)) return;
      await display.waitForTimeout(100);
    }
    assert.fail(`the level is ${now.level}, at ${now.hertz} Hz`);
  };
  assert.doesNotMatch((await display.getByTestId('screen-text').textContent()) ?? '', /heard/, 'no sound before');
  await button(display, 'Sound').focus();
  await display.keyboard.press('Enter');
  await display.getByText('The guest plays sound').waitFor();
  await waitForScreen(display, /heard/);
  // A sine of 8000 of 32768.
  await waitForLevel((level, hertz) => level > 0.23 && level < 0.26 && Math.abs(hertz - 1000) < 12);
  await look(display, 'display-sound');
  const volume = display.getByRole('slider', { name: 'Volume' });
  for (let step = 0; step < 10; step++) await volume.press('ArrowLeft');
  await display.getByText('50 %').waitFor();
  await waitForLevel((level) => level > 0.05 && level < 0.07);
  await display.getByLabel('Mute').check();
  await display.getByText('Sound is off').waitFor();
  await waitForScreen(display, /unheard/);
  await waitForLevel((level) => level === 0);
  await display.getByLabel('Mute').uncheck();
  await waitForLevel((level) => level > 0.05);
  await display.keyboard.press('Escape');
  await display.getByRole('dialog', { name: 'Sound' }).waitFor({ state: 'detached' });
  await display.close();
  // Whoever opens it next finds what the guest was told when the window went.
  const again = await openDisplay();
  await waitForScreen(again, /heard\s*unheard\s*heard\s*unheard/);
  await again.close();
  await stop();
});

test('folders are shared by the dialog, and chosen as folders', { skip }, async () => {
  const { page } = app;
  const shared = join(folder, 'shared folder');
  mkdirSync(join(shared, 'inner'), { recursive: true });
  const dialog = await begin('Sharer', 'input');
  const line = () => dialog.getByTestId('line').textContent();
  await button(dialog, 'Shared folder').click();
  const row = dialog.getByRole('group', { name: 'Shared folder 1' });
  await row.getByText('The share needs a folder.').waitFor();
  await row.getByLabel('Folder', { exact: true }).fill(shared);
  await button(row, 'Choose the folder: Folder').click();
  const chooser = page.getByRole('dialog', { name: 'Folder' });
  await chooser.getByRole('button', { name: 'inner' }).click();
  await chooser.getByText(join(shared, 'inner')).waitFor();
  await look(page, 'choose-folder');
  await button(chooser, 'Choose this folder').click();
  await row.getByLabel('Tag').fill('not a tag');
  await row.getByText(/^The tag must be a tag to mount it by/).waitFor();
  await row.getByLabel('Tag').fill('work');
  await row.getByLabel('Read-only').check();
  assert.ok((await line())!.endsWith(` --share '${join(shared, 'inner')},tag=work,readonly'`), (await line())!);
  await row.scrollIntoViewIfNeeded();
  await look(page, 'dialog-share');
  await create(dialog, 'Sharer');
  const settings = page.getByRole('region', { name: 'Settings' });
  await settings.getByText('as work, read-only').waitFor();
});

test('a page shows what the guests that run want, and who comes and goes', { skip }, async () => {
  const { page } = app;
  await create(await begin('Busy', 'spin'), 'Busy');
  await start();
  await create(await begin('Quiet', 'input'), 'Quiet');
  await start();
  await button(page, /^Guests together/).click();
  const guests = page.getByRole('region', { name: 'Running guests' });
  const row = (name: string) => guests.getByRole('row', { name: new RegExp(`^${name}`) });
  const wants = async (name: string) =>
    Number(
      await row(name)
        .getByRole('meter', { name: `CPU that ${name} wants` })
        .getAttribute('aria-valuenow'),
    );
  await row('Quiet').waitFor();
  // A machine of the tests that is busy says that it executes all the time.
  for (let round = 0; (await wants('Busy')) < 20; round++) {
    assert.ok(round < 100, 'the page shows what was measured');
    await page.waitForTimeout(200);
  }
  assert.ok((await wants('Quiet')) < 20);
  await page.getByRole('region', { name: 'This host' }).getByRole('meter', { name: 'CPU in use' }).waitFor();
  await look(page, 'peers');
  await button(guests, 'Quiet').click();
  await page.getByRole('heading', { name: 'Quiet' }).waitFor();
  await stop();
  await button(page, /^Guests together/).click();
  await row('Quiet').waitFor({ state: 'detached' });
  await button(guests, 'Busy').click();
  await stop();
  await button(page, /^Guests together/).click();
  await guests.getByText('No guest is running.').waitFor();
});

test('the pages break no rule and throw nothing', { skip }, () => assert.deepEqual(broken, []));
