// A root file system in a folder of the host, as the tar archive that it would be packed into.
// Owns the walk through the folder and who its files belong to: what is the user's own is the guest's root's.
// Never follows a link, and never reads what is no regular file.

import * as fs from 'node:fs';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';
import type { TarType } from '../../../native-free-core/containers/images/tar.ts';
import { tarEnd, tarHeader, tarPadding } from '../../../native-free-core/containers/images/tar-writer.ts';
import { deviceMajor, deviceMinor } from '../../../native-free-core/containers/vfs/constants.ts';
import type { Counter } from './sources.ts';

const PIECE = 1 << 20;
const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;

function typeOf(found: fs.BigIntStats): TarType | null {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  if (found.isSymbolicLink()) return 'symlink';
  if (found.isCharacterDevice()) return 'character';
  if (found.isBlockDevice()) return 'block';
  return found.isFIFO() ? 'fifo' : null;
}

/** The archive in pieces; the same folder gives the same archive. Throws an {@link ImageError} for a file that changes. */
export async function* folderArchive(folder: string, count: Counter): AsyncGenerator<Uint8Array> {
  const self = { uid: BigInt(process.getuid?.() ?? 0), gid: BigInt(process.getgid?.() ?? 0) };
  /** First names of files with several, by device and inode. */
  const first = new Map<string, string>();
  const visit = async function* (path: Buffer, name: string): AsyncGenerator<Uint8Array> {
    const found = fs.lstatSync(path, { bigint: true });
    const type = typeOf(found);
    if (!type) return; // A socket is nothing without the program that made it.
    const key = `${found.dev}:${found.ino}`;
    const linked = type !== 'directory' && found.nlink > 1n ? first.get(key) : undefined;
    const entry = {
      name: type === 'directory' ? `${name || '.'}/` : name,
      type: linked === undefined ? type : ('hardlink' as const),
      mode: Number(found.mode & 0o7777n),
      uid: found.uid === self.uid ? 0 : Number(found.uid),
      gid: found.gid === self.gid ? 0 : Number(found.gid),
      size: type === 'file' && linked === undefined ? Number(found.size) : 0,
      mtime: found.mtimeNs < 0n ? 0n : found.mtimeNs,
      target: linked ?? (type === 'symlink' ? fs.readlinkSync(path, 'buffer').toString('latin1') : ''),
      major: deviceMajor(Number(found.rdev)),
      minor: deviceMinor(Number(found.rdev)),
    };
    yield tarHeader(entry);
    if (entry.type === 'file') {
      if (found.nlink > 1n) first.set(key, name);
      yield* content(path, name, entry.size);
    }
    if (type !== 'file' && type !== 'directory' && found.nlink > 1n) first.set(key, name);
    if (type !== 'directory') return;
    const names = fs.readdirSync(path, { encoding: 'latin1' as BufferEncoding }).sort();
    for (const child of names) {
      yield* visit(Buffer.concat([path, Buffer.from(`/${child}`, 'latin1')]), name ? `${name}/${child}` : child);
    }
  };
  const content = async function* (path: Buffer, name: string, size: number): AsyncGenerator<Uint8Array> {
    const file = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      for (let done = 0; done < size; ) {
        const piece = Buffer.alloc(Math.min(PIECE, size - done));
        const got = fs.readSync(file, piece, 0, piece.length, done);
        if (got === 0) throw new ImageError(`The folder changes while it is read: ${name} became shorter.`);
        done += got;
        count(got);
        yield piece.subarray(0, got);
      }
    } finally {
      fs.closeSync(file);
    }
    yield tarPadding(size);
  };
  yield* visit(Buffer.from(folder), '');
  yield tarEnd();
}
