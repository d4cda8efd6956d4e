// Writes an OVF package as one archive (POSIX ustar): members one behind the other, and a manifest of their digests.
// Owns the archive's headers, which are right once a member is whole.
// Never knows what is in a member.

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { tarEnd, tarHeader, tarPadding } from '../../native-free-core/containers/images/tar-writer.ts';
import { bytesToName } from '../../native-free-core/containers/vfs/names.ts';

/** What eleven octal digits hold; larger members have their size in base 256, as GNU's tar, star and VirtualBox do. */
const OCTAL_MAX = 8 ** 11;

export class PackageWriter {
  readonly #handle: FileHandle;
  readonly #digests: string[] = [];
  #at = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Adds a member, whose bytes `fill` appends. */
  async add(name: string, fill: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>): Promise<void> {
    const place = this.#at;
    const hash = createHash('sha256');
    let size = 0;
    this.#at += header(name, 0).length;
    await fill(async (bytes) => {
      hash.update(bytes);
      await this.#write(bytes);
      size += bytes.length;
    });
    await this.#write(tarPadding(size));
    const end = this.#at;
    this.#at = place;
    await this.#write(header(name, size));
    this.#at = end;
    this.#digests.push(`SHA256 (${name}) = ${hash.digest('hex')}\n`);
  }

  /** The manifest, and the archive's end. Answers the bytes of the whole. */
  async end(manifest: string): Promise<number> {
    const text = new TextEncoder().encode(this.#digests.join(''));
    await this.add(manifest, (append) => append(text));
    await this.#write(tarEnd());
    await this.#handle.sync();
    return this.#at;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#at);
      done += bytesWritten;
      this.#at += bytesWritten;
    }
  }
}

function header(name: string, size: number): Uint8Array {
  const now = BigInt(Math.floor(Date.now() / 1000)) * 1_000_000_000n;
  const bytes = tarHeader({
    ...{ name: bytesToName(new TextEncoder().encode(name)), type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: now },
    ...{ target: '', major: 0, minor: 0, size: size < OCTAL_MAX ? size : 0 },
  });
  if (size < OCTAL_MAX) return bytes;
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(128, BigInt(size));
  bytes.set([0x80, 0, 0, 0], 124);
  // The sum of all bytes, its own field as spaces.
  const sum = bytes.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  bytes.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return bytes;
}
