// The interpreter that the build has prepared, beside the bundles: a thread that loads it need not build its own.
// Owns the file's name and form.
// Never makes it: see main/build. A checkout has none, and its threads build what they need.

import { readFileSync } from 'node:fs';
import { deserialize } from 'node:v8';
import { adoptInterpreter, type PreparedInterpreter } from '../../native-free-core/cpu/interpreter/built.ts';

export const PREPARED_FILE = 'interpreter.bin';

/** To be called before the engine is used. Throws an Error where a bundle has lost what it was built with. */
export function loadPreparedInterpreter(): void {
  if (import.meta.url.endsWith('.ts')) return;
  const prepared: PreparedInterpreter = deserialize(readFileSync(new URL(PREPARED_FILE, import.meta.url)));
  adoptInterpreter(prepared);
}
