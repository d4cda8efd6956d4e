// The watchdog timer of Intel's 6300ESB: two stages, of which the second one's end resets the machine.
// Owns its configuration registers, its four memory registers and the time that is left.
// Never resets anything itself: the machine is asked to.

import type { Clock } from '../../host.ts';
import type { AccessSize, Device, SavedState, Timer, Timers } from '../device.ts';
import { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';

/** Configuration registers (Intel 300641, 16.1). */
const CONFIG = 0x60;
const LOCK = 0x68;
const CONFIG_INTERRUPT_TYPE = 0x03;
const INTERRUPT_BY_PIN = 0x00;
const CONFIG_FAST = 0x04;
const CONFIG_NO_RESET = 0x20;
const LOCK_LOCKED = 0x01;
const LOCK_ENABLE = 0x02;
const LOCK_FREE_RUNNING = 0x04;
/** Memory registers (16.2). */
const Register = { preload1: 0x00, preload2: 0x04, interruptStatus: 0x08, reload: 0x0c } as const;
const RELOAD_NOW = 0x100;
const RELOAD_TIMED_OUT = 0x200;
const UNLOCK = [0x80, 0x86];
const PRELOAD_MAX = 0xfffff;
/** The timer counts the 33 MHz clock of PCI divided by 2^15, or by 2^5 where it is set to be fast. */
const PCI_NS = 1000 / 33;
const SLOW_NS = PCI_NS * 2 ** 15;
const FAST_NS = PCI_NS * 2 ** 5;

export interface WatchdogWiring {
  clock: Clock;
  timers: Timers;
  onReset(): void;
}

/** 8086:25AB. */
export class Watchdog implements Device {
  readonly pci: PciFunction;
  private readonly wiring: WatchdogWiring;
  private readonly timer: Timer;
  private readonly preloads = [PRELOAD_MAX, PRELOAD_MAX];
  private stage: 0 | 1 = 0;
  /** How much of {@link UNLOCK} has been written; all of it unlocks one write. */
  private unlocked = 0;
  private interruptStatus = 0;
  /** It has reset the machine; only the guest clears this. */
  private timedOut = false;
  /** When the present stage ends, in nanoseconds since power-on. */
  private endsAt = Infinity;

  constructor(wiring: WatchdogWiring) {
    this.wiring = wiring;
    this.timer = wiring.timers.create(() => this.stageEnds());
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x25ab,
      classCode: 0x088000,
      interruptPin: 1,
      bars: {
        0: {
          kind: 'memory',
          size: 16,
          handler: {
            readMmio: (offset, size) => this.readMmio(offset, size),
            writeMmio: (offset, size, value) => this.writeMmio(offset, size, value),
          },
        },
      },
      onConfigWrite: (offset, size) => this.configWritten(offset, size),
    });
    this.pci.writable[CONFIG] = CONFIG_INTERRUPT_TYPE | CONFIG_FAST | CONFIG_NO_RESET;
    this.pci.writable[LOCK] = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUNNING;
  }

  private get isEnabled(): boolean {
    return (this.pci.config[LOCK] & LOCK_ENABLE) !== 0;
  }

  private configWritten(offset: number, size: number): void {
    if (offset > LOCK || offset + size <= LOCK) return;
    const { config, writable } = this.pci;
    // Once locked, the register stays as it is until the next reset.
    if ((config[LOCK] & LOCK_LOCKED) !== 0) writable[LOCK] = 0;
    if (!this.isEnabled) this.stop();
    else if (this.endsAt === Infinity) this.begin(0);
  }

  private stop(): void {
    this.endsAt = Infinity;
    this.timer.cancel();
  }

  private begin(stage: 0 | 1): void {
    this.stage = stage;
    const tick = (this.pci.config[CONFIG] & CONFIG_FAST) !== 0 ? FAST_NS : SLOW_NS;
    // A stage of no length still takes a tick: a guest cannot make the machine spin.
    this.endsAt = this.wiring.clock.now() + Math.max(this.preloads[stage], 1) * tick;
    this.timer.arm(this.endsAt);
  }

  private stageEnds(): void {
    if (this.stage === 0) {
      this.begin(1);
      if ((this.pci.config[CONFIG] & CONFIG_INTERRUPT_TYPE) === INTERRUPT_BY_PIN) {
        this.interruptStatus = 1;
        this.pci.interrupt.set(true);
      }
      return;
    }
    this.stop();
    if ((this.pci.config[LOCK] & LOCK_FREE_RUNNING) !== 0) {
      this.begin(0);
      return;
    }
    this.timedOut = true;
    if ((this.pci.config[CONFIG] & CONFIG_NO_RESET) === 0) this.wiring.onReset();
  }

  private readMmio(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.byteAt(offset + i) * 2 ** (8 * i);
    return value;
  }

  private byteAt(offset: number): number {
    const register = offset & ~3;
    const value =
      register === Register.interruptStatus
        ? this.interruptStatus
        : register === Register.reload && this.timedOut
          ? RELOAD_TIMED_OUT
          : 0; // preloads cannot be read back
    return (value >>> (8 * (offset & 3))) & 0xff;
  }

  private writeMmio(offset: number, _size: AccessSize, value: number): void {
    const register = offset & ~3;
    if (register === Register.reload && this.unlocked < UNLOCK.length) {
      this.unlocked = value === UNLOCK[this.unlocked] ? this.unlocked + 1 : 0;
      return;
    }
    if (register === Register.interruptStatus) {
      if ((value & 1) === 0) return;
      this.interruptStatus = 0;
      this.pci.interrupt.set(false);
      return;
    }
    if (this.unlocked < UNLOCK.length) return;
    this.unlocked = 0;
    if (register === Register.preload1) this.preloads[0] = value & PRELOAD_MAX;
    else if (register === Register.preload2) this.preloads[1] = value & PRELOAD_MAX;
    else {
      if ((value & RELOAD_TIMED_OUT) !== 0) this.timedOut = false;
      if ((value & RELOAD_NOW) !== 0 && this.isEnabled) this.begin(0);
    }
  }

  /** The machine's reset, which it may have brought about itself: that it did survives. */
  reset(): void {
    this.stop();
    this.pci.reset();
    this.pci.config[CONFIG] = 0;
    this.pci.config[LOCK] = 0;
    this.pci.writable[LOCK] = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUNNING;
    this.preloads.fill(PRELOAD_MAX);
    this.stage = 0;
    this.unlocked = 0;
    this.interruptStatus = 0;
  }

  save(): SavedState {
    const { stage, unlocked, interruptStatus, timedOut } = this;
    const left = this.endsAt === Infinity ? -1 : Math.max(0, this.endsAt - this.wiring.clock.now());
    const pci = this.pci.save();
    return { version: 1, pci, preloads: [...this.preloads], stage, unlocked, interruptStatus, timedOut, left };
  }

  restore(state: SavedState): void {
    const reader = openState('watchdog', 1, state);
    this.pci.restore(state.pci as SavedState);
    this.pci.writable[LOCK] =
      (this.pci.config[LOCK] & LOCK_LOCKED) !== 0 ? 0 : LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUNNING;
    this.preloads.splice(0, 2, ...reader.integers('preloads', 0, PRELOAD_MAX, 2));
    this.stage = reader.integer('stage', 0, 1) as 0 | 1;
    this.unlocked = reader.integer('unlocked', 0, UNLOCK.length);
    this.interruptStatus = reader.integer('interruptStatus', 0, 1);
    this.timedOut = reader.boolean('timedOut');
    const left = reader.number('left');
    this.stop();
    if (left < 0) return;
    this.endsAt = this.wiring.clock.now() + Math.min(left, PRELOAD_MAX * SLOW_NS);
    this.timer.arm(this.endsAt);
  }
}
