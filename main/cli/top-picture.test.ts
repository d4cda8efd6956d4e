import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestSettings, type GuestView, type HostInfo, hostUsageFields, type StatsSample } from '../contract.ts';
import { firstState, type Look, picture, pressed, sorted, type TopState } from './top-picture.ts';

const totals = (bytes: number): StatsSample['totals'] =>
  ({
    instructions: 1,
    disk: { reads: 0, writes: 0, bytesRead: bytes, bytesWritten: 0, seconds: 0 },
    net: { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: bytes / 2 },
  }) as StatsSample['totals'];

function topped(name: string, guestPercent: number, residentMiB: number) {
  const guest = {
    id: name,
    settings: GuestSettings.parse({ name, kernel: '/k', memoryMiB: 512 }),
    state: 'running',
  } as GuestView;
  const sample = {
    ...{ at: 0, seconds: 2, guestPercent, hypervisorPercent: 5, kernelPercent: 0, stealPercent: 12.5 },
    ...{ idlePercent: 0, instructionsPerSecond: 3e6, exitsPerSecond: 100, residentMiB, balloonMiB: 16 },
    totals: totals(40_960),
  };
  return { guest, sample, before: { ...sample, totals: totals(20_480) } };
}

const look: Look = {
  host: { cores: 2, memoryTotalMiB: 4096, memoryFreeMiB: 1024 } as HostInfo,
  reserve: { cpuPercent: 10, memoryMiB: 256 },
  usage: Object.fromEntries(hostUsageFields.map((field) => [field, 7])) as Look['usage'],
  guests: [
    topped('quiet', 1, 300),
    topped('busy', 90, 100),
    { ...topped('new', 0, 0), sample: null, before: null },
    topped('also busy', 90, 200),
  ],
};
const state = firstState('cpu');
const names = (changed: Partial<TopState>) =>
  sorted(look.guests, { ...state, ...changed }).map(({ guest }) => guest.settings.name);

test('guests are in the order that is asked for, those that are equal by name', () => {
  assert.deepEqual(names({}), ['also busy', 'busy', 'quiet', 'new']);
  assert.deepEqual(names({ sorting: 'memory' }), ['quiet', 'also busy', 'busy', 'new']);
  assert.deepEqual(names({ sorting: 'name', isReversed: true }), ['quiet', 'new', 'busy', 'also busy']);
});

test('the host, its reserve and each guest are told', () => {
  const text = picture(look, state);
  assert.match(text, /^Guests: 4 in memory, 4 running$/m);
  assert.match(text, /^CPU %: .* 200 are 2 cores, guests have 180 at most \(reserve 10 %\)$/m);
  assert.match(
    text,
    /^Memory: 4096 MiB, 1024 MiB free, 600 MiB resident in guests, 48 MiB in balloons, reserve 256 MiB$/m,
  );
  assert.match(text, /^busy +full +running +95\.0 +90\.0 +0\.0 +5\.0 +12\.5 +100 +100\/512 +10 +5 +100 +3\.0$/m);
  assert.match(text, /^new +full +running +-( +-)+ +100 +-\/512/m);
  assert.match(picture({ ...look, guests: [], usage: null }, state), /No guest is in memory\.\n$/);
});

test('a small terminal shows what fits, and scrolls', () => {
  const size = { rows: 9, columns: 40 };
  const lines = picture(look, { ...state, from: 1 }, size)
    .trimEnd()
    .split('\n');
  assert.ok(lines.length < size.rows && lines.every((line) => line.length <= size.columns));
  assert.match(lines[5]!, /^busy/);
  assert.match(lines.at(-1)!, /^by cpu; 2 to 3 of 4 /);
});

test('keys sort, reverse, scroll, help and quit', () => {
  const press = (...keys: string[]) =>
    keys.reduce<TopState | 'quit'>((now, key) => (now === 'quit' ? now : pressed(key, now, 4)), state);
  assert.deepEqual(press('M'), { ...state, sorting: 'memory' });
  assert.deepEqual(press('M', 'R'), { ...state, sorting: 'memory', isReversed: true });
  assert.deepEqual(press('\x1b[B', 'j', 'j', 'j', 'j', 'k'), { ...state, from: 2 });
  assert.deepEqual(press('?'), { ...state, isHelping: true });
  assert.deepEqual(press('?', 'M'), state, 'any key leaves the help');
  assert.match(picture(look, { ...state, isHelping: true }), /q {2}quit/);
  for (const key of ['q', '\x03']) assert.equal(press(key), 'quit');
  assert.deepEqual(press('x'), state);
});
