// Chooses what carries the contract: the bridge where the page has one, a WebSocket otherwise.
// Owns that choice; nothing else in the renderer can tell which it was.
// Never opens more than it is asked for.

import type { Transport } from '../contract.ts';
import { bridgeTransport } from './bridge.ts';
import { webSocketTransport } from './web-socket.ts';

/** Opens a transport to the server behind this page; rejects with one sentence. */
export async function openTransport(): Promise<Transport> {
  if (window.trivisor) return bridgeTransport(window.trivisor);
  const url = new URL('socket', window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.hash = '';
  return webSocketTransport(url.href);
}
