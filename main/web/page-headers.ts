// The headers that the page's files are served with, over HTTP as under Electron's own scheme.
// Owns the content types and the page's security policy; index.html repeats the policy for whoever forgets the header.
// Never knows who asks.

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.map': 'application/json',
};

/** The type of a file by its extension, such as `.html`. */
export function contentType(extension: string): string {
  return contentTypes[extension] ?? 'application/octet-stream';
}

/**
 * No script or style but the page's own files, and no connection but to its server. Style attributes are let in: the
 * terminal gives the cells of true-colour text theirs.
 */
export const protections = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; " +
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};
