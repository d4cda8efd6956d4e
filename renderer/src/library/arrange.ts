// The guests as the list shows them: those that a search finds, in their groups, sorted, as rows one below the other.
// Owns what a search looks at and the order of rows.
// Never draws anything, and never knows what is selected.

import type { GuestView } from '../contract.ts';
import { kindNames, stateName } from '../state/words.ts';

export const sortings = ['age', 'name', 'state', 'kind', 'cpu'] as const;
export type Sorting = (typeof sortings)[number];

export type Row =
  | {
      type: 'group';
      key: string;
      /** Null: the guests that are in none, where others are in one. */
      name: string | null;
      guests: readonly GuestView[];
      isOpen: boolean;
    }
  | {
      type: 'guest';
      key: string;
      guest: GuestView;
      /** The row of its group; null where the list has no groups. */
      parent: string | null;
      /** Its place among its siblings, from 1, and how many they are. */
      place: number;
      siblings: number;
    };

export interface Arrangement {
  search: string;
  sorting: Sorting;
  /** Keys of the groups that are closed. A search opens them all: what it finds is shown. */
  closed: ReadonlySet<string>;
  /** Per cent of a core that a guest takes. */
  cpu: (id: string) => number;
}

const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' }).compare;
const NONE = 'group:';

/** What a search compares: without case and marks, so that `cafe` finds `Café`. */
function plain(text: string): string {
  return text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
}

/** The guests that have every word of a search in their name, group, kind or state. */
export function found(guests: readonly GuestView[], search: string): readonly GuestView[] {
  const words = plain(search).split(/\s+/).filter(Boolean);
  if (words.length === 0) return guests;
  return guests.filter((guest) => {
    const { name, group, kind } = guest.settings;
    const text = plain([name, group ?? '', kind, kindNames[kind], stateName(guest)].join('\n'));
    return words.every((word) => text.includes(word));
  });
}

const stateOrder: readonly GuestView['state'][] = ['running', 'starting', 'stopping', 'saving', 'paused', 'off'];
/** Steps of per cent within which guests keep their places: a list that is sorted by load should not dance. */
const CPU_STEP = 5;

function comparison({ sorting, cpu }: Arrangement): (a: GuestView, b: GuestView) => number {
  const name = (a: GuestView, b: GuestView) => byName(a.settings.name, b.settings.name);
  const rank = ({ state, saved }: GuestView) => stateOrder.indexOf(state) * 2 - (saved ? 1 : 0);
  const load = (guest: GuestView) => (guest.startedAt === null ? -1 : Math.round(cpu(guest.id) / CPU_STEP));
  switch (sorting) {
    case 'age':
      return (a, b) => a.createdAt - b.createdAt || name(a, b);
    case 'name':
      return name;
    case 'state':
      return (a, b) => rank(a) - rank(b) || name(a, b);
    case 'kind':
      return (a, b) => byName(a.settings.kind, b.settings.kind) || name(a, b);
    case 'cpu':
      return (a, b) => load(b) - load(a) || name(a, b);
  }
}

/** The names of all groups, in their order. */
export function groupsOf(guests: readonly GuestView[]): string[] {
  return [...new Set(guests.flatMap(({ settings }) => settings.group ?? []))].sort(byName);
}

/** The rows of the list. Groups come first, by name; without any group there is no heading at all. */
export function arrange(guests: readonly GuestView[], arrangement: Arrangement): Row[] {
  const shown = [...found(guests, arrangement.search)].sort(comparison(arrangement));
  const groups = groupsOf(guests);
  const rows = (members: readonly GuestView[], parent: string | null): Row[] =>
    members.map((guest, index) => ({
      type: 'guest',
      key: guest.id,
      guest,
      parent,
      place: index + 1,
      siblings: members.length,
    }));
  if (groups.length === 0) return rows(shown, null);
  const isSearch = arrangement.search.trim() !== '';
  return [...groups, null].flatMap((name): Row[] => {
    const key = `${NONE}${name ?? ''}`;
    const members = shown.filter(({ settings }) => settings.group === name);
    if (members.length === 0) return [];
    const isOpen = isSearch || !arrangement.closed.has(key);
    return [{ type: 'group', key, name, guests: members, isOpen }, ...(isOpen ? rows(members, key) : [])];
  });
}

/** The row that typed letters lead to: the first behind `from`, round the end, whose name begins with them. */
export function typedAhead(rows: readonly Row[], from: number, typed: string): number {
  const wanted = plain(typed);
  // A letter once more is the next of that letter; more letters may still mean the row one is on.
  const first = typed.length === 1 ? from + 1 : from;
  for (let step = 0; step < rows.length; step++) {
    const index = (Math.max(0, first) + step) % rows.length;
    const row = rows[index];
    const name = row.type === 'guest' ? row.guest.settings.name : (row.name ?? '');
    if (plain(name).startsWith(wanted)) return index;
  }
  return -1;
}
