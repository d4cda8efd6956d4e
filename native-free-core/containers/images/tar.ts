// Reads tar archives as they stream by: POSIX ustar and pax (IEEE Std 1003.1, pax), GNU's long names.
// Owns headers, their checks and the position of each member's content; content itself passes by unread.
// Never judges names: layer-index.ts does. Never allocates by a size that a header claims.

import { bytesToName } from '../vfs/names.ts';
import { ImageError } from './image-error.ts';

export type TarType = 'file' | 'hardlink' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

export interface TarEntry {
  /** As in the archive, in bytes. */
  name: string;
  type: TarType;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  /** Target of a link, in bytes. */
  target: string;
  major: number;
  minor: number;
  xattrs: ReadonlyMap<string, string>;
  /** Where the content begins in the archive. */
  offset: number;
}

const BLOCK = 512;
/** Most bytes of one pax header or long name: names have at most 4096, attributes 64 KiB. */
const MOST_META = 1 << 20;

const types: Record<string, TarType> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return bytesToName(end < 0 ? bytes : bytes.subarray(0, end));
};

export class TarReader {
  readonly #onEntry: (entry: TarEntry) => void;
  readonly #block = new Uint8Array(BLOCK);
  #filled = 0;
  /** Position in the archive of what comes next. */
  #position = 0;
  /** Bytes of content and padding still to pass by. */
  #skip = 0;
  /** What the current content is kept for: a pax header, a long name; null: nothing. */
  #meta: { type: string; bytes: Uint8Array; filled: number } | null = null;
  #global = new Map<string, string>();
  #local = new Map<string, string>();
  #zeroBlocks = 0;
  #ended = false;

  constructor(onEntry: (entry: TarEntry) => void) {
    this.#onEntry = onEntry;
  }

  /** Takes the next bytes of the archive. Throws an {@link ImageError} for what is no tar archive, or damaged. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.#ended) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, bytes.length - at);
        if (this.#meta) this.#keep(bytes.subarray(at, at + count));
        this.#skip -= count;
        this.#position += count;
        at += count;
        if (this.#skip === 0 && this.#meta) this.#endMeta();
        continue;
      }
      const count = Math.min(BLOCK - this.#filled, bytes.length - at);
      this.#block.set(bytes.subarray(at, at + count), this.#filled);
      this.#filled += count;
      this.#position += count;
      at += count;
      if (this.#filled === BLOCK) {
        this.#filled = 0;
        this.#header();
      }
    }
  }

  /** The archive is over. Throws where it should have gone on. */
  end(): void {
    if (!this.#ended && (this.#skip > 0 || this.#filled > 0)) this.#damaged('is cut short');
    if (this.#position === 0) throw new ImageError('The archive is empty.');
  }

  #damaged(what: string): never {
    throw new ImageError(`The archive is damaged, or no tar archive: it ${what} at byte ${this.#position}.`);
  }

  #keep(bytes: Uint8Array): void {
    const meta = this.#meta!;
    const room = bytes.subarray(0, meta.bytes.length - meta.filled);
    meta.bytes.set(room, meta.filled);
    meta.filled += room.length;
  }

