// The verbs over the inventory: create, list, info, set, clone, rm, start, stop, pause, resume, reset.
// Owns their options and what they print.
// Never does anything that is not a call of the contract.

import type { Command } from 'commander';
import type { Client, GuestKind, GuestView, SettingName } from '../contract.ts';
import {
  concerns,
  Failure,
  type ForwardSettings,
  forwardText,
  joinWords,
  type LinkSettings,
  linkWords,
  MTU_MAX,
} from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { type HomeOptions, withHome } from '../home/home.ts';
import { ensureOwner } from './daemon.ts';
import { printJson, table, tell } from './output.ts';
import { addSettingOptions, changeOf, commandIn, settingsOf } from './settings.ts';

export interface CommonFlags extends Record<string, unknown> {
  json?: boolean;
  home?: string;
}

/** Seconds `stop` gives a guest to power off, unless told otherwise. */
const STOP_PATIENCE = 60;

export function addGuestVerbs(program: Command, machineModule: string | undefined): void {
  const optionsOf = (flags: CommonFlags): HomeOptions => ({ home: homeFolder(flags.home), machineModule });

  /** Does one act with a client, and closes it. */
  const visit = <Result>(flags: CommonFlags, act: (client: Client) => Promise<Result>): Promise<Result> =>
    withHome(optionsOf(flags), act);

  const create = program.command('create').description('add a guest').argument('<name>', 'what it is called');
  create.argument('[command...]', 'of a guest of kind os: what it runs, behind --; without one what its image names');
  addSettingOptions(create, ['name']);
  create.action(async (name: string, words: string[], flags: CommonFlags) => {
    const settings = settingsOf(flags, { name, ...commandIn(words) });
    const view = await visit(flags, (client) => client.call('guests.create', { settings }));
    report(flags, view, `${view.settings.name} is created. Start it with: trivisor start ${quote(name)}`);
  });

  program
    .command('list')
    .description('list the guests')
    .action(async (flags: CommonFlags) => {
      const guests = await visit(flags, (client) => client.call('guests.list'));
      if (flags.json) printJson(guests);
      else if (guests.length === 0) tell('There are no guests. Add one with: trivisor create NAME --kernel FILE');
      else {
        // Without any group there is no column of them.
        const isGrouped = guests.some(({ settings }) => settings.group !== null);
        const heads = ['NAME', 'KIND', 'STATE', 'MEMORY', 'VCPUS', ...(isGrouped ? ['GROUP'] : [])];
        process.stdout.write(
          table([heads, ...guests.map((guest) => [...row(guest), ...(isGrouped ? [guest.settings.group ?? ''] : [])])]),
        );
      }
    });

  program
    .command('info')
    .description('tell all about a guest')
    .argument('<name>')
    .action(async (name: string, flags: CommonFlags) => {
      const { view, unimplemented } = await visit(flags, (client) => inform(client, name));
      if (flags.json) printJson(unimplemented ? { ...view, unimplemented } : view);
      else process.stdout.write(details(view, unimplemented));
    });

  program
    .command('set')
    .description(
      'change settings of a guest that is off, or the CD (cdrom=), floppies (floppy=), balloon (balloon=, memory-min=), CPU share (cpu-weight=, cpu-cap=) and group (group=) of one that runs',
    )
    .argument('<name>')
    .argument('<key=value...>', 'settings, such as memory=512 or cdrom=FILE; cdrom= takes the CD out')
    .option('--force', 'change a CD although the guest has locked its drive')
    .action(async (name: string, pairs: string[], flags: CommonFlags & { force?: boolean }) => {
      const input = { guest: name, settings: changeOf(pairs), force: flags.force === true };
      const view = await visit(flags, (client) => client.call('guests.set', input));
      report(flags, view, `${view.settings.name} is changed.`);
    });

  program
    .command('clone')
    .description('make another guest like one that is off, with copies of its disks')
    .argument('<name>')
    .argument('<new>', 'what the clone is called')
    .option('--linked', 'with images over its disks instead of copies; both guests go on in images of their own')
    .action(async (guest: string, name: string, flags: CommonFlags & { linked?: boolean }) => {
      const input = { guest, name, linked: flags.linked === true };
      const view = await visit(flags, (client) => client.call('guests.clone', input));
      report(flags, view, `${view.settings.name} is created. Start it with: trivisor start ${quote(name)}`);
    });

  program
    .command('rm')
    .description('remove a guest that is off; the files it was made from stay')
    .argument('<name>')
    .option('--disks', 'also delete the disks and floppies that it wrote to, unless another guest needs them')
    .option('--snapshots', 'its snapshots as well: its disks are as they were at the first then')
    .action(async (name: string, flags: CommonFlags & { disks?: boolean; snapshots?: boolean }) => {
      const input = { guest: name, disks: flags.disks === true, snapshots: flags.snapshots === true };
      const removed = await visit(flags, (client) => client.call('guests.remove', input));
      report(flags, removed, `${name} is removed.`);
      if (flags.json) return;
      for (const file of removed.deleted) tell(`${file} is deleted.`);
      for (const { file, reason } of removed.kept) tell(`${file} stays: ${reason}`);
    });

  program
    .command('start')
    .description('start a guest; it runs on when this command has ended')
    .argument('<name>')
    .option('--headless', 'without a window')
    .action(async (name: string, flags: CommonFlags) => {
      // Asked first without an owner: a name that is wrong must not leave a process behind.
      await visit(flags, (client) => client.call('guests.get', { guest: name }));
      const client = await ensureOwner(homeFolder(flags.home));
      try {
        const view = await client.call('guests.start', { guest: name });
        report(flags, view, `${view.settings.name} is running. Its console: trivisor console ${quote(name)}`);
      } finally {
        client.close();
      }
    });

  program
    .command('stop')
    .description('ask a guest to power off, and wait until it has')
    .argument('<name>')
    .option('--force', 'end it without asking')
    .option('--timeout <seconds>', `the longest to wait (default: ${STOP_PATIENCE})`)
    .action(async (name: string, flags: CommonFlags & { force?: boolean; timeout?: string }) => {
      const seconds = flags.timeout === undefined ? STOP_PATIENCE : Number(flags.timeout);
      if (!(seconds > 0)) throw new Failure('wrong', '--timeout is a number of seconds above 0.');
      const view = await visit(flags, (client) => stop(client, name, flags.force === true, seconds));
      report(flags, view, `${view.settings.name} is off.`);
    });

  const simple = {
    pause: 'paused',
    resume: 'running',
    reset: 'running anew',
    save: 'saved, and goes on there when it is started',
    discard: 'off, and starts anew',
  } as const;
  const descriptions = {
    pause: 'stop a guest’s time',
    resume: 'let a paused guest go on',
    reset: 'start a guest anew without asking it',
    save: 'write a guest’s state to the disk and end it; start goes on there',
    discard: 'throw a guest’s saved state away',
  } as const;
  for (const verb of ['pause', 'resume', 'reset', 'save', 'discard'] as const) {
    program
      .command(verb)
      .description(descriptions[verb])
      .argument('<name>')
      .action(async (name: string, flags: CommonFlags) => {
        const view = await visit(flags, (client) => client.call(`guests.${verb}`, { guest: name }));
        report(flags, view, `${view.settings.name} is ${simple[verb]}.`);
      });
  }
}

