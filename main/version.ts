// This program's version.
// Owns nothing: package.json does.
// Never read by the core.

import packageJson from '../package.json' with { type: 'json' };

export const version: string = packageJson.version;
