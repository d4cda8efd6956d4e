// The vector files: groups of vectors (one a table row), only differences stored, compressed with brotli.
// Owns the file format: columns of like things (codes, numbers, values, memory) so that they compress well.
// Never reads the disk and never looks into what a vector means.
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { surroundingsChecksum } from './environments.ts';
import { STATE_FIELDS } from './processor-state.ts';
import { initialState, type MemorySpan, type Vector } from './vector.ts';

const MAGIC = 0x43455654;
const VERSION = 1;

/** The vectors of one row of the instruction table. `name` is the row's encoding and mnemonic. */
export interface VectorGroup {
  readonly name: string;
  readonly vectors: readonly Vector[];
}

class Writer {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  byte(value: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = value;
  }

  /** An unsigned integer below 2^53, seven bits a byte. */
  number(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.byte((rest % 128) | 128);
      rest = Math.floor(rest / 128);
    }
    this.byte(rest);
  }

  raw(bytes: Uint8Array): void {
    for (const byte of bytes) this.byte(byte);
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    if (this.#at >= this.#bytes.length) throw new Error('a vector file ends too early');
    return this.#bytes[this.#at++];
  }

  number(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  raw(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw new Error('a vector file ends too early');
    return new Uint8Array(this.#bytes.subarray(this.#at, (this.#at += length)));
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }
}

const COLUMNS = ['numbers', 'code', 'fields', 'values', 'memory'] as const;
type Columns<T> = Record<(typeof COLUMNS)[number], T>;

function columns<T>(make: (name: (typeof COLUMNS)[number], index: number) => T): Columns<T> {
  return Object.fromEntries(COLUMNS.map((name, index) => [name, make(name, index)])) as Columns<T>;
}

function writeValue(to: Writer, value: bigint): void {
  let length = 0;
  for (let rest = value; rest > 0n; rest >>= 8n) length++;
  to.byte(length);
  for (let rest = value; rest > 0n; rest >>= 8n) to.byte(Number(rest & 255n));
}

function readValue(from: Reader): bigint {
  let value = 0n;
  const length = from.byte();
  for (let i = 0; i < length; i++) value |= BigInt(from.byte()) << BigInt(i * 8);
  return value;
}

function writeSpans(to: Columns<Writer>, spans: readonly MemorySpan[]): void {
  to.numbers.number(spans.length);
  for (const span of spans) {
    to.numbers.number(span.at);
    to.numbers.number(span.bytes.length);
    to.memory.raw(span.bytes);
  }
}

function readSpans(from: Columns<Reader>): MemorySpan[] {
  return Array.from({ length: from.numbers.number() }, () => {
    const at = from.numbers.number();
    return { at, bytes: from.memory.raw(from.numbers.number()) };
  });
}

function writeVector(to: Columns<Writer>, vector: Vector, previousSeed: number): void {
  to.numbers.byte(vector.mode);
  to.numbers.number((vector.seed - previousSeed) >>> 0);
  to.code.byte(vector.code.length);
  to.code.raw(vector.code);
  to.fields.number(vector.overrides.size);
  for (const [field, value] of vector.overrides) {
    to.fields.number(field);
    writeValue(to.values, value);
  }
  writeSpans(to, vector.patches);
  to.numbers.number(vector.undefinedFlags);
  to.fields.number(vector.ignoredFields.length);
  for (const field of vector.ignoredFields) to.fields.number(field);
  to.numbers.number(vector.ignoredMemory.length);
  for (const { at, length } of vector.ignoredMemory) {
    to.numbers.number(at);
    to.numbers.number(length);
  }
  to.numbers.byte(vector.portable);
  to.numbers.byte(vector.outcome);
  to.numbers.number(vector.errorCode);
  const before = initialState(vector);
  to.fields.number(vector.changes.size);
  for (const [field, value] of vector.changes) {
    to.fields.number(field);
    writeValue(to.values, value ^ before.getAt(field));
  }
  writeSpans(to, vector.memory);
}

function readField(from: Columns<Reader>): number {
  const field = from.fields.number();
  if (field >= STATE_FIELDS.length) throw new Error('a vector file names a field that does not exist');
  return field;
}

function readVector(from: Columns<Reader>, previousSeed: number): Vector {
  const mode = from.numbers.byte();
  const seed = (from.numbers.number() + previousSeed) >>> 0;
  const code = from.code.raw(from.code.byte());
  const overrides = new Map<number, bigint>();
  for (let count = from.fields.number(); count > 0; count--) overrides.set(readField(from), readValue(from.values));
  const patches = readSpans(from);
  const undefinedFlags = from.numbers.number();
  const ignoredFields = Array.from({ length: from.fields.number() }, () => readField(from));
  const ignoredMemory = Array.from({ length: from.numbers.number() }, () => {
    const at = from.numbers.number();
    return { at, length: from.numbers.number() };
  });
  const portable = from.numbers.byte();
  const input = { mode, seed, code, overrides, patches, undefinedFlags, ignoredFields, ignoredMemory, portable };
  const outcome = from.numbers.byte();
  const errorCode = from.numbers.number();
  const before = initialState(input);
  const changes = new Map<number, bigint>();
  for (let count = from.fields.number(); count > 0; count--) {
    const field = readField(from);
    changes.set(field, readValue(from.values) ^ before.getAt(field));
  }
  const memory = readSpans(from);
  return { ...input, outcome, errorCode, changes, memory };
}

/** The bytes of a vector file. */
export function encodeVectors(groups: readonly VectorGroup[]): Uint8Array {
  const to = columns(() => new Writer());
  for (const group of groups) {
    const name = new TextEncoder().encode(group.name);
    to.code.byte(name.length);
    to.code.raw(name);
    to.numbers.number(group.vectors.length);
    let seed = 0;
    for (const vector of group.vectors) {
      writeVector(to, vector, seed);
      seed = vector.seed;
    }
  }
  const parts = COLUMNS.map((name) => to[name].done());
  const plain = Buffer.alloc(12 + COLUMNS.length * 4 + parts.reduce((sum, part) => sum + part.length, 0));
  plain.writeUInt32LE(MAGIC, 0);
  plain.writeUInt32LE(VERSION, 4);
  plain.writeUInt32LE(surroundingsChecksum(), 8);
  let at = 12 + COLUMNS.length * 4;
  parts.forEach((part, index) => {
    plain.writeUInt32LE(part.length, 12 + index * 4);
    plain.set(part, at);
    at += part.length;
  });
  return brotliCompressSync(plain, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
      [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
    },
  });
}

/** The groups in a vector file, one at a time. Throws if the bytes are not one, or were recorded in other surroundings. */
export function* decodeVectors(bytes: Uint8Array): Generator<VectorGroup> {
  const plain = brotliDecompressSync(bytes);
  if (plain.length < 12 + COLUMNS.length * 4 || plain.readUInt32LE(0) !== MAGIC) throw new Error('not a vector file');
  if (plain.readUInt32LE(4) !== VERSION)
    throw new Error(`vector files of version ${plain.readUInt32LE(4)} are not known`);
  if (plain.readUInt32LE(8) !== surroundingsChecksum()) {
    throw new Error('the vectors were recorded in other surroundings (environments.ts has changed): record them again');
  }
  let start = 12 + COLUMNS.length * 4;
  const from = columns((_, index) => {
    const length = plain.readUInt32LE(12 + index * 4);
    return new Reader(plain.subarray(start, (start += length)));
  });
  while (!from.numbers.ended) {
    const name = new TextDecoder().decode(from.code.raw(from.code.byte()));
    const vectors: Vector[] = [];
    let seed = 0;
    for (let count = from.numbers.number(); count > 0; count--) {
      const vector = readVector(from, seed);
      seed = vector.seed;
      vectors.push(vector);
    }
    yield { name, vectors };
  }
}
