// `trivisor net`: networks listed and told about, cables changed, frames recorded.
// Owns what is printed, and the way from options to what the server is told.
// Never changes a network itself.

import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { type Client, type LinkSettings, linkWords, type NetworkCardView, type NetworkView } from '../contract.ts';
import { sizeText } from '../disks/inspect.ts';
import { homeFolder } from '../files/folders.ts';
import { withHome } from '../home/home.ts';
import { printJson, table, tell, UsageError } from './output.ts';

interface NetFlags {
  json?: boolean;
  home?: string;
  card: number;
  up?: boolean;
  down?: boolean;
  delay?: number;
  rate?: number | null;
  loss?: number;
  network?: boolean;
  stop?: boolean;
}

function number(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It is a number.');
  return Number(text);
}

export function addNet(program: Command, machineModule: string | undefined): void {
  const net = new Command('net').description('networks of guests').copyInheritedSettings(program);

  const visit = <Result>(flags: NetFlags, act: (client: Client) => Promise<Result>): Promise<Result> =>
    withHome({ home: homeFolder(flags.home), machineModule }, act);

  net
    .command('list')
    .description('list the networks, and who is on which')
    .action(async (flags: NetFlags) => {
      const networks = await visit(flags, (client) => client.call('networks.list'));
      if (flags.json) printJson(networks);
      else if (networks.length === 0) tell('No guest has a network card. Give one to a new guest with: --net nat');
      else
        process.stdout.write(
          table([['NETWORK', 'GUEST', 'CARD', 'ADDRESSES', 'IN', 'OUT', 'LINK'], ...networks.flatMap(rows)]),
        );
    });

  net
    .command('info')
    .description('tell all about a network')
    .argument('<network>', 'nat, nat+host or internal:NAME')
    .action(async (name: string, flags: NetFlags) => {
      const networks = await visit(flags, (client) => client.call('networks.list'));
      const network = networks.find((each) => each.name === name);
      if (!network) throw new UsageError(`No guest is plugged into a network ${name}.`);
      if (flags.json) printJson(network);
      else process.stdout.write(details(network));
    });

  net
    .command('link')
    .description('change the cable of a guest’s card, while it runs as well; what is not named stays')
    .argument('<guest>')
    .option('--card <n>', 'which of its cards, from 0 on', number, 0)
    .option('--up', 'plug the cable in')
    .option('--down', 'cut it')
    .option('--delay <ms>', 'what each frame is late by, each way', number)
    .option('--rate <kbit>', 'kbit a second, each way; none for as many as there are', (text: string) =>
      text === 'none' ? null : number(text),
    )
    .option('--loss <percent>', 'frames that are lost, each way', number)
    .action(async (guest: string, flags: NetFlags) => {
      const { card, up, down, delay, rate, loss } = flags;
      if (up && down) throw new UsageError('--up and --down are opposites; name one.');
      const link = {
        ...((up || down) && { up: up === true }),
        ...(delay !== undefined && { delayMs: delay }),
        ...(rate !== undefined && { kbitPerSecond: rate }),
        ...(loss !== undefined && { lossPercent: loss }),
      };
      if (Object.keys(link).length === 0)
        throw new UsageError('Name a change: --up, --down, --delay, --rate or --loss.');
      const view = await visit(flags, (client) => client.call('networks.link', { guest, card, link }));
      if (flags.json) printJson(view);
      else tell(`Card ${card} of ${view.settings.name}: ${linkText(view.settings.nets[card]!.link)}.`);
    });

  net
    .command('capture')
    .description('record the frames of a running guest’s card, or of a network, in a pcapng file')
    .argument('<guest>', 'the guest; with --network the network')
    .argument('[file]', 'written anew')
    .option('--card <n>', 'which of the guest’s cards, from 0 on', number, 0)
    .option('--network', 'record all that passes a network')
    .option('--stop', 'end the recording; the file is whole then')
    .action(async (name: string, file: string | undefined, flags: NetFlags) => {
      if ((file === undefined) !== (flags.stop === true)) throw new UsageError('Name a file, or --stop.');
      const of = flags.network ? { network: name } : { guest: name, card: flags.card };
      const views = await visit(flags, (client) =>
        client.call('networks.capture', { of, file: file === undefined ? null : resolve(file) }),
      );
      if (flags.json) printJson(views);
      else if (file === undefined) tell(`${name} is recorded no more.`);
      else
        tell(
          `${name} is being recorded in ${file}. End it with: trivisor net capture ${name}${flags.network ? ' --network' : ''} --stop`,
        );
    });

  for (const verb of net.commands)
    verb.option('--json', 'print one JSON document').option('--home <dir>', 'folder of the inventory');
  net.argument('[verb]').action(() => {
    throw new UsageError('Name what to do: net list, info, link or capture; trivisor net --help tells more.');
  });
  program.addCommand(net);
}

function linkText(link: LinkSettings): string {
  return linkWords(link).join(', ') || 'a whole cable, as fast as it goes';
}

function rows({ name, cards }: NetworkView): string[][] {
  return cards.map(({ guestName, card, settings, live }) => [
    name,
    guestName,
    String(card),
    live ? live.addresses.join(' ') : '(off)',
    live ? sizeText(live.counters.bytesOut) : '',
    live ? sizeText(live.counters.bytesIn) : '',
    linkWords(settings.link).join(' '),
  ]);
}

function details({ name, cards, nat, capture }: NetworkView): string {
  const lines: [string, string][] = [['network', name]];
  if (capture !== null) lines.push(['recorded in', capture]);
  if (nat) {
    const { open, ...refused } = nat;
    lines.push(['open', `${open} connections and flows`]);
    lines.push(['refused', counts(refused)]);
  }
  for (const card of cards) lines.push([`${card.guestName}, card ${card.card}`, cardText(card)]);
  return table(lines);
}

function cardText({ settings, live }: NetworkCardView): string {
  const words = [settings.model, ...(settings.vlan > 0 ? [`VLAN ${settings.vlan}`] : []), ...linkWords(settings.link)];
  if (!live) return [...words, 'off'].join(', ');
  const { counters, lost, addresses, capture } = live;
  const { framesIn, framesOut, bytesIn, bytesOut, ...others } = counters;
  words.push(...addresses, `${framesOut} frames in (${sizeText(bytesOut)})`, `${framesIn} out (${sizeText(bytesIn)})`);
  words.push(counts({ ...others, lost }));
  if (capture !== null) words.push(`recorded in ${capture}`);
  return words.join(', ');
}

/** What there was of what should not be. */
function counts(counters: Record<string, number>): string {
  return Object.entries(counters)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}
