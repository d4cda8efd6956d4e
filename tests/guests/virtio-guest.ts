// Debian guests with virtio devices: the kernel's own drivers for them, over PCI and over MMIO.
// Owns which modules are loaded.
// Never knows what a test does with the devices.

import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { driverGuest } from './driver-guest.ts';

/** The bus drivers come first, so that the rest meets its devices in the order of the machine. */
const modules = [
  ...['crc32c_generic', 'ext4', 'af_packet'],
  ...['virtio_mmio', 'virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_console', 'virtio-rng', 'virtio_balloon'],
];

/** Where they lie, with what they depend on; by folder, because what is built in differs between releases. */
const folders = [
  ...['drivers/virtio/*', 'drivers/block/virtio_blk*', 'drivers/char/virtio_console*', 'drivers/char/hw_random/*'],
  ...['drivers/net/virtio_net*', 'drivers/net/net_failover*', 'net/core/failover*', 'net/packet/*'],
  ...['crypto/crc*', 'lib/crc*', 'fs/ext4/*', 'fs/jbd2/*', 'fs/mbcache*'],
];

/** A Debian guest whose initramfs, made in `folder`, has loaded the drivers when its prompt comes, on `terminal`. */
export function virtioGuest(architecture: DebianArchitecture, folder: string, terminal = 'ttyS0') {
  return driverGuest(architecture, folder, { modules, folders, terminals: [terminal] });
}
