// The owner of a home without a window: keeps guests running after the command that started them has ended.
// Owns its own start (detached from the terminal) and its end, which comes when nobody needs it.
// Never outlives its guests and front ends by more than a moment.

import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, Failure } from '../contract.ts';
import { claimHome, connectToOwner, type HomeOptions, idle } from '../home/home.ts';
import { Status } from './output.ts';

/** The longest a new owner may take until it answers (milliseconds). */
const START_PATIENCE = 15_000;

/** Executes the owner: resolves with the exit status once the home has been idle, or at SIGTERM. */
export async function runDaemon(options: HomeOptions): Promise<number> {
  const home = await claimHome(options);
  if (!home) return Status.done;
  const stopped = new Promise<void>((resolve) => {
    process.on('SIGTERM', () => resolve());
    process.on('SIGINT', () => resolve());
  });
  await Promise.race([idle(home.server), stopped]);
  await home.close();
  return Status.done;
}

/** A client of the home's owner, which is started if there is none. */
export async function ensureOwner(home: string): Promise<Client> {
  const present = await connectToOwner(home);
  if (present) return present;
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const log = join(home, 'owner.log');
  const descriptor = openSync(log, 'w');
  // The very program that runs now, be it in a checkout or a bundle.
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, 'daemon', '--home', home], {
    detached: true,
    stdio: ['ignore', descriptor, descriptor],
    cwd: home,
  });
  closeSync(descriptor);
  let hasEnded = false;
  child.on('exit', () => (hasEnded = true));
  child.on('error', () => (hasEnded = true));
  child.unref();
  for (const deadline = Date.now() + START_PATIENCE; Date.now() < deadline; ) {
    const client = await connectToOwner(home);
    if (client) return client;
    // It ends at once where another process has just become the owner: that one is found in the next round.
    if (hasEnded && readFileSync(log, 'utf8') !== '') break;
    await sleep(40);
  }
  const reason = readFileSync(log, 'utf8').trim().split('\n').at(-1);
  throw new Failure('failed', `The process that is to run the guests did not start: ${reason || `see ${log}`}`);
}
