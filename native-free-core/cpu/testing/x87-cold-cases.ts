// Cases of the x87 instructions that TypeScript carries out, with arguments in the ranges that matter.
// Owns the choice of arguments and the running of one instruction.
// Never knows results: see system/x87.test.ts and its recording.

import { RAM_BASE } from '../../memory/layout.ts';
import { DecodedInstruction } from '../decoder/instruction.ts';
import type { Encoding } from '../instructions/row.ts';
import { Seg } from '../state.ts';
import { SystemCpu } from '../system/core.ts';
import { coldRows } from '../system/dispatch.ts';
import { nextState, Random, type X87State } from './x87-cases.ts';
import { OPERAND_HOST, X87Runner } from './x87-run.ts';

export const coldCaseNames = [
  'F2XM1',
  'FYL2X',
  'FYL2XP1',
  'FPATAN',
  'FPTAN',
  'FSIN',
  'FCOS',
  'FSINCOS',
  'FBLD',
  'FBSTP',
] as const;

/** The cases of an instruction; about half of them with arguments of ordinary size. */
export function coldCasesOf(name: string, seed: number, count: number): X87State[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => {
    const state = nextState(random, name);
    const { signExponent, significand } = state;
    const sign = random.below(2) << 15;
    const ordinary = random.below(2) === 0;
    if (ordinary && /^F(2X|YL|PA)/.test(name)) {
      // Magnitudes from 2^-12 to 2, some near 2^-70.
      const kind = random.below(6);
      const exponent = kind < 4 ? -1 - random.below(12) : kind < 5 ? -1 - random.below(70) : -random.below(3);
      signExponent[0] = sign | (16383 + exponent);
      significand[0] |= 1n << 63n;
    }
    if (ordinary && /^F(SIN|COS|PTAN)/.test(name)) signExponent[0] = sign | (16373 + random.below(30));
    if (name === 'FYL2X' && random.below(3)) signExponent[0] &= 0x7fff;
    return state;
  });
}

/** A vCPU around a runner's memory, so that cold instructions can be called by name. */
export class ColdRunner {
  readonly runner = new X87Runner();
  readonly cpu = new SystemCpu(this.runner.memory, 1 << 20, {
    readPort: () => 0,
    writePort: () => {},
    readMmio: () => 0,
    writeMmio: () => {},
  });
  /** Address of the memory operand: without paging, and with DS based at 0, where the runner's page lies in RAM. */
  private readonly offset = OPERAND_HOST - RAM_BASE;

  instruction(encoding: Encoding, operandSize: 16 | 32 = 32): DecodedInstruction {
    const insn = new DecodedInstruction();
    insn.encoding = encoding;
    insn.isMemory = encoding.operands.length > 0;
    insn.segment = Seg.ds;
    insn.displacement = this.offset;
    insn.operandSize = operandSize;
    insn.addressSize = 32;
    insn.length = 2;
    return insn;
  }

  /** Runs one on a state; exceptions of the guest are thrown. */
  run(insn: DecodedInstruction, state: X87State): X87State {
    this.runner.write(state);
    this.execute(insn);
    return this.runner.read();
  }

  execute(insn: DecodedInstruction): void {
    const act = coldRows.get(insn.name);
    if (!act) throw new Error(`${insn.name} is not carried out in TypeScript.`);
    act(this.cpu, insn, 0x1234n);
  }
}
