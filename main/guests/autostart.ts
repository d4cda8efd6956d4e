// Guests that start with the app, one after the other.
// Owns their order and the waits between them.
// Never ends the others' turn because one of them cannot start.

import type { GuestView } from '../contract.ts';

export interface Autostart {
  list(): readonly GuestView[];
  start(id: string): Promise<unknown>;
  /** Told of a guest that could not be started, and why, in one sentence. */
  failed(guest: GuestView, sentence: string): void;
  /** Resolves after so many milliseconds, or when `signal` says that nothing more is to start. */
  wait(milliseconds: number): Promise<void>;
  signal: AbortSignal;
}

/** Guests that start with the app, in the order they do. */
export function autostarted(guests: readonly GuestView[]): GuestView[] {
  return guests
    .filter(({ settings, state }) => settings.autostart !== null && state === 'off')
    .sort((one, other) => one.settings.autostart! - other.settings.autostart! || one.createdAt - other.createdAt);
}

/** Starts them; resolves when the last one has its turn behind it. Answers how many started. */
export async function autostart({ list, start, failed, wait, signal }: Autostart): Promise<number> {
  let started = 0;
  for (const guest of autostarted(list())) {
    if (guest.settings.autostartDelay > 0) await wait(guest.settings.autostartDelay * 1000);
    if (signal.aborted) break;
    // A person may have been quicker.
    if (list().find(({ id }) => id === guest.id)?.state !== 'off') continue;
    try {
      await start(guest.id);
      started++;
    } catch (error) {
      failed(guest, error instanceof Error ? error.message : String(error));
    }
  }
  return started;
}
