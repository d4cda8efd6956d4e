// The devices of a PC that stand at fixed addresses, most of them as they have since ISA.
// Owns which there are, their places and their interrupt requests.
// Never implements a device.

import { AcpiPm } from '../../devices/acpi-pm.ts';
import { Hpet } from '../../devices/hpet.ts';
import { Cmos } from '../../devices/legacy/cmos.ts';
import { DmaControllers } from '../../devices/legacy/dma.ts';
import { KeyboardController } from '../../devices/legacy/keyboard-controller.ts';
import { NumericError } from '../../devices/legacy/numeric-error.ts';
import { ParallelPort } from '../../devices/legacy/parallel-port.ts';
import { Pit } from '../../devices/legacy/pit.ts';
import { Ps2Keyboard } from '../../devices/legacy/ps2-keyboard.ts';
import { Ps2Mouse } from '../../devices/legacy/ps2-mouse.ts';
import { A20Gate, SystemPorts } from '../../devices/legacy/system-ports.ts';
import { Uart } from '../../devices/legacy/uart.ts';
import { fanOut, GatedLine } from '../../devices/lines.ts';
import { FloppyController } from '../../devices/storage/floppy-controller.ts';
import { VmwareBackdoor } from '../../devices/vmware-backdoor.ts';
import { LOW_RAM_LIMIT } from '../../memory/layout.ts';
import { DETERMINISTIC_WALL } from '../guest-clock.ts';
import { floppyCable } from './drives.ts';
import type { Parts, PcWiring } from './wiring.ts';

export const COM1 = { base: 0x3f8, irq: 4 };
export const COM2 = { base: 0x2f8, irq: 3 };
export const LPT1 = { base: 0x378, irq: 7 };
const IRQ = { pit: 0, keyboard: 1, floppy: 6, rtc: 8, acpi: 9, mouse: 12, numericError: 13 };
const FLOPPY_DMA = 2;
const MIB = 1 << 20;

export class IsaDevices {
  readonly pit: Pit;
  readonly cmos: Cmos;
  readonly keyboard = new Ps2Keyboard();
  readonly mouse = new Ps2Mouse();
  readonly keyboardController: KeyboardController;
  readonly backdoor: VmwareBackdoor;
  readonly systemPorts: SystemPorts;
  readonly numericError: NumericError;
  readonly com1: Uart;
  readonly com2: Uart;
  readonly lpt1: ParallelPort;
  readonly pm: AcpiPm;
  readonly hpet: Hpet;
  readonly dma: DmaControllers;
  readonly floppy: FloppyController;

  constructor(wiring: PcWiring) {
    const { config, host, clock, timers, bus, interrupts } = wiring;
    const irq = (number: number) => interrupts.irq(number);
    const ramBytes = config.memoryMiB * MIB;
    // The event timers can take the places of the interval timer and the clock, whose lines then lead nowhere.
    const replaceable = { pit: new GatedLine(irq(IRQ.pit)), rtc: new GatedLine(irq(IRQ.rtc)) };
    this.hpet = new Hpet({
      clock,
      timers,
      lines: interrupts.timerInputs(),
      legacyLines: [irq(IRQ.pit), irq(IRQ.rtc)],
      messages: wiring.messages,
      onLegacy: (replaced) => {
        replaceable.pit.open = !replaced;
        replaceable.rtc.open = !replaced;
      },
    });
    this.hpet.attach(bus);
    this.pit = new Pit({
      clock,
      timers,
      line: replaceable.pit,
      onSpeaker: (hertz) => wiring.audio?.speaker(hertz),
    });
    this.pit.attach(bus);
    this.dma = new DmaControllers(wiring.memory);
    this.dma.attach(bus);
    const drives = floppyCable(config.floppies ?? [], wiring.disks);
    const line = irq(IRQ.floppy);
    this.floppy = new FloppyController({ clock, timers, line, dma: this.dma.channel(FLOPPY_DMA) }, drives);
    this.floppy.attach(bus);
    this.cmos = new Cmos({
      clock,
      timers,
      wallTime: () => (config.deterministic ? DETERMINISTIC_WALL : host.wallMilliseconds()),
      // Systems that use the event timers instead take the alarm as a power management event.
      line: fanOut(replaceable.rtc, { set: (asserted) => this.pm?.rtcLine.set(asserted) }),
      memory: { low: Math.min(ramBytes, LOW_RAM_LIMIT), high: Math.max(0, ramBytes - LOW_RAM_LIMIT) },
      floppies: [drives[0]?.type ?? 0, drives[1]?.type ?? 0],
    });
    this.cmos.attach(bus);
    const a20 = new A20Gate((open) => wiring.onA20(open));
    this.keyboardController = new KeyboardController({
      clock,
      timers,
      keyboard: this.keyboard,
      mouse: this.mouse,
      keyboardLine: irq(IRQ.keyboard),
      mouseLine: irq(IRQ.mouse),
      onA20: a20.source(),
      onReset: () => wiring.onProcessorReset(),
    });
    this.keyboardController.attach(bus);
    this.backdoor = new VmwareBackdoor({ registers: wiring.registers, nudge: () => this.mouse.move(1, 0) });
    this.backdoor.attach(bus);
    this.systemPorts = new SystemPorts({ onA20: a20.source(), onReset: () => wiring.onProcessorReset() });
    this.systemPorts.attach(bus);
    this.numericError = new NumericError(irq(IRQ.numericError), () => wiring.onNumericErrorIgnored());
    this.numericError.attach(bus);
    this.com1 = new Uart({ clock, timers, line: irq(COM1.irq), output: (byte) => wiring.onSerial(byte) });
    this.com1.attach(bus, COM1.base);
    this.com2 = new Uart({ clock, timers, line: irq(COM2.irq), output: (byte) => wiring.onSecondSerial(byte) });
    this.com2.attach(bus, COM2.base);
    this.lpt1 = new ParallelPort({ line: irq(LPT1.irq), output: wiring.onPrinted });
    this.lpt1.attach(bus, LPT1.base);
    this.pm = new AcpiPm({
      clock,
      timers,
      line: irq(IRQ.acpi),
      onPowerOff: () => wiring.onEnd({ reason: 'powerOff', detail: 'The guest powered off.' }),
      onReset: () => wiring.onReset(),
    });
    this.pm.attach(bus);
  }

  /** As firmware leaves them before an operating system. */
  program(): void {
    this.dma.program();
  }

  get parts(): Parts {
    const { hpet, pit, cmos, keyboard, mouse, keyboardController, backdoor, systemPorts, numericError } = this;
    const { com1, com2, lpt1, pm, dma, floppy } = this;
    return {
      ...{ hpet, pit, cmos, keyboard, mouse, keyboardController, backdoor, systemPorts, numericError },
      ...{ com1, com2, lpt1, pm, dma, floppy },
    };
  }
}
