// What CLONE_NEW* gives a child (clone), or a task itself (unshare).
// Owns which capability each needs, which flags exclude each other, and what a new namespace begins with.
// Never moves a task into a namespace that is there: setns does.

import { errno } from '../errno.ts';
import { CLONE_NAMESPACES, Clone } from './clone-flags.ts';
import { CAPABILITIES_ALL, type CredentialSet } from './credentials.ts';
import {
  CgroupNamespace,
  IpcNamespace,
  MountsNamespace,
  type Namespaces,
  PidNamespace,
  UtsNamespace,
} from './namespaces.ts';
import type { FileSystemContext, Task } from './task.ts';
import { UserNamespace } from './user-namespace.ts';

const CAP_SYS_ADMIN = 21;

/** clone's flags that cannot be together. Throws EINVAL. */
export function checkNamespaceFlags(task: Task, flags: number): void {
  const both = (a: number, b: number): boolean => (flags & a) !== 0 && (flags & b) !== 0;
  if (both(Clone.newNs | Clone.newUser, Clone.fs) || both(Clone.newIpc, Clone.sysvsem)) throw errno('EINVAL');
  if (both(Clone.newUser | Clone.newPid, Clone.thread | Clone.parent)) throw errno('EINVAL');
  // Who has made a PID namespace for its children can have no thread in this one any more.
  const { pid, pidForChildren } = task.namespaces;
  if (pid !== pidForChildren && flags & (Clone.thread | Clone.parent)) throw errno('EINVAL');
}

/** Who a task is in a user namespace of its own: all capabilities there, none outside. Throws ENOSPC, EPERM. */
export function inNewUserNamespace(credentials: CredentialSet, task: Task): CredentialSet {
  const { euid, egid, namespace } = credentials;
  // Whoever cannot be named in a namespace makes none in it.
  if (namespace.uids.known(euid) < 0 || namespace.gids.known(egid) < 0) throw errno('EPERM');
  task.keepCapabilities = false;
  return credentials.with({
    namespace: new UserNamespace(namespace, euid, egid),
    permitted: CAPABILITIES_ALL,
    effective: CAPABILITIES_ALL,
    inheritable: 0n,
    bounding: CAPABILITIES_ALL,
    ambient: 0n,
    securebits: 0,
  });
}

/**
 * The namespaces of `flags`, with those of `task` for all else; `fs`: root and working directory in the new mounts. Network
 * namespaces are made by whoever has the task. Throws EPERM, ENOSPC.
 */
export function newNamespaces(
  task: Task,
  flags: number,
  credentials: CredentialSet,
): { namespaces: Namespaces; fs: Partial<FileSystemContext> } {
  const { namespaces } = task;
  if ((flags & CLONE_NAMESPACES) === 0) return { namespaces, fs: {} };
  const { namespace: owner } = credentials;
  if (flags & CLONE_NAMESPACES & ~Clone.newUser && !credentials.capableIn(owner, CAP_SYS_ADMIN)) throw errno('EPERM');
  const { uts } = namespaces;
  let { mnt } = namespaces;
  let fs: Partial<FileSystemContext> = {};
  if (flags & Clone.newNs) {
    const { namespace, translate } = mnt.mounts.clone(owner !== mnt.owner);
    mnt = new MountsNamespace(owner, namespace);
    fs = { root: translate(task.fs.root), cwd: translate(task.fs.cwd) };
  }
  return {
    namespaces: {
      uts: flags & Clone.newUts ? new UtsNamespace(owner, uts.hostName, uts.domainName) : uts,
      ipc: flags & Clone.newIpc ? new IpcNamespace(owner) : namespaces.ipc,
      mnt,
      cgroup: flags & Clone.newCgroup ? new CgroupNamespace(owner, task.process.cgroup) : namespaces.cgroup,
      pid: namespaces.pid,
      pidForChildren:
        flags & Clone.newPid ? new PidNamespace(owner, namespaces.pidForChildren) : namespaces.pidForChildren,
    },
    fs,
  };
}
