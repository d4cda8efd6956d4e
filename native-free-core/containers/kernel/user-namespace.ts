// User namespaces: which users and groups a number means inside, and who has capabilities over whom (user_namespaces(7)).
// Owns the maps and the rules by which they are written.
// Never changes who a task is: credentials do.

import { errno } from '../errno.ts';
import { Namespace } from './namespace.ts';

/** What an id is shown as that has no number inside: /proc/sys/kernel/overflowuid. */
export const OVERFLOW_ID = 65534;
/** Namespaces within namespaces, and lines of a map, as in Linux. */
const DEPTH_MAX = 32;
const LINES_MAX = 340;
const IDS = 0xffffffff;

interface Range {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Numbers inside, and the kernel's own. */
export class IdMap {
  /** Null: nothing was written yet. */
  ranges: readonly Range[] | null = null;

  /** The kernel's id; -1: there is none. */
  meant(inside: number): number {
    for (const range of this.ranges ?? [])
      if (inside >= range.inside && inside - range.inside < range.count) return range.outside + (inside - range.inside);
    return -1;
  }

  /** The number inside; -1: there is none. */
  known(outside: number): number {
    for (const range of this.ranges ?? [])
      if (outside >= range.outside && outside - range.outside < range.count)
        return range.inside + (outside - range.outside);
    return -1;
  }

  shown(outside: number): number {
    const inside = this.known(outside);
    return inside < 0 ? OVERFLOW_ID : inside;
  }
}

/** The same number on both sides. */
class EveryId extends IdMap {
  override readonly ranges: readonly Range[] = [{ inside: 0, outside: 0, count: IDS }];

  override meant(inside: number): number {
    return inside === IDS ? -1 : inside;
  }

  override known(outside: number): number {
    return outside;
  }
}

export class UserNamespace extends Namespace {
  readonly type = 'user';
  readonly parent: UserNamespace | null;
  readonly level: number;
  /** Who made it, by the kernel's ids. */
  readonly creator: number;
  readonly creatorGroup: number;
  readonly uids: IdMap;
  readonly gids: IdMap;
  /** /proc/PID/setgroups. */
  setsGroups: boolean;

  /** Throws ENOSPC where it would be too deep. */
  constructor(parent: UserNamespace | null, creator: number, creatorGroup: number) {
    super();
    this.parent = parent;
    this.level = parent ? parent.level + 1 : 0;
    if (this.level > DEPTH_MAX) throw errno('ENOSPC');
    this.creator = creator;
    this.creatorGroup = creatorGroup;
    this.uids = parent ? new IdMap() : new EveryId();
    this.gids = parent ? new IdMap() : new EveryId();
    this.setsGroups = parent?.setsGroups ?? true;
  }

  override get owner(): UserNamespace {
    return this;
  }

  /** Whether it is `other` or lies in it. */
  isWithin(other: UserNamespace): boolean {
    for (let at: UserNamespace | null = this; at; at = at.parent) if (at === other) return true;
    return false;
  }
}

/** The one that every guest begins in. */
export const FIRST_USER_NAMESPACE = new UserNamespace(null, 0, 0);

/** Who writes a map. */
export interface MapWriter {
  readonly credentials: {
    readonly namespace: UserNamespace;
    readonly euid: number;
    readonly egid: number;
    capableIn(namespace: UserNamespace, capability: number): boolean;
  };
}

const CAP_SETGID = 6;
const CAP_SETUID = 7;
const CAP_SYS_ADMIN = 21;

/** uid_map and gid_map as they are read in `reader`. */
export function mapText(namespace: UserNamespace, kind: 'uids' | 'gids', reader: UserNamespace): string {
  const lower = reader === namespace && namespace.parent ? namespace.parent : reader;
  const column = (value: number): string => String(value).padStart(10);
  return (namespace[kind].ranges ?? [])
    .map(({ inside, outside, count }) => `${column(inside)} ${column(lower[kind].shown(outside))} ${column(count)}\n`)
    .join('');
}

/** Writes uid_map or gid_map, which can be done once. Throws EPERM, EINVAL. */
export function writeMap(
  namespace: UserNamespace,
  kind: 'uids' | 'gids',
  text: string,
  { credentials }: MapWriter,
): void {
  const { parent } = namespace;
  const map = namespace[kind];
  if (!parent || map.ranges) throw errno('EPERM');
  const writer = credentials.namespace;
  if (writer !== namespace && writer !== parent) throw errno('EPERM');
  if (!credentials.capableIn(namespace, CAP_SYS_ADMIN)) throw errno('EPERM');
  const lines = text.split('\n').filter((line, at, all) => line !== '' || at < all.length - 1);
  if (lines.length === 0 || lines.length > LINES_MAX) throw errno('EINVAL');
  const wanted = lines.map((line) => {
    const found = /^\s*(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})\s*$/.exec(line);
    if (!found) throw errno('EINVAL');
    const [inside, outside, count] = found.slice(1).map(Number);
    if (count === 0 || inside + count > IDS || outside + count > IDS) throw errno('EINVAL');
    return { inside, outside, count };
  });
  const overlap = (a: Range, b: Range, side: 'inside' | 'outside'): boolean =>
    a[side] < b[side] + b.count && b[side] < a[side] + a.count;
  if (
    wanted.some((a, at) =>
      wanted.some((b, other) => other < at && (overlap(a, b, 'inside') || overlap(a, b, 'outside'))),
    )
  )
    throw errno('EINVAL');
  if (!mayMap(namespace, parent, kind, wanted, credentials)) throw errno('EPERM');
  map.ranges = wanted.map(({ inside, outside, count }) => {
    const first = parent[kind].meant(outside);
    // All of it lies side by side in the parent as well.
    if (first < 0 || parent[kind].meant(outside + count - 1) !== first + count - 1) throw errno('EPERM');
    return { inside, outside: first, count };
  });
}

/** new_idmap_permitted: one's own id for anybody, all others with the capability over the parent. */
function mayMap(
  namespace: UserNamespace,
  parent: UserNamespace,
  kind: 'uids' | 'gids',
  wanted: readonly Range[],
  credentials: MapWriter['credentials'],
): boolean {
  const isUser = kind === 'uids';
  const isCreator = credentials.euid === namespace.creator;
  if (wanted.length === 1 && wanted[0].count === 1 && isCreator) {
    const meant = parent[kind].meant(wanted[0].outside);
    if (isUser ? meant === credentials.euid : meant === credentials.egid && !namespace.setsGroups) return true;
  }
  return credentials.capableIn(parent, isUser ? CAP_SETUID : CAP_SETGID);
}

/** Writes /proc/PID/setgroups. Throws EPERM, EINVAL. */
export function writeSetsGroups(namespace: UserNamespace, text: string, { credentials }: MapWriter): void {
  const word = text.trim();
  if (word !== 'allow' && word !== 'deny') throw errno('EINVAL');
  if (!credentials.capableIn(namespace, CAP_SYS_ADMIN)) throw errno('EPERM');
  if (word === 'allow') {
    if (!namespace.setsGroups) throw errno('EPERM');
    return;
  }
  if (namespace.gids.ranges && namespace.setsGroups) throw errno('EPERM');
  namespace.setsGroups = false;
}