/** Asks, and waits for the guest's end. Throws a {@link Failure} if it does not come in time. */
async function stop(client: Client, name: string, force: boolean, seconds: number): Promise<GuestView> {
  const { id } = await client.call('guests.get', { guest: name });
  const ended = Promise.withResolvers<'ended' | 'late'>();
  const off = client.on('guest.ended', (event) => event.id === id && ended.resolve('ended'));
  const timer = setTimeout(() => ended.resolve('late'), seconds * 1000);
  client.onClose(() => ended.resolve('ended'));
  try {
    const view = await client.call('guests.stop', { guest: id, force });
    if (view.state === 'off') return view;
    if ((await ended.promise) === 'late')
      throw new Failure('failed', `${name} did not power off within ${seconds} seconds; --force ends it.`);
    return await client.call('guests.get', { guest: id });
  } finally {
    clearTimeout(timer);
    off();
  }
}

function report(flags: CommonFlags, value: unknown, sentence: string): void {
  if (flags.json) printJson(value);
  else tell(sentence);
}

function row({ settings, state, saved }: GuestView): string[] {
  return [settings.name, settings.kind, saved ? 'saved' : state, `${settings.memoryMiB} MiB`, String(settings.cpus)];
}

/** A guest, and of one of kind os the system calls its present or last run asked for in vain; null: nothing is known of a run. */
async function inform(
  client: Client,
  guest: string,
): Promise<{ view: GuestView; unimplemented: Record<string, number> | null }> {
  const view = await client.call('guests.get', { guest });
  if (view.settings.kind !== 'os') return { view, unimplemented: null };
  try {
    return { view, unimplemented: (await client.call('guests.report', { guest })).unimplemented };
  } catch (error) {
    if (error instanceof Failure && error.code === 'notFound') return { view, unimplemented: null };
    throw error;
  }
}

