// Debian's root file system as containers have it: what debootstrap makes, packed as an archive.
// Owns how it is built; its owners, device nodes and hard links are those of a real system.
// Never built without root: debootstrap asks for it.

import { join } from 'node:path';
import { mirror } from './debian-mirror.ts';
import { lacking, tool } from './host-tools.ts';
import { image } from './image-cache.ts';

export const noDebianRoot: string | false =
  lacking('debootstrap', 'tar', 'chroot') || (process.getuid?.() !== 0 && 'debootstrap needs root');

const RELEASE = 'bookworm';

/** Beside what every Debian has: bash, coreutils, dpkg, apt. Each is what some test of containers runs. */
const packages = [
  ...['busybox', 'curl', 'gcc', 'git', 'iproute2', 'iputils-ping', 'libc6-dev', 'musl-tools', 'netcat-openbsd'],
  ...['nginx-light', 'perl', 'procps', 'python3', 'redis-server', 'redis-tools', 'sqlite3', 'tmux'],
];

/** The archive, a .tar.gz with names that begin with './'. */
export function debianRoot(): Promise<string> {
  return image({
    name: 'debian-programs.tar.gz',
    version: 1,
    make(file, work) {
      const root = join(work, 'root');
      tool('debootstrap', ['--variant=minbase', `--include=${packages.join(',')}`, RELEASE, root, mirror()]);
      tool('chroot', [root, 'apt-get', 'clean']);
      tool('tar', ['--numeric-owner', '--one-file-system', '-czf', file, '-C', root, '.']);
    },
  });
}
