// The registers of a VGA: general, sequencer, CRT controller, graphics controller, attribute controller, DAC.
// Owns their contents, their ports and their read-back rules (IBM PS/2 Hardware Interface Technical Reference, Video Subsystem).
// Never knows memory or pixels: whoever does is told that something changed.

import type { AccessSize, Bus, PortHandler } from '../device.ts';
import type { StateReader } from '../saved-state.ts';
import { VgaTiming } from './vga-timing.ts';

const SEQUENCER_MASKS = [0x03, 0x3d, 0x0f, 0x3f, 0x0e];
const GRAPHICS_MASKS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff];
const ATTRIBUTE_MASKS = [...new Array<number>(16).fill(0x3f), 0xef, 0xff, 0x3f, 0x0f, 0x0f];
const CRTC_COUNT = 0x19;
/** CRTC 11h: registers 0 to 7 are protected, but bit 4 of register 7, the line compare. */
const PROTECT = 0x80;
const CRTC_OVERFLOW = 7;
const LINE_COMPARE_BIT = 0x10;
/** CRTC 11h: clears the vertical interrupt while 0. */
const INTERRUPT_ENABLED = 0x10;
/** Sense bit of input status 0: a colour monitor is there. */
const SWITCH_SENSE = 0x10;
/** Attribute index: the palette is connected to the display, not to the processor. */
const PALETTE_SOURCE = 0x20;
const COLOUR_ADDRESS = 0x01;
const PALETTE_BYTES = 768;

export interface VgaRegistersWiring {
  clock: { now(): number };
  /** Something that decides where memory is seen was written. */
  onMemoryMode(): void;
  /** The latch of a plane, 0 to 3, for CRTC 22h. */
  latch(plane: number): number;
}

export class VgaRegisters implements PortHandler {
  misc = 0;
  feature = 0;
  readonly sequencer = new Uint8Array(8);
  readonly crtc = new Uint8Array(CRTC_COUNT);
  readonly graphics = new Uint8Array(9);
  readonly attribute = new Uint8Array(ATTRIBUTE_MASKS.length);
  /** Red, green and blue of 256 colours, as written: 6 bits each, or 8. */
  readonly palette = new Uint8Array(PALETTE_BYTES);
  pelMask = 0xff;
  /** Bumped by every write that may change what is seen. */
  version = 0;
  readonly timing: VgaTiming;
  private readonly wiring: VgaRegistersWiring;
  private isEnabled = true;
  private sequencerIndex = 0;
  private crtcIndex = 0;
  private graphicsIndex = 0;
  private attributeIndex = 0;
  /** The next write to 3C0h is data. */
  private flipFlop = false;
  private dacRead = 0;
  private dacWrite = 0;
  /** Which component comes next, 0 to 2. */
  private dacReadPart = 0;
  private dacWritePart = 0;
  private readonly dacPending = [0, 0];
  /** Bits 0 and 1 of 3C7h: 0 after a write index, 3 after a read index. */
  private dacState = 0;
  private interruptClearedAt = 0;

  constructor(wiring: VgaRegistersWiring) {
    this.wiring = wiring;
    this.timing = new VgaTiming(this, wiring.clock);
  }

  attach(bus: Bus): void {
    for (const [first, last] of [
      [0x3b4, 0x3b5],
      [0x3ba, 0x3ba],
      [0x3c0, 0x3cf],
      [0x3d4, 0x3d5],
      [0x3da, 0x3da],
    ]) {
      bus.claimPorts(first, last, this);
    }
  }

  /** Whether the display shows what the CRT controller fetches, rather than being blank. */
  get isShowing(): boolean {
    return (this.attributeIndex & PALETTE_SOURCE) !== 0 && (this.sequencer[1] & 0x20) === 0;
  }

  readPort(port: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.read(port + i) * 2 ** (8 * i);
    return value;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.write(port + i, (value >>> (8 * i)) & 0xff);
  }

  /** Whether a port of the CRT controller's group is at the address that the miscellaneous output register selects. */
  private isElsewhere(port: number): boolean {
    const isColour = (this.misc & COLOUR_ADDRESS) !== 0;
    return ((port & 0xfff0) === 0x3b0 && isColour) || ((port & 0xfff0) === 0x3d0 && !isColour);
  }

