// CDs that isolinux starts: a small one with a prompt, one with tools, and Debian's installer.
// Owns what lies where on them.
// Never changes the installer's own files; only what its own boot menu does not offer is added.

import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DebianArchitecture, DebianPackages } from '../../../main/starter/debian-packages.ts';
import { noDebian } from '../debian.ts';
import { displayGuest } from './display-shell.ts';
import { freeDosFloppy, noFreeDos } from './freedos.ts';
import { lacking, tool } from './host-tools.ts';
import { image } from './image-cache.ts';

const isolinux = '/usr/lib/ISOLINUX/isolinux.bin';
const modules = '/usr/lib/syslinux/modules/bios';

export const noIsolinux: string | false = noDebian || lacking('xorriso', isolinux, `${modules}/ldlinux.c32`);

/** An ISO that isolinux starts from, by El Torito without emulation. */
function makeIso(file: string, root: string): void {
  copyFileSync(isolinux, join(root, 'isolinux.bin'));
  copyFileSync(join(modules, 'ldlinux.c32'), join(root, 'ldlinux.c32'));
  const boot = ['-b', 'isolinux.bin', '-c', 'boot.cat', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table'];
  tool('xorriso', ['-as', 'mkisofs', '-quiet', '-R', '-J', ...boot, '-o', file, root]);
}

/** isolinux with its prompt, a help screen and Debian's kernel. */
export async function isolinuxCd(): Promise<string> {
  const guest = await displayGuest('amd64');
  return image({
    name: 'isolinux.iso',
    version: `2-${guest.release.replaceAll(/[^0-9a-z]/g, '-')}`,
    make(file, work) {
      copyFileSync(guest.kernel, join(work, 'vmlinuz'));
      writeFileSync(join(work, 'initrd.img'), guest.initramfs);
      const config = [
        ...['prompt 1', 'timeout 0', 'display greeting.txt', 'f1 help.txt', 'label debian', '  kernel vmlinuz'],
        `  append initrd=initrd.img ${guest.append} console=tty0`,
      ];
      writeFileSync(join(work, 'isolinux.cfg'), `${config.join('\n')}\n`);
      writeFileSync(join(work, 'greeting.txt'), 'A CD of the tests.\n');
      writeFileSync(join(work, 'help.txt'), 'Type debian and Enter.\n');
      makeIso(file, work);
    },
  });
}

const memdisk = '/usr/lib/syslinux/memdisk';
/** The module that shows what a PC has, and those that it needs. */
const hardwareModules = ['hdt.c32', 'libcom32.c32', 'libgpl.c32', 'libmenu.c32', 'libutil.c32'];

export const noIsolinuxTools: string | false =
  lacking('xorriso', isolinux, memdisk, ...hardwareModules.map((name) => join(modules, name))) || noFreeDos;

/** isolinux with `hdt.c32`, and with FreeDOS's floppy, which memdisk makes a drive of: `dos`. */
export function isolinuxToolsCd(): Promise<string> {
  return image({
    name: 'isolinux-tools.iso',
    version: 1,
    async make(file, work) {
      for (const name of hardwareModules) copyFileSync(join(modules, name), join(work, name));
      copyFileSync(memdisk, join(work, 'memdisk'));
      copyFileSync(await freeDosFloppy(), join(work, 'freedos.img'));
      const config = ['prompt 1', 'timeout 0', 'label dos', '  kernel memdisk', '  initrd freedos.img'];
      writeFileSync(join(work, 'isolinux.cfg'), `${config.join('\n')}\n`);
      makeIso(file, work);
    },
  });
}

/** Bookworm's, the release whose kernel and screens the tests know. */
const RELEASE = '12';

/**
 * Debian's installer as an ISO: the text and the graphical one, with the graphical one's own boot menu. At its prompt,
 * which Escape gives, `vgatext` starts the text installer on VGA text instead of a frame buffer.
 */
export async function installerCd(architecture: DebianArchitecture): Promise<string> {
  const name = `debian-installer-${RELEASE}-netboot-${architecture}`;
  const tree = await new DebianPackages({ architecture }).unpack(name);
  return image({
    name: `installer-${architecture}.iso`,
    version: 2,
    make(file, work) {
      const images = join(tree, 'usr/lib/debian-installer/images', RELEASE, architecture);
      for (const [kind, folder] of [
        ['gtk', 'debian-installer'],
        ['text', 'text'],
      ] as const) {
        const from = join(images, kind, 'debian-installer', architecture);
        const to = join(work, folder, architecture);
        mkdirSync(to, { recursive: true });
        for (const each of ['linux', 'initrd.gz']) copyFileSync(join(from, each), join(to, each));
        if (kind === 'gtk') tool('cp', ['-rL', join(from, 'boot-screens'), to]);
      }
      const screens = join(work, 'debian-installer', architecture, 'boot-screens');
      if (!existsSync(join(screens, 'vesamenu.c32'))) throw new Error(`The installer has ${readdirSync(screens)}.`);
      const config = [
        `path debian-installer/${architecture}/boot-screens/`,
        `include debian-installer/${architecture}/boot-screens/menu.cfg`,
        `default debian-installer/${architecture}/boot-screens/vesamenu.c32`,
        ...['prompt 0', 'timeout 0', 'label vgatext', '  menu hide', `  kernel text/${architecture}/linux`],
        `  append initrd=text/${architecture}/initrd.gz vga=normal fb=false nomodeset --- quiet`,
      ];
      writeFileSync(join(work, 'isolinux.cfg'), `${config.join('\n')}\n`);
      makeIso(file, work);
    },
  });
}
