import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { architectures, prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { noStorage, storageGuest } from './storage-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 120;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-floppy-'));
after(() => rmSync(folder, { recursive: true }));

const digest = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

for (const architecture of architectures) {
  test(`Debian's ${architecture} floppy driver reads and writes two drives`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const images = [1440, 720].map((kilobytes, drive) => {
      const file = join(folder, `floppy-${architecture}-${drive}`);
      writeFileSync(file, randomBytes(kilobytes * 1024));
      return file;
    });
    const [first, second] = images as [string, string];
    const guest = await storageGuest(architecture, folder, ['floppy']);
    await using console = new GuestConsole(runCommand(guest, '--floppy', first, '--floppy', `${second},readonly`));
    await console.waitFor(prompt, BOOT);
    const ask = async (command: string, answer: RegExp) => {
      console.type(`${command}\n`);
      const match = await console.waitFor(answer, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match[1];
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('dmesg | grep "FDC 0"', /FDC 0 is a post-1991 82077/);
    for (const [drive, image] of images.entries())
      assert.equal(await ask(`md5sum /dev/fd${drive}`, /^([0-9a-f]{32})/m), digest(readFileSync(image)));
    const sum = await ask(
      'head -c 100000 /dev/urandom > /some; dd if=/some of=/dev/fd0 bs=1000 seek=500 conv=fsync; md5sum /some',
      /^([0-9a-f]{32})/m,
    );
    await ask('dd if=/dev/zero of=/dev/fd1 count=1; echo status $?', /^status [^0]/m);
    await ask('dmesg | grep -c -e "I/O error, dev fd0" -e "floppy0:"', /^0$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    assert.equal(digest(readFileSync(first).subarray(500_000, 600_000)), sum);
  });
}
