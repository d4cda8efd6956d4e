// The two bridges of the chipset: the 440FX host bridge and the PIIX ISA bridge with its interrupt routing.
// Owns their configuration registers and which ISA interrupt each PIRQ line asserts.
// Never knows a device on either bus.

import type { Device, InterruptLine, SavedState } from '../device.ts';
import { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';

/** Which accesses to a segment of C0000h to FFFFFh reach RAM; the others reach what ROM there is. */
export interface ShadowSegment {
  base: number;
  length: number;
  readRam: boolean;
  writeRam: boolean;
}

const PAM = 0x59;
const PAM_END = 0x60;

/** Host bridge: an Intel 440FX as far as configuration goes. What its PAM registers say is for the machine to do. */
export class HostBridge implements Device {
  readonly pci: PciFunction;
  private readonly onShadow: (segment: ShadowSegment) => void;

  /** `onShadow` is told of each segment whose register is written (440FX datasheet 290549, 3.2.18), and at reset. */
  constructor(onShadow: (segment: ShadowSegment) => void = () => {}) {
    this.onShadow = onShadow;
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x1237,
      classCode: 0x060000,
      revision: 2,
      onConfigWrite: (offset, size) => this.tellShadow(offset, offset + size),
    });
    // PMC, PAM0 to PAM6, DRB0 to DRB7, SMRAM: plain storage for firmware.
    for (let offset = 0x50; offset <= 0x72; offset++) this.pci.writable[offset] = 0xff;
  }

  reset(): void {
    this.pci.reset();
    this.pci.config.fill(0, 0x50, 0x73);
    this.pci.config[0x72] = 0x02;
    this.tellShadow(PAM, PAM_END);
  }

  /** PAM0 is F0000h to FFFFFh by its high half; PAM1 to PAM6 are 16 KiB a half, from C0000h up. */
  private tellShadow(first: number, end: number): void {
    for (let register = Math.max(first, PAM); register < Math.min(end, PAM_END); register++) {
      for (const half of [0, 1]) {
        const bits = (this.pci.config[register] >> (4 * half)) & 3;
        const access = { readRam: (bits & 1) !== 0, writeRam: (bits & 2) !== 0 };
        if (register > PAM) {
          const base = 0xc0000 + ((register - PAM - 1) * 2 + half) * 0x4000;
          this.onShadow({ base, length: 0x4000, ...access });
        } else if (half === 1) this.onShadow({ base: 0xf0000, length: 0x10000, ...access });
      }
    }
  }

  save(): SavedState {
    return this.pci.save();
  }

  restore(state: SavedState): void {
    this.pci.restore(state);
    this.tellShadow(PAM, PAM_END);
  }
}

const PIRQ_ROUTE = 0x60;
const ROUTE_DISABLED = 0x80;
/** ISA interrupts that a PIRQ may be routed to (PIIX3 datasheet 290550, 2.2.7): not 0, 1, 2, 8 and 13. */
const ROUTABLE = 0xdef8;

export interface IsaBridgeWiring {
  /** An input of its own on a (shared) ISA interrupt. Called once for each that a PIRQ can be routed to. */
  isaInput(irq: number): InterruptLine;
  /** Inputs of the I/O APIC that PIRQA to PIRQD also drive: 16 to 19. */
  gsiInputs: readonly InterruptLine[];
}

/** ISA bridge: an Intel PIIX3 as far as interrupt routing goes. */
export class IsaBridge implements Device {
  readonly pci: PciFunction;
  /** PIRQA to PIRQD. */
  readonly pirqs: readonly InterruptLine[];
  private readonly wiring: IsaBridgeWiring;
  private readonly isa = new Map<number, InterruptLine>();
  private readonly levels = [false, false, false, false];

  constructor(wiring: IsaBridgeWiring) {
    this.wiring = wiring;
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x7000,
      classCode: 0x060100,
      multifunction: true,
      onConfigWrite: (offset, size) => {
        if (offset < PIRQ_ROUTE + 4 && offset + size > PIRQ_ROUTE) this.update();
      },
    });
    for (let i = 0; i < 4; i++) this.pci.writable[PIRQ_ROUTE + i] = 0x8f;
    this.pirqs = this.levels.map((_, index) => ({
      set: (asserted) => {
        this.levels[index] = asserted;
        this.update();
      },
    }));
    for (let irq = 0; irq < 16; irq++) {
      if ((ROUTABLE & (1 << irq)) !== 0) this.isa.set(irq, wiring.isaInput(irq));
    }
    this.reset();
  }

  /** Routes PIRQ `index` (0 to 3) to an ISA interrupt, as firmware does. */
  route(index: number, irq: number): void {
    this.pci.config[PIRQ_ROUTE + index] = irq;
    this.update();
  }

  private update(): void {
    let asserted = 0;
    this.levels.forEach((level, index) => {
      this.wiring.gsiInputs[index]?.set(level);
      const route = this.pci.config[PIRQ_ROUTE + index];
      if (level && (route & ROUTE_DISABLED) === 0) asserted |= 1 << (route & 15);
    });
    for (const [irq, line] of this.isa) line.set((asserted & (1 << irq)) !== 0);
  }

  /** After reset no PIRQ is routed. */
  reset(): void {
    this.pci.reset();
    this.pci.config.fill(ROUTE_DISABLED, PIRQ_ROUTE, PIRQ_ROUTE + 4);
    this.update();
  }

  save(): SavedState {
    return { version: 1, pci: this.pci.save(), levels: this.levels.map(Number) };
  }

  restore(state: SavedState): void {
    const reader = openState('ISA bridge', 1, state);
    this.pci.restore(state.pci as SavedState);
    reader.integers('levels', 0, 1, 4).forEach((level, index) => {
      this.levels[index] = level === 1;
    });
    this.update();
  }
}
