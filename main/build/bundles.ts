// What is built: the bundles of main and the pages of the renderer, and where each goes.
// Owns the list of entries and of what stays outside a bundle.
// Never runs a build by itself.

import { join } from 'node:path';
import type { BuildOptions } from 'esbuild';

export const root = join(import.meta.dirname, '..', '..');
export const dist = join(root, 'dist');

/** Loaded from node_modules at run time: Electron's own module, and a native one with its binary beside it. */
const external = ['electron', 'better-sqlite3'];

const shared: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  sourcemap: 'linked',
  external,
  absWorkingDir: root,
  outdir: dist,
  logLevel: 'warning',
  legalComments: 'none',
};

/** Bundles that Node or Electron's main process loads, as modules. */
export const mainBundles: BuildOptions = {
  ...shared,
  format: 'esm',
  entryPoints: {
    main: 'main/electron/main.ts',
    cli: 'main/cli/bin.ts',
    'guest-worker': 'main/guests/guest-worker.ts',
    'kernel-worker': 'main/containers/kernel-worker.ts',
    'translation-worker': 'main/guests/translation-worker.ts',
    'network-worker': 'main/networks/network-worker.ts',
    'import-worker': 'main/containers/images/import-worker.ts',
  },
  // Some packages are CommonJS within: what they `require` of Node has to be found from a module.
  banner: {
    js: `import { createRequire as createRequire__ } from 'node:module';\nconst require = createRequire__(import.meta.url);`,
  },
};

/** A sandboxed preload is a classic script that may load `electron` alone. */
export const preloadBundle: BuildOptions = {
  ...shared,
  platform: 'browser',
  target: 'chrome140',
  format: 'cjs',
  external: ['electron'],
  entryPoints: { preload: 'main/electron/preload.ts' },
  outExtension: { '.js': '.cjs' },
};
