// The pair of 8259A interrupt controllers of a PC, with the edge/level control registers of the chipset.
// Owns ports 20h-21h, A0h-A1h and 4D0h-4D1h, sixteen input lines and the INTR output.
// Never knows what drives its inputs or which CPU or APIC listens to its output.

import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState } from '../device.ts';
import { openState, type StateReader } from '../saved-state.ts';

/** The master's input that the slave's output drives. */
const CASCADE = 2;
/** What the chip says when a request went away before it was acknowledged. */
const SPURIOUS = 7;

/** One 8259A, as Intel's datasheet (231468-003) describes it. */
class Chip {
  private readonly master: boolean;
  /** Levels of the eight inputs, bit n for IRn. */
  lines = 0;
  irr = 0;
  isr = 0;
  imr = 0;
  /** Edge/level control: a set bit makes the input level-triggered. Not part of the 8259A. */
  elcr = 0;
  private vectorBase = 0;
  /** The input with the lowest priority; 7 unless rotated. */
  private lowest = 7;
  /** The initialization word that a write to the odd port is: 0 when initialized, else 2, 3 or 4. */
  private expecting = 0;
  private needsIcw4 = false;
  private single = false;
  private autoEoi = false;
  private rotateOnAutoEoi = false;
  private fullyNested = false;
  private specialMask = false;
  private readIsr = false;
  private poll = false;

  constructor(master: boolean) {
    this.master = master;
  }

  reset(): void {
    this.elcr = 0;
    this.vectorBase = 0;
    this.initialize();
    this.expecting = 0;
    this.needsIcw4 = false;
    this.single = false;
  }

  private initialize(): void {
    // The edge sense circuit is reset: an input that is high now needs a new rising edge.
    this.irr = this.lines & this.elcr;
    this.isr = 0;
    this.imr = 0;
    this.lowest = 7;
    this.autoEoi = false;
    this.rotateOnAutoEoi = false;
    this.fullyNested = false;
    this.specialMask = false;
    this.readIsr = false;
    this.poll = false;
  }

  setLine(input: number, asserted: boolean): void {
    const bit = 1 << input;
    if (asserted) {
      if ((this.lines & bit) === 0 || (this.elcr & bit) !== 0) this.irr |= bit;
      this.lines |= bit;
    } else {
      // In both modes the input must stay high until it is acknowledged; otherwise the default IR7 is what the CPU gets.
      this.irr &= ~bit;
      this.lines &= ~bit;
    }
  }

