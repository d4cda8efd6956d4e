import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Client } from '../contract.ts';
import { type Notice, watchGuests } from './notices.ts';
import { speak } from './strings.ts';

afterEach(() => speak('en'));

/** A client whose events the test makes. */
function fakeClient(guests: object[]) {
  const listeners = new Map<string, (payload: object) => void>();
  const client = {
    call: async () => guests,
    on(name: string, listener: (payload: object) => void) {
      listeners.set(name, listener);
      return () => listeners.delete(name);
    },
  } as unknown as Client;
  return { client, listeners, tell: (name: string, payload: object) => listeners.get(name)?.(payload) };
}

const guest = (state: string, pauseReason: string | null = null) => ({
  id: 'a',
  settings: { name: 'web' },
  state,
  pauseReason,
});
const ended = (reason: string, detail = 'It is over.\nEAX=0') => ({
  id: 'a',
  name: 'web',
  end: { reason, detail, at: 0 },
});

test('ends that nobody asked for are told, each once', async () => {
  const { client, tell, listeners } = fakeClient([guest('running')]);
  const shown: Notice[] = [];
  const stop = await watchGuests(client, (notice) => shown.push(notice));
  tell('guest.ended', ended('tripleFault'));
  tell('guest.ended', ended('powerOff'));
  for (const reason of ['forced', 'saved']) tell('guest.ended', ended(reason));
  tell('guest.changed', guest('stopping'));
  tell('guest.changed', guest('off'));
  tell('guest.ended', ended('powerOff'));
  assert.deepEqual(shown, [
    { title: 'web stopped by an error', body: 'It is over.' },
    { title: 'web is off', body: 'It is over.' },
  ]);
  stop();
  assert.equal(listeners.size, 0);
});

test('a full host is told when it becomes so, in the system’s language', async () => {
  speak('de-AT');
  const { client, tell } = fakeClient([guest('running')]);
  const shown: Notice[] = [];
  await watchGuests(client, (notice) => shown.push(notice));
  tell('guest.changed', guest('paused', 'The disk is full.'));
  tell('guest.changed', guest('paused', 'The disk is full.'));
  tell('guest.changed', guest('running'));
  tell('guest.changed', guest('paused', 'The disk is full.'));
  tell('guest.changed', guest('paused'));
  const notice = { title: 'web ist angehalten: kein Platz auf diesem Rechner', body: 'The disk is full.' };
  assert.deepEqual(shown, [notice, notice]);
});
