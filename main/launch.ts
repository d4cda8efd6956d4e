// `npm start`: builds what is stale and opens the app, in Electron where its runtime is there, in the browser otherwise.
// Owns that choice and the one line that tells it.
// Never installs anything beyond what Electron's own package fetches for itself.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from './build/build.ts';
import { dist, root } from './build/bundles.ts';
import { electronRuntime } from './build/electron-runtime.ts';

if (await build()) console.error('Built the app.');

const runtime = await electronRuntime();
if (runtime.path !== null) {
  await run(runtime.path, [root, ...process.argv.slice(2)]);
} else {
  console.error(`${runtime.reason} Opening the same app in the browser.`);
  await run(process.execPath, [join(dist, 'cli.js'), 'serve', '--open', ...process.argv.slice(2)]);
}

/** Runs until it ends, and ends with its status. */
async function run(command: string, args: string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit' });
  // Ctrl-C reaches the child by itself: this process only waits for it to be done.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => resolve(status ?? 1));
  });
}
