// What the vectors' runner needs of a processor of ours: take a state and RAM, execute one instruction, give the state back.
// Owns that interface alone. Adapters of the executions that exist are in machines.ts.
// Never knows vectors.
import type { ProcessorState } from './processor-state.ts';

/**
 * A processor with RAM of RAM_BYTES (environments.ts) at guest-physical address 0, no devices, and A20 enabled.
 * It begins with the features of SSE and x87 enabled in XCR0 (value 3).
 */
export interface MachineUnderTest {
  /** For messages: "interpreter", "translator". */
  readonly name: string;
  /** The guest's RAM, live. Whoever writes to it calls `memoryChanged`. */
  readonly ram: Uint8Array;
  /** Everything derived from RAM or the former state (translations, decoded code, TLB) is to be forgotten. */
  memoryChanged(): void;
  /** Sets the whole architectural state, hidden parts of segment registers included, without any check or side effect. */
  load(state: ProcessorState): void;
  /**
   * Executes one instruction, all its repetitions included, or delivers one exception. It never ends between an exception
   * and its handler's first instruction. Returns false if the processor has shut down or halted.
   */
  step(): boolean;
  /** The state now. `fop`, `fip`, `fdp` and the limits and attributes of segments may be anything. */
  state(): ProcessorState;
}
