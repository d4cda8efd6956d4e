// The PC/AT's way of reporting x87 exceptions: FERR# of the processor becomes IRQ 13, a write to port F0h takes it back.
// Owns the latch between them.
// Never ignores an error on the processor's behalf: IGNNE# is not wired, handlers use the non-waiting instructions.

import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';

/** Port F0h, and F1h which resets the coprocessor of an 80286 and does nothing since. */
export class NumericError implements Device, PortHandler {
  private readonly line: InterruptLine;
  private latched = false;

  /** `line` is IRQ 13. */
  constructor(line: InterruptLine) {
    this.line = line;
  }

  attach(bus: Bus): void {
    bus.claimPorts(0xf0, 0xf1, this);
  }

  /** The processor stopped at an x87 instruction with an exception pending while CR0.NE is clear. */
  raise(): void {
    this.latched = true;
    this.line.set(true);
  }

  readPort(_port: number, _size: AccessSize): number {
    return 0xff;
  }

  writePort(port: number, _size: AccessSize, _value: number): void {
    if (port === 0xf0) this.reset();
  }

  reset(): void {
    this.latched = false;
    this.line.set(false);
  }

  save(): SavedState {
    return { version: 1, latched: this.latched };
  }

  restore(state: SavedState): void {
    this.latched = openState('numeric error latch', 1, state).boolean('latched');
    this.line.set(this.latched);
  }
}