  private read(port: number): number {
    if (this.isElsewhere(port)) return 0xff;
    switch (port) {
      case 0x3c0:
        return this.attributeIndex;
      case 0x3c1: {
        const index = this.attributeIndex & 0x1f;
        return index < ATTRIBUTE_MASKS.length ? this.attribute[index] : 0;
      }
      case 0x3c2:
        return SWITCH_SENSE | (this.isInterruptPending ? 0x80 : 0);
      case 0x3c3:
        return this.isEnabled ? 1 : 0;
      case 0x3c4:
        return this.sequencerIndex;
      case 0x3c5:
        return this.sequencer[this.sequencerIndex];
      case 0x3c6:
        return this.pelMask;
      case 0x3c7:
        return this.dacState;
      case 0x3c8:
        return this.dacWrite;
      case 0x3c9:
        return this.readPalette();
      case 0x3ca:
        return this.feature;
      case 0x3cc:
        return this.misc;
      case 0x3ce:
        return this.graphicsIndex;
      case 0x3cf:
        return this.graphics[this.graphicsIndex] ?? 0;
      case 0x3b4:
      case 0x3d4:
        return this.crtcIndex;
      case 0x3b5:
      case 0x3d5:
        return this.readCrtc();
      case 0x3ba:
      case 0x3da:
        return this.readStatus();
      default:
        return 0xff;
    }
  }

  private get isInterruptPending(): boolean {
    return (this.crtc[0x11] & INTERRUPT_ENABLED) !== 0 && this.timing.retraces > this.interruptClearedAt;
  }

  private readCrtc(): number {
    const index = this.crtcIndex;
    if (index < CRTC_COUNT) return this.crtc[index];
    // Undocumented, but on every VGA: the latch that the read plane select names, and the attribute flip-flop.
    if (index === 0x22) return this.wiring.latch(this.graphics[4] & 3);
    if (index === 0x24) return this.flipFlop ? 0x80 : 0;
    return 0;
  }

  private readStatus(): number {
    this.flipFlop = false;
    const { isDisplaying, isRetracing, dot } = this.timing.now();
    // Bits 4 and 5 are two of the eight colour bits at the beam, by which programs test the attribute controller.
    return (isDisplaying ? 0 : 0x01) | (isRetracing ? 0x08 : 0) | ((dot & 3) << 4);
  }

  private readPalette(): number {
    const value = this.palette[this.dacRead * 3 + this.dacReadPart];
    if (++this.dacReadPart === 3) {
      this.dacReadPart = 0;
      this.dacRead = (this.dacRead + 1) & 0xff;
    }
    return value;
  }

  private write(port: number, value: number): void {
    if (this.isElsewhere(port)) return;
    switch (port) {
      case 0x3c0:
        this.writeAttribute(value);
        return;
      case 0x3c2:
        this.misc = value;
        this.changed();
        this.wiring.onMemoryMode();
        return;
      case 0x3c3:
        this.isEnabled = (value & 1) !== 0;
        return;
      case 0x3c4:
        this.sequencerIndex = value & 7;
        return;
      case 0x3c5:
        this.sequencer[this.sequencerIndex] = value & (SEQUENCER_MASKS[this.sequencerIndex] ?? 0);
        // The map mask alone changes nothing that is seen.
        if (this.sequencerIndex !== 2) this.changed();
        this.wiring.onMemoryMode();
        return;
      case 0x3c6:
        this.pelMask = value;
        this.changed();
        return;
      case 0x3c7:
        this.dacRead = value;
        this.dacReadPart = 0;
        this.dacState = 3;
        return;
      case 0x3c8:
        this.dacWrite = value;
        this.dacWritePart = 0;
        this.dacState = 0;
        return;
      case 0x3c9:
        this.writePalette(value);
        return;
      case 0x3ce:
        this.graphicsIndex = value & 15;
        return;
      case 0x3cf:
        this.writeGraphics(value);
        return;
      case 0x3b4:
      case 0x3d4:
        this.crtcIndex = value & 0x3f;
        return;
      case 0x3b5:
      case 0x3d5:
        this.writeCrtc(value);
        return;
      case 0x3ba:
      case 0x3da:
        this.feature = value & 0x0b;
        return;
    }
  }

  private changed(): void {
    this.version++;
  }

  private writeAttribute(value: number): void {
    if (!this.flipFlop) {
      if (((this.attributeIndex ^ value) & PALETTE_SOURCE) !== 0) this.changed();
      this.attributeIndex = value & 0x3f;
    } else {
      const index = this.attributeIndex & 0x1f;
      if (index < ATTRIBUTE_MASKS.length) {
        this.attribute[index] = value & ATTRIBUTE_MASKS[index];
        this.changed();
      }
    }
    this.flipFlop = !this.flipFlop;
  }

