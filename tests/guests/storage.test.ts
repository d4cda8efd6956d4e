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
import { complaintsOf, fileOnDisk, makeCd, makeDisk, noStorage, storageGuest } from './storage-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-storage-'));
after(() => rmSync(folder, { recursive: true }));

const digest = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** How the disk is connected, parameters of Linux's libata, and what the kernel says of the disk then. */
const ways = [
  { words: '', parameters: '', append: '', said: /XFER_MW_DMA_2/ },
  { words: '', parameters: 'dma=0', append: '', said: /XFER_PIO_4/, only: 'amd64' },
  { words: ',if=ahci', parameters: '', append: '', said: /NCQ \(depth 32\)/ },
  { words: ',if=ahci', parameters: 'force=noncq', append: ' pci=nomsi', said: /NCQ \(not used\)/, only: 'i386' },
] as const;

const runs = architectures.flatMap((architecture) =>
  ways.flatMap((way) => ('only' in way && way.only !== architecture ? [] : [{ architecture, ...way }])),
);

for (const { architecture, words, parameters, append, said } of runs) {
  test(`Debian's ${architecture} kernel reads a CD and writes an ext4 disk${words} ${parameters}${append}`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const own = mkdtempSync(join(folder, 'run-'));
    const [disk, cd, report] = ['disk', 'cd', 'report'].map((name) => join(own, name));
    makeDisk(disk, 'from the disk\n');
    makeCd(cd, 'from the CD\n');
    const bare = await storageGuest(architecture, folder);
    const guest = { ...bare, append: `${bare.append}${append}` };
    await using console = new GuestConsole(
      runCommand(guest, '--disk', `${disk}${words}`, '--cdrom', cd, '--report', report),
    );
    await console.waitFor(prompt, BOOT);
    const ask = async (command: string, answer: RegExp) => {
      console.type(`${command}\n`);
      const match = await console.waitFor(answer, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match;
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    if (parameters !== '') {
      const modules = ['ata_piix', 'libahci', 'ahci'].map((name) => `insmod /lib/modules/${name}.ko`).join('; ');
      await ask(
        `rmmod ahci libahci ata_piix libata; dmesg -c > /log; insmod /lib/modules/libata.ko ${parameters}; ${modules}; lsmod`,
        /^ahci/m,
      );
      await ask('sleep 5; echo slept', /^slept/m);
    }
    await ask('dmesg | grep NCQ; cat /sys/class/ata_device/dev*/xfer_mode', said);
    await ask('mkdir /disk /cd; mount /dev/sda /disk && cat /disk/greeting', /^from the disk$/m);
    await ask('mount -t iso9660 /dev/sr0 /cd && cat /cd/greeting', /^from the CD$/m);
    const [, sum] = await ask(
      'head -c 3000000 /dev/urandom > /disk/random; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum /disk/random',
      /^([0-9a-f]{32})/m,
    );
    await ask('umount /disk /cd; mount | grep -c -e sda -e sr0', /^0$/m);
    await ask('dmesg | grep -c -e "ata.*exception" -e "I/O error"', /^0$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });

    assert.equal(complaintsOf(disk), '');
    assert.equal(digest(fileOnDisk(disk, 'random')), sum);
    const { bytesRead, bytesWritten, reads, writes } = (JSON.parse(readFileSync(report, 'utf8')) as Report).disk;
    assert.ok(bytesWritten >= 3_000_000 && bytesRead >= 3_000_000, `${bytesRead} bytes read, ${bytesWritten} written`);
    assert.ok(reads > 10 && writes > 10, `${reads} reads, ${writes} writes`);
  });
}
