// Copies between shared memory and elsewhere that keep their speed wherever they begin.
// Owns the reason: a copy to or from shared memory goes word by word only where both ends are aligned alike, else byte by byte.
// Never checks where it copies to: who calls has done that.

/** Bytes of a word of such a copy. */
const WORD = 8;
/** Shorter ones cost more to arrange than they save. */
const SHORT = 512;
/** Bytes that go through {@link between} at once: within a processor's nearest cache. */
const PIECE = 16 * 1024;

/** Private memory, where alignment costs nothing: this thread's. */
let between: Uint8Array | undefined;

const isShared = (bytes: Uint8Array): boolean => bytes.buffer instanceof SharedArrayBuffer;

/** Copies all of `from` into `to` from byte `at` on, as `to.set(from, at)` would; the two do not overlap. */
export function copyBytes(to: Uint8Array, at: number, from: Uint8Array): void {
  const { length } = from;
  const offset = (to.byteOffset + at) & (WORD - 1);
  const start = from.byteOffset & (WORD - 1);
  if (length < SHORT || offset === start || !(isShared(to) || isShared(from))) {
    to.set(from, at);
    return;
  }
  between ??= new Uint8Array(2 * (PIECE + WORD));
  const first = start;
  const second = PIECE + WORD + offset;
  const takes = isShared(from);
  const gives = isShared(to);
  for (let done = 0; done < length; done += PIECE) {
    const bytes = Math.min(PIECE, length - done);
    let piece = from.subarray(done, done + bytes);
    if (takes) {
      between.set(piece, first);
      piece = between.subarray(first, first + bytes);
    }
    if (gives) {
      between.set(piece, second);
      piece = between.subarray(second, second + bytes);
    }
    to.set(piece, at + done);
  }
}
