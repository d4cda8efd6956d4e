// Frames that a driver left unfinished: checksums to be put in, and messages to be cut into segments.
// Owns the header that tells of it (VIRTIO 1.2, 5.1.6), the checks of every offset in it, and the finishing.
// Never reads a queue; whoever is at the other end may take a frame as it is.

import { addWords, fold, HEADER_BYTES } from './packets.ts';

/** A header that does not fit its frame: one sentence. */
export class OffloadError extends Error {}

/** The header before each frame. */
export const NET_HEADER_BYTES = 12;
export const NetFlag = { needsChecksum: 1, isValid: 2 } as const;
export const Gso = { none: 0, tcp4: 1, udp: 3, tcp6: 4, ecn: 0x80 } as const;

/** The longest message that a driver may leave uncut: IP cannot tell more. */
export const MESSAGE_MAX = 0x10000 + HEADER_BYTES + 4;

const ETHERTYPE_AT = 12;
const VLAN_BYTES = 4;
const VLAN_TYPES: readonly number[] = [0x8100, 0x88a8];
const IPV6_HEADER_BYTES = 40;
const TCP_PROTOCOL = 6;
const TCP_FIN_PSH = 0x09;
const TCP_CWR = 0x80;
const TCP_HEADER_LEAST = 20;

const word = (bytes: Uint8Array, at: number) => (bytes[at] << 8) | bytes[at + 1];

function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

/** Kinds of unfinished frames that a receiver may take: bits. */
export const Unfinished = { checksum: 1, tcp4: 2, tcp6: 4 } as const;

/** The kinds that a receiver must take to be given the frame as it is; 0: it is finished. */
export function unfinishedKinds({ flags, gso }: FrameHeader): number {
  const checksum = (flags & NetFlag.needsChecksum) !== 0 ? Unfinished.checksum : 0;
  return checksum | (gso === Gso.tcp4 ? Unfinished.tcp4 : gso === Gso.tcp6 ? Unfinished.tcp6 : 0);
}

/** Throws an {@link OffloadError} where a frame could not be finished as its header says. */
export function checkOffload(frame: Uint8Array, header: FrameHeader): void {
  if (header.gso !== Gso.none) segments(frame, header);
  else if ((header.flags & NetFlag.needsChecksum) !== 0) checksumPlace(frame, header);
}

/**
 * Finishes a frame: gives it, or the frames it is cut into, to `send`, which must copy what it is given. The frame itself may
 * be changed. Throws like {@link checkOffload}.
 */
export function finish(frame: Uint8Array, header: FrameHeader, send: (frame: Uint8Array) => void): void {
  if (header.gso !== Gso.none) {
    cutMessage(frame, header, send);
    return;
  }
  if ((header.flags & NetFlag.needsChecksum) !== 0) finishChecksum(frame, header);
  send(frame);
}

/** What the header before a frame says. */
export interface FrameHeader {
  flags: number;
  gso: number;
  segment: number;
  checksumStart: number;
  checksumOffset: number;
}

export function frameHeader(bytes: Uint8Array): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, NET_HEADER_BYTES);
  return {
    flags: view.getUint8(0),
    gso: view.getUint8(1) & ~Gso.ecn,
    segment: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  };
}

/** Puts in the checksum of everything from its start on; what the field holds is part of the sum. */
export function finishChecksum(frame: Uint8Array, header: FrameHeader): void {
  const { checksumStart } = header;
  const at = checksumPlace(frame, header);
  const sum = ~fold(addWords(0, frame, checksumStart, frame.length)) & 0xffff;
  // Zero would say that there is none, where the protocol allows that.
  setWord(frame, at, sum === 0 ? 0xffff : sum);
}

function checksumPlace(frame: Uint8Array, { checksumStart, checksumOffset }: FrameHeader): number {
  const at = checksumStart + checksumOffset;
  if (at + 2 > frame.length) throw new OffloadError(`A checksum belongs at ${at} of a frame of ${frame.length} bytes.`);
  return at;
}

/** Where the headers of a TCP message begin, and its data. */
function segments(message: Uint8Array, { gso, segment }: FrameHeader): { ip: number; tcp: number; data: number } {
  const ip = headerBehind(message);
  const isIpv4 = gso === Gso.tcp4;
  const tcp = ip + (isIpv4 ? 4 * (message[ip] & 0x0f) : IPV6_HEADER_BYTES);
  const data = tcp + 4 * ((message[tcp + 12] ?? 0) >> 4);
  const protocol = message[ip + (isIpv4 ? 9 : 6)];
  if (segment === 0 || data - tcp < TCP_HEADER_LEAST || data > message.length || protocol !== TCP_PROTOCOL)
    throw new OffloadError('A message to be cut is not TCP, or its segments have no length.');
  return { ip, tcp, data };
}

/** Cuts a TCP message into frames of its network's size, each finished. `send` must copy what it is given. */
export function cutMessage(message: Uint8Array, header: FrameHeader, send: (frame: Uint8Array) => void): void {
  const { gso, segment } = header;
  const { ip, tcp, data } = segments(message, header);
  const isIpv4 = gso === Gso.tcp4;
  const sequence = ((word(message, tcp + 4) << 16) | word(message, tcp + 6)) >>> 0;
  const flags = message[tcp + 13];
  const frame = new Uint8Array(data + segment);
  for (let from = data, index = 0; index === 0 || from < message.length; from += segment, index++) {
    const payload = Math.min(segment, message.length - from);
    const end = data + payload;
    const isLast = from + payload === message.length;
    frame.set(message.subarray(0, data));
    frame.set(message.subarray(from, from + payload), data);
    if (isIpv4) {
      setWord(frame, ip + 2, end - ip);
      setWord(frame, ip + 4, (word(message, ip + 4) + index) & 0xffff);
      setWord(frame, ip + 10, 0);
      setWord(frame, ip + 10, ~fold(addWords(0, frame, ip, tcp)) & 0xffff);
    } else setWord(frame, ip + 4, end - ip - IPV6_HEADER_BYTES);
    const number = (sequence + (from - data)) >>> 0;
    setWord(frame, tcp + 4, number >>> 16);
    setWord(frame, tcp + 6, number & 0xffff);
    frame[tcp + 13] = flags & ~(isLast ? 0 : TCP_FIN_PSH) & ~(index === 0 ? 0 : TCP_CWR);
    setWord(frame, tcp + 16, 0);
    const addresses = isIpv4 ? addWords(0, frame, ip + 12, ip + 20) : addWords(0, frame, ip + 8, ip + 40);
    const pseudo = addresses + TCP_PROTOCOL + (end - tcp);
    setWord(frame, tcp + 16, ~fold(addWords(pseudo, frame, tcp, end)) & 0xffff);
    send(frame.subarray(0, end));
  }
}

/** Where the network's header begins, behind tags. */
function headerBehind(frame: Uint8Array): number {
  let at = ETHERTYPE_AT;
  while (VLAN_TYPES.includes(word(frame, at)) && at + VLAN_BYTES < frame.length) at += VLAN_BYTES;
  return at + 2;
}
