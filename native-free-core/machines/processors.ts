// The processors of a PC: vCPUs that take turns on one thread, one engine for all.
// Owns who has the turn, the wiring of processor and APICs to each other, and where the APICs' registers are seen.
// Never decides how long a turn is, and never looks at a host clock.

import { Cpu, type InterruptSource, type RunEnd, translationOptions } from '../cpu/cpu.ts';
import { S } from '../cpu/state.ts';
import type { ApicBus } from '../devices/apic/apic-bus.ts';
import { LOCAL_APIC_SIZE } from '../devices/apic/local-apic.ts';
import { ClaimOverlapError, floatingValue, type IoBus } from '../devices/bus.ts';
import type { MmioHandler } from '../devices/device.ts';
import type { PicPair } from '../devices/legacy/pic.ts';
import type { TimerQueue } from '../devices/timers.ts';
import type { GuestConfig, GuestHost } from '../hypervisor/guest.ts';
import type { GuestClock } from './guest-clock.ts';
import type { HypervisorTime } from './hypervisor-time.ts';
import { Vcpu } from './vcpu.ts';

/** The time-stamp counter and the APIC timer tick once a nanosecond. */
const TSC_HZ = 1_000_000_000;

const APIC_BASE_MSR = 0x1b;
const TSC_DEADLINE_MSR = 0x6e0;

export interface ProcessorsWiring {
  config: GuestConfig;
  host: GuestHost;
  /** Made for `config.cpus` vCPUs (memoryPages). */
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
  /** INIT of the boot processor, which starts the machine anew. */
  onInit(): void;
}

export class Processors {
  readonly cpu: Cpu;
  readonly vcpus: readonly Vcpu[];
  /** Whose turn it is. */
  private current: Vcpu;
  private readonly bus: IoBus;
  /** Physical address of each vCPU's APIC registers. */
  private readonly apicAt: (number | undefined)[] = [];
  private readonly claimed = new Set<number>();

  constructor(wiring: ProcessorsWiring) {
    const { config, host, bus, clock, timers, time } = wiring;
    this.bus = bus;
    const interrupts: InterruptSource = {
      pending: () => this.current.apic.pending,
      acknowledge: () => this.current.apic.acknowledge(),
      takeNmi: () => this.current.takeNmi(),
    };
    const timestamp = () => Math.floor(clock.now());
    this.cpu = new Cpu(
      wiring.memory,
      wiring.ramBytes,
      time.bus(bus),
      interrupts,
      time,
      {
        timestamp,
        timestampHz: TSC_HZ,
        crystalHz: TSC_HZ,
        tscDeadline: true,
        apicId: () => this.current.id,
        processors: config.cpus,
        readMsr: (index) => this.readMsr(index),
        writeMsr: (index, value) => this.writeMsr(index, value),
        numericError: () => wiring.onNumericError(),
        readTaskPriority: () => this.current.apic.taskPriorityClass,
        writeTaskPriority: (value) => {
          this.current.apic.taskPriorityClass = value;
        },
        // Whatever it waits for, only another vCPU or time can bring.
        pause: () => this.cpu.leave(),
      },
      translationOptions(
        config.translation ?? 'hot',
        config.deterministic ? undefined : host.translationThread?.(wiring.memory),
      ),
    );
    const { cpu } = this;
    const tscOffset = (id: number) => cpu.stateOf(id, S.tscOffset);
    this.vcpus = Array.from(
      { length: config.cpus },
      (_, id) =>
        new Vcpu({
          id,
          apicBus: wiring.apicBus,
          external: wiring.pic,
          clock,
          timers,
          tsc: {
            read: () => BigInt.asUintN(64, BigInt(timestamp()) + tscOffset(id)),
            timeOf: (value) => Number(BigInt.asIntN(64, value - tscOffset(id))) * (1e9 / TSC_HZ),
          },
          timerHertz: TSC_HZ,
          onEvent: (vcpu) => this.noteEvent(vcpu),
          onInit: (vcpu) => {
            if (vcpu.id === 0) wiring.onInit();
            else if (vcpu === this.current) cpu.leave();
            else this.noteEvent(vcpu);
          },
          onApicBase: (vcpu, base) => this.placeApic(vcpu.id, base),
        }),
    );
    this.current = this.vcpus[0];
    this.reset();
  }

