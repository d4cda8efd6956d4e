// OVF packages as files of this host: one archive (.ova), or a descriptor (.ovf) with its files beside it.
// Owns the check of every member: what it is called, how large it is, and whether its bytes are those of the manifest.
// Never writes anything, and never opens a file that a package names outside of itself.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ImageError } from '../../native-free-core/containers/images/image-error.ts';
import { type TarEntry, TarReader } from '../../native-free-core/containers/images/tar.ts';
import { nameToBytes } from '../../native-free-core/containers/vfs/names.ts';
import type { HostFile } from '../../native-free-core/disk/block.ts';
import { Failure } from '../contract.ts';
import { explainFileError } from '../files/folders.ts';

/** Descriptors have some ten thousand bytes, and manifests a line a file. */
const TEXT_MAX = 2 << 20;
/** Members of an archive: disks, and some files about them. */
const MEMBERS_MAX = 256;
const READ_BYTES = 1 << 20;
const hashes = { SHA1: 'sha1', SHA256: 'sha256', SHA512: 'sha512' } as const;
type HashName = keyof typeof hashes;

interface Member {
  file: string;
  offset: number;
  size: number;
}

/** An open package, to be closed. */
export class Package {
  /** What a person is told it is. */
  readonly name: string;
  readonly #members: ReadonlyMap<string, Member>;
  readonly #handles = new Map<string, FileHandle>();
  readonly #descriptor: Member;
  #digests: Map<string, { hash: HashName; digest: string }> | null = null;

  private constructor(name: string, members: ReadonlyMap<string, Member>, descriptor: Member) {
    this.name = name;
    this.#members = members;
    this.#descriptor = descriptor;
  }

