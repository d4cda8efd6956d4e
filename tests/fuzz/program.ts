// A fuzz program: machine code in pieces, with the state, memory and page tables that it starts from.
// Owns what a program is made of, and its being cut down: a piece that is left out becomes NOPs, so that no address changes.
// Never chooses what is in it (generator.ts) and never runs anything (fuzz-machine.ts).
import { buildImage, LAYOUT, MODES, SYSTEM_BASE } from '../vectors/environments.ts';
import type { ProcessorState } from '../vectors/processor-state.ts';
import type { MemorySpan } from '../vectors/vector.ts';

/** Instructions that stay or go together. */
export interface Piece {
  /** Linear address of its first byte. */
  readonly at: number;
  readonly bytes: Uint8Array;
  /** Offsets of its instructions: behind one that faults, execution goes on at the next. */
  readonly starts: readonly number[];
}

/**
 * How interrupts come: at instructions that ask for them, so that every count and every byte must be equal, or wherever a
 * slice of execution happens to end, so that only what the program itself computes must be.
 */
export type InterruptStyle = 'exact' | 'anywhere';

/** A page of the program's part of memory whose mapping is not the usual one. */
export interface OddPage {
  /** Linear page number, below 64. */
  readonly page: number;
  /** Its page-table entry. */
  readonly entry: bigint;
}

export interface Program {
  readonly seed: number;
  /** Index into MODES. */
  readonly mode: number;
  readonly state: ProcessorState;
  /** RAM that differs from the image: offset and bytes. */
  readonly patches: readonly MemorySpan[];
  readonly oddPages: readonly OddPage[];
  readonly pieces: readonly Piece[];
  /** Linear address of the last piece: reaching it ends the program. */
  readonly end: number;
  /** Where execution goes on after it has left the program, in turn. */
  readonly restarts: readonly number[];
  readonly interrupts: InterruptStyle;
  /** Instructions after which it is over, wherever it is. */
  readonly limit: number;
  /** Instructions of a slice at most. */
  readonly slice: number;
  /** Entries of a block before it is translated, in the machine that translates hot code. */
  readonly hotness: number;
}

/** The page-table entry that maps a page of the image as the vectors have it. */
export const PageBit = {
  present: 1n,
  writable: 2n,
  user: 4n,
  accessed: 0x20n,
  dirty: 0x40n,
  noExecute: 1n << 63n,
} as const;

/** Guest-physical address of the device page that a linear page may be mapped to. */
export const DEVICE_PAGE = 0xe0000000;

/** Handlers of exceptions are a HLT each; those that go back are here, behind them. */
export const STUBS = {
  /** IRET; the same behind an error code; both again with a write to CR3 before. */
  plain: 0x200,
  withError: 0x210,
  reload: 0x220,
  reloadWithError: 0x240,
  /** Handler of interrupts and NMIs: changes nothing and returns. */
  interrupt: 0x260,
  /** Bytes from one kind's stubs to another's: 32-bit code, 64-bit code, real mode. */
  long: 0x100,
  real: 0x100,
} as const;
export const INTERRUPT_VECTOR = 0x20;
export const INTERRUPT_VECTORS = 16;
/** Instructions that an interrupt's handler executes. */
export const INTERRUPT_INSTRUCTIONS = 3;
/** Tops of the stacks of interrupts and of NMIs in long mode: not exceptions', and not each other's, which they interrupt. */
const INTERRUPT_STACK = 0x18000;
const NMI_STACK = 0x19000;
/** RAM that stacks of handlers take up. Where interrupts come anywhere, what they leave there is nobody's. */
export const HANDLER_STACKS = { from: 0x14000, to: NMI_STACK } as const;

const NMI = 2;

function writeStubs(image: Uint8Array): void {
  const at = LAYOUT.handlers;
  image.fill(0xf4, at, at + 0x100);
  image.set([0xcf], at + STUBS.plain);
  image.set([0x83, 0xc4, 4, 0xcf], at + STUBS.withError);
  image.set([0x50, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0x58, 0xcf], at + STUBS.reload);
  image.set([0x50, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0x58, 0x83, 0xc4, 4, 0xcf], at + STUBS.reloadWithError);
  image.set([0x50, 0x58, 0xcf], at + STUBS.interrupt);
  const long = at + STUBS.long;
  image.set([0x48, 0xcf], long + STUBS.plain);
  image.set([0x48, 0x83, 0xc4, 8, 0x48, 0xcf], long + STUBS.withError);
  image.set([0x50, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0x58, 0x48, 0xcf], long + STUBS.reload);
  image.set(
    [0x50, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0x58, 0x48, 0x83, 0xc4, 8, 0x48, 0xcf],
    long + STUBS.reloadWithError,
  );
  image.set([0x50, 0x58, 0x48, 0xcf], long + STUBS.interrupt);
  const real = LAYOUT.realHandlers;
  image.fill(0xf4, real, real + 0x100);
  image.set([0xcf], real + STUBS.real + STUBS.plain);
  image.set([0x50, 0x58, 0xcf], real + STUBS.real + STUBS.interrupt);
}

