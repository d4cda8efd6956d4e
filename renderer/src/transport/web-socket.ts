// The transport of the app in a browser: frames as text over one WebSocket to the server that served the page.
// Owns the socket.
// Never reconnects by itself: a new connection is a new transport.

import { decodeFrame, encodeFrame, type Transport } from '../contract.ts';

/** Connects to `url`; rejects with one sentence where nobody answers. */
export function webSocketTransport(url: string): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    let receive: ((frame: unknown) => void) | undefined;
    let closed: ((reason: string) => void) | undefined;
    let refused = true;
    const early: unknown[] = [];
    socket.onmessage = ({ data }) => {
      if (typeof data !== 'string') return socket.close(1003, 'only text frames are spoken here');
      let frame: unknown;
      try {
        frame = decodeFrame(data);
      } catch {
        // Not JSON: handed on as it is, the client then closes with a sentence that names the contract.
        frame = data;
      }
      if (receive) receive(frame);
      else early.push(frame);
    };
    socket.onclose = ({ reason }) => {
      if (refused) reject(new Error('Trivisor does not answer. Is it still running?'));
      else closed?.(reason || 'The connection to Trivisor was lost.');
    };
    socket.onopen = () => {
      refused = false;
      resolve({
        send: (frame) => socket.send(encodeFrame(frame)),
        onFrame(listener) {
          receive = listener;
          for (const frame of early.splice(0)) listener(frame);
        },
        onClose(listener) {
          closed = listener;
        },
        close: () => socket.close(),
      });
    };
  });
}
