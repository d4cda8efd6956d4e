// Builds dist/: the bundles of main with esbuild, the renderer with Vite, the interpreter's module by the core.
// Owns dist/ while it runs; what is there is replaced.
// Never fetches anything.

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { build as esbuild } from 'esbuild';
import { build as vite } from 'vite';
import { prepareInterpreter } from '../../native-free-core/cpu/interpreter/built.ts';
import { PREPARED_FILE } from '../guests/prepared-interpreter.ts';
import { dist, mainBundles, preloadBundle, root } from './bundles.ts';
import { isStale, markBuilt, sourcesDigest } from './stale.ts';

/** Builds if something changed since the last build, or in any case with `force`; answers whether it built. */
export async function build({ force = false } = {}): Promise<boolean> {
  const digest = sourcesDigest();
  if (!force && !isStale(digest)) return false;
  rmSync(dist, { recursive: true, force: true });
  await Promise.all([
    esbuild(mainBundles),
    esbuild(preloadBundle),
    vite({ configFile: join(root, 'renderer', 'vite.config.ts'), logLevel: 'warn' }),
  ]);
  writeFileSync(join(dist, PREPARED_FILE), serialize(prepareInterpreter()));
  markBuilt(digest);
  return true;
}

if (import.meta.main) {
  const started = performance.now();
  await build({ force: !process.argv.includes('--if-stale') });
  console.error(`Built dist/ in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
}
