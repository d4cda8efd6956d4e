// The contract's frames over a local socket, one JSON document a line.
// Owns the cutting of the byte stream into frames, for both ends.
// Never looks into a frame beyond decoding it.

import type { Socket } from 'node:net';
import { type ClientFrame, decodeFrame, encodeFrame, type ServerFrame, type Transport } from '../contract.ts';
import type { Connection, Peer } from '../server.ts';

/** Characters a line may have: the largest screenshot in base64 fits well, an endless line does not. */
const LINE_MAX = 24 * 2 ** 20;

/** Calls `receive` with each line's document; destroys the socket at the first line that is none. */
function readFrames(socket: Socket, receive: (frame: unknown) => void): void {
  let pieces: string[] = [];
  let length = 0;
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = text.split('\n');
    for (const [index, line] of lines.entries()) {
      pieces.push(line);
      length += line.length;
      if (length > LINE_MAX) return void socket.destroy(new Error('A frame is too long.'));
      if (index === lines.length - 1) return;
      const whole = pieces.join('');
      pieces = [];
      length = 0;
      let frame: unknown;
      try {
        frame = decodeFrame(whole);
      } catch {
        return void socket.destroy(new Error('A frame is not JSON.'));
      }
      receive(frame);
    }
  });
}

function write(socket: Socket, frame: ClientFrame | ServerFrame): void {
  if (socket.writable) socket.write(`${encodeFrame(frame)}\n`);
}

/** Serves a socket that connected to us. */
export function serveSocket(socket: Socket, connect: (peer: Peer) => Connection): void {
  const connection = connect({
    send: (frame) => write(socket, frame),
    close: () => socket.destroy(),
    backlog: () => socket.writableLength,
  });
  readFrames(socket, (frame) => connection.receive(frame));
  // An error is always followed by `close`; a front end that vanished is no fault.
  socket.on('error', () => {});
  socket.on('close', () => connection.close());
}

/** The client's transport over a connected socket. */
export function socketTransport(socket: Socket): Transport {
  return {
    send: (frame) => write(socket, frame),
    onFrame: (receive) => readFrames(socket, receive),
    onClose: (closed) => {
      let isOver = false;
      const tell = (reason: string): void => {
        if (!isOver) closed(reason);
        isOver = true;
      };
      socket.on('error', (error) => tell(`The connection to Trivisor was lost: ${error.message}.`));
      socket.on('close', () => tell('The Trivisor that runs the guests has ended.'));
    },
    close: () => socket.end(),
  };
}

/** Carries one front end's frames to a server behind a socket, unread: a connection by proxy. */
export function proxySocket(socket: Socket, peer: Peer): Connection {
  readFrames(socket, (frame) => peer.send(frame as ServerFrame));
  socket.on('error', () => {});
  socket.on('close', () => peer.close());
  return {
    // Checked by the server at the other end; only what cannot be encoded must not throw here.
    receive: (frame) => {
      if (typeof frame === 'object' && frame !== null) write(socket, frame as ClientFrame);
      else socket.destroy();
    },
    close: () => socket.end(),
  };
}
