// What happens when the app is asked to quit while guests are in memory.
// Owns the question and the wait for guests that were asked to power off.
// Never ends a guest that nobody said to end.

import type { MessageBoxOptions } from 'electron';
import type { Client, GuestView } from '../contract.ts';

/** How long guests get to power off before the question comes back (milliseconds). */
const PATIENCE = 20_000;

/** The buttons, in their order. */
const Answer = { save: 0, powerOff: 1, force: 2, cancel: 3 } as const;

export interface Leaving {
  client: Client;
  /** Shows a question; answers the index of the button. */
  ask(options: MessageBoxOptions): Promise<number>;
  patience?: number;
}

/** Answers whether the app may quit now: true once no guest is in memory. */
export async function mayLeave({ client, ask, patience = PATIENCE }: Leaving): Promise<boolean> {
  /** Why it is asked once more, in a sentence. */
  let again: string | null = null;
  for (;;) {
    const guests = await inMemory(client);
    if (guests.length === 0) return true;
    const answer = await ask({
      type: 'question',
      message: again ?? `${names(guests)} ${guests.length > 1 ? 'are' : 'is'} running.`,
      detail:
        'Guests end with Trivisor. One whose state is saved goes on there when it is started; what a guest has not written ' +
        'when it is forced to stop is lost.',
      buttons: ['Save and quit', 'Power off and quit', 'Force stop and quit', 'Cancel'],
      defaultId: 0,
      cancelId: Answer.cancel,
    });
    if (answer === Answer.cancel) return false;
    if (answer === Answer.save) again = await save(client, guests);
    else if (answer === Answer.force) {
      for (const { id } of guests) await client.call('guests.stop', { guest: id, force: true });
    } else {
      await powerOff(client, guests, patience);
      again = `${names(await inMemory(client))} did not power off.`;
    }
  }
}

async function inMemory(client: Client): Promise<GuestView[]> {
  return (await client.call('guests.list')).filter(({ state }) => state !== 'off');
}

/** Saves every guest; a sentence where one could not be. */
async function save(client: Client, guests: readonly GuestView[]): Promise<string | null> {
  const results = await Promise.allSettled(guests.map(({ id }) => client.call('guests.save', { guest: id })));
  const failed = results.find((result) => result.status === 'rejected');
  return failed === undefined ? null : (failed.reason as Error).message;
}

/** Presses every power button, and waits until all are off or the patience is over. */
async function powerOff(client: Client, guests: readonly GuestView[], patience: number): Promise<void> {
  const left = new Set(guests.map(({ id }) => id));
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, patience);
  const stopListening = client.on('guest.ended', ({ id }) => {
    left.delete(id);
    if (left.size === 0) over.resolve();
  });
  try {
    for (const { id, state } of guests) {
      if (state !== 'stopping') await client.call('guests.stop', { guest: id });
    }
    await over.promise;
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}

function names(guests: readonly GuestView[]): string {
  const quoted = guests.map(({ settings }) => settings.name);
  if (quoted.length > 3) return `${quoted.length} guests`;
  return quoted.length > 1 ? `${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1)}` : quoted[0];
}
