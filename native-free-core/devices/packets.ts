// What a network card is plugged into: frames out, frames in, whether the link is up.
// Owns the interface between cards and networks, and the few facts of Ethernet that all cards share.
// Never knows what is at the other end.

/**
 * A card's side of a cable. Frames are Ethernet frames from the destination address on, without preamble and frame check
 * sequence. Both directions are bounded: what does not fit waits at the sender.
 */
export interface PacketPort {
  /** Whether the cable is plugged in and something is at its other end. */
  readonly isUp: boolean;
  /** Takes a copy of a frame; false when there is no room now. The card tries again when it is polled. */
  send(frame: Uint8Array): boolean;
  /** The frame that has waited longest, or undefined. The bytes are valid until {@link advance}. */
  next(): Uint8Array | undefined;
  /** Takes away what {@link next} gave. */
  advance(): void;
  /**
   * The same as {@link send} for a frame that whoever is at the other end may take unfinished, with the header that tells of it
   * (`devices/offload.ts`), which fits it. A port without this wants finished frames.
   */
  sendUnfinished?(frame: Uint8Array, header: Uint8Array): boolean;
  /** Tells what the card takes unfinished, bits of `Unfinished`; nothing at first. */
  take?(kinds: number): void;
  /** What was sent until now reaches the other end without anything more being sent. To be called often. */
  flush?(): void;
  /** The header of the frame that {@link next} gave, if it is unfinished. */
  readonly header?: Uint8Array | undefined;
}

/** A card as its machine drives it. */
export interface NetworkCard {
  /**
   * There may be frames to take, room to send again, or another state of the link. Called between the guest's
   * instructions, often.
   */
  poll(): void;
}

/** Bytes of a frame's two addresses and type. */
export const HEADER_BYTES = 14;
/** The shortest frame, without its check sequence (IEEE 802.3, 3.2.7): shorter ones are padded. */
export const FRAME_MIN = 60;
/** The longest frame with the usual MTU, without tag and check sequence. */
export const FRAME_MAX = 1514;
/** The longest frame that any card here sends or takes: jumbo frames of the largest chips. */
export const JUMBO_MAX = 16_128;
export const CRC_BYTES = 4;

/** A cable that nobody plugged in. */
export const unpluggedPort: PacketPort = {
  isUp: false,
  // Frames on an open cable are gone, as on a real one; they do not wait for ever.
  send: () => true,
  next: () => undefined,
  advance: () => {},
};

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

function crcRegister(bytes: Uint8Array, length: number): number {
  let crc = 0xffffffff;
  for (let i = 0; i < length; i++) crc = crcTable[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return crc;
}

/** The frame check sequence of the first `length` bytes; its low byte goes out first (IEEE 802.3, 3.2.9). */
export function frameCheck(bytes: Uint8Array, length: number): number {
  return ~crcRegister(bytes, length) >>> 0;
}

/** Bit of a 64-bit multicast filter that an address selects: the upper six bits of its CRC, as many chips take them. */
export function multicastBit(frame: Uint8Array): number {
  const crc = crcRegister(frame, 6);
  let bit = 0;
  for (let i = 0; i < 6; i++) bit |= ((crc >>> i) & 1) << (5 - i);
  return bit;
}

export function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== 0xff) return false;
  return true;
}

/** Whether the destination is a group, broadcast included. */
export function isMulticast(frame: Uint8Array): boolean {
  return (frame[0] & 1) !== 0;
}

/** Whether the destination of a frame is `address`. */
export function isFor(frame: Uint8Array, address: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== address[i]) return false;
  return true;
}

/** Adds 16-bit words, high byte first, of `bytes` from `from` to `to` to a sum of the Internet checksum (RFC 1071). */
export function addWords(sum: number, bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  for (; at + 1 < to; at += 2) sum += (bytes[at] << 8) | bytes[at + 1];
  if (at < to) sum += bytes[at] << 8;
  return sum;
}

/** A sum of {@link addWords} as 16 bits, not complemented. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}
