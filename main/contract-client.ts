// The typed client of the contract, over whatever carries frames to the server and back.
// Owns the calls and streams that are open, and what they come to when the connection is lost.
// Never knows which transport it has; never imports node:, electron or the core, so a browser bundles it as it is.

import {
  type CallInput,
  type CallName,
  type CallOutput,
  calls,
  type EventName,
  type EventPayload,
  events,
  type StreamInput,
  type StreamName,
} from './contract.ts';
import { type ClientFrame, DATA_FRAME_MAX, explain, Failure, ServerFrame } from './contract-frames.ts';

/** Carries frames to the server and back: Electron IPC, a WebSocket, a local socket. Frames keep their order. */
export interface Transport {
  send(frame: ClientFrame): void;
  /** Called once, before anything is sent. `frame` is unchecked. */
  onFrame(receive: (frame: unknown) => void): void;
  /** Called when the other side is gone, with one sentence. */
  onClose(closed: (reason: string) => void): void;
  close(): void;
}

/** One open byte stream. */
export interface ByteStream {
  write(bytes: Uint8Array): void;
  close(): void;
}

export interface ByteStreamEvents {
  data(bytes: Uint8Array): void;
  /** The server or the transport ended the stream; not called after the client's own `close`. */
  closed?(reason: string): void;
}

export interface Client {
  /** Rejects with a {@link Failure}, also when the connection is lost. */
  call<Name extends CallName>(name: Name, ...input: InputOf<CallInput<Name>>): Promise<CallOutput<Name>>;
  /** Listens to an event; the answer stops listening. */
  on<Name extends EventName>(name: Name, listener: (payload: EventPayload<Name>) => void): () => void;
  open<Name extends StreamName>(name: Name, input: StreamInput<Name>, events: ByteStreamEvents): ByteStream;
  /** Called once when the connection is lost (not after the client's own `close`). */
  onClose(listener: (reason: string) => void): void;
  close(): void;
}

/** A call whose input may be empty needs none. */
type InputOf<Input> = Record<string, never> extends Input ? [input?: Input] : [input: Input];

/** A typed client over a transport. Frames that are not the contract's close the connection: the versions differ. */
export function createClient(transport: Transport): Client {
  const pending = new Map<number, { name: CallName; resolve(output: never): void; reject(error: Failure): void }>();
  const open = new Map<number, ByteStreamEvents>();
  const listeners = new Map<EventName, Set<(payload: never) => void>>();
  const closeListeners: ((reason: string) => void)[] = [];
  let nextId = 1;
  let lost: string | null = null;

  const end = (reason: string, tell: boolean): void => {
    if (lost !== null) return;
    lost = reason;
    for (const { reject } of pending.values()) reject(new Failure('failed', reason));
    pending.clear();
    for (const stream of open.values()) stream.closed?.(reason);
    open.clear();
    if (tell) for (const listener of closeListeners) listener(reason);
  };

  const receive = (raw: unknown): void => {
    if (lost !== null) return;
    const parsed = ServerFrame.safeParse(raw);
    if (!parsed.success) {
      end(`The other side sent something that is not in this version's contract: ${explain(parsed.error)}.`, true);
      transport.close();
      return;
    }
    const frame = parsed.data;
    switch (frame.type) {
      case 'result': {
        const call = pending.get(frame.id);
        if (!call) return;
        pending.delete(frame.id);
        const output = calls[call.name].output.safeParse(frame.output);
        if (output.success) call.resolve(output.data as never);
        else call.reject(new Failure('failed', `The answer to ${call.name} is not valid: ${explain(output.error)}.`));
        return;
      }
      case 'failure': {
        const call = pending.get(frame.id);
        pending.delete(frame.id);
        call?.reject(new Failure(frame.code, frame.message));
        return;
      }
      case 'event': {
        if (!Object.hasOwn(events, frame.event)) return;
        const name = frame.event as EventName;
        const payload = events[name].parse(frame.payload);
        for (const listener of listeners.get(name) ?? []) listener(payload as never);
        return;
      }
      case 'data':
        open.get(frame.id)?.data(frame.bytes);
        return;
      case 'closed': {
        const stream = open.get(frame.id);
        open.delete(frame.id);
        stream?.closed?.(frame.reason ?? 'The stream is closed.');
      }
    }
  };
  transport.onFrame(receive);
  transport.onClose((reason) => end(reason, true));

  return {
    call(name, ...[input]) {
      return new Promise((resolve, reject) => {
        if (lost !== null) return reject(new Failure('failed', lost));
        const checked = calls[name].input.safeParse(input ?? {});
        if (!checked.success) return reject(new Failure('wrong', `${explain(checked.error)}.`));
        const id = nextId++;
        pending.set(id, { name, resolve, reject });
        transport.send({ type: 'call', id, name, input: input ?? {} });
      });
    },
    on(name, listener) {
      let set = listeners.get(name);
      if (!set) {
        listeners.set(name, (set = new Set()));
        if (lost === null) transport.send({ type: 'subscribe', event: name });
      }
      set.add(listener as (payload: never) => void);
      return () => {
        set.delete(listener as (payload: never) => void);
        if (set.size > 0 || listeners.get(name) !== set) return;
        listeners.delete(name);
        if (lost === null) transport.send({ type: 'unsubscribe', event: name });
      };
    },
    open(name, input, streamEvents) {
      const id = nextId++;
      if (lost !== null) {
        streamEvents.closed?.(lost);
        return { write() {}, close() {} };
      }
      open.set(id, streamEvents);
      transport.send({ type: 'open', id, stream: name, input });
      return {
        write(data) {
          if (!open.has(id)) return;
          for (let offset = 0; offset < data.length; offset += DATA_FRAME_MAX)
            transport.send({ type: 'data', id, bytes: data.slice(offset, offset + DATA_FRAME_MAX) });
        },
        close() {
          if (open.delete(id)) transport.send({ type: 'close', id });
        },
      };
    },
    onClose(listener) {
      closeListeners.push(listener);
    },
    close() {
      end('The connection was closed.', false);
      transport.close();
    },
  };
}
