// The page's addresses under Electron: which are the page's own, and which file each stands for.
// Owns the scheme's name.
// Never imports Electron, so that it can be tested alone.

import { join, normalize, sep } from 'node:path';

export const SCHEME = 'trivisor';
export const PAGE_URL = `${SCHEME}://app/index.html`;

/** Whether an address belongs to the page. */
export function isPage(address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, host } = new URL(address);
  return protocol === `${SCHEME}:` && host === 'app';
}

/** Which window of a guest's an address is: a console, with `/2` of its second serial port and with `/shell` a shell, or its display; null for none. */
export function guestWindow(address: string): 'console' | 'display' | null {
  const match = isPage(address)
    ? /^#\/(console(?=\/[^/]+(\/(2|shell))?$)|display(?=\/[^/]+$))/.exec(new URL(address).hash)
    : null;
  return (match?.[1] as 'console' | 'display' | undefined) ?? null;
}

/** The file that an address of the page stands for; null for another page or a way out of the folder. */
export function pagePath(address: string, folder: string): string | null {
  if (!isPage(address)) return null;
  let name: string;
  try {
    name = decodeURIComponent(new URL(address).pathname);
  } catch {
    return null;
  }
  const path = normalize(join(folder, name));
  return path.startsWith(folder + sep) && path.length > folder.length + 1 && !path.includes('\0') ? path : null;
}
