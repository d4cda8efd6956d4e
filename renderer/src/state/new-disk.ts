// Where a new disk's image goes, as long as a person has not said so.
// Owns the names of such images.
// Never makes one.

import type { HostInfo, NewDisk } from '../contract.ts';

/** In the home's folder of disks, named after the guest; one that is not in `taken`. */
export function diskPath(
  host: Pick<HostInfo, 'home' | 'platform'> | null,
  guest: string,
  format: NewDisk['format'],
  taken: ReadonlySet<string>,
): string {
  const separator = host?.platform === 'win32' ? '\\' : '/';
  // Dots at the end and spaces are trouble in a shell or on some file system.
  const name = guest.trim().replaceAll(/\s+/g, '-').replace(/\.+$/, '') || 'disk';
  const ending = format === 'raw' ? 'img' : format;
  for (let number = 1; ; number++) {
    const file = `${name}${number === 1 ? '' : `-${number}`}.${ending}`;
    const path = host ? [host.home, 'disks', file].join(separator) : file;
    if (!taken.has(path)) return path;
  }
}
