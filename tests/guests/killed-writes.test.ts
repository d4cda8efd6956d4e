import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { checkDisk, convertDisk } from '../../main/disks/disks.ts';
import { GuestConsole } from './console.ts';
import { prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { complaintsOf, makeDisk, noStorage, storageGuest } from './storage-guest.ts';

// kill -9 of the process while its guest writes files: the image is whole, and the guest's journal recovers.

const BOOT = 300;
const ANSWER = 120;
/** Kills of each disk: 25 in the nightly run, fifty in all. */
const KILLS = process.env.TRIVISOR_NIGHTLY ? 25 : 2;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-killed-'));
process.env.TRIVISOR_LOCKS = join(folder, 'locks');
after(() => rmSync(folder, { recursive: true }));

const env = { ...process.env, PATH: [process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter) };

for (const [format, connected] of [
  ['qcow2', 'ide'],
  ['raw', 'ahci'],
] as const) {
  test(`killed ${KILLS} times while its guest writes files to a ${format} disk on ${connected}`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const guest = await storageGuest('amd64', folder);
    const plain = join(folder, `${connected}.img`);
    const disk = format === 'raw' ? plain : join(folder, `${connected}.${format}`);
    makeDisk(plain, 'from the disk\n');
    if (format !== 'raw') await convertDisk(plain, disk, { from: 'raw', format }, () => {});
    for (let kill = 0; kill < KILLS; kill++) {
      const command = runCommand(guest, '--disk', `${disk},if=${connected}`);
      await using console = new GuestConsole(command);
      await console.waitFor(prompt, BOOT);
      console.type('dmesg -n 1; mkdir /disk; mount /dev/sda /disk && cat /disk/greeting\n');
      await console.waitFor(/^from the disk$/m, ANSWER);
      console.type(
        'i=0; while :; do i=$((i+1)); head -c 40000 /dev/urandom > /disk/f$((i%40)); rm -f /disk/f$(((i+7)%40));' +
          ' [ $((i%8)) = 0 ] && sync; [ $((i%20)) = 0 ] && echo round $i; done\n',
      );
      await console.waitFor(/^round \d+/m, ANSWER);
      await new Promise((resolve) => setTimeout(resolve, (kill * 137) % 900));
      process.kill(console.pid!, 'SIGKILL');
      assert.equal((await console.ended).signal, 'SIGKILL');

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
