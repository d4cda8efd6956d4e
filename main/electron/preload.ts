// The bridge between a page and Electron's main process, run sandboxed in a world of its own.
// Owns one message port a connection; the page gets nothing else of Electron.
// Never looks into a frame: the server at the other end checks them.

import { contextBridge, ipcRenderer, webUtils } from 'electron';
import type { ClientFrame, Transport } from '../contract.ts';
import { CONNECT_CHANNEL } from './channels.ts';

/** A new connection to the server in the main process. */
function connect(): Transport {
  const { port1: ours, port2: theirs } = new MessageChannel();
  let closed: ((reason: string) => void) | undefined;
  ipcRenderer.postMessage(CONNECT_CHANNEL, null, [theirs]);
  return {
    send: (frame: ClientFrame) => ours.postMessage(frame),
    onFrame(receive) {
      ours.addEventListener('message', (event) => {
        const { data } = event as Event & { data: unknown };
        // The one word that is not a frame: the server ended the connection.
        if (data === null) {
          ours.close();
          closed?.('Trivisor closed the connection.');
        } else receive(data);
      });
      ours.start();
    },
    onClose(listener) {
      closed = listener;
    },
    close: () => ours.close(),
  };
}

contextBridge.exposeInMainWorld('trivisor', {
  pathOf: (file: File) => webUtils.getPathForFile(file),
  connect,
});
