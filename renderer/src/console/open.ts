// Opens a guest's console in a window of its own, or brings it to the front where it is open already.
// Owns the console windows' names and first size.
// Never knows whether that window is a browser's or Electron's.

/** The address of a guest's console within the page. */
export function consoleRoute(guestId: string): string {
  return `#/console/${encodeURIComponent(guestId)}`;
}

/** False where the browser kept the window from opening. */
export function openConsole(guestId: string): boolean {
  const name = `trivisor-console-${guestId}`;
  // An empty address answers the window of that name as it is, so that an open console is not loaded anew.
  const opened = window.open('', name, 'popup,width=860,height=560');
  if (!opened) return false;
  if (opened.location.hash !== consoleRoute(guestId)) {
    opened.location.href = new URL(consoleRoute(guestId), window.location.href).href;
  }
  opened.focus();
  return true;
}
