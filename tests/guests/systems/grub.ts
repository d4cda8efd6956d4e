// GRUB on a hard disk and on CDs, with a Debian kernel behind it, with Xen, or alone.
// Owns the images: where boot.img, core.img and the file system lie.
// Never runs GRUB's own installer, which wants block devices of the host and root.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DebianPackages } from '../../../main/starter/debian-packages.ts';
import { busyboxInitramfs } from '../../../main/starter/initramfs.ts';
import { debianGuest, noDebian } from '../debian.ts';
import { displayGuest } from './display-shell.ts';
import { lacking, tool } from './host-tools.ts';
import { image } from './image-cache.ts';
import { writePartitionTable } from './partition-table.ts';

const modules = '/usr/lib/grub/i386-pc';

export const noGrub: string | false = noDebian || lacking('grub-mkimage', `${modules}/boot.img`, 'mke2fs');
export const noGrubCd: string | false = noGrub || lacking('grub-mkrescue', 'xorriso', 'mformat');

const SECTOR = 512;
/** Where partitions begin since 1 MiB alignment came: the gap before is GRUB's. */
export const FIRST_PARTITION = 2048;

/** The menu of the tests' own GRUB images. `console=tty0` comes last, so /dev/console is the display. */
const menu = (append: string): string => `
set timeout=60
set default=0
menuentry "Debian from GRUB" {
  linux /vmlinuz ${append} console=tty0
  initrd /initrd.img
}
menuentry "Another entry" {
  echo Chosen: the other entry.
  sleep 600
}
`;

/**
 * Puts GRUB into the sectors before the first partition, as grub-bios-setup does: boot.img in the first sector, core.img
 * behind it, and in each where the next part lies (GRUB: include/grub/i386/pc/boot.h).
 */
export function embedGrub(disk: Uint8Array, coreImage: Uint8Array): void {
  if (coreImage.length > (FIRST_PARTITION - 1) * SECTOR) throw new Error('core.img is too large for its gap.');
  const boot = readFileSync(`${modules}/boot.img`).subarray(0, 440);
  // The code, less the BIOS parameter block's room, which only a floppy or a superfloppy needs.
  disk.set(boot, 0);
  const view = new DataView(disk.buffer, disk.byteOffset, disk.byteLength);
  view.setBigUint64(0x5c, 1n, true); // the sector of core.img
  // A boot drive of 0xff means the one that the BIOS gave in DL.
  disk[0x64] = 0xff;
  // GRUB jumps over the check that some BIOSes need (0x66) only where it is known to be a hard disk.
  disk.set([0x90, 0x90], 0x66);
  disk.set(coreImage, SECTOR);
  // The first sector of core.img loads the rest of it, by a list of blocks that ends with it: start, length, segment.
  const list = SECTOR + SECTOR - 12;
  view.setBigUint64(list, 2n, true);
  view.setUint16(list + 8, Math.ceil(coreImage.length / SECTOR) - 1, true);
}

/** GRUB's core image with what a disk with an ext file system in an MBR partition needs. */
export function grubCore(file: string): Buffer {
  const builtIn = ['biosdisk', 'part_msdos', 'ext2', 'normal'];
  tool('grub-mkimage', ['-O', 'i386-pc', '-d', modules, '-p', '(hd0,msdos1)/boot/grub', '-o', file, ...builtIn]);
  return readFileSync(file);
}

/** A disk of one ext2 partition with GRUB, its modules, Debian's kernel and the tests' initramfs. */
export async function grubDisk(): Promise<string> {
  const guest = await displayGuest('amd64');
  return image({
    name: 'grub-disk.img',
    version: `2-${guest.release.replaceAll(/[^0-9a-z]/g, '-')}`,
    make(file, work) {
      const root = join(work, 'root');
      mkdirSync(join(root, 'boot/grub'), { recursive: true });
      tool('cp', ['-r', modules, join(root, 'boot/grub/i386-pc')]);
      writeFileSync(join(root, 'boot/grub/grub.cfg'), menu(guest.append));
      copyFileSync(guest.kernel, join(root, 'vmlinuz'));
      writeFileSync(join(root, 'initrd.img'), guest.initramfs);
      const partition = join(work, 'partition');
      writeFileSync(partition, '');
      truncateSync(partition, 47 * 2 ** 20);
      tool('mke2fs', ['-q', '-t', 'ext2', '-d', root, partition]);
      const content = readFileSync(partition);
      const disk = Buffer.alloc(FIRST_PARTITION * SECTOR + content.length);
      embedGrub(disk, grubCore(join(work, 'core.img')));
      disk.set(content, FIRST_PARTITION * SECTOR);
      const whole = { start: FIRST_PARTITION, length: content.length / SECTOR, type: 0x83, active: true };
      writePartitionTable(disk, [whole], { heads: 255, sectors: 63 });
      writeFileSync(file, disk);
    },
  });
}

