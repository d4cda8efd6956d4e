import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestSettings, type MemoryPoolView } from '../contract.ts';
import { hasBalloon, MemoryPool, memoryBounds, type PooledGuest } from './memory-pool.ts';

const MIB = 2 ** 20;
const PAGES = MIB / 4096;

/** A guest whose balloon does at once what it is asked, as far as the guest's use lets it. */
class FakeGuest implements PooledGuest {
  readonly id: string;
  readonly settings: GuestSettings;
  isPaused = false;
  usedMiB = 0;
  asked = 0;
  told = { balloonPages: 0, tellings: 0, used: 0, available: 0, swappedIn: 0, majorFaults: 0 };

  constructor(id: string, over: Partial<GuestSettings> = {}) {
    this.id = id;
    this.settings = GuestSettings.parse({ name: id, kind: 'para', memoryMiB: 512, ...over });
  }

  setBalloon(pages: number, ask: boolean): void {
    const { memoryMiB } = this.settings;
    // Deflates when it is out of memory.
    const balloonPages = Math.min(pages, Math.max(0, memoryMiB - this.usedMiB) * PAGES);
    this.told = { ...this.told, balloonPages };
    if (!ask) return;
    this.asked++;
    const available = memoryMiB * MIB - balloonPages * 4096 - this.usedMiB * MIB;
    this.told = { ...this.told, tellings: this.told.tellings + 1, used: this.usedMiB * MIB, available };
  }

  get hasMiB(): number {
    return this.settings.memoryMiB - this.told.balloonPages / PAGES;
  }
}

function pool(guests: FakeGuest[], budgetMiB: number | null, hostMiB = 16_384, wishes: Record<string, number> = {}) {
  const changes: MemoryPoolView[] = [];
  const options = { guests: () => guests, budgetMiB: () => budgetMiB, hostMiB, wish: (id: string) => wishes[id] };
  const made = new MemoryPool({ ...options, changed: (view) => void changes.push(view) });
  return { made, changes, tick: (times: number) => Array.from({ length: times }, () => made.tick()) };
}

test('each of three guests has most of a budget that is less than their maximums, in turn', () => {
  const guests = ['a', 'b', 'c'].map((id) => new FakeGuest(id));
  for (const guest of guests) guest.usedMiB = 60;
  const { tick, made } = pool(guests, 800);
  for (const busy of guests) {
    busy.usedMiB = 500;
    tick(12);
    assert.ok(busy.hasMiB >= 500, `${busy.id} has ${busy.hasMiB} MiB`);
    assert.ok(guests.reduce((sum, { hasMiB }) => sum + hasMiB, 0) <= 800);
    busy.usedMiB = 60;
    tick(3);
  }
  assert.equal(made.view.budgetMiB, 800);
  assert.equal(made.view.guests.length, 3);
});

test('where there is enough for all, balloons hold what was asked for by hand, and guests are seldom disturbed', () => {
  const guests = [new FakeGuest('a', { balloonMiB: 48 }), new FakeGuest('b')];
  const { tick } = pool(guests, null);
  tick(40);
  assert.deepEqual(
    guests.map(({ hasMiB }) => hasMiB),
    [464, 512],
  );
  assert.ok(guests.every(({ asked }) => asked >= 4 && asked <= 6));
});

test('a budget that nobody has set leaves the others theirs and a quarter to the host', () => {
  const guests = [new FakeGuest('a'), new FakeGuest('full', { kind: 'full', memoryMiB: 1000 })];
  assert.equal(pool(guests, null, 4000).made.view.budgetMiB, 2000);
  assert.equal(pool(guests, 300, 4000).made.view.budgetMiB, 300);
  assert.deepEqual(
    pool(guests, null, 4000).made.view.guests.map(({ id }) => id),
    ['a'],
  );
});

test('a paused guest keeps what it has and is told nothing', () => {
  const guests = [new FakeGuest('a'), new FakeGuest('b')];
  const { tick } = pool(guests, 700);
  tick(2);
  const [a, b] = guests as [FakeGuest, FakeGuest];
  a.isPaused = true;
  const { hasMiB, asked } = a;
  b.usedMiB = 450;
  tick(10);
  assert.deepEqual([a.hasMiB, a.asked], [hasMiB, asked]);
  assert.ok(b.told.balloonPages / PAGES >= 0);
});

test('a guest has what it wishes for beyond what it uses, and what it uses beyond what it wishes for', () => {
  const guests = [new FakeGuest('a'), new FakeGuest('b')];
  for (const guest of guests) guest.usedMiB = 150;
  const wishes = { a: 400, b: 10 };
  const { tick } = pool(guests, 600, 16_384, wishes);
  tick(10);
  assert.deepEqual(
    guests.map(({ hasMiB }) => hasMiB),
    [400, 200],
  );
});

test('a change is told once', () => {
  const { tick, changes } = pool([new FakeGuest('a')], 300);
  tick(8);
  const before = changes.length;
  assert.ok(before > 0);
  tick(8);
  assert.equal(changes.length, before);
});

test('bounds: by settings, else a quarter of the memory and what Linux needs', () => {
  const bounds = (over: object) => memoryBounds(new FakeGuest('x', over).settings);
  assert.deepEqual(bounds({}), { minimum: 128, maximum: 512 });
  assert.deepEqual(bounds({ memoryMiB: 128, balloonMiB: 28 }), { minimum: 64, maximum: 100 });
  assert.deepEqual(bounds({ memoryMinMiB: 300, balloonMiB: 300 }), { minimum: 212, maximum: 212 });
  assert.equal(hasBalloon(new FakeGuest('x', { kind: 'full' }).settings), false);
  assert.equal(hasBalloon(new FakeGuest('x', { kind: 'full', virtio: ['balloon'] }).settings), true);
});
