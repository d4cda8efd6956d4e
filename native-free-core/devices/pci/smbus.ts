// The SMBus host controller of the PIIX4 south bridge, on a bus to which no device is connected.
// Owns its 16 ports and its interrupt request.
// Never answers for a device: every transaction ends with "nobody acknowledged", as it does on such a bus.

import type { Clock } from '../../host.ts';
import type { Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from '../device.ts';
import { openState } from '../saved-state.ts';

/** Offsets (Intel 290562, 7.3). */
const Register = {
  hostStatus: 0x00,
  slaveStatus: 0x01,
  hostControl: 0x02,
  hostCommand: 0x03,
  hostAddress: 0x04,
  data0: 0x05,
  data1: 0x06,
  block: 0x07,
  slaveControl: 0x08,
  slaveShadow: 0x09,
  slaveEvent: 0x0a,
  slaveData: 0x0c,
} as const;

export const SMBUS_BLOCK_SIZE = 16;
const STATUS_BUSY = 0x01;
const STATUS_INTERRUPT = 0x02;
const STATUS_DEVICE_ERROR = 0x04;
const STATUS_FAILED = 0x10;
const STATUS_CLEARABLE = 0x1e;
const CONTROL_INTERRUPT_ENABLE = 0x01;
const CONTROL_KILL = 0x02;
const CONTROL_START = 0x40;
const BLOCK_BYTES = 32;
/** An address byte, its missing acknowledge and the stop at about 16 kHz of a PIIX4. */
const ADDRESS_NS = 700_000;

export interface SmbusWiring {
  clock: Clock;
  timers: Timers;
  /** IRQ 9. */
  line: InterruptLine;
}

export class SmbusController implements Device {
  private readonly wiring: SmbusWiring;
  private readonly timer: Timer;
  private readonly values: Uint8Array = new Uint8Array(SMBUS_BLOCK_SIZE);
  private readonly block = new Uint8Array(BLOCK_BYTES);
  private blockIndex = 0;
  private status = 0;
  /** When the transaction under way ends, in nanoseconds since power-on. */
  private endsAt = Infinity;

  constructor(wiring: SmbusWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.finish());
  }

  /** The ports, by offset: the power management function decides where they are. */
  readonly registers: PortHandler = {
    readPort: (offset, size) => {
      let value = 0;
      for (let i = 0; i < size; i++) value += this.read(offset + i) * 2 ** (8 * i);
      return value;
    },
    writePort: (offset, size, value) => {
      for (let i = 0; i < size; i++) this.write(offset + i, (value >>> (8 * i)) & 0xff);
    },
  };

  private finish(): void {
    this.endsAt = Infinity;
    this.status = (this.status & ~STATUS_BUSY) | STATUS_DEVICE_ERROR;
    this.update();
  }

  private update(): void {
    const enabled = (this.values[Register.hostControl] & CONTROL_INTERRUPT_ENABLE) !== 0;
    const done = STATUS_INTERRUPT | STATUS_DEVICE_ERROR | STATUS_FAILED;
    this.wiring.line.set(enabled && (this.status & done) !== 0);
  }

  private read(offset: number): number {
    switch (offset) {
      case Register.hostStatus:
        if (this.wiring.clock.now() >= this.endsAt) {
          this.timer.cancel();
          this.finish();
        }
        return this.status;
      case Register.hostControl:
        // Reading it begins the block anew.
        this.blockIndex = 0;
        return this.values[offset];
      case Register.block: {
        const value = this.block[this.blockIndex];
        this.blockIndex = (this.blockIndex + 1) % BLOCK_BYTES;
        return value;
      }
      default:
        return this.values[offset] ?? 0;
    }
  }

  private write(offset: number, value: number): void {
    switch (offset) {
      case Register.hostStatus:
        this.status &= ~(value & STATUS_CLEARABLE);
        break;
      case Register.hostControl:
        this.values[offset] = value & 0x1d;
        if ((value & CONTROL_KILL) !== 0) this.kill();
        else if ((value & CONTROL_START) !== 0 && (this.status & STATUS_BUSY) === 0) this.begin();
        break;
      case Register.block:
        this.block[this.blockIndex] = value;
        this.blockIndex = (this.blockIndex + 1) % BLOCK_BYTES;
        break;
      case Register.hostCommand:
      case Register.hostAddress:
      case Register.data0:
      case Register.data1:
      case Register.slaveEvent:
      case Register.slaveEvent + 1:
        this.values[offset] = value;
        break;
      case Register.slaveControl:
        this.values[offset] = value & 0x0f;
        break;
      default: // status of a slave that nobody addresses, and its data
    }
    this.update();
  }

  private begin(): void {
    this.status |= STATUS_BUSY;
    this.endsAt = this.wiring.clock.now() + ADDRESS_NS;
    this.timer.arm(this.endsAt);
  }

  private kill(): void {
    if ((this.status & STATUS_BUSY) === 0) return;
    this.timer.cancel();
    this.endsAt = Infinity;
    this.status = (this.status & ~STATUS_BUSY) | STATUS_FAILED;
  }

  reset(): void {
    this.timer.cancel();
    this.endsAt = Infinity;
    this.values.fill(0);
    this.block.fill(0);
    this.blockIndex = 0;
    this.status = 0;
    this.update();
  }

  save(): SavedState {
    const { status, blockIndex } = this;
    const left = this.endsAt === Infinity ? -1 : Math.max(0, this.endsAt - this.wiring.clock.now());
    return { version: 1, registers: this.values.slice(), block: this.block.slice(), status, blockIndex, left };
  }

  restore(state: SavedState): void {
    const reader = openState('SMBus controller', 1, state);
    this.values.set(reader.bytes('registers', SMBUS_BLOCK_SIZE));
    this.block.set(reader.bytes('block', BLOCK_BYTES));
    this.status = reader.byte('status') & (STATUS_CLEARABLE | STATUS_BUSY);
    this.blockIndex = reader.integer('blockIndex', 0, BLOCK_BYTES - 1);
    const left = reader.number('left');
    this.timer.cancel();
    this.endsAt = Infinity;
    if ((this.status & STATUS_BUSY) !== 0) {
      this.endsAt = this.wiring.clock.now() + Math.min(Math.max(left, 0), ADDRESS_NS);
      this.timer.arm(this.endsAt);
    }
    this.update();
  }
}
