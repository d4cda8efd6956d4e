// Users, groups and capabilities of a task.
// Owns the rules by which each may change (setresuid(2), capabilities(7)).
// Never checks access to a file.

import { errno } from '../errno.ts';
import { CAPABILITIES_ALL, type CredentialSet, SecureBit } from '../kernel/credentials.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';

const CAP_SETGID = 6;
const CAP_SETUID = 7;
const CAP_SETPCAP = 8;
const KEEP = -1;
const GROUPS_MAX = 65536;
const CAPABILITY_VERSION_1 = 0x19980330;
const CAPABILITY_VERSION_2 = 0x20071026;
const CAPABILITY_VERSION_3 = 0x20080522;

/** What the change of a user does to capabilities: root's go with root. */
function settle(before: CredentialSet, after: CredentialSet, keeps: boolean): CredentialSet {
  const root = before.namespace.uids.meant(0);
  const isRoot = (who: CredentialSet): boolean => [who.uid, who.euid, who.suid].includes(root);
  if (before.securebits & SecureBit.noSetuidFixup) return after;
  let { permitted, effective, ambient } = after;
  if (isRoot(before) && !isRoot(after)) {
    if (!keeps) permitted = 0n;
    ambient = 0n;
    effective = 0n;
  } else if (before.euid === root && after.euid !== root) effective = 0n;
  else if (before.euid !== root && after.euid === root) effective = permitted;
  return after.with({ permitted, effective, ambient });
}

function setUsers(task: Task, uid: number, euid: number, suid: number): number {
  const { credentials } = task;
  const known = [credentials.uid, credentials.euid, credentials.suid];
  const wanted = [uid, euid, suid].filter((id) => id !== KEEP);
  if (!may(task, CAP_SETUID) && wanted.some((id) => !known.includes(id))) throw errno('EPERM');
  const to = euid === KEEP ? credentials.euid : euid;
  const after = credentials.with({
    uid: uid === KEEP ? credentials.uid : uid,
    euid: to,
    suid: suid === KEEP ? credentials.suid : suid,
    fsuid: to,
  });
  task.credentials = settle(credentials, after, task.keepCapabilities);
  return 0;
}

function setGroupsOf(task: Task, gid: number, egid: number, sgid: number): number {
  const { credentials } = task;
  const known = [credentials.gid, credentials.egid, credentials.sgid];
  const wanted = [gid, egid, sgid].filter((id) => id !== KEEP);
  if (!may(task, CAP_SETGID) && wanted.some((id) => !known.includes(id))) throw errno('EPERM');
  const to = egid === KEEP ? credentials.egid : egid;
  task.credentials = credentials.with({
    gid: gid === KEEP ? credentials.gid : gid,
    egid: to,
    sgid: sgid === KEEP ? credentials.sgid : sgid,
    fsgid: to,
  });
  return 0;
}

/** An id of a call as the kernel's; -1 keeps what there is. Throws EINVAL for one that the task's namespace does not have. */
const userOf = (task: Task, value: number): number => ((value | 0) === -1 ? KEEP : task.uidMeant(value >>> 0));
const groupOf = (task: Task, value: number): number => ((value | 0) === -1 ? KEEP : task.gidMeant(value >>> 0));
/** Whether the task has a capability towards its own user namespace. */
const may = (task: Task, capability: number): boolean =>
  task.credentials.capableIn(task.credentials.namespace, capability);

/** capget and capset: how many words of 32 bits there are of each set. Throws EINVAL, having told the preferred version. */
function capabilityWords(task: Task, header: number): number {
  const version = task.space.readU32(header);
  if (version === CAPABILITY_VERSION_1) return 1;
  if (version === CAPABILITY_VERSION_2 || version === CAPABILITY_VERSION_3) return 2;
  task.space.writeU32(header, CAPABILITY_VERSION_3);
  throw errno('EINVAL');
}

const capset: SystemCall = (task, header, data) => {
  const words = capabilityWords(task, header);
  const pid = task.space.readI32(header + 4);
  if (pid !== 0 && task.pidMeant(pid) !== task.tid) throw errno('EPERM');
  const { credentials } = task;
  const set = (field: number): bigint => {
    let value = 0n;
    for (let word = 0; word < words; word++)
      value |= BigInt(task.space.readU32(data + word * 12 + field * 4)) << BigInt(word * 32);
    return value & CAPABILITIES_ALL;
  };
  const [effective, permitted, inheritable] = [set(0), set(1), set(2)];
  if (permitted & ~credentials.permitted || effective & ~permitted) throw errno('EPERM');
  const allowed = credentials.inheritable | (may(task, CAP_SETPCAP) ? credentials.bounding : credentials.permitted);
  if (inheritable & ~allowed || inheritable & ~(credentials.inheritable | credentials.bounding)) throw errno('EPERM');
  const ambient = credentials.ambient & permitted & inheritable;
  task.credentials = credentials.with({ effective, permitted, inheritable, ambient });
  return 0;
};

