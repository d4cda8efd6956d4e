// Where the host's side of a guest's virtio socket is.
// Owns the names; a port of the host that the guest may call is that name with _PORT behind it.
// Never opens a socket.

import { createHash } from 'node:crypto';
import { localSocketPath } from '../home/socket-path.ts';

/** `vsock-NAME.sock` in the home; guests whose names are no names of files everywhere are told by a digest of it. */
export function vsockPath(home: string, name: string): string {
  const isPlain = /^[A-Za-z0-9._-]{1,40}$/.test(name);
  return localSocketPath(
    home,
    `vsock-${isPlain ? name : createHash('sha256').update(name).digest('hex').slice(0, 12)}`,
  );
}