  private writeGraphics(value: number): void {
    const index = this.graphicsIndex;
    if (index >= GRAPHICS_MASKS.length) return;
    this.graphics[index] = value & GRAPHICS_MASKS[index];
    // Only the mode and miscellaneous registers are seen; the others are about how memory is accessed.
    if (index === 5 || index === 6) this.changed();
    this.wiring.onMemoryMode();
  }

  private writeCrtc(value: number): void {
    const index = this.crtcIndex;
    if (index >= CRTC_COUNT) return;
    if (index <= CRTC_OVERFLOW && (this.crtc[0x11] & PROTECT) !== 0) {
      if (index !== CRTC_OVERFLOW) return;
      this.crtc[index] = (this.crtc[index] & ~LINE_COMPARE_BIT) | (value & LINE_COMPARE_BIT);
    } else this.crtc[index] = value;
    if (index === 0x11 && (value & INTERRUPT_ENABLED) === 0) this.interruptClearedAt = this.timing.retraces;
    this.changed();
  }

  private writePalette(value: number): void {
    // A colour is taken when its third component comes.
    if (this.dacWritePart < 2) {
      this.dacPending[this.dacWritePart++] = value;
      return;
    }
    this.palette.set([...this.dacPending, value], this.dacWrite * 3);
    this.dacWritePart = 0;
    this.dacWrite = (this.dacWrite + 1) & 0xff;
    this.changed();
  }

  reset(): void {
    this.misc = 0;
    this.feature = 0;
    for (const registers of [this.sequencer, this.crtc, this.graphics, this.attribute, this.palette]) registers.fill(0);
    this.pelMask = 0xff;
    this.isEnabled = true;
    this.sequencerIndex = 0;
    this.crtcIndex = 0;
    this.graphicsIndex = 0;
    this.attributeIndex = 0;
    this.flipFlop = false;
    this.dacRead = 0;
    this.dacWrite = 0;
    this.dacReadPart = 0;
    this.dacWritePart = 0;
    this.dacPending.fill(0);
    this.dacState = 0;
    this.interruptClearedAt = 0;
    this.changed();
    this.wiring.onMemoryMode();
  }

  save(): Record<string, unknown> {
    return {
      ...{ misc: this.misc, feature: this.feature, pelMask: this.pelMask, isEnabled: this.isEnabled },
      sequencer: this.sequencer.slice(),
      crtc: this.crtc.slice(),
      graphics: this.graphics.slice(),
      attribute: this.attribute.slice(),
      palette: this.palette.slice(),
      indexes: [this.sequencerIndex, this.crtcIndex, this.graphicsIndex, this.attributeIndex],
      flipFlop: this.flipFlop,
      dac: [this.dacRead, this.dacWrite, this.dacReadPart, this.dacWritePart, ...this.dacPending, this.dacState],
      interruptClearedAt: this.interruptClearedAt,
    };
  }

  restore(state: StateReader): void {
    const [sequencerIndex, crtcIndex, graphicsIndex, attributeIndex] = state.integers('indexes', 0, 0x3f, 4);
    const dac = state.integers('dac', 0, 0xff, 7);
    const banks = [
      [this.sequencer, state.bytes('sequencer', 8), SEQUENCER_MASKS],
      [this.crtc, state.bytes('crtc', CRTC_COUNT), undefined],
      [this.graphics, state.bytes('graphics', 9), GRAPHICS_MASKS],
      [this.attribute, state.bytes('attribute', ATTRIBUTE_MASKS.length), ATTRIBUTE_MASKS],
      [this.palette, state.bytes('palette', PALETTE_BYTES), undefined],
    ] as const;
    this.misc = state.byte('misc');
    this.feature = state.byte('feature');
    this.pelMask = state.byte('pelMask');
    this.isEnabled = state.boolean('isEnabled');
    for (const [bank, bytes, masks] of banks) {
      bank.set(masks === undefined ? bytes : bytes.map((byte, index) => byte & (masks[index] ?? 0)));
    }
    this.sequencerIndex = sequencerIndex & 7;
    this.crtcIndex = crtcIndex;
    this.graphicsIndex = graphicsIndex & 15;
    this.attributeIndex = attributeIndex;
    this.flipFlop = state.boolean('flipFlop');
    [this.dacRead, this.dacWrite] = dac;
    this.dacReadPart = dac[2] % 3;
    this.dacWritePart = dac[3] % 3;
    [this.dacPending[0], this.dacPending[1]] = [dac[4], dac[5]];
    this.dacState = dac[6] & 3;
    this.interruptClearedAt = state.number('interruptClearedAt');
    this.changed();
    this.wiring.onMemoryMode();
  }
}
