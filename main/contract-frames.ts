// What crosses a transport of the contract: frames both ways, failures, and the sentence for a value that is not valid.
// Owns their schemas and how they are written as text and as bytes.
// Never knows a call; never imports node:, electron or the core, so a browser bundles it as it is.

import { z } from 'zod';

/**
 * `wrong`: the request itself is at fault (exit 2 on the command line); `failed`: the act was (exit 1). `locked`: the guest
 * holds on to what is in a drive; the same with `force` works.
 */
export const FailureCode = z.enum(['wrong', 'notFound', 'conflict', 'locked', 'failed']);
export type FailureCode = z.output<typeof FailureCode>;

/** A call that did not work, with one sentence for a person. */
export class Failure extends Error {
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Failure';
    this.code = code;
  }
}

/** The most bytes one data frame carries; a client that sends more is cut off. */
export const DATA_FRAME_MAX = 1 << 20;
const bytes = z
  .custom<Uint8Array>((value) => value instanceof Uint8Array, 'needs bytes')
  .refine((data) => data.length <= DATA_FRAME_MAX, 'too many bytes in one frame');
const frameId = z.int().nonnegative();

export const ClientFrame = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('call'), id: frameId, name: z.string(), input: z.unknown() }),
  z.strictObject({ type: z.literal('subscribe'), event: z.string() }),
  z.strictObject({ type: z.literal('unsubscribe'), event: z.string() }),
  z.strictObject({ type: z.literal('open'), id: frameId, stream: z.string(), input: z.unknown() }),
  z.strictObject({ type: z.literal('data'), id: frameId, bytes }),
  z.strictObject({ type: z.literal('close'), id: frameId }),
]);
export type ClientFrame = z.output<typeof ClientFrame>;

export const ServerFrame = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('result'), id: frameId, output: z.unknown() }),
  z.strictObject({ type: z.literal('failure'), id: frameId, code: FailureCode, message: z.string() }),
  z.strictObject({ type: z.literal('event'), event: z.string(), payload: z.unknown() }),
  z.strictObject({ type: z.literal('data'), id: frameId, bytes }),
  /** The stream is over; a reason only where it was not the client that closed it. */
  z.strictObject({ type: z.literal('closed'), id: frameId, reason: z.string().nullable() }),
]);
export type ServerFrame = z.output<typeof ServerFrame>;

/** A frame as one line of JSON, for transports that carry text; bytes travel as base64. */
export function encodeFrame(frame: ClientFrame | ServerFrame): string {
  if (frame.type !== 'data') return JSON.stringify(frame);
  let binary = '';
  for (const byte of frame.bytes) binary += String.fromCharCode(byte);
  return JSON.stringify({ ...frame, bytes: btoa(binary) });
}

/** The same for transports that carry binary messages too: there bytes travel as they are, behind the stream's number. */
export function encodeMessage(frame: ClientFrame | ServerFrame): string | Uint8Array<ArrayBuffer> {
  if (frame.type !== 'data') return encodeFrame(frame);
  const message = new Uint8Array(4 + frame.bytes.length);
  new DataView(message.buffer).setUint32(0, frame.id, true);
  message.set(frame.bytes, 4);
  return message;
}

/** The inverse of {@link encodeMessage}, unchecked like {@link decodeFrame}. */
export function decodeMessage(message: string | Uint8Array): unknown {
  if (typeof message === 'string') return decodeFrame(message);
  if (message.length < 4) return undefined;
  const id = new DataView(message.buffer, message.byteOffset, message.byteLength).getUint32(0, true);
  return { type: 'data', id, bytes: message.subarray(4) };
}

/** The inverse of {@link encodeFrame}, unchecked: parse the result with {@link ClientFrame} or {@link ServerFrame}. */
export function decodeFrame(text: string): unknown {
  const frame: unknown = JSON.parse(text);
  if (typeof frame === 'object' && frame !== null && 'bytes' in frame && typeof frame.bytes === 'string') {
    const binary = atob(frame.bytes);
    return { ...frame, bytes: Uint8Array.from(binary, (character) => character.charCodeAt(0)) };
  }
  return frame;
}

/** The first thing wrong with a value, as one clause: `memoryMiB must be at least 1 MiB`. */
export function explain(error: z.ZodError): string {
  const issue = error.issues[0];
  if (!issue) return 'is not valid';
  const where = issue.path.map(String).filter((part) => part !== 'settings');
  return where.length > 0 ? `${where.join('.')} ${lowerFirst(issue.message)}` : lowerFirst(issue.message);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
