// What the vectors' runner needs of a processor of ours: take a state and RAM, execute, give the state back.
// Owns that interface alone. The executions that exist are listed in machines.ts.
// Never knows vectors.
import type { Mode } from './environments.ts';
import type { ProcessorState } from './processor-state.ts';

/**
 * A processor with RAM of RAM_BYTES (environments.ts) at guest-physical address 0, no devices, and A20 enabled.
 * XCR0 is 3: x87 and SSE.
 */
export interface MachineUnderTest {
  /** For messages: "interpreter", "translator". */
  readonly name: string;
  /** The guest's RAM, live. Whoever writes to it says so with `memoryChanged`. */
  readonly ram: Uint8Array;
  /** Of so many vectors it need run but one: it is slow, and others of its kind are not. */
  readonly sample: number;
  /** Whether it can run in this mode. */
  runsIn(mode: Mode): boolean;
  /** `length` bytes of RAM from `at` have been written by the runner: code decoded from there is void. */
  memoryChanged(at: number, length: number): void;
  /**
   * Sets the whole architectural state, hidden parts of segment registers included, without any check or side effect.
   * No translation of a linear address is remembered from before.
   */
  load(state: ProcessorState): void;
  /**
   * Executes one instruction, or one repetition of a string instruction, or delivers one exception. What an instruction
   * leaves pending (a trap) is delivered in the same step. A machine that does not single-step goes on to the next INT3
   * or exception handler instead. Returns false if the processor has shut down or halted.
   */
  step(): boolean;
  /** Linear address of the next instruction: the code segment's base + the instruction pointer. */
  position(): number;
  /** The state now. `fop`, `fip`, `fdp` and the limits and attributes of segments may be anything. */
  state(): ProcessorState;
}
