// A guest's keyboard and pointer as the host uses them, over the devices that the machine has.
// Owns the pace of typed text and which pointing device hears a movement.
// Never knows a character: a stroke is a key's place.

import { type AbsolutePointer, POINTER_RANGE } from '../devices/absolute-pointer.ts';
import type { Timer, Timers } from '../devices/device.ts';
import type { Clock } from '../host.ts';
import type { GuestInput, KeyStroke, PointerKind } from '../hypervisor/guest-input.ts';

/**
 * Guest nanoseconds from one typed stroke to the next: 50 keys a second, which firmware and DOS keep up with. In
 * deterministic mode, where a nanosecond is an instruction, a tenth of it is as much work.
 */
const STROKE_NS = 10_000_000;
const DETERMINISTIC_STROKE_NS = 1_000_000;
/** A keyboard whose last bytes have not been read yet is looked at again so many times sooner. */
const RETRIES = 10;
/** A guest that takes no key for this long (30 s) has no use for what was typed. */
const PATIENCE_NS = 30_000_000_000;
/** Strokes waiting to be typed: what keeps a script from filling the host's memory. */
const TYPING_MAX = 1 << 16;

export interface KeyboardAndPointerWiring {
  clock: Clock;
  timers: Timers;
  deterministic: boolean;
  keyboard: { key(code: string, down: boolean): boolean; readonly isBehind: boolean };
  mouse: {
    move(dx: number, dy: number, dz?: number): void;
    setButtons(buttons: number): void;
    readonly isUsed: boolean;
  };
  /** Devices that tell positions, the preferred first. */
  absolute: readonly AbsolutePointer[];
}

export class KeyboardAndPointer implements GuestInput {
  private readonly wiring: KeyboardAndPointerWiring;
  private readonly stroke: Timer;
  private strokes: KeyStroke[] = [];
  /** The next of `strokes`: taking from the front of a long list each time would cost its length. */
  private at = 0;
  /** When the guest last took a typed key. */
  private takenAt = 0;
  private x = 0;
  private y = 0;
  private held = 0;

  constructor(wiring: KeyboardAndPointerWiring) {
    this.wiring = wiring;
    this.stroke = wiring.timers.create(() => this.next());
  }

  key(code: string, pressed: boolean): boolean {
    return this.wiring.keyboard.key(code, pressed);
  }

  get typing(): number {
    return this.strokes.length - this.at;
  }

  type(strokes: readonly KeyStroke[]): boolean {
    if (this.typing + strokes.length > TYPING_MAX) return false;
    const isIdle = this.typing === 0;
    this.strokes = [...this.strokes.slice(this.at), ...strokes];
    this.at = 0;
    if (isIdle && strokes.length > 0) {
      this.takenAt = this.wiring.clock.now();
      this.stroke.arm(this.takenAt);
    }
    return true;
  }

  private next(): void {
    const { clock, keyboard, deterministic } = this.wiring;
    const pace = deterministic ? DETERMINISTIC_STROKE_NS : STROKE_NS;
    const now = clock.now();
    const stroke = this.strokes[this.at];
    if (stroke === undefined) return;
    const isTaken = !keyboard.isBehind && keyboard.key(stroke.code, stroke.pressed);
    if (isTaken) {
      this.at++;
      this.takenAt = now;
    } else if (now - this.takenAt > PATIENCE_NS) {
      this.reset();
      return;
    }
    if (this.typing > 0) this.stroke.arm(now + (isTaken ? pace : pace / RETRIES));
  }

  private get absolute(): AbsolutePointer | undefined {
    return this.wiring.absolute.find(({ active }) => active);
  }

  get pointer(): PointerKind {
    if (this.absolute) return 'absolute';
    return this.wiring.mouse.isUsed ? 'relative' : 'none';
  }

  move(dx: number, dy: number, wheel: number): void {
    const { absolute } = this;
    // A relative movement means nothing to it, but the wheel does.
    if (absolute) absolute.report(this.x, this.y, this.held, Math.trunc(wheel));
    else this.wiring.mouse.move(dx, -dy, wheel);
  }

  moveTo(x: number, y: number): void {
    const clamp = (value: number) => Math.min(Math.max(Math.round(value), 0), POINTER_RANGE);
    this.x = clamp(x);
    this.y = clamp(y);
    this.absolute?.report(this.x, this.y, this.held, 0);
  }

  buttons(held: number): void {
    this.held = held & 7;
    const { absolute } = this;
    if (absolute) absolute.report(this.x, this.y, this.held, 0);
    else this.wiring.mouse.setButtons(this.held);
  }

  /** The machine was reset: what was being typed was meant for what ran before. */
  reset(): void {
    this.strokes = [];
    this.at = 0;
    this.stroke.cancel();
  }
}
