// Who a task is: user, groups and capabilities (credentials(7), capabilities(7)).
// Owns one set of them; a set never changes, a task gets another one.
// Never says what a capability is needed for.

import type { Credentials } from '../vfs/types.ts';

/** All capabilities that exist: 0 to 40 (CAP_CHECKPOINT_RESTORE). */
export const CAPABILITIES_ALL = (1n << 41n) - 1n;

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

  constructor(of: Omit<CredentialSet, 'capable' | 'with'>) {
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
    });
  }

  capable(capability: number): boolean {
    return (this.effective & (1n << BigInt(capability))) !== 0n;
  }

  with(changes: Partial<Omit<CredentialSet, 'capable' | 'with'>>): CredentialSet {
    return new CredentialSet({ ...this, ...changes });
  }
}