  /** Opens a package. Throws a {@link Failure} with one sentence where it is none. */
  static async open(path: string): Promise<Package> {
    const file = resolve(path);
    const members = /\.ovf$/i.test(file) ? folderMembers(file) : await archiveMembers(file);
    const descriptors = [...members].filter(([name]) => /\.ovf$/i.test(name));
    if (descriptors.length !== 1)
      throw new Failure(
        'wrong',
        `${file} is no appliance: it has ${descriptors.length === 0 ? 'no' : 'more than one'} OVF descriptor.`,
      );
    const [name, member] = descriptors[0]!;
    const opened = new Package(file, members, member);
    try {
      await opened.#readManifest(name);
      if (opened.#digests) await opened.verify(name, () => {});
      return opened;
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  get hasManifest(): boolean {
    return this.#digests !== null;
  }

  /** The descriptor's text. */
  async descriptor(): Promise<string> {
    return this.#text(this.#descriptor, 'descriptor');
  }

  /** Bytes of a member. Throws where there is none of that name. */
  async sizeOf(name: string): Promise<number> {
    const { file, size } = this.#member(name);
    return size >= 0 ? size : (await (await this.#handle(file)).stat()).size;
  }

  /** A member as a file that is read. */
  async file(name: string): Promise<HostFile> {
    const member = this.#member(name);
    const handle = await this.#handle(member.file);
    const size = await this.sizeOf(name);
    const refuse = async (): Promise<never> => {
      throw new Error('A package is only read.');
    };
    return {
      name: `${basename(this.name)}: ${name}`,
      identity: `${member.file} ${member.offset}`,
      isReadOnly: true,
      size: async () => size,
      read: async (offset, buffer) =>
        readAt(handle, member.offset + offset, buffer.subarray(0, Math.max(0, size - offset))),
      ...{ write: refuse, truncate: refuse, punch: refuse, flush: refuse },
      close: async () => {},
    };
  }

  /** Throws a {@link Failure} where a member's bytes are not those that the manifest names; `read` is told how many were read. */
  async verify(name: string, read: (bytes: number) => void): Promise<void> {
    if (!this.#digests) return;
    const expected = this.#digests.get(name);
    if (!expected) throw new Failure('wrong', `${this.name} has a manifest, which does not name ${name}.`);
    const file = await this.file(name);
    const hash = createHash(hashes[expected.hash]);
    const buffer = new Uint8Array(READ_BYTES);
    for (let at = 0; ; ) {
      const count = await file.read(at, buffer);
      if (count === 0) break;
      hash.update(buffer.subarray(0, count));
      at += count;
      read(count);
    }
    if (hash.digest('hex') !== expected.digest.toLowerCase())
      throw new Failure(
        'wrong',
        `${this.name} is damaged: the ${expected.hash} of ${name} is not the one that its manifest names.`,
      );
  }

  async close(): Promise<void> {
    for (const handle of this.#handles.values()) await handle.close();
    this.#handles.clear();
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member) return member;
    checkMemberName(name, this.name);
    if (this.#descriptor.size >= 0)
      throw new Failure('wrong', `${this.name} has no file ${name}, which its descriptor names.`);
    const file = join(dirname(this.name), name);
    if (!existsSync(file)) throw new Failure('notFound', `${file} is missing, which ${basename(this.name)} names.`);
    return { file, offset: 0, size: -1 };
  }

  async #handle(file: string): Promise<FileHandle> {
    let handle = this.#handles.get(file);
    if (!handle) this.#handles.set(file, (handle = await openFile(file)));
    return handle;
  }

  async #text(member: Member, what: string): Promise<string> {
    const handle = await this.#handle(member.file);
    const size = member.size >= 0 ? member.size : (await handle.stat()).size;
    if (size > TEXT_MAX) throw new Failure('wrong', `${this.name} is no appliance: its ${what} has ${size} bytes.`);
    const bytes = new Uint8Array(size);
    await readAt(handle, member.offset, bytes);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw new Failure('wrong', `${this.name} cannot be read: its ${what} is no text in UTF-8.`);
    }
  }

  /** `SHA256 (NAME) = DIGEST`, a line for each file (DSP0243, 5.1). */
  async #readManifest(descriptor: string): Promise<void> {
    const name = descriptor.replace(/\.ovf$/i, '.mf');
    const isFolder = this.#descriptor.size < 0;
    if (isFolder ? !existsSync(join(dirname(this.name), name)) : !this.#members.has(name)) return;
    this.#digests = new Map();
    for (const line of (await this.#text(this.#member(name), 'manifest')).split(/\r?\n/)) {
      if (line.trim() === '') continue;
      const [, hash, file, digest] = /^(SHA1|SHA256|SHA512)\s*\((.+)\)\s*=\s*([\da-f]+)\s*$/i.exec(line) ?? [];
      if (!hash || !file || !digest)
        throw new Failure(
          'wrong',
          `${this.name} cannot be read: its manifest has the line ${JSON.stringify(line.slice(0, 80))}.`,
        );
      this.#digests.set(file, { hash: hash.toUpperCase() as HashName, digest });
    }
  }
}

/** A descriptor that lies in a folder; its files are looked for when they are named. */
function folderMembers(file: string): Map<string, Member> {
  return new Map([[basename(file), { file, offset: 0, size: -1 }]]);
}

async function archiveMembers(file: string): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  const taken = new Set<string>();
  const add = ({ name: bytes, type, size, offset }: TarEntry): void => {
    const name = decoded(bytes, file);
    checkMemberName(name, file);
    if (type !== 'file')
      throw new Failure(
        'wrong',
        `${file} is no appliance: ${name} in it is a ${type}, and appliances have files alone.`,
      );
    if (taken.has(name.toLowerCase()))
      throw new Failure('wrong', `${file} is no appliance: two files in it are called ${name}.`);
    if (taken.size >= MEMBERS_MAX)
      throw new Failure('wrong', `${file} is no appliance: it has more than ${MEMBERS_MAX} files.`);
    taken.add(name.toLowerCase());
    members.set(name, { file, offset, size });
  };
  const handle = await openFile(file);
  try {
    await walkTar(handle, add);
    const { size } = await handle.stat();
    for (const [name, member] of members)
      if (member.offset + member.size > size) throw new Failure('wrong', `${file} is damaged: it ends within ${name}.`);
  } catch (error) {
    if (error instanceof ImageError)
      throw new Failure('wrong', `${file} is no appliance: ${error.message}`, { cause: error });
    throw error;
  } finally {
    await handle.close();
  }
  return members;
}

/** Reads the headers of a tar archive alone: what is between them is passed by without being read. */
async function walkTar(handle: FileHandle, add: (entry: TarEntry) => void): Promise<void> {
  const { size } = await handle.stat();
  let skipTo = 0;
  const zeros = new Uint8Array(READ_BYTES);
  const reader = new TarReader((entry) => {
    add(entry);
    skipTo = entry.offset + Math.ceil(entry.size / 512) * 512;
  });
  const block = new Uint8Array(512);
  for (let at = 0; at < size; ) {
    // The reader only counts the bytes of content.
    if (at < skipTo) {
      const count = Math.min(skipTo, size) - at;
      if (count <= zeros.length) reader.push(zeros.subarray(0, count));
      else
        for (let left = count; left > 0; left -= zeros.length)
          reader.push(zeros.subarray(0, Math.min(left, zeros.length)));
      at += count;
      continue;
    }
    const count = await readAt(handle, at, block);
    reader.push(block.subarray(0, count));
    at += count;
  }
  reader.end();
}

function decoded(bytes: string, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(nameToBytes(bytes));
  } catch {
    throw new Failure(
      'wrong',
      `${file} is no appliance: a file in it has a name that is no text: ${bytes.slice(0, 80)}.`,
    );
  }
}

/** A member is called by a name alone: no folder, no way out of one, nothing that a host's system means something by. */
function checkMemberName(name: string, file: string): void {
  if (name === '' || name === '.' || name === '..' || name.length > 255 || /[\\/:\p{Cc}]/u.test(name))
    throw new Failure(
      'wrong',
      `${file} is no appliance: it names the file ${JSON.stringify(name.slice(0, 80))}, which is not in it.`,
    );
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    const handle = await open(file, 'r');
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
  } catch (error) {
    const kind = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'notFound' : 'failed';
    throw new Failure(kind, explainFileError(error, `Cannot read ${file}`), { cause: error });
  }
  throw new Failure('wrong', `${file} is not a file.`);
}

async function readAt(handle: FileHandle, offset: number, buffer: Uint8Array): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
