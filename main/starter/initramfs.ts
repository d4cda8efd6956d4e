// The small system of the starter guest: busybox as init and shell, on the serial console, as one initramfs.
// Owns the files of that system and what its init does.
// Never fetches anything: it is given busybox and the modules as bytes.

import { type CpioEntry, cpioArchive } from './cpio.ts';

export interface BusyboxSystem {
  /** A statically linked busybox of the guest's architecture. */
  busybox: Uint8Array;
  /** Kernel modules loaded at boot, in this order, uncompressed. `name` is a file name such as `button.ko`. */
  modules?: readonly { name: string; data: Uint8Array }[];
  hostname?: string;
  /** Terminals that get a shell, by their name in /dev. */
  terminals?: readonly string[];
  /** Further files; one of the same path as ours is an error. */
  extra?: readonly CpioEntry[];
}

/**
 * The initramfs, uncompressed. It boots to a root shell with the prompt `trivisor:/root# ` (its host name) on each terminal, powers off on
 * `poweroff` and on the power button, and needs nothing on the kernel command line but the console.
 */
export function busyboxInitramfs(system: BusyboxSystem): Uint8Array {
  const modules = system.modules ?? [];
  const terminals = system.terminals ?? ['ttyS0'];
  const script = (text: string): { type: 'file'; data: string; mode: number } => ({
    type: 'file',
    data: text,
    mode: 0o755,
  });
  return cpioArchive([
    ...['dev', 'proc', 'sys', 'sbin', 'usr/bin', 'usr/sbin', 'var/log'].map(
      (path): CpioEntry => ({ path, type: 'folder' }),
    ),
    { path: 'tmp', type: 'folder', mode: 0o1777 },
    { path: 'root', type: 'folder', mode: 0o700 },
    // The kernel opens /dev/console for init before anything can mount /dev.
    { path: 'dev/console', type: 'character', major: 5, minor: 1 },
    { path: 'dev/null', type: 'character', major: 1, minor: 3, mode: 0o666 },
    { path: 'bin/busybox', type: 'file', data: system.busybox, mode: 0o755 },
    { path: 'init', ...script(initScript) },
    { path: 'etc/init.d/rcS', ...script(systemScript(modules.map(({ name }) => name))) },
    { path: 'etc/inittab', type: 'file', data: inittab(terminals) },
    { path: 'etc/acpi/PWRF/00000080', ...script('#!/bin/sh\nexec poweroff\n') },
    { path: 'etc/hostname', type: 'file', data: `${system.hostname ?? 'trivisor'}\n` },
    { path: 'etc/passwd', type: 'file', data: 'root::0:0:root:/root:/bin/sh\n' },
    { path: 'etc/group', type: 'file', data: 'root:x:0:\n' },
    { path: 'etc/profile', type: 'file', data: profile },
    ...modules.map(({ name, data }): CpioEntry => ({ path: `lib/modules/${name}`, type: 'file', data })),
    ...(system.extra ?? []),
  ]);
}

/** Runs before there is any command but busybox. */
const initScript = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev || /bin/busybox echo "This kernel has no devtmpfs: few devices will be seen."
/bin/busybox --install -s
exec /sbin/init
`;

function systemScript(modules: readonly string[]): string {
  return `#!/bin/sh
mkdir -p /dev/pts /run
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs tmpfs /run
hostname -F /etc/hostname
${modules.map((name) => `insmod /lib/modules/${name} 2>/dev/null\n`).join('')}[ -e /dev/input/event0 ] && acpid -l /dev/null
ifconfig lo 127.0.0.1 2>/dev/null
echo
echo "Linux $(uname -r) with BusyBox. Type poweroff to turn this guest off."
`;
}

function inittab(terminals: readonly string[]): string {
  return [
    '::sysinit:/etc/init.d/rcS',
    ...terminals.map((terminal) => `${terminal}::respawn:-/bin/sh`),
    '::ctrlaltdel:/sbin/reboot',
    '::shutdown:/bin/sync',
    '',
  ].join('\n');
}

const profile = `export HOME=/root PATH=/bin:/sbin:/usr/bin:/usr/sbin TERM="\${TERM:-linux}"
export PS1='\\h:\\w# '
cd
`;
