// `trivisor exec` and `trivisor logs`: programs in a running guest of kind os, and what its first one has put out.
// Owns the streams of a program that runs there, and its status.
// Never ends the guest.

import { type Command, Option } from 'commander';
import {
  type Client,
  decodeProgramMessage,
  encodeProgramInput,
  Failure,
  type ProgramInput,
  type StreamInput,
} from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson } from './output.ts';
import { attachTerminal, terminalSize } from './terminal.ts';

interface ExecFlags extends CommonFlags {
  env: string[];
  workdir?: string;
  user?: string;
  tty?: boolean;
  input: boolean;
}

/** Signals that are passed on, by Linux's numbers. */
const passedOn = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

export function addExec(program: Command, ended: (status: number) => void): void {
  program
    .command('exec')
    .description('run a program in a running guest of kind os; its status is the command’s')
    .argument('<name>')
    .argument('<command...>', 'the program and its arguments, behind --')
    .addOption(
      new Option('--env <NAME=VALUE>', 'a variable of its environment (repeatable)')
        .argParser((text: string, before: string[]) => [...before, text])
        .default([], 'none'),
    )
    .option('--workdir <folder>', 'the folder it begins in')
    .option('--user <user>', 'who it runs as: NAME or NUMBER[:GROUP]')
    .option('--tty', 'it has a terminal; by default where this command has one')
    .option('--no-input', 'its standard input is empty')
    .action(async (name: string, command: string[], flags: ExecFlags) => {
      if (flags.json) throw new Failure('wrong', 'What exec prints is the program’s own: it takes no --json.');
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        ended(await execute(client, name, command, flags));
      } finally {
        await close();
      }
    });
  program
    .command('logs')
    .description('print what a guest of kind os has put out lately')
    .argument('<name>')
    .option('--follow', 'go on with what it puts out, until it ends')
    .action(async (name: string, flags: CommonFlags & { follow?: boolean }) => {
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        await logs(client, name, flags);
      } finally {
        await close();
      }
    });
}

async function execute(client: Client, guest: string, command: string[], flags: ExecFlags): Promise<number> {
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const hasTerminal = flags.tty ?? (isTerminal && flags.input);
  const { env, workdir = null, user = null } = flags;
  const request: StreamInput<'program'> = {
    guest,
    command,
    env,
    workdir,
    user,
    terminal: hasTerminal ? terminalSize() : null,
  };
  const over = Promise.withResolvers<number>();
  let status: number | null = null;
  const stream = client.open('program', request, {
    data: (bytes) => {
      const message = decodeProgramMessage(bytes);
      if (message?.type === 'output') process.stdout.write(message.bytes);
      else if (message?.type === 'error') process.stderr.write(message.bytes);
      else if (message?.type === 'taken') terminal?.taken(message.bytes);
      else if (message?.type === 'ended') status = message.status;
    },
    closed: (reason) => (status === null ? over.reject(new Failure('failed', reason)) : over.resolve(status)),
  });
  const send = (input: ProgramInput): void => stream.write(encodeProgramInput(input));
  const terminal = flags.input
    ? attachTerminal((bytes) => send({ type: 'input', bytes }), {
        ended: () => send({ type: 'endInput' }),
        isCounted: true,
        isRaw: hasTerminal,
        ...(hasTerminal ? { resized: (size) => send({ type: 'resize', ...size }) } : {}),
      })
    : undefined;
  if (!flags.input) send({ type: 'endInput' });
  const handlers = Object.entries(passedOn).map(([name, number]) => {
    const pass = (): void => send({ type: 'signal', number });
    process.on(name, pass);
    return () => process.off(name, pass);
  });
  try {
    return await over.promise;
  } finally {
    for (const off of handlers) off();
    terminal?.detach();
    stream.close();
  }
}

async function logs(client: Client, guest: string, flags: CommonFlags & { follow?: boolean }): Promise<void> {
  const { id, state, settings } = await client.call('guests.get', { guest });
  if (settings.kind !== 'os')
    throw new Failure('wrong', `${guest} is of kind ${settings.kind}: what it said is on its console.`);
  if (flags.json && flags.follow) throw new Failure('wrong', 'What is followed has no end: --follow takes no --json.');
  const decoder = new TextDecoder();
  const over = Promise.withResolvers<void>();
  let text = '';
  const stream = client.open(
    'console',
    { guest: id },
    {
      data: (bytes) => {
        if (flags.json) text += decoder.decode(bytes, { stream: true });
        else process.stdout.write(bytes);
      },
      closed: () => over.resolve(),
    },
  );
  client.onClose(() => over.resolve());
  process.stdout.on('error', () => over.resolve());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => over.resolve());
  if (flags.follow && state !== 'off') {
    client.on('guest.ended', (event) => {
      if (event.id === id) over.resolve();
    });
    await over.promise;
  }
  // Frames keep their order: when this answer is here, what was said before is.
  else await client.call('guests.get', { guest: id });
  stream.close();
  if (flags.json) printJson({ guest: settings.name, output: text });
}
