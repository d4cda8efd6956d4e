// The fixed hardware of ACPI: PM1a event and control, PM timer, GPE0, the SMI command port and the reset register.
// Owns those registers and the level of the SCI; powering off and resetting are callbacks.
// Never knows the tables: firmware describes the same ports from the same layout.

import type { Clock } from '../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from './device.ts';
import { openState } from './saved-state.ts';
import { ticksAt, timeOfTick } from './timers.ts';

/** PM timer, in Hz (ACPI 6.4, 4.8.3.3). */
export const PM_TIMER_HZ = 3579545;

/** Where the registers are; firmware's FADT says the same. */
export const AcpiPorts = {
  pm1aEvent: 0x600,
  pm1aControl: 0x604,
  pmTimer: 0x608,
  gpe0: 0x620,
  gpe0Length: 4,
  smiCommand: 0xb2,
  reset: 0xcf9,
} as const;

/** SMI commands that switch between legacy and ACPI mode. */
export const AcpiCommand = { enable: 0xf1, disable: 0xf0 } as const;
/** What the guest writes to the reset register. */
export const ACPI_RESET_VALUE = 0x06;
/** SLP_TYP of S5, soft off; \_S5 says the same. */
export const SLEEP_TYPE_S5 = 5;
export const SCI_IRQ = 9;

const STATUS_TIMER = 0x0001;
const STATUS_POWER_BUTTON = 0x0100;
/** Timer, bus master, global, power button, sleep button, RTC, wake. */
const STATUS_BITS = 0x8731;
const ENABLE_BITS = 0x0721;
const CONTROL_SCI_ENABLE = 0x0001;
const CONTROL_SLEEP_ENABLE = 0x2000;
const CONTROL_WRITABLE = 0x1c02;
/** TMR_STS is set each time the highest bit of the 32-bit timer changes. */
const TIMER_HALF = 2 ** 31;

export interface AcpiPmWiring {
  clock: Clock;
  timers: Timers;
  /** SCI: IRQ 9, level-triggered. */
  line: InterruptLine;
  onPowerOff(): void;
  onReset(): void;
}

export class AcpiPm implements Device, PortHandler {
  private readonly wiring: AcpiPmWiring;
  private readonly timer: Timer;
  private status = 0;
  private enable = 0;
  private control = CONTROL_SCI_ENABLE;
  private gpeStatus = 0;
  private gpeEnable = 0;
  private smiCommand = 0;
  private resetControl = 0;
  /** How often the timer's highest bit had changed when TMR_STS was last brought up to date. */
  private halves = 0;

