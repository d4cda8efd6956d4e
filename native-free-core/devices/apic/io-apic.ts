// An I/O APIC with 24 inputs, as Intel's 82093AA datasheet (290566) describes it.
// Owns the redirection table and, for level-triggered inputs, what is in service; messages go to the APIC bus.
// Never knows what drives its inputs; polarity is the wiring's business, so a line is simply asserted or not.

import type { AccessSize, Bus, Device, InterruptLine, MmioHandler, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import { type ApicMessages, DeliveryMode, type EndOfInterruptListener } from './apic-bus.ts';

export const IO_APIC_BASE = 0xfec00000;
export const IO_APIC_INPUTS = 24;
const SIZE = 0x1000;
const VERSION = 0x11 | ((IO_APIC_INPUTS - 1) << 16);

const LOGICAL = 0x800;
const REMOTE_IRR = 0x4000;
const LEVEL = 0x8000;
const MASKED = 0x10000;
const WRITABLE_LOW = 0x1afff;

export class IoApic implements Device, MmioHandler, EndOfInterruptListener {
  private readonly bus: ApicMessages;
  private readonly initialId: number;
  private id = 0;
  private select = 0;
  /** Low halves of the redirection entries, and high halves. */
  private readonly low = new Uint32Array(IO_APIC_INPUTS);
  private readonly high = new Uint32Array(IO_APIC_INPUTS);
  /** Levels of the inputs. */
  private lines = 0;

  constructor(bus: ApicMessages, id: number) {
    this.bus = bus;
    this.initialId = id;
    this.reset();
  }

  attach(bus: Bus, base: number = IO_APIC_BASE): void {
    bus.claimMmio(base, SIZE, this);
  }

  /** Input `input`, 0 to 23. */
  line(input: number): InterruptLine {
    const bit = 1 << input;
    return {
      set: (asserted) => {
        const rose = asserted && (this.lines & bit) === 0;
        this.lines = asserted ? this.lines | bit : this.lines & ~bit;
        // An edge on a masked input is lost, as the datasheet says (3.2.4, interrupt mask).
        if (rose) this.service(input);
      },
    };
  }

  /** Sends the message of an asserted input, unless it is masked or still in service. */
  private service(input: number): void {
    const entry = this.low[input];
    if ((entry & MASKED) !== 0) return;
    const level = (entry & LEVEL) !== 0;
    if (level && (entry & REMOTE_IRR) !== 0) return;
    const mode = (entry >> 8) & 7;
    const taken = this.bus.deliver({
      mode,
      vector: entry & 0xff,
      level,
      destination: this.high[input] >>> 24,
      logical: (entry & LOGICAL) !== 0,
    });
    const ordinary = mode === DeliveryMode.fixed || mode === DeliveryMode.lowestPriority;
    if (level && taken && ordinary) this.low[input] |= REMOTE_IRR;
  }

  endOfInterrupt(vector: number): void {
    for (let input = 0; input < IO_APIC_INPUTS; input++) {
      const entry = this.low[input];
      if ((entry & (REMOTE_IRR | LEVEL)) !== (REMOTE_IRR | LEVEL) || (entry & 0xff) !== vector) continue;
      this.low[input] &= ~REMOTE_IRR;
      if ((this.lines & (1 << input)) !== 0) this.service(input);
    }
  }

  readMmio(offset: number, size: AccessSize): number {
    const register = offset & 0xff & ~3;
    const value = register === 0x00 ? this.select : register === 0x10 ? this.readRegister() : 0;
    if (size >= 4) return value;
    return (value >>> ((offset & 3) * 8)) & (size === 1 ? 0xff : 0xffff);
  }

  private readRegister(): number {
    if (this.select === 0x00 || this.select === 0x02) return (this.id << 24) >>> 0;
    if (this.select === 0x01) return VERSION;
    const input = (this.select - 0x10) >> 1;
    if (input < 0 || input >= IO_APIC_INPUTS) return 0;
    return (this.select & 1) !== 0 ? this.high[input] : this.low[input];
  }

  writeMmio(offset: number, _size: AccessSize, value: number): void {
    const register = offset & 0xff;
    if (register === 0x00) this.select = value & 0xff;
    else if (register === 0x10) this.writeRegister(value >>> 0);
  }

  private writeRegister(value: number): void {
    if (this.select === 0x00) {
      this.id = (value >>> 24) & 0x0f;
      return;
    }
    const input = (this.select - 0x10) >> 1;
    if (input < 0 || input >= IO_APIC_INPUTS) return;
    if ((this.select & 1) !== 0) {
      this.high[input] = value;
      return;
    }
    const kept = this.low[input] & REMOTE_IRR;
    this.low[input] = (value & WRITABLE_LOW) | kept;
    // Changing an input to edge-triggered forgets that it was in service; systems use this in place of an EOI register.
    if ((value & LEVEL) === 0) this.low[input] &= ~REMOTE_IRR;
    else if ((this.lines & (1 << input)) !== 0) this.service(input);
  }

  reset(): void {
    this.id = this.initialId;
    this.select = 0;
    this.low.fill(MASKED);
    this.high.fill(0);
  }

  save(): SavedState {
    return {
      version: 1,
      id: this.id,
      select: this.select,
      low: [...this.low],
      high: [...this.high],
      lines: this.lines,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('I/O APIC', 1, state);
    this.id = reader.integer('id', 0, 15);
    this.select = reader.byte('select');
    this.low.set(reader.integers('low', 0, 0xffffffff, IO_APIC_INPUTS));
    this.high.set(reader.integers('high', 0, 0xffffffff, IO_APIC_INPUTS));
    this.lines = reader.integer('lines', 0, 2 ** IO_APIC_INPUTS - 1);
  }
}
