// How a differencing VHD image names its parent: an identity, a name, and locators for each platform.
// Owns those fields of the dynamic header (Virtual Hard Disk Image Format Specification 1.0, "Dynamic Disk Header Format").
// Never opens a file by what it reads.

import type { HostFile } from './block.ts';
import { checkInside, damaged, Fields, roundUp, unsupported } from './fields.ts';

const At = { uuid: 40, time: 56, name: 64, locators: 576 } as const;
const NAME_BYTES = 512;
const LOCATORS = 8;
const Locator = { code: 0, space: 4, length: 8, at: 16, size: 24 } as const;
/** A path relative to the image, and an absolute one; both as Windows writes paths, in UTF-16 of little order. */
const RELATIVE = 'W2ru';
const ABSOLUTE = 'W2ku';
const PATH_BYTES_MAX = 64 << 10;

export interface VhdParent {
  name: string;
  /** The 32 hexadecimal digits of its UUID. */
  identity: string;
}

/** The parent that a header names: by its relative path, else its absolute one, else the bare name. */
export async function parentName(file: HostFile, header: Fields, fileSize: number): Promise<VhdParent> {
  const paths = new Map<string, string>();
  for (let index = 0; index < LOCATORS; index++) {
    const entry = At.locators + index * Locator.size;
    const code = header.text(entry, 4);
    if (code !== RELATIVE && code !== ABSOLUTE) continue;
    const length = header.u32(entry + Locator.length);
    const at = header.u64(entry + Locator.at, 'parent locator');
    if (length > PATH_BYTES_MAX) throw damaged(file, `the path of its parent has ${length} bytes`);
    checkInside(file, fileSize, 'path of the parent', at, length);
    const bytes = new Uint8Array(length);
    await file.read(at, bytes);
    paths.set(code, decode(bytes, 'utf-16le'));
  }
  const name =
    paths.get(RELATIVE) ||
    paths.get(ABSOLUTE) ||
    decode(header.bytes.subarray(At.name, At.name + NAME_BYTES), 'utf-16be');
  if (name === '') throw damaged(file, 'it has a parent and does not name it');
  const uuid = header.bytes.subarray(At.uuid, At.uuid + 16);
  const identity = [...uuid].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return { name: fromWindows(name), identity };
}

/** Up to the first zero. */
function decode(bytes: Uint8Array, encoding: 'utf-16le' | 'utf-16be'): string {
  let text = '';
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    const [first, second] = [bytes[at]!, bytes[at + 1]!];
    const unit = encoding === 'utf-16le' ? first | (second << 8) : (first << 8) | second;
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text;
}

/** A path as this program takes it. A path of a drive of Windows stays what it is. */
function fromWindows(path: string): string {
  return /^[a-z]:|^\\\\/i.test(path) ? path : path.replaceAll('\\', '/').replace(/^(\.\/)+/, '');
}

/**
 * Sets a header's fields for a parent; answers what is to be written at `namesAt`, the path. A relative name gets the
 * locator of relative paths, an absolute one that of absolute paths.
 */
export function parentParts(file: HostFile, header: Fields, parent: VhdParent, namesAt: number): Uint8Array {
  const isAbsolute = /^\/|^[a-z]:|^\\\\/i.test(parent.name);
  const path = isAbsolute ? parent.name : `.\\${parent.name.replaceAll('/', '\\')}`;
  const name = parent.name.replace(/^.*[\\/]/, '');
  if (path.includes('\0') || (!isAbsolute && parent.name.includes('\\')))
    throw unsupported(file, 'a VHD cannot hold the name of its parent, which has a backslash in it');
  if (path.length * 2 > PATH_BYTES_MAX) throw unsupported(file, 'the name of its parent is too long');
  for (let index = 0; index < 16; index++)
    header.bytes[At.uuid + index] = Number.parseInt(parent.identity.slice(index * 2, index * 2 + 2), 16);
  for (let index = 0; index < Math.min(name.length, NAME_BYTES / 2 - 1); index++)
    header.setU16(At.name + index * 2, name.charCodeAt(index));
  const names = new Fields(file, new Uint8Array(roundUp(path.length * 2, 512)), 'little');
  for (let index = 0; index < path.length; index++) names.setU16(index * 2, path.charCodeAt(index));
  header.setText(At.locators + Locator.code, isAbsolute ? ABSOLUTE : RELATIVE);
  // The specification says sectors here; what writes such images counts bytes.
  header.setU32(At.locators + Locator.space, names.bytes.length);
  header.setU32(At.locators + Locator.length, path.length * 2);
  header.setU64(At.locators + Locator.at, namesAt);
  return names.bytes;
}
