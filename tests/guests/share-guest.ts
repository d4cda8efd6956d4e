// Debian guests that share with the host: the kernel's own 9p and vsock, over PCI and over MMIO.
// Owns which modules are loaded.
// Never knows what is shared.

import type { CpioEntry } from '../../main/starter/cpio.ts';
import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { driverGuest } from './driver-guest.ts';

const modules = ['virtio_mmio', 'virtio_pci', '9pnet_virtio', 'vmw_vsock_virtio_transport', '9p'];
/** With what they depend on; by folder, because what is built in differs between releases. */
const folders = ['drivers/virtio/*', 'net/9p/*', 'fs/9p/*', 'fs/fscache/*', 'fs/netfs/*', 'net/vmw_vsock/*'];

/** A Debian guest whose initramfs, made in `folder`, has loaded the drivers when its prompt comes; `extra`: further files of it. */
export function shareGuest(architecture: DebianArchitecture, folder: string, extra: readonly CpioEntry[] = []) {
  return driverGuest(architecture, folder, { modules, folders, extra });
}
