// The transport of the app in a browser: frames as text over one WebSocket to the server that served the page.
// Owns the socket.
// Never reconnects by itself: a new connection is a new transport.

import { decodeFrame, encodeFrame, type Transport } from '../contract.ts';

/** Connects to `url`; rejects with one sentence where nobody answers. The server never speaks first. */
export function webSocketTransport(url: string): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    let closed: ((reason: string) => void) | undefined;
    let isOpen = false;
    socket.onclose = ({ reason }) => {
      if (!isOpen) reject(new Error('Trivisor does not answer. Is it still running?'));
      else closed?.(reason || 'The connection to Trivisor was lost.');
    };
    socket.onopen = () => {
      isOpen = true;
      resolve({
        send: (frame) => socket.send(encodeFrame(frame)),
        onFrame(receive) {
          socket.onmessage = ({ data }) => receive(typeof data === 'string' ? parsed(data) : data);
        },
        onClose(listener) {
          closed = listener;
        },
        close: () => socket.close(),
      });
    };
  });
}

/** What is not JSON is handed on as it is: the client closes with a sentence that names the contract. */
function parsed(text: string): unknown {
  try {
    return decodeFrame(text);
  } catch {
    return text;
  }
}
