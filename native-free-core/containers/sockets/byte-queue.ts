// Bytes in order on their way to a reader.
// Owns the pieces as they were written; nothing is copied but small ones, and what a reader takes from several.
// Never bounds itself: who writes does.

/** Pieces are put together up to so many bytes. */
const JOINED_MAX = 1024;

export class ByteQueue {
  private readonly pieces: Uint8Array[] = [];
  /** Pieces before this one have been read. */
  private first = 0;
  length = 0;

  /** Takes bytes that nobody changes any more. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.length += bytes.length;
    const last = this.pieces.length - 1;
    const joined = last >= this.first ? this.pieces[last].length + bytes.length : Infinity;
    // Many small pieces would take far more memory than their bytes.
    if (joined > JOINED_MAX) this.pieces.push(bytes);
    else {
      const whole = new Uint8Array(joined);
      whole.set(this.pieces[last]);
      whole.set(bytes, joined - bytes.length);
      this.pieces[last] = whole;
    }
  }

  /** The first bytes, at most `length`. */
  peek(length: number): Uint8Array {
    const head = this.pieces[this.first];
    if (!head || head.length >= length || this.first + 1 === this.pieces.length)
      return head ? head.subarray(0, length) : new Uint8Array(0);
    const result = new Uint8Array(Math.min(length, this.length));
    let done = 0;
    for (let at = this.first; done < result.length; at++) {
      const part = this.pieces[at].subarray(0, result.length - done);
      result.set(part, done);
      done += part.length;
    }
    return result;
  }

  /** Takes the first bytes away, at most `length`. */
  take(length: number): Uint8Array {
    const bytes = this.peek(length);
    this.drop(bytes.length);
    return bytes;
  }

  private drop(count: number): void {
    this.length -= count;
    let left = count;
    while (left > 0) {
      const head = this.pieces[this.first];
      if (head.length > left) {
        this.pieces[this.first] = head.subarray(left);
        break;
      }
      left -= head.length;
      this.first++;
    }
    if (this.length === 0 || this.first > 64) {
      this.pieces.splice(0, this.first);
      this.first = 0;
    }
  }

  clear(): void {
    this.pieces.length = 0;
    this.first = 0;
    this.length = 0;
  }
}
