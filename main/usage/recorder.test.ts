import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import Database from 'better-sqlite3';
import { GuestSettings, type GuestUsageField, guestUsageFields, usageRanges } from '../contract.ts';
import { Inventory } from '../inventory/inventory.ts';
import { HOST_SUBJECT } from '../inventory/usage-table.ts';
import { UsageRecorder } from './recorder.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-usage-'));
after(() => rmSync(folder, { recursive: true }));
let homes = 0;

/** A home whose clock is the test's, with one guest. */
function home() {
  const path = join(folder, `home-${homes++}`);
  let inventory = Inventory.open(path);
  const { id } = inventory.add(GuestSettings.parse({ name: 'a', kernel: '/k' }))!;
  const clock = { now: Date.UTC(2026, 0, 1) };
  let recorder = new UsageRecorder(inventory.usage, () => clock.now);
  const sample = (values: Partial<Record<GuestUsageField, number>>, seconds = 1): void => {
    clock.now += seconds * 1000;
    recorder.add(id, { at: clock.now, seconds, values: guestUsageFields.map((field) => values[field] ?? 0) });
    recorder.settle();
  };
  return {
    id,
    clock,
    sample,
    get recorder() {
      return recorder;
    },
    get inventory() {
      return inventory;
    },
    /** Another process; what is not written is lost, unless the one before ended well. */
    restart(isWell: boolean): void {
      if (isWell) recorder.write();
      inventory.close();
      inventory = Inventory.open(path);
      recorder = new UsageRecorder(inventory.usage, () => clock.now);
    },
    rows(): number {
      const database = new Database(join(path, 'inventory.db'), { readonly: true });
      const { count } = database.prepare<[], { count: number }>('SELECT count(*) AS count FROM usage').get()!;
      database.close();
      return count;
    },
  };
}

test('each second is a point of ten minutes, and coarser points are means and peaks of those', () => {
  const { id, sample, recorder } = home();
  for (let second = 0; second < 240; second++)
    sample({ guest: second < 120 ? 50 : second % 2 ? 80 : 20, peak: second });
  const fine = recorder.guest(id, '10min', 0);
  assert.equal(fine.at.length, 240);
  assert.deepEqual(fine.values.guest.slice(-2), [20, 80]);
  const coarse = recorder.guest(id, '24h', 0);
  assert.deepEqual(coarse.values.guest, [50, 50]);
  assert.deepEqual(coarse.values.peak, [119, 239]);
  assert.deepEqual(coarse.seconds, [120, 120]);
  assert.deepEqual(recorder.guest(id, '30d', 0).seconds, [240]);
  assert.deepEqual(recorder.guest(id, '10min', fine.at.at(-1)!).at, fine.at.slice(-1));
});

test('rings keep their length however long a guest runs', () => {
  const { id, sample, recorder, rows } = home();
  for (let hour = 0; hour < 24 * 40; hour++) sample({ guest: hour }, 3600);
  for (let second = 0; second < 1500; second++) sample({ guest: 7 });
  const { span, step } = usageRanges['30d'];
  const month = recorder.guest(id, '30d', 0);
  assert.ok(Math.abs(month.at.length - span / step) <= 1, `${month.at.length} points`);
  assert.ok(recorder.guest(id, '10min', 0).at.length <= 601);
  const places = Object.values(usageRanges).reduce((sum, range) => sum + range.span / range.step, 0);
  assert.ok(rows() <= places, `${rows()} rows in ${places} places`);
});

test('a restart goes on in the points that there are; one that was killed loses ten seconds at most', () => {
  const it = home();
  for (let second = 0; second < 60; second++) it.sample({ guest: 10 });
  it.restart(true);
  it.clock.now += 20_000;
  for (let second = 0; second < 40; second++) it.sample({ guest: 100 });
  const mean = it.recorder.guest(it.id, '24h', 0);
  assert.deepEqual([mean.values.guest, mean.seconds], [[46], [100]]);
  it.sample({ guest: 1 });
  const known = it.recorder.guest(it.id, '10min', 0).at.length;
  for (let second = 0; second < 25; second++) it.sample({ guest: 1 });
  it.restart(false);
  const left = it.recorder.guest(it.id, '10min', 0).at.length;
  assert.ok(left >= known + 15 && left < known + 25, `${left - known} of 25`);
});

test('a clock that goes back leaves nothing in the future, before as after a restart', () => {
  const it = home();
  for (let second = 0; second < 300; second++) it.sample({ guest: 30 });
  it.clock.now -= 120_000;
  it.sample({ guest: 90 });
  const back = it.recorder.guest(it.id, '10min', 0);
  assert.equal(back.at.length, 181, 'what came before is kept');
  it.clock.now += 3_600_000;
  it.sample({ guest: 5 });
  it.clock.now -= 3_600_000 + 60_000;
  it.restart(true);
  it.sample({ guest: 60 });
  it.clock.now += 7_200_000;
  // Whoever looks later finds no hour that has not been.
  const seen = it.recorder.guest(it.id, '24h', 0);
  assert.ok(seen.at.every((at) => at <= it.clock.now - 7_200_000));
  assert.ok(seen.seconds.every((seconds) => seconds <= usageRanges['24h'].step));
  assert.ok(!seen.values.guest.includes(5));
});

test('what a guest used goes with it, and the host’s stays', () => {
  const it = home();
  it.sample({ guest: 1 });
  it.recorder.add(HOST_SUBJECT, { at: it.clock.now, seconds: 1, values: [1, 2, 3] });
  it.recorder.write();
  assert.equal(it.rows(), 6);
  it.sample({ guest: 1 });
  it.recorder.forget(it.id);
  it.inventory.remove(it.id);
  it.recorder.write();
  assert.equal(it.rows(), 3);
  assert.deepEqual(it.recorder.guest(it.id, '10min', 0).at, []);
  assert.equal(it.recorder.host('10min', 0).values.hypervisor[0], 3);
});
