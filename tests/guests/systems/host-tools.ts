// The host's programs that make and judge images of systems: where they are, and how they are run.
// Owns the search for them and the sentence for those that are missing.
// Never installs anything; tests/setup does.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Debian keeps the tools of file systems and boot loaders out of a person's PATH. */
const path = [process.env.PATH ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter);
const env = { ...process.env, PATH: path, LC_ALL: 'C', MTOOLS_SKIP_CHECK: '1' };

/** A minute is what the largest of these acts takes; a tool that waits for something is ended (milliseconds). */
const PATIENCE = 15 * 60_000;

function isThere(tool: string): boolean {
  if (isAbsolute(tool)) return existsSync(tool);
  return path.split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, tool)));
}

/** Why something that needs these programs or files is skipped, for a test's `skip`; false where they are there. */
export function lacking(...tools: string[]): string | false {
  const missing = tools.filter((tool) => !isThere(tool));
  return missing.length > 0 && `the host has no ${missing.join(', ')} (tests/setup installs them, as root on Debian)`;
}

export interface ToolOptions {
  cwd?: string;
  input?: string | Uint8Array;
  env?: Record<string, string>;
}

/** Runs a program and answers its standard output. Throws with what it complained of if it fails. */
export function tool(name: string, args: readonly string[], options: ToolOptions = {}): string {
  const { status, stdout, stderr, error } = spawnSync(name, args, {
    ...options,
    env: { ...env, ...options.env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: PATIENCE,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${status}: ${stderr.trim().slice(-2000)}`);
  return stdout;
}

/** Runs a program that judges something: its exit status and all that it said. */
export function verdict(name: string, args: readonly string[]): { status: number | null; said: string } {
  const { status, stdout, stderr, error } = spawnSync(name, args, { env, encoding: 'utf8', timeout: PATIENCE });
  if (error) throw error;
  return { status, said: `${stdout}${stderr}` };
}
