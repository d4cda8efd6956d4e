// Electron's windows: the manager, and the console and display of each guest that are asked for.
// Owns their looks and what a page in them may do: nothing beyond its own files and its bridge.
// Never knows a guest.

import { join } from 'node:path';
import { BrowserWindow, type BrowserWindowConstructorOptions, nativeTheme, screen, type WebContents } from 'electron';
import { guestWindow, isPage, PAGE_URL } from './page-address.ts';
import { readPlace, writePlace } from './window-place.ts';

const webPreferences: NonNullable<BrowserWindowConstructorOptions['webPreferences']> = {
  // The preload lies beside the bundle of main.
  preload: join(import.meta.dirname, 'preload.cjs'),
  sandbox: true,
  contextIsolation: true,
  nodeIntegration: false,
  webviewTag: false,
  spellcheck: false,
  // The charts go on while another window covers this one.
  backgroundThrottling: false,
};

const background = () => (nativeTheme.shouldUseDarkColors ? '#12151a' : '#f4f5f7');

/** Opens the manager where it was when it was closed last, as far as there still is such a place. */
export function openManager(home: string): BrowserWindow {
  const screens = screen.getAllDisplays().map(({ workArea }) => workArea);
  const { isMaximized = false, ...bounds } = readPlace(home, screens) ?? {};
  const window = new BrowserWindow({
    width: 1240,
    height: 820,
    ...bounds,
    minWidth: 480,
    minHeight: 400,
    title: 'Trivisor',
    backgroundColor: background(),
    autoHideMenuBar: true,
    webPreferences,
  });
  if (isMaximized) window.maximize();
  window.on('close', () => writePlace(home, { ...window.getNormalBounds(), isMaximized: window.isMaximized() }));
  void window.loadURL(PAGE_URL);
  return window;
}

/** First and least sizes of a guest's windows; the display's is a text screen of 720 × 400 with the bars around it. */
const guestWindows = {
  console: { width: 860, height: 560, minWidth: 360, minHeight: 200, title: 'Console', backgroundColor: '#0f1216' },
  display: { width: 744, height: 492, minWidth: 480, minHeight: 240, title: 'Display', backgroundColor: '#08090b' },
} as const;

/** Holds every page to its own files: guests' windows may open, nothing else may be opened, embedded or navigated to. */
export function guardContents(contents: WebContents): void {
  contents.on('will-attach-webview', (event) => event.preventDefault());
  contents.on('will-navigate', (event) => {
    if (!isPage(event.url)) event.preventDefault();
  });
  contents.setWindowOpenHandler(({ url }) => {
    const which = guestWindow(url);
    if (!which) return { action: 'deny' };
    return {
      action: 'allow',
      overrideBrowserWindowOptions: {
        ...guestWindows[which],
        // The picture's size is the window's, without its frame.
        useContentSize: true,
        autoHideMenuBar: true,
        webPreferences,
      },
    };
  });
  // A window that is asked for again only gets its own address anew: bring it to the front.
  contents.on('did-navigate-in-page', () => BrowserWindow.fromWebContents(contents)?.focus());
}

/** Brings the manager to the front, opening it where it was closed. */
export function showManager(home: string): void {
  const manager = BrowserWindow.getAllWindows().find(({ webContents }) => guestWindow(webContents.getURL()) === null);
  if (!manager) {
    openManager(home);
    return;
  }
  if (manager.isMinimized()) manager.restore();
  manager.focus();
}
