import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { prompt } from './debian.ts';
import { needsTrivisor, runCommand, trivisorCommand } from './engines.ts';
import { noStorage, storageGuest } from './storage-guest.ts';

// A host whose disk is full: a small tmpfs that only the guest's process sees, which needs no rights where the system lets
// a user have namespaces.

const BOOT = 300;
const ANSWER = 120;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-full-'));
after(() => rmSync(folder, { recursive: true }));

const cannotMount =
  spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', folder]).status === 0
    ? false
    : 'this host lets nobody but root mount a tmpfs';

const quote = (words: readonly string[]): string => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');

for (const [format, connected] of [
  ['qcow2', 'ide'],
  ['raw', 'ahci'],
] as const) {
  test(`a full host pauses a guest with a ${format} disk on ${connected}, which goes on when there is room`, {
    skip: noStorage || needsTrivisor || cannotMount,
  }, async () => {
    const guest = await storageGuest('amd64', folder);
    const own = mkdtempSync(join(folder, `${format}-`));
    const [mount, room, locks] = ['mount', 'room', 'locks'].map((name) => join(own, name)) as [string, string, string];
    mkdirSync(mount);
    const disk = join(mount, `disk.${format === 'raw' ? 'img' : format}`);
    const command = (...args: string[]) => {
      const { file, args: words } = trivisorCommand(...args);
      return quote([file, ...words]);
    };
    const { file, args } = runCommand(guest, '--disk', `${disk},if=${connected}`);
    // The filler goes when the test says that there is to be room.
    const filler = quote([join(mount, 'filler')]);
    const script = [
      'set -e',
      `mount -t tmpfs -o size=24m none ${quote([mount])}`,
      `export TRIVISOR_LOCKS=${quote([locks])}`,
      `${command('disk', 'create', disk, '64M', '--format', format)} >&2`,
      `head -c 16000000 /dev/zero > ${filler}`,
      // For as long as this test may last at most.
      `(for i in $(seq 3000); do if [ -e ${quote([room])} ]; then rm ${filler}; exit; fi; sleep 0.2; done) > /dev/null 2>&1 < /dev/null &`,
      quote([file, ...args]),
      command('disk', 'check', disk),
    ].join('\n');
    await using console = new GuestConsole({ file: 'unshare', args: ['-rm', 'sh', '-c', script] });
    await console.waitFor(prompt, BOOT);
    const ask = async (typed: string, answer: RegExp) => {
      console.type(`${typed}\n`);
      return console.waitFor(answer, ANSWER);
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    const [, sum] = await ask('head -c 12000000 /dev/urandom > /some; md5sum /some', /^([0-9a-f]{32})/m);
    console.type('dd if=/some of=/dev/sda bs=64k conv=fsync; echo status $?\n');
    for (let turns = 0; !/paused until there is room: .*the disk of this host is full/.test(console.errors); turns++) {
      assert.ok(turns < ANSWER * 10, `no word of a pause:\n${console.errors}\n${console.text.slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.doesNotMatch(console.text, /^status/m);
    writeFileSync(room, '');
    await console.waitFor(/^status 0$/m, ANSWER);
    assert.match(console.errors, /The guest goes on\./);
    const [, kept] = await ask(
      'echo 3 > /proc/sys/vm/drop_caches; head -c 12000000 /dev/sda | md5sum',
      /^([0-9a-f]{32})/m,
    );
    assert.equal(kept, sum);
    await ask('dmesg | grep -c -e "ata.*exception" -e "I/O error"', /^0$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null }, console.errors);
  });
}
