// The Debian packages that the tests use, and what is skipped without each.
// Owns the list; how the packages get onto a machine is setup.ts.
// Never lists what a test does not use.

export interface NeededPackage {
  name: string;
  /** A program or file that shows it is there: a name is looked for on the PATH, an absolute path as it stands. */
  shows: string;
  /** What does not run without it. */
  without: string;
  /** Only there is it any use; every platform if left out. */
  architecture?: NodeJS.Architecture;
}

export const neededPackages: readonly NeededPackage[] = [
  { name: 'chromium', shows: 'chromium', without: 'tests/e2e: the app in a real browser' },
  {
    name: 'acpica-tools',
    shows: 'iasl',
    without: 'the judgement of our ACPI tables by iasl',
  },
  {
    name: 'gcc',
    shows: 'gcc',
    without: 'the workloads of trivisor bench, and vectors against this processor',
    architecture: 'x64',
  },
  {
    name: 'gcc-multilib',
    shows: '/usr/lib32/libc.a',
    without: '32-bit workloads of trivisor bench, and 32-bit vectors against this processor',
    architecture: 'x64',
  },
  {
    name: 'qemu-system-x86',
    shows: 'qemu-system-x86_64',
    without: 'the proof of the guest tests against QEMU, and QEMU as a peer of trivisor bench',
  },
  { name: 'e2fsprogs', shows: '/usr/sbin/mke2fs', without: 'guests that mount and write an ext4 disk' },
  { name: 'xz-utils', shows: 'xz', without: 'the judgement of unpacked .xz files by xz' },
  { name: 'lz4', shows: 'lz4', without: 'the judgement of unpacked LZ4 frames by lz4' },
  { name: 'lzop', shows: 'lzop', without: 'the judgement of unpacked lzop files by lzop' },
  { name: 'umoci', shows: 'umoci', without: 'the judgement of imported images by umoci' },
  { name: 'skopeo', shows: 'skopeo', without: 'the judgement of imported images by skopeo' },
  { name: 'tshark', shows: 'tshark', without: 'the judgement of recorded frames by tshark' },
  { name: 'xorriso', shows: 'xorriso', without: 'guests that mount or start from a CD' },
  { name: 'qemu-utils', shows: 'qemu-img', without: 'the judgement of our disk images by qemu-img' },
  {
    name: 'python3-libvhdi',
    shows: '/usr/share/doc/python3-libvhdi/copyright',
    without: 'the judgement of our differencing VHD images by libvhdi',
  },
  { name: 'mtools', shows: 'mformat', without: 'FreeDOS, on its floppy and on a disk, and GRUB on an ISO' },
  {
    name: 'grub-pc-bin',
    shows: '/usr/lib/grub/i386-pc/boot.img',
    without: 'GRUB, and an installed Debian',
  },
  { name: 'grub-common', shows: 'grub-mkimage', without: 'GRUB, and an installed Debian' },
  { name: 'isolinux', shows: '/usr/lib/ISOLINUX/isolinux.bin', without: "isolinux, and Debian's installer" },
  {
    name: 'syslinux-common',
    shows: '/usr/lib/syslinux/modules/bios/ldlinux.c32',
    without: "isolinux, and Debian's installer",
  },
  { name: 'ipxe', shows: '/usr/lib/ipxe/ipxe.iso', without: 'iPXE' },
  { name: 'ipxe-qemu', shows: '/usr/lib/ipxe/qemu/pxe-e1000.rom', without: 'iPXE as the ROM of a network card' },
  { name: 'debootstrap', shows: '/usr/sbin/debootstrap', without: 'an installed Debian' },
  {
    name: 'seabios',
    shows: '/usr/share/seabios/bios.bin',
    without: 'v86 as a peer of trivisor bench, and SeaBIOS as a firmware',
  },
];
