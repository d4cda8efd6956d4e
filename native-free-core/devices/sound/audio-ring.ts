// One bus-master engine of an AC'97 controller: a ring of 32 buffers that is played or filled at a rate.
// Owns its registers and how far it is, by the guest's clock; samples are moved as their time comes.
// Never trusts a descriptor: lengths are those of a word, addresses go through DMA, empty buffers cannot hold time up.

import type { Clock } from '../../host.ts';
import type { SavedState, Timer, Timers } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { openState } from '../saved-state.ts';
import { ticksAt, timeOfTick } from '../timers.ts';

const ENTRIES = 32;
const STATUS_HALTED = 0x01;
const STATUS_AT_LAST = 0x02;
const STATUS_LAST_DONE = 0x04;
const STATUS_DONE = 0x08;
const STATUS_FIFO_ERROR = 0x10;
const STATUS_CLEARABLE = STATUS_LAST_DONE | STATUS_DONE | STATUS_FIFO_ERROR;
const CONTROL_RUN = 0x01;
const CONTROL_RESET = 0x02;
const CONTROL_LAST_INTERRUPT = 0x04;
const CONTROL_FIFO_INTERRUPT = 0x08;
const CONTROL_INTERRUPT = 0x10;
const CONTROL_INTERRUPTS = CONTROL_LAST_INTERRUPT | CONTROL_FIFO_INTERRUPT | CONTROL_INTERRUPT;
const DESCRIPTOR_INTERRUPT = 0x8000;
/** Samples are moved at least this often: a guest overwrites what it believes to have been played. */
const STEP_NS = 10e6;
/** Buffers ended in one go; more of them are empty ones. */
const BUFFERS_AT_ONCE = 64;
/** Samples moved with one access. */
const PIECE = 4096;

export interface AudioRingWiring {
  clock: Clock;
  timers: Timers;
  memory: DmaMemory;
  /** Samples of a frame. */
  channels: 1 | 2;
  /** Frames a second. */
  rate(): number;
  /** Samples that were played; undefined for a ring that records, which hears silence. */
  play: ((samples: Int16Array) => void) | undefined;
  /** Whether it runs may have changed. */
  onRun?(running: boolean): void;
  onInterrupt(): void;
}

export class AudioRing {
  private readonly wiring: AudioRingWiring;
  private readonly timer: Timer;
  private base = 0;
  private current = 0;
  private lastValid = 0;
  private prefetched = 0;
  private status = STATUS_HALTED;
  private control = 0;
  /** Of the buffer under way: where its next sample is, samples left, flags. */
  private at = 0;
  private left = 0;
  private flags = 0;
  /** The pace: frames moved since `anchor` (nanoseconds since power-on), at `pace` frames a second. */
  private anchor = 0;
  private moved = 0;
  private pace = 48000;