  /** The boot processor. */
  get boot(): Vcpu {
    return this.vcpus[0];
  }

  /** RESET of all; the boot processor has the turn, and nothing is decoded. */
  reset(): void {
    for (const vcpu of this.vcpus.toReversed()) {
      this.current = vcpu;
      this.cpu.switchTo(vcpu.id);
      this.cpu.reset();
      vcpu.reset();
    }
  }

  /**
   * Gives the turn to the next vCPU that has something to do: the one behind the present one first. False where none has.
   * Between two runs only.
   */
  select(): boolean {
    const { vcpus, current } = this;
    const count = vcpus.length;
    // Firmware that waited for a drive may have woken it between two runs.
    current.end(this.cpu.system);
    if (count === 1) return current.isRunnable;
    let chosen: Vcpu | undefined;
    let others = 0;
    for (let step = 1; step <= count; step++) {
      const vcpu = vcpus[(current.id + step) % count];
      if (!vcpu.isRunnable) continue;
      if (chosen) {
        others = 1;
        break;
      }
      if (vcpu === this.current ? vcpu.begin(this.cpu.system) : this.enter(vcpu)) chosen = vcpu;
    }
    if (!chosen) return false;
    this.cpu.system.set32(S.othersWait, others);
    return true;
  }

  /** Gives a vCPU the turn, whether it has something to do or not, for whoever looks at its state. Between two runs only. */
  attend(id: number): void {
    this.current.end(this.cpu.system);
    this.current = this.vcpus[id];
    this.cpu.switchTo(id);
  }

  /** Some vCPU has something to do. */
  get areRunnable(): boolean {
    this.current.end(this.cpu.system);
    return this.vcpus.some(({ isRunnable }) => isRunnable);
  }

  /** More than one vCPU has something to do. */
  get areContended(): boolean {
    return this.cpu.system.get32(S.othersWait) !== 0;
  }

  /** The vCPU that was selected executes about `instructions`. */
  run(instructions: number): RunEnd {
    return this.cpu.run(instructions);
  }

  private enter(vcpu: Vcpu): boolean {
    this.current = vcpu;
    this.cpu.switchTo(vcpu.id);
    return vcpu.begin(this.cpu.system);
  }

  private noteEvent(vcpu: Vcpu): void {
    if (vcpu === this.current) this.cpu.interruptChanged();
    else if (vcpu.isRunnable) this.cpu.system.set32(S.othersWait, 1);
  }

  // ---- the APICs' registers

  /** All vCPUs' are at one address, each sees its own; a guest may move them apart. */
  private placeApic(id: number, base: number | undefined): void {
    this.apicAt[id] = base;
    for (const at of this.claimed) {
      if (this.apicAt.includes(at)) continue;
      this.bus.releaseMmio(at);
      this.claimed.delete(at);
    }
    if (base === undefined || this.claimed.has(base)) return;
    const handler: MmioHandler = {
      readMmio: (offset, size) =>
        this.apicAt[this.current.id] === base ? this.current.apic.readMmio(offset, size) : floatingValue(size),
      writeMmio: (offset, size, value) => {
        if (this.apicAt[this.current.id] === base) this.current.apic.writeMmio(offset, size, value);
      },
    };
    try {
      this.bus.claimMmio(base, LOCAL_APIC_SIZE, handler);
      this.claimed.add(base);
    } catch (error) {
      // A guest may move it onto another device, which then answers.
      if (!(error instanceof ClaimOverlapError)) throw error;
    }
  }

  private readMsr(index: number): bigint | undefined {
    if (index === APIC_BASE_MSR) return this.current.apic.base;
    if (index === TSC_DEADLINE_MSR) return this.current.apic.tscDeadline;
    return undefined;
  }

  private writeMsr(index: number, value: bigint): boolean | undefined {
    if (index === APIC_BASE_MSR) return this.current.apic.writeBase(value);
    if (index === TSC_DEADLINE_MSR) {
      this.current.apic.tscDeadline = value;
      return true;
    }
    return undefined;
  }
}
