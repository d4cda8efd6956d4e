// A vCPU that runs as it does in a guest, by whole blocks or translated regions, as a machine under test.
// Owns how such a run is stopped: INT3 is delivered, every handler is a HLT, and the frame is undone again.
// Never single-steps: it can run only what ends in a handler on a stack of its own, ring 3 of protected modes.
import { RunEnd } from '../../native-free-core/cpu/cpu.ts';
import { LAYOUT, type Mode, SYSTEM_BASE } from './environments.ts';
import { InterpreterMachine } from './interpreter-machine.ts';
import type { ProcessorState } from './processor-state.ts';
import { exceptionFrame } from './vector-check.ts';

const HLT = 0xf4;
const BREAKPOINT = 3;
/** Instructions that a case may execute at most. */
const BUDGET = 1000;

export class RunningMachine extends InterpreterMachine {
  override readonly name: string;
  override readonly sample: number;
  #before: ProcessorState | undefined;
  #after: ProcessorState | undefined;

  /** `hotness`: entries of a block before it is translated, 0 for never. */
  constructor(name: string, hotness: number, sample: number) {
    super(hotness);
    this.name = name;
    this.sample = sample;
  }

  override runsIn(mode: Mode): boolean {
    return mode.cpl === 3 && mode.name !== 'v86';
  }

  override memoryChanged(at: number, length: number): void {
    if (at <= LAYOUT.handlers && at + length > LAYOUT.handlers)
      this.ram.fill(HLT, LAYOUT.handlers, LAYOUT.handlers + 0x100);
    super.memoryChanged(at, length);
  }

  override load(state: ProcessorState): void {
    super.load(state);
    this.#before = state;
    this.#after = undefined;
  }

  override step(): boolean {
    if (this.cpu.run(BUDGET) !== RunEnd.halted) return false;
    const halted = super.state();
    // HLT has been executed: its handler is one byte back.
    halted.set('rip', halted.get('rip') - 1n);
    const vector = Number(halted.get('rip')) - SYSTEM_BASE - LAYOUT.handlers;
    this.#after = vector === BREAKPOINT ? this.#beforeBreakpoint(halted) : halted;
    return true;
  }

  override position(): number {
    const state = this.state();
    return Number(BigInt.asUintN(48, state.get('cs.base') + state.get('rip')));
  }

  override state(): ProcessorState {
    return this.#after ?? super.state();
  }

  /** The state in which INT3 was met, from the state at its handler. */
  #beforeBreakpoint(halted: ProcessorState): ProcessorState {
    const { state } = exceptionFrame(this, BREAKPOINT, halted);
    state.set('rip', state.get('rip') - 1n);
    // Hidden parts are not in the frame: those of before, unless the case has loaded another segment.
    for (const name of ['cs', 'ss'] as const) {
      const selector = state.get(name);
      const same = selector === this.#before?.get(name);
      const base = same ? this.#before!.get(`${name}.base`) : selector === 0x07n ? BigInt(LAYOUT.code) : 0n;
      state.set(`${name}.base`, base);
    }
    return state;
  }
}
