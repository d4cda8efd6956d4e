// The fixed hardware of ACPI: PM1a event and control, PM timer, GPE0, the SMI command port and the reset register.
// Owns those registers and the level of the SCI; powering off and resetting are callbacks.
// Never decides where its block of ports is: the power management function does.

import type { Clock } from '../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from './device.ts';
import { openState } from './saved-state.ts';
import { ticksAt, timeOfTick } from './timers.ts';

/** PM timer, in Hz (ACPI 6.4, 4.8.3.3). */
export const PM_TIMER_HZ = 3579545;

/** Registers by their place in the block of 64 ports that the power management function maps (Intel 290562, 7.2). */
const Register = { pm1aEvent: 0x00, pm1aControl: 0x04, pmTimer: 0x08, gpe0: 0x0c } as const;
export const PM_BLOCK_SIZE = 0x40;
/** Where firmware puts that block. */
export const PM_BASE = 0x600;

/** Where the registers are once firmware has placed the block; its FADT says the same. */
export const AcpiPorts = {
  pm1aEvent: PM_BASE + Register.pm1aEvent,
  pm1aControl: PM_BASE + Register.pm1aControl,
  pmTimer: PM_BASE + Register.pmTimer,
  gpe0: PM_BASE + Register.gpe0,
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
const STATUS_RTC = 0x0400;
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
  private readonly block: PortHandler;
  private status = 0;
  private enable = 0;
  private control = CONTROL_SCI_ENABLE;
  private gpeStatus = 0;
  private gpeEnable = 0;
  private rtcLevel = false;
  private smiCommand = 0;
  /** APMS: a byte that the guest and its firmware may leave for each other. */
  private smiStatus = 0;
  private resetControl = 0;
  /** How often the timer's highest bit had changed when TMR_STS was last brought up to date. */
  private halves = 0;

  constructor(wiring: AcpiPmWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.update());
    this.block = {
      readPort: (offset, size) => this.readBlock(offset, size),
      writePort: (offset, size, value) => this.writeBlock(offset, size, value),
    };
    this.reset();
  }

  /** The 64 ports of the power management block, by offset: whoever decodes them decides where they are. */
  get registers(): PortHandler {
    return this.block;
  }

  /** Claims what stands at fixed ports: the SMI command and the reset register. */
  attach(bus: Bus): void {
    bus.claimPorts(AcpiPorts.smiCommand, AcpiPorts.smiCommand + 1, this);
    bus.claimPorts(AcpiPorts.reset, AcpiPorts.reset, this);
  }

  /** Somebody pressed the power button. The guest decides what it means. */
  pressPowerButton(): void {
    this.status |= STATUS_POWER_BUTTON;
    this.update();
  }

  /** The real-time clock's request: RTC_STS follows its edge, whether or not IRQ 8 is looked at. */
  readonly rtcLine: InterruptLine = {
    set: (asserted) => {
      const rose = asserted && !this.rtcLevel;
      this.rtcLevel = asserted;
      if (!rose) return;
      this.status |= STATUS_RTC;
      this.update();
    },
  };

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

  private readBlock(offset: number, size: AccessSize): number {
    // The registers are bytes of one block; each access is put together from them.
    if (offset >= Register.pmTimer && offset < Register.pmTimer + 4) {
      const shown = this.ticks() % 2 ** 32;
      return Math.floor(shown / 2 ** (8 * (offset - Register.pmTimer))) % 2 ** (8 * size);
    }
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readRegister(offset + i) * 2 ** (8 * i);
    return value;
  }

  private readRegister(offset: number): number {
    if (offset < Register.pm1aControl) this.update();
    switch (offset) {
      case Register.pm1aEvent:
        return this.status & 0xff;
      case Register.pm1aEvent + 1:
        return this.status >> 8;
      case Register.pm1aEvent + 2:
        return this.enable & 0xff;
      case Register.pm1aEvent + 3:
        return this.enable >> 8;
      case Register.pm1aControl:
        return this.control & 0xff;
      case Register.pm1aControl + 1:
        return this.control >> 8;
      case Register.gpe0:
        return this.gpeStatus & 0xff;
      case Register.gpe0 + 1:
        return this.gpeStatus >> 8;
      case Register.gpe0 + 2:
        return this.gpeEnable & 0xff;
      case Register.gpe0 + 3:
        return this.gpeEnable >> 8;
      default: // global and device monitors, general-purpose pins: nothing is wired to them
        return 0;
    }
  }

  private writeBlock(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeRegister(offset + i, (value >>> (8 * i)) & 0xff);
    this.update();
  }

  private writeRegister(offset: number, value: number): void {
    switch (offset) {
      case Register.pm1aEvent:
        // Status bits are cleared by writing ones.
        this.update();
        this.status &= ~value;
        break;
      case Register.pm1aEvent + 1:
        this.update();
        this.status &= ~((value << 8) & STATUS_BITS);
        break;
      case Register.pm1aEvent + 2:
        this.enable = ((this.enable & 0xff00) | value) & ENABLE_BITS;
        break;
      case Register.pm1aEvent + 3:
        this.enable = ((this.enable & 0x00ff) | (value << 8)) & ENABLE_BITS;
        break;
      case Register.pm1aControl:
        this.writeControl((this.control & 0xff00) | value, false);
        break;
      case Register.pm1aControl + 1:
        this.writeControl((this.control & 0x00ff) | (value << 8), (value & (CONTROL_SLEEP_ENABLE >> 8)) !== 0);
        break;
      case Register.gpe0:
        this.gpeStatus &= ~value;
        break;
      case Register.gpe0 + 1:
        this.gpeStatus &= ~(value << 8);
        break;
      case Register.gpe0 + 2:
        this.gpeEnable = (this.gpeEnable & 0xff00) | value;
        break;
      case Register.gpe0 + 3:
        this.gpeEnable = (this.gpeEnable & 0x00ff) | (value << 8);
        break;
      default: // the PM timer and what is not wired are read-only
    }
  }

  readPort(port: number, size: AccessSize): number {
    if (port === AcpiPorts.reset) return this.resetControl;
    const value = port === AcpiPorts.smiCommand ? this.smiCommand : this.smiStatus;
    return size === 2 && port === AcpiPorts.smiCommand ? value | (this.smiStatus << 8) : value;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (size > 1) {
      for (let i = 0; i < size; i++) this.writePort(port + i, 1, (value >>> (8 * i)) & 0xff);
      return;
    }
    if (port === AcpiPorts.smiCommand) this.command(value);
    else if (port === AcpiPorts.smiCommand + 1) this.smiStatus = value;
    else if (port === AcpiPorts.reset) {
      // PIIX: bit 2 going from 0 to 1 resets; bit 1 makes it a hard reset.
      const rose = (value & ~this.resetControl & 0x04) !== 0;
      this.resetControl = value & 0x0a;
      if (rose) this.wiring.onReset();
    }
    this.update();
  }

  /** What the board's firmware would do in system management mode, of which there is none. */
  private command(value: number): void {
    this.smiCommand = value;
    if (value === AcpiCommand.enable) this.control |= CONTROL_SCI_ENABLE;
    else if (value === AcpiCommand.disable) this.control &= ~CONTROL_SCI_ENABLE;
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
    this.smiStatus = 0;
    this.resetControl = 0;
    this.halves = Math.floor(this.ticks() / TIMER_HALF);
    this.update();
  }

  save(): SavedState {
    // What the counter has done since anybody last looked.
    this.update();
    const { status, enable, control, gpeStatus, gpeEnable, smiCommand, smiStatus, resetControl, halves } = this;
    return { version: 1, status, enable, control, gpeStatus, gpeEnable, smiCommand, smiStatus, resetControl, halves };
  }

  restore(state: SavedState): void {
    const reader = openState('power management', 1, state);
    this.status = reader.word('status') & STATUS_BITS;
    this.enable = reader.word('enable') & ENABLE_BITS;
    this.control = reader.word('control') & (CONTROL_WRITABLE | CONTROL_SCI_ENABLE);
    this.gpeStatus = reader.word('gpeStatus');
    this.gpeEnable = reader.word('gpeEnable');
    this.smiCommand = reader.byte('smiCommand');
    this.smiStatus = reader.byte('smiStatus');
    this.resetControl = reader.byte('resetControl');
    this.halves = reader.integer('halves', 0, Number.MAX_SAFE_INTEGER);
    this.update();
  }
}