/** An ISO that GRUB starts from, the work of grub-mkrescue: El Torito without emulation. */
export async function grubCd(): Promise<string> {
  const guest = await displayGuest('i386');
  return image({
    name: 'grub.iso',
    version: `2-${guest.release.replaceAll(/[^0-9a-z]/g, '-')}`,
    make(file, work) {
      const root = join(work, 'root');
      mkdirSync(join(root, 'boot/grub'), { recursive: true });
      writeFileSync(join(root, 'boot/grub/grub.cfg'), menu(guest.append));
      copyFileSync(guest.kernel, join(root, 'vmlinuz'));
      writeFileSync(join(root, 'initrd.img'), guest.initramfs);
      tool('grub-mkrescue', ['-d', modules, '-o', file, root]);
    },
  });
}

/** What GRUB can try by itself, without a clock and without pictures: its authors' own tests of its functions. */
export const grubSelfTests = ['shift', 'mul', 'cmp', 'ctz', 'bswap', 'signature', 'pbkdf2', 'xnu_uuid', 'div', 'setjmp']
  .map((name) => `${name}_test`)
  .concat('exfctest');

/**
 * An ISO whose GRUB tries the machine and tells what it found on the first serial port: its own tests, PCI, ACPI and SMBIOS,
 * the disks by its own drivers in the firmware's place, USB. Then it turns the machine off by ACPI.
 */
export function grubTrialCd(): Promise<string> {
  return image({
    name: 'grub-trial.iso',
    version: 3,
    make(file, work) {
      const root = join(work, 'root');
      mkdirSync(join(root, 'boot/grub'), { recursive: true });
      const lines = [
        ...['serial --unit=0', 'terminal_output serial console', 'set pager=0', 'insmod functional_test'],
        ...[...grubSelfTests.map((name) => `insmod ${name}`), 'functional_test'],
        ...['lspci', 'lsacpi', 'smbios -t 1 -s 5', 'lsapm'],
        // All of GRUB's own drivers, of USB too: from here on firmware's disks are gone, and it finds this CD by the new ones.
        ...['nativedisk', ...['ata0', 'ahci0'].map((disk) => `md5sum (${disk},msdos1)/KERNEL.SYS`), 'usb'],
        ...['echo The trial is over.', 'halt'],
      ];
      writeFileSync(join(root, 'boot/grub/grub.cfg'), `${lines.join('\n')}\n`);
      tool('grub-mkrescue', ['-d', modules, '-o', file, root]);
    },
  });
}

/** The first domain's memory (MiB). */
const FIRST_DOMAIN = 256;

/** An ISO whose GRUB loads Xen, which then starts Debian's kernel as its first domain, with a shell on Xen's console. */
export async function xenCd(): Promise<string> {
  const guest = await debianGuest('amd64');
  const packages = new DebianPackages({ architecture: 'amd64' });
  const name = await packages.dependency('xen-system-amd64', 'xen-hypervisor-');
  if (name === null) throw new Error('Debian has no Xen for amd64.');
  const tree = join(await packages.unpack(name), 'boot');
  const xen = readdirSync(tree).find((each) => each.endsWith('.gz'));
  if (xen === undefined) throw new Error(`The package ${name} has ${readdirSync(tree)}.`);
  return image({
    name: 'xen.iso',
    version: `1-${guest.release.replaceAll(/[^0-9a-z]/g, '-')}`,
    async make(file, work) {
      const root = join(work, 'root');
      mkdirSync(join(root, 'boot/grub'), { recursive: true });
      writeFileSync(join(root, 'boot/xen'), gunzipSync(readFileSync(join(tree, xen))));
      copyFileSync(guest.kernel, join(root, 'boot/vmlinuz'));
      const busybox = join(await packages.unpack('busybox-static'), 'bin/busybox');
      const initramfs = busyboxInitramfs({ busybox: readFileSync(busybox), terminals: ['hvc0'] });
      writeFileSync(join(root, 'boot/initrd.img'), initramfs);
      const lines = [
        `multiboot2 /boot/xen console=com1 com1=115200 loglvl=all dom0_mem=${FIRST_DOMAIN}M`,
        ...['module2 /boot/vmlinuz console=hvc0', 'module2 /boot/initrd.img', 'boot'],
      ];
      writeFileSync(join(root, 'boot/grub/grub.cfg'), `${lines.join('\n')}\n`);
      tool('grub-mkrescue', ['-d', modules, '-o', file, root]);
    },
  });
}
