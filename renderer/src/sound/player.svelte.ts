// A guest's sound in its window: the stream while it is to be heard, and Web Audio that plays it.
// Owns the stream, the audio context, volume and mute.
// Never asks for sound that nobody hears: muted, or before the page may play any, there is no stream.

import { type ByteStream, type Client, SOUND_FRAME_BYTES, SOUND_HZ } from '../contract.ts';
import { remember, remembered } from '../state/preferences.ts';
import { SoundSchedule } from './schedule.ts';

/** Milliseconds after a piece for which the guest is told to be playing, and after which the context rests. */
const PLAYING = 400;
const RESTING = 5000;
const FULL_SCALE = 32_768;
const percents = Array.from({ length: 101 }, (_, percent) => String(percent));

export class SoundPlayer {
  muted = $state(remembered('display.sound', ['on', 'muted'], 'on') === 'muted');
  /** 0 to 100. */
  volume = $state(Number(remembered('display.volume', percents, '100')));
  /** Whether the guest plays something that is heard here. */
  playing = $state(false);
  /** A browser lets a page play only once a person has done something in it. */
  allowed = $state(false);
  readonly #schedule = new SoundSchedule();
  #context: AudioContext | null = null;
  #gain: GainNode | null = null;
  #source: { client: Client; guest: string } | null = null;
  #stream: ByteStream | null = null;
  #playingTimer: ReturnType<typeof setTimeout> | undefined;
  #restTimer: ReturnType<typeof setTimeout> | undefined;

  /** Plays this guest from now on, as soon as it may. */
  open(client: Client, guest: string): void {
    this.#source = { client, guest };
    this.#listen();
  }

  /** The connection is gone. */
  close(): void {
    this.#source = null;
    this.#listen();
  }

  /** The window is gone. */
  end(): void {
    this.close();
    clearTimeout(this.#restTimer);
    void this.#context?.close();
    this.#context = null;
  }

  /** A person has done something in the window: sound may be played from now on. To be called from within that event. */
  allow(): void {
    if (this.allowed) return;
    const context = new AudioContext({ sampleRate: SOUND_HZ, latencyHint: 'interactive' });
    this.#gain = context.createGain();
    this.#gain.connect(context.destination);
    this.#context = context;
    this.#setGain();
    this.#restLater();
    this.allowed = true;
    this.#listen();
  }

  setMuted(muted: boolean): void {
    this.muted = muted;
    remember('display.sound', muted ? 'muted' : 'on');
    this.#setGain();
    this.#listen();
  }

  /** Sets the volume, 0 to 100; one that is heard ends being muted. */
  setVolume(percent: number): void {
    this.volume = Math.round(Math.max(0, Math.min(100, percent)));
    remember('display.volume', String(this.volume));
    if (this.muted && this.volume > 0) this.setMuted(false);
    this.#setGain();
    this.#listen();
  }

  #setGain(): void {
    // Squared, a slider's way is as long as it sounds.
    if (this.#gain) this.#gain.gain.value = this.muted ? 0 : (this.volume / 100) ** 2;
  }

  get #isWanted(): boolean {
    return this.#source !== null && !this.muted && this.volume > 0 && this.#context !== null;
  }

  /** A context that plays silence costs as much as one that plays sound. */
  #restLater(): void {
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => void this.#context?.suspend(), RESTING);
  }

  /** Opens or closes the stream, as it is wanted. */
  #listen(): void {
    if (this.#isWanted === (this.#stream !== null)) return;
    if (this.#stream) {
      this.#stream.close();
      this.#stream = null;
      this.#schedule.reset();
      this.playing = false;
      return;
    }
    const { client, guest } = this.#source!;
    this.#stream = client.open(
      'sound',
      { guest },
      {
        data: (bytes) => this.#play(bytes),
        closed: () => {
          this.#stream = null;
          this.#source = null;
          this.playing = false;
        },
      },
    );
  }

  #play(bytes: Uint8Array): void {
    const context = this.#context;
    const frames = Math.floor(bytes.length / SOUND_FRAME_BYTES);
    if (!context || !this.#gain || frames === 0) return;
    this.playing = true;
    clearTimeout(this.#playingTimer);
    this.#playingTimer = setTimeout(() => (this.playing = false), PLAYING);
    this.#restLater();
    if (context.state === 'suspended') void context.resume();
    const at = this.#schedule.place(context.currentTime, frames / SOUND_HZ);
    if (at === null) return;
    const buffer = context.createBuffer(2, frames, SOUND_HZ);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let channel = 0; channel < 2; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let frame = 0; frame < frames; frame++)
        samples[frame] = view.getInt16(frame * SOUND_FRAME_BYTES + 2 * channel, true) / FULL_SCALE;
    }
    const piece = context.createBufferSource();
    piece.buffer = buffer;
    piece.connect(this.#gain);
    piece.start(at);
  }
}
