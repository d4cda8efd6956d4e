// Debian guests with network cards: the kernel's own drivers for them.
// Owns which modules are loaded.
// Never gives a card an address: that is the tests' business.

import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { moduleGuest } from './module-guest.ts';

/** In loading order. Without `af_packet` no DHCP client can send. */
const modules = ['af_packet', 'mii', '8390', '8390p', 'e1000', '8139cp', '8139too', 'ne2k-pci', 'ne'];
const folders = [
  ...['drivers/net/mii*', 'drivers/net/ethernet/8390/*', 'drivers/net/ethernet/intel/e1000/*'],
  ...['drivers/net/ethernet/realtek/*', 'net/packet/*'],
];

/** A Debian guest whose initramfs, made in `folder`, has loaded the drivers of network cards when its prompt comes. */
export function networkGuest(architecture: DebianArchitecture, folder: string) {
  return moduleGuest(architecture, folder, modules, folders);
}
