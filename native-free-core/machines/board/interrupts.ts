// How interrupt requests reach a PC's processors: the 8259 pair, the I/O APIC and the lines that lead to them.
// Owns both controllers and the ISA and global interrupt wiring.
// Never knows who raises a line.

import type { ApicBus } from '../../devices/apic/apic-bus.ts';
import { IO_APIC_INPUTS, IoApic } from '../../devices/apic/io-apic.ts';
import type { Bus, InterruptLine } from '../../devices/device.ts';
import { PicPair } from '../../devices/legacy/pic.ts';
import { fanOut, SharedLine } from '../../devices/lines.ts';
import { VCPU_LIMIT } from '../../memory/layout.ts';
import type { Parts } from './wiring.ts';

/** The I/O APIC's identifier, as the firmware's tables name it: none of a vCPU's local APIC. */
export const IO_APIC_ID = VCPU_LIMIT;
const ISA_IRQS = 16;
/** I/O APIC inputs that PCI interrupts are wired to: 16 to 19. */
const PCI_INPUTS = { first: 16, count: IO_APIC_INPUTS - 20 };

export class Interrupts {
  readonly pic: PicPair;
  readonly ioApic: IoApic;
  private readonly isa: SharedLine[];

  /** `lint0` is the boot processor's LINT0, to which the 8259s' output leads. */
  constructor(bus: Bus, apicBus: ApicBus, lint0: InterruptLine) {
    this.ioApic = new IoApic(apicBus, IO_APIC_ID);
    this.pic = new PicPair(lint0);
    apicBus.listen(this.ioApic);
    this.ioApic.attach(bus);
    this.pic.attach(bus);
    // Each IRQ reaches the 8259s and the I/O APIC; IRQ 0 is input 2 there.
    this.isa = Array.from(
      { length: ISA_IRQS },
      (_, irq) => new SharedLine(fanOut(this.pic.line(irq), this.ioApic.line(irq === 0 ? 2 : irq))),
    );
  }

  /** A new input of ISA interrupt request `number`, 0 to 15: it is asserted while any of its inputs is. */
  irq(number: number): InterruptLine {
    return this.isa[number].input();
  }

  /** Inputs of the I/O APIC that nothing else is wired to, for the event timers. */
  timerInputs(): InterruptLine[] {
    const first = PCI_INPUTS.first + PCI_INPUTS.count;
    return Array.from({ length: IO_APIC_INPUTS - first }, (_, index) => this.ioApic.line(first + index));
  }

  /** The I/O APIC inputs that PCI interrupts lead to. */
  pciInputs(): InterruptLine[] {
    return Array.from({ length: PCI_INPUTS.count }, (_, index) => this.ioApic.line(PCI_INPUTS.first + index));
  }

  get parts(): Parts {
    return { pic: this.pic, ioApic: this.ioApic };
  }
}
