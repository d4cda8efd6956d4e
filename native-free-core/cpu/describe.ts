// A vCPU's registers as text: what a person reads when a guest dies.
// Owns the layout of that text.
// Never changes state.

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
