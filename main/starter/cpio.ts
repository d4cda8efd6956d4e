// Writes cpio archives in the "newc" form that Linux takes as an initramfs.
// Owns the archive's encoding (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
// Never reads the host's files: entries carry their bytes.

/** One entry. Folders above it are added where nobody named them. `path` has no leading slash. */
export type CpioEntry =
  | { path: string; type: 'file'; data: Uint8Array | string; mode?: number }
  | { path: string; type: 'folder'; mode?: number }
  | { path: string; type: 'symlink'; target: string }
  | { path: string; type: 'character'; mode?: number; major: number; minor: number };

const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

const encoder = new TextEncoder();

/**
 * The archive: every entry owned by root, all times zero, inode numbers in order, so that the same entries always give
 * the same bytes. Throws if a path is absolute, climbs (`..`) or is named twice.
 */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const all = new Map<string, CpioEntry>();
  for (const entry of entries) {
    const parts = entry.path.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..'))
      throw new Error(`${JSON.stringify(entry.path)} is not a path inside an archive.`);
    for (let depth = 1; depth < parts.length; depth++) {
      const folder = parts.slice(0, depth).join('/');
      if (!all.has(folder)) all.set(folder, { path: folder, type: 'folder' });
    }
    const before = all.get(entry.path);
    if (before && before.type !== 'folder') throw new Error(`${entry.path} is in the archive twice.`);
    all.set(entry.path, entry);
  }
  const pieces: Uint8Array[] = [];
  let inode = 1;
  for (const entry of all.values()) {
    const data = content(entry);
    const device = entry.type === 'character' ? entry : { major: 0, minor: 0 };
    pieces.push(...record(inode++, entry.path, mode(entry), data, device.major, device.minor));
  }
  pieces.push(...record(0, 'TRAILER!!!', 0, new Uint8Array(0), 0, 0));
  return concatenate(pieces);
}

function content(entry: CpioEntry): Uint8Array {
  if (entry.type === 'symlink') return encoder.encode(entry.target);
  if (entry.type !== 'file') return new Uint8Array(0);
  return typeof entry.data === 'string' ? encoder.encode(entry.data) : entry.data;
}

function mode(entry: CpioEntry): number {
  switch (entry.type) {
    case 'file':
      return S_IFREG | (entry.mode ?? 0o644);
    case 'folder':
      return S_IFDIR | (entry.mode ?? 0o755);
    case 'symlink':
      return S_IFLNK | 0o777;
    case 'character':
      return S_IFCHR | (entry.mode ?? 0o600);
  }
}

/** Header and name, then data; each padded to a multiple of four bytes. */
function record(
  inode: number,
  path: string,
  fileMode: number,
  data: Uint8Array,
  major: number,
  minor: number,
): Uint8Array[] {
  const name = encoder.encode(`${path}\0`);
  const links = (fileMode & S_IFDIR) === S_IFDIR ? 2 : 1;
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, fileMode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = encoder.encode(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}

function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
