import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { build } from '../../main/build/build.ts';
import { GuestSettings, guestUsageFields, hostUsageFields, usageRanges } from '../../main/contract.ts';
import { fakeKernel } from '../../main/guests/fake-machine.ts';
import { Inventory } from '../../main/inventory/inventory.ts';
import { HOST_SUBJECT } from '../../main/inventory/usage-table.ts';
import { drivers } from './drivers.ts';

before(async () => {
  await build();
});

const [driver] = drivers;
const GUESTS = 20;
/** Set, pictures of the pages are left in this folder. */
const pictures = process.env.TRIVISOR_PICTURES;

/** A home of guests, of which the first has a past. */
function makeHome(folder: string): string {
  const home = join(folder, 'home');
  const kernel = join(folder, 'kernel');
  writeFileSync(kernel, fakeKernel([]));
  const inventory = Inventory.open(home);
  const [first] = Array.from({ length: GUESTS }, (_, index) =>
    inventory.add(
      // The first is busy for 60 % of its time, the others for a little.
      GuestSettings.parse({ name: `guest ${index + 1}`, kernel, memoryMiB: index === 0 ? 92 : 33 + (index % 3) }),
    ),
  );
  const now = Date.now();
  for (const [subject, fields] of [
    [first!.id, guestUsageFields],
    [HOST_SUBJECT, hostUsageFields],
  ] as const)
    for (const range of ['24h', '30d'] as const) {
      const step = usageRanges[range].step * 1000;
      const begin = Math.floor((now - usageRanges[range].span * 900) / step) * step;
      const points = [];
      for (let at = begin; at < now - step; at += step) {
        // A night without it.
        if (range === '24h' && at % 86_400_000 < 3 * 3_600_000) continue;
        const wave = 0.5 + 0.5 * Math.sin(at / step / 20);
        const values = Float32Array.from(fields, (field) =>
          field === 'cores' ? 200 : /MiB$/.test(field) ? 64 : 40 * wave,
        );
        points.push({ subject, point: { range, at, seconds: usageRanges[range].step, values } });
      }
      inventory.usage.write(points);
    }
  inventory.close();
  return home;
}

const samples = async (chart: Locator) => Number(await chart.locator('figure').getAttribute('data-samples'));

async function until(done: () => Promise<boolean>, milliseconds: number): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!(await done())) {
    assert.ok(Date.now() < end, 'it took too long');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

interface Canvas {
  width: number;
  height: number;
  getContext(kind: '2d'): { getImageData(...area: number[]): { data: Uint8ClampedArray<ArrayBuffer> } };
}

/** Different colours on a chart's canvas. */
const coloursOf = (chart: Locator): Promise<number> =>
  chart.locator('canvas').evaluate((element) => {
    const canvas = element as unknown as Canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });

async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}

test('charts show what guests and the host use, now and before, and stay where they are', {
  skip: driver!.unavailable ?? false,
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-e2e-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = makeHome(folder);
  const app = await driver!.launch({ home, machineModule: new URL('./busy-machine.ts', import.meta.url).href });
  const { page } = app;
  t.after(() => app.close());
  const broken: string[] = [];
  page.on('pageerror', (error) => broken.push(error.message));
  page.setDefaultTimeout(60_000);
  const button = (name: string) => page.getByRole('button', { name, exact: true });
  const chart = (name: string) => page.getByRole('region', { name, exact: true });

  for (let index = GUESTS; index >= 1; index--) {
    // The list draws the rows in sight alone.
    await page.getByRole('searchbox').fill(`guest ${index}`);
    await page.getByRole('navigation').getByText(`guest ${index}`, { exact: true }).click();
    await button('Start').click();
    await page.locator('article').getByRole('status').filter({ hasText: 'Running' }).waitFor();
  }
  await page.getByRole('searchbox').fill('');
  await until(async () => (await samples(chart('CPU'))) >= 3, 30_000);
  await chart('CPU')
    .getByRole('figure', { name: /^CPU: Guest \d.*Hypervisor \d.*Steal \d/ })
    .waitFor();
  await chart('Memory')
    .getByRole('figure', { name: /^Memory: In use 46.MiB, .*Its memory 92.MiB$/ })
    .waitFor();
  await chart('Disks').getByText('0.40 ms a request').waitFor();
  await chart('Exits by reason').getByText('Others').waitFor();
  for (const name of ['CPU', 'Memory', 'Disks', 'Network', 'Exits by reason', 'Hypervisor time by reason'])
    assert.ok((await coloursOf(chart(name))) > 10, `${name} is drawn`);

  // What moves is in the charts: nothing around them is laid out anew.
  const places = () =>
    page.locator('article > *').evaluateAll((all) => all.map((each) => each.getBoundingClientRect().height));
  const [at, seen] = [await places(), await samples(chart('CPU'))];
  await until(async () => (await samples(chart('CPU'))) >= seen + 2, 30_000);
  assert.deepEqual(await places(), at);
  await picture(page, 'usage-10min');

  for (const [range, least] of [
    ['24 hours', 400],
    ['30 days', 600],
  ] as const) {
    await button(range).click();
    await until(async () => (await samples(chart('CPU'))) >= least, 30_000);
    await picture(page, `usage-${range.replace(' ', '')}`);
  }
  await button('10 min').click();

  await button('This host').click();
  await page.getByRole('heading', { name: 'This host', exact: true }).waitFor();
  await until(async () => (await samples(chart('CPU'))) >= 3, 30_000);
  await chart('CPU')
    .getByRole('figure', { name: /Guests’ bound by the reserve \d/ })
    .waitFor();
  const rows = chart('Guests by what they take').getByRole('row');
  await until(async () => (await rows.count()) === GUESTS + 1, 10_000);
  assert.match(await rows.nth(1).innerText(), /^guest 1\s/);
  await picture(page, 'host');
  await button('Change…').click();
  await page.getByRole('spinbutton', { name: 'Processors' }).fill('20');
  await button('Set').click();
  await page.getByText(/^20.% of the processors while guests want everything/).waitFor();
  if (pictures !== undefined) {
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.waitForTimeout(1500);
    await picture(page, 'host-dark');
    await rows.nth(1).getByRole('button').click();
    await until(async () => (await samples(chart('CPU'))) >= 3, 30_000);
    await page.waitForTimeout(1500);
    await picture(page, 'usage-dark');
  }

  assert.deepEqual(broken, []);
});
