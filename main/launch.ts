// `npm start`: builds what is stale and opens the app, in Electron where its runtime is there, in the browser otherwise.
// Owns that choice and the one line that tells it.
// Never installs anything beyond what Electron's own package fetches for itself.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from './build/build.ts';
import { dist, root } from './build/bundles.ts';
import { electronRuntime } from './build/electron-runtime.ts';

const options = process.argv.slice(2);

if (await build()) console.error('Built the app.');
const runtime = await electronRuntime();
if (runtime.path !== null) {
  await ended(spawn(runtime.path, [root, ...options], { stdio: 'inherit' }));
} else {
  console.error(`${runtime.reason} Opening the same app in the browser.`);
  await ended(spawn(process.execPath, [join(dist, 'cli.js'), 'serve', '--open', ...options], { stdio: 'inherit' }));
}

/** Waits until a child has ended, and ends with its status. */
async function ended(child: ChildProcess): Promise<void> {
  // Ctrl-C reaches the child by itself; this process only waits for it to be done.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => resolve(status ?? 1));
  });
}
