// `npm start`: builds what is stale and opens the app, in Electron where its runtime is there, in the browser otherwise.
// Owns that choice and the one line that tells it.
// Never installs anything beyond what Electron's own package fetches for itself.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from './build/build.ts';
import { dist, root } from './build/bundles.ts';
import { electronRuntime } from './build/electron-runtime.ts';
import { openBrowser } from './build/open-browser.ts';

const options = process.argv.slice(2);

if (await build()) console.error('Built the app.');
const runtime = await electronRuntime();
if (runtime.path !== null) {
  await ended(spawn(runtime.path, [root, ...options], { stdio: 'inherit' }));
} else {
  console.error(`${runtime.reason} Opening the same app in the browser.`);
  const server = spawn(process.execPath, [join(dist, 'cli.js'), 'serve', ...options], {
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  showInBrowser(server);
  await ended(server);
}

/** Passes on what the server prints, and opens the address in it. */
function showInBrowser(server: ChildProcess): void {
  let printed = '';
  let isOpened = false;
  server.stdout?.setEncoding('utf8').on('data', async (text: string) => {
    process.stdout.write(text);
    if (isOpened) return;
    printed += text;
    const url = /http:\/\/\S+(?=\s)/.exec(printed)?.[0];
    if (!url) return;
    isOpened = true;
    if (!(await openBrowser(url))) console.error('No browser could be opened from here: open that address in one.');
  });
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
