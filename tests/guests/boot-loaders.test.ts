import assert from 'node:assert/strict';
import { grubCd, grubDisk, noGrub, noGrubCd } from './systems/grub.ts';
import { lacking } from './systems/host-tools.ts';
import { isolinuxCd, noIsolinux } from './systems/isolinux.ts';
import { startSystem } from './systems/start.ts';
import type { SystemGuest } from './systems/system-guest.ts';
import { systemTest } from './systems/system-test.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const FIRMWARE = 60;
const KERNEL = 300;
const ANSWER = 60;

/** The prompt, whose last blank the text of a screen does not keep. */
const shell = /trivisor:\S+#$/m;

/** The kernel that a boot loader started has its shell on the display, and answers what is typed on the keyboard. */
async function useShell(guest: SystemGuest, processor: RegExp): Promise<void> {
  await guest.waitForScreen(shell, KERNEL);
  await guest.type('clear; uname -m; echo $((6 * 7)) answers\n');
  const shown = await guest.waitForScreen(/^(\S+)\n42 answers$/m, ANSWER);
  assert.match(shown[1]!, processor);
  await guest.type('poweroff -f\n');
  assert.equal((await guest.end(ANSWER)).reason, 'powerOff');
}

systemTest('grub-disk', noGrub, async () => {
  const disks = [{ file: await grubDisk(), snapshot: true }];
  await using guest = await startSystem({ name: 'GRUB on a disk', memoryMiB: 256, disks, boot: 'c' });
  await guest.waitForScreen(/Debian from GRUB[\s\S]*Another entry/, FIRMWARE);
  await guest.type('c');
  await guest.waitForScreen(/grub>/, ANSWER);
  await guest.type('ls (hd0,msdos1)/\n');
  await guest.waitForScreen(/^.*boot\/.* vmlinuz.*$/m, ANSWER);
  await guest.press('Escape');
  await guest.waitForScreen(/Debian from GRUB/, ANSWER);
  await guest.press('ArrowDown');
  await guest.press('ArrowUp');
  await guest.press('Enter');
  await useShell(guest, /^x86_64$/);
});

systemTest('grub-cd', noGrubCd, async () => {
  const cdrom = await grubCd();
  await using guest = await startSystem({ name: 'GRUB on an ISO', memoryMiB: 256, cdrom, boot: 'd' });
  await guest.waitForScreen(/Debian from GRUB[\s\S]*Another entry/, FIRMWARE);
  await guest.press('Enter');
  await useShell(guest, /^i[3-6]86$/);
});

systemTest('isolinux', noIsolinux, async () => {
  const cdrom = await isolinuxCd();
  await using guest = await startSystem({ name: 'isolinux', memoryMiB: 256, cdrom, boot: 'd' });
  await guest.waitForScreen(/A CD of the tests\.\s+boot:\s*$/, FIRMWARE);
  await guest.press('F1');
  await guest.waitForScreen(/Type debian and Enter\.\s+boot:/, ANSWER);
  await guest.type('nothing\n');
  await guest.waitForScreen(/^Loading nothing\.\.\. failed/m, ANSWER);
  await guest.type('debian\n');
  await useShell(guest, /^x86_64$/);
});

const ipxe = '/usr/lib/ipxe/ipxe.iso';

systemTest('ipxe', lacking(ipxe), async () => {
  await using guest = await startSystem({ name: 'iPXE', memoryMiB: 64, cdrom: ipxe, boot: 'd' });
  await guest.waitFor('its prompt', FIRMWARE, async () => {
    const text = await guest.screen();
    if (text === undefined) return undefined;
    if (/iPXE>/.test(text)) return true;
    // Control and B leads to the prompt, while it offers that.
    if (/Ctrl-B/.test(text)) await guest.press('ControlLeft', 'KeyB');
    return undefined;
  });
  const [platform, processor] = ['platform', 'buildarch'].map((setting) => `\${${setting}}`);
  await guest.type(`iseq ${platform} pcbios && echo This is ${platform} on ${processor}\n`);
  await guest.waitForScreen(/^This is pcbios on i386$/m, ANSWER);
});
