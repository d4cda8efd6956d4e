// Brings a file of the page to the host: for a browser, which tells no path of it.
// Owns how far ahead is sent of what is written.
// Never reads more of the file than that.

import { type Client, UPLOAD_PIECE, UPLOAD_WINDOW, UploadMessage } from '../contract.ts';

export interface Uploading {
  /** The path on the host; rejects with one sentence. */
  done: Promise<string>;
  /** Leaves nothing behind. */
  cancel(): void;
}

/** `progress` is told the bytes that are written. */
export function upload(client: Client, file: File, progress: (written: number) => void): Uploading {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let sent = 0;
  let written = 0;
  let isOver = false;
  let path = '';
  let wake = (): void => {};
  const stream = client.open(
    'upload',
    { name: file.name, bytes: file.size },
    {
      data(bytes) {
        const message = UploadMessage.parse(JSON.parse(new TextDecoder().decode(bytes)));
        if ('path' in message) path = message.path;
        else progress((written = message.written));
        wake();
      },
      closed(reason) {
        isOver = true;
        wake();
        if (path !== '') resolve(path);
        else reject(new Error(reason));
      },
    },
  );
  const end = (error: unknown): void => {
    if (isOver) return;
    isOver = true;
    stream.close();
    reject(error);
  };
  const send = async (): Promise<void> => {
    while (sent < file.size && !isOver) {
      if (sent - written >= UPLOAD_WINDOW) {
        await new Promise<void>((next) => (wake = next));
        continue;
      }
      const piece = new Uint8Array(await file.slice(sent, sent + UPLOAD_PIECE).arrayBuffer());
      if (isOver) return;
      stream.write(piece);
      sent += piece.length;
    }
  };
  send().catch(end);
  return { done: promise, cancel: () => end(new Error('The copy was cancelled.')) };
}
