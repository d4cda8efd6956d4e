// The transport of the app in a browser: frames over one WebSocket, bytes as they are, to the server that served the page.
// Owns the socket.
// Never reconnects by itself: a new connection is a new transport.

import { decodeMessage, encodeMessage, type Transport } from '../contract.ts';
import { connectionWords } from '../strings/app.ts';

/** Connects to `url`; rejects with one sentence where nobody answers. The server never speaks first. */
export function webSocketTransport(url: string): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    let closed: ((reason: string) => void) | undefined;
    let isOpen = false;
    socket.onclose = ({ reason }) => {
      if (!isOpen) reject(new Error(connectionWords.noAnswer));
      else closed?.(reason || connectionWords.lost);
    };
    socket.onopen = () => {
      isOpen = true;
      resolve({
        send: (frame) => socket.send(encodeMessage(frame)),
        onFrame(receive) {
          socket.onmessage = ({ data }) => receive(parsed(data));
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
function parsed(data: string | ArrayBuffer): unknown {
  try {
    return decodeMessage(typeof data === 'string' ? data : new Uint8Array(data));
  } catch {
    return data;
  }
}
