// Machine code for real mode with labels: boot sectors and DOS programs of these tests.
// Owns the resolution of labels.
// Never knows an instruction: those are given as bytes (Intel SDM, volume 2).

/** Bytes, the place a label names, or a reference to one. */
export type Piece =
  | number
  | string
  | readonly Piece[]
  | { label: string }
  /** The label's address: origin + offset, 16 bits. */
  | { address: string }
  /** Distance from behind the reference: 8 or 16 bits. */
  | { near: string }
  | { far: string };

const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];

/** A 16-bit number as bytes. */
export const imm16 = word;

type Single = Exclude<Piece, readonly Piece[]>;

const flatten = (pieces: readonly Piece[]): Single[] =>
  pieces.flatMap((piece) => (Array.isArray(piece) ? flatten(piece) : [piece as Single]));

/** The bytes of the pieces in order; text stands for its ASCII codes. Throws for a label that is missing or too far. */
export function assemble(origin: number, ...pieces: readonly Piece[]): Uint8Array {
  const flat = flatten(pieces);
  const labels = new Map<string, number>();
  let at = 0;
  for (const piece of flat) {
    if (typeof piece === 'number') at += 1;
    else if (typeof piece === 'string') at += piece.length;
    else if ('label' in piece) labels.set(piece.label, at);
    else at += 'near' in piece ? 1 : 2;
  }
  const place = (name: string): number => {
    const offset = labels.get(name);
    if (offset === undefined) throw new Error(`There is no label ${name}.`);
    return offset;
  };
  const bytes: number[] = [];
  for (const piece of flat) {
    if (typeof piece === 'number') bytes.push(piece);
    else if (typeof piece === 'string') bytes.push(...[...piece].map((character) => character.charCodeAt(0)));
    else if ('address' in piece) bytes.push(...word(origin + place(piece.address)));
    else if ('far' in piece) bytes.push(...word(place(piece.far) - bytes.length - 2));
    else if ('near' in piece) {
      const distance = place(piece.near) - bytes.length - 1;
      if (distance < -128 || distance > 127) throw new Error(`${piece.near} is ${distance} bytes away.`);
      bytes.push(distance & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}
