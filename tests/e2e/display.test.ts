import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import type { PointerKind } from '../../native-free-core/hypervisor/guest-input.ts';
import { drivers, type Running } from './drivers.ts';

// A guest that shows every key and movement it gets, so that a window's own part can be seen: who gets what, and when.

const [driver] = drivers;
const folder = mkdtempSync(join(tmpdir(), 'trivisor-display-'));
let app: Running;
before(async () => {
  if (driver!.unavailable) return;
  await build();
  const machineModule = new URL('../../main/guests/fake-machine.ts', import.meta.url).href;
  app = await driver!.launch({ home: join(folder, 'home'), machineModule });
  app.page.setDefaultTimeout(20_000);
});
after(async () => {
  await app?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Creates and starts a guest that listens to such a pointer, and opens its display, which knows that. */
async function open(name: string, pointer: PointerKind): Promise<Page> {
  const { page } = app;
  const kernel = join(folder, name);
  writeFileSync(kernel, fakeKernel([`pointer ${pointer}`, 'input']));
  await page.getByRole('button', { name: 'New guest' }).click();
  await page.getByLabel('All on one page').check();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('A kernel').check();
  await page.getByRole('textbox', { name: 'Kernel', exact: true }).fill(kernel);
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('heading', { name }).waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const display = await app.opened(() => page.getByRole('button', { name: 'Display', exact: true }).click());
  display.setDefaultTimeout(20_000);
  await display.locator(`[data-way=${pointer}]:not([data-frames="0"])`).waitFor();
  return display;
}

/** What the guest has seen, read where a person who cannot see the picture reads it: from the copied text. */
async function seen(display: Page): Promise<string[]> {
  await display.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await display.evaluate('navigator.clipboard.writeText("")');
  // It is told for a moment only.
  const told = display.getByText('The screen’s text is copied.').waitFor();
  await Promise.all([told, display.getByRole('button', { name: 'Copy text' }).click()]);
  return String(await display.evaluate('navigator.clipboard.readText()'))
    .split('\n')
    .filter((row) => row !== '');
}

async function waitForSeen(display: Page, row: RegExp): Promise<string[]> {
  let rows: string[] = [];
  for (let round = 0; round < 200; round++) {
    rows = await seen(display);
    if (rows.some((text) => row.test(text))) return rows;
    await sleep(100);
  }
  return assert.fail(`${row} was never seen:\n${rows.join('\n')}`);
}

/**
 * Has the page record what it was told of movements while it held the pointer, and how much of that was before the right
 * button was pressed: a browser may add movements of its own to those of a test.
 */
const RECORD_MOVEMENT = `
  globalThis.recorded = { held: false, sum: [0, 0], before: null };
  document.addEventListener('pointerlockchange', () => (recorded.held = document.pointerLockElement !== null));
  addEventListener('pointermove', ({ movementX, movementY }) => {
    if (recorded.held) recorded.sum = [recorded.sum[0] + movementX, recorded.sum[1] + movementY];
  }, true);
  addEventListener('pointerdown', ({ button }) => {
    if (button === 2) recorded.before = recorded.sum.map((counts) => Math.trunc(counts) || 0);
  }, true);`;

/** All that these rows tell of movements. */
function movement(rows: readonly string[]): [number, number] {
  const moves = rows.filter((row) => row.startsWith('move ')).map((row) => row.split(' ').slice(1).map(Number));
  return [moves.reduce((sum, [dx]) => sum + dx!, 0), moves.reduce((sum, [, dy]) => sum + dy!, 0)];
}

const screenOf = (display: Page) => display.getByRole('application');
const locked = (display: Page) => display.evaluate('document.pointerLockElement !== null');

test('keys go to the guest while its screen has the focus, and are released when it loses it', {
  skip: driver!.unavailable ?? false,
}, async () => {
  const display = await open('Keys', 'none');
  await screenOf(display).focus();
  await display.keyboard.press('Tab');
  await display.keyboard.down('ShiftLeft');
  await display.keyboard.down('KeyA');
  await display.getByRole('button', { name: 'Copy text' }).focus();
  await display.keyboard.up('KeyA');
  await display.keyboard.up('ShiftLeft');
  const rows = await waitForSeen(display, /^up ShiftLeft$/);
  assert.deepEqual(rows, ['down Tab', 'up Tab', 'down ShiftLeft', 'down KeyA', 'up KeyA', 'up ShiftLeft']);
  // The menu gives what the host would keep; the host key alone takes the keyboard back.
  await display.getByRole('button', { name: 'Keys', exact: true }).click();
  await display.getByRole('menuitem', { name: 'Ctrl-Alt-F7' }).click();
  await waitForSeen(display, /^typed \+ControlLeft\+AltLeft\+F7-F7-AltLeft-ControlLeft$/);
  await screenOf(display).focus();
  await display.keyboard.press('ControlRight');
  await display.getByText('Click the screen to type').waitFor();
  await display.close();
});

test('full screen shows the guest alone, keys go on to it, and the host key with F leaves it', {
  skip: driver!.unavailable ?? false,
}, async () => {
  const display = await open('Full screen', 'none');
  const isFull = (wanted: boolean) =>
    display.waitForFunction(`(document.fullscreenElement !== null) === ${wanted}`, undefined, { polling: 50 });
  await display.getByRole('button', { name: 'Full screen' }).click();
  await isFull(true);
  await display.getByRole('toolbar', { name: 'Display' }).waitFor({ state: 'hidden' });
  // The screen has the keyboard, and reaches from edge to edge.
  const box = (await screenOf(display).boundingBox())!;
  const page = (await display.evaluate('({ width: innerWidth, height: innerHeight })')) as typeof box;
  assert.ok(box.width === page.width || box.height === page.height, JSON.stringify({ box, page }));
  await display.keyboard.press('KeyG');
  await display.keyboard.down('ControlRight');
  await display.keyboard.press('KeyF');
  await display.keyboard.up('ControlRight');
  await isFull(false);
  await display.getByRole('toolbar', { name: 'Display' }).waitFor();
  const rows = await waitForSeen(display, /^up KeyG$/);
  assert.deepEqual(rows, ['down KeyG', 'up KeyG'], 'the host key and what is pressed with it are no keys of the guest');
  await display.close();
});

test('a guest with a mouse gets the pointer by a click, and the host key takes it back', {
  skip: driver!.unavailable ?? false,
}, async () => {
  const display = await open('Mouse', 'relative');
  const box = (await screenOf(display).boundingBox())!;
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await display.evaluate(RECORD_MOVEMENT);
  await display.mouse.move(x, y);
  await display.mouse.click(x, y);
  await display.getByText(/lets keyboard and pointer go/).waitFor();
  assert.equal(await locked(display), true);
  // A driven browser tells of hardly any movement while it holds the pointer: the page is told as a browser would tell it.
  await display.evaluate(`for (const [movementX, movementY] of [[10, 4], [20, 8]])
    document.querySelector('[role=application]').dispatchEvent(
      new PointerEvent('pointermove', { movementX, movementY, bubbles: true }))`);
  await display.mouse.down({ button: 'right' });
  await display.mouse.up({ button: 'right' });
  await display.mouse.wheel(0, 200);
  await display.keyboard.press('ControlRight');
  // Where the browser itself had let the pointer go before, the key takes the keyboard back as well.
  await display.getByText(/click to give it the pointer|Click the screen to type/).waitFor();
  assert.equal(await locked(display), false);
  const rows = await waitForSeen(display, /^move -?\d+ -?\d+ 2$/);
  assert.ok(!rows.includes('buttons 1'), 'the click that gave the pointer was not the guest’s');
  const pressed = rows.indexOf('buttons 2');
  assert.ok(pressed >= 0 && pressed < rows.indexOf('buttons 0'), rows.join('\n'));
  const told = (await display.evaluate('recorded.before')) as [number, number];
  assert.ok(told[0] !== 0 || told[1] !== 0);
  assert.deepEqual(movement(rows.slice(0, pressed)), told, rows.join('\n'));
  await display.close();
});

test('a guest that takes positions gets the pointer wherever it is over the picture, and nothing is captured', {
  skip: driver!.unavailable ?? false,
}, async () => {
  const display = await open('Tablet', 'absolute');
  const box = (await display.locator('canvas').boundingBox())!;
  await display.mouse.move(box.x + 1, box.y + 1);
  await display.mouse.move(box.x + box.width / 2, box.y + box.height / 4);
  await display.mouse.down();
  await display.mouse.move(box.x + box.width * 2, box.y + box.height / 4);
  await display.mouse.up();
  const rows = await waitForSeen(display, /^at 65535 \d+$/);
  assert.equal(await locked(display), false);
  const half = rows.find((row) => /^at 3276\d \d+$/.test(row));
  assert.ok(half, rows.join('\n'));
  assert.ok(Math.abs(Number(half.split(' ')[2]) - 16384) < 200, half);
  assert.ok(rows.indexOf('buttons 1') < rows.indexOf('buttons 0'));
  await display.close();
});
