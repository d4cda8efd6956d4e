import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { type Client, GuestSettings } from '../../main/contract.ts';
import { checkDisk, convertDisk } from '../../main/disks/disks.ts';
import { connectToOwner } from '../../main/home/home.ts';
import { GuestConsole } from './console.ts';
import { prompt } from './debian.ts';
import { needsTrivisor, runCommand, type TestGuest, trivisorCommand } from './engines.ts';
import { complaintsOf, makeDisk, noStorage, storageGuest } from './storage-guest.ts';

// kill -9 of the app while its guest writes files: the image is whole, the guest's journal recovers, and the next app goes on.

const BOOT = 600;
const ANSWER = 300;
/** Kills of each disk: 25 in the nightly run, fifty in all. */
const KILLS = process.env.TRIVISOR_NIGHTLY ? 25 : 2;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-killed-'));
process.env.TRIVISOR_LOCKS = join(folder, 'locks');
after(() => rmSync(folder, { recursive: true }));

const env = { ...process.env, PATH: [process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter) };

interface DiskWords {
  file: string;
  format: 'qcow2' | 'raw';
  interface: 'ide' | 'ahci';
}

/** A guest that runs, what is typed into it, and the process that dies with it. */
interface Run {
  console: GuestConsole;
  process: ChildProcess;
}

/** The guest as the command line runs it: the process is its console as well. */
async function inForeground(guest: TestGuest, disk: DiskWords): Promise<Run> {
  const console = new GuestConsole(runCommand(guest, '--disk', `${disk.file},if=${disk.interface}`));
  return { console, process: console.process };
}

/** The guest in the inventory of an app that has no window; its console is another process. */
async function inTheApp(guest: TestGuest, disk: DiskWords): Promise<Run> {
  const home = join(folder, 'home');
  const { file, args } = trivisorCommand('daemon', '--home', home);
  const app = spawn(file, args, { stdio: 'ignore' });
  try {
    let client: Client | null = null;
    for (let look = 0; (client = await connectToOwner(home)) === null; look++) {
      assert.ok(look < BOOT * 10 && app.exitCode === null, 'the app did not start');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { kernel, initrd, append, memoryMiB } = guest;
    const known = await client.call('guests.list', {});
    // The app that was killed left its guest behind: it is there, and off.
    assert.deepEqual(
      known.map(({ state }) => state),
      known.map(() => 'off'),
    );
    const id =
      known[0]?.id ??
      (
        await client.call('guests.create', {
          settings: GuestSettings.parse({ name: 'writer', kernel, initrd, append, memoryMiB, disks: [disk] }),
        })
      ).id;
    await client.call('guests.start', { guest: id });
    const console = new GuestConsole(trivisorCommand('console', 'writer', '--home', home));
    client.close();
    return { console, process: app };
  } catch (error) {
    app.kill('SIGKILL');
    throw error;
  }
}

for (const [format, connected, run, where] of [
  ['qcow2', 'ide', inForeground, 'by the command line'],
  ['raw', 'ahci', inTheApp, 'in the app'],
] as const) {
  test(`killed ${KILLS} times while its guest writes files to a ${format} disk on ${connected}, ${where}`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const guest = await storageGuest('amd64', folder);
    const plain = join(folder, `${connected}.img`);
    const disk = format === 'raw' ? plain : join(folder, `${connected}.${format}`);
    makeDisk(plain, 'from the disk\n');
    if (format !== 'raw') await convertDisk(plain, disk, { from: 'raw', format }, () => {});
    for (let kill = 0; kill < KILLS; kill++) {
      const { console, process: app } = await run(guest, { file: disk, format, interface: connected });
      await using _console = console;
      using _app = { [Symbol.dispose]: () => app.kill('SIGKILL') };
      await console.waitFor(prompt, BOOT);
      console.type('dmesg -n 1; mkdir /disk; mount /dev/sda /disk && cat /disk/greeting\n');
      await console.waitFor(/^from the disk$/m, ANSWER);
      console.type(
        'i=0; while :; do i=$((i+1)); head -c 40000 /dev/urandom > /disk/f$((i%40)); rm -f /disk/f$(((i+7)%40));' +
          ' [ $((i%8)) = 0 ] && sync; [ $((i%20)) = 0 ] && echo round $i; done\n',
      );
      await console.waitFor(/^round \d+/m, ANSWER);
      await new Promise((resolve) => setTimeout(resolve, (kill * 137) % 900));
      const ended = new Promise((resolve) => app.once('exit', (_, signal) => resolve(signal)));
      app.kill('SIGKILL');
      assert.equal(await ended, 'SIGKILL');
      await console.ended;

      const found = await checkDisk(disk, false, format);
      assert.equal(found.corruptions + found.damages, 0, found.details.join('; '));
      const copy = join(folder, `${connected}-${kill}.img`);
      await convertDisk(disk, copy, { from: format, format: 'raw' }, () => {});
      const recovered = spawnSync('e2fsck', ['-p', copy], { env, encoding: 'utf8' });
      assert.ok(recovered.status === 0 || recovered.status === 1, `${recovered.stdout}${recovered.stderr}`);
      assert.equal(complaintsOf(copy), '');
      rmSync(copy);
    }
  });
}
