// A home whose owner was killed: the next one finds every guest in a true state, and nothing of what was half-done.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../../native-free-core/disk/testing/memory-file.ts';
import { GuestSettings } from '../contract.ts';
import { createDisk } from '../disks/disks.ts';
import { fakeKernel } from '../guests/fake-machine.ts';
import { throwawayFolder } from '../guests/throwaway-disks.ts';
import { Inventory } from '../inventory/inventory.ts';
import { claimHome } from './home.ts';
import { recover } from './recovery.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-recovery-'));
process.env.TRIVISOR_LOCKS = join(folder, 'locks');
after(() => rmSync(folder, { recursive: true }));
const machineModule = new URL('../guests/fake-machine.ts', import.meta.url).href;
/** As many as a check can wait for; TRIVISOR_KILLS says otherwise. */
const ROUNDS = Number(process.env.TRIVISOR_KILLS ?? 4);

const files = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

test('a killed owner leaves every guest in a true state', { timeout: 600_000 }, async (t) => {
  const home = join(folder, 'home');
  const kernel = join(folder, 'kernel');
  writeFileSync(kernel, fakeKernel(['say hello', 'echo']));
  const inventory = Inventory.open(home);
  for (const [name, more] of [
    ['plain', {}],
    ['other', {}],
    ['disposable', { disposable: true }],
  ] as const) {
    const file = join(folder, `${name}.qcow2`);
    await createDisk(file, { format: 'qcow2', size: 1 << 20 });
    inventory.add(GuestSettings.parse({ name, kernel, memoryMiB: 16, disks: [{ file }], ...more }));
  }
  inventory.close();

  const first = Number(process.env.TRIVISOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = seeded(first);
  for (let round = 0; round < ROUNDS; round++) {
    const seed = Math.floor(random() * 2 ** 31);
    const patience = 200 + random() * 3000;
    t.diagnostic(
      `TRIVISOR_SEED=${first}, round ${round}: seed ${seed}, killed ${patience.toFixed(0)} ms behind its beginning`,
    );
    const owner = spawn(
      process.execPath,
      [join(import.meta.dirname, 'restless-owner.ts'), home, machineModule, String(seed)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    /** By guest: the act that was under way or done last. */
    const last = new Map<string, { phase: string; verb: string }>();
    const lines = createInterface(owner.stdout);
    const ready = Promise.withResolvers<void>();
    lines.on('line', (line) => {
      if (line === 'ready') ready.resolve();
      const [, phase, verb, name] = /^(begin|end|refused) (\w+) (\w+)/.exec(line) ?? [];
      if (!name) return;
      // What was refused, or exported, changed nothing.
      if (phase === 'end' && verb !== 'export') last.set(name, { phase: 'end', verb: verb! });
      else if (phase === 'begin' && verb !== 'export') last.set(name, { phase: 'begin', verb: verb! });
      else last.set(name, { phase: 'begin', verb: 'nothing' });
    });
    owner.once('exit', () => ready.reject(new Error('The owner ended by itself.')));
    await ready.promise;
    await sleep(patience);
    owner.kill('SIGKILL');
    await once(owner, 'close');

    const next = await claimHome({ home, machineModule });
    assert.ok(next, 'the home is free');
    const client = next.client();
    const told = new Set(next.server.recovered.crashed.map(({ name }) => name));
    for (const { id, settings, state, lastEnd, saved } of await client.call('guests.list')) {
      const act = last.get(settings.name);
      const what = `${settings.name}, behind ${act?.phase} ${act?.verb}`;
      assert.equal(state, 'off', what);
      if (act?.phase === 'end' && (act.verb === 'start' || act.verb === 'reset')) {
        assert.ok(told.has(settings.name), `${what}: it was running`);
        assert.equal(lastEnd?.reason, 'crashed', what);
        assert.equal(lastEnd?.detail, 'Trivisor itself ended while the guest was running.');
        assert.equal(saved, null, what);
      }
      if (act?.phase === 'end' && act.verb === 'save') assert.ok(saved && !told.has(settings.name), what);
      if (act?.phase === 'end' && act.verb === 'force') assert.equal(lastEnd?.reason, 'forced', what);
      // It can be used: its disks are free, its state fits them.
      await client.call('guests.start', { guest: id });
      await client.call('guests.stop', { guest: id, force: true });
      for (const snapshot of (await client.call('snapshots.list', { guest: id })).snapshots.slice(0, 1))
        await client.call('snapshots.restore', { guest: id, snapshot: snapshot.id });
    }
    client.close();
    await next.close();
    assert.deepEqual(files(throwawayFolder(home)), []);
    assert.deepEqual(
      files(join(home, 'states')).filter((name) => !name.endsWith('.state')),
      [],
    );
  }
});

test('what is nobody’s is swept, and what may still be somebody’s is not', async () => {
  const home = join(folder, 'swept');
  const inventory = Inventory.open(home);
  const guest = inventory.add(GuestSettings.parse({ name: 'a', kernel: '/k' }))!;
  inventory.setSaved(guest.id, { at: 1, bytes: 1, drives: [] });
  inventory.runStarted(guest.id, 1);
  const old = new Date(Date.now() - 3_600_000);
  const put = (...path: string[]): string => {
    const file = join(home, ...path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '');
    return file;
  };
  const kept = [
    put('states', `${guest.id}.state`),
    put('states', 'young.state'),
    put('disks', `.import-${process.pid}-x`, 'disk'),
    put('disks', 'own.qcow2'),
    put('snapshots', guest.id, 'overlay.qcow2'),
  ];
  const gone = [
    put('states', `${guest.id}.state.partial`),
    put('states', 'old.state'),
    put('disks', '.import-4194305-x', 'disk'),
    put('throwaway', 'x', '0.qcow2'),
    put('snapshots', 'nobody', 'overlay.qcow2'),
  ];
  for (const file of [gone[1]!, kept[0]!, join(home, 'snapshots', 'nobody'), join(home, 'snapshots', guest.id)])
    utimesSync(file, old, old);
  const { crashed, swept } = recover(home, inventory);
  assert.deepEqual(crashed, [{ id: guest.id, name: 'a' }]);
  assert.equal(swept.length, gone.length);
  assert.deepEqual(
    kept.filter((file) => !existsSync(file)),
    [],
  );
  assert.deepEqual(
    gone.filter((file) => existsSync(file)),
    [],
  );
  assert.deepEqual(recover(home, inventory), { crashed: [], swept: [] });
  inventory.close();
});
