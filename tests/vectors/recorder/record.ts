// Runs vectors on this machine's own processor, through the recorder (recorder.c).
// Owns building and feeding that program.
// Never needed to check vectors: only to record them.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage, type Descriptor, LAYOUT, LDT_SEGMENTS } from '../environments.ts';
import { fieldIndex, ProcessorState, STATE_BYTES, STATE_FIELDS } from '../processor-state.ts';
import {
  exceptionOutcome,
  initialMemory,
  initialState,
  type MemorySpan,
  STOPPED,
  type VectorInput,
  type VectorResult,
} from '../vector.ts';

/** The recorder's word for a case that did not end. */
const RUNAWAY = 0x200;

function encodeCase(input: VectorInput): Buffer {
  const state = initialState(input);
  const spans = initialMemory(input, state);
  const length = 1 + STATE_BYTES + 4 + spans.reduce((sum, span) => sum + 8 + span.bytes.length, 0);
  const out = Buffer.alloc(length);
  out.write('C', 0);
  out.set(state.bytes, 1);
  let at = 1 + STATE_BYTES;
  at = out.writeUInt32LE(spans.length, at);
  for (const span of spans) {
    at = out.writeUInt32LE(span.at, at);
    at = out.writeUInt32LE(span.bytes.length, at);
    out.set(span.bytes, at);
    at += span.bytes.length;
  }
  return out;
}

const NEVER_COMPARED = ['fop', 'fip', 'fdp'].map(fieldIndex);

function decodeResult(
  input: VectorInput,
  from: Buffer,
  start: number,
): { result: VectorResult | undefined; next: number } {
  let at = start;
  const u32 = (): number => {
    const value = from.readUInt32LE(at);
    at += 4;
    return value;
  };
  const outcome = u32();
  const errorCode = u32();
  const before = initialState(input);
  const after = new ProcessorState(Uint8Array.from(from.subarray(at, at + STATE_BYTES)));
  at += STATE_BYTES;
  const memory: MemorySpan[] = [];
  for (let count = u32(); count > 0; count--) {
    const address = u32();
    const length = u32();
    memory.push({ at: address, bytes: Uint8Array.from(from.subarray(at, at + length)) });
    at += length;
  }
  const base = codeBase(after.get('cs'));
  // Whether a page of the kernel's half is present is the recording machine's own affair.
  if (outcome === exceptionOutcome(14) && after.get('cr2') >= 1n << 47n) return { result: undefined, next: at };
  if (outcome === RUNAWAY || (outcome === STOPPED && outsideCode(Number(base + after.get('rip'))))) {
    return { result: undefined, next: at };
  }
  const changes = new Map<number, bigint>();
  STATE_FIELDS.forEach((_, field) => {
    if (NEVER_COMPARED.includes(field)) return;
    const value = after.getAt(field);
    if (value !== before.getAt(field)) changes.set(field, value);
  });
  return { result: { outcome, errorCode, changes, memory }, next: at };
}

/** Where the code segment begins that a case ended in. */
function codeBase(selector: bigint): bigint {
  return Number(selector) === LDT_SEGMENTS.code16.selector ? BigInt(LDT_SEGMENTS.code16.base) : 0n;
}

function outsideCode(address: number): boolean {
  return address < LAYOUT.code || address >= LAYOUT.codeEnd;
}

function encodeSegment(index: number, { attributes, limit, base }: Descriptor): Buffer {
  const out = Buffer.alloc(17);
  const type = attributes & 15;
  const code = (type & 8) !== 0;
  const down = (type & 4) !== 0;
  const writable = (type & 2) !== 0;
  const pages = (attributes & 0x8000) !== 0;
  const contents = (code ? 2 : 0) | (down ? 1 : 0);
  const big = (attributes & 0x4000) !== 0;
  const present = (attributes & 0x80) !== 0;
  out.write('L', 0);
  out.writeUInt32LE(index, 1);
  out.writeUInt32LE(base, 5);
  out.writeUInt32LE(pages ? limit >>> 12 : limit, 9);
  out.writeUInt32LE((big ? 1 : 0) | (contents << 1) | (writable ? 0 : 8) | (pages ? 16 : 0) | (present ? 0 : 32), 13);
  return out;
}

/** The recorder, built for this machine. `close` removes it. */
export class Recorder {
  readonly #folder: string;
  readonly #program: string;
  readonly #surroundings: Buffer;

  /** Builds the recorder. Throws if this is not x86-64 Linux or has no C compiler. */
  constructor() {
    if (process.arch !== 'x64' || process.platform !== 'linux')
      throw new Error('vectors are recorded on x86-64 Linux only');
    this.#folder = mkdtempSync(join(tmpdir(), 'recorder-'));
    this.#program = join(this.#folder, 'recorder');
    const source = fileURLToPath(new URL('recorder.c', import.meta.url));
    const flags = [
      '-O2',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-fno-stack-protector',
      '-mfsgsbase',
      '-mgeneral-regs-only',
      '-Wl,-z,now',
    ];
    execFileSync('gcc', [...flags, '-o', this.#program, source]);
    const segments = Object.values(LDT_SEGMENTS).map((segment, index) => encodeSegment(index, segment));
    this.#surroundings = Buffer.concat([...segments, Buffer.from('M'), buildImage()]);
  }

  /** Runs each input on the processor. The results are in the inputs' order; undefined for one that ran away. */
  run(inputs: readonly VectorInput[]): (VectorResult | undefined)[] {
    const input = Buffer.concat([this.#surroundings, ...inputs.map(encodeCase)]);
    const ran = spawnSync(this.#program, { input, maxBuffer: 1 << 30 });
    if (ran.error) throw ran.error;
    if (ran.status !== 0) throw new Error(`the recorder failed: ${ran.stderr.toString().trim() || ran.signal}`);
    let at = 0;
    return inputs.map((one) => {
      const { result, next } = decodeResult(one, ran.stdout, at);
      at = next;
      return result;
    });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
