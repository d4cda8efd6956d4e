// Blocks of a pcapng file: a recording of frames that Wireshark and tshark read.
// Owns their layout (IETF draft-ietf-opsawg-pcapng; the file has one section and one interface).
// Never writes a file and never looks at a clock.

const Block = { section: 0x0a0d0d0a, interface: 1, statistics: 5, packet: 6 } as const;
const Option = { end: 0, name: 2, resolution: 9, flags: 2, received: 4, dropped: 5 } as const;
const ETHERNET = 1;
const NANOSECONDS = 9;
export type Direction = 'in' | 'out';
const DIRECTIONS: Readonly<Record<Direction, number>> = { in: 1, out: 2 };

/** An option with its padding. */
function option(code: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + ((value.length + 3) & ~3));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  bytes.set(value, 4);
  return bytes;
}

function integer(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function block(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = 12 + parts.reduce((sum, part) => sum + ((part.length + 3) & ~3), 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  let at = 8;
  for (const part of parts) {
    bytes.set(part, at);
    at += (part.length + 3) & ~3;
  }
  view.setUint32(at, length, true);
  return bytes;
}

function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setUint32(4 * index, value, true);
  });
  return bytes;
}

const end = option(Option.end, new Uint8Array(0));

/** Two halves of a time, the high one first. */
function timeWords(nanoseconds: bigint): [number, number] {
  return [Number(nanoseconds >> 32n), Number(nanoseconds & 0xffffffffn)];
}

/** How a file begins: its section and its one interface, called `name`. */
export function captureHeader(name: string): Uint8Array {
  // Byte order, version 1.0, and a length of the section that is not known yet.
  const section = block(Block.section, words(0x1a2b3c4d, 1, 0xffffffff, 0xffffffff));
  const text = new TextEncoder().encode(name);
  const description = block(
    Block.interface,
    words(ETHERNET, 0),
    option(Option.name, text),
    option(Option.resolution, Uint8Array.of(NANOSECONDS)),
    end,
  );
  const bytes = new Uint8Array(section.length + description.length);
  bytes.set(section);
  bytes.set(description, section.length);
  return bytes;
}

/** A frame, at a time in nanoseconds since the Unix epoch; `in` is what came to the interface, null where it passed by. */
export function capturedFrame(frame: Uint8Array, direction: Direction | null, at: bigint): Uint8Array {
  const [high, low] = timeWords(at);
  return block(
    Block.packet,
    words(0, high, low, frame.length, frame.length),
    frame,
    option(Option.flags, words(direction === null ? 0 : DIRECTIONS[direction])),
    end,
  );
}

/** How a file ends: how many frames there were, and how many of them are missing in it. */
export function captureEnd(frames: number, missing: number, at: bigint): Uint8Array {
  const [high, low] = timeWords(at);
  return block(
    Block.statistics,
    words(0, high, low),
    option(Option.received, integer(BigInt(frames))),
    option(Option.dropped, integer(BigInt(missing))),
    end,
  );
}
