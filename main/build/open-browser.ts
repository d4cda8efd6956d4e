// Opens an address in the person's browser.
// Owns the choice of the platform's opener.
// Never passes an address through a shell.

import { spawn } from 'node:child_process';

const openers: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ['open'],
  win32: ['rundll32', 'url.dll,FileProtocolHandler'],
};

/** Answers whether an opener took the address. */
export function openBrowser(url: string, environment: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  const hasScreen = process.platform !== 'linux' || environment.DISPLAY || environment.WAYLAND_DISPLAY;
  if (!hasScreen) return Promise.resolve(false);
  const [command, ...first] = openers[process.platform] ?? ['xdg-open'];
  return new Promise((resolve) => {
    const opener = spawn(command, [...first, url], { stdio: 'ignore', detached: true });
    opener.on('error', () => resolve(false));
    opener.on('exit', (status) => resolve(status === 0));
    opener.unref();
  });
}