  /** The input that would be acknowledged now, or -1. */
  candidate(): number {
    const requests = this.irr & ~this.imr;
    if (requests === 0) return -1;
    let blocked = this.isr;
    if (this.specialMask) blocked &= ~this.imr;
    // A slave in service does not keep back that slave's more urgent requests.
    if (this.fullyNested && this.master) blocked &= ~(1 << CASCADE);
    for (let i = 1; i <= 8; i++) {
      const input = (this.lowest + i) & 7;
      if ((blocked & (1 << input)) !== 0) return -1;
      if ((requests & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  /** The interrupt acknowledge cycle: the input taken, or -1 for a spurious one. */
  acknowledge(): number {
    const input = this.candidate();
    if (input < 0) return -1;
    const bit = 1 << input;
    if ((this.elcr & bit) === 0) this.irr &= ~bit;
    if (!this.autoEoi) this.isr |= bit;
    else if (this.rotateOnAutoEoi) this.lowest = input;
    return input;
  }

  vector(input: number): number {
    return this.vectorBase + input;
  }

  /** Whether a spurious interrupt of this chip concerns a slave: the answer to ICW3 on a PC. */
  isCascaded(): boolean {
    return !this.single;
  }

  writeCommand(value: number): void {
    if ((value & 0x10) !== 0) {
      this.initialize();
      this.needsIcw4 = (value & 0x01) !== 0;
      this.single = (value & 0x02) !== 0;
      this.expecting = 2;
    } else if ((value & 0x08) !== 0) {
      if ((value & 0x04) !== 0) this.poll = true;
      if ((value & 0x02) !== 0) this.readIsr = (value & 0x01) !== 0;
      if ((value & 0x40) !== 0) this.specialMask = (value & 0x20) !== 0;
    } else {
      this.operate(value >> 5, value & 7);
    }
  }

  /** OCW2: end of interrupt and rotation. */
  private operate(operation: number, level: number): void {
    switch (operation) {
      case 0:
        this.rotateOnAutoEoi = false;
        break;
      case 4:
        this.rotateOnAutoEoi = true;
        break;
      case 1:
      case 5: {
        const input = this.highestInService();
        if (input < 0) break;
        this.isr &= ~(1 << input);
        if (operation === 5) this.lowest = input;
        break;
      }
      case 3:
      case 7:
        this.isr &= ~(1 << level);
        if (operation === 7) this.lowest = level;
        break;
      case 6:
        this.lowest = level;
        break;
      default: // 2: no operation
    }
  }

  private highestInService(): number {
    // A non-specific EOI does not clear an in-service bit that special mask mode masks.
    const inService = this.specialMask ? this.isr & ~this.imr : this.isr;
    for (let i = 1; i <= 8; i++) {
      const input = (this.lowest + i) & 7;
      if ((inService & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  writeData(value: number): void {
    switch (this.expecting) {
      case 2:
        this.vectorBase = value & 0xf8;
        this.expecting = this.single ? (this.needsIcw4 ? 4 : 0) : 3;
        break;
      case 3:
        // The wiring of the cascade is fixed on a PC.
        this.expecting = this.needsIcw4 ? 4 : 0;
        break;
      case 4:
        this.autoEoi = (value & 0x02) !== 0;
        this.fullyNested = (value & 0x10) !== 0;
        this.expecting = 0;
        break;
      default:
        this.imr = value;
    }
  }

  /** Whether the next read of either port is a poll; reading takes the request away. */
  takePoll(): boolean {
    const { poll } = this;
    this.poll = false;
    return poll;
  }

  readCommand(): number {
    return this.readIsr ? this.isr : this.irr;
  }

  setElcr(value: number): void {
    this.elcr = value;
    // A level-triggered input requests as long as it is high, from now on.
    this.irr |= this.lines & value;
  }

  save(): Record<string, unknown> {
    return {
      lines: this.lines,
      irr: this.irr,
      isr: this.isr,
      imr: this.imr,
      elcr: this.elcr,
      vectorBase: this.vectorBase,
      lowest: this.lowest,
      expecting: this.expecting,
      needsIcw4: this.needsIcw4,
      single: this.single,
      autoEoi: this.autoEoi,
      rotateOnAutoEoi: this.rotateOnAutoEoi,
      fullyNested: this.fullyNested,
      specialMask: this.specialMask,
      readIsr: this.readIsr,
      poll: this.poll,
    };
  }

  restore(state: StateReader): void {
    this.lines = state.byte('lines');
    this.irr = state.byte('irr');
    this.isr = state.byte('isr');
    this.imr = state.byte('imr');
    this.elcr = state.byte('elcr');
    this.vectorBase = state.byte('vectorBase') & 0xf8;
    this.lowest = state.integer('lowest', 0, 7);
    this.expecting = state.integer('expecting', 0, 4);
    this.needsIcw4 = state.boolean('needsIcw4');
    this.single = state.boolean('single');
    this.autoEoi = state.boolean('autoEoi');
    this.rotateOnAutoEoi = state.boolean('rotateOnAutoEoi');
    this.fullyNested = state.boolean('fullyNested');
    this.specialMask = state.boolean('specialMask');
    this.readIsr = state.boolean('readIsr');
    this.poll = state.boolean('poll');
  }
}

/** Inputs that the chipset keeps edge-triggered: timer, keyboard, cascade; RTC and FPU. */
const MASTER_ELCR_MASK = 0xf8;
const SLAVE_ELCR_MASK = 0xde;

/** The two 8259As of a PC. */
export class PicPair implements Device, PortHandler {
  private readonly master = new Chip(true);
  private readonly slave = new Chip(false);
  private readonly output: InterruptLine;
  private intr = false;

  /** `output` is INTR: to the CPU, or to LINT0 of the boot processor's local APIC. */
  constructor(output: InterruptLine) {
    this.output = output;
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x20, 0x21, this);
    bus.claimPorts(0xa0, 0xa1, this);
    bus.claimPorts(0x4d0, 0x4d1, this);
  }

  /** Input line `irq`, 0 to 15. Line 2 is the cascade and does nothing. */
  line(irq: number): InterruptLine {
    if (irq === CASCADE) return { set: () => {} };
    const chip = irq < 8 ? this.master : this.slave;
    const input = irq & 7;
    return {
      set: (asserted) => {
        chip.setLine(input, asserted);
        this.update();
      },
    };
  }

  /** Level of INTR. */
  get pending(): boolean {
    return this.intr;
  }

  /** The interrupt acknowledge cycle of the CPU: the vector. Without a request it is that of the spurious IR7. */
  acknowledge(): number {
    const input = this.master.acknowledge();
    let vector: number;
    if (input === CASCADE && this.master.isCascaded()) {
      const slaveInput = this.slave.acknowledge();
      vector = this.slave.vector(slaveInput < 0 ? SPURIOUS : slaveInput);
      // The slave drops its output while it is acknowledged, so that a further request is a new edge to the master.
      this.master.setLine(CASCADE, false);
    } else {
      vector = this.master.vector(input < 0 ? SPURIOUS : input);
    }
    this.update();
    return vector;
  }

  /** Whether the interrupt `irq` is level-triggered. */
  isLevel(irq: number): boolean {
    const chip = irq < 8 ? this.master : this.slave;
    return (chip.elcr & (1 << (irq & 7))) !== 0;
  }

  private update(): void {
    this.master.setLine(CASCADE, this.slave.candidate() >= 0);
    const pending = this.master.candidate() >= 0;
    if (pending === this.intr) return;
    this.intr = pending;
    this.output.set(pending);
  }

  readPort(port: number, size: AccessSize): number {
    // A word read of an 8-bit device is two byte reads.
    if (size > 1) return this.readPort(port, 1) | (this.readPort(port + 1, 1) << 8);
    if (port === 0x4d0) return this.master.elcr;
    if (port === 0x4d1) return this.slave.elcr;
    const chip = port < 0xa0 ? this.master : this.slave;
    if (chip.takePoll()) {
      const input = chip.acknowledge();
      this.update();
      return input < 0 ? 0 : 0x80 | input;
    }
    return (port & 1) !== 0 ? chip.imr : chip.readCommand();
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (size > 1) {
      this.writePort(port, 1, value & 0xff);
      this.writePort(port + 1, 1, (value >>> 8) & 0xff);
      return;
    }
    if (port === 0x4d0) this.master.setElcr(value & MASTER_ELCR_MASK);
    else if (port === 0x4d1) this.slave.setElcr(value & SLAVE_ELCR_MASK);
    else {
      const chip = port < 0xa0 ? this.master : this.slave;
      if ((port & 1) !== 0) chip.writeData(value);
      else chip.writeCommand(value);
    }
    this.update();
  }

  reset(): void {
    this.master.reset();
    this.slave.reset();
    this.update();
  }

  save(): SavedState {
    return { version: 1, master: this.master.save(), slave: this.slave.save() };
  }

  restore(state: SavedState): void {
    const reader = openState('interrupt controller', 1, state);
    this.master.restore(reader.record('master'));
    this.slave.restore(reader.record('slave'));
    this.intr = this.master.candidate() >= 0;
    this.output.set(this.intr);
  }
}
