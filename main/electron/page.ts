// The renderer's files as Electron's windows load them: under trivisor://app/, never file://.
// Owns the scheme's registration and the headers of its answers.
// Never serves anything outside that folder.

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { protocol } from 'electron';
import { pagePath, SCHEME } from './page-address.ts';

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.map': 'application/json',
};

/** Before the app is ready: makes the scheme one with an origin, as the page's policy and modules need. */
export function registerPageScheme(): void {
  protocol.registerSchemesAsPrivileged([{ scheme: SCHEME, privileges: { standard: true, secure: true } }]);
}

/** Once the app is ready: answers the scheme with the files of `folder`. */
export function servePage(folder: string): void {
  protocol.handle(SCHEME, async (request) => {
    const path = pagePath(request.url, folder);
    if (path === null) return new Response('Not found', { status: 404 });
    try {
      return new Response(await readFile(path), {
        headers: {
          'content-type': contentTypes[extname(path)] ?? 'application/octet-stream',
          'x-content-type-options': 'nosniff',
          'cache-control': 'no-store',
        },
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new Response('Not found', { status: 404 });
    }
  });
}
