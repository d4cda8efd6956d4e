// What Electron's preload puts on the page, and the transport made of it.
// Owns the shape of `window.trivisor`; the preload implements exactly this.
// Never sees Electron: only plain frames cross.

import type { ClientFrame, Transport } from '../contract.ts';

/** One connection to the server, as the preload offers it. Frames are plain data, byte arrays included. */
export interface Bridge {
  /** Called once by the page, before anything is sent. */
  connect(receive: (frame: unknown) => void, closed: (reason: string) => void): void;
  send(frame: ClientFrame): void;
  close(): void;
}

declare global {
  interface Window {
    trivisor?: Bridge;
  }
}

/** A transport over the preload's bridge. Frames that arrive before someone listens are kept. */
export function bridgeTransport(bridge: Bridge): Transport {
  let receive: ((frame: unknown) => void) | undefined;
  let closed: ((reason: string) => void) | undefined;
  const early: unknown[] = [];
  bridge.connect(
    (frame) => (receive ? receive(frame) : early.push(frame)),
    (reason) => closed?.(reason),
  );
  return {
    send: (frame) => bridge.send(frame),
    onFrame(listener) {
      receive = listener;
      for (const frame of early.splice(0)) listener(frame);
    },
    onClose(listener) {
      closed = listener;
    },
    close: () => bridge.close(),
  };
}
