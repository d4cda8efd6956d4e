// The 8254 programmable interval timer and the system control port B (61h) that gates its third channel.
// Owns ports 40h-43h and 61h; counts are computed from the clock when somebody looks.
// Never ticks: a host timer is armed only for the next rising edge of channel 0.

import type { Clock } from '../../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from '../device.ts';
import { openState, type StateReader } from '../saved-state.ts';
import { ticksAt, timeOfTick } from '../timers.ts';

/** Input clock of the 8254 on a PC, in Hz. */
export const PIT_HZ = 1193182;
/** Port 61h bit 4 toggles with each refresh of the DRAM, about every 15 us. */
const REFRESH_NS = 15085;

const fromBcd = (value: number) =>
  (value & 0xf) + ((value >> 4) & 0xf) * 10 + ((value >> 8) & 0xf) * 100 + ((value >> 12) & 0xf) * 1000;
const toBcd = (value: number) =>
  (value % 10) |
  ((Math.floor(value / 10) % 10) << 4) |
  ((Math.floor(value / 100) % 10) << 8) |
  (Math.floor(value / 1000) << 12);

/**
 * One counter, as Intel's datasheet (231164-005) describes it. Times are ticks of the input clock since power-on.
 * A counter that runs has counted `tick - start` clocks of the current count `period`.
 */
class Channel {
  mode = 0;
  private bcd = false;
  /** Read/write mode: 1 low byte, 2 high byte, 3 both. */
  private access = 3;
  gate: boolean;
  /** The count register, as last completely written; 0 stands for the largest count. */
  private written = 0;
  /** A count is written and will be loaded: at once, at the end of a period, or at a trigger. */
  private nullCount = true;
  /** When the count register was last written; -1 while it was not since the control word. */
  private pendingSince = -1;
  /** The count that runs, 1 to 10000h; 0 before there is one. */
  private period = 0;
  private start = 0;
  /** Whether the counter runs; otherwise it has counted `elapsed` clocks and stands. */
  private running = false;
  private elapsed = 0;
  private lowByte = 0;
  private writeHigh = false;
  private readHigh = false;
  /** Latched count, or -1. */
  private latch = -1;
  /** Latched status, or -1. */
  private status = -1;

  constructor(gate: boolean) {
    this.gate = gate;
  }

  private modulus(): number {
    return this.bcd ? 10000 : 0x10000;
  }

  private newPeriod(): number {
    const value = this.bcd ? fromBcd(this.written) : this.written;
    return value === 0 ? this.modulus() : value;
  }

  private counted(tick: number): number {
    return this.running ? tick - this.start : this.elapsed;
  }

  /**
   * Brings a periodic counter up to `tick`: a count written meanwhile is loaded where a period ended. (The chip loads
   * it at the end of a half period in mode 3; nothing but the phase of one square wave differs.)
   */
  private sync(tick: number): void {
    if (!this.running || !this.nullCount || this.writeHigh || (this.mode !== 2 && this.mode !== 3)) return;
    const boundary = this.nextLoad(this.pendingSince);
    if (tick < boundary) return;
    this.start = boundary;
    this.load();
  }

  /** The first end of a period after `tick`, at which a pending count is loaded. */
  private nextLoad(tick: number): number {
    const counted = tick - this.start;
    return this.start + (Math.floor(counted / this.period) + 1) * this.period;
  }

  private load(): void {
    this.period = this.newPeriod();
    this.nullCount = false;
  }

  private begin(tick: number): void {
    this.load();
    this.start = tick;
    this.elapsed = 0;
    this.running = this.gate || this.mode === 1 || this.mode === 5;
  }

  setControl(value: number, tick: number): void {
    this.mode = (value >> 1) & 7;
    if (this.mode > 5) this.mode -= 4;
    this.access = (value >> 4) & 3;
    this.bcd = (value & 1) !== 0;
    this.writeHigh = false;
    this.readHigh = false;
    this.latch = -1;
    this.status = -1;
    this.nullCount = true;
    this.elapsed = this.period === 0 ? 0 : this.counted(tick);
    this.running = false;
    this.period = 0;
    this.pendingSince = -1;
  }

  write(value: number, tick: number): void {
    this.sync(tick);
    if (this.access === 3 && !this.writeHigh) {
      this.lowByte = value;
      this.writeHigh = true;
      // In mode 0 the first byte stops the count.
      if (this.mode === 0 && this.period !== 0) {
        this.elapsed = 0;
        this.running = false;
        this.period = 0;
      }
      return;
    }
    if (this.access === 3) this.written = this.lowByte | (value << 8);
    else this.written = this.access === 1 ? value : value << 8;
    this.writeHigh = false;
    this.nullCount = true;
    this.pendingSince = tick;
    switch (this.mode) {
      case 0:
      case 4:
        this.begin(tick);
        break;
      case 2:
      case 3:
        // While a period runs the new count waits for its end.
        if (this.period === 0) this.begin(tick);
        break;
      default: // 1 and 5 wait for a trigger
    }
  }

