// An AC'97 codec: the mixer's registers and the sample rates.
// Owns 64 words and how loud they make what is played.
// Never moves samples: the controller's rings do.

import type { SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';

/** Registers (Intel, AC'97 Component Specification 2.3, 5.7). */
const Register = {
  reset: 0x00,
  master: 0x02,
  headphone: 0x04,
  mono: 0x06,
  beep: 0x0a,
  pcmOut: 0x18,
  recordSelect: 0x1a,
  recordGain: 0x1c,
  general: 0x20,
  power: 0x26,
  extendedId: 0x28,
  extendedStatus: 0x2a,
  frontRate: 0x2c,
  inputRate: 0x32,
  vendor1: 0x7c,
  vendor2: 0x7e,
} as const;
const WORDS = 64;
const MUTED = 0x8000;
/** Volumes of five bits a side, in steps of 1.5 dB. */
const STEREO = 0x9f1f;
const MONO = 0x801f;
const VARIABLE_RATE = 0x0001;
/** Variable rate; AC'97 2.2. */
const EXTENDED_ID = 0x0400 | VARIABLE_RATE;
const READY = 0x000f;
const FULL_RATE = 48000;
const RATES = { least: 8000, most: 48000 };
/** A SigmaTel STAC9700, which every driver knows as an ordinary codec. */
const VENDOR = [0x8384, 0x7600] as const;
/** The step of {@link Register.pcmOut} that changes nothing. */
const PCM_UNITY = 8;

/** What can be written, by register; others cannot. Inputs are there to be set, though nothing is connected to them. */
const WRITABLE: Readonly<Record<number, number>> = {
  [Register.master]: STEREO,
  [Register.headphone]: STEREO,
  [Register.mono]: MONO,
  [Register.beep]: 0x801e,
  12: MONO, // phone
  14: 0x805f, // microphone
  16: STEREO, // line
  18: STEREO, // CD
  20: STEREO, // video
  22: STEREO, // auxiliary
  [Register.pcmOut]: STEREO,
  [Register.recordSelect]: 0x0707,
  [Register.recordGain]: 0x8f0f,
  [Register.general]: 0x8380,
  [Register.power]: 0xff00,
  [Register.extendedStatus]: VARIABLE_RATE,
  [Register.frontRate]: 0xffff,
  [Register.inputRate]: 0xffff,
};

export class Ac97Codec {
  private readonly words = new Uint16Array(WORDS);

  constructor() {
    this.reset();
  }

  read(offset: number): number {
    if ((offset & ~1) === Register.power) return this.words[Register.power >> 1] | READY;
    return this.words[offset >> 1] ?? 0;
  }

  write(offset: number, value: number): void {
    const register = offset & ~1;
    if (register === Register.reset) {
      this.reset();
      return;
    }
    const mask = WRITABLE[register];
    if (mask === undefined) return;
    let stored = value & mask;
    // A sixth bit of a volume, which there is not, means the quietest.
    if (mask === STEREO || mask === MONO) {
      if ((value & 0x20) !== 0 && register !== 12) stored |= 0x1f;
      if (mask === STEREO && (value & 0x2000) !== 0) stored |= 0x1f00;
    }
    if (register === Register.frontRate || register === Register.inputRate) {
      const isVariable = (this.words[Register.extendedStatus >> 1] & VARIABLE_RATE) !== 0;
      stored = isVariable ? Math.min(Math.max(value, RATES.least), RATES.most) : FULL_RATE;
    }
    this.words[register >> 1] = stored;
    if (register === Register.extendedStatus && (stored & VARIABLE_RATE) === 0) {
      this.words[Register.frontRate >> 1] = FULL_RATE;
      this.words[Register.inputRate >> 1] = FULL_RATE;
    }
  }

  /** Frames a second that are played. */
  get outputRate(): number {
    return this.words[Register.frontRate >> 1];
  }

  /** Frames a second that are recorded. */
  get inputRate(): number {
    return this.words[Register.inputRate >> 1];
  }

  /** By what the samples of a side (0 left, 1 right) are multiplied. */
  gain(side: 0 | 1): number {
    const master = this.words[Register.master >> 1];
    const pcm = this.words[Register.pcmOut >> 1];
    if (((master | pcm) & MUTED) !== 0) return 0;
    const shift = side === 0 ? 8 : 0;
    const steps = ((master >> shift) & 0x1f) + ((pcm >> shift) & 0x1f) - PCM_UNITY;
    return 10 ** ((-1.5 * steps) / 20);
  }

  reset(): void {
    const { words } = this;
    words.fill(0);
    for (const register of [Register.master, Register.headphone, Register.mono, Register.recordGain])
      words[register >> 1] = MUTED;
    for (const register of [12, 14]) words[register >> 1] = MUTED | 0x0008;
    for (const register of [16, 18, 20, 22, Register.pcmOut]) words[register >> 1] = MUTED | 0x0808;
    words[Register.extendedId >> 1] = EXTENDED_ID;
    words[Register.frontRate >> 1] = FULL_RATE;
    words[Register.inputRate >> 1] = FULL_RATE;
    words[Register.vendor1 >> 1] = VENDOR[0];
    words[Register.vendor2 >> 1] = VENDOR[1];
  }

  save(): SavedState {
    return { version: 1, words: [...this.words] };
  }

  restore(state: SavedState): void {
    const words = openState('sound codec', 1, state).integers('words', 0, 0xffff, WORDS);
    this.reset();
    // Written as a guest would, so that no field is out of its bounds; the rates come after what allows them.
    words.forEach((word, index) => {
      if (index > 0) this.write(index * 2, word);
    });
  }
}
