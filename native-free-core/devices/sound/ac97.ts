// The sound controller of Intel's ICH: an AC'97 codec behind it, one ring that plays and two that record.
// Owns its configuration space, the global registers and its interrupt.
// Never records anything but silence: no microphone is connected.

import type { Clock } from '../../host.ts';
import type { AccessSize, Device, SavedState, Timers } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import { Ac97Codec } from './ac97-codec.ts';
import { AudioRing } from './audio-ring.ts';

/** Offsets of the bus-master ports (Intel 252751, 15.2). */
const RING_STRIDE = 0x10;
const RINGS_END = 0x30;
const Register = { control: 0x2c, status: 0x30, semaphore: 0x34 } as const;
const MIXER_SIZE = 256;
const MASTER_SIZE = 64;
const CONTROL_NOT_RESET = 0x02;
const CONTROL_WARM_RESET = 0x04;
const CONTROL_WRITABLE = 0x3f;
/** Bits of the global status: a ring asks for an interrupt (recording, playing, microphone), and the codec is ready. */
const RING_STATUS = [0x20, 0x40, 0x80] as const;
const STATUS_READY = 0x100;

export interface Ac97Wiring {
  clock: Clock;
  timers: Timers;
  memory: DmaMemory;
  /** Takes what is played: left and right by turns, as loud as the mixer makes it. Undefined where nobody listens. */
  output?: { playing: boolean; pcm(samples: Int16Array, rate: number): void } | undefined;
}

/** 8086:2415. */
export class Ac97 implements Device {
  readonly pci: PciFunction;
  private readonly codec = new Ac97Codec();
  /** Recording, playing, microphone. */
  private readonly rings: readonly [AudioRing, AudioRing, AudioRing];
  private control = 0;
  private semaphore = 0;

  constructor({ clock, timers, memory, output }: Ac97Wiring) {
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x2415,
      classCode: 0x040100,
      revision: 1,
      subsystemVendor: 0x8086,
      interruptPin: 1,
      bars: {
        0: {
          kind: 'io',
          size: MIXER_SIZE,
          handler: {
            readPort: (offset, size) => this.readMixer(offset, size),
            writePort: (offset, size, value) => this.writeMixer(offset, size, value),
          },
        },
        1: {
          kind: 'io',
          size: MASTER_SIZE,
          handler: {
            readPort: (offset, size) => this.readMaster(offset, size),
            writePort: (offset, size, value) => this.writeMaster(offset, size, value),
          },
        },
      },
    });
    const dma: DmaMemory = {
      read: (physical, into) => this.pci.busMaster && memory.read(physical, into),
      write: (physical, bytes) => this.pci.busMaster && memory.write(physical, bytes),
    };
    const onInterrupt = () => this.updateInterrupt();
    const common = { clock, timers, memory: dma, onInterrupt };
    const { codec } = this;
    const recording = { ...common, play: undefined, rate: () => codec.inputRate };
    this.rings = [
      new AudioRing({ ...recording, channels: 2 }),
      new AudioRing({
        ...common,
        channels: 2,
        rate: () => codec.outputRate,
        play: (samples) => {
          if (output === undefined) return;
          const gains = [codec.gain(0), codec.gain(1)];
          output.pcm(
            samples.map((sample, index) => Math.max(-32768, Math.min(32767, sample * gains[index & 1]))),
            codec.outputRate,
          );
        },
        onRun: (running) => {
          if (output !== undefined) output.playing = running;
        },
      }),
      new AudioRing({ ...recording, channels: 1 }),
    ];
  }

  private updateInterrupt(): void {
    this.pci.interrupt.set(this.rings?.some((ring) => ring.requests) === true);
  }

  private readMixer(offset: number, size: AccessSize): number {
    this.semaphore = 0;
    const word = this.codec.read(offset & 0x7e);
    if (size === 1) return (word >> (8 * (offset & 1))) & 0xff;
    return size === 2 ? word : word + this.codec.read((offset + 2) & 0x7e) * 0x10000;
  }

  private writeMixer(offset: number, size: AccessSize, value: number): void {
    this.semaphore = 0;
    // The codec takes whole words only; its link has no narrower access.
    if (size === 1 || (offset & 1) !== 0) return;
    const rate = offset & 0x7e;
    const change = () => {
      this.codec.write(rate, value & 0xffff);
      if (size === 4) this.codec.write((rate + 2) & 0x7e, value >>> 16);
    };
    // Whatever changes, what has been due goes out as it was.
    const [recording, playing, microphone] = this.rings;
    recording.rateChanges(() => playing.rateChanges(() => microphone.rateChanges(change)));
  }

  private readMaster(offset: number, size: AccessSize): number {
    for (const ring of this.rings) ring.advance();
    let value = 0;
    for (let i = 0; i < size; i++) value += this.masterByte(offset + i) * 2 ** (8 * i);
    return value;
  }

  private masterByte(offset: number): number {
    if (offset < Register.control) return this.rings[Math.floor(offset / RING_STRIDE)].read(offset % RING_STRIDE);
    if (offset < RINGS_END) return (this.control >>> (8 * (offset - Register.control))) & 0xff;
    if (offset < Register.semaphore) return (this.globalStatus() >>> (8 * (offset - Register.status))) & 0xff;
    if (offset !== Register.semaphore) return 0;
    // Reading it takes it.
    const { semaphore } = this;
    this.semaphore = 1;
    return semaphore;
  }

  private globalStatus(): number {
    const asking = this.rings.reduce((bits, ring, index) => bits | (ring.requests ? RING_STATUS[index] : 0), 0);
    return asking | ((this.control & CONTROL_NOT_RESET) !== 0 ? STATUS_READY : 0);
  }

  private writeMaster(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      if (at < Register.control) this.rings[Math.floor(at / RING_STRIDE)].write(at % RING_STRIDE, byte);
      else if (at === Register.control) this.writeControl(byte);
    }
  }

  private writeControl(value: number): void {
    // A cold reset ends when the bit rises; a warm one wakes the link at once.
    if ((value & CONTROL_NOT_RESET) === 0) this.codec.reset();
    this.control = value & CONTROL_WRITABLE & ~CONTROL_WARM_RESET;
  }

  reset(): void {
    for (const ring of this.rings) ring.reset();
    this.codec.reset();
    this.control = 0;
    this.semaphore = 0;
    this.pci.reset();
  }

  save(): SavedState {
    const { control, semaphore } = this;
    const rings = this.rings.map((ring) => ring.save());
    return { version: 1, pci: this.pci.save(), codec: this.codec.save(), rings, control, semaphore };
  }

  restore(state: SavedState): void {
    const reader = openState('sound controller', 1, state);
    reader.records('rings', this.rings.length);
    this.pci.restore(state.pci as SavedState);
    this.codec.restore(state.codec as SavedState);
    this.control = reader.integer('control', 0, CONTROL_WRITABLE);
    this.semaphore = reader.integer('semaphore', 0, 1);
    this.rings.forEach((ring, index) => {
      ring.restore((state.rings as SavedState[])[index]);
    });
    this.updateInterrupt();
  }
}
