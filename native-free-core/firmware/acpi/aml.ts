// Writes ACPI Machine Language: small functions that each give the bytes of one term and compose.
// Owns the encoding (ACPI 6.4, chapter 20): names, integers, package lengths, opcodes.
// Never knows a machine: what is described is the caller's business.

/** The bytes of one term or of several in a row. */
export type Aml = Uint8Array;

/** Puts terms one after the other. */
export function concat(...parts: readonly (Aml | readonly number[])[]): Aml {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

const ascii = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Little-endian bytes of an unsigned value. */
export function littleEndian(value: number | bigint, size: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (let i = 0; i < size; i++) {
    bytes.push(Number(rest & 0xffn));
    rest >>= 8n;
  }
  return bytes;
}

/**
 * PkgLength (20.2.4) for `length` bytes that follow it; the length counts its own one to four bytes. Throws a
 * RangeError for more than 28 bits hold.
 */
export function packageLength(length: number): number[] {
  if (length + 1 < 0x40) return [length + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const total = length + 1 + extra;
    if (total < 2 ** (4 + 8 * extra)) return [(extra << 6) | (total & 0x0f), ...littleEndian(total >>> 4, extra)];
  }
  throw new RangeError(`an AML package of ${length} bytes is too long`);
}

function packaged(opcode: readonly number[], ...parts: readonly (Aml | readonly number[])[]): Aml {
  const body = concat(...parts);
  return concat(opcode, packageLength(body.length), body);
}

function segment(name: string): Aml {
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(name)) throw new RangeError(`'${name}' is not an ACPI name`);
  return ascii(name.padEnd(4, '_'));
}

/** A name path such as `\_SB.PCI0`, `^PRQA` or `_CRS` (20.2.2). */
export function path(name: string): Aml {
  const [, prefix, rest] = /^(\\|\^*)(.*)$/.exec(name)!;
  if (rest === '') return concat(ascii(prefix), [0]);
  const segments = rest.split('.').map(segment);
  const count = segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  return concat(ascii(prefix), count, ...segments);
}

/** An integer constant in its shortest encoding. */
export function integer(value: number | bigint): Aml {
  const big = BigInt(value);
  if (big < 0n || big >= 1n << 64n) throw new RangeError(`${value} is not an AML integer`);
  if (big <= 1n) return Uint8Array.of(Number(big));
  if (big < 0x100n) return concat([0x0a], littleEndian(big, 1));
  if (big < 0x10000n) return concat([0x0b], littleEndian(big, 2));
  if (big < 0x100000000n) return concat([0x0c], littleEndian(big, 4));
  return concat([0x0e], littleEndian(big, 8));
}

/** A string constant of ASCII characters. */
export function string(text: string): Aml {
  return concat([0x0d], ascii(text), [0]);
}

/** The compressed id of an EISA device, such as `PNP0A03` (19.3.4). */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`'${id}' is not an EISA id`);
  const letters = [...id.slice(0, 3)].reduce((sum, letter) => (sum << 5) | (letter.charCodeAt(0) - 0x40), 0);
  const product = Number.parseInt(id.slice(3), 16);
  return concat([0x0c], [letters >> 8, letters & 0xff, product >> 8, product & 0xff]);
}

/** A buffer of constant bytes. */
export function buffer(bytes: Aml | readonly number[]): Aml {
  return packaged([0x11], integer(bytes.length), bytes);
}

/** A package of data terms. */
export function pack(...elements: readonly Aml[]): Aml {
  if (elements.length > 255) throw new RangeError('an AML package holds at most 255 elements');
  return packaged([0x12], [elements.length], ...elements);
}

/** `Name (name, value)`. */
export function name(what: string, value: Aml): Aml {
  return concat([0x08], path(what), value);
}

/** `Scope (name) { ... }`. */
export function scope(what: string, ...terms: readonly Aml[]): Aml {
  return packaged([0x10], path(what), ...terms);
}

/** `Device (name) { ... }`. */
export function device(what: string, ...terms: readonly Aml[]): Aml {
  return packaged([0x5b, 0x82], path(what), ...terms);
}

/** `Method (name, count, serialized) { ... }`. A method that creates names must be serialized. */
export function method(
  what: string,
  options: { parameters?: number; serialized?: boolean },
  ...terms: readonly Aml[]
): Aml {
  const flags = (options.parameters ?? 0) | (options.serialized ? 8 : 0);
  return packaged([0x14], path(what), [flags], ...terms);
}

/** Address spaces of operation regions. */
export const RegionSpace = { memory: 0, io: 1, pciConfig: 2 } as const;

/** `OperationRegion (name, space, offset, length)`. */
export function region(what: string, space: number, offset: number, length: number): Aml {
  return concat([0x5b, 0x80], path(what), [space], integer(offset), integer(length));
}

/** `Field (region, access, NoLock, Preserve) { name, bits, ... }`; `access` is the width: 1, 2 or 4 bytes. */
export function field(what: string, access: 1 | 2 | 4, units: Readonly<Record<string, number>>): Aml {
  const flags = access === 1 ? 1 : access === 2 ? 2 : 3;
  // A field unit's length is encoded as a package length, but does not count itself.
  const length = (bits: number) => (bits < 0x40 ? [bits] : [0x40 | (bits & 0x0f), bits >> 4]);
  const list = Object.entries(units).map(([unit, bits]) => concat(segment(unit), length(bits)));
  return packaged([0x5b, 0x81], path(what), [flags], ...list);
}

/** `CreateDWordField (source, byte index, name)`. */
export function dwordField(source: Aml, index: number, what: string): Aml {
  return concat([0x8a], source, integer(index), path(what));
}

/** `Notify (object, value)`. */
export function notify(what: string, value: number): Aml {
  return concat([0x86], path(what), integer(value));
}

/** `Return (value)`. */
export function giveBack(value: Aml): Aml {
  return concat([0xa4], value);
}

/** `Store (value, target)`. */
export function store(value: Aml, target: Aml): Aml {
  return concat([0x70], value, target);
}

/** Discards the result of an operator that can also store it. */
export const nowhere: Aml = Uint8Array.of(0);

/** `And (a, b, target)`. */
export function and(a: Aml, b: Aml, target: Aml = nowhere): Aml {
  return concat([0x7b], a, b, target);
}

/** `Or (a, b, target)`. */
export function or(a: Aml, b: Aml, target: Aml = nowhere): Aml {
  return concat([0x7d], a, b, target);
}

/** `If (condition) { ... }`. */
export function when(condition: Aml, ...terms: readonly Aml[]): Aml {
  return packaged([0xa0], condition, ...terms);
}

/** `Else { ... }`, right after {@link when}. */
export function otherwise(...terms: readonly Aml[]): Aml {
  return packaged([0xa1], ...terms);
}

/** `Arg0` to `Arg6`. */
export function argument(index: number): Aml {
  return Uint8Array.of(0x68 + index);
}
