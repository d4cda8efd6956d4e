// LZMA and LZMA2 streams: chunks of compressed or plain bytes over one dictionary, decoded in a WebAssembly memory.
// Owns the memory of one decoding, and the checks of what a stream says about itself.
// Never reads a container: xz.ts does, and asks for the filter and the CRC here, where the output is.

import {
  CRC_TABLES,
  Field,
  INITIAL_PROBABILITY,
  INPUT_BASE,
  INPUT_SLACK,
  LITERAL_BITS_MAX,
  LITERAL_BYTES,
  PROBABILITIES_BASE,
  Probability,
} from './lzma-layout.ts';
import { Decoded, LZMA_PAGES_MAX, type LzmaExports, lzmaModule } from './lzma-module.ts';

const WASM_PAGE = 65536;
/** Bytes of output between two looks from outside: V8 puts optimized code in place when a function is called again. */
const STEP = 1 << 16;
/** The most bytes of output that any caller may ask for; with the input they stay below 2 GiB. */
export const OUTPUT_MAX = 2 ** 30;
const INPUT_MAX = 2 ** 30;

/** What is wrong with compressed bytes, in words that follow "the ... is": `damaged: ...`, `cut short`, `too large: ...`. */
export class CompressedDataError extends Error {}

const damaged = (what: string): never => {
  throw new CompressedDataError(`damaged: ${what}`);
};

/** Bytes a person reads. */
const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** The refusal of what would unpack to more than `most` bytes. */
export function tooLarge(most: number): CompressedDataError {
  return new CompressedDataError(`too large: it unpacks to more than ${mebibytes(most)}`);
}

export class LzmaDecoder {
  private readonly exports: LzmaExports;
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly inputEnd: number;
  private readonly outputBase: number;
  private readonly most: number;
  /** Address of the next byte of input. */
  private at = INPUT_BASE;
  /** Address of the next byte of output, and of the first that a distance reaches. */
  private out: number;
  private dictionary: number;

