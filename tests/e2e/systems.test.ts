import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { readPicture } from '../guests/picture.ts';
import { freeDosFloppy, noFreeDos } from '../guests/systems/freedos.ts';
import { installerCd, noIsolinux } from '../guests/systems/isolinux.ts';
import { bandsOf, type Colour, difference, LIST_LINE, MENU_LINE } from '../guests/systems/picture.ts';
import type { Picture } from '../guests/systems/system-guest.ts';
import { nightly } from '../guests/systems/system-test.ts';
import { drivers, type Running } from './drivers.ts';

// Real systems in the app's own windows: made in its dialog, started, seen and worked with as a person would.

/** Milliseconds: a noisy machine is given several times what it takes. */
const BOOT = 120_000;
const INSTALLER = 900_000;
const ANSWER = 60_000;

const [driver] = drivers;
const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-systems-'));
let app: Running;
before(async () => {
  if (driver!.unavailable) return;
  await build();
  app = await driver!.launch({ home: join(folder, 'home'), machineModule: undefined });
  app.page.setDefaultTimeout(20_000);
});
after(async () => {
  await app?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Drives {
  cd?: string;
  floppy?: string;
  memoryMiB: number;
}

/** Creates a guest with these drives in the dialog, starts it and opens its display. */
async function start(name: string, { cd, floppy, memoryMiB }: Drives): Promise<Page> {
  const { page } = app;
  await page.getByRole('button', { name: 'New guest' }).click();
  await page.getByLabel('All on one page').check();
  await page.getByLabel('Name').fill(name);
  await page.getByRole('spinbutton', { name: 'Memory in MiB' }).fill(String(memoryMiB));
  if (cd) await page.getByLabel('CD', { exact: true }).fill(cd);
  if (floppy) await page.getByLabel('Floppy', { exact: true }).fill(floppy);
  // What the host found in the file.
  await page.getByText(cd ? /bootable/ : '1440 KiB').waitFor();
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('heading', { name }).waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const display = await app.opened(() => page.getByRole('button', { name: 'Display', exact: true }).click());
  display.setDefaultTimeout(20_000);
  await display.locator('[data-frames]:not([data-frames="0"])').waitFor();
  return display;
}

async function waitForText(display: Page, pattern: RegExp, milliseconds: number): Promise<void> {
  const rows = display.getByTestId('screen-text').locator('div');
  const deadline = Date.now() + milliseconds;
  for (;;) {
    const text = (await rows.allTextContents()).join('\n');
    if (pattern.test(text)) return;
    if (Date.now() > deadline) assert.fail(`${pattern} did not appear on the display:\n${text}`);
    await sleep(250);
  }
}

/** What a person gets who saves a screenshot. */
async function screenshot(display: Page): Promise<Picture> {
  const button = display.getByRole('button', { name: 'Screenshot', exact: true });
  const [saved] = await Promise.all([display.waitForEvent('download'), button.click()]);
  const file = join(folder, 'screenshot.png');
  await saved.saveAs(file);
  return readPicture(file);
}

/** Waits until a screenshot is as `look` wants it, which answers undefined until it is. `again` is done before each. */
async function waitForPicture<Found>(
  display: Page,
  what: string,
  milliseconds: number,
  look: (picture: Picture) => Found | undefined,
  again = async () => {},
): Promise<Found> {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    await again();
    const found = look(await screenshot(display));
    if (found !== undefined) return found;
    if (Date.now() > deadline) {
      const file = join(tmpdir(), 'trivisor-e2e-system.png');
      copyFileSync(join(folder, 'screenshot.png'), file);
      assert.fail(`${what} did not appear on the display; what it showed: ${file}`);
    }
    await sleep(1000);
  }
}

/** The one line of a colour, as a list or a menu marks what is chosen. */
const chosen = (colour: Colour) => (picture: Picture) => {
  const [line, ...others] = bandsOf(picture, colour);
  return line && others.length === 0 ? { picture, line } : undefined;
};

/** The picture of the README, taken anew where TRIVISOR_SCREENSHOTS is set. */
async function keep(display: Page, name: string): Promise<void> {
  if (process.env.TRIVISOR_SCREENSHOTS)
    await display.screenshot({ path: join(import.meta.dirname, 'screenshots', `${name}.png`) });
}

const screenOf = (display: Page) => display.getByRole('application');

/** The screen gets the focus first, which the screenshot's button has taken. */
async function press(display: Page, key: string): Promise<void> {
  await screenOf(display).focus();
  await display.keyboard.press(key);
}

async function forceStop(display: Page): Promise<void> {
  const { page } = app;
  await page.getByRole('button', { name: 'Force stop' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Force stop' }).click();
  await page.locator('[data-state=off]').waitFor();
  await display.close();
}

test('FreeDOS starts from a floppy in a guest’s window, and a program runs there', {
  skip: noFreeDos || (driver!.unavailable ?? false),
}, async () => {
  // A copy, so that no picture of the app shows where this machine keeps its cache.
  const floppy = join(folder, 'freedos.img');
  copyFileSync(await freeDosFloppy(), floppy);
  const display = await start('FreeDOS', { floppy, memoryMiB: 16 });
  await waitForText(display, /A:\\>\s*$/, BOOT);
  await screenOf(display).focus();
  await display.keyboard.type('ver\nsum\n', { delay: 40 });
  await waitForText(display, /FreeCom version[\s\S]*^The sum is 5050 by DOS\.$/im, ANSWER);
  await forceStop(display);
});

test('Debian’s graphical installer is moved by keyboard and pointer in a guest’s window', {
  skip: noIsolinux || nightly || (driver!.unavailable ?? false),
}, async () => {
  const cd = join(folder, 'installer.iso');
  copyFileSync(await installerCd('i386'), cd);
  const display = await start('Installer', { cd, memoryMiB: 768 });
  await waitForPicture(display, 'The boot menu', BOOT, chosen(MENU_LINE));
  await press(display, 'Enter');
  const page = await waitForPicture(display, 'The first page', INSTALLER, chosen(LIST_LINE));
  // Pressed again while the page, shown but not yet finished, takes no keys.
  const below = await waitForPicture(
    display,
    'The next language',
    ANSWER,
    (picture) => {
      const now = chosen(LIST_LINE)(picture);
      return now && now.line.top >= page.line.bottom - 4 ? now : undefined;
    },
    () => press(display, 'ArrowDown'),
  );
  // A click on the line that was chosen first, where the window shows it.
  const canvas = (await display.locator('canvas').boundingBox())!;
  const { width, height } = below.picture;
  const at = [canvas.x + canvas.width / 2, canvas.y + ((page.line.top + 10) / height) * canvas.height] as const;
  await display.mouse.move(at[0] - 20, at[1]);
  await display.mouse.move(...at);
  await display.mouse.click(...at);
  await waitForPicture(display, 'The first language again', ANSWER, (picture) => {
    const now = chosen(LIST_LINE)(picture);
    return now && Math.abs(now.line.top - page.line.top) <= 4 && difference(below.picture, picture) ? now : undefined;
  });
  assert.ok(width >= 800 && height >= 600, `${width}x${height}`);
  await keep(display, 'installer');
  await forceStop(display);
});
