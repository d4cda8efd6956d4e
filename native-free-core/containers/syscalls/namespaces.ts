// unshare and setns: a task leaves what it shares, or joins what another one has.
// Owns their flags and the rules of who may join what (unshare(2), setns(2)).
// Never makes a namespace: kernel/new-namespaces.ts does.

import { ProcessFile } from '../devices/process-file.ts';
import { errno } from '../errno.ts';
import { CLONE_NAMESPACES, Clone } from '../kernel/clone-flags.ts';
import { CAPABILITIES_ALL } from '../kernel/credentials.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import type { Namespace, NamespaceType } from '../kernel/namespace.ts';
import { NamespaceFile } from '../kernel/namespace-files.ts';
import type { MountsNamespace, PidNamespace } from '../kernel/namespaces.ts';
import { inNewUserNamespace, newNamespaces } from '../kernel/new-namespaces.ts';
import type { Task } from '../kernel/task.ts';
import { UserNamespace } from '../kernel/user-namespace.ts';
import { NetworkNamespace } from '../sockets/network-namespace.ts';
import { descriptionOf } from './arguments.ts';

const CAP_SYS_ADMIN = 21;
const CAP_SYS_CHROOT = 18;
const SHARED = Clone.fs | Clone.files | Clone.sysvsem | Clone.vm | Clone.sighand | Clone.thread;

const unshare: SystemCall = (task, given) => {
  let flags = given | 0;
  if (flags & ~(CLONE_NAMESPACES | SHARED)) throw errno('EINVAL');
  if (flags & Clone.newUser) flags |= Clone.thread | Clone.fs;
  if (flags & Clone.vm) flags |= Clone.sighand;
  if (flags & Clone.sighand) flags |= Clone.thread;
  if (flags & Clone.newNs) flags |= Clone.fs;
  if (flags & (Clone.thread | Clone.sighand | Clone.vm) && task.process.threads.size > 1) throw errno('EINVAL');
  const credentials = flags & Clone.newUser ? inNewUserNamespace(task.credentials, task) : task.credentials;
  const { namespaces, fs } = newNamespaces(task, flags, credentials);
  if (flags & Clone.fs) task.fs = { ...task.fs, ...fs };
  if (flags & Clone.files && task.files.users > 1) {
    task.files.users--;
    task.files = task.files.fork();
  }
  if (flags & Clone.newNet) task.network = new NetworkNamespace(task.kernel, credentials.namespace);
  task.credentials = credentials;
  task.namespaces = namespaces;
  return 0;
};

const FLAG_OF: Readonly<Record<NamespaceType, number>> = {
  cgroup: Clone.newCgroup,
  ipc: Clone.newIpc,
  mnt: Clone.newNs,
  net: Clone.newNet,
  pid: Clone.newPid,
  user: Clone.newUser,
  uts: Clone.newUts,
};

/** Joins one namespace. Throws EPERM, EINVAL. */
function join(task: Task, namespace: Namespace): void {
  const { credentials } = task;
  const mayIn = (capability: number, where = credentials.namespace): boolean =>
    credentials.capableIn(where, capability);
  if (namespace instanceof UserNamespace) {
    if (namespace === credentials.namespace || task.process.threads.size > 1) throw errno('EINVAL');
    if (!mayIn(CAP_SYS_ADMIN, namespace)) throw errno('EPERM');
    task.credentials = credentials.with({
      namespace,
      permitted: CAPABILITIES_ALL,
      effective: CAPABILITIES_ALL,
      inheritable: 0n,
      bounding: CAPABILITIES_ALL,
      ambient: 0n,
      securebits: 0,
    });
    return;
  }
  if (!mayIn(CAP_SYS_ADMIN, namespace.owner) || !mayIn(CAP_SYS_ADMIN)) throw errno('EPERM');
  const { namespaces } = task;
  switch (namespace.type) {
    case 'mnt': {
      if (!mayIn(CAP_SYS_CHROOT)) throw errno('EPERM');
      const mnt = namespace as MountsNamespace;
      const root = mnt.mounts.rootLocation;
      task.fs = { ...task.fs, root, cwd: root };
      task.namespaces = { ...namespaces, mnt };
      return;
    }
    case 'pid': {
      const pid = namespace as PidNamespace;
      // Only its own or one within: nobody leaves the view of its parent.
      if (!pid.isWithin(namespaces.pid)) throw errno('EINVAL');
      task.namespaces = { ...namespaces, pidForChildren: pid };
      return;
    }
    case 'net':
      task.network = namespace as NetworkNamespace;
      return;
    default:
      task.namespaces = { ...namespaces, [namespace.type]: namespace };
  }
}

const setns: SystemCall = (task, fd, given) => {
  const { file } = descriptionOf(task, fd);
  const flags = given | 0;
  if (file instanceof NamespaceFile) {
    if (flags !== 0 && flags !== FLAG_OF[file.namespace.type]) throw errno('EINVAL');
    join(task, file.namespace);
    return 0;
  }
  if (!(file instanceof ProcessFile)) throw errno('EINVAL');
  if (flags === 0 || flags & ~CLONE_NAMESPACES) throw errno('EINVAL');
  if (file.process.isZombie) throw errno('ESRCH');
  const { credentials, namespaces, network, fs } = task;
  const { leader } = file.process;
  try {
    if (flags & Clone.newUser) join(task, leader.credentials.namespace);
    if (flags & Clone.newNet) join(task, leader.network);
    for (const type of ['uts', 'ipc', 'cgroup', 'pid', 'mnt'] as const)
      if (flags & FLAG_OF[type]) join(task, leader.namespaces[type]);
  } catch (error) {
    // All or nothing.
    Object.assign(task, { credentials, namespaces, network, fs });
    throw error;
  }
  return 0;
};

export const namespaceCalls: Record<string, SystemCall> = { unshare, setns };
