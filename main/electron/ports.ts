// Electron's adapter of the contract: one connection to the server for each port that a page hands over.
// Owns nothing but the way of the frames between a port and the server.
// Never looks into a frame, and never takes a port from anything but the app's own page.

import { ipcMain, type MessagePortMain } from 'electron';
import type { Connection, Peer } from '../server.ts';
import { CONNECT_CHANNEL } from './channels.ts';
import { isPage } from './page-address.ts';

/** Opens a connection to the server, given the way back to the page. */
export type Connect = (page: Peer) => Connection;

/** Takes connections from the app's pages from now on. */
export function servePorts(connect: Connect): void {
  ipcMain.on(CONNECT_CHANNEL, (event) => {
    const [port] = event.ports;
    if (!port) return;
    if (!event.senderFrame || !isPage(event.senderFrame.url)) {
      port.close();
      return;
    }
    servePort(port, connect);
  });
}

function servePort(port: MessagePortMain, connect: Connect): void {
  const connection = connect({
    send: (frame) => port.postMessage(frame),
    close: () => {
      // The preload's sign that the server ended it; without it the page would wait for ever.
      port.postMessage(null);
      port.close();
    },
  });
  port.on('message', ({ data }) => connection.receive(data));
  port.on('close', () => connection.close());
  port.start();
}