  setGate(gate: boolean, tick: number): void {
    if (gate === this.gate) return;
    this.sync(tick);
    const counted = this.counted(tick);
    this.gate = gate;
    if (this.mode === 0 || this.mode === 4) {
      if (this.period === 0) return;
      this.elapsed = counted;
      this.start = tick - counted;
      this.running = gate;
    } else if (this.mode === 2 || this.mode === 3) {
      if (this.period === 0) return;
      if (gate) this.begin(tick);
      else {
        this.elapsed = counted;
        this.running = false;
      }
    } else if (gate && this.pendingSince >= 0) {
      this.begin(tick);
    }
  }

  output(tick: number): boolean {
    this.sync(tick);
    if (this.period === 0) return this.mode !== 0;
    const counted = this.counted(tick);
    switch (this.mode) {
      case 0:
      case 1:
        return counted >= this.period;
      case 2:
        return !this.running || counted % this.period !== this.period - 1;
      case 3:
        return !this.running || counted % this.period < Math.ceil(this.period / 2);
      default:
        return counted !== this.period;
    }
  }

  /** The tick of the next rising edge of the output after `tick`, or Infinity. */
  nextRise(tick: number): number {
    this.sync(tick);
    if (this.period === 0 || !this.running) return Infinity;
    const counted = tick - this.start;
    switch (this.mode) {
      case 0:
      case 1:
        return counted < this.period ? this.start + this.period : Infinity;
      case 2:
      case 3:
        return this.nextLoad(tick);
      default:
        return counted <= this.period ? this.start + this.period + 1 : Infinity;
    }
  }

  private count(tick: number): number {
    this.sync(tick);
    const counted = this.counted(tick);
    const modulus = this.modulus();
    let value: number;
    if (this.period === 0) value = modulus - (counted % modulus);
    else if (this.mode === 2) value = this.period - (counted % this.period);
    else if (this.mode === 3) {
      // Counts by two through each half of the square wave.
      const half = Math.ceil(this.period / 2);
      const position = counted % this.period;
      value = (this.period & ~1) - 2 * (position < half ? position : position - half);
    } else value = this.period - (counted % modulus) + modulus;
    value = ((value % modulus) + modulus) % modulus;
    return this.bcd ? toBcd(value) : value;
  }

  latchCount(tick: number): void {
    if (this.latch < 0) this.latch = this.count(tick);
  }

  latchStatus(tick: number): void {
    if (this.status >= 0) return;
    const out = this.output(tick) ? 0x80 : 0;
    this.status = out | (this.nullCount ? 0x40 : 0) | (this.access << 4) | (this.mode << 1) | (this.bcd ? 1 : 0);
  }

  read(tick: number): number {
    if (this.status >= 0) {
      const { status } = this;
      this.status = -1;
      return status;
    }
    const value = this.latch >= 0 ? this.latch : this.count(tick);
    if (this.access === 3 && !this.readHigh) {
      this.readHigh = true;
      return value & 0xff;
    }
    const high = this.access === 2 || (this.access === 3 && this.readHigh);
    this.readHigh = false;
    this.latch = -1;
    return high ? value >> 8 : value & 0xff;
  }

  /** Period of the square wave in ticks, or 0 when it does not run. */
  get squareWave(): number {
    return this.mode === 3 && this.running ? this.period : 0;
  }

  save(): Record<string, unknown> {
    return {
      mode: this.mode,
      bcd: this.bcd,
      access: this.access,
      gate: this.gate,
      written: this.written,
      nullCount: this.nullCount,
      period: this.period,
      start: this.start,
      running: this.running,
      elapsed: this.elapsed,
      lowByte: this.lowByte,
      writeHigh: this.writeHigh,
      readHigh: this.readHigh,
      latch: this.latch,
      status: this.status,
      pendingSince: this.pendingSince,
    };
  }

  restore(state: StateReader): void {
    this.mode = state.integer('mode', 0, 5);
    this.bcd = state.boolean('bcd');
    this.access = state.integer('access', 1, 3);
    this.gate = state.boolean('gate');
    this.written = state.word('written');
    this.nullCount = state.boolean('nullCount');
    this.period = state.integer('period', 0, 0x10000);
    this.start = state.integer('start', 0, Number.MAX_SAFE_INTEGER);
    this.running = state.boolean('running');
    this.elapsed = state.integer('elapsed', 0, Number.MAX_SAFE_INTEGER);
    this.lowByte = state.byte('lowByte');
    this.writeHigh = state.boolean('writeHigh');
    this.readHigh = state.boolean('readHigh');
    this.latch = state.integer('latch', -1, 0xffff);
    this.status = state.integer('status', -1, 0xff);
    this.pendingSince = state.integer('pendingSince', -1, Number.MAX_SAFE_INTEGER);
  }

