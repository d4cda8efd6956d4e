// What all kinds of namespaces have in common: a number, as /proc/PID/ns shows it, and a user namespace that owns it.
// Owns the numbers.
// Never knows what is in one.

import type { UserNamespace } from './user-namespace.ts';

export type NamespaceType = 'cgroup' | 'ipc' | 'mnt' | 'net' | 'pid' | 'user' | 'uts';

/** The first number that Linux gives: PROC_DYNAMIC_FIRST. */
let lastNumber = 0xf0000000;

export abstract class Namespace {
  abstract readonly type: NamespaceType;
  /** Whose capabilities count in it. */
  abstract readonly owner: UserNamespace;
  readonly number = lastNumber++;
}
