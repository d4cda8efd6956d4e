// Where the app begins under Electron: one instance, the contract's server, the manager's window, and a way out.
// Owns the server and the order in which everything starts and ends.
// Never executes guest code and never reads a guest's files: threads of their own do.

import { join } from 'node:path';
import { app, BrowserWindow, dialog, type MessageBoxOptions, session } from 'electron';
import { createClient } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { Server } from '../server.ts';
import { mayLeave } from './leaving.ts';
import { setMenu } from './menu.ts';
import { registerPageScheme, servePage } from './page.ts';
import { servePorts } from './ports.ts';
import { guardContents, openManager, showManager } from './windows.ts';

app.setName('Trivisor');
registerPageScheme();

if (app.requestSingleInstanceLock()) {
  app.on('second-instance', showManager);
  app.on('web-contents-created', (_event, contents) => guardContents(contents));
  void app.whenReady().then(start);
} else {
  // The instance that is there already comes to the front.
  app.quit();
}

async function start(): Promise<void> {
  let server: Server;
  try {
    server = new Server({
      home: homeFolder(),
      isOwner: true,
      machineModule: app.isPackaged ? undefined : process.env.TRIVISOR_TEST_MACHINE,
    });
  } catch (error) {
    dialog.showErrorBox('Trivisor cannot start', error instanceof Error ? error.message : String(error));
    app.exit(1);
    return;
  }

  // The page needs nothing of what a page may ask for, but to copy a line of text.
  session.defaultSession.setPermissionRequestHandler((_contents, permission, answer) =>
    answer(permission === 'clipboard-sanitized-write'),
  );
  session.defaultSession.setPermissionCheckHandler(
    (_contents, permission) => permission === 'clipboard-sanitized-write',
  );
  servePage(join(import.meta.dirname, 'renderer'));
  servePorts((page) => server.connect(page));
  setMenu(process.platform, !app.isPackaged);
  askBeforeQuitting(server);
  app.on('activate', showManager);
  app.on('window-all-closed', () => app.quit());
  openManager();
}

/** Quitting waits for the guests, or for a person's word that they may be lost. */
function askBeforeQuitting(server: Server): void {
  const client = createClient(server.connectDirectly());
  let isAsking = false;
  let mayQuit = false;
  const ask = async (options: MessageBoxOptions): Promise<number> => {
    const window = BrowserWindow.getFocusedWindow();
    const { response } = await (window ? dialog.showMessageBox(window, options) : dialog.showMessageBox(options));
    return response;
  };
  const leave = async (): Promise<void> => {
    try {
      mayQuit = await mayLeave({ client, ask });
      if (mayQuit) {
        await server.close();
        app.quit();
      } else if (BrowserWindow.getAllWindows().length === 0) openManager();
    } catch (error) {
      dialog.showErrorBox('Trivisor cannot quit', error instanceof Error ? error.message : String(error));
    } finally {
      isAsking = false;
    }
  };
  app.on('before-quit', (event) => {
    if (mayQuit) return;
    event.preventDefault();
    if (isAsking) return;
    isAsking = true;
    void leave();
  });
}