  constructor(wiring: AudioRingWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.advance());
  }

  /** Whether it asks for an interrupt. */
  get requests(): boolean {
    const { status, control } = this;
    return (
      ((status & STATUS_LAST_DONE) !== 0 && (control & CONTROL_LAST_INTERRUPT) !== 0) ||
      ((status & STATUS_DONE) !== 0 && (control & CONTROL_INTERRUPT) !== 0)
    );
  }

  private get isMoving(): boolean {
    return (this.control & CONTROL_RUN) !== 0 && (this.status & STATUS_HALTED) === 0;
  }

  private fetch(): void {
    this.current = this.prefetched;
    this.prefetched = (this.current + 1) % ENTRIES;
    const entry = new Uint8Array(8);
    if (!this.wiring.memory.read(this.base + this.current * 8, entry)) entry.fill(0);
    const view = new DataView(entry.buffer);
    this.at = (view.getUint32(0, true) & ~1) >>> 0;
    this.left = view.getUint16(4, true);
    this.flags = view.getUint16(6, true);
    this.status &= ~(STATUS_HALTED | STATUS_AT_LAST);
    if (this.current === this.lastValid) this.status |= STATUS_AT_LAST;
  }

  private setPace(): void {
    this.pace = this.wiring.rate();
    this.anchor = this.wiring.clock.now();
    this.moved = 0;
  }

  /** Call before the rate changes: what was due until now goes at the old one. */
  rateChanges(change: () => void): void {
    this.advance();
    change();
    if (this.wiring.rate() === this.pace) return;
    this.setPace();
    this.arm();
  }

  /** Moves what is due. */
  advance(): void {
    if (!this.isMoving) return;
    const { clock, channels } = this.wiring;
    let due = ticksAt(clock.now() - this.anchor, this.pace) - this.moved;
    if (due > this.pace) {
      // More than a second late: the host was away, and nobody waits for that sound.
      this.moved += due - this.pace;
      due = this.pace;
    }
    for (let buffers = 0; this.isMoving && buffers < BUFFERS_AT_ONCE; ) {
      const frames = Math.min(due, Math.floor(this.left / channels));
      this.move(frames * channels);
      this.moved += frames;
      due -= frames;
      if (this.left >= channels) break;
      this.finishBuffer();
      buffers++;
    }
    this.arm();
    this.wiring.onInterrupt();
  }

  private move(samples: number): void {
    const { play, memory } = this.wiring;
    for (let done = 0; done < samples; ) {
      const count = Math.min(samples - done, PIECE);
      const bytes = new Uint8Array(count * 2);
      if (play === undefined) memory.write(this.at, bytes);
      else {
        memory.read(this.at, bytes);
        const view = new DataView(bytes.buffer);
        play(Int16Array.from({ length: count }, (_, index) => view.getInt16(index * 2, true)));
      }
      this.at += count * 2;
      done += count;
    }
    this.left -= samples;
  }

  private finishBuffer(): void {
    this.left = 0;
    if ((this.flags & DESCRIPTOR_INTERRUPT) !== 0) this.status |= STATUS_DONE;
    if (this.current === this.lastValid) {
      this.status |= STATUS_HALTED | STATUS_AT_LAST | STATUS_LAST_DONE;
      this.wiring.onRun?.(false);
    } else this.fetch();
  }

  private arm(): void {
    if (!this.isMoving) {
      this.timer.cancel();
      return;
    }
    const now = this.wiring.clock.now();
    const end = this.anchor + timeOfTick(this.moved + Math.floor(this.left / this.wiring.channels), this.pace);
    // Empty buffers take a moment too.
    this.timer.arm(Math.max(Math.min(end, now + STEP_NS), now + 1000));
  }

  /** A byte of its eleven registers, as they were when {@link advance} was last called: bytes of one access belong together. */
  read(offset: number): number {
    switch (offset) {
      case 4:
        return this.current;
      case 5:
        return this.lastValid;
      case 6:
        return this.status;
      case 8:
        return this.left & 0xff;
      case 9:
        return this.left >> 8;
      case 10:
        return this.prefetched;
      case 11:
        return this.control;
      default:
        return offset < 4 ? (this.base >>> (8 * offset)) & 0xff : 0;
    }
  }

  write(offset: number, value: number): void {
    this.advance();
    if (offset < 4) {
      const shift = 8 * offset;
      const cleared = this.base & ~(0xff << shift);
      this.base = ((cleared | (value << shift)) & ~7) >>> 0;
    } else if (offset === 5) this.writeLast(value % ENTRIES);
    else if (offset === 6) this.status &= ~(value & STATUS_CLEARABLE);
    else if (offset === 11) this.writeControl(value);
    this.wiring.onInterrupt();
  }

  private writeLast(entry: number): void {
    this.lastValid = entry;
    if ((this.control & CONTROL_RUN) === 0) return;
    if ((this.status & STATUS_HALTED) !== 0) this.begin();
    else if (this.current !== entry) this.status &= ~STATUS_AT_LAST;
  }

  private begin(): void {
    this.fetch();
    this.setPace();
    this.arm();
    this.wiring.onRun?.(true);
  }

  private writeControl(value: number): void {
    if ((value & CONTROL_RESET) !== 0) {
      const kept = this.control & CONTROL_INTERRUPTS;
      this.reset();
      this.control = kept;
      return;
    }
    const wasRunning = (this.control & CONTROL_RUN) !== 0;
    this.control = value & (CONTROL_RUN | CONTROL_INTERRUPTS);
    const isRunning = (value & CONTROL_RUN) !== 0;
    if (isRunning && !wasRunning) {
      // A pause goes on in the buffer it was in.
      if (this.left > 0) {
        this.status &= ~STATUS_HALTED;
        this.setPace();
        this.arm();
        this.wiring.onRun?.(true);
      } else this.begin();
    } else if (!isRunning && wasRunning) {
      this.status |= STATUS_HALTED;
      this.timer.cancel();
      this.wiring.onRun?.(false);
    }
  }

  reset(): void {
    this.timer.cancel();
    this.wiring.onRun?.(false);
    this.base = 0;
    this.current = 0;
    this.lastValid = 0;
    this.prefetched = 0;
    this.status = STATUS_HALTED;
    this.control = 0;
    this.at = 0;
    this.left = 0;
    this.flags = 0;
  }

  save(): SavedState {
    this.advance();
    const { base, current, lastValid, prefetched, status, control, at, left, flags } = this;
    return { version: 1, base, current, lastValid, prefetched, status, control, at, left, flags };
  }

  restore(state: SavedState): void {
    const reader = openState('sound ring', 1, state);
    this.base = (reader.dword('base') & ~7) >>> 0;
    this.current = reader.integer('current', 0, ENTRIES - 1);
    this.lastValid = reader.integer('lastValid', 0, ENTRIES - 1);
    this.prefetched = reader.integer('prefetched', 0, ENTRIES - 1);
    this.status = reader.integer('status', 0, 0x1f);
    this.control = reader.byte('control') & (CONTROL_RUN | CONTROL_INTERRUPTS);
    this.at = reader.integer('at', 0, 2 ** 33);
    this.left = reader.word('left');
    this.flags = reader.word('flags');
    this.setPace();
    this.arm();
    this.wiring.onRun?.(this.isMoving);
  }
}
