// What firmware tells a guest to know itself by: the identity it has in the inventory or for this run, and its generation.
// Owns the ways to their bytes.
// Never keeps anything.

import { createHash, randomBytes } from 'node:crypto';

/** The 16 bytes of a UUID in the order they are written in. Throws where the text is none. */
export function uuidBytes(text: string): Uint8Array {
  const digits = text.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw new Error(`${text} is no UUID.`);
  return Uint8Array.from({ length: 16 }, (_, index) => Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16));
}

/**
 * A guest's generation (Microsoft, "Virtual Machine Generation ID"): the same whenever it boots, another for its clones and behind
 * another snapshot, and one that nobody had before where it goes on with a saved state.
 */
export function generationOf(
  identity: string,
  { lineage, savedState }: { lineage?: string | null; savedState?: string | null },
): Uint8Array {
  if (savedState) return new Uint8Array(randomBytes(16));
  return new Uint8Array(
    createHash('sha256')
      .update(`${identity} ${lineage ?? ''}`)
      .digest()
      .subarray(0, 16),
  );
}
