// Debian guests with network cards: the kernel's own drivers for them.
// Owns which modules are loaded.
// Never gives a card an address: that is the tests' business.

import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { driverGuest } from './driver-guest.ts';

/** In loading order. Without `af_packet` no DHCP client can send. */
const modules = ['af_packet', 'e1000', '8139cp', '8139too', 'ne2k-pci', 'ne', 'virtio_pci', 'virtio_net'];
const folders = [
  ...['drivers/net/mii*', 'drivers/net/ethernet/8390/*', 'drivers/net/ethernet/intel/e1000/*'],
  ...['drivers/net/ethernet/realtek/*', 'net/packet/*', 'drivers/virtio/*'],
  ...['drivers/net/virtio_net*', 'drivers/net/net_failover*', 'net/core/failover*'],
];

/** A Debian guest whose initramfs, made in `folder`, has loaded the drivers of network cards when its prompt comes. */
export function networkGuest(architecture: DebianArchitecture, folder: string) {
  return driverGuest(architecture, folder, { modules, folders });
}
