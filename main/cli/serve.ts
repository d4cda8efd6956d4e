// `trivisor serve`: the app in a browser, for hosts without a screen or without Electron.
// Owns the web server and, where nobody else has it, the home.
// Never leaves guests behind: those of a home it owns are asked to power off before it ends.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import type { GuestView } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import type { GuestManager } from '../guests/guest-manager.ts';
import { openHome } from '../home/home.ts';
import { serveWeb } from '../web/web-server.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, Status, tell } from './output.ts';

/** How long guests get to power off when the server is asked to end (milliseconds). */
const POWER_OFF_PATIENCE = 10_000;

/** The built renderer: in `dist/` of a checkout, beside this bundle otherwise. */
const rendererFolder = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/renderer' : './renderer', import.meta.url),
);

export function addServe(program: Command, machineModule: string | undefined, ended: (status: number) => void): void {
  program
    .command('serve')
    .description('serve the app to a browser on this host, until interrupted')
    .option('--port <n>', 'port to listen on (default: any free one)', parsePort, 0)
    .option('--open', 'open it in the browser')
    .action(async (flags: CommonFlags & { port: number; open?: boolean }) => {
      const home = await openHome({ home: homeFolder(flags.home), machineModule });
      try {
        const web = await serveWeb({ folder: rendererFolder, port: flags.port, connect: (peer) => home.connect(peer) });
        try {
          if (flags.json) printJson({ url: web.url, port: web.port });
          else process.stdout.write(`${web.url}\n`);
          tell('Open this link in a browser on this host; it works once. Ctrl-C ends the server.');
          if (flags.open) openBrowser(web.url);
          const interrupted = interruption();
          const starting = new AbortController();
          const failed = ({ settings }: GuestView, sentence: string): void => tell(`${settings.name}: ${sentence}`);
          void home.server?.autostart(starting.signal, failed);
          for (const { name } of home.server?.recovered.crashed ?? [])
            tell(`${name} was running when Trivisor ended without stopping it.`);
          const lost = await Promise.race([home.lost, interrupted.then(() => null)]);
          starting.abort();
          if (lost !== null) {
            tell(lost);
            ended(Status.failed);
          } else if (home.server) await powerOff(home.server.guests);
        } finally {
          await web.close();
        }
      } finally {
        await home.close();
      }
    });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('It is a number from 0 to 65535.');
  return port;
}

function interruption(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}

/** Presses the power buttons and waits for a while, or until interrupted once more. */
async function powerOff(guests: GuestManager): Promise<void> {
  const running = guests.list().filter(({ state }) => state !== 'off');
  if (running.length === 0) return;
  tell(`Asking ${running.map(({ settings }) => settings.name).join(', ')} to power off; Ctrl-C again does not wait.`);
  for (const { id } of running) await guests.stop(id, false);
  const patience = AbortSignal.timeout(POWER_OFF_PATIENCE);
  const interrupted = interruption().then(() => true);
  while (guests.isBusy && !patience.aborted) {
    const again = await Promise.race([interrupted, new Promise<boolean>((tick) => setTimeout(tick, 50, false))]);
    if (again) return;
  }
}

function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open', url]
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', url]
        : ['xdg-open', url];
  const child = spawn(command!, args, { stdio: 'ignore', detached: true });
  child.on('error', () => tell('No browser could be opened; open the link yourself.'));
  child.unref();
}
