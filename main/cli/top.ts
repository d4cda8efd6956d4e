// `trivisor top`: what each guest in memory takes of this host, live.
// Owns the terminal while it is shown, and the pace, which is that of the samples.
// Never measures: it shows the contract's counters (top-picture.ts).

import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import type { Client, HostUsage, HostUsageField, StatsSample } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson } from './output.ts';
import { attachTerminal, terminalSize } from './terminal.ts';
import { firstState, type Look, picture, pressed, type Sorting, sorted, sortings } from './top-picture.ts';

/** Milliseconds between two looks: that of the samples. */
const PACE = 1000;
/** Milliseconds that the host's newest figures may be old. */
const FRESH = 5000;

/** Another screen without a cursor, and back. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
/** Moves to the upper left; each line is cleared behind its end, and so is what is below: nothing flickers. */
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

interface Flags extends CommonFlags {
  once?: boolean;
  sort: Sorting;
}

export function addTop(program: Command): void {
  program
    .command('top')
    .description('show what guests take of this host: live on a terminal (? tells the keys), once otherwise')
    .option('--once', 'print it once')
    .addOption(new Option('--sort <column>', 'what to sort by').choices(sortings).default('cpu'))
    .action(async (flags: Flags) => {
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        await top(client, flags);
      } finally {
        await close();
      }
    });
}

async function top(client: Client, { json, once, sort }: Flags): Promise<void> {
  const samples = new Map<string, { sample: StatsSample; before: StatsSample | null }>();
  client.on('guest.counters', ({ id, sample }) => {
    const last = samples.get(id)?.sample ?? null;
    // Counters that are less are of another run.
    const before = last && last.totals.instructions <= sample.totals.instructions ? last : null;
    samples.set(id, { sample, before });
  });
  const look = async (): Promise<Look> => {
    const [host, reserve, all, usage] = await Promise.all([
      client.call('host.info'),
      client.call('reserve.get'),
      client.call('guests.list'),
      client.call('usage.host', { since: Date.now() - FRESH }),
    ]);
    const guests = all
      .filter(({ state }) => state !== 'off')
      .map((guest) => ({ guest, ...(samples.get(guest.id) ?? { sample: null, before: null }) }));
    return { host, reserve, usage: newest(usage), guests };
  };
  const first = await look();
  let state = firstState(sort);
  if (json === true || once === true || process.stdout.isTTY !== true) {
    // Rates are between two samples; the second is at most two seconds away.
    if (first.guests.length > 0) await sleep(2 * PACE + 100);
    const { guests, ...rest } = await look();
    const ordered = sorted(guests, state);
    if (json === true) printJson({ ...rest, guests: ordered });
    else process.stdout.write(picture({ ...rest, guests: ordered }, state));
    return;
  }
  const left = Promise.withResolvers<void>();
  let seen = first;
  const draw = (): void => {
    const text = picture(seen, state, terminalSize()).replaceAll('\n', `${CLEAR_LINE}\r\n`);
    process.stdout.write(HOME + text + CLEAR_BELOW);
  };
  const wake = { now: (): void => {} };
  const terminal = attachTerminal(
    (bytes) => {
      const key = new TextDecoder().decode(bytes);
      const next = pressed(key, state, seen.guests.length);
      if (next === 'quit') {
        left.resolve();
        return;
      }
      state = next;
      if (key === ' ') wake.now();
      draw();
    },
    { ended: left.resolve, resized: draw },
  );
  client.onClose(() => left.resolve());
  process.once('SIGINT', left.resolve);
  process.once('SIGTERM', left.resolve);
  process.stdout.write(ENTER);
  try {
    let isOver = false;
    void left.promise.then(() => (isOver = true));
    while (!isOver) {
      draw();
      const { promise: due, resolve } = Promise.withResolvers<void>();
      wake.now = resolve;
      const timer = setTimeout(resolve, PACE);
      await Promise.race([left.promise, due]);
      clearTimeout(timer);
      if (!isOver) seen = await look();
    }
  } finally {
    process.stdout.write(LEAVE);
    terminal.detach();
  }
}

function newest({ at, values }: HostUsage): Look['usage'] {
  if (at.length === 0) return null;
  return Object.fromEntries(Object.entries(values).map(([field, column]) => [field, column.at(-1) ?? 0])) as Record<
    HostUsageField,
    number
  >;
}
