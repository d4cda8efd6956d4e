// Chooses what carries the contract: what Electron's preload put on the page, a WebSocket otherwise.
// Owns that choice; nothing else in the renderer can tell which it was.
// Never opens more than it is asked for.

import type { Transport } from '../contract.ts';
import { webSocketTransport } from './web-socket.ts';

declare global {
  interface Window {
    /** There in Electron alone. */
    trivisor?: {
      connect(): Transport;
      /** Where a file lies that was dropped on the page; empty for one that is on no disk. */
      pathOf(file: File): string;
    };
  }
}

/** Opens a transport to the server behind this page; rejects with one sentence. */
export async function openTransport(): Promise<Transport> {
  if (window.trivisor) return window.trivisor.connect();
  const url = new URL('socket', window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.hash = '';
  return webSocketTransport(url.href);
}
