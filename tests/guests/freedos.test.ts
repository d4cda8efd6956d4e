import { test } from 'node:test';
import { freeDosDisk, freeDosFloppy, noFreeDos } from './systems/freedos.ts';
import { startSystem } from './systems/start.ts';
import type { SystemGuest } from './systems/system-guest.ts';
import { systemTest } from './systems/system-test.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 120;
const ANSWER = 30;

/** Commands at the prompt of a drive, each with what only its execution can have shown. */
async function useDos(guest: SystemGuest, drive: 'A' | 'C'): Promise<void> {
  await guest.type('ver\n');
  await guest.waitForScreen(/FreeCom version \S+/i, ANSWER);
  await guest.type('cls\n');
  await guest.waitForScreen(new RegExp(`^\\s*${drive}:\\\\>\\s*$`), ANSWER);
  await guest.type('dir\n');
  await guest.waitForScreen(/^SUM +COM +75 /m, ANSWER);
  await guest.waitForScreen(/^KERNEL +SYS +45,450 [\s\S]* bytes free$/m, ANSWER);
  await guest.type('sum\n');
  await guest.waitForScreen(/^The sum is 5050 by DOS\.$/m, ANSWER);
  await guest.type('if errorlevel 7 if not errorlevel 8 echo It told se%PATH%ven.\n');
  await guest.waitForScreen(/^It told se.*ven\.$/m, ANSWER);
  await guest.type('echo kept > note.txt\ntype note.txt\n');
  await guest.waitForScreen(/^kept/m, ANSWER);
}

systemTest('freedos-floppy', noFreeDos, async () => {
  const floppy = { file: await freeDosFloppy() };
  await using guest = await startSystem({ name: 'FreeDOS', memoryMiB: 16, floppy, boot: 'a' });
  await guest.waitForScreen(/A:\\>\s*$/, BOOT);
  await useDos(guest, 'A');
});

systemTest('freedos-disk', noFreeDos, async () => {
  const disks = [{ file: await freeDosDisk(), snapshot: true }];
  await using guest = await startSystem({ name: 'FreeDOS on disk', memoryMiB: 32, disks, boot: 'c' });
  await guest.waitForScreen(/Started from the hard disk\.\s+C:\\>\s*$/, BOOT);
  await useDos(guest, 'C');
});

test('FreeDOS starts from a virtio disk, which only firmware drives', { skip: noFreeDos }, async () => {
  const disks = [{ file: await freeDosDisk(), snapshot: true, interface: 'virtio' as const }];
  await using guest = await startSystem({ name: 'FreeDOS on virtio', memoryMiB: 32, disks, boot: 'c' });
  await guest.waitForScreen(/Started from the hard disk\.\s+C:\\>\s*$/, BOOT);
  await useDos(guest, 'C');
});
