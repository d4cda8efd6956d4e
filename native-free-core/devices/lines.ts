// Wires between interrupt lines: one line to several inputs, several sources on one input.
// Owns only the levels that the sources of a shared line hold.
// Never latches anything: edges and levels are the controllers' business.

import type { InterruptLine } from './device.ts';

/** A line that goes nowhere, for a source that a machine leaves unwired. */
export const unconnectedLine: InterruptLine = { set: () => {} };

/** Drives every line of `targets` with one. */
export function fanOut(...targets: readonly InterruptLine[]): InterruptLine {
  return {
    set(asserted) {
      for (const target of targets) target.set(asserted);
    },
  };
}

/** A wired OR: the target is asserted while any of the inputs is. */
export class SharedLine {
  private readonly target: InterruptLine;
  private asserted = 0;

  constructor(target: InterruptLine) {
    this.target = target;
  }

  /** One more source. Each source is one input of its own. */
  input(): InterruptLine {
    let level = false;
    return {
      set: (asserted) => {
        if (asserted === level) return;
        level = asserted;
        this.asserted += asserted ? 1 : -1;
        this.target.set(this.asserted > 0);
      },
    };
  }
}
