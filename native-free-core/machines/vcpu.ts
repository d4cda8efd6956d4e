// A vCPU of a PC: the processor and its local APIC, wired to each other.
// Owns that wiring, pending NMIs and the MSRs that belong to the APIC.
// Never decides when the vCPU runs.

import { Cpu, type InterruptSource, translationOptions } from '../cpu/cpu.ts';
import type { ApicBus } from '../devices/apic/apic-bus.ts';
import { LOCAL_APIC_SIZE, LocalApic } from '../devices/apic/local-apic.ts';
import type { IoBus } from '../devices/bus.ts';
import type { PicPair } from '../devices/legacy/pic.ts';
import type { TimerQueue } from '../devices/timers.ts';
import type { GuestConfig, GuestHost } from '../hypervisor/guest.ts';
import type { GuestClock } from './guest-clock.ts';
import type { HypervisorTime } from './hypervisor-time.ts';

/** The time-stamp counter and the APIC timer tick once a nanosecond. */
const TSC_HZ = 1_000_000_000;

const APIC_BASE_MSR = 0x1b;
const TSC_DEADLINE_MSR = 0x6e0;

export interface VcpuWiring {
  config: GuestConfig;
  host: GuestHost;
  memory: WebAssembly.Memory;
  ramBytes: number;
  bus: IoBus;
  clock: GuestClock;
  timers: TimerQueue;
  time: HypervisorTime;
  apicBus: ApicBus;
  pic: PicPair;
  /** FERR#: an x87 exception with CR0.NE clear. */
  onNumericError(): void;
  /** INIT, which on the boot processor starts the machine anew. */
  onInit(): void;
}

export class Vcpu {
  readonly cpu: Cpu;
  readonly apic: LocalApic;
  private nmi = false;

  constructor(wiring: VcpuWiring) {
    const { config, host, bus, clock, timers, time } = wiring;
    const interrupts: InterruptSource = {
      pending: () => this.apic.pending,
      acknowledge: () => this.apic.acknowledge(),
      takeNmi: () => {
        const waiting = this.nmi;
        this.nmi = false;
        return waiting;
      },
    };
    this.cpu = new Cpu(
      wiring.memory,
      wiring.ramBytes,
      time.bus(bus),
      interrupts,
      time,
      {
        timestamp: () => Math.floor(clock.now()),
        timestampHz: TSC_HZ,
        crystalHz: TSC_HZ,
        tscDeadline: true,
        apicId: 0,
        processors: 1,
        readMsr: (index) => this.readMsr(index),
        writeMsr: (index, value) => this.writeMsr(index, value),
        numericError: () => wiring.onNumericError(),
        readTaskPriority: () => this.apic.taskPriorityClass,
        writeTaskPriority: (value) => {
          this.apic.taskPriorityClass = value;
        },
      },
      translationOptions(
        config.translation ?? 'hot',
        config.deterministic ? undefined : host.translationThread?.(wiring.memory),
      ),
    );
    let apicAt: number | undefined;
    this.apic = new LocalApic({
      id: 0,
      bootstrap: true,
      bus: wiring.apicBus,
      processor: {
        interruptChanged: () => {
          // The APIC's own constructor resets it, before there is anything to ask.
          if (this.apic) this.cpu.interruptChanged();
        },
        nmi: () => {
          this.nmi = true;
          this.cpu.kick();
        },
        smi: () => {
          // There is no system management mode: nothing listens.
        },
        init: () => wiring.onInit(),
        startup: () => {
          // The boot processor is running: a start-up message does nothing (SDM volume 3, 10.6.1).
        },
      },
      external: wiring.pic,
      clock,
      timers,
      tsc: {
        read: () => this.cpu.system.timestamp(),
        timeOf: (value) => this.cpu.system.timeOfTimestamp(value),
      },
      timerHertz: TSC_HZ,
      onBase: (base, enabled) => {
        if (apicAt !== undefined) bus.releaseMmio(apicAt);
        apicAt = enabled ? base : undefined;
        if (enabled)
          bus.claimMmio(base, LOCAL_APIC_SIZE, {
            readMmio: (o, s) => this.apic.readMmio(o, s),
            writeMmio: (o, s, v) => this.apic.writeMmio(o, s, v),
          });
      },
    });
    wiring.apicBus.add(this.apic);
  }

  private readMsr(index: number): bigint | undefined {
    if (index === APIC_BASE_MSR) return this.apic.base;
    if (index === TSC_DEADLINE_MSR) return this.apic.tscDeadline;
    return undefined;
  }

  private writeMsr(index: number, value: bigint): boolean | undefined {
    if (index === APIC_BASE_MSR) return this.apic.writeBase(value);
    if (index === TSC_DEADLINE_MSR) {
      this.apic.tscDeadline = value;
      return true;
    }
    return undefined;
  }
}
