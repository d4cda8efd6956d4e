// A PS/2 keyboard: the IBM enhanced keyboard with scan code sets 1 and 2.
// Owns its command protocol and its small buffer of key strokes.
// Never translates for the controller and never knows characters.

import type { Device, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import { type Ps2Device, Ps2Queue } from './ps2-device.ts';
import { scanCodesSet2, toSet1 } from './ps2-scancodes.ts';

const ACKNOWLEDGE = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
/** A real keyboard buffers 16 bytes. More lets a script type a line at once without losing strokes. */
const BUFFER = 256;

export class Ps2Keyboard implements Ps2Device, Device {
  onReady: () => void = () => {};
  private readonly queue = new Ps2Queue(BUFFER);
  private scanning = true;
  private set = 2;
  /** The command whose argument comes next, or 0. */
  private command = 0;
  private lastSent = 0;
  /** Bit 0 scroll lock, 1 num lock, 2 caps lock. */
  leds = 0;
  /** Ctrl and Alt keys that are down: what Print Screen and Pause send depends on them. Not saved: nobody holds keys then. */
  private readonly modifiers = new Set<string>();

  get ready(): boolean {
    return this.queue.length > 0;
  }

  private isHeld(modifier: string): boolean {
    return this.modifiers.has(`${modifier}Left`) || this.modifiers.has(`${modifier}Right`);
  }

  take(): number {
    this.lastSent = this.queue.take();
    return this.lastSent;
  }

  /**
   * A key goes down (also again, when it repeats) or up. `code` is a `KeyboardEvent.code`. Returns whether the stroke
   * was taken: false for an unknown key, a keyboard that the guest disabled, or a full buffer.
   */
  key(code: string, down: boolean): boolean {
    const held = { ctrl: this.isHeld('Control'), alt: this.isHeld('Alt') };
    const bytes = scanCodesSet2(code, down, held);
    if (/^(Control|Alt)(Left|Right)$/.test(code)) {
      if (down) this.modifiers.add(code);
      else this.modifiers.delete(code);
    }
    if (bytes === undefined || !this.scanning) return false;
    const taken = this.queue.event(this.set === 1 ? toSet1(bytes) : bytes);
    this.onReady();
    return taken;
  }

  write(byte: number): void {
    if (this.command !== 0 && byte < 0x80) this.argument(byte);
    else this.execute(byte);
    this.onReady();
  }

  private argument(byte: number): void {
    const { command } = this;
    this.command = 0;
    if (command === 0xf0) {
      if (byte === 0) this.queue.answer(ACKNOWLEDGE, this.set);
      else if (byte <= 2) {
        this.set = byte;
        this.queue.answer(ACKNOWLEDGE);
      } else this.queue.answer(RESEND);
      return;
    }
    if (command === 0xed) this.leds = byte & 7;
    // F3h, the typematic rate: repeats come from the host's keyboard.
    this.queue.answer(ACKNOWLEDGE);
  }

  private execute(byte: number): void {
    this.command = 0;
    switch (byte) {
      case 0xed:
      case 0xf0:
      case 0xf3:
        this.command = byte;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xee:
        this.queue.answer(0xee);
        break;
      case 0xf2:
        this.queue.answer(ACKNOWLEDGE, 0xab, 0x83);
        break;
      case 0xf4:
        this.queue.clear();
        this.scanning = true;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xf5:
      case 0xf6:
        this.setDefaults();
        this.scanning = byte === 0xf6;
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xf7: // F7h to FDh set the kinds of keys of scan code set 3
      case 0xf8:
      case 0xf9:
      case 0xfa:
        this.queue.answer(ACKNOWLEDGE);
        break;
      case 0xfe:
        this.queue.answer(this.lastSent);
        break;
      case 0xff:
        this.setDefaults();
        this.queue.answer(ACKNOWLEDGE, SELF_TEST_PASSED);
        break;
      default:
        this.queue.answer(RESEND);
    }
  }

  private setDefaults(): void {
    this.queue.clear();
    this.set = 2;
    this.scanning = true;
  }

  reset(): void {
    this.setDefaults();
    this.command = 0;
    this.lastSent = 0;
    this.leds = 0;
  }

  save(): SavedState {
    return {
      version: 1,
      queue: this.queue.save(),
      scanning: this.scanning,
      set: this.set,
      command: this.command,
      lastSent: this.lastSent,
      leds: this.leds,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('keyboard', 1, state);
    this.queue.restore(reader.integers('queue', 0, 255, 0, this.queue.capacity));
    this.scanning = reader.boolean('scanning');
    this.set = reader.integer('set', 1, 2);
    this.command = reader.byte('command');
    this.lastSent = reader.byte('lastSent');
    this.leds = reader.integer('leds', 0, 7);
  }
}
