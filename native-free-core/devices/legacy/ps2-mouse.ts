// A PS/2 mouse with three buttons and the wheel of the IntelliMouse.
// Owns its command protocol; movement adds up until a packet has room, so a slow guest loses no distance.
// Never knows a screen: movement is relative.

import type { Device, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import { type Ps2Device, Ps2Queue } from './ps2-device.ts';

const ACKNOWLEDGE = 0xfa;
const ERROR = 0xfc;
const SELF_TEST_PASSED = 0xaa;
const WHEEL_ID = 3;
/** Sample rates that, set one after the other, switch the wheel on. */
const WHEEL_KNOCK = [200, 100, 80];
/** Movement waiting for a packet is bounded, like the counters of a real mouse, only larger. */
const MOST_MOVEMENT = 4096;

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

export class Ps2Mouse implements Ps2Device, Device {
  onReady: () => void = () => {};
  private readonly queue = new Ps2Queue(16);
  private reporting = false;
  private remote = false;
  private wrap = false;
  private scaling = false;
  private resolution = 2;
  private sampleRate = 100;
  private lastRates: number[] = [];
  private wheel = false;
  private command = 0;
  private buttons = 0;
  private dx = 0;
  private dy = 0;
  private dz = 0;
  private changed = false;

  get ready(): boolean {
    if (this.queue.length === 0 && this.changed && this.reporting && !this.remote && !this.wrap) this.packet();
    return this.queue.length > 0;
  }

  take(): number {
    return this.queue.take();
  }

  /** Whether a driver has asked for movements: to be told of them, or to ask for each. */
  get isUsed(): boolean {
    return this.reporting || this.remote;
  }

  /** Moves by counts: `dx` to the right, `dy` away from the user, `dz` the wheel towards the user. */
  move(dx: number, dy: number, dz = 0): void {
    this.dx = clamp(this.dx + Math.trunc(dx), -MOST_MOVEMENT, MOST_MOVEMENT);
    this.dy = clamp(this.dy + Math.trunc(dy), -MOST_MOVEMENT, MOST_MOVEMENT);
    this.dz = clamp(this.dz + Math.trunc(dz), -MOST_MOVEMENT, MOST_MOVEMENT);
    this.event();
  }

  /** Buttons held now: bit 0 left, 1 right, 2 middle. */
  setButtons(buttons: number): void {
    if ((buttons & 7) === this.buttons) return;
    // A press that waits behind unread bytes must not be undone by its release: send what there is first.
    if (this.changed && this.reporting && !this.remote) this.packet();
    this.buttons = buttons & 7;
    this.event();
  }

  private event(): void {
    if (!this.reporting) {
      this.dx = this.dy = this.dz = 0;
      return;
    }
    this.changed = true;
    this.onReady();
  }

  /** Queues one packet of what moved, if it has room. */
  private packet(): void {
    const dx = clamp(this.dx, -255, 255);
    const dy = clamp(this.dy, -255, 255);
    const dz = this.wheel ? clamp(this.dz, -8, 7) : this.dz;
    const first = 0x08 | this.buttons | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0);
    const bytes = [first, dx & 0xff, dy & 0xff];
    if (this.wheel) bytes.push(dz & 0xff);
    if (!this.queue.event(bytes)) return;
    this.dx -= dx;
    this.dy -= dy;
    this.dz -= dz;
    this.changed = this.dx !== 0 || this.dy !== 0 || this.dz !== 0;
  }

  write(byte: number): void {
    if (this.wrap && byte !== 0xff && byte !== 0xec) this.queue.answer(byte);
    else if (this.command !== 0) this.argument(byte);
    else this.execute(byte);
    this.onReady();
  }

  private argument(byte: number): void {
    const { command } = this;
    this.command = 0;
    if (command === 0xe8) this.resolution = byte & 3;
    else {
      this.sampleRate = byte;
      this.lastRates = [...this.lastRates, byte].slice(-WHEEL_KNOCK.length);
      if (WHEEL_KNOCK.every((rate, index) => rate === this.lastRates[index])) this.wheel = true;
    }
    this.queue.answer(ACKNOWLEDGE);
  }

  private execute(byte: number): void {
    switch (byte) {
      case 0xe6:
      case 0xe7:
        this.scaling = byte === 0xe7;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xe8:
      case 0xf3:
        this.command = byte;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xe9: {
        const buttons = ((this.buttons & 1) << 2) | ((this.buttons & 4) >> 1) | ((this.buttons & 2) >> 1);
        const modes = (this.remote ? 0x40 : 0) | (this.reporting ? 0x20 : 0) | (this.scaling ? 0x10 : 0);
        this.queue.answer(ACKNOWLEDGE, modes | buttons, this.resolution, this.sampleRate);
        break;
      }
      case 0xea:
        this.remote = false;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xeb:
        this.queue.answer(ACKNOWLEDGE);
        this.packet();
        break;
      case 0xec:
      case 0xee:
        this.wrap = byte === 0xee;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xf0:
        this.remote = true;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xf2:
        this.queue.answer(ACKNOWLEDGE, this.wheel ? WHEEL_ID : 0);
        break;
      case 0xf4:
      case 0xf5:
        this.reporting = byte === 0xf4;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xf6:
        this.setDefaults();
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xff:
        this.setDefaults();
        this.wheel = false;
        this.queue.answer(ACKNOWLEDGE, SELF_TEST_PASSED, 0);
        break;
      default:
        this.queue.answer(ERROR);
    }
  }

  private setDefaults(): void {
    this.queue.clear();
    this.reporting = false;
    this.remote = false;
    this.wrap = false;
    this.scaling = false;
    this.resolution = 2;
    this.sampleRate = 100;
    this.lastRates = [];
    this.dx = this.dy = this.dz = 0;
    this.changed = false;
  }

  reset(): void {
    this.setDefaults();
    this.wheel = false;
    this.command = 0;
    this.buttons = 0;
  }

  save(): SavedState {
    return {
      version: 1,
      queue: this.queue.save(),
      reporting: this.reporting,
      remote: this.remote,
      wrap: this.wrap,
      scaling: this.scaling,
      resolution: this.resolution,
      sampleRate: this.sampleRate,
      lastRates: [...this.lastRates],
      wheel: this.wheel,
      command: this.command,
      buttons: this.buttons,
      movement: [this.dx, this.dy, this.dz],
      changed: this.changed,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('mouse', 1, state);
    this.queue.restore(reader.integers('queue', 0, 255, 0, this.queue.capacity));
    this.reporting = reader.boolean('reporting');
    this.remote = reader.boolean('remote');
    this.wrap = reader.boolean('wrap');
    this.scaling = reader.boolean('scaling');
    this.resolution = reader.integer('resolution', 0, 3);
    this.sampleRate = reader.byte('sampleRate');
    this.lastRates = reader.integers('lastRates', 0, 255, 0, WHEEL_KNOCK.length);
    this.wheel = reader.boolean('wheel');
    this.command = reader.byte('command');
    this.buttons = reader.integer('buttons', 0, 7);
    [this.dx, this.dy, this.dz] = reader.integers('movement', -MOST_MOVEMENT, MOST_MOVEMENT, 3);
    this.changed = reader.boolean('changed');
  }
}
