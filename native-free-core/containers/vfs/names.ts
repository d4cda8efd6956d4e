// Names and paths as strings of bytes: from text, from memory, and back.
// Owns the conversion; everything else under vfs/ takes such strings as they are.
// Never normalizes anything: a name is the bytes it was made with.

import { errno } from '../errno.ts';
import { NAME_MAX } from './constants.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Bytes as a string with a character for each. */
export function bytesToName(bytes: Uint8Array): string {
  let name = '';
  // In pieces, because arguments of a call are limited.
  for (let at = 0; at < bytes.length; at += 4096) name += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return name;
}

/** The bytes of such a string. */
export function nameToBytes(name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(name.length);
  for (let at = 0; at < name.length; at++) bytes[at] = name.charCodeAt(at);
  return bytes;
}

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);

/** Text, encoded as UTF-8. */
export const textToName = (text: string): string => (isAscii(text) ? text : bytesToName(encoder.encode(text)));

/** For people: UTF-8 decoded, with replacement characters where it is none. */
export const nameToText = (name: string): string => (isAscii(name) ? name : decoder.decode(nameToBytes(name)));

/** Throws ENAMETOOLONG or EINVAL where no file can have this name. */
export function checkName(name: string): void {
  if (name.length > NAME_MAX) throw errno('ENAMETOOLONG');
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) throw errno('EINVAL');
}
