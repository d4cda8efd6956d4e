// GRUB on a hard disk and on a CD, with a Debian kernel behind it.
// Owns the two images: where boot.img, core.img and the file system lie.
// Never runs GRUB's own installer, which wants block devices of the host and root.

import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noDebian } from '../debian.ts';
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
