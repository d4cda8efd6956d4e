// The renderer's files as Electron's windows load them: under trivisor://app/, never file://.
// Owns the scheme's registration and the headers of its answers.
// Never serves anything outside that folder.

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { protocol } from 'electron';
import { contentType, protections } from '../web/page-headers.ts';
import { pagePath, SCHEME } from './page-address.ts';

/** Before the app is ready: makes the scheme one with an origin, whose modules load as those of a web server. */
export function registerPageScheme(): void {
  const privileges = { standard: true, secure: true, supportFetchAPI: true, corsEnabled: true };
  protocol.registerSchemesAsPrivileged([{ scheme: SCHEME, privileges }]);
}

/** Once the app is ready: answers the scheme with the files of `folder`. */
export function servePage(folder: string): void {
  protocol.handle(SCHEME, async (request) => {
    const path = pagePath(request.url, folder);
    if (path === null) return new Response('Not found', { status: 404 });
    try {
      return new Response(await readFile(path), {
        headers: { ...protections, 'Content-Type': contentType(extname(path)), 'Cache-Control': 'no-store' },
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new Response('Not found', { status: 404 });
    }
  });
}
