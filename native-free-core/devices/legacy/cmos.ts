// The MC146818 real-time clock and the battery-backed CMOS RAM of a PC.
// Owns ports 70h-71h, 128 bytes and IRQ 8; the time is the guest's clock plus what the guest last set.
// Never ticks: a timer is armed only for an interrupt that the guest enabled.

import type { Clock, WallTime } from '../../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from '../device.ts';
import { openState, type StateReader } from '../saved-state.ts';

/** Registers that show the time. */
const TIME_REGISTERS: Readonly<Record<number, Exclude<keyof TimeFields, 'nanosecond'>>> = {
  0: 'second',
  2: 'minute',
  4: 'hour',
  6: 'weekday',
  7: 'day',
  8: 'month',
  9: 'year',
  50: 'century',
};
const SECONDS_ALARM = 0x01;
const MINUTES_ALARM = 0x03;
const HOURS_ALARM = 0x05;
const REGISTER_A = 0x0a;
const REGISTER_B = 0x0b;
const REGISTER_C = 0x0c;
const REGISTER_D = 0x0d;
const MEMORY = { baseLow: 0x15, extendedLow: 0x17, extendedCopy: 0x30, above16MLow: 0x34, above4GLow: 0x5b };
const FLOPPY_TYPES = 0x10;
const EQUIPMENT = 0x14;

const B_SET = 0x80;
const B_PERIODIC = 0x40;
const B_ALARM = 0x20;
const B_UPDATE = 0x10;
const B_BINARY = 0x04;
const B_24_HOURS = 0x02;
const C_PERIODIC = 0x40;
const C_ALARM = 0x20;
const C_UPDATE = 0x10;
const C_REQUEST = 0x80;

const SECOND_NS = 1e9;
const DAY_SECONDS = 86400;
/** Update-in-progress is up from 244 us before the update cycle until its end 1984 us later (MC146818, figure 15). */
const UPDATE_NS = (244 + 1984) * 1000;

/** A remainder made positive: a guest may set its clock to a time before 1970. */
const positive = (remainder: number, modulus: number) => (remainder < 0 ? remainder + modulus : remainder);

/** The time in the units the registers show; a field may be out of range while the guest is setting it. */
interface TimeFields {
  second: number;
  minute: number;
  hour: number;
  weekday: number;
  day: number;
  month: number;
  year: number;
  century: number;
  nanosecond: number;
}

function readFields(state: StateReader): TimeFields {
  const field = (name: string) => state.integer(name, 0, 255);
  return {
    second: field('second'),
    minute: field('minute'),
    hour: field('hour'),
    weekday: field('weekday'),
    day: field('day'),
    month: field('month'),
    year: field('year'),
    century: field('century'),
    nanosecond: state.number('nanosecond'),
  };
}

/** How memory is reported to firmware and old systems. */
export interface CmosMemory {
  /** RAM below 4 GiB, in bytes. */
  low: number;
  /** RAM from 4 GiB up, in bytes. */
  high: number;
}

export interface CmosWiring {
  clock: Clock;
  timers: Timers;
  wallTime: WallTime;
  /** IRQ 8. */
  line: InterruptLine;
  memory: CmosMemory;
  /** Types of the floppy drives A and B, as register 10h has them; 0: none. */
  floppies?: readonly [number, number];
  /** Bit 7 of port 70h: whether non-maskable interrupts reach the CPU. */
  onNmiMask?(masked: boolean): void;
}

/** RTC and CMOS RAM. */
export class Cmos implements Device, PortHandler {
  private readonly wiring: CmosWiring;
  private readonly timer: Timer;
  private readonly ram = new Uint8Array(128);
  private index = 0;
  /** Time shown = clock + offset, in nanoseconds since the Unix epoch, while the clock runs. */
  private offset: number;
  /** What is shown while it stands (SET, or the divider held in reset), each field as the guest last wrote it. */
  private held: TimeFields | undefined;
  /** Up to when flags of register C were brought up to date, in nanoseconds since power-on. */
  private synced = 0;

