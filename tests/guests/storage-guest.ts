// Debian guests that use a disk and a CD: the kernel's own drivers, an ext4 image and an ISO made on this host.
// Owns which modules are loaded, the images, and what the host's tools say of them afterwards.
// Never runs where a tool is missing: then the tests say so by name.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { noDebian } from './debian.ts';
import { moduleGuest } from './module-guest.ts';

/** In loading order: what an ext4 disk and an ISO on a PIIX or AHCI controller need of Debian's kernel. */
const modules = [
  ...['crc32c_generic', 'crct10dif_common', 'crct10dif_generic', 'crc64', 'crc64_rocksoft_generic', 'crc-t10dif'],
  ...['crc64-rocksoft', 'crc16', 'scsi_common', 'scsi_mod', 'libata', 't10-pi', 'sd_mod', 'cdrom', 'sr_mod'],
  ...['mbcache', 'jbd2', 'ext4', 'isofs', 'ata_piix', 'libahci', 'ahci'],
];

/** Where they lie in the kernel's package; by folder, because what is built in differs between releases. */
const moduleFolders = [
  ...['crypto/crc*', 'lib/crc*', 'block/*', 'drivers/scsi/s[cdr]*', 'drivers/ata/*', 'drivers/cdrom/*'],
  ...['fs/ext4/*', 'fs/jbd2/*', 'fs/mbcache*', 'fs/isofs/*', 'drivers/block/floppy*'],
];

const tools = ['mke2fs', 'debugfs', 'e2fsck', 'xorriso'];
/** Debian keeps the tools of file systems out of a person's PATH. */
const path = `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`;
const env = { ...process.env, PATH: path };
const missing = tools.filter((tool) => !path.split(delimiter).some((folder) => existsSync(join(folder, tool))));

/** Why there are no disks to test with here, for a test's `skip`; false where there are. */
export const noStorage: string | false =
  noDebian || (missing.length > 0 ? `the host has no ${missing.join(', ')} (e2fsprogs, xorriso)` : false);

/** A Debian guest whose initramfs, made in `folder`, has loaded the drivers, and `more`, when its prompt comes. */
export function storageGuest(architecture: DebianArchitecture, folder: string, more: readonly string[] = []) {
  return moduleGuest(architecture, folder, [...modules, ...more], moduleFolders);
}

/** An ext4 image of 16 MiB with one file, `greeting`. */
export function makeDisk(image: string, greeting: string): void {
  const content = `${image}.content`;
  mkdirSync(content);
  writeFileSync(join(content, 'greeting'), greeting);
  writeFileSync(image, '');
  truncateSync(image, 16 * 2 ** 20);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', content, image], { env, stdio: 'pipe' });
}

/** An ISO 9660 image with one file, `greeting`. */
export function makeCd(image: string, greeting: string): void {
  const content = `${image}.content`;
  mkdirSync(content);
  writeFileSync(join(content, 'greeting'), greeting);
  execFileSync('xorriso', ['-as', 'mkisofs', '-quiet', '-R', '-o', image, content], { env, stdio: 'pipe' });
}

/** The bytes of a file in an ext4 image, as the host's debugfs reads them. */
export function fileOnDisk(image: string, name: string): Buffer {
  return execFileSync('debugfs', ['-R', `cat ${name}`, image], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26,
  });
}

/** What e2fsck says against an image; empty if nothing. It only looks. */
export function complaintsOf(image: string): string {
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-f', '-n', image], { env, encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}
