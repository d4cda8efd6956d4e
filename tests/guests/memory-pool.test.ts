import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MemoryPoolView } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor, runCommand, trivisorCommand } from './engines.ts';
import { virtioGuest } from './virtio-guest.ts';

/** Seconds: three boots on two cores, on a noisy machine. */
const BOOT = 400;
const ANSWER = 200;

/** What the host has for guests that may have 512 MiB each, what each needs in turn, and how much of that is the program's. */
const BUDGET = 800;
const MAXIMUM = 512;
const NEED = 450;
const PROGRAM = 370;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-pool-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A program that comes to hold so much memory, a piece at a time, and then says so. */
const work =
  `awk 'BEGIN { s = sprintf("%1048576s", "x"); for (i = 0; i < ${PROGRAM}; i++) { a[i] = s i; ` +
  `if (i % 32 == 0) system("usleep 200000") } print "holds " length(a) }'`;

test(`memory divided once for all is too little for a guest that needs ${NEED} of ${BUDGET} MiB`, {
  skip: noDebian || needsTrivisor,
}, async () => {
  const guest = await virtioGuest('amd64', folder);
  await using console = new GuestConsole(
    runCommand({ ...guest, memoryMiB: Math.floor(BUDGET / 3) }, '--kind', 'para', '--home', folder),
  );
  await console.waitFor(prompt, BOOT);
  console.type(`${work}\n`);
  await console.waitFor(/Out of memory: Killed process \d+ \(awk\)/, ANSWER);
});

test(`three guests that each need ${NEED} of ${BUDGET} MiB in turn finish with memory as a pool`, {
  skip: noDebian || needsTrivisor,
}, async () => {
  const home = join(folder, 'home');
  const trivisor = (...args: string[]) => {
    const { file, args: all } = trivisorCommand(...args, '--home', home);
    return execFileSync(file, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  };
  const pool = () => MemoryPoolView.parse(JSON.parse(trivisor('pool', '--json')));
  const names = ['one', 'two', 'three'];
  const { kernel, initrd, append } = await virtioGuest('amd64', folder);
  const boot = ['--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', String(MAXIMUM)];
  for (const name of names) trivisor('create', name, '--kind', 'para', ...boot);
  trivisor('pool', '--memory-budget', String(BUDGET));
  for (const name of names) trivisor('start', name);
  await using consoles = new AsyncDisposableStack();
  const guests = names.map((name) => consoles.use(new GuestConsole(trivisorCommand('console', name, '--home', home))));
  try {
    await Promise.all(guests.map((guest) => guest.waitFor(prompt, BOOT)));
    for (const [index, guest] of guests.entries()) {
      guest.type(`${work}\n`);
      await guest.waitFor(new RegExp(`^holds ${PROGRAM}$`, 'm'), ANSWER);
      await guest.waitFor(prompt, ANSWER);
      // The one that has just held it is still the largest: nobody else has wanted it since.
      const { guests: shares, shortageMiB } = pool();
      const has = shares.map(({ actualMiB }) => actualMiB);
      assert.equal(shortageMiB, 0);
      assert.ok(has[index]! > BUDGET / 3, `${names[index]} has ${has}`);
    }
    guests[0]!.type('dmesg | grep -c "Out of memory"\n');
    await guests[0]!.waitFor(/^0$/m, ANSWER);
  } finally {
    for (const name of names) trivisor('stop', name, '--force');
  }
});
