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

/** A line that can be held off: while it is closed its target is not asserted, whatever the source does. */
export class GatedLine implements InterruptLine {
  private readonly target: InterruptLine;
  private asserted = false;
  private isOpen = true;

  constructor(target: InterruptLine) {
    this.target = target;
  }

  set(asserted: boolean): void {
    this.asserted = asserted;
    if (this.isOpen) this.target.set(asserted);
  }

  set open(open: boolean) {
    this.isOpen = open;
    this.target.set(open && this.asserted);
  }
}
