// The processors of a PC: vCPUs that take turns on one thread, one engine for all.
// Owns who has the turn, the wiring of processor and APICs to each other, and where the APICs' registers are seen.
// Never decides how long a turn is, and never looks at a host clock.

import { Cpu, type InterruptSource, type RunEnd, translationOptions } from '../cpu/cpu.ts';
import { restoreVcpu, saveVcpu } from '../cpu/saved-vcpu.ts';
import { S } from '../cpu/state.ts';
import { Cr0, PHYSICAL_ADDRESS_BITS } from '../cpu/system/architecture.ts';
import { mtrrField } from '../cpu/system/msr.ts';
import type { ApicBus } from '../devices/apic/apic-bus.ts';
import { LOCAL_APIC_SIZE } from '../devices/apic/local-apic.ts';
import { ClaimOverlapError, floatingValue, type IoBus } from '../devices/bus.ts';
import type { MmioHandler, SavedState } from '../devices/device.ts';
import type { PicPair } from '../devices/legacy/pic.ts';
import { openState } from '../devices/saved-state.ts';
import type { TimerQueue } from '../devices/timers.ts';
import { memoryTypeRegisters } from '../firmware/memory-types.ts';
import type { GuestConfig, GuestHost } from '../hypervisor/guest.ts';
import type { ParavirtInterface } from '../hypervisor/paravirt.ts';
import type { GuestClock } from './guest-clock.ts';
import type { HypervisorTime } from './hypervisor-time.ts';
import { paravirtInterface } from './paravirt-interface.ts';
import { StolenTime } from './stolen-time.ts';
import { Vcpu } from './vcpu.ts';

/** The time-stamp counter and the APIC timer tick once a nanosecond. */
const TSC_HZ = 1_000_000_000;

const APIC_BASE_MSR = 0x1b;
const TSC_DEADLINE_MSR = 0x6e0;
/**
 * Ticks: a deadline that is further off is only looked at when the burst is over, which takes no longer. The tick of a system is four
 * times as far off and more.
 */
