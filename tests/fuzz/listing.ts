// A fuzz program as text, for whoever has to find out why it goes wrong.
// Owns the layout of that text.
// Never runs anything.

import { DecodeResult, Decoder } from '../../native-free-core/cpu/decoder/decoder.ts';
import { DecodedInstruction } from '../../native-free-core/cpu/decoder/instruction.ts';
import { compileTables } from '../../native-free-core/cpu/decoder/tables.ts';
import { describeInstruction } from '../../native-free-core/cpu/describe.ts';
import { encodings } from '../../native-free-core/cpu/instructions/table.ts';
import { MODES } from '../vectors/environments.ts';
import { GPR_NAMES } from '../vectors/processor-state.ts';
import type { Piece, Program } from './program.ts';

const decoder = new Decoder(compileTables(encodings), encodings);

function lines({ at, bytes, starts }: Piece, bits: 16 | 32 | 64): string[] {
  if (bytes.every((byte) => byte === 0x90)) return [];
  const padded = new Uint8Array(bytes.length + 16);
  padded.set(bytes);
  const instruction = new DecodedInstruction();
  return starts.map((start) => {
    const result = decoder.decode(padded, start, start + 15, bits, instruction);
    const known = result === DecodeResult.decoded;
    const length = known ? instruction.length : bytes.length - start;
    const raw = Buffer.from(bytes.subarray(start, start + length)).toString('hex');
    const text = known ? describeInstruction(instruction, at + start) : '(undefined)';
    return `  ${(at + start).toString(16)}  ${raw.padEnd(30)} ${text}`;
  });
}

/** The program: mode, registers, pages, then its instructions; NOPs that stand for what was left out are not shown. */
export function listing(program: Program): string {
  const mode = MODES[program.mode];
  const { state } = program;
  const registers = GPR_NAMES.slice(0, mode.bits === 64 ? 16 : 8).map(
    (name) => `${name} ${state.get(name).toString(16)}`,
  );
  const more = ['rip', 'rflags', 'cr0', 'mxcsr', 'fcw', 'fsw'].map((name) => `${name} ${state.get(name).toString(16)}`);
  const pages = program.oddPages.map(({ page, entry }) => `page ${page.toString(16)}: ${entry.toString(16)}`);
  return [
    `${mode.name}, interrupts ${program.interrupts}, limit ${program.limit}, slice ${program.slice}, hot at ${program.hotness}`,
    `  ${registers.join(' ')}`,
    `  ${more.join(' ')}`,
    ...pages.map((page) => `  ${page}`),
    ...program.pieces.flatMap((piece) => lines(piece, mode.bits)),
    `  end ${program.end.toString(16)}, restarts ${program.restarts.map((at) => at.toString(16)).join(' ')}`,
  ].join('\n');
}