const capget: SystemCall = (task, header, data) => {
  if (data === 0) {
    capabilityWords(task, header);
    return 0;
  }
  const words = capabilityWords(task, header);
  const pid = task.space.readI32(header + 4);
  const of = pid === 0 ? task : task.other(pid);
  if (!of) throw errno('ESRCH');
  const { effective, permitted, inheritable } = of.credentials;
  for (let word = 0; word < words; word++)
    [effective, permitted, inheritable].forEach((set, field) => {
      task.space.writeU32(data + word * 12 + field * 4, Number((set >> BigInt(word * 32)) & 0xffff_ffffn));
    });
  return 0;
};

const three = (task: Task, addresses: readonly number[], values: readonly number[]): number => {
  addresses.forEach((address, index) => {
    task.space.writeU32(address, values[index]);
  });
  return 0;
};

export const identityCalls: Record<string, SystemCall> = {
  getuid: (task) => task.uidSeen(task.credentials.uid),
  geteuid: (task) => task.uidSeen(task.credentials.euid),
  getgid: (task) => task.gidSeen(task.credentials.gid),
  getegid: (task) => task.gidSeen(task.credentials.egid),
  getresuid: (task, a, b, c) => {
    const { uid, euid, suid } = task.credentials;
    return three(
      task,
      [a, b, c],
      [uid, euid, suid].map((each) => task.uidSeen(each)),
    );
  },
  getresgid: (task, a, b, c) => {
    const { gid, egid, sgid } = task.credentials;
    return three(
      task,
      [a, b, c],
      [gid, egid, sgid].map((each) => task.gidSeen(each)),
    );
  },
  setuid: (task, uid) =>
    may(task, CAP_SETUID)
      ? setUsers(task, task.uidMeant(uid >>> 0), task.uidMeant(uid >>> 0), task.uidMeant(uid >>> 0))
      : setUsers(task, KEEP, task.uidMeant(uid >>> 0), KEEP),
  setgid: (task, gid) =>
    may(task, CAP_SETGID)
      ? setGroupsOf(task, task.gidMeant(gid >>> 0), task.gidMeant(gid >>> 0), task.gidMeant(gid >>> 0))
      : setGroupsOf(task, KEEP, task.gidMeant(gid >>> 0), KEEP),
  setresuid: (task, uid, euid, suid) => setUsers(task, userOf(task, uid), userOf(task, euid), userOf(task, suid)),
  setresgid: (task, gid, egid, sgid) => setGroupsOf(task, groupOf(task, gid), groupOf(task, egid), groupOf(task, sgid)),
  setreuid: (task, ruid, reuid) => {
    const [uid, euid] = [userOf(task, ruid), userOf(task, reuid)];
    const before = task.credentials;
    const saves = uid !== KEEP || (euid !== KEEP && euid !== before.uid);
    return setUsers(task, uid, euid, saves ? (euid === KEEP ? before.euid : euid) : KEEP);
  },
  setregid: (task, rgid, regid) => {
    const [gid, egid] = [groupOf(task, rgid), groupOf(task, regid)];
    const before = task.credentials;
    const saves = gid !== KEEP || (egid !== KEEP && egid !== before.gid);
    return setGroupsOf(task, gid, egid, saves ? (egid === KEEP ? before.egid : egid) : KEEP);
  },
  setfsuid: (task, given) => {
    const { credentials } = task;
    const known = [credentials.uid, credentials.euid, credentials.suid, credentials.fsuid];
    const uid = credentials.namespace.uids.meant(given >>> 0);
    if (uid >= 0 && (known.includes(uid) || may(task, CAP_SETUID))) task.credentials = credentials.with({ fsuid: uid });
    return task.uidSeen(credentials.fsuid);
  },
  setfsgid: (task, given) => {
    const { credentials } = task;
    const known = [credentials.gid, credentials.egid, credentials.sgid, credentials.fsgid];
    const gid = credentials.namespace.gids.meant(given >>> 0);
    if (gid >= 0 && (known.includes(gid) || may(task, CAP_SETGID))) task.credentials = credentials.with({ fsgid: gid });
    return task.gidSeen(credentials.fsgid);
  },
  getgroups: (task, size, address) => {
    const { groups } = task.credentials;
    if (size < 0) throw errno('EINVAL');
    if (size === 0) return groups.length;
    if (size < groups.length) throw errno('EINVAL');
    groups.forEach((group, index) => {
      task.space.writeU32(address + index * 4, task.gidSeen(group));
    });
    return groups.length;
  },
  setgroups: (task, size, address) => {
    const { namespace } = task.credentials;
    if (!may(task, CAP_SETGID) || !namespace.setsGroups || !namespace.gids.ranges) throw errno('EPERM');
    if (size < 0 || size > GROUPS_MAX) throw errno('EINVAL');
    const groups = Array.from({ length: size }, (_, index) => task.gidMeant(task.space.readU32(address + index * 4)));
    task.credentials = task.credentials.with({ groups });
    return 0;
  },
  capget,
  capset,
};
