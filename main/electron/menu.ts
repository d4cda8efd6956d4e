// The application's menu and its icon in the tray.
// Owns their entries; roles are Electron's, so their words and keys are the platform's own.
// Never acts on a guest itself: what acts on all of them is given.

import { Menu, type MenuItemConstructorOptions, Tray } from 'electron';
import { menuWords as words } from './strings.ts';

/** What menus do beyond the page. */
export interface GuestActs {
  show(): void;
  saveAll(): void;
  powerOffAll(): void;
}

/** Entries of all guests together, with their keys. */
function guestEntries(acts: GuestActs): MenuItemConstructorOptions[] {
  return [
    { label: words.show, accelerator: 'CmdOrCtrl+Shift+M', click: () => acts.show() },
    { type: 'separator' },
    { label: words.saveAll, accelerator: 'CmdOrCtrl+Shift+S', click: () => acts.saveAll() },
    { label: words.powerOffAll, accelerator: 'CmdOrCtrl+Shift+P', click: () => acts.powerOffAll() },
  ];
}

/** Kept, because an icon that nobody holds vanishes. */
let tray: Tray | undefined;

/** Shows the icon; desktops without a tray show none. */
export function startTray(icon: string, acts: GuestActs): void {
  tray = new Tray(icon);
  tray.setToolTip('Trivisor');
  tray.setContextMenu(
    Menu.buildFromTemplate([...guestEntries(acts), { type: 'separator' }, { role: 'quit', label: words.quit }]),
  );
  tray.on('click', () => acts.show());
}

/** Sets the menu. `developer` adds reloading and the developer tools. */
export function setMenu(platform: NodeJS.Platform, developer: boolean, acts: GuestActs): void {
  const template: MenuItemConstructorOptions[] = [
    ...(platform === 'darwin' ? [{ role: 'appMenu' } as const] : []),
    { role: 'fileMenu' },
    { role: 'editMenu' },
    {
      label: words.view,
      submenu: [
        { role: 'resetZoom' },
        { role: 'zoomIn' },
        { role: 'zoomOut' },
        { type: 'separator' },
        { role: 'togglefullscreen' },
        ...(developer ? ([{ type: 'separator' }, { role: 'reload' }, { role: 'toggleDevTools' }] as const) : []),
      ],
    },
    { label: words.guests, submenu: guestEntries(acts) },
    { role: 'windowMenu' },
  ];
  Menu.setApplicationMenu(Menu.buildFromTemplate(template));
}
