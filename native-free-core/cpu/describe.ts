// A vCPU's registers and an instruction as text: what a person reads when a guest dies or a test fails.
// Owns the layout of that text.
// Never changes state.

import { BASE_RIP, type DecodedInstruction } from './decoder/instruction.ts';
import { numberAt, placeOf } from './decoder/operand-places.ts';
import { S, Seg } from './state.ts';
import type { SystemCpu } from './system/core.ts';

const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];

const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, '0');

/** General, segment and control registers, a few a line. */
export function describeRegisters(cpu: SystemCpu): string {
  const digits = cpu.longMode ? 16 : 8;
  const name = (register: number): string =>
    register < 8 ? (cpu.longMode ? REGISTERS[register] : `e${REGISTERS[register].slice(1)}`) : `r${register}`;
  const lines: string[] = [];
  const count = cpu.longMode ? 16 : 8;
  for (let first = 0; first < count; first += 4) {
    const cells = Array.from(
      { length: 4 },
      (_, i) => `${name(first + i).padEnd(3)} ${hex(cpu.reg(first + i), digits)}`,
    );
    lines.push(cells.join('  '));
  }
  lines.push(`ip  ${hex(cpu.ip, digits)}  flags ${hex(cpu.flags(), 8)}  cpl ${cpu.cpl}`);
  const segments = Object.entries(Seg).map(([segment, index]) => `${segment} ${hex(cpu.selector(index), 4)}`);
  lines.push(segments.join('  '));
  const control = (['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const).map(
    (field) => `${field} ${hex(cpu.get64(S[field]), 8)}`,
  );
  lines.push(control.join('  '));
  return lines.join('\n');
}

const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const SIGNED = (value: number): string => (value < 0 ? `-0x${hex(-value, 1)}` : `0x${hex(value, 1)}`);

function memoryText(instruction: DecodedInstruction): string {
  const { base, index, scale, displacement, segment } = instruction;
  const name = (register: number): string => (register < 8 ? REGISTERS[register] : `r${register}`);
  const parts: string[] = [];
  if (base === BASE_RIP) parts.push('rip');
  else if (base >= 0) parts.push(name(base));
  if (index >= 0) parts.push(`${name(index)}*${1 << scale}`);
  if (displacement !== 0 || parts.length === 0) parts.push(SIGNED(displacement));
  return `${SEGMENTS[segment]}:[${parts.join('+')}]/a${instruction.addressSize}`;
}

/** Register files by the letter of an operand code (instructions/row.ts); the others are general registers. */
const FILES: Readonly<Record<string, string>> = {
  V: 'xmm',
  W: 'xmm',
  U: 'xmm',
  P: 'mm',
  Q: 'mm',
  N: 'mm',
  T: 'st',
  C: 'cr',
  D: 'dr',
};

/**
 * A decoded instruction in the table's words: name, operands in the order of its encoding, operand size. `at` is the linear
 * address of its first byte, which relative targets are counted from. No assembler's syntax: registers go by their 64-bit names.
 */
export function describeInstruction(instruction: DecodedInstruction, at: number): string {
  const { encoding } = instruction;
  let immediates = 0;
  const operands = encoding.operands.map(({ where, width, register }) => {
    if (where === 'fixed') return `${register! < 8 ? REGISTERS[register!] : `r${register}`}.${width}`;
    if (where === '1') return '1';
    if (where === 'I') {
      const value = immediates++ === 0 ? instruction.immediate : instruction.immediate2;
      const high = instruction.immediateHigh;
      return high === value >> 31 || immediates > 1 ? SIGNED(value) : `0x${hex(high >>> 0, 1)}${hex(value >>> 0, 8)}`;
    }
    if (where === 'J') return `0x${hex(at + instruction.length + instruction.immediate, 1)}`;
    const place = placeOf(where);
    if (where === 'M' || where === 'O' || place === undefined) return memoryText(instruction);
    if (instruction.isMemory && place === 'rm') return memoryText(instruction);
    const number = numberAt(instruction, place);
    if (where === 'S') return SEGMENTS[number] ?? `segment ${number}`;
    const file = FILES[where];
    if (file) return `${file}${number}`;
    if (width === 'b' && instruction.rex === 0 && number >= 4 && number < 8) return `${'acdb'[number - 4]}h`;
    return `${number < 8 ? REGISTERS[number] : `r${number}`}${width ? `.${width}` : ''}`;
  });
  const prefixes = `${instruction.lock ? 'LOCK ' : ''}${instruction.rep && encoding.attributes.has('rep') ? 'REP ' : ''}`;
  return `${prefixes}${encoding.row.name} ${operands.join(', ')} (${instruction.operandSize})`;
}
