// A growable byte buffer with WebAssembly's number encodings.
// Owns LEB128 and little-endian floats (WebAssembly Core Specification, section 5.2.2).
// Never knows what the bytes mean.

/** Appends bytes; grows by doubling. */
export class ByteWriter {
  private buffer: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(capacity = 256) {
    this.buffer = new Uint8Array(capacity);
  }

  /** Empties the writer and keeps its room, for a next use by the same owner. */
  clear(): this {
    this.length = 0;
    return this;
  }

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + count));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }

  byte(value: number): void {
    if (this.length === this.buffer.length) this.reserve(1);
    this.buffer[this.length++] = value;
  }

  /** Exchanges a byte that has been written. */
  replace(at: number, value: number): void {
    this.buffer[at] = value;
  }

  /** Unsigned LEB128 of an integer from 0 to 2^32 - 1. */
  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 32-bit integer. */
  signed32(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit integer, given in any representation modulo 2^64. */
  signed64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    if (rest >= -0x80000000n && rest <= 0x7fffffffn) {
      this.signed32(Number(rest));
      return;
    }
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  float64(value: number): void {
    const scratch = new Uint8Array(new Float64Array([value]).buffer);
    this.bytes(scratch);
  }

  float32(value: number): void {
    const scratch = new Uint8Array(new Float32Array([value]).buffer);
    this.bytes(scratch);
  }

  bytes(source: Uint8Array): void {
    this.reserve(source.length);
    this.buffer.set(source, this.length);
    this.length += source.length;
  }

  /** Bytes `from` to `to` of another writer. */
  appendPart(other: ByteWriter, from: number, to: number): void {
    this.bytes(other.buffer.subarray(from, to));
  }

  append(other: ByteWriter): void {
    this.bytes(other.view());
  }

  /** A name: its UTF-8 length, then the bytes. Names here are ASCII. */
  name(text: string): void {
    this.unsigned(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i) & 0x7f);
  }

  /** The bytes written so far, without a copy: valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.buffer.subarray(0, this.length);
  }
}
