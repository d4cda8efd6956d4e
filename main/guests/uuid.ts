// The UUID that firmware tells a guest: the identity it has in the inventory, or for this run.
// Owns the way from text to bytes.
// Never makes one.

/** The 16 bytes of a UUID in the order they are written in. Throws where the text is none. */
export function uuidBytes(text: string): Uint8Array {
  const digits = text.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw new Error(`${text} is no UUID.`);
  return Uint8Array.from({ length: 16 }, (_, index) => Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16));
}
