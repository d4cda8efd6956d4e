// Images of real systems, built once into the cache folder.
// Owns the names there, the lock while one is built, and the removal of older recipes' results.
// Never changes an image that is built: a test that writes uses a copy or an overlay.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, withLock } from '../../../main/files/folders.ts';

export interface Recipe {
  /** File name of the result, without what tells its version. */
  name: string;
  /** Raised, or otherwise changed, whenever the result would be another. */
  version: string | number;
  /** Makes the result at `file`; `work` is an empty folder for whatever is needed on the way. */
  make(file: string, work: string): void | Promise<void>;
}

/** A build waits this long for another process that builds the same (milliseconds). */
const PATIENCE = 30 * 60_000;

/** The path of an image, which is built if it is not there. */
export async function image({ name, version, make }: Recipe): Promise<string> {
  const folder = join(cacheFolder(), 'systems');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${version}.${name}`);
  if (existsSync(file)) return file;
  return withLock(
    join(folder, `${name}.lock`),
    async () => {
      if (existsSync(file)) return file;
      const work = join(folder, `${name}.work`);
      // What a build left behind that was ended midway.
      rmSync(work, { recursive: true, force: true });
      mkdirSync(work);
      const partial = join(work, name);
      try {
        mkdirSync(join(work, 'work'));
        await make(partial, join(work, 'work'));
        for (const old of readdirSync(folder))
          if (old.endsWith(`.${name}`) && old.slice(0, -name.length - 1).match(/^[0-9a-z-]+$/))
            rmSync(join(folder, old));
        renameSync(partial, file);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
      return file;
    },
    PATIENCE,
  );
}
