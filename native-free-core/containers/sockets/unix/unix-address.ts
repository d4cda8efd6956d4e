// Names of sockets of the family AF_UNIX (unix(7)): in the file system, abstract, or none.
// Owns the two directions between struct sockaddr_un and names.
// Never looks a name up.

import { errno } from '../../errno.ts';
import { bytesToName, nameToBytes } from '../../vfs/names.ts';
import { Family } from '../constants.ts';

/** Bytes of sun_path. */
const PATH_BYTES = 108;

export type UnixName =
  | { readonly kind: 'path'; readonly path: string }
  /** `name` without the zero before it. */
  | { readonly kind: 'abstract'; readonly name: string }
  | { readonly kind: 'none' };

/** Throws EINVAL for what is no address of the family. */
export function readUnixAddress(address: Uint8Array): UnixName {
  if (address.length < 2 || address.length > PATH_BYTES + 2) throw errno('EINVAL');
  if ((address[0] | (address[1] << 8)) !== Family.unix) throw errno('EINVAL');
  const path = bytesToName(address.subarray(2));
  if (path === '') return { kind: 'none' };
  if (path[0] === '\0') return { kind: 'abstract', name: path.slice(1) };
  return { kind: 'path', path: path.replace(/\0.*$/s, '') };
}

export function unixAddress(name: UnixName): Uint8Array {
  const text = name.kind === 'none' ? '' : name.kind === 'path' ? `${name.path}\0` : `\0${name.name}`;
  const address = new Uint8Array(2 + text.length);
  address[0] = Family.unix;
  address.set(nameToBytes(text), 2);
  return address;
}
