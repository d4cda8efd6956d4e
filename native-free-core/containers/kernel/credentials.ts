// Who a task is: user, groups and capabilities (credentials(7), capabilities(7)).
// Owns one set of them; a set never changes, a task gets another one.
// Never says what a capability is needed for.

import type { Credentials } from '../vfs/types.ts';
import { FIRST_USER_NAMESPACE, type UserNamespace } from './user-namespace.ts';

/** All capabilities that exist: 0 to 40 (CAP_CHECKPOINT_RESTORE). */
export const CAPABILITIES_ALL = (1n << 41n) - 1n;

/** include/uapi/linux/securebits.h */
export const SecureBit = { noRoot: 1, noSetuidFixup: 4, keepCaps: 16, noAmbientRaise: 64 } as const;

type Parts = Omit<CredentialSet, 'capable' | 'capableIn' | 'with' | 'isRoot'>;

export class CredentialSet implements Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly euid: number;
  readonly egid: number;
  readonly suid: number;
  readonly sgid: number;
  readonly fsuid: number;
  readonly fsgid: number;
  readonly groups: readonly number[];
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly inheritable: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
  /** SECBIT_*, but for SECBIT_KEEP_CAPS, which each task has itself. */
  readonly securebits: number;
  /** Towards which the capabilities are. Ids are the kernel's own. */
  readonly namespace: UserNamespace;

  constructor(of: Parts) {
    this.uid = of.uid;
    this.gid = of.gid;
    this.euid = of.euid;
    this.egid = of.egid;
    this.suid = of.suid;
    this.sgid = of.sgid;
    this.fsuid = of.fsuid;
    this.fsgid = of.fsgid;
    this.groups = of.groups;
    this.permitted = of.permitted;
    this.effective = of.effective;
    this.inheritable = of.inheritable;
    this.bounding = of.bounding;
    this.ambient = of.ambient;
    this.securebits = of.securebits;
    this.namespace = of.namespace;
  }

  static of(uid: number, gid: number, groups: readonly number[] = []): CredentialSet {
    const has = uid === 0 ? CAPABILITIES_ALL : 0n;
    return new CredentialSet({
      uid,
      gid,
      euid: uid,
      egid: gid,
      suid: uid,
      sgid: gid,
      fsuid: uid,
      fsgid: gid,
      groups,
      permitted: has,
      effective: has,
      inheritable: 0n,
      bounding: CAPABILITIES_ALL,
      ambient: 0n,
      securebits: 0,
      namespace: FIRST_USER_NAMESPACE,
    });
  }

  /** Towards the guest itself, or a file's owner where there is one (capable_wrt_inode_uidgid). */
  capable(capability: number, over?: { readonly uid: number; readonly gid: number }): boolean {
    const { namespace } = this;
    if (namespace.level > 0 && (!over || namespace.uids.known(over.uid) < 0 || namespace.gids.known(over.gid) < 0))
      return false;
    return (this.effective & (1n << BigInt(capability))) !== 0n;
  }

  /** Towards what a user namespace owns: its own capabilities, and all of who made one below. */
  capableIn(target: UserNamespace, capability: number): boolean {
    for (let at = target; ; at = at.parent) {
      if (at === this.namespace) return (this.effective & (1n << BigInt(capability))) !== 0n;
      if (at.level <= this.namespace.level || !at.parent) return false;
      if (at.parent === this.namespace && at.creator === this.euid) return true;
    }
  }

  /** Whether an id is root's in its namespace. */
  isRoot(uid: number): boolean {
    return this.namespace.uids.meant(0) === uid;
  }

  with(changes: Partial<Parts>): CredentialSet {
    return new CredentialSet({ ...this, ...changes });
  }
}
