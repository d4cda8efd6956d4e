// Electron's windows: the manager, and a console of each guest that asks for one.
// Owns their looks and what a page in them may do: nothing beyond its own files and its bridge.
// Never knows a guest.

import { join } from 'node:path';
import { BrowserWindow, type BrowserWindowConstructorOptions, nativeTheme, type WebContents } from 'electron';
import { isConsole, isPage, PAGE_URL } from './page-address.ts';

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

/** Opens the manager. */
export function openManager(): BrowserWindow {
  const window = new BrowserWindow({
    width: 1240,
    height: 820,
    minWidth: 480,
    minHeight: 400,
    title: 'Trivisor',
    backgroundColor: background(),
    autoHideMenuBar: true,
    webPreferences,
  });
  void window.loadURL(PAGE_URL);
  return window;
}

/** Holds every page to its own files: consoles may open, nothing else may be opened, embedded or navigated to. */
export function guardContents(contents: WebContents): void {
  contents.on('will-attach-webview', (event) => event.preventDefault());
  contents.on('will-navigate', (event) => {
    if (!isPage(event.url)) event.preventDefault();
  });
  contents.setWindowOpenHandler(({ url }) => {
    if (!isConsole(url)) return { action: 'deny' };
    return {
      action: 'allow',
      overrideBrowserWindowOptions: {
        width: 860,
        height: 560,
        minWidth: 360,
        minHeight: 200,
        title: 'Console',
        backgroundColor: '#0f1216',
        autoHideMenuBar: true,
        webPreferences,
      },
    };
  });
  // A console that is asked for again only gets its own address anew: bring it to the front.
  contents.on('did-navigate-in-page', () => BrowserWindow.fromWebContents(contents)?.focus());
}

/** Brings the manager to the front, opening it where it was closed. */
export function showManager(): void {
  const manager = BrowserWindow.getAllWindows().find(({ webContents }) => !isConsole(webContents.getURL()));
  if (!manager) {
    openManager();
    return;
  }
  if (manager.isMinimized()) manager.restore();
  manager.focus();
}
