// The small ports of a PC: system control port A (92h), the POST code port (80h) and the delay port (EDh), and A20.
// Owns port 92h's bits and which of its sources opens the A20 gate.
// Never masks an address: whoever translates addresses is told.

import type { AccessSize, Bus, Device, PortHandler, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';

const FAST_RESET = 0x01;
const FAST_A20 = 0x02;

/** The gate on address line 20: open while any of its sources opens it. */
export class A20Gate {
  private readonly onChange: (enabled: boolean) => void;
  private readonly sources: boolean[] = [];
  private enabled = false;

  constructor(onChange: (enabled: boolean) => void) {
    this.onChange = onChange;
  }

  /** One more source, closed to begin with. */
  source(): (enabled: boolean) => void {
    const index = this.sources.push(false) - 1;
    return (enabled) => {
      this.sources[index] = enabled;
      const any = this.sources.includes(true);
      if (any === this.enabled) return;
      this.enabled = any;
      this.onChange(any);
    };
  }
}

export interface SystemPortsWiring {
  onA20(enabled: boolean): void;
  onReset(): void;
  /** A power-on self-test code was written to port 80h. */
  onPostCode?(code: number): void;
}

/** Ports 80h, 92h and EDh. */
export class SystemPorts implements Device, PortHandler {
  private readonly wiring: SystemPortsWiring;
  private control = 0;
  private postCode = 0;

  constructor(wiring: SystemPortsWiring) {
    this.wiring = wiring;
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x80, 0x80, this);
    bus.claimPorts(0x92, 0x92, this);
    bus.claimPorts(0xed, 0xed, this);
  }

  readPort(port: number, _size: AccessSize): number {
    if (port === 0x92) return this.control;
    return port === 0x80 ? this.postCode : 0xff;
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    if (port === 0x80) {
      // Systems write here just to pass time; only codes that differ are told.
      if ((value & 0xff) === this.postCode) return;
      this.postCode = value & 0xff;
      this.wiring.onPostCode?.(this.postCode);
    } else if (port === 0x92) {
      const rose = value & ~this.control & FAST_RESET;
      this.control = value & (FAST_A20 | FAST_RESET);
      this.wiring.onA20((value & FAST_A20) !== 0);
      if (rose !== 0) this.wiring.onReset();
    }
  }

  reset(): void {
    this.control = 0;
    this.postCode = 0;
    this.wiring.onA20(false);
  }

  save(): SavedState {
    return { version: 1, control: this.control, postCode: this.postCode };
  }

  restore(state: SavedState): void {
    const reader = openState('system control ports', 1, state);
    this.control = reader.integer('control', 0, 3);
    this.postCode = reader.byte('postCode');
    this.wiring.onA20((this.control & FAST_A20) !== 0);
  }
}
