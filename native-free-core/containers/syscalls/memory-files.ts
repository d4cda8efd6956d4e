// memfd_create, and the seals of its files.
// Owns their flags and arguments.
// Never keeps a byte: vfs/memory-file.ts does.

import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { hasWritableMapping } from '../kernel/mapped-files.ts';
import type { Task } from '../kernel/task.ts';
import { O_ACCMODE, O_RDONLY, O_RDWR, S_IFREG } from '../vfs/constants.ts';
import { F_SEAL_EXEC, F_SEAL_SEAL, F_SEAL_WRITE, MemoryFile, SEALS_ALL } from '../vfs/memory-file.ts';
import { addDescriptor } from './open.ts';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 16;
/** Longest name: NAME_MAX without 'memfd:'. */
const NAME_LONGEST = 249;
const O_LARGEFILE = 0o100000;

const memfdCreate: SystemCall = (task, nameAt, flags) => {
  if (flags & MFD_HUGETLB) {
    task.kernel.notImplemented('memfd_create: MFD_HUGETLB');
    throw errno('EINVAL');
  }
  if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) throw errno('EINVAL');
  if (flags & MFD_EXEC && flags & MFD_NOEXEC_SEAL) throw errno('EINVAL');
  const name = task.space.readString(nameAt, NAME_LONGEST + 1, 'EINVAL');
  const isNoExec = (flags & MFD_NOEXEC_SEAL) !== 0;
  const { inode, location } = task.kernel.anonymous.file(task.credentials, {
    name: `memfd:${name}`,
    mode: S_IFREG | (isNoExec ? 0o666 : 0o777),
    seals: isNoExec ? F_SEAL_EXEC : flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL,
  });
  const description = new Description(inode.open(O_RDWR), location, O_RDWR | O_LARGEFILE);
  return addDescriptor(task, description, (flags & MFD_CLOEXEC) !== 0);
};

/** F_ADD_SEALS. Throws EINVAL, EPERM, EBUSY. */
export function addSeals(task: Task, { file, flags }: Description, seals: number): number {
  const { inode } = file;
  if (!(inode instanceof MemoryFile)) throw errno('EINVAL');
  if ((flags & O_ACCMODE) === O_RDONLY) throw errno('EPERM');
  if (seals & ~SEALS_ALL) throw errno('EINVAL');
  if (inode.seals & F_SEAL_SEAL) throw errno('EPERM');
  if (seals & F_SEAL_WRITE && hasWritableMapping(task.kernel, inode)) throw errno('EBUSY');
  inode.seals |= seals;
  return 0;
}

/** F_GET_SEALS. Throws EINVAL. */
export function sealsOf({ file: { inode } }: Description): number {
  if (!(inode instanceof MemoryFile)) throw errno('EINVAL');
  return inode.seals;
}

export const memoryFileCalls: Record<string, SystemCall> = { memfd_create: memfdCreate };
