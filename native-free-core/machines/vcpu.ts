// A vCPU of a PC: its local APIC, and what waits for it.
// Owns whether it has something to do: INIT, start-up and NMIs that wait, and how it stood when another vCPU took its turn.
// Never executes anything: processors.ts gives turns.

import { S } from '../cpu/state.ts';
import type { SystemCpu } from '../cpu/system/core.ts';
import type { ApicBus } from '../devices/apic/apic-bus.ts';
import { LocalApic, type LocalApicWiring } from '../devices/apic/local-apic.ts';
import type { SavedState } from '../devices/device.ts';
import { openState } from '../devices/saved-state.ts';

const INTERRUPTS_ENABLED = 0x200;

export interface VcpuWiring
  extends Pick<LocalApicWiring, 'external' | 'clock' | 'timers' | 'tsc' | 'timerHertz' | 'silentEnd'> {
  id: number;
  apicBus: ApicBus;
  /** Its interrupts, or what else waits for it, have changed. */
  onEvent(vcpu: Vcpu): void;
  /** What INIT is to anybody else than the processor itself, when the vCPU has its turn. */
  onInitialize?(vcpu: Vcpu): void;
  /** INIT, which on the boot processor starts the machine anew. */
  onInit(vcpu: Vcpu): void;
  /** The page of its APIC's registers is at `base`, or nowhere. */
  onApicBase(vcpu: Vcpu, base: number | undefined): void;
}

export class Vcpu {
  /** APIC id, and number of the vCPU. */
  readonly id: number;
  readonly apic: LocalApic;
  private nmi = false;
  /** INIT came, and the vCPU has not had its turn since. */
  private initialize = false;
  /** Only a start-up message makes it go on: as processors but the first begin. */
  private waiting: boolean;
  /** Vector of a start-up message that has come, or -1. */
  private startup = -1;
  /** Another vCPU has woken it, without an interrupt: the HLT it is in, or its next one, is over. */
  private woken = false;
  private readonly onInitialize: ((vcpu: Vcpu) => void) | undefined;
  private readonly onEvent: (vcpu: Vcpu) => void;
  // How it stood when anybody last looked.
  private halted = false;
  private interruptible = false;
  private nmiBlocked = false;

  constructor(wiring: VcpuWiring) {
    const { id, apicBus, onEvent } = wiring;
    this.id = id;
    this.onEvent = onEvent;
    this.onInitialize = wiring.onInitialize;
    this.waiting = id !== 0;
    this.apic = new LocalApic({
      ...wiring,
      bootstrap: id === 0,
      bus: apicBus,
      processor: {
        interruptChanged: () => {
          // The APIC's own constructor resets it, before there is anything to ask.
          if (this.apic) onEvent(this);
        },
        nmi: () => {
          this.nmi = true;
          onEvent(this);
        },
        smi: () => {
          // There is no system management mode: nothing listens.
        },
        init: () => {
          if (id === 0) {
            wiring.onInit(this);
            return;
          }
          this.initialize = true;
          this.startup = -1;
          wiring.onInit(this);
        },
        startup: (vector) => {
          // A processor that runs, or has been started, ignores start-up messages (SDM volume 3, 9.4.4).
          if (!(this.waiting || this.initialize) || this.startup >= 0) return;
          this.startup = vector;
          onEvent(this);
        },
      },
      onBase: (base, enabled) => wiring.onApicBase(this, enabled ? base : undefined),
    });
    apicBus.add(this.apic);
  }

  /** Power-on or RESET, its APIC included. The processor's own state is the caller's to reset. */
  reset(): void {
    this.nmi = this.initialize = false;
    this.waiting = this.id !== 0;
    this.startup = -1;
    this.woken = false;
    this.halted = this.interruptible = this.nmiBlocked = false;
    this.apic.reset();
  }

  /** What waits for it, and its APIC; the processor's own state is the caller's to save. */
  save(): SavedState {
    const { nmi, initialize, waiting, startup, woken } = this;
    return { version: 1, nmi, initialize, waiting, startup, woken, apic: this.apic.save() };
  }

  /** `cpu` has its state already. */
  restore(cpu: SystemCpu, state: SavedState): void {
    const reader = openState('vCPU', 1, state);
    this.nmi = reader.boolean('nmi');
    this.initialize = reader.boolean('initialize');
    this.waiting = reader.boolean('waiting');
    this.startup = reader.integer('startup', -1, 0xff);
    this.woken = reader.boolean('woken');
    this.apic.restore(state.apic as SavedState);
    this.end(cpu);
  }

  /** Whether it would execute anything if it had its turn. */
  get isRunnable(): boolean {
    if (this.initialize) return true;
    if (this.waiting) return this.startup >= 0;
    if (!this.halted || this.woken) return true;
    return (this.nmi && !this.nmiBlocked) || (this.interruptible && this.apic.pending);
  }

  /** Ends its HLT as an interrupt would; where it is not in one, its next HLT. */
  wake(): void {
    this.woken = true;
    this.onEvent(this);
  }

  /** An NMI waits; taking it clears it. */
  takeNmi(): boolean {
    const waits = this.nmi;
    this.nmi = false;
    return waits;
  }

  /** Its turn begins, its state is `cpu`'s: what INIT and start-up messages ask for is done. False: it waits for the latter. */
  begin(cpu: SystemCpu): boolean {
    if (this.initialize) {
      this.initialize = false;
      this.waiting = true;
      this.nmi = false;
      this.woken = false;
      cpu.initialize();
      this.onInitialize?.(this);
    }
    if (this.waiting && this.startup >= 0) {
      cpu.startUp(this.startup);
      this.waiting = false;
      this.startup = -1;
    }
    if (this.woken && cpu.get32(S.halted) !== 0) {
      this.woken = false;
      cpu.set32(S.halted, 0);
    }
    return !this.waiting;
  }

  /** Its turn is over, or it may stand otherwise than before: its state is still `cpu`'s. */
  end(cpu: SystemCpu): void {
    this.halted = cpu.get32(S.halted) !== 0;
    this.interruptible = (cpu.get32(S.eflags) & INTERRUPTS_ENABLED) !== 0;
    this.nmiBlocked = cpu.get32(S.nmiBlocked) !== 0;
  }
}