const DEADLINE_AHEAD = 1_000_000n;

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
  /** What the guest knows of its hypervisor, if anything. */
  private readonly paravirt: ParavirtInterface | undefined;
  private readonly stolen: StolenTime;
  /** Deadlines may wait for the end of the burst; not where it is to be the same in every run. */
  private readonly leavesDeadlines: boolean;
  /** Who is to have the next turn, by a vCPU's wish. */
  private preferred: Vcpu | undefined;

  constructor(wiring: ProcessorsWiring) {
    const { config, host, bus, clock, timers, time } = wiring;
    this.bus = bus;
    this.leavesDeadlines = !config.deterministic;
    const interrupts: InterruptSource = {
      pending: () => this.current.apic.pending,
      acknowledge: () => this.current.apic.acknowledge(),
      takeNmi: () => this.current.takeNmi(),
    };
    const timestamp = () => Math.floor(clock.now());
    this.paravirt = paravirtInterface(wiring, {
      timestampHz: TSC_HZ,
      timestamp: (vcpu, now) => BigInt.asUintN(64, BigInt(now) + this.cpu.stateOf(vcpu, S.tscOffset)),
      vcpu: (apicId) => this.vcpus.find(({ apic }) => apic.id === apicId),
      prefer: (vcpu) => {
        this.preferred = vcpu;
        this.cpu.leave();
      },
      flushTlb: () => this.cpu.system.mmu.flushAll(),
      withdrawSilentEnd: (vcpu) => this.vcpus[vcpu].apic.withdrawSilentEnd(),
      physical: () => this.cpu.system.physical,
    });
    const { paravirt } = this;
    this.stolen = new StolenTime(wiring, paravirt);
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
        hypervisor: paravirt !== undefined,
        hypervisorLeaf: (leaf, subleaf) => paravirt?.leaf(leaf, subleaf),
        timestampMoved: () => paravirt?.timestampMoved?.(this.current.id),
        hypercall: () => this.hypercall(),
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
          ...(paravirt?.endOfInterruptFlag ? { silentEnd: paravirt.endOfInterruptFlag(id) } : {}),
          onEvent: (vcpu) => this.noteEvent(vcpu),
          onInitialize: () => paravirt?.resetVcpu?.(id),
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
    this.paravirt?.reset();
    this.preferred = undefined;
    this.stolen.reset();
    for (const vcpu of this.vcpus.toReversed()) {
      this.look(vcpu.id);
      this.cpu.reset();
      vcpu.reset();
    }
  }

  /** As firmware leaves all of them: caches on, memory types by address. */
  programCaches(): void {
    const { cpu } = this;
    for (const { id } of this.vcpus) {
      for (const [register, value] of memoryTypeRegisters(PHYSICAL_ADDRESS_BITS))
        cpu.setStateOf(id, mtrrField(register)!, value);
      cpu.setStateOf(id, S.cr0, cpu.stateOf(id, S.cr0) & ~BigInt(Cr0.cd | Cr0.nw));
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
    if (count === 1) {
      const begins = current.isRunnable && current.begin(this.cpu.system);
      if (!begins) this.stolen.idle();
      return begins;
    }
    let chosen: Vcpu | undefined;
    let others = 0;
    const { preferred } = this;
    this.preferred = undefined;
    if (preferred?.isRunnable && this.enter(preferred)) {
      this.cpu.system.set32(S.othersWait, vcpus.some((vcpu) => vcpu !== preferred && vcpu.isRunnable) ? 1 : 0);
      return true;
    }
    for (let step = 1; step <= count; step++) {
      const vcpu = vcpus[(current.id + step) % count];
      if (!vcpu.isRunnable) continue;
      if (chosen) {
        others = 1;
        break;
      }
      if (this.enter(vcpu)) chosen = vcpu;
    }
    if (!chosen) {
      this.stolen.idle();
      return false;
    }
    this.cpu.system.set32(S.othersWait, others);
    return true;
  }

  /** All vCPUs, and what they were told of their hypervisor. Between two runs only. */
  save(): SavedState {
    const turn = this.current.id;
    const vcpus = this.vcpus.map((vcpu) => {
      this.look(vcpu.id);
      return { ...vcpu.save(), registers: saveVcpu(this.cpu.system) };
    });
    this.look(turn);
    return { version: 1, turn, vcpus, paravirt: this.paravirt?.save() ?? null };
  }

  /** Guest memory and the guest's clock are what they were. Throws an Error with one sentence. */
  restore(state: SavedState): void {
    const reader = openState('processors', 1, state);
    const turn = reader.integer('turn', 0, this.vcpus.length - 1);
    const states = reader.array('vcpus', this.vcpus.length) as (SavedState & { registers: SavedState })[];
    if ((this.paravirt === undefined) !== (state.paravirt === null))
      throw new Error('the guest was told of another hypervisor than it is now');
    this.paravirt?.restore(state.paravirt as SavedState);
    this.preferred = undefined;
    this.stolen.reset();
    for (const vcpu of this.vcpus) {
      this.look(vcpu.id);
      restoreVcpu(this.cpu.system, states[vcpu.id].registers);
      vcpu.restore(this.cpu.system, states[vcpu.id]);
    }
    this.look(turn);
    this.cpu.interruptChanged();
  }

  /** Makes a vCPU's state that of the engine without giving it a turn, of which the guest would be told. */
  private look(id: number): void {
    this.current = this.vcpus[id];
    this.cpu.switchTo(id);
  }

  /** Gives a vCPU the turn, whether it has something to do or not, for whoever looks at its state. Between two runs only. */
  attend(id: number): void {
    this.current.end(this.cpu.system);
    this.turnTo(this.vcpus[id]);
  }

  /** Number of the vCPU that has the turn. */
  get turn(): number {
    return this.current.id;
  }

  /** Does something while a vCPU has the turn, which then is again whose it was. Between two runs only. */
  onTurn(id: number, act: () => void): void {
    const before = this.current.id;
    if (before !== id) this.attend(id);
    act();
    if (before !== id) this.attend(before);
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
    const { current, cpu } = this;
    const leaves = this.leavesDeadlines && current.apic.hasDeadlineTimer;
    cpu.system.set64(S.deadlineAhead, leaves ? DEADLINE_AHEAD : 0n);
    const end = this.stolen.run(current.id, () => cpu.run(instructions));
    this.takeDeadline();
    return end;
  }

  /** A deadline that the present vCPU's timer was given without anybody being asked. */
  private takeDeadline(): void {
    const { system } = this.cpu;
    if (system.get32(S.deadlineWritten) === 0) return;
    system.set32(S.deadlineWritten, 0);
    this.current.apic.tscDeadline = system.get64(S.deadline);
  }

  private enter(vcpu: Vcpu): boolean {
    this.turnTo(vcpu);
    return vcpu.begin(this.cpu.system);
  }

  private turnTo(vcpu: Vcpu): void {
    const { current, paravirt, stolen } = this;
    if (vcpu === current) return;
    paravirt?.left?.(current.id);
    if (current.isRunnable) stolen.waits(current.id);
    this.current = vcpu;
    this.cpu.switchTo(vcpu.id);
    paravirt?.entered?.(vcpu.id, stolen.waited(vcpu.id));
  }

  private noteEvent(vcpu: Vcpu): void {
    if (vcpu === this.current) this.cpu.interruptChanged();
    else if (vcpu.isRunnable) {
      this.stolen.waits(vcpu.id);
      this.cpu.system.set32(S.othersWait, 1);
    }
  }

  /** VMCALL or VMMCALL of the present vCPU. */
  private hypercall(): boolean {
    if (!this.paravirt) return false;
    const { system } = this.cpu;
    const [rax, rcx, rdx, rbx, , , rsi] = Array.from({ length: 7 }, (_, index) => system.reg(index));
    const answer = this.paravirt.hypercall(this.current.id, {
      ...{ rax, rbx, rcx, rdx, rsi },
      r8: system.code64 ? system.reg(8) : 0n,
      is64: system.code64,
      privilege: system.cpl,
    });
    if (answer === undefined) return false;
    if (system.code64) system.setReg(0, answer);
    else {
      system.setReg32(0, Number(BigInt.asUintN(32, answer)));
      if (this.paravirt.answersInPairs) system.setReg32(2, Number(BigInt.asUintN(64, answer) >> 32n));
    }
    return true;
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
        if (this.apicAt[this.current.id] !== base) return;
        // What the timer was told before may have another meaning afterwards.
        this.takeDeadline();
        this.current.apic.writeMmio(offset, size, value);
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
    if (index === TSC_DEADLINE_MSR) {
      this.takeDeadline();
      return this.current.apic.tscDeadline;
    }
    return this.paravirt?.readMsr(this.current.id, index);
  }

  private writeMsr(index: number, value: bigint): boolean | undefined {
    if (index === APIC_BASE_MSR) return this.current.apic.writeBase(value);
    if (index === TSC_DEADLINE_MSR) {
      this.cpu.system.set32(S.deadlineWritten, 0);
      this.current.apic.tscDeadline = value;
      return true;
    }
    return this.paravirt?.writeMsr(this.current.id, index, value);
  }
}
