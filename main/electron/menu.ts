// The application menu.
// Owns its entries; each is a role of Electron's, so its words and keys are the platform's own.
// Never acts on a guest: that is the page's.

import { Menu, type MenuItemConstructorOptions } from 'electron';

/** Sets the menu. `developer` adds reloading and the developer tools. */
export function setMenu(platform: NodeJS.Platform, developer: boolean): void {
  const template: MenuItemConstructorOptions[] = [
    ...(platform === 'darwin' ? [{ role: 'appMenu' } as const] : []),
    { role: 'fileMenu' },
    { role: 'editMenu' },
    {
      label: 'View',
      submenu: [
        { role: 'resetZoom' },
        { role: 'zoomIn' },
        { role: 'zoomOut' },
        { type: 'separator' },
        { role: 'togglefullscreen' },
        ...(developer ? ([{ type: 'separator' }, { role: 'reload' }, { role: 'toggleDevTools' }] as const) : []),
      ],
    },
    { role: 'windowMenu' },
  ];
  Menu.setApplicationMenu(Menu.buildFromTemplate(template));
}