function writeInterruptGates(image: Uint8Array): void {
  const view = new DataView(image.buffer);
  const vectors = [NMI, ...Array.from({ length: INTERRUPT_VECTORS }, (_, i) => INTERRUPT_VECTOR + i)];
  for (const vector of vectors) {
    view.setUint16(vector * 4, LAYOUT.realHandlers + STUBS.real + STUBS.interrupt, true);
    view.setUint16(LAYOUT.idt32 + vector * 8, (LAYOUT.handlers + STUBS.interrupt) & 0xffff, true);
    view.setUint16(LAYOUT.idt64 + vector * 16, (LAYOUT.handlers + STUBS.long + STUBS.interrupt) & 0xffff, true);
    image[LAYOUT.idt64 + vector * 16 + 4] = vector === NMI ? 3 : 2;
  }
  view.setUint32(LAYOUT.tss64 + 0x2c, SYSTEM_BASE + INTERRUPT_STACK, true);
  view.setUint32(LAYOUT.tss64 + 0x34, SYSTEM_BASE + NMI_STACK, true);
}

function images(): { paged: Uint8Array; flat: Uint8Array } {
  const paged = buildImage();
  writeStubs(paged);
  writeInterruptGates(paged);
  const flat = paged.slice();
  // Without paging, handlers are where they are in RAM.
  for (let vector = 0; vector < 256; vector++)
    flat.fill(0, LAYOUT.idt32 + vector * 8 + 6, LAYOUT.idt32 + vector * 8 + 8);
  return { paged, flat };
}

const IMAGES = images();

/** Offset in RAM of the page-table entry of linear page `page` (below 64), and its width; undefined without paging. */
export function entryPlace(mode: number, page: number): { at: number; bytes: 4 | 8 } | undefined {
  const { paging } = MODES[mode];
  if (paging === 'none') return undefined;
  if (paging === '32') return { at: LAYOUT.pageTables32 + 0x1000 + page * 4, bytes: 4 };
  return { at: LAYOUT.pageTables64 + 0x4000 + page * 8, bytes: 8 };
}

/** Writes a page-table entry into RAM, cut to its width. */
export function writeEntry(ram: Uint8Array, mode: number, { page, entry }: OddPage): void {
  const place = entryPlace(mode, page);
  if (!place) return;
  for (let i = 0; i < place.bytes; i++) ram[place.at + i] = Number((entry >> BigInt(i * 8)) & 255n);
}

/** Where the byte at a linear address of the program's part of memory is in RAM, by its odd pages; -1: nowhere. */
export function placeOf(program: Pick<Program, 'oddPages'>, linear: number): number {
  const odd = program.oddPages.find(({ page }) => page === linear >>> 12);
  if (!odd) return linear;
  const frame = Number(odd.entry & 0xfffff000n);
  return frame < 0x40000 ? frame + (linear & 0xfff) : -1;
}

/** The RAM that a program starts with. */
export function startImage(program: Program): Uint8Array {
  const ram = (MODES[program.mode].paging === 'none' ? IMAGES.flat : IMAGES.paged).slice();
  for (const { at, bytes } of program.patches) ram.set(bytes, at);
  for (const odd of program.oddPages) writeEntry(ram, program.mode, odd);
  for (const piece of program.pieces) {
    piece.bytes.forEach((byte, index) => {
      const at = placeOf(program, piece.at + index);
      if (at >= 0) ram[at] = byte;
    });
  }
  return ram;
}

const NOP = 0x90;

/** The same program with pieces left out: NOPs in their places. */
export function without(program: Program, leftOut: ReadonlySet<Piece>): Program {
  const blank = (piece: Piece): Piece => ({
    at: piece.at,
    bytes: new Uint8Array(piece.bytes.length).fill(NOP),
    starts: Array.from(piece.bytes, (_, index) => index),
  });
  return { ...program, pieces: program.pieces.map((piece) => (leftOut.has(piece) ? blank(piece) : piece)) };
}

/** Linear address of the instruction behind the one at `linear`, or of the next that begins later; undefined: none. */
export function instructionBehind(program: Program, linear: number): number | undefined {
  for (const { at, bytes, starts } of program.pieces) {
    if (linear < at || linear >= at + bytes.length) continue;
    const next = starts.find((start) => at + start > linear);
    return at + (next ?? bytes.length);
  }
  return undefined;
}
