// Programs that try a PC's hardware with drivers of their own, and a hypervisor: nothing of them was made for this machine.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DebianPackages } from '../../main/starter/debian-packages.ts';
import { architectures, noDebian, prompt } from './debian.ts';
import { engine } from './engines.ts';
import { freeDosDisk, freeDosFile, noFreeDos } from './systems/freedos.ts';
import { grubSelfTests, grubTrialCd, noGrubCd, xenCd } from './systems/grub.ts';
import { isolinuxToolsCd, noIsolinuxTools } from './systems/isolinux.ts';
import { startSystem } from './systems/start.ts';
import { nightly, systemTest } from './systems/system-test.ts';

/** In QEMU these tests only show that they are right. */
const isOurs = engine !== 'qemu';

/** Seconds: a noisy machine is given several times what it takes. */
const FIRMWARE = 120;
const TRIAL = 900;
const KERNEL = 600;
const ANSWER = 60;

systemTest(
  'isolinux-hdt',
  noIsolinuxTools || (!isOurs && 'QEMU lacks a table that its menus have a line for'),
  async () => {
    const cdrom = await isolinuxToolsCd();
    await using guest = await startSystem({ name: 'hdt', memoryMiB: 64, cpus: 2, cdrom, boot: 'd' });
    await guest.waitForScreen(/boot:\s*$/, FIRMWARE);
    await guest.type('hdt.c32\n');
    const menu = await guest.waitForScreen(
      /Main Menu[\s\S]*PCI Devices\(([ \d]+)\)[\s\S]*ACPI[\s\S]*Summary/,
      FIRMWARE,
    );
    assert.ok(Number(menu[1]) >= 5, `${menu[1]} PCI devices`);
    for (let line = 0; line < 10; line++) await guest.press('ArrowDown');
    await guest.press('Enter');
    const { input } = await guest.waitForScreen(/Summary \(\d CPU\)[\s\S]*Nb PCI Devices/, ANSWER);
    assert.match(input, /64bit, SMP/);
    assert.match(input, /System Vendor : Trivisor[\s\S]*System Product: Trivisor PC/);
    assert.match(input, /Memory Size {3}: 6\d MiB/);
  },
);

systemTest('memdisk', noIsolinuxTools, async () => {
  const cdrom = await isolinuxToolsCd();
  await using guest = await startSystem({ name: 'memdisk', memoryMiB: 32, cdrom, boot: 'd' });
  await guest.waitForScreen(/boot:\s*$/, FIRMWARE);
  await guest.type('dos\n');
  await guest.waitForScreen(/A:\\>\s*$/, FIRMWARE);
  await guest.type('dir\n');
  await guest.waitForScreen(/^KERNEL +SYS +45,450 [\s\S]* bytes free$/m, ANSWER);
  await guest.type('sum\n');
  await guest.waitForScreen(/^The sum is 5050 by DOS\.$/m, ANSWER);
});

systemTest('grub-trial', noGrubCd || noFreeDos, async () => {
  const [cdrom, file] = [await grubTrialCd(), await freeDosDisk()];
  const disks = (['ide', 'ahci'] as const).map((kind) => ({ file, snapshot: true, interface: kind }));
  await using guest = await startSystem({
    name: 'the trial by GRUB',
    memoryMiB: 128,
    cpus: 2,
    cdrom,
    disks,
    boot: 'd',
  });
  await guest.waitFor('the end of the trial', TRIAL, async () => /The trial is over/.test(guest.serial) || undefined);
  const said = guest.serial;
  for (const name of grubSelfTests) assert.match(said, new RegExp(`^${name}: PASS$`, 'm'));
  assert.doesNotMatch(said, /FAIL|assert failed|bad checksum|\(invalid\)/);
  assert.match(said, /^32-bit protected interface supported$/m);
  if (isOurs) {
    assert.match(said, /^Trivisor PC$/m);
    assert.match(said, /^Product: `USB Tablet'/m);
  }
  const kernel = createHash('md5').update(freeDosFile('KERNEL.SYS')).digest('hex');
  for (const disk of ['ata0', 'ahci0']) assert.match(said, new RegExp(`^${kernel} +\\(${disk},msdos1\\)/KERNEL`, 'm'));
  assert.equal((await guest.end(ANSWER)).reason, 'powerOff');
});

for (const architecture of architectures) {
  systemTest(`memtest-${architecture}`, noDebian || (architecture === 'i386' && nightly), async () => {
    const tree = await new DebianPackages({ architecture: 'amd64' }).unpack('memtest86+');
    const cdrom = join(tree, `usr/lib/memtest86+/memtest86+${architecture === 'i386' ? 'ia32' : 'x64'}.iso`);
    const name = `Memtest86 ${architecture}`;
    await using guest = await startSystem({ name, memoryMiB: 16, cpus: 2, cdrom, boot: 'd' });
    // The last test waits minutes for bits to fade.
    const { input } = await guest.waitForScreen(/Test #10 [\s\S]*Errors: \d+/, TRIAL);
    assert.match(input, /Errors: 0\b/);
    assert.match(input, /CPU: 2 Cores 2 Threads +SMP: 2T/);
  });
}

systemTest('xen', noGrubCd, async () => {
  const cdrom = await xenCd();
  await using guest = await startSystem({ name: 'Xen', memoryMiB: 512, cpus: 2, cdrom, boot: 'd' });
  await guest.waitForSerial(/Brought up 2 CPUs/, KERNEL);
  await guest.waitForSerial(prompt, KERNEL);
  assert.doesNotMatch(guest.serial, /^\(XEN\) mtrr: .*inconsistent/m);
  guest.typeSerial('dmesg -n 1; cat /sys/hypervisor/type; nproc; echo $((6 * 7)) answers\n');
  await guest.waitForSerial(/^xen\s+2\s+42 answers$/m, ANSWER);
  guest.typeSerial('poweroff -f\n');
  assert.equal((await guest.end(ANSWER)).reason, 'powerOff');
});
