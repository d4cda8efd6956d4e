// The form of netlink's messages (netlink(7)): headers, attributes, and the answers that all families give.
// Owns their layout.
// Never knows what a message is about.

import { errno } from '../../errno.ts';

export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
const NLM_F_MULTI = 2;
export const HEADER_BYTES = 16;
const TYPE_ERROR = 2;
const TYPE_DONE = 3;
const NLM_F_CAPPED = 0x100;

export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The header as it came. */
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

const aligned = (length: number): number => (length + 3) & ~3;
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The requests of one message. What is damaged ends the list. */
export function* requestsIn(data: Uint8Array): Generator<Request> {
  const view = viewOf(data);
  for (let at = 0; at + HEADER_BYTES <= data.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > data.length) return;
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      header: data.subarray(at, at + HEADER_BYTES),
      body: data.subarray(at + HEADER_BYTES, at + length),
    };
    at += aligned(length);
  }
}

/** Attributes behind the first `skip` bytes of a body. Throws EINVAL. */
export function attributesIn(body: Uint8Array, skip: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  if (body.length < skip) throw errno('EINVAL');
  const view = viewOf(body);
  for (let at = aligned(skip); at + 4 <= body.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > body.length) throw errno('EINVAL');
    found.set(view.getUint16(at + 2, true) & 0x3fff, body.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return found;
}

export const u8 = (value: number): Uint8Array => Uint8Array.of(value);
export const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value >>> 0).buffer);
export const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);

/** A message's fixed part and its attributes. */
export function body(
  fixed: Uint8Array,
  attributes: readonly (readonly [type: number, value: Uint8Array])[],
): Uint8Array {
  let length = aligned(fixed.length);
  for (const [, value] of attributes) length += aligned(4 + value.length);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  bytes.set(fixed);
  let at = aligned(fixed.length);
  for (const [type, value] of attributes) {
    view.setUint16(at, 4 + value.length, true);
    view.setUint16(at + 2, type, true);
    bytes.set(value, at + 4);
    at += aligned(4 + value.length);
  }
  return bytes;
}

function message(type: number, flags: number, { sequence }: Request, port: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(aligned(HEADER_BYTES + content.length));
  const view = viewOf(bytes);
  view.setUint32(0, HEADER_BYTES + content.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  view.setUint32(12, port, true);
  bytes.set(content, HEADER_BYTES);
  return bytes;
}

export const single = (type: number, request: Request, port: number, content: Uint8Array): Uint8Array =>
  message(type, 0, request, port, content);

export const oneOfMany = (type: number, request: Request, port: number, content: Uint8Array): Uint8Array =>
  message(type, NLM_F_MULTI, request, port, content);

export const done = (request: Request, port: number): Uint8Array =>
  message(TYPE_DONE, NLM_F_MULTI, request, port, u32(0));

/** NLMSG_ERROR; number 0 acknowledges. */
export function errorMessage(request: Request, port: number, number: number): Uint8Array {
  const content = new Uint8Array(4 + (number === 0 ? HEADER_BYTES : HEADER_BYTES + request.body.length));
  viewOf(content).setInt32(0, -number, true);
  content.set(request.header, 4);
  if (number !== 0) content.set(request.body, 4 + HEADER_BYTES);
  return message(TYPE_ERROR, number === 0 ? NLM_F_CAPPED : 0, request, port, content);
}
