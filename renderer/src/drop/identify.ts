// What a file that was dropped is to a guest, and what the wizard begins with then.
// Owns the way from a path to that beginning.
// Never asks a person anything.

import { type Caller, sentence } from '../state/session.svelte.ts';
import { dropWords } from '../strings/drop.ts';
import type { Beginning } from '../wizard/pages.ts';

/** What was dropped on a page that is told no paths. */
export interface Dropped {
  file: File;
  isFolder: boolean;
}

/** What to begin with, or one sentence why there is nothing. */
export async function identify(session: Caller, path: string): Promise<Beginning | string> {
  try {
    const found = await session.call('files.identify', { path });
    if (found.use === null) return found.description;
    if (found.use === 'appliance') return dropWords.appliance(path);
    if (found.use !== 'disk') return { ...found, format: null };
    // A disk whose name tells another format, or none, is opened as what it is.
    const { problem, format } = await session.call('media.inspect', { path, use: 'disk', format: null });
    return { ...found, format: problem === null ? null : format };
  } catch (error) {
    return sentence(error);
  }
}
