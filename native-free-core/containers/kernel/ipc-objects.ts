// System V IPC: what shared segments, sets of semaphores and message queues have in common (sysvipc(7)).
// Owns keys and numbers, owners and permission bits, and the tables of one IPC namespace.
// Never knows what is in an object.

import { errno } from '../errno.ts';
import type { CredentialSet } from './credentials.ts';
import type { UserNamespace } from './user-namespace.ts';

const IPC_PRIVATE = 0;
const IPC_CREAT = 0o1000;
const IPC_EXCL = 0o2000;
const CAP_SYS_ADMIN = 21;
const CAP_IPC_OWNER = 15;
/** Objects of one kind in one namespace: keeps a guest from filling the kernel's own memory with them. */
const OBJECTS_MAX = 4096;

export class IpcObject {
  readonly key: number;
  /** The kernel's ids. */
  uid: number;
  gid: number;
  readonly creatorUid: number;
  readonly creatorGid: number;
  mode: number;
  /** Nanoseconds since the epoch. */
  changedAt: number;
  id = -1;
  isGone = false;

  constructor(key: number, mode: number, { euid, egid }: CredentialSet, now: number) {
    this.key = key;
    this.uid = this.creatorUid = euid;
    this.gid = this.creatorGid = egid;
    this.mode = mode & 0o777;
    this.changedAt = now;
  }
}

export class IpcTable<T extends IpcObject> {
  private readonly owner: UserNamespace;
  private readonly objects = new Map<number, T>();
  private lastId = -1;

  constructor(owner: UserNamespace) {
    this.owner = owner;
  }

  all(): T[] {
    return [...this.objects.values()];
  }

  /** shmget and its kin: the object of a key, or a new one. Throws ENOENT, EEXIST, EACCES, ENOSPC. */
  find(key: number, flags: number, who: CredentialSet, make: () => T): T {
    if (key !== IPC_PRIVATE)
      for (const object of this.objects.values()) {
        if (object.key !== key || object.isGone) continue;
        if (flags & IPC_CREAT && flags & IPC_EXCL) throw errno('EEXIST');
        this.demand(object, flags & 0o777, who);
        return object;
      }
    if (key !== IPC_PRIVATE && !(flags & IPC_CREAT)) throw errno('ENOENT');
    if (this.objects.size >= OBJECTS_MAX) throw errno('ENOSPC');
    const object = make();
    object.id = ++this.lastId;
    this.objects.set(object.id, object);
    return object;
  }

  /** Throws EINVAL, EIDRM. */
  get(id: number): T {
    const object = this.objects.get(id | 0);
    if (!object) throw errno('EINVAL');
    return object;
  }

  /** Whether `who` may do what bits of a mode (0o444 to read, 0o222 to write) say. Throws EACCES. */
  demand(object: T, wanted: number, who: CredentialSet): void {
    const bits = (wanted >> 6) | (wanted >> 3) | wanted;
    const owns = who.euid === object.uid || who.euid === object.creatorUid;
    const inGroup = [object.gid, object.creatorGid].some((gid) => who.egid === gid || who.groups.includes(gid));
    const granted = object.mode >> (owns ? 6 : inGroup ? 3 : 0);
    if ((bits & ~granted & 7) !== 0 && !who.capableIn(this.owner, CAP_IPC_OWNER)) throw errno('EACCES');
  }

  /** Who may change or remove it. Throws EPERM. */
  demandOwner(object: T, who: CredentialSet): void {
    if (who.euid === object.uid || who.euid === object.creatorUid) return;
    if (!who.capableIn(this.owner, CAP_SYS_ADMIN)) throw errno('EPERM');
  }

  remove(object: T): void {
    object.isGone = true;
    this.objects.delete(object.id);
  }
}
