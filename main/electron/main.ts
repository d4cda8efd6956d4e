// Where the app begins under Electron: one instance, the home and its server, the manager's window, and a way out.
// Owns the home while the app is there, and the order in which everything starts and ends.
// Never executes guest code and never reads a guest's files: threads of their own do.

import { join } from 'node:path';
import { app, BrowserWindow, dialog, type MessageBoxOptions, Notification, session } from 'electron';
import { homeFolder } from '../files/folders.ts';
import { type Home, openHome } from '../home/home.ts';
import { mayLeave } from './leaving.ts';
import { type GuestActs, setMenu, startTray } from './menu.ts';
import { type Notice, watchGuests } from './notices.ts';
import { registerPageScheme, servePage } from './page.ts';
import { servePorts } from './ports.ts';
import { noticeWords, speak } from './strings.ts';
import { guardContents, openManager, showManager } from './windows.ts';

app.setName('Trivisor');
registerPageScheme();

if (app.requestSingleInstanceLock()) {
  app.on('second-instance', () => showManager(homeFolder()));
  app.on('web-contents-created', (_event, contents) => guardContents(contents));
  void app.whenReady().then(start);
} else {
  // The instance that is there already comes to the front.
  app.quit();
}

/**
 * All that the page gets of what a page may ask for: to copy text and to type what is copied into a guest, and for a
 * guest's display the pointer, the whole screen and, there, the keys that are otherwise the system's.
 */
const granted: ReadonlySet<string> = new Set([
  'clipboard-sanitized-write',
  'clipboard-read',
  'pointerLock',
  'fullscreen',
  'keyboardLock',
]);

/** The home as it is served now; another process may own it, and end. */
let home: Home;

async function start(): Promise<void> {
  if (!(await enterHome())) return;
  session.defaultSession.setPermissionRequestHandler((_contents, permission, answer) =>
    answer(granted.has(permission)),
  );
  session.defaultSession.setPermissionCheckHandler((_contents, permission) => granted.has(permission));
  servePage(join(import.meta.dirname, 'renderer'));
  servePorts((page) => home.connect(page));
  speak(app.getLocale());
  setMenu(process.platform, !app.isPackaged, guestActs);
  askBeforeQuitting();
  app.on('activate', () => showManager(homeFolder()));
  app.on('window-all-closed', () => app.quit());
  openManager(homeFolder());
  startTray(join(import.meta.dirname, 'renderer', 'tray.png'), guestActs);
  startGuests();
}

/** What menus do to all guests; what comes of it is told by the page and, where it is grave, by a notice. */
const guestActs: GuestActs = {
  show: () => showManager(homeFolder()),
  saveAll: () => forAll('guests.save'),
  powerOffAll: () => forAll('guests.stop'),
};

function forAll(act: 'guests.save' | 'guests.stop'): void {
  const client = home.client();
  const each = async (): Promise<void> => {
    const guests = (await client.call('guests.list')).filter(({ state }) => state === 'running' || state === 'paused');
    const results = await Promise.allSettled(guests.map(({ id }) => client.call(act, { guest: id })));
    for (const [index, result] of results.entries())
      if (result.status === 'rejected') notify({ title: guests[index]!.settings.name, body: sentence(result.reason) });
  };
  each()
    .catch((error) => notify({ title: 'Trivisor', body: sentence(error) }))
    .finally(() => client.close());
}

const leaving = new AbortController();

/** Tells of what happens to guests, and starts those that start with the app. */
function startGuests(): void {
  const { server } = home;
  const watch = (): void => void watchGuests(home.client(), notify);
  watch();
  // An owner that ends takes its connections with it.
  void home.lost.then(watch);
  if (!server) return;
  const { crashed } = server.recovered;
  const names = crashed.map(({ name }) => name).join(', ');
  if (crashed.length > 0) notify({ title: noticeWords.crashed(names), body: noticeWords.crashedText });
  void server.autostart(leaving.signal, ({ settings }, body) => notify({ title: settings.name, body }));
}

function notify(notice: Notice): void {
  if (!Notification.isSupported()) return;
  const shown = new Notification(notice);
  shown.on('click', () => showManager(homeFolder()));
  shown.show();
}

/** Serves the home, as its owner or through whoever is; when that one ends, again. False where it cannot be served. */
async function enterHome(): Promise<boolean> {
  try {
    home = await openHome({
      home: homeFolder(),
      // Tests bring a machine of their own; what people install does not look for one.
      machineModule: app.isPackaged ? undefined : process.env.TRIVISOR_TEST_MACHINE,
    });
  } catch (error) {
    dialog.showErrorBox('Trivisor cannot use its home folder', sentence(error));
    app.exit(1);
    return false;
  }
  // The pages connect again by themselves.
  void home.lost.then(enterHome);
  return true;
}

/** Quitting waits for the guests of this process, or for a person's word that they may be lost. */
function askBeforeQuitting(): void {
  let isAsking = false;
  let isLeft = false;
  const leave = async (): Promise<void> => {
    // The guests of another process go on without us.
    if (home.server) {
      const client = home.client();
      const mayQuit = await mayLeave({ client, ask }).finally(() => client.close());
      if (!mayQuit) {
        if (BrowserWindow.getAllWindows().length === 0) openManager(homeFolder());
        return;
      }
    }
    leaving.abort();
    await home.close();
    isLeft = true;
    app.quit();
  };
  app.on('before-quit', (event) => {
    if (isLeft) return;
    event.preventDefault();
    if (isAsking) return;
    isAsking = true;
    leave()
      .catch((error) => dialog.showErrorBox('Trivisor cannot quit', sentence(error)))
      .finally(() => (isAsking = false));
  });
}

async function ask(options: MessageBoxOptions): Promise<number> {
  const window = BrowserWindow.getFocusedWindow();
  const { response } = await (window ? dialog.showMessageBox(window, options) : dialog.showMessageBox(options));
  return response;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
