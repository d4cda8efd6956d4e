// A whole Debian system on a disk with GRUB: what debootstrap makes, as anybody would install it.
// Owns how it is built, and who may log in.
// Never built without root: debootstrap asks for it.

import { mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DebianArchitecture } from '../../../main/starter/debian-packages.ts';
import { mirror } from './debian-mirror.ts';
import { embedGrub, FIRST_PARTITION, grubCore, noGrub } from './grub.ts';
import { lacking, tool, verdict } from './host-tools.ts';
import { image } from './image-cache.ts';
import { writePartitionTable } from './partition-table.ts';

export const noDebianSystem: string | false =
  noGrub ||
  lacking('debootstrap', 'mke2fs', 'qemu-img', 'chroot') ||
  (process.getuid?.() !== 0 && 'debootstrap needs root');

const RELEASE = 'bookworm';
const SECTOR = 512;
/** Room for the system and for what the tests write: 1.5 GiB. */
const PARTITION_BYTES = 1536 * 2 ** 20;

/** How the system is logged into. */
export const login = { user: 'root', password: 'trivisor' };

const packages = [
  'systemd-sysv',
  'dbus',
  'udev',
  'kmod',
  'login',
  'passwd',
  'e2fsprogs',
  'iproute2',
  'initramfs-tools',
];
const kernels = { amd64: 'linux-image-amd64', i386: 'linux-image-686' } as const satisfies Record<
  DebianArchitecture,
  string
>;

/**
 * The disk: qcow2, compressed, one ext4 partition. GRUB starts the kernel with a console on the display and on the
 * first serial port; systemd runs a login on each.
 */
export function debianSystem(architecture: DebianArchitecture): Promise<string> {
  return image({
    name: architecture === 'amd64' ? 'debian-system.qcow2' : `debian-system-${architecture}.qcow2`,
    version: 2,
    make(file, work) {
      const root = join(work, 'root');
      const wanted = [...packages, kernels[architecture]].join(',');
      const options = [`--arch=${architecture}`, '--variant=minbase', `--include=${wanted}`];
      tool('debootstrap', [...options, RELEASE, root, mirror()]);
      furnish(root);
      const partition = join(work, 'partition');
      writeFileSync(partition, '');
      truncateSync(partition, PARTITION_BYTES);
      tool('mke2fs', ['-q', '-t', 'ext4', '-L', 'system', '-d', root, partition]);
      const head = Buffer.alloc(FIRST_PARTITION * SECTOR);
      embedGrub(head, grubCore(join(work, 'core.img')));
      const whole = { start: FIRST_PARTITION, length: PARTITION_BYTES / SECTOR, type: 0x83, active: true };
      writePartitionTable(head, [whole], { heads: 255, sectors: 63 });
      const disk = join(work, 'disk.img');
      writeFileSync(disk, head);
      tool('dd', [`if=${partition}`, `of=${disk}`, 'bs=1M', 'seek=1', 'conv=sparse,notrunc', 'status=none']);
      truncateSync(disk, FIRST_PARTITION * SECTOR + PARTITION_BYTES);
      tool('qemu-img', ['convert', '-c', '-O', 'qcow2', disk, file]);
    },
  });
}

/** What an installer would ask for: names, the boot menu, a password. */
function furnish(root: string): void {
  const write = (path: string, content: string): void => writeFileSync(join(root, path), content);
  const kernel = readdirSync(join(root, 'boot')).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error('debootstrap brought no kernel.');
  const release = kernel.slice('vmlinuz-'.length);
  write('etc/hostname', 'system\n');
  write('etc/hosts', '127.0.0.1 localhost system\n');
  write('etc/fstab', 'LABEL=system / ext4 errors=remount-ro 0 1\n');
  // The system's own: this host's would look for its modules, of this host's width, in there.
  tool('chroot', [root, 'chpasswd'], { input: `${login.user}:${login.password}\n` });
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  tool('cp', ['-r', '/usr/lib/grub/i386-pc', join(root, 'boot/grub/i386-pc')]);
  // Without nomodeset a driver would take the display over from VGA text.
  const line = 'root=LABEL=system ro nomodeset console=tty0 console=ttyS0';
  write(
    'boot/grub/grub.cfg',
    [
      ...['set timeout=2', 'menuentry "Debian" {', `  linux /boot/${kernel} ${line}`],
      ...[`  initrd /boot/initrd.img-${release}`, '}', ''],
    ].join('\n'),
  );
  // What debootstrap fetched is in the image once already.
  tool('chroot', [root, 'apt-get', 'clean']);
}

/** What e2fsck says against the system's partition of a qcow2 disk; empty if nothing. It only looks. */
export function complaintsOfSystem(disk: string, work: string): string {
  const checked = verdict('qemu-img', ['check', disk]);
  if (checked.status !== 0) return checked.said;
  const raw = join(work, 'checked.img');
  const partition = join(work, 'checked-partition.img');
  tool('qemu-img', ['convert', '-O', 'raw', disk, raw]);
  tool('dd', [`if=${raw}`, `of=${partition}`, 'bs=1M', 'skip=1', 'conv=sparse', 'status=none']);
  const { status, said } = verdict('e2fsck', ['-f', '-n', partition]);
  return status === 0 ? '' : said;
}