  constructor(wiring: AcpiPmWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.update());
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(AcpiPorts.pm1aEvent, AcpiPorts.pmTimer + 3, this);
    bus.claimPorts(AcpiPorts.gpe0, AcpiPorts.gpe0 + AcpiPorts.gpe0Length - 1, this);
    bus.claimPorts(AcpiPorts.smiCommand, AcpiPorts.smiCommand + 1, this);
    bus.claimPorts(AcpiPorts.reset, AcpiPorts.reset, this);
  }

  /** Somebody pressed the power button. The guest decides what it means. */
  pressPowerButton(): void {
    this.status |= STATUS_POWER_BUTTON;
    this.update();
  }

  /** General-purpose event `index` (0 to 15) happened. */
  raiseGpe(index: number): void {
    this.gpeStatus |= (1 << index) & 0xffff;
    this.update();
  }

  /** Whether the guest has switched to ACPI mode; before that a power button has nobody to tell. */
  get acpiMode(): boolean {
    return (this.control & CONTROL_SCI_ENABLE) !== 0;
  }

  private ticks(): number {
    return ticksAt(this.wiring.clock.now(), PM_TIMER_HZ);
  }

  private update(): void {
    const ticks = this.ticks();
    const halves = Math.floor(ticks / TIMER_HALF);
    if (halves !== this.halves) this.status |= STATUS_TIMER;
    this.halves = halves;
    const requested = (this.status & this.enable & ENABLE_BITS) !== 0 || (this.gpeStatus & this.gpeEnable) !== 0;
    this.wiring.line.set(requested && this.acpiMode);
    // Between two changes of the highest bit nothing is to be done.
    if ((this.enable & STATUS_TIMER) === 0) this.timer.cancel();
    else this.timer.arm(timeOfTick((halves + 1) * TIMER_HALF, PM_TIMER_HZ));
  }

  readPort(port: number, size: AccessSize): number {
    // The registers are bytes of one block; each access is put together from them.
    if (port >= AcpiPorts.pmTimer && port < AcpiPorts.pmTimer + 4) {
      const shown = this.ticks() % 2 ** 32;
      return Math.floor(shown / 2 ** (8 * (port - AcpiPorts.pmTimer))) % 2 ** (8 * size);
    }
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readByte(port + i) * 2 ** (8 * i);
    return value;
  }

  private readByte(port: number): number {
    if (port < AcpiPorts.pm1aControl && port >= AcpiPorts.pm1aEvent) this.update();
    switch (port) {
      case AcpiPorts.pm1aEvent:
        return this.status & 0xff;
      case AcpiPorts.pm1aEvent + 1:
        return this.status >> 8;
      case AcpiPorts.pm1aEvent + 2:
        return this.enable & 0xff;
      case AcpiPorts.pm1aEvent + 3:
        return this.enable >> 8;
      case AcpiPorts.pm1aControl:
        return this.control & 0xff;
      case AcpiPorts.pm1aControl + 1:
        return this.control >> 8;
      case AcpiPorts.gpe0:
        return this.gpeStatus & 0xff;
      case AcpiPorts.gpe0 + 1:
        return this.gpeStatus >> 8;
      case AcpiPorts.gpe0 + 2:
        return this.gpeEnable & 0xff;
      case AcpiPorts.gpe0 + 3:
        return this.gpeEnable >> 8;
      case AcpiPorts.smiCommand:
        return this.smiCommand;
      case AcpiPorts.reset:
        return this.resetControl;
      default:
        return 0;
    }
  }

  writePort(port: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(port + i, (value >>> (8 * i)) & 0xff);
    this.update();
  }

  private writeByte(port: number, value: number): void {
    switch (port) {
      case AcpiPorts.pm1aEvent:
        // Status bits are cleared by writing ones.
        this.update();
        this.status &= ~value;
        break;
      case AcpiPorts.pm1aEvent + 1:
        this.update();
        this.status &= ~((value << 8) & STATUS_BITS);
        break;
      case AcpiPorts.pm1aEvent + 2:
        this.enable = ((this.enable & 0xff00) | value) & ENABLE_BITS;
        break;
      case AcpiPorts.pm1aEvent + 3:
        this.enable = ((this.enable & 0x00ff) | (value << 8)) & ENABLE_BITS;
        break;
      case AcpiPorts.pm1aControl:
        this.writeControl((this.control & 0xff00) | value, false);
        break;
      case AcpiPorts.pm1aControl + 1:
        this.writeControl((this.control & 0x00ff) | (value << 8), (value & (CONTROL_SLEEP_ENABLE >> 8)) !== 0);
        break;
      case AcpiPorts.gpe0:
        this.gpeStatus &= ~value;
        break;
      case AcpiPorts.gpe0 + 1:
        this.gpeStatus &= ~(value << 8);
        break;
      case AcpiPorts.gpe0 + 2:
        this.gpeEnable = (this.gpeEnable & 0xff00) | value;
        break;
      case AcpiPorts.gpe0 + 3:
        this.gpeEnable = (this.gpeEnable & 0x00ff) | (value << 8);
        break;
      case AcpiPorts.smiCommand:
        this.smiCommand = value;
        if (value === AcpiCommand.enable) this.control |= CONTROL_SCI_ENABLE;
        else if (value === AcpiCommand.disable) this.control &= ~CONTROL_SCI_ENABLE;
        break;
      case AcpiPorts.reset: {
        // PIIX: bit 2 going from 0 to 1 resets; bit 1 makes it a hard reset.
        const rose = (value & ~this.resetControl & 0x04) !== 0;
        this.resetControl = value & 0x0a;
        if (rose) this.wiring.onReset();
        break;
      }
      default: // the PM timer and reserved bytes are read-only
    }
  }

  private writeControl(value: number, sleep: boolean): void {
    this.control = (value & CONTROL_WRITABLE) | (this.control & CONTROL_SCI_ENABLE);
    // S5 is the only sleep state that \_Sx announces; other types do nothing.
    if (sleep && ((value >> 10) & 7) === SLEEP_TYPE_S5) this.wiring.onPowerOff();
  }

  /** As firmware leaves it: legacy mode, so that the guest switches to ACPI itself. */
  reset(): void {
    this.status = 0;
    this.enable = 0;
    this.control = 0;
    this.gpeStatus = 0;
    this.gpeEnable = 0;
    this.smiCommand = 0;
    this.resetControl = 0;
    this.halves = Math.floor(this.ticks() / TIMER_HALF);
    this.update();
  }

  save(): SavedState {
    const { status, enable, control, gpeStatus, gpeEnable, smiCommand, resetControl, halves } = this;
    return { version: 1, status, enable, control, gpeStatus, gpeEnable, smiCommand, resetControl, halves };
  }

  restore(state: SavedState): void {
    const reader = openState('power management', 1, state);
    this.status = reader.word('status') & STATUS_BITS;
    this.enable = reader.word('enable') & ENABLE_BITS;
    this.control = reader.word('control') & (CONTROL_WRITABLE | CONTROL_SCI_ENABLE);
    this.gpeStatus = reader.word('gpeStatus');
    this.gpeEnable = reader.word('gpeEnable');
    this.smiCommand = reader.byte('smiCommand');
    this.resetControl = reader.byte('resetControl');
    this.halves = reader.integer('halves', 0, Number.MAX_SAFE_INTEGER);
    this.update();
  }
}
