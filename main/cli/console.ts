// `trivisor console`: the serial console of a guest that runs elsewhere, in this terminal.
// Owns the terminal while it is attached, and the reasons to leave.
// Never ends the guest.

import { type Command, Option } from 'commander';
import { type Client, Failure, type SerialPort, serialPorts } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, tell } from './output.ts';
import { attachTerminal, terminalSize } from './terminal.ts';

export function addConsole(program: Command): void {
  program
    .command('console')
    .description('attach to the serial console of a guest; Ctrl-] leaves (with --json: tell what it said lately)')
    .argument('<name>')
    .addOption(new Option('--port <n>', 'which serial port').choices(serialPorts.map(String)).default('1'))
    .action(async (name: string, flags: CommonFlags & { port: string }) => {
      const port = Number(flags.port) as SerialPort;
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        if (flags.json) printJson(await scrollback(client, name, port));
        else await attach(client, name, port);
      } finally {
        await close();
      }
    });
}

async function scrollback(
  client: Client,
  guest: string,
  port: SerialPort,
): Promise<{ guest: string; scrollback: string }> {
  const decoder = new TextDecoder();
  let text = '';
  const stream = client.open(
    'console',
    { guest, port },
    { data: (bytes) => (text += decoder.decode(bytes, { stream: true })) },
  );
  // Frames keep their order: when this answer is here, the scrollback is.
  await client.call('guests.get', { guest });
  stream.close();
  return { guest, scrollback: text };
}

async function attach(client: Client, guest: string, port: SerialPort): Promise<void> {
  const { id, state, settings } = await client.call('guests.get', { guest });
  if (state === 'off') throw new Failure('conflict', `${guest} is not running.`);
  const hasWindow = settings.kind === 'os' && settings.tty && process.stdout.isTTY === true;
  const left = Promise.withResolvers<string | null>();
  client.onClose(left.resolve);
  client.on('guest.ended', (event) => {
    if (event.id === id) left.resolve(event.end.detail);
  });
  const stream = client.open(
    'console',
    { guest: id, port },
    { data: (bytes) => process.stdout.write(bytes), closed: left.resolve },
  );
  const terminal = attachTerminal((bytes) => stream.write(bytes), {
    leave: () => left.resolve(null),
    ...(hasWindow ? { resized: (size) => void client.call('guests.resize', { guest: id, size }).catch(() => {}) } : {}),
  });
  if (hasWindow) await client.call('guests.resize', { guest: id, size: terminalSize() });
  const interrupt = (): void => left.resolve(null);
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const reason = await left.promise;
  process.off('SIGINT', interrupt);
  process.off('SIGTERM', interrupt);
  terminal.detach();
  stream.close();
  tell(reason === null ? '' : `\n${reason}`);
}
