// What a terminal window shows of a guest: one of its consoles, or a shell that runs in a guest of kind os.
// Owns the stream and its form.
// Never draws anything.

import {
  type ByteStream,
  type Client,
  decodeProgramMessage,
  encodeProgramInput,
  type GuestView,
  type SerialPort,
  type TerminalSize,
} from '../contract.ts';
import { consoleWords } from '../strings/display.ts';

/** What a window is of. */
export type Source = SerialPort | 'shell';

export interface StreamEvents {
  data(bytes: Uint8Array): void;
  /** It is over, with the reason in one sentence. */
  closed(reason: string): void;
}

export interface GuestStream {
  write(bytes: Uint8Array): void;
  /** The window has another size. */
  resize(size: TerminalSize): void;
  close(): void;
}

/** The image's bash where it has one, as a login shell. */
const SHELL = ['/bin/sh', '-c', 'if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi'];

export function openGuestStream(
  client: Client,
  guest: GuestView,
  source: Source,
  size: TerminalSize,
  events: StreamEvents,
): GuestStream {
  return source === 'shell' ? openShell(client, guest, size, events) : openConsole(client, guest, source, size, events);
}

function openConsole(
  client: Client,
  { id, settings, state }: GuestView,
  port: SerialPort,
  first: TerminalSize,
  events: StreamEvents,
): GuestStream {
  const stream = client.open('console', { guest: id, port }, events);
  // Only a container's terminal knows how large it is shown.
  const resize = (size: TerminalSize): void => {
    if (settings.kind !== 'os' || !settings.tty) return;
    // A guest that is off takes its size when its window is looked at again.
    client.call('guests.resize', { guest: id, size }).catch(() => {});
  };
  if (state !== 'off') resize(first);
  return { write: (bytes) => stream.write(bytes), resize, close: () => stream.close() };
}

function openShell(client: Client, { id }: GuestView, size: TerminalSize, events: StreamEvents): GuestStream {
  let status: number | null = null;
  const stream: ByteStream = client.open(
    'program',
    { guest: id, command: SHELL, env: ['TERM=xterm-256color'], terminal: size },
    {
      data: (bytes) => {
        const message = decodeProgramMessage(bytes);
        if (message?.type === 'output') events.data(message.bytes);
        else if (message?.type === 'ended') status = message.status;
      },
      closed: (reason) => events.closed(status === null ? reason : consoleWords.shellEnded(status)),
    },
  );
  return {
    write: (bytes) => stream.write(encodeProgramInput({ type: 'input', bytes })),
    resize: (now) => stream.write(encodeProgramInput({ type: 'resize', ...now })),
    close: () => stream.close(),
  };
}