  constructor(wiring: CmosWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.update());
    this.offset = wiring.wallTime() * 1e6 - wiring.clock.now();
    this.ram[REGISTER_A] = 0x26;
    this.ram[REGISTER_B] = B_24_HOURS;
    this.ram[REGISTER_D] = 0x80;
    this.describeMachine();
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x70, 0x71, this);
  }

  /** A byte of the CMOS RAM, as firmware would leave it there. Indexes below 0Eh are the clock's and are refused. */
  setByte(index: number, value: number): void {
    if (index < 0x0e || index > 0x7f) throw new RangeError(`CMOS byte ${index} is not one of 14 to 127`);
    this.ram[index] = value;
    this.updateChecksum();
  }

  private describeMachine(): void {
    const { low, high } = this.wiring.memory;
    const word = (at: number, value: number) => {
      this.ram[at] = value & 0xff;
      this.ram[at + 1] = value >> 8;
    };
    const extendedKiB = Math.min(Math.max(low / 1024 - 1024, 0), 0xffff);
    word(MEMORY.baseLow, Math.min(low / 1024, 640));
    word(MEMORY.extendedLow, extendedKiB);
    word(MEMORY.extendedCopy, extendedKiB);
    word(MEMORY.above16MLow, Math.min(Math.max(Math.floor((low - 16 * 1024 * 1024) / 65536), 0), 0xffff));
    const above4G = Math.floor(high / 65536);
    word(MEMORY.above4GLow, above4G & 0xffff);
    this.ram[MEMORY.above4GLow + 2] = above4G >>> 16;
    const [first, second] = this.wiring.floppies ?? [0, 0];
    this.ram[FLOPPY_TYPES] = (first << 4) | second;
    // A coprocessor, a pointing device, colour display; one or two floppy drives.
    this.ram[EQUIPMENT] = 0x06 | (first === 0 ? 0 : second === 0 ? 0x01 : 0x41);
    this.updateChecksum();
  }

  /** The sum that the AT BIOS keeps over bytes 10h to 2Dh. */
  private updateChecksum(): void {
    let sum = 0;
    for (let i = 0x10; i <= 0x2d; i++) sum += this.ram[i];
    this.ram[0x2e] = (sum >> 8) & 0xff;
    this.ram[0x2f] = sum & 0xff;
  }

  private stands(): boolean {
    return (this.ram[REGISTER_B] & B_SET) !== 0 || (this.ram[REGISTER_A] & 0x60) === 0x60;
  }

  /** The rate of the periodic interrupt as nanoseconds between two, or 0 (MC146818, table 5). */
  private periodicNs(): number {
    const rate = this.ram[REGISTER_A] & 0x0f;
    if (rate === 0 || (this.ram[REGISTER_A] & 0x60) === 0x60) return 0;
    // Rates 1 and 2 repeat those of 8 and 9 with the 32 kHz time base.
    const divider = rate < 3 ? rate + 7 : rate;
    return (SECOND_NS / 32768) * 2 ** (divider - 1);
  }

  private encode(value: number): number {
    return (this.ram[REGISTER_B] & B_BINARY) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }

  private decode(value: number): number {
    return (this.ram[REGISTER_B] & B_BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 0x0f);
  }

  private encodeHour(hour: number): number {
    if ((this.ram[REGISTER_B] & B_24_HOURS) !== 0) return this.encode(hour);
    return this.encode(hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0);
  }

  private decodeHour(value: number): number {
    if ((this.ram[REGISTER_B] & B_24_HOURS) !== 0) return this.decode(value);
    return (this.decode(value & 0x7f) % 12) + ((value & 0x80) !== 0 ? 12 : 0);
  }

  private fields(): TimeFields {
    if (this.held !== undefined) return this.held;
    const now = this.wiring.clock.now() + this.offset;
    const date = new Date(Math.floor(now / 1e6));
    return {
      second: date.getUTCSeconds(),
      minute: date.getUTCMinutes(),
      hour: date.getUTCHours(),
      weekday: date.getUTCDay() + 1,
      day: date.getUTCDate(),
      month: date.getUTCMonth() + 1,
      year: date.getUTCFullYear() % 100,
      century: Math.floor(date.getUTCFullYear() / 100) % 100,
      nanosecond: positive(now % SECOND_NS, SECOND_NS),
    };
  }

  /** Makes the clock show `fields` now. Fields that are no date (a 31st of February) carry over, as in a real chip. */
  private showFields(fields: TimeFields): void {
    const { century, year, month, day, hour, minute, second, nanosecond } = fields;
    const date = new Date(0);
    date.setUTCFullYear(century * 100 + year, month - 1, day);
    date.setUTCHours(hour, minute, second);
    this.offset = date.getTime() * 1e6 + nanosecond - this.wiring.clock.now();
  }

  private readTime(name: keyof TimeFields): number {
    const value = this.fields()[name];
    // A field that the guest holds may be no number of the encoding: it has eight bits all the same.
    return (name === 'hour' ? this.encodeHour(value) : this.encode(value)) & 0xff;
  }

  private writeTime(name: keyof TimeFields, value: number): void {
    const fields = { ...this.fields(), [name]: name === 'hour' ? this.decodeHour(value) : this.decode(value) };
    if (this.held !== undefined) this.held = fields;
    else this.showFields(fields);
  }

  /** Brings the flags of register C up to date: what happened between `synced` and now. */
  private sync(now: number): void {
    const period = this.periodicNs();
    if (period > 0 && Math.floor(now / period) > Math.floor(this.synced / period)) this.ram[REGISTER_C] |= C_PERIODIC;
    if (!this.stands()) {
      const first = Math.floor((this.synced + this.offset) / SECOND_NS);
      const last = Math.floor((now + this.offset) / SECOND_NS);
      if (last > first) {
        this.ram[REGISTER_C] |= C_UPDATE;
        if (this.secondsToAlarm(first) <= last - first) this.ram[REGISTER_C] |= C_ALARM;
      }
    }
    this.synced = now;
  }

  /** Seconds from `second` (since the epoch) to the next alarm after it, 1 to a day, or Infinity. */
  private secondsToAlarm(second: number): number {
    const start = positive(second % DAY_SECONDS, DAY_SECONDS);
    const [secondAlarm, minuteAlarm, hourAlarm] = [SECONDS_ALARM, MINUTES_ALARM, HOURS_ALARM].map((at) => this.ram[at]);
    // The two top bits set mean "any".
    const matches = (alarm: number, shown: number) => alarm >= 0xc0 || alarm === shown;
    for (let distance = 1; distance <= DAY_SECONDS; ) {
      const time = (start + distance) % DAY_SECONDS;
      if (!matches(hourAlarm, this.encodeHour(Math.floor(time / 3600)))) distance += 3600 - (time % 3600);
      else if (!matches(minuteAlarm, this.encode(Math.floor(time / 60) % 60))) distance += 60 - (time % 60);
      else if (!matches(secondAlarm, this.encode(time % 60))) distance++;
      else return distance;
    }
    return Infinity;
  }

  /** Sets IRQ 8 as the flags say, and the timer for the next flag that would raise it. */
  private update(): void {
    const now = this.wiring.clock.now();
    this.sync(now);
    const enabled = this.ram[REGISTER_B] & (B_PERIODIC | B_ALARM | B_UPDATE);
    // Enable bits of B and flags of C have the same positions.
    const requested = (this.ram[REGISTER_C] & enabled) !== 0;
    this.ram[REGISTER_C] = (this.ram[REGISTER_C] & ~C_REQUEST) | (requested ? C_REQUEST : 0);
    this.wiring.line.set(requested);
    let deadline = Infinity;
    if (!requested) {
      const period = this.periodicNs();
      if ((enabled & B_PERIODIC) !== 0 && period > 0) deadline = (Math.floor(now / period) + 1) * period;
      if (!this.stands()) {
        const second = Math.floor((now + this.offset) / SECOND_NS);
        const at = (seconds: number) => (second + seconds) * SECOND_NS - this.offset;
        if ((enabled & B_UPDATE) !== 0) deadline = Math.min(deadline, at(1));
        if ((enabled & B_ALARM) !== 0) deadline = Math.min(deadline, at(this.secondsToAlarm(second)));
      }
    }
    if (deadline === Infinity) this.timer.cancel();
    // The sum of an epoch time and a clock is exact to about a quarter of a microsecond: wake surely after it.
    else this.timer.arm(deadline + 1000);
  }

  readPort(port: number, size: AccessSize): number {
    if (size > 1) return this.readPort(port, 1) | (this.readPort(port + 1, 1) << 8);
    if (port === 0x70) return 0xff;
    const { index } = this;
    const field = TIME_REGISTERS[index];
    if (field !== undefined) return this.readTime(field);
    if (index === REGISTER_A) return this.ram[REGISTER_A] | (this.updateInProgress() ? 0x80 : 0);
    if (index === REGISTER_C) {
      this.update();
      const flags = this.ram[REGISTER_C];
      this.ram[REGISTER_C] = 0;
      // The next flag may be due by now: without this edge of its own an 8259 would never see it.
      this.wiring.line.set(false);
      this.update();
      return flags;
    }
    return this.ram[index];
  }

  private updateInProgress(): boolean {
    if (this.stands()) return false;
    return this.fields().nanosecond >= SECOND_NS - UPDATE_NS;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (size > 1) {
      this.writePort(port, 1, value & 0xff);
      this.writePort(port + 1, 1, (value >>> 8) & 0xff);
      return;
    }
    if (port === 0x70) {
      this.index = value & 0x7f;
      this.wiring.onNmiMask?.((value & 0x80) !== 0);
      return;
    }
    this.sync(this.wiring.clock.now());
    this.writeRegister(this.index, value);
    this.update();
  }

  private writeRegister(index: number, value: number): void {
    if (index === REGISTER_A || index === REGISTER_B) {
      this.writeControl(index, value);
    } else if (TIME_REGISTERS[index] !== undefined) {
      this.writeTime(TIME_REGISTERS[index], value);
    } else if (index !== REGISTER_C && index !== REGISTER_D) {
      this.ram[index] = value;
    }
  }

  private writeControl(index: number, value: number): void {
    const fields = this.fields();
    const heldDivider = (this.ram[REGISTER_A] & 0x60) === 0x60;
    this.ram[index] = index === REGISTER_A ? value & 0x7f : value;
    // SET clears the update interrupt enable (MC146818, register B).
    if ((this.ram[REGISTER_B] & B_SET) !== 0) this.ram[REGISTER_B] &= ~B_UPDATE;
    // The first update comes half a second after the divider is released.
    if (heldDivider && (this.ram[REGISTER_A] & 0x60) !== 0x60) fields.nanosecond = SECOND_NS / 2;
    if (this.stands()) this.held = fields;
    else if (this.held !== undefined) {
      this.held = undefined;
      this.showFields(fields);
    }
  }

  /** The chip's RESET pin: time and RAM are kept, interrupts are disabled. */
  reset(): void {
    this.index = 0;
    this.synced = this.wiring.clock.now();
    this.ram[REGISTER_B] &= ~(B_PERIODIC | B_ALARM | B_UPDATE);
    this.ram[REGISTER_C] = 0;
    this.update();
  }

  save(): SavedState {
    this.sync(this.wiring.clock.now());
    return {
      version: 1,
      ram: this.ram.slice(),
      index: this.index,
      offset: this.offset,
      held: this.held ?? null,
      synced: this.synced,
      wall: this.wiring.wallTime(),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('real-time clock', 1, state);
    this.ram.set(reader.bytes('ram', 128));
    this.index = reader.integer('index', 0, 0x7f);
    // A battery keeps the clock going while the machine is off.
    this.offset = reader.number('offset') + (this.wiring.wallTime() - reader.number('wall')) * 1e6;
    this.held = this.stands() ? readFields(reader.record('held')) : undefined;
    this.synced = reader.number('synced');
    this.update();
  }
}
