// Brings what the tests need beyond npm: as root on Debian it installs the packages that are missing.
// Owns that act and its report; the list is in debian-packages.ts.
// Never fails the tests: what cannot be brought is named, with what will be skipped for want of it.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { type NeededPackage, neededPackages } from './debian-packages.ts';

/** A mirror that does not answer must not hold the tests up: milliseconds for each call of apt. */
const PATIENCE = 10 * 60_000;

function isThere({ shows }: NeededPackage): boolean {
  if (isAbsolute(shows)) return existsSync(shows);
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, shows)));
}

/** Runs apt-get and answers its last complaint, or undefined if all went well. */
function aptGet(...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync('apt-get', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: PATIENCE,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  });
  if (error !== undefined) return error.message;
  if (status === 0) return undefined;
  return [...stderr.matchAll(/^E: (.+)$/gm)].at(-1)?.[1] ?? `apt-get ended with ${status}`;
}

function install(missing: readonly NeededPackage[]): void {
  const names = missing.map(({ name }) => name);
  console.log(`setup: installing ${names.join(' ')}`);
  // An index that is refused in part still serves the rest, so a complaint here is told only if the install fails too.
  const updated = aptGet('update', '-q');
  const arguments_ = ['install', '-q', '-y', '--no-install-recommends'];
  const together = aptGet(...arguments_, ...names);
  if (together === undefined) return;
  // One package that cannot be had must not keep the others away.
  for (const name of names) {
    const complaint = aptGet(...arguments_, name);
    if (complaint !== undefined) console.log(`setup: ${name}: ${complaint}${updated ? ` (update: ${updated})` : ''}`);
  }
}

const wanted = neededPackages.filter(({ architecture }) => architecture === undefined || architecture === process.arch);
let missing = wanted.filter((needed) => !isThere(needed));
const hasApt = process.platform === 'linux' && existsSync('/usr/bin/apt-get');
if (missing.length > 0 && hasApt && process.getuid?.() === 0) {
  install(missing);
  missing = wanted.filter((needed) => !isThere(needed));
}
if (missing.length === 0) console.log(`setup: everything the tests use is there`);
for (const { name, without } of missing) console.log(`setup: ${name} is not there; skipped: ${without}`);
if (missing.length > 0 && hasApt && process.getuid?.() !== 0) {
  const names = missing.map(({ name }) => name).join(' ');
  console.log(`setup: to run those too: apt-get update && apt-get install ${names}   (as root)`);
}
