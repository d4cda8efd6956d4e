// The menu of what can be done to one guest or several: the same at the list, at a guest's page and at a selection.
// Owns its entries and their order.
// Never does anything itself.

import type { MenuItem } from '../components/MenuPanel.svelte';
import type { GuestView } from '../contract.ts';
import { applianceWords } from '../strings/appliances.ts';
import { actWords } from '../strings/library.ts';
import { type Act, type Acts, type Question, takers } from './acts.svelte.ts';

/** What only one guest at a time is for. */
export interface GuestDoors {
  open(id: string): void;
  console(id: string, port?: 2): void;
  edit(guest: GuestView): void;
}

type Entry = Omit<MenuItem, 'act' | 'label'>;

/** `isWhole`: with what a guest's page has buttons for. */
export function guestMenu(guests: readonly GuestView[], acts: Acts, doors: GuestDoors, isWhole: boolean): MenuItem[] {
  const [first] = guests;
  const one = guests.length === 1 ? first : null;
  const entry = (act: Act | Question, label: string, more: Entry = {}): MenuItem => {
    const able = takers(act, guests);
    return {
      label: one ? label : actWords.of(label, able.length),
      disabled: able.length === 0,
      ...more,
      act: () => acts.request(act, guests),
    };
  };
  const startLabel = one?.saved ? actWords.resumeSaved : actWords.start;
  const doing: MenuItem[] = isWhole
    ? [
        ...(one
          ? [{ label: actWords.open, icon: 'system' as const, hint: actWords.enterKey, act: () => doors.open(one.id) }]
          : []),
        ...(one ? [{ label: actWords.console, icon: 'terminal' as const, act: () => doors.console(one.id) }] : []),
        entry('start', startLabel, { icon: 'play', divided: one !== null }),
        ...(takers('resume', guests).length > 0 ? [entry('resume', actWords.resume, { icon: 'play' })] : []),
        entry('pause', actWords.pause, { icon: 'pause' }),
        entry('stop', actWords.stop, { icon: 'power' }),
        entry('save', actWords.save, { icon: 'save' }),
        entry('force', actWords.force, { icon: 'stop' }),
      ]
    : [];
  const isEditable = one !== null && one.saved === null;
  return [
    ...doing,
    ...(one
      ? [
          {
            label: actWords.edit,
            icon: 'edit' as const,
            divided: isWhole,
            disabled: !isEditable,
            act: () => doors.edit(one),
          },
          entry('clone', actWords.clone, { icon: 'copy' }),
          entry('export', applianceWords.exportEntry, { icon: 'save' }),
        ]
      : []),
    entry('group', actWords.group, { icon: 'folder' }),
    ...(one?.settings.kind === 'full'
      ? [{ label: actWords.second, icon: 'terminal' as const, act: () => doors.console(one.id, 2) }]
      : []),
    entry('reset', actWords.reset, { icon: 'restart', divided: true }),
    ...(takers('discard', guests).length > 0
      ? [entry('discard', actWords.discard, { icon: 'trash', danger: true })]
      : []),
    entry('remove', actWords.remove, { icon: 'trash', danger: true, ...(isWhole ? { hint: actWords.deleteKey } : {}) }),
  ];
}
