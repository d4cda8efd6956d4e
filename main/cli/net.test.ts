import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { NetworkView } from '../contract.ts';
import { fakeKernel } from '../guests/fake-machine.ts';

const program = fileURLToPath(new URL('./fake-trivisor.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'trivisor-net-verbs-'));
const home = join(folder, 'home');
const kernel = join(folder, 'kernel');
writeFileSync(kernel, fakeKernel(['echo']));
after(() => rmSync(folder, { recursive: true }));

function trivisor(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  return new Promise((resolve) => {
    // `net` alone takes no options.
    const all = [program, ...args, ...(args.length > 1 ? ['--home', home] : [])];
    execFile(process.execPath, all, { cwd: folder }, (error, out, err) =>
      resolve({ status: error ? Number(error.code) : 0, out, err }),
    );
  });
}

test('networks are told, cables changed and frames recorded, of a guest that runs', { timeout: 120_000 }, async (t) => {
  const made = await trivisor(
    'create',
    'one',
    '--kernel',
    kernel,
    '--net',
    'internal:lab,vlan=7,delay=5',
    '--net',
    'nat',
  );
  assert.equal(made.status, 0, made.err);
  assert.match((await trivisor('net', 'list')).out, /^internal:lab +one +0 +\(off\) +delay=5$/m);
  const changed = await trivisor('net', 'link', 'one', '--loss', '2.5', '--delay', '0');
  assert.equal(changed.err, 'Card 0 of one: loss=2.5.\n');
  assert.equal((await trivisor('net', 'capture', 'one', 'x.pcapng')).err.includes('is not running'), true);

  assert.equal((await trivisor('start', 'one')).status, 0);
  t.after(() => trivisor('stop', 'one', '--force'));
  await trivisor('net', 'link', 'one', '--card', '1', '--down', '--rate', '64');
  assert.match(
    (await trivisor('net', 'capture', 'one', 'card.pcapng')).err,
    /^one is being recorded in .*card\.pcapng/,
  );
  const twice = await trivisor('net', 'capture', 'internal:lab', '--network', 'card.pcapng');
  assert.match(twice.err, /is being recorded already/);
  assert.equal((await trivisor('net', 'capture', 'internal:lab', '--network', 'all.pcapng')).status, 0);
  const { out } = await trivisor('net', 'list', '--json');
  const views = JSON.parse(out) as NetworkView[];
  assert.deepEqual(
    views.map(({ name, capture, nat, cards }) => [
      name,
      capture,
      nat?.open ?? null,
      cards.map(({ guestName, card, settings, live }) => [guestName, card, settings.link, live?.capture]),
    ]),
    [
      [
        ...['internal:lab', join(folder, 'all.pcapng'), null],
        [['one', 0, { up: true, delayMs: 0, kbitPerSecond: null, lossPercent: 2.5 }, join(folder, 'card.pcapng')]],
      ],
      [...['nat', null, 0], [['one', 1, { up: false, delayMs: 0, kbitPerSecond: 64, lossPercent: 0 }, null]]],
    ],
  );
  const info = await trivisor('net', 'info', 'nat');
  assert.match(info.out, /^open +0 connections and flows$/m);
  assert.match(info.out, /^one, card 1 +e1000, link=down, rate=64, /m);
  assert.equal((await trivisor('net', 'capture', 'one', '--stop')).status, 0);
  assert.ok(existsSync(join(folder, 'card.pcapng')));
});

test('what is wrong is told in one sentence', { timeout: 120_000 }, async () => {
  assert.equal((await trivisor('create', 'plain', '--kernel', kernel)).status, 0);
  for (const [args, sentence] of [
    [['net'], /^trivisor: Name what to do: net list, info, link or capture/],
    [['net', 'info', 'nowhere'], /^trivisor: No guest is plugged into a network nowhere\.\n$/],
    [['net', 'link', 'plain', '--down'], /^trivisor: plain has no network card\.\n$/],
    [['net', 'link', 'one', '--card', '9', '--down'], /^trivisor: card must be below 8\.\n$/],
    [['net', 'link', 'one', '--card', '3', '--down'], /^trivisor: one has 2 network cards: there is no card 3/],
    [['net', 'link', 'one'], /^trivisor: Name a change/],
    [['net', 'link', 'one', '--up', '--down'], /^trivisor: --up and --down are opposites/],
    [['net', 'link', 'one', '--loss', '101'], /^trivisor: link\.lossPercent must be at most 100 %\.\n$/],
    [['net', 'link', 'one', '--loss', 'much'], /It is a number\.\n$/],
    [['net', 'capture', 'one'], /^trivisor: Name a file, or --stop\.\n$/],
    [['net', 'capture', 'internal:none', '--network', 'x'], /^trivisor: No running guest is plugged into/],
    [['create', 'x', '--kernel', kernel, '--net', 'nat,vlan=3'], /can only be of a card on an internal network/],
    [['create', 'x', '--kernel', kernel, '--net', 'internal:a,vlan=4095'], /vlan must be 0 to 4094/],
    [['create', 'x', '--kernel', kernel, '--net', 'nat,loss=most'], /loss= is followed by a number, not most/],
    [['create', 'x', '--kernel', kernel, '--net', 'nat,speed=1'], /After the network come model=…/],
  ] as const) {
    const { status, err, out } = await trivisor(...args);
    assert.match(err, sentence);
    assert.deepEqual([status, out], [2, '']);
  }
});
