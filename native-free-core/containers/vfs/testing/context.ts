// Walk contexts for tests: a namespace over one file system, as root or as somebody else.
// Owns the credentials that tests use; the kernel makes its own.
// Never part of what ships.

import { MountNamespace } from '../mounts.ts';
import { TmpFs } from '../tmpfs.ts';
import type { Credentials, FileSystem, WalkContext } from '../types.ts';

export const somebody = (uid: number, groups: number[] = []): Credentials => ({
  fsuid: uid,
  fsgid: uid,
  groups,
  capable: () => uid === 0,
});

let time = 1_700_000_000_000_000_000n;

export const testFs = (device = 1): TmpFs => new TmpFs({ device, now: () => ++time, mode: 0o755 });

export function contextOf(fileSystem: FileSystem, credentials = somebody(0)): WalkContext & { mounts: MountNamespace } {
  const mounts = new MountNamespace(fileSystem);
  return { root: mounts.rootLocation, cwd: mounts.rootLocation, credentials, umask: 0o22, mounts };
}
