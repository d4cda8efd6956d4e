// Whether Electron's runtime is on this machine, and bringing it where its own package can.
// Owns the search: an override, the package's folder, one attempt to fetch.
// Never starts Electron.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bundles.ts';

export type ElectronRuntime = { path: string; reason: null } | { path: null; reason: string };

const folder = join(root, 'node_modules', 'electron');
/** A runtime is about 120 MB; a network that lets nothing through is given up on sooner. */
const FETCH_PATIENCE = 300_000;

/** Where the runtime is on this machine; null where it is not. Fetches nothing. */
export function installedElectron(environment: NodeJS.ProcessEnv = process.env): string | null {
  const override = environment.ELECTRON_OVERRIDE_DIST_PATH;
  const path = override ? join(override, executable()) : join(folder, 'dist', executable());
  return existsSync(path) ? path : null;
}

/** The runtime, fetched by Electron's own installer if it is missing; else one sentence why there is none. */
export async function electronRuntime(): Promise<ElectronRuntime> {
  const installed = installedElectron();
  if (installed) return { path: installed, reason: null };
  if (process.env.ELECTRON_OVERRIDE_DIST_PATH) {
    return { path: null, reason: `ELECTRON_OVERRIDE_DIST_PATH has no ${executable()}.` };
  }
  const installer = join(folder, 'install.js');
  if (!existsSync(installer)) return { path: null, reason: 'The electron package is not installed.' };
  if (process.platform === 'linux' && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) {
    return { path: null, reason: 'There is no screen for Electron here.' };
  }
  console.error('Fetching Electron’s runtime…');
  const problem = await fetchRuntime(installer);
  const fetched = installedElectron();
  if (fetched) return { path: fetched, reason: null };
  return { path: null, reason: `Electron’s runtime could not be fetched${problem ? ` (${problem})` : ''}.` };
}

function executable(): string {
  const recorded = join(folder, 'path.txt');
  if (existsSync(recorded)) return readFileSync(recorded, 'utf8').trim();
  if (process.platform === 'darwin') return 'Electron.app/Contents/MacOS/Electron';
  return process.platform === 'win32' ? 'electron.exe' : 'electron';
}

/** Runs the installer; answers what went wrong, in a few words, or an empty text. */
async function fetchRuntime(installer: string): Promise<string> {
  const child = spawn(process.execPath, [installer], { stdio: ['ignore', 'ignore', 'pipe'], timeout: FETCH_PATIENCE });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-8192)));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (status, signal) => {
      if (status === 0) resolve('');
      else resolve(signal ? 'it took too long' : (/(?:Error|code): ?'?(.{1,120}?)'?,?$/m.exec(errors)?.[1] ?? ''));
    });
  });
}
