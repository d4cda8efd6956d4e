// Opens a guest's console in a window of its own, or brings it to the front where it is open already.
// Owns the console windows' names and first size.
// Never knows whether that window is a browser's or Electron's.

import type { Source } from './guest-stream.ts';

let shells = 0;

/** False where the browser kept the window from opening. */
export function openConsole(guestId: string, source: Source = 1): boolean {
  const url = new URL(window.location.href);
  url.hash = `#/console/${encodeURIComponent(guestId)}${source === 1 ? '' : `/${source}`}`;
  // There is one window of each console, and as many shells as are asked for.
  const which = source === 'shell' ? `shell-${++shells}` : source;
  // A window of that name which is there already only gets the hash it has: it is not loaded anew.
  const opened = window.open(url, `trivisor-console-${guestId}-${which}`, 'popup,width=860,height=560');
  opened?.focus();
  return opened !== null;
}