  reset(gate: boolean): void {
    this.mode = 0;
    this.bcd = false;
    this.access = 3;
    this.gate = gate;
    this.written = 0;
    this.nullCount = true;
    this.period = 0;
    this.start = 0;
    this.running = false;
    this.elapsed = 0;
    this.writeHigh = false;
    this.readHigh = false;
    this.latch = -1;
    this.status = -1;
    this.pendingSince = -1;
  }
}

/** What the PIT is wired to. */
export interface PitWiring {
  clock: Clock;
  timers: Timers;
  /** Output of channel 0: IRQ 0. */
  line: InterruptLine;
  /** Tells the frequency of the PC speaker in Hz, 0 for silence. */
  onSpeaker?(hertz: number): void;
}

/** The 8254 with its channel 0 on IRQ 0, channel 2 on the speaker, and port 61h. */
export class Pit implements Device, PortHandler {
  private readonly channels = [new Channel(true), new Channel(true), new Channel(false)];
  private readonly wiring: PitWiring;
  private readonly timer: Timer;
  /** Port 61h bits 0 to 3, as written. */
  private control = 0;
  private speaker = 0;

  constructor(wiring: PitWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create((deadline) => this.edge(deadline));
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x40, 0x43, this);
    bus.claimPorts(0x61, 0x61, this);
  }

  private tick(): number {
    return ticksAt(this.wiring.clock.now(), PIT_HZ);
  }

  /** Channel 0 rose, perhaps several times while nobody ran the timers: those ticks become one interrupt. */
  private edge(deadline: number): void {
    const tick = Math.max(this.tick(), ticksAt(deadline, PIT_HZ));
    this.wiring.line.set(false);
    this.wiring.line.set(true);
    this.arm(tick);
  }

  private arm(tick: number): void {
    const rise = this.channels[0].nextRise(tick);
    if (rise === Infinity) this.timer.cancel();
    else this.timer.arm(timeOfTick(rise, PIT_HZ));
  }

  readPort(port: number, size: AccessSize): number {
    if (size > 1) {
      let value = 0;
      for (let i = 0; i < size; i++) value += this.readPort(port + i, 1) * 2 ** (8 * i);
      return value;
    }
    if (port === 0x61) return this.readControl();
    if (port === 0x43) return 0xff;
    return this.channels[port & 3]?.read(this.tick()) ?? 0xff;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (size > 1) {
      for (let i = 0; i < size; i++) this.writePort(port + i, 1, (value >>> (8 * i)) & 0xff);
      return;
    }
    const tick = this.tick();
    if (port === 0x61) this.writeControl(value, tick);
    else if (port === 0x43) this.writeCommand(value, tick);
    else if (port < 0x43) {
      this.channels[port & 3].write(value, tick);
      if (port === 0x40) this.changed(tick);
    }
    this.updateSpeaker();
  }

  private writeCommand(value: number, tick: number): void {
    const select = value >> 6;
    if (select === 3) {
      // Read-back: the bits that ask are active low.
      this.channels.forEach((channel, index) => {
        if ((value & (2 << index)) === 0) return;
        if ((value & 0x20) === 0) channel.latchCount(tick);
        if ((value & 0x10) === 0) channel.latchStatus(tick);
      });
      return;
    }
    const channel = this.channels[select];
    if ((value & 0x30) === 0) {
      channel.latchCount(tick);
      return;
    }
    channel.setControl(value, tick);
    if (select === 0) this.changed(tick);
  }

  /** Channel 0 was programmed. */
  private changed(tick: number): void {
    this.wiring.line.set(this.channels[0].output(tick));
    this.arm(tick);
  }

  private readControl(): number {
    const now = this.wiring.clock.now();
    const refresh = Math.floor(now / REFRESH_NS) % 2 === 1 ? 0x10 : 0;
    return this.control | refresh | (this.channels[2].output(ticksAt(now, PIT_HZ)) ? 0x20 : 0);
  }

  private writeControl(value: number, tick: number): void {
    this.control = value & 0x0f;
    this.channels[2].setGate((value & 1) !== 0, tick);
  }

  private updateSpeaker(): void {
    const period = (this.control & 2) !== 0 ? this.channels[2].squareWave : 0;
    const hertz = period === 0 ? 0 : PIT_HZ / period;
    if (hertz === this.speaker) return;
    this.speaker = hertz;
    this.wiring.onSpeaker?.(hertz);
  }

  reset(): void {
    this.channels.forEach((channel, index) => {
      channel.reset(index !== 2);
    });
    this.control = 0;
    this.timer.cancel();
    this.wiring.line.set(false);
    this.updateSpeaker();
  }

  save(): SavedState {
    return { version: 1, control: this.control, channels: this.channels.map((channel) => channel.save()) };
  }

  restore(state: SavedState): void {
    const reader = openState('interval timer', 1, state);
    this.control = reader.integer('control', 0, 15);
    reader.records('channels', 3).forEach((record, index) => {
      this.channels[index].restore(record);
    });
    this.arm(this.tick());
    this.updateSpeaker();
  }
}
