import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Report } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { architectures, prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { complaintsOf, fileOnDisk, makeDisk, noStorage } from './storage-guest.ts';
import { virtioGuest } from './virtio-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-virtio-'));
after(() => rmSync(folder, { recursive: true }));

for (const architecture of architectures) {
  test(`Debian's ${architecture} kernel uses virtio devices in the PC: disks, console, random numbers`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const own = mkdtempSync(join(folder, 'run-'));
    const [disk, protectedDisk, report] = ['disk', 'protected', 'report'].map((name) => join(own, name));
    makeDisk(disk, 'from the disk\n');
    makeDisk(protectedDisk, 'not to be written\n');
    const guest = await virtioGuest(architecture, folder);
    await using console = new GuestConsole(
      runCommand(
        guest,
        ...['--disk', `${disk},if=virtio`, '--disk', `${protectedDisk},if=virtio,readonly`],
        ...['--virtio', 'console,rng', '--report', report],
      ),
    );
    await console.waitFor(prompt, BOOT);
    const ask = async (command: string, answer: RegExp) => {
      console.type(`${command}\n`);
      const match = await console.waitFor(answer, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match;
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('echo $(cat /sys/block/vda/serial) $(cat /sys/block/vda/queue/write_cache)', /^TV-VD-1 write back$/m);
    await ask('mkdir /disk; mount -o discard /dev/vda /disk && cat /disk/greeting', /^from the disk$/m);
    await ask(
      'mkdir -p /mnt; mount -o ro,noload /dev/vdb /mnt; cat /mnt/greeting; echo x > /dev/vdb',
      /^not to be written$/m,
    );
    const [, sum] = await ask(
      'head -c 3000000 /dev/urandom > /disk/random; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum /disk/random',
      /^([0-9a-f]{32})/m,
    );
    await ask('echo through hvc0 > /dev/hvc0', /^through hvc0$/m);
    await ask('head -c 3 /dev/hwrng | wc -c; cat /sys/class/misc/hw_random/rng_current', /^3\nvirtio_rng/m);
    await ask('rm /disk/greeting; umount /disk /mnt; mount | grep -c /dev/vd', /^0$/m);
    await ask('dmesg | grep -c -e "I/O error" -e "needs reset"', /^0$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });

    assert.equal(complaintsOf(disk), '');
    assert.equal(createHash('md5').update(fileOnDisk(disk, 'random')).digest('hex'), sum);
    const { bytesRead, bytesWritten } = (JSON.parse(readFileSync(report, 'utf8')) as Report).disk;
    assert.ok(bytesWritten >= 3_000_000 && bytesRead >= 3_000_000, `${bytesRead} bytes read, ${bytesWritten} written`);
  });
}
