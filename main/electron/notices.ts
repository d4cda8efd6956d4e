// What is worth a word from the system although nobody looks at the app: guests that ended by themselves, a host that is full.
// Owns which these are, and that each is told once.
// Never imports Electron: whoever shows the notices is given them.

import type { Client, GuestEnd, GuestView } from '../contract.ts';
import { noticeWords } from './strings.ts';

export interface Notice {
  title: string;
  body: string;
}

/** Tells of what happens to the guests of a client from now on, until the answer is called. */
export async function watchGuests(client: Client, show: (notice: Notice) => void): Promise<() => void> {
  /** What each guest was told of last. */
  const known = new Map<string, Pick<GuestView, 'state' | 'pauseReason'>>();
  const note = ({ id, state, pauseReason }: GuestView): void => {
    known.set(id, { state, pauseReason });
  };
  const stops = [
    client.on('guest.changed', (guest) => {
      const before = known.get(guest.id);
      const { pauseReason, settings } = guest;
      if (pauseReason !== null && before?.pauseReason !== pauseReason)
        show({ title: noticeWords.full(settings.name), body: pauseReason });
      // The end has an event of its own, which says how; until then it counts what the guest was doing.
      if (guest.state !== 'off') note(guest);
    }),
    client.on('guest.ended', ({ id, name, end }) => {
      const wasAsked = known.get(id)?.state === 'stopping';
      known.delete(id);
      const title = titleOf(name, end, wasAsked);
      if (title !== null) show({ title, body: end.detail.split('\n')[0] ?? '' });
    }),
  ];
  for (const guest of await client.call('guests.list')) note(guest);
  return () => {
    for (const stop of stops) stop();
  };
}

/** Null where a person knows of it, because it was their will. */
function titleOf(name: string, { reason }: GuestEnd, wasAsked: boolean): string | null {
  if (reason === 'forced' || reason === 'saved') return null;
  if (reason === 'powerOff' || reason === 'exited') return wasAsked ? null : noticeWords.off(name);
  return noticeWords.failed(name);
}
