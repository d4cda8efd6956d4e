import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from './sources.ts';

// `npm ci` on a machine with nothing but Node stands or falls with the lock file.

interface Locked {
  version?: string;
  integrity?: string;
  gypfile?: boolean;
  optionalDependencies?: Record<string, string>;
}
type Lock = Record<string, Locked>;

const lock = (): Lock =>
  (JSON.parse(readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8')) as { packages: Lock }).packages;

/** Where Node finds `name` from the package at `from`: beside it or in any folder above. */
function isLocked(packages: Lock, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === '') return false;
  }
}

/** Packages that the lock should name and does not: `npm ci` then refuses the whole lock file. */
function unlocked(packages: Lock): string[] {
  return Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !isLocked(packages, path, name))
      .map((name) => `${path} -> ${name}`),
  );
}

test('the lock names every optional package of every platform', () => {
  // A registry that lacks one drops it silently when the lock is made; choose a version that is there whole.
  assert.deepEqual(unlocked(lock()), []);
});

test('every locked package has a version and a hash', () => {
  const without = Object.entries(lock()).filter(([path, one]) => path !== '' && !(one.version && one.integrity));
  assert.deepEqual(
    without.map(([path]) => path),
    [],
  );
});

test('better-sqlite3 is not compiled at install', () => {
  // It carries its binaries. But npm does not record "gypfile": false of its package.json, and so compiles it at
  // `npm ci`, which needs Python and a C++ compiler: write it into the lock again after npm has rewritten that.
  assert.equal(lock()['node_modules/better-sqlite3'].gypfile, false, 'set "gypfile": false in its entry of the lock');
});

test('these rules catch what they are for', () => {
  const packages: Lock = {
    'node_modules/a': { optionalDependencies: { 'a-linux': '1', '@a/mac': '1' } },
    'node_modules/a/node_modules/b': { optionalDependencies: { 'a-linux': '1', 'b-linux': '1' } },
    'node_modules/a-linux': { version: '1' },
    'node_modules/a/node_modules/b-linux': { version: '1' },
  };
  assert.deepEqual(unlocked(packages), ['node_modules/a -> @a/mac']);
});
