// Guests of all kinds that start, stop, save and go on at random, for as long as is asked: nothing is left of any of it.
// TRIVISOR_NIGHTLY=1: an hour; TRIVISOR_SOAK says how many seconds, TRIVISOR_SEED which acts.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createClient, type GuestSettingsInput } from '../../main/contract.ts';
import { Server } from '../../main/server.ts';
import { DebianPackages } from '../../main/starter/debian-packages.ts';
import { seeded } from '../../native-free-core/disk/testing/memory-file.ts';
import { debianGuest, noDebian } from './debian.ts';
import { needsTrivisor } from './engines.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-soak-'));
after(() => rmSync(folder, { recursive: true }));

const seconds = Number(process.env.TRIVISOR_SOAK ?? (process.env.TRIVISOR_NIGHTLY ? 3600 : 120));
/** What may differ without anything having been lost: the threads of libuv's pool, and pages that V8 maps as it pleases. */
const SLACK = { files: 8, maps: 200, threads: 4, heapMiB: 48 };

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

async function measure() {
  // Threads end, and what they held is given back, a little behind their guests.
  for (let round = 0; round < 5; round++) {
    collect();
    await sleep(300);
  }
  return {
    files: readdirSync('/proc/self/fd').length,
    maps: readFileSync('/proc/self/maps', 'utf8').split('\n').length,
    threads: readdirSync('/proc/self/task').length,
    heapMiB: process.memoryUsage().heapUsed / 2 ** 20,
  };
}

/** A folder with busybox alone, as the root of a guest of kind os. */
async function busyboxRoot(): Promise<string> {
  const busybox = await new DebianPackages({ architecture: 'amd64' }).unpack('busybox-static');
  const root = join(folder, 'root');
  mkdirSync(join(root, 'bin'), { recursive: true });
  writeFileSync(join(root, 'bin', 'busybox'), readFileSync(join(busybox, 'bin', 'busybox')), { mode: 0o755 });
  for (const name of ['sh', 'sleep', 'cat']) symlinkSync('busybox', join(root, 'bin', name));
  return root;
}

test('guests of all kinds come and go, and nothing is left of them', {
  skip: noDebian || needsTrivisor || (process.platform !== 'linux' && 'what is held is counted in /proc'),
  timeout: (seconds + 600) * 1000,
}, async (t) => {
  const seed = Number(process.env.TRIVISOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`TRIVISOR_SEED=${seed} TRIVISOR_SOAK=${seconds}`);
  const random = seeded(seed);
  const one = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const home = join(folder, 'home');
  const server = new Server({ home, isOwner: true });
  const client = createClient(server.connectDirectly());
  const [amd64, i386] = [await debianGuest('amd64'), await debianGuest('i386')];
  const linux = { append: 'console=ttyS0', memoryMiB: 96 };
  const made = [
    { name: 'full', kind: 'full', ...linux, kernel: i386.kernel, initrd: i386.initrd },
    { name: 'para', kind: 'para', ...linux, kernel: amd64.kernel, initrd: amd64.initrd },
    { name: 'os', kind: 'os', image: await busyboxRoot(), command: ['/bin/sh'], tty: true, memoryMiB: 64 },
  ] satisfies GuestSettingsInput[];
  for (const settings of made) await client.call('guests.create', { settings });
  const names = made.map(({ name }) => name);
  const counts: Record<string, number> = {};
  /** Answers that are no fault: of a guest that ended meanwhile, or has something under way that cannot be saved. */
  const mayFail =
    /is not running|cannot be saved|is (starting|stopping|paused|saving)|still starting|not paused|has no state|saved state/;

  async function act(guest: string): Promise<void> {
    const { state, settings } = await client.call('guests.get', { guest });
    const verbs =
      state === 'off'
        ? (['start'] as const)
        : settings.kind === 'os'
          ? (['force', 'reset', 'pause', 'stop'] as const)
          : (['save', 'save', 'force', 'reset', 'pause', 'stop'] as const);
    const verb = state === 'paused' ? one(['resume', 'force'] as const) : one(verbs);
    counts[`${verb} ${settings.kind}`] = (counts[`${verb} ${settings.kind}`] ?? 0) + 1;
    try {
      if (verb === 'force') await client.call('guests.stop', { guest, force: true });
      else await client.call(`guests.${verb}`, { guest });
    } catch (error) {
      assert.match((error as Error).message, mayFail, `${verb} ${guest}`);
    }
    await sleep(random() * 2000);
  }

  async function allOff(): Promise<void> {
    for (const guest of names) {
      const { state } = await client.call('guests.get', { guest });
      if (state !== 'off') await client.call('guests.stop', { guest, force: true }).catch(() => {});
    }
    for (const guest of names) assert.equal((await client.call('guests.get', { guest })).state, 'off');
  }

  async function soak(milliseconds: number): Promise<void> {
    const end = performance.now() + milliseconds;
    await Promise.all(
      names.map(async (name) => {
        while (performance.now() < end) await act(name);
      }),
    );
    await allOff();
  }

  try {
    // What is loaded and compiled once is there before anything is counted.
    await soak(seconds * 400);
    const before = await measure();
    await soak(seconds * 600);
    const behind = await measure();
    t.diagnostic(JSON.stringify({ counts, before, behind }));
    for (const name of ['files', 'maps', 'threads', 'heapMiB'] as const)
      assert.ok(behind[name] <= before[name] + SLACK[name], `${name}: ${before[name]} before, ${behind[name]} behind`);
    const saved = (await client.call('guests.list'))
      .filter((guest) => guest.saved !== null)
      .map(({ id }) => `${id}.state`);
    const states = readdirSync(join(home, 'states'));
    assert.deepEqual(states.sort(), saved.sort(), 'a state for each saved guest, and no other');
  } finally {
    client.close();
    await server.close();
  }
});
