// What a person does to one guest or several: which acts they allow, the questions before some, and what came of each.
// Owns what is under way, what is asked, and the sentences of what could not be done.
// Never draws anything.

import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import type { GuestView } from '../contract.ts';
import { type Session, sentence } from '../state/session.svelte.ts';
import { actWords } from '../strings/library.ts';

export const acts = ['start', 'pause', 'resume', 'stop', 'save', 'force', 'reset', 'discard', 'remove'] as const;
export type Act = (typeof acts)[number];
/** Asked about before: something is lost, or there is more to say. */
export const questions = ['force', 'reset', 'discard', 'remove', 'clone', 'group', 'export'] as const;
export type Question = (typeof questions)[number];

const isIn = ({ startedAt }: GuestView): boolean => startedAt !== null;

/** Whether a guest as it is now takes an act. */
const allowed: Record<Act | Question, (guest: GuestView) => boolean> = {
  start: (guest) => !isIn(guest),
  pause: ({ state }) => state === 'running',
  resume: ({ state }) => state === 'paused',
  stop: ({ state }) => state === 'running',
  save: ({ state, settings }) => settings.kind !== 'os' && (state === 'running' || state === 'paused'),
  force: isIn,
  reset: isIn,
  discard: (guest) => !isIn(guest) && guest.saved !== null,
  remove: (guest) => !isIn(guest),
  clone: (guest) => !isIn(guest) && guest.saved === null && guest.settings.kind !== 'os',
  group: () => true,
  export: (guest) => !isIn(guest) && guest.settings.kind !== 'os',
};

/** Those of several guests that an act can be done to. */
export function takers(act: Act | Question, guests: readonly GuestView[]): GuestView[] {
  return guests.filter(allowed[act]);
}

export class Acts {
  readonly #session: Session;
  /** `act id` of what is under way. */
  readonly #busy = new SvelteSet<string>();
  /** What could not be done last, by guest. */
  readonly problems = new SvelteMap<string, string>();
  /** What a person is being asked about. */
  asking = $state.raw<{ question: Question; guests: readonly GuestView[] } | null>(null);

  constructor(session: Session) {
    this.#session = session;
  }

  isBusy(act: Act, id: string): boolean {
    return this.#busy.has(`${act} ${id}`);
  }

  /** Does it, or asks first. Guests that the act is not for are left out. */
  request(act: Act | Question, guests: readonly GuestView[]): void {
    const able = takers(act, guests);
    if (able.length === 0) return;
    const question = questions.find((one) => one === act);
    if (question) this.asking = { question, guests: able };
    else void this.run(act as Act, able);
  }

  /** Does it to all of them; each one's failure is its own. */
  async run(act: Act, guests: readonly GuestView[], options: { disks?: boolean } = {}): Promise<void> {
    this.asking = null;
    // One after the other: of guests that there is room for, the first ones start.
    if (act === 'start') for (const guest of guests) await this.#one(act, guest, options);
    else await Promise.all(guests.map((guest) => this.#one(act, guest, options)));
  }

  async #one(act: Act, { id, pauseReason }: GuestView, { disks = false }: { disks?: boolean }): Promise<void> {
    const key = `${act} ${id}`;
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    this.problems.delete(id);
    try {
      if (act === 'stop' || act === 'force')
        await this.#session.call('guests.stop', { guest: id, force: act === 'force' });
      else if (act === 'remove') await this.#session.call('guests.remove', { guest: id, snapshots: true, disks });
      else await this.#session.call(`guests.${act}`, { guest: id });
    } catch (error) {
      const text = sentence(error);
      this.problems.set(id, text === pauseReason ? actWords.noRoom : text);
    } finally {
      this.#busy.delete(key);
    }
  }
}
