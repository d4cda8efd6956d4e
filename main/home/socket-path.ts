// Where the local sockets of a home are: in it, where the path is short enough.
// Owns the choice of the path and the check of the folder that stands in.
// Never opens a socket.

import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Longest path of a Unix socket that every platform takes (sun_path: 104 bytes on macOS, 108 on Linux). */
const SOCKET_PATH_MAX = 100;

/** The path of the socket `name` of a home. Throws an Error with one sentence if there is no safe place for it. */
export function localSocketPath(home: string, name: string): string {
  const digest = createHash('sha256').update(home).digest('hex').slice(0, 16);
  // The socket of the home itself has always been called by the digest alone.
  const file = name === 'trivisor' ? digest : `${digest}-${name}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\trivisor-${file}`;
  const inside = join(home, `${name}.sock`);
  if (Buffer.byteLength(inside) <= SOCKET_PATH_MAX) return inside;
  const folder = join(process.env.XDG_RUNTIME_DIR ?? tmpdir(), `trivisor-${userInfo().uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // The temporary folder is everyone's: a folder that somebody else put there first is not ours to trust.
  if (lstatSync(folder).uid !== userInfo().uid || (lstatSync(folder).mode & 0o077) !== 0)
    throw new Error(`The folder ${folder} belongs to somebody else, or is open to others.`);
  return join(folder, `${file}.sock`);
}
