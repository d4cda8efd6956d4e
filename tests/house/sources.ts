// The files of this repository, as the house tests see them.
// Owns the walk and the reading of script blocks out of Svelte components.
// Never looks into what is built, cached or installed.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const repositoryRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const skippedFolders = new Set(['node_modules', 'dist', '.git', '.cache']);

/** A file of the repository: its path from the root, with forward slashes, and its text. */
export interface SourceFile {
  path: string;
  text: string;
}

/** Every file of the repository, or of its `folders`, whose name ends in one of `extensions`, sorted by path. */
export function sourceFiles(extensions: readonly string[], folders: readonly string[] = ['.']): SourceFile[] {
  const found: SourceFile[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!skippedFolders.has(entry.name)) walk(path);
      } else if (entry.isFile() && extensions.some((extension) => entry.name.endsWith(extension))) {
        found.push({
          path: relative(repositoryRoot, path).split(sep).join('/'),
          text: readFileSync(path, 'utf8'),
        });
      }
    }
  };
  for (const folder of folders) walk(join(repositoryRoot, folder));
  return found.sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** Whether a file is a test or serves only tests, so that it never ships. */
export function isTestFile(path: string): boolean {
  return /\.test\.ts$/.test(path) || /(^|\/)(tests|testing)\//.test(path);
}

/** The TypeScript of a file: all of it, or a Svelte component's script blocks with everything else blanked out. */
export function scriptText(file: SourceFile): string {
  if (!file.path.endsWith('.svelte')) return file.text;
  const blank = (text: string): string => text.replace(/[^\n]/g, ' ');
  let script = '';
  let end = 0;
  for (const match of file.text.matchAll(/(<script\b[^>]*>)([\s\S]*?)<\/script>/g)) {
    const start = match.index + match[1].length;
    script += blank(file.text.slice(end, start)) + match[2];
    end = start + match[2].length;
  }
  return script + blank(file.text.slice(end));
}
