// Opens a guest's display in a window of its own, or brings it to the front where it is open already.
// Owns the display windows' names and first size.
// Never knows whether that window is a browser's or Electron's.

/** Room for a text screen of 720 × 400 with the bars above and below it. */
const FIRST_SIZE = 'width=744,height=492';

/** False where the browser kept the window from opening. */
export function openDisplay(guestId: string): boolean {
  const url = new URL(window.location.href);
  url.hash = `#/display/${encodeURIComponent(guestId)}`;
  const opened = window.open(url, `trivisor-display-${guestId}`, `popup,${FIRST_SIZE}`);
  opened?.focus();
  return opened !== null;
}
