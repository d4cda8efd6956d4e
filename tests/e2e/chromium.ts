// The Chromium that end-to-end tests drive: this machine's own.
// Owns where it is looked for and the flags it gets.
// Never downloads one.

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The browser's path, or null where there is none. `CHROMIUM` in the environment comes first. */
export function chromiumPath(environment: NodeJS.ProcessEnv = process.env): string | null {
  const folders = (environment.PATH ?? '').split(delimiter).concat('/usr/bin');
  const paths = folders.flatMap((folder) => names.map((name) => join(folder, name)));
  return [environment.CHROMIUM ?? '', ...paths].find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return path !== '';
  } catch {
    return false;
  }
}

/** One sentence why there is no browser to test with; null where there is one. */
export function chromiumMissing(): string | null {
  return chromiumPath() ? null : 'Chromium is not on this machine (Debian: apt-get install chromium).';
}

export async function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath()!,
    args: [
      // Chromium's own sandbox needs rights that a container seldom has; the pages are the app's own.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
