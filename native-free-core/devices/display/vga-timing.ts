// The beam of a VGA: how large the picture is and where in it the beam is at a time, from the CRT controller's registers.
// Owns the arithmetic only; nothing ticks, a position is computed from the clock when somebody looks.
// Never knows memory or colours.

import { MAX_SCREEN_HEIGHT, MAX_SCREEN_WIDTH } from './screen.ts';

const DOT_HZ = [25_175_000, 28_322_000, 36_000_000, 40_000_000];
/** Lines and characters below which registers are half-written, not a mode: the beam then moves as in text mode. */
const LEAST_LINES = 64;
const LEAST_CHARACTERS = 16;

/** The registers that a beam depends on. */
export interface TimingRegisters {
  readonly misc: number;
  readonly sequencer: Uint8Array;
  readonly crtc: Uint8Array;
}

export interface BeamPosition {
  /** Inside the picture, neither in a border nor in a retrace. */
  isDisplaying: boolean;
  /** In the vertical retrace. */
  isRetracing: boolean;
  /** A number that changes with the beam's place. */
  dot: number;
}

export class VgaTiming {
  private readonly registers: TimingRegisters;
  private readonly clock: { now(): number };

  constructor(registers: TimingRegisters, clock: { now(): number }) {
    this.registers = registers;
    this.clock = clock;
  }

  /** A vertical value of ten bits, two of which are in the overflow register. */
  private vertical(register: number, bit8: number, bit9: number): number {
    const { crtc } = this.registers;
    return crtc[register] | (((crtc[7] >> bit8) & 1) << 8) | (((crtc[7] >> bit9) & 1) << 9);
  }

  /** The vertical counters count every other line (CRTC 17h bit 2). */
  private get lineFactor(): number {
    return (this.registers.crtc[0x17] & 4) !== 0 ? 2 : 1;
  }

  /** Characters (of 8 or 9 dots) that are displayed on a line. */
  get columns(): number {
    return this.registers.crtc[1] + 1;
  }

  /** 8 or 9. */
  get characterDots(): number {
    return (this.registers.sequencer[1] & 1) !== 0 ? 8 : 9;
  }

  /** Each dot is twice as wide: the dot clock is halved (sequencer 1 bit 3). */
  get dotFactor(): number {
    return (this.registers.sequencer[1] & 8) !== 0 ? 2 : 1;
  }

  /** Size of the picture in dots of the dot clock and scan lines, within what a screen can be. */
  get width(): number {
    return Math.min(this.columns * this.characterDots * this.dotFactor, MAX_SCREEN_WIDTH);
  }

  get height(): number {
    return Math.min((this.vertical(0x12, 1, 6) + 1) * this.lineFactor, MAX_SCREEN_HEIGHT);
  }

  /** The scan line after which the address counter starts at zero again. */
  get lineCompare(): number {
    const { crtc } = this.registers;
    return (crtc[0x18] | (((crtc[7] >> 4) & 1) << 8) | (((crtc[9] >> 6) & 1) << 9)) * this.lineFactor;
  }

  private frame() {
    const { crtc, misc } = this.registers;
    const total = crtc[0] + 5;
    const characters = total >= LEAST_CHARACTERS ? total : 100;
    const wantedLines = this.vertical(6, 0, 5) + 2;
    const lines = wantedLines >= LEAST_LINES ? wantedLines : 449;
    const dots = characters * this.characterDots * this.dotFactor;
    const lineTime = (dots * 1e9) / DOT_HZ[(misc >> 2) & 3];
    return { characters, lines, lineTime, frameTime: lineTime * lines * this.lineFactor };
  }

  /** How many vertical retraces have begun since power-on, as if the present mode had been set then. */
  get retraces(): number {
    return Math.floor(this.clock.now() / this.frame().frameTime);
  }

  now(): BeamPosition {
    const { characters, lines, lineTime, frameTime } = this.frame();
    const time = this.clock.now() % frameTime;
    const scan = time / lineTime;
    const line = Math.floor(scan / this.lineFactor);
    const character = Math.floor((scan - Math.floor(scan)) * characters);
    const { crtc } = this.registers;
    let start = this.vertical(0x10, 2, 7);
    let length = ((crtc[0x11] & 15) - start) & 15 || 16;
    // A retrace outside the frame would never come, and programs that wait for it would wait for ever.
    if (start + length > lines) [start, length] = [lines - 2, 2];
    const isRetracing = line >= start && line < start + length;
    const isDisplaying =
      line < Math.min(this.vertical(0x12, 1, 6) + 1, start) && character < Math.min(this.columns, characters - 1);
    return { isDisplaying, isRetracing, dot: isDisplaying ? Math.floor(scan * characters) : 0 };
  }
}
