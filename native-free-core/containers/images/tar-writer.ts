// Writes tar archives: members with POSIX ustar headers, pax headers where those have no room.
// Owns headers and padding; a folder that is imported becomes a layer this way.
// Never reads a file: content passes by between `header` and `padding`.

import { nameToBytes } from '../vfs/names.ts';
import type { TarEntry, TarType } from './tar.ts';

const BLOCK = 512;

const flags: Record<TarType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

function block(fields: { name: string; flag: string; size: number; target?: string } & Partial<TarEntry>): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const put = (text: string, offset: number, length: number): void =>
    bytes.set(nameToBytes(text).subarray(0, length), offset);
  const octal = (value: number, offset: number, length: number): void => {
    const digits = value.toString(8);
    // What has no room is in the pax header before.
    put(digits.length < length ? digits.padStart(length - 1, '0') : '0'.repeat(length - 1), offset, length);
  };
  put(fields.name, 0, 100);
  octal(fields.mode ?? 0o644, 100, 8);
  octal(fields.uid ?? 0, 108, 8);
  octal(fields.gid ?? 0, 116, 8);
  octal(fields.size, 124, 12);
  octal(Number((fields.mtime ?? 0n) / 1_000_000_000n), 136, 12);
  put(' '.repeat(8), 148, 8);
  put(fields.flag, 156, 1);
  put(fields.target ?? '', 157, 100);
  put('ustar\x0000', 257, 8);
  octal(fields.major ?? 0, 329, 8);
  octal(fields.minor ?? 0, 337, 8);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8);
  return bytes;
}

/** A pax record: its length counts its own digits. */
function record(key: string, value: string): string {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

/** The header of a member, pax header included; content of `size` bytes and then {@link tarPadding} follow. */
export function tarHeader(
  entry: Omit<TarEntry, 'offset' | 'xattrs'> & { xattrs?: ReadonlyMap<string, string> },
): Uint8Array {
  const { name, target, size, uid, gid, mtime, xattrs } = entry;
  let records = '';
  if (name.length > 100) records += record('path', name);
  if (target.length > 100) records += record('linkpath', target);
  if (size >= 8 ** 11) records += record('size', String(size));
  if (uid >= 8 ** 7) records += record('uid', String(uid));
  if (gid >= 8 ** 7) records += record('gid', String(gid));
  if (mtime % 1_000_000_000n !== 0n) {
    records += record('mtime', `${mtime / 1_000_000_000n}.${String(mtime % 1_000_000_000n).padStart(9, '0')}`);
  }
  for (const [key, value] of xattrs ?? []) records += record(`SCHILY.xattr.${key}`, value);
  const own = block({ ...entry, flag: flags[entry.type] });
  if (records === '') return own;
  const pax = nameToBytes(records);
  const head = block({ name: 'pax', flag: 'x', size: pax.length });
  const all = new Uint8Array(head.length + pax.length + tarPadding(pax.length).length + own.length);
  all.set(head);
  all.set(pax, BLOCK);
  all.set(own, all.length - BLOCK);
  return all;
}

/** Zeros up to the next block. */
export const tarPadding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

/** The end of an archive. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK);