function details(view: GuestView, unimplemented: Record<string, number> | null): string {
  const { settings, id, state, createdAt, startedAt, pauseReason, ejectedDisc, lastEnd, saved } = view;
  const time = (milliseconds: number): string => new Date(milliseconds).toLocaleString();
  const lines: [string, string][] = Object.entries(settings)
    .filter(([name]) => concerns(settings.kind, name as SettingName))
    .filter(([, value]) => value !== null && value !== '' && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map((device) => deviceText(device, settings.kind)).join('; ') : String(value),
    ]);
  const command = lines.find(([name]) => name === 'command');
  if (command) command[1] = joinWords(settings.command);
  lines.push(['id', id], ['state', state], ['created', time(createdAt)]);
  if (startedAt !== null) lines.push(['started', time(startedAt)]);
  if (pauseReason !== null) lines.push(['paused', pauseReason]);
  if (ejectedDisc !== null) lines.push(['ejected', ejectedDisc]);
  if (saved) lines.push(['saved state', `of ${time(saved.at)}, ${(saved.bytes / 2 ** 20).toFixed(1)} MiB`]);
  if (view.changedBytes !== undefined) lines.push(['changes kept', `${(view.changedBytes / 2 ** 20).toFixed(1)} MiB`]);
  if (lastEnd) lines.push(['last end', `${lastEnd.reason} at ${time(lastEnd.at)}: ${lastEnd.detail}`]);
  const calls = Object.entries(unimplemented ?? {}).map(([name, count]) => `${name} ${count}`);
  if (calls.length > 0) lines.push(['calls in vain', calls.join(', ')]);
  return table(lines);
}

/** A disk, a floppy or a network card: what it is made from, and what is set of it. Other devices are a word. */
function deviceText(device: object | string | null, kind: GuestKind): string {
  if (device === null) return 'none';
  if (typeof device === 'string') return device;
  const [[, first], ...rest] = Object.entries(device) as [[string, unknown], ...[string, unknown][]];
  const set = rest.filter(([, value]) => value !== null && value !== false);
  const texts = set.flatMap(([name, value]) => {
    // A guest of kind os has the network, and no card.
    if (name === 'model' && kind === 'os') return [];
    if (name === 'link') return linkWords(value as LinkSettings);
    // As it is where nothing was said.
    if ((name === 'vlan' && value === 0) || (name === 'mtu' && value === MTU_MAX)) return [];
    if (Array.isArray(value)) return value.map((forward: ForwardSettings) => `forward=${forwardText(forward)}`);
    return value === true ? name : `${name}=${value}`;
  });
  return [first, ...texts].join(', ');
}

/** A name as a shell takes it. */
function quote(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `'${name}'`;
}
