// Whether dist/ still stands for the sources it was built from.
// Owns the stamp that a build leaves: a digest of every source's path and content.
// Never builds.

import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dist, root } from './bundles.ts';

const stamp = join(dist, 'sources.sha256');
const sources = [
  'main/**/*.ts',
  'native-free-core/**/*.ts',
  'renderer/**/*.{ts,svelte,css,html,svg}',
  'package-lock.json',
];

/** A digest of everything that goes into a build. */
export function sourcesDigest(): string {
  const hash = createHash('sha256');
  for (const path of globSync(sources, { cwd: root }).sort()) {
    if (path.endsWith('.test.ts')) continue;
    hash
      .update(path)
      .update('\0')
      .update(readFileSync(join(root, path)))
      .update('\0');
  }
  return hash.digest('hex');
}

/** True where dist/ is missing or was built from other sources. */
export function isStale(digest: string): boolean {
  return !existsSync(stamp) || readFileSync(stamp, 'utf8') !== digest;
}

/** Notes that dist/ was built from the sources of this digest. */
export function markBuilt(digest: string): void {
  writeFileSync(stamp, digest);
}
