import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '../contract.ts';
import { mayLeave } from './leaving.ts';

/** A client over guests that power off `after` milliseconds, or never, once asked. */
function guests(states: Record<string, { state: string; after?: number; unsavable?: boolean }>) {
  const calls: string[] = [];
  const listeners = new Set<(payload: { id: string }) => void>();
  const client = {
    async call(name: string, input?: { guest: string; force?: boolean }) {
      if (name === 'guests.list')
        return Object.entries(states).map(([id, { state }]) => ({ id, state, settings: { name: id } }));
      calls.push(`${name} ${input!.guest}${input!.force ? ' force' : ''}`);
      const guest = states[input!.guest];
      const off = () => {
        guest.state = 'off';
        for (const listener of listeners) listener({ id: input!.guest });
      };
      if (name === 'guests.save' && guest.unsavable) throw new Error(`${input!.guest} cannot be saved.`);
      if (input!.force || name === 'guests.save') off();
      else {
        guest.state = 'stopping';
        if (guest.after !== undefined) setTimeout(off, guest.after);
      }
    },
    on(_name: string, listener: (payload: { id: string }) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  } as unknown as Client;
  return { client, calls, listeners };
}

test('nothing is asked when every guest is off', async () => {
  const { client } = guests({ a: { state: 'off' } });
  assert.equal(await mayLeave({ client, ask: () => assert.fail('asked') }), true);
});

test('cancel leaves everything as it is', async () => {
  const { client, calls } = guests({ a: { state: 'running' } });
  assert.equal(await mayLeave({ client, ask: async () => 3 }), false);
  assert.deepEqual(calls, []);
});

test('guests that power off let the app go', async () => {
  const { client, calls, listeners } = guests({ a: { state: 'running', after: 5 }, b: { state: 'paused', after: 1 } });
  const asked: string[] = [];
  const ask = async ({ message }: { message: string }) => asked.push(message);
  assert.equal(await mayLeave({ client, ask }), true);
  assert.deepEqual(asked, ['a and b are running.']);
  assert.deepEqual(calls, ['guests.stop a', 'guests.stop b']);
  assert.equal(listeners.size, 0);
});

test('a guest that does not answer is asked about again, and can be forced', async () => {
  const { client, calls } = guests({ a: { state: 'running' } });
  const asked: string[] = [];
  const ask = async ({ message }: { message: string }) => asked.push(message);
  assert.equal(await mayLeave({ client, ask, patience: 10 }), true);
  assert.deepEqual(asked, ['a is running.', 'a did not power off.']);
  assert.deepEqual(calls, ['guests.stop a', 'guests.stop a force']);
});

test('guests are saved; one that cannot be is told of, and asked about again', async () => {
  const { client, calls } = guests({ a: { state: 'running' }, b: { state: 'paused', unsavable: true } });
  const asked: string[] = [];
  const ask = async ({ message }: { message: string }) => (asked.push(message) === 1 ? 0 : 2);
  assert.equal(await mayLeave({ client, ask }), true);
  assert.deepEqual(asked, ['a and b are running.', 'b cannot be saved.']);
  assert.deepEqual(calls, ['guests.save a', 'guests.save b', 'guests.stop b force']);
});
