// What a guest's sound card and its speaker sound like together: 16-bit stereo at 48 kHz, in chunks.
// Owns the resampling, the square wave and the chunk that is being filled.
// Never plays anything, never works while nobody listens, and never holds more than a chunk: the host takes each as it is full.

import type { Clock } from '../../host.ts';
import type { Timer, Timers } from '../device.ts';
import { ticksAt } from '../timers.ts';

export const AUDIO_HZ = 48000;
/** Frames of a chunk: 20 ms. */
const CHUNK_FRAMES = 960;
const CHUNK_NS = 20e6;
const SPEAKER_LEVEL = 6000;
/** Tones above this (Hz) are heard by nobody, and 48 kHz could not carry them. */
const SPEAKER_MAX = 20000;

/** A piece of sound. */
export interface AudioChunk {
  /** Left and right by turns. */
  samples: Int16Array;
  /** Guest nanoseconds since power-on at its first frame. */
  at: number;
}

export interface AudioMixerWiring {
  clock: Clock;
  timers: Timers;
  output(chunk: AudioChunk): void;
}

export class AudioMixer {
  private readonly wiring: AudioMixerWiring;
  private readonly timer: Timer;
  private chunk = new Int16Array(2 * CHUNK_FRAMES);
  private filled = 0;
  private chunkAt = 0;
  /** The frame of guest time up to which sound has been made while the speaker sounds alone. */
  private frame = 0;
  private hertz = 0;
  private phase = 0;
  private isPlaying = false;
  private isHeard = false;
  /** Resampling: the last frame taken, and how far behind it (0 to 1 frames of the source) the next output is. */
  private left = 0;
  private right = 0;
  private offset = 0;

  constructor(wiring: AudioMixerWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.pass());
  }

  /** Whether anybody listens, which nobody does at first: what sounds meanwhile is not made. */
  listen(listening: boolean): void {
    if (listening === this.isHeard) return;
    this.catchUp();
    this.isHeard = listening;
    this.frame = this.now();
    this.keepGoing();
  }

  /** The speaker sounds with `hertz` from now on; 0 is silence. */
  speaker(hertz: number): void {
    this.catchUp();
    const tone = hertz > SPEAKER_MAX ? 0 : hertz;
    if (this.hertz === 0 && tone > 0) this.phase = 0;
    this.hertz = tone;
    this.keepGoing();
  }

  /** The card's stream has begun or ended. While it runs it gives the pace. */
  set playing(playing: boolean) {
    if (playing === this.isPlaying) return;
    this.catchUp();
    this.isPlaying = playing;
    this.left = 0;
    this.right = 0;
    this.offset = 0;
    this.frame = this.now();
    this.keepGoing();
  }

  /** Frames of the card: left and right by turns, already as loud as they are to be, `rate` a second. */
  pcm(samples: Int16Array, rate: number): void {
    if (!this.isHeard) return;
    const step = rate / AUDIO_HZ;
    for (let at = 0; at + 1 < samples.length; at += 2) {
      const [left, right] = [samples[at], samples[at + 1]];
      for (; this.offset < 1; this.offset += step) {
        this.add(this.left + (left - this.left) * this.offset, this.right + (right - this.right) * this.offset);
      }
      this.offset -= 1;
      this.left = left;
      this.right = right;
    }
  }

  private now(): number {
    return ticksAt(this.wiring.clock.now(), AUDIO_HZ);
  }

  /** There is something to hear, or may be at any moment, and somebody hears it. */
  get isSounding(): boolean {
    return this.isHeard && (this.isPlaying || this.hertz > 0);
  }

  /** Makes the speaker's sound up to now, where it sounds alone. */
  private catchUp(): void {
    const now = this.now();
    if (this.isHeard && !this.isPlaying && this.hertz > 0) {
      // After a long sleep of the host a second is enough.
      for (let count = Math.min(now - this.frame, AUDIO_HZ); count > 0; count--) this.add(0, 0);
    }
    this.frame = now;
  }

  private keepGoing(): void {
    if (this.isSounding) this.timer.arm(this.wiring.clock.now() + CHUNK_NS);
    else {
      this.timer.cancel();
      this.flush();
    }
  }

  private pass(): void {
    this.catchUp();
    this.keepGoing();
  }

  private add(left: number, right: number): void {
    let tone = 0;
    if (this.hertz > 0) {
      tone = this.phase < 0.5 ? SPEAKER_LEVEL : -SPEAKER_LEVEL;
      this.phase += this.hertz / AUDIO_HZ;
      this.phase -= Math.floor(this.phase);
    }
    if (this.filled === 0) this.chunkAt = this.wiring.clock.now();
    this.chunk[this.filled++] = clamp(left + tone);
    this.chunk[this.filled++] = clamp(right + tone);
    if (this.filled === this.chunk.length) this.flush();
  }

  private flush(): void {
    if (this.filled === 0) return;
    const samples = this.chunk.subarray(0, this.filled);
    this.chunk = new Int16Array(2 * CHUNK_FRAMES);
    this.filled = 0;
    this.wiring.output({ samples, at: this.chunkAt });
  }
}

function clamp(value: number): number {
  return Math.max(-32768, Math.min(32767, Math.round(value)));
}