  #header(): void {
    const block = this.#block;
    if (block.every((byte) => byte === 0)) {
      if (++this.#zeroBlocks === 2) this.#ended = true;
      return;
    }
    this.#zeroBlocks = 0;
    let sum = 0;
    for (let at = 0; at < BLOCK; at++) sum += at >= 148 && at < 156 ? 32 : block[at];
    if (this.#number(148, 8) !== sum) this.#damaged('has a header with a wrong checksum');
    const flag = String.fromCharCode(block[156]);
    const size = this.#number(124, 12);
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
      if (size > MOST_META) this.#damaged(`has a header of ${size} bytes`);
      this.#meta = { type: flag, bytes: new Uint8Array(size), filled: 0 };
      this.#skip = Math.ceil(size / BLOCK) * BLOCK;
      if (this.#skip === 0) this.#endMeta();
      return;
    }
    this.#member(flag, size);
  }

  #member(flag: string, headerSize: number): void {
    const fields = new Map([...this.#global, ...this.#local]);
    this.#local.clear();
    for (const key of fields.keys()) {
      if (key.startsWith('GNU.sparse.'))
        throw new ImageError('The archive has sparse files, which are not supported here: pack it without --sparse.');
    }
    let type = types[flag];
    const block = this.#block;
    let name = text(block.subarray(0, 100));
    if (text(block.subarray(257, 262)) === 'ustar' && block[262] === 0) {
      const prefix = text(block.subarray(345, 500));
      if (prefix) name = `${prefix}/${name}`;
    }
    name = fields.get('path') ?? name;
    if (!type) {
      throw new ImageError(`The archive has a member of type ${JSON.stringify(flag)}, which is not supported here.`);
    }
    if (type === 'file' && name.endsWith('/')) type = 'directory';
    const number = (key: string, offset: number, length: number): number =>
      fields.has(key) ? this.#decimal(key, fields.get(key)!) : this.#number(offset, length);
    const xattrs = new Map<string, string>();
    for (const [key, value] of fields) if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice(13), value);
    const size = type === 'file' ? (fields.has('size') ? this.#decimal('size', fields.get('size')!) : headerSize) : 0;
    this.#onEntry({
      name,
      type,
      mode: this.#number(100, 8) & 0o7777,
      uid: this.#identity(number('uid', 108, 8)),
      gid: this.#identity(number('gid', 116, 8)),
      size,
      mtime: fields.has('mtime') ? this.#time(fields.get('mtime')!) : BigInt(this.#number(136, 12)) * 1_000_000_000n,
      target: fields.get('linkpath') ?? text(block.subarray(157, 257)),
      major: type === 'character' || type === 'block' ? this.#number(329, 8) : 0,
      minor: type === 'character' || type === 'block' ? this.#number(337, 8) : 0,
      xattrs,
      offset: this.#position,
    });
    this.#skip = Math.ceil(size / BLOCK) * BLOCK;
  }

  #endMeta(): void {
    const { type, bytes } = this.#meta!;
    this.#meta = null;
    if (type === 'L') this.#local.set('path', text(bytes));
    else if (type === 'K') this.#local.set('linkpath', text(bytes));
    else this.#records(bytes, type === 'g' ? this.#global : this.#local);
  }

  /** pax records: "LENGTH KEY=VALUE\n", where the length counts all of it. */
  #records(bytes: Uint8Array, into: Map<string, string>): void {
    const all = bytesToName(bytes);
    for (let at = 0; at < all.length; ) {
      const space = all.indexOf(' ', at);
      const length = space < 0 ? '' : all.slice(at, space);
      const end = at + Number(length);
      const equals = all.indexOf('=', space);
      if (!/^[1-9]\d{0,7}$/.test(length) || end > all.length || equals < 0 || equals >= end || all[end - 1] !== '\n') {
        this.#damaged('has a pax header that is not one');
      }
      const key = all.slice(space + 1, equals);
      const value = all.slice(equals + 1, end - 1);
      if (value === '') into.delete(key);
      else into.set(key, value);
      at = end;
    }
  }

  /** An octal number, or in base 256 where the first bit is set (GNU). */
  #number(offset: number, length: number): number {
    const field = this.#block.subarray(offset, offset + length);
    let value = 0;
    if (field[0] & 0x80) {
      // A negative one, such as a time before 1970, counts as none.
      if (field[0] & 0x40) return 0;
      for (let at = 0; at < length; at++) value = value * 256 + (at === 0 ? field[at] & 0x3f : field[at]);
    } else {
      const digits = text(field).trim();
      if (!/^[0-7]*$/.test(digits)) this.#damaged('has a header with a number that is none');
      value = digits === '' ? 0 : Number.parseInt(digits, 8);
    }
    if (!Number.isSafeInteger(value)) this.#damaged('has a header with a number that is too large');
    return value;
  }

  #decimal(key: string, value: string): number {
    if (!/^\d{1,15}$/.test(value)) this.#damaged(`has a pax header whose ${key} is no number`);
    return Number(value);
  }

  #identity(value: number): number {
    if (value > 0xfffffffe) this.#damaged('has a member with an owner that is none');
    return value;
  }

  #time(value: string): bigint {
    const match = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(value);
    if (!match) this.#damaged('has a pax header whose mtime is no number');
    if (match[1]) return 0n;
    return BigInt(match[2]) * 1_000_000_000n + BigInt((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  }
}
