// The PCI bus 0 of a machine, configuration mechanism 1 (ports CF8h and CFCh) and the window of memory (ECAM).
// Owns which function sits at which device number, the address latch, and the routing of INTx pins to four PIRQ lines.
// Never decodes memory or ports itself: functions claim their BARs on the I/O bus.

import { floatingValue } from '../bus.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState } from '../device.ts';
import { SharedLine, unconnectedLine } from '../lines.ts';
import type { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';

const ENABLE = 0x80000000;
const DEVICES = 32;
const FUNCTIONS = 8;
/** The window of configuration space: 4 KiB a function, of the one bus there is (PCI Express 3.0, 7.2.2). */
export const ECAM_SIZE = DEVICES * FUNCTIONS * 4096;

/** Bus 0. Every machine has only this one. */
export class PciBus implements Device, PortHandler {
  private readonly bus: Bus;
  private readonly functions = new Map<number, PciFunction>();
  private readonly lines: readonly SharedLine[];
  private address = 0;

  /** `pirqs` are the lines PIRQA to PIRQD of the ISA bridge; each is shared by the pins that lead there. */
  constructor(bus: Bus, pirqs: readonly InterruptLine[]) {
    this.bus = bus;
    this.lines = [0, 1, 2, 3].map((index) => new SharedLine(pirqs[index] ?? unconnectedLine));
  }

  /** Claims CF8h to CFFh, but not CF9h: that is the reset register, whose bytes lie inside the address register. */
  attach(): void {
    this.bus.claimPorts(0xcf8, 0xcf8, this);
    this.bus.claimPorts(0xcfa, 0xcff, this);
  }

  /** Claims the window of configuration space at `base`, a multiple of 1 MiB. */
  attachWindow(base: number): void {
    this.bus.claimMmio(base, ECAM_SIZE, {
      readMmio: (offset, size) => {
        const pciFunction = this.functions.get(offset >> 12);
        return pciFunction?.readConfig(offset & 0xfff, size) ?? floatingValue(size);
      },
      writeMmio: (offset, size, value) => {
        const pciFunction = this.functions.get(offset >> 12);
        const register = offset & 0xfff;
        if ((register & 3) + size <= 4) pciFunction?.writeConfig(register, size, value);
        else {
          for (let i = 0; i < size; i++) pciFunction?.writeConfig(register + i, 1, (value >>> (8 * i)) & 0xff);
        }
      },
    });
  }

  /**
   * Plugs `pciFunction` in as `device`.`func`. Its pin is routed as boards do and \_PRT says: INTA of device 0 to
   * PIRQA, and one further for each pin and each device.
   */
  add(device: number, func: number, pciFunction: PciFunction): void {
    const key = device * FUNCTIONS + func;
    if (!(device >= 0 && device < DEVICES && func >= 0 && func < FUNCTIONS)) {
      throw new RangeError(`there is no PCI address ${device}.${func}`);
    }
    if (this.functions.has(key)) throw new Error(`two PCI functions at ${device}.${func}`);
    this.functions.set(key, pciFunction);
    const pin = pciFunction.interruptPin;
    const line = pin === 0 ? unconnectedLine : this.lines[pirqOf(device, pin)].input();
    pciFunction.connect(this.bus, line);
  }

  /** Every function with its address, in order. */
  *list(): IterableIterator<{ device: number; func: number; pciFunction: PciFunction }> {
    for (const key of [...this.functions.keys()].sort((a, b) => a - b)) {
      yield { device: key >> 3, func: key & 7, pciFunction: this.functions.get(key)! };
    }
  }

  /** The function and register that the address latch names now, or undefined. */
  private selected(): PciFunction | undefined {
    if ((this.address & ENABLE) === 0) return undefined;
    if ((this.address & 0x00ff0000) !== 0) return undefined;
    return this.functions.get((this.address >>> 8) & 0xff);
  }

  readPort(port: number, size: AccessSize): number {
    if (port < 0xcfc) return port === 0xcf8 && size === 4 ? this.address : floatingValue(size);
    const offset = (this.address & 0xfc) | (port & 3);
    // An access over the end of the data register reads the rest of the register only.
    const within = Math.min(size, 4 - (port & 3)) as AccessSize;
    return this.selected()?.readConfig(offset, within) ?? floatingValue(size);
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (port < 0xcfc) {
      // Only a dword write reaches the address register (PCI Local Bus 3.0, 3.2.2.3.2).
      if (port === 0xcf8 && size === 4) this.address = (value & 0x80fffffc) >>> 0;
      return;
    }
    const offset = (this.address & 0xfc) | (port & 3);
    const within = Math.min(size, 4 - (port & 3)) as AccessSize;
    this.selected()?.writeConfig(offset, within, value);
  }

  reset(): void {
    this.address = 0;
    for (const pciFunction of this.functions.values()) pciFunction.reset();
  }

  save(): SavedState {
    return { version: 1, address: this.address };
  }

  restore(state: SavedState): void {
    this.address = openState('PCI bus', 1, state).dword('address');
  }
}

/** Which of the lines PIRQA (0) to PIRQD (3) the pin 1 to 4 of a device leads to. */
export function pirqOf(device: number, pin: number): number {
  return (device + pin - 1) & 3;
}
