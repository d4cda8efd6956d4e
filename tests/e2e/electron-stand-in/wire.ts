// How values travel between the stand-in and its pages: what structured cloning takes, as JSON with tagged bytes.
// Owns the encoding for both sides; the page gets the same functions as source text.
// Never carries a function or a class instance.

/** Encodes for the way through a page binding. Throws where structured cloning would. */
export function encode(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    let binary = '';
    for (const byte of value) binary += String.fromCharCode(byte);
    return { $bytes: btoa(binary) };
  }
  if (Array.isArray(value)) return value.map(encode);
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw new DOMException('An object could not be cloned.', 'DataCloneError');
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, encode(member)]));
  }
  return value;
}

/** The inverse of {@link encode}. */
export function decode(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value === 'object' && value !== null) {
    if ('$bytes' in value) return Uint8Array.from(atob(value.$bytes as string), (character) => character.charCodeAt(0));
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, decode(member)]));
  }
  return value;
}
