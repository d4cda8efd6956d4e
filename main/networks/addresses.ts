// Addresses of guests' network cards.
// Owns the way from a guest to the addresses that are its own.
// Never remembers an address: the same guest and card give the same one.

import { createHash } from 'node:crypto';

/**
 * The address of a card: what the settings say, else a locally administered one (IEEE 802, 8.2.2) made from who the guest is
 * and which card of it this is.
 */
export function cardAddress(mac: string | null, identity: string, card: number): Uint8Array {
  if (mac !== null) return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
  const digest = createHash('sha256').update(`${identity}/${card}`).digest();
  const address = Uint8Array.from(digest.subarray(0, 6));
  address[0] = (address[0] & 0xfc) | 0x02;
  return address;
}