  /** For `input`, whose output is `most` bytes at most: more is refused when it comes. */
  constructor(input: Uint8Array, most: number) {
    if (input.length > INPUT_MAX) throw tooLarge(INPUT_MAX);
    this.most = Math.min(most, OUTPUT_MAX);
    this.inputEnd = INPUT_BASE + input.length;
    this.outputBase = Math.ceil((this.inputEnd + INPUT_SLACK) / 64) * 64;
    // A literal where only the end marker may be is written before it is refused.
    const pages = Math.ceil((this.outputBase + this.most + 1) / WASM_PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: LZMA_PAGES_MAX, shared: true });
    const instance = new WebAssembly.Instance(lzmaModule(), { env: { memory } });
    this.exports = instance.exports as unknown as LzmaExports;
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.bytes.set(input, INPUT_BASE);
    this.out = this.dictionary = this.outputBase;
    crcTables(this.view);
  }

  /** Bytes of input that were used. */
  get used(): number {
    return this.at - INPUT_BASE;
  }

  /** Bytes of output so far. */
  get produced(): number {
    return this.out - this.outputBase;
  }

  /** The output from byte `from` on, a view. */
  output(from = 0): Uint8Array {
    return this.bytes.subarray(this.outputBase + from, this.out);
  }

  /** A range of the input, for a container's headers. Throws where it is not all there. */
  input(offset: number, length: number): Uint8Array {
    if (INPUT_BASE + offset + length > this.inputEnd) throw new CompressedDataError('cut short');
    return this.bytes.subarray(INPUT_BASE + offset, INPUT_BASE + offset + length);
  }

  /** Goes on at a byte of the input. */
  seek(offset: number): void {
    this.at = INPUT_BASE + offset;
  }

  /** CRC-32 of the output from byte `from` on. */
  crc32(from: number): number {
    return this.exports.crc32(this.outputBase + from, this.produced - from, 0) >>> 0;
  }

  /** CRC-32 of a range of the input that is there. */
  inputCrc32(offset: number, length: number): number {
    return this.exports.crc32(INPUT_BASE + offset, length, 0) >>> 0;
  }

  /** Undoes the x86 filter on the output from byte `from` on, all of a stream that begins at `position`. */
  unfilterX86(from: number, position: number): void {
    this.exports.x86(this.outputBase + from, this.produced - from, position);
  }

  /** Decodes one LZMA2 stream from where the input is. */
  lzma2(): void {
    let [mayContinue, hasProperties] = [false, false];
    for (;;) {
      const control = this.byte();
      if (control === 0) return;
      if (control >= 0xe0 || control === 1) {
        mayContinue = true;
        hasProperties = false;
        this.dictionary = this.out;
      } else if (!mayContinue) damaged('it begins without a dictionary');
      if (control < 0x80) {
        if (control > 2) damaged(`it has a chunk of kind ${control}`);
        this.plain(this.bigEndian16() + 1);
        continue;
      }
      const unpacked = ((control & 0x1f) << 16) + this.bigEndian16() + 1;
      const packed = this.bigEndian16() + 1;
      const reset = (control >> 5) & 3;
      if (reset >= 2) {
        this.properties(this.byte());
        hasProperties = true;
      } else if (!hasProperties) damaged('it has a chunk without properties');
      if (reset >= 1) this.resetState();
      this.compressed(packed, unpacked);
    }
  }

  /** Decodes an LZMA stream whose properties byte and size are known (-1: up to its end marker). */
  lzma(properties: number, size: number): void {
    this.dictionary = this.out;
    this.properties(properties);
    this.resetState();
    if (size > this.most - this.produced) throw tooLarge(this.most);
    this.begin(this.inputEnd);
    const end = size < 0 ? this.outputBase + this.most : this.out + size;
    let answer = this.decodeTo(end);
    if (size < 0 && answer === Decoded.more) answer = this.exports.decode(end + 1);
    if (size < 0 && answer === Decoded.truncated) throw new CompressedDataError('cut short');
    if (size < 0 && answer !== Decoded.marker) throw tooLarge(this.most);
    if (answer === Decoded.marker && this.out !== end && size >= 0) damaged('it ends before the size it names');
    this.at = this.view.getUint32(Field.input, true);
  }

  private byte(): number {
    if (this.at >= this.inputEnd) throw new CompressedDataError('cut short');
    return this.bytes[this.at++];
  }

  private bigEndian16(): number {
    return this.byte() * 256 + this.byte();
  }

  private room(bytes: number): void {
    if (this.produced + bytes > this.most) throw tooLarge(this.most);
  }

  private plain(bytes: number): void {
    this.room(bytes);
    if (this.at + bytes > this.inputEnd) throw new CompressedDataError('cut short');
    this.bytes.copyWithin(this.out, this.at, this.at + bytes);
    this.at += bytes;
    this.out += bytes;
  }

  private compressed(packed: number, unpacked: number): void {
    this.room(unpacked);
    const end = this.at + packed;
    if (end > this.inputEnd) throw new CompressedDataError('cut short');
    this.begin(end);
    const { view } = this;
    const target = this.out + unpacked;
    if (this.decodeTo(target) !== Decoded.more) damaged('it has an end marker where none can be');
    // The coder leaves its last shift to whoever looks whether all input was used.
    let [input, code] = [view.getUint32(Field.input, true), view.getUint32(Field.code, true)];
    if (view.getUint32(Field.range, true) < 2 ** 24) code = ((code << 8) | this.bytes[input++]) >>> 0;
    if (input !== end || code !== 0) damaged('a chunk does not end where it says');
    this.at = end;
  }

  /** The range coder begins at the input's next byte: a zero and four bytes of code. */
  private begin(end: number): void {
    const { view } = this;
    if (this.at + 5 > end) throw new CompressedDataError('cut short');
    if (this.byte() !== 0) damaged('a chunk does not begin with a zero');
    view.setUint32(Field.range, 0xffffffff, true);
    view.setUint32(Field.code, view.getUint32(this.at), true);
    view.setUint32(Field.input, this.at + 4, true);
    view.setUint32(Field.inputEnd, end, true);
    view.setUint32(Field.dictionary, this.dictionary, true);
  }

  /** Decodes until the output is at `end`, or an end marker comes. */
  private decodeTo(end: number): number {
    const { view, exports } = this;
    view.setUint32(Field.outputEnd, end, true);
    view.setUint32(Field.output, this.out, true);
    while (this.out < end) {
      const answer = exports.decode(Math.min(end, this.out + STEP));
      this.out = view.getUint32(Field.output, true);
      if (answer === Decoded.corrupt) damaged('a match reaches outside of the data');
      if (answer === Decoded.truncated) throw new CompressedDataError('cut short');
      if (answer === Decoded.marker) return answer;
    }
    return Decoded.more;
  }

  private properties(byte: number): void {
    const positionBits = Math.floor(byte / 45);
    const literalPositionBits = Math.floor(byte / 9) % 5;
    const contextBits = byte % 9;
    if (positionBits > 4 || contextBits + literalPositionBits > LITERAL_BITS_MAX)
      damaged(`its properties (${byte}) are none`);
    this.view.setUint32(Field.literalContextBits, contextBits, true);
    this.view.setUint32(Field.literalPositionMask, (1 << literalPositionBits) - 1, true);
    this.view.setUint32(Field.positionMask, (1 << positionBits) - 1, true);
  }

  private resetState(): void {
    const { view } = this;
    for (const field of [Field.state, Field.rep0, Field.rep1, Field.rep2, Field.rep3]) view.setUint32(field, 0, true);
    const end = Probability.literal + (LITERAL_BYTES << LITERAL_BITS_MAX);
    new Uint16Array(view.buffer, PROBABILITIES_BASE, (end - PROBABILITIES_BASE) / 2).fill(INITIAL_PROBABILITY);
  }
}

/** CRC-32 (ISO 3309, reflected polynomial EDB88320h): for a byte, and for it with one to seven zeros behind it. */
function crcTables(view: DataView): void {
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    view.setUint32(CRC_TABLES + 4 * byte, crc, true);
  }
  const entry = (slice: number, byte: number): number => view.getUint32(CRC_TABLES + slice * 1024 + 4 * byte, true);
  for (let slice = 1; slice < 8; slice++)
    for (let byte = 0; byte < 256; byte++) {
      const crc = entry(slice - 1, byte);
      view.setUint32(CRC_TABLES + slice * 1024 + 4 * byte, (crc >>> 8) ^ entry(0, crc & 0xff), true);
    }
}
