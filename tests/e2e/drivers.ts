// The ways to run the app that the one specification is held against.
// Owns starting and ending each; a way that cannot run here says why.
// Never asserts anything about the app.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { _electron, type Page } from 'playwright-core';
import { dist, root } from '../../main/build/bundles.ts';
import { installedElectron } from '../../main/build/electron-runtime.ts';
import { chromiumMissing, openChromium } from './chromium.ts';

/** The app, running. */
export interface Running {
  /** The manager's page. */
  page: Page;
  /** The page of the window that `act` opens. */
  opened(act: () => Promise<void>): Promise<Page>;
  /** Asks the app to quit, says no to its question, and answers what it asked; only where that can be done. */
  quitAndCancel?(): Promise<string>;
  /** Ends the server from under the page; only where that can be. */
  loseServer?(): Promise<void>;
  /** Ends the app as a person would, with no guest in memory. */
  close(): Promise<void>;
}

export interface Driver {
  name: string;
  /** One sentence why it cannot run here; null where it can. */
  unavailable: string | null;
  launch(options: { home: string; machineModule: string | undefined }): Promise<Running>;
}

const PATIENCE = 30_000;

/** Chromium, and the web server of `trivisor serve`. */
const browser: Driver = {
  name: 'browser',
  unavailable: chromiumMissing(),
  async launch({ home, machineModule }) {
    const program = machineModule
      ? [join(import.meta.dirname, 'serve.ts'), machineModule]
      : [join(dist, 'cli.js'), 'serve'];
    const server = spawn(process.execPath, [...program, '--home', home], { stdio: ['ignore', 'pipe', 'pipe'] });
    server.stderr.resume();
    const url = await printedUrl(server);
    const chromium = await openChromium();
    const context = await chromium.newContext({ viewport: { width: 1240, height: 800 } });
    const page = await context.newPage();
    await page.goto(url);
    return {
      page,
      async opened(act) {
        const [opened] = await Promise.all([context.waitForEvent('page'), act()]);
        return opened;
      },
      loseServer: () => end(server),
      async close() {
        await chromium.close();
        await end(server);
      },
    };
  },
};

/** The built bundles of Electron's main process and preload, under a stand-in of the modules they use. */
const standInDriver: Driver = {
  name: 'built Electron bundles under a stand-in',
  unavailable: chromiumMissing(),
  async launch({ home, machineModule }) {
    await import('./electron-stand-in/register.ts');
    const { app, standIn } = await import('./electron-stand-in/electron.ts');
    const chromium = await openChromium();
    const context = await chromium.newContext({ viewport: { width: 1240, height: 800 } });
    standIn.context = context;
    Object.assign(process.env, environment(machineModule), { TRIVISOR_HOME: home });
    const first = context.waitForEvent('page');
    await import(join(dist, 'main.js'));
    return {
      page: await first,
      async opened(act) {
        const [opened] = await Promise.all([context.waitForEvent('page'), act()]);
        return opened;
      },
      async quitAndCancel() {
        const { promise, resolve } = Promise.withResolvers<string>();
        standIn.answer = ({ message, cancelId }) => {
          resolve(message);
          return cancelId;
        };
        app.quit();
        return promise;
      },
      async close() {
        app.quit();
        await standIn.ended.promise;
        await chromium.close();
      },
    };
  },
};

const electronPath = installedElectron();

/** Electron itself. */
const electron: Driver = {
  name: 'Electron',
  unavailable: electronPath ? null : 'Electron’s runtime is not on this machine (npx install-electron fetches it).',
  async launch({ home, machineModule }) {
    const app = await _electron.launch({
      executablePath: electronPath!,
      args: [root],
      env: { ...environment(machineModule), TRIVISOR_HOME: home } as Record<string, string>,
    });
    const page = await app.firstWindow();
    return {
      page,
      async opened(act) {
        const [opened] = await Promise.all([app.waitForEvent('window'), act()]);
        return opened;
      },
      close: () => app.close(),
    };
  },
};

export const drivers: readonly Driver[] = [browser, standInDriver, electron];

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  await ended;
}

/** Tests may replace the core's machine by a small one of theirs. */
function environment(machineModule: string | undefined): NodeJS.ProcessEnv {
  return machineModule ? { ...process.env, TRIVISOR_TEST_MACHINE: machineModule } : process.env;
}

async function printedUrl(server: ChildProcess): Promise<string> {
  let text = '';
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error(`The server printed no address: ${text}`)), PATIENCE);
  server.stdout!.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    const url = /http:\/\/\S+/.exec(text)?.[0];
    if (url) resolve(url);
  });
  server.on('exit', (status) => reject(new Error(`The server ended with status ${status}: ${text}`)));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** Why nothing can be tested at all; null where something can. */
export function bundlesMissing(): string | null {
  return existsSync(join(dist, 'cli.js')) ? null : 'dist/ is not built (npm run build).';
}
