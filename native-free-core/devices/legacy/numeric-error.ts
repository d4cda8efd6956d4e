// The PC/AT's way of reporting x87 exceptions: FERR# of the processor becomes IRQ 13, a write to port F0h takes it back.
// Owns the latch between them.
// Never decides how long IGNNE# holds: the processor lets it go with the exception.

import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';

/** Port F0h, and F1h which resets the coprocessor of an 80286 and does nothing since. */
export class NumericError implements Device, PortHandler {
  private readonly line: InterruptLine;
  private readonly ignore: () => void;
  private latched = false;

  /** `line` is IRQ 13; `ignore` asserts IGNNE#, so that a handler may use the coprocessor before it clears the exception. */
  constructor(line: InterruptLine, ignore: () => void) {
    this.line = line;
    this.ignore = ignore;
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
    if (port !== 0xf0) return;
    if (this.latched) this.ignore();
    this.reset();
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
