// What machines of all kinds share: vCPUs, guest time, the slices of their execution, the console, how they begin and end.
// Owns the machine's life: reset, slices, power-off, and how a kernel is loaded directly.
// Never knows a board: which devices there are, and how they are powered on, is the machine's own.

import { RunEnd } from '../cpu/cpu.ts';
import { describeRegisters } from '../cpu/describe.ts';
import { ignoreNumericError } from '../cpu/semantics/x87-control.ts';
import { ApicBus } from '../devices/apic/apic-bus.ts';
import { messageSink } from '../devices/apic/interrupt-messages.ts';
import { IoBus } from '../devices/bus.ts';
import type { SavedState } from '../devices/device.ts';
import { openState } from '../devices/saved-state.ts';
import { TimerQueue } from '../devices/timers.ts';
import { BALLOON_PAGE } from '../devices/virtio/balloon.ts';
import { GENERATION_ADDRESS } from '../firmware/acpi/generation.ts';
import type { BootOptions } from '../firmware/boot/boot.ts';
import { detectAndLoad } from '../firmware/boot/load.ts';
import { memoryMap, ramRegions } from '../firmware/memory-map.ts';
import type { PlacedBytes } from '../firmware/tables/system-tables.ts';
import type { ControlBlock } from '../hypervisor/control-block.ts';
import type { GuestBalloon, GuestConfig, GuestEnd, GuestHost, SliceResult } from '../hypervisor/guest.ts';
import { memoryPages, RAM_LIMIT, VCPU_LIMIT } from '../memory/layout.ts';
import { Interrupts } from './board/interrupts.ts';
import type { BoardWiring, Parts } from './board/wiring.ts';
import { DiskTraffic } from './disk-traffic.ts';
import { engineCounts, engineState } from './engine-counts.ts';
import { enterKernel } from './entry.ts';
import { type GuestClock, HostClock, InstructionClock } from './guest-clock.ts';
import { HypervisorTime } from './hypervisor-time.ts';
import { Idleness } from './idleness.ts';
import { NetworkTraffic } from './network-traffic.ts';
import { Processors } from './processors.ts';

const MIB = 1 << 20;
/** Of saved states of whole machines; each part has its own. */
const STATE_VERSION = 1;
/** Instructions between two looks at the clock and the timers. */
const BURST = 100_000;
/** The same while more than one vCPU has something to do: instructions of one's turn. */
const TURN = 50_000;
/** The shortest burst: a timer that is nearly due is served a little late rather than looked at all the time. */
const SHORTEST_BURST = 500;
/** Host nanoseconds of a slice while a disk has yet to answer: how late its answer may be heard. */
const DISK_SLICE = 500_000;

/** Brings the counters of a guest's memory up to date. What it does not say is available, it uses: its kernel's own memory too. */
function publishBalloon(control: ControlBlock, balloon: GuestBalloon, ramBytes: number): void {
  const { statistics, pages, pagesAtStatistics, tellings } = balloon;
  control.set('balloonPages', pages);
  control.set('memoryTellings', statistics.available === undefined ? 0 : tellings);
  if (statistics.available === undefined) return;
  const had = ramBytes - pagesAtStatistics * BALLOON_PAGE;
  control.set('memoryAvailable', Math.min(statistics.available, had));
  control.set('memoryUsed', Math.max(0, had - statistics.available));
  control.set('memorySwappedIn', statistics.swappedIn ?? 0);
  control.set('memoryMajorFaults', statistics.majorFaults ?? 0);
}

/** Where a machine's firmware tables go, and which of them a kernel is told of. */
export interface FirmwareTables {
  rsdp: number;
  pieces: readonly PlacedBytes[];
}

export abstract class Machine {
  protected readonly config: GuestConfig;
  protected readonly host: GuestHost;
  protected readonly ramBytes: number;
  protected readonly clock: GuestClock;
  protected readonly timers = new TimerQueue();
  protected readonly bus = new IoBus();
  protected readonly processors: Processors;
  protected readonly interrupts: Interrupts;
  protected readonly disks: DiskTraffic;
  /** What the parts of a board are given; a machine adds what only it has. */
  protected readonly wiring: BoardWiring;
  private readonly time: HypervisorTime;
  private readonly network = new NetworkTraffic();
  private readonly idleness = new Idleness();
  private end: GuestEnd | undefined;
  private resetAsked = false;
  private resumeAsked = false;
  /** The last slice ended with nothing to do. */
  private isHalted = false;
  /** Executed instructions a nanosecond, as lately measured; bounds bursts by the next timer. */
  private speed = 0.1;
  private serial: number[] = [];

  /** `deviceMemory`: bytes of directly mapped memory that its devices may have. */
  constructor(config: GuestConfig, host: GuestHost, deviceMemory: number) {
    this.config = config;
    this.host = host;
    const ramBytes = config.memoryMiB * MIB;
    this.ramBytes = ramBytes;
    if (!Number.isInteger(config.memoryMiB) || config.memoryMiB < 4 || ramBytes > RAM_LIMIT) {
      throw new Error(
        `A guest has 4 to ${Math.floor(RAM_LIMIT / MIB)} MiB of memory, in whole MiB; ${config.memoryMiB} was asked for.`,
      );
    }
    if (!Number.isInteger(config.cpus) || config.cpus < 1 || config.cpus > VCPU_LIMIT)
      throw new Error(`A guest has 1 to ${VCPU_LIMIT} vCPUs; ${config.cpus} were asked for.`);
    const pages = memoryPages(ramBytes, deviceMemory, config.cpus);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.clock = config.deterministic
      ? new InstructionClock(() => this.cpu.executed)
      : new HostClock(() => host.monotonicNanoseconds());
    this.time = new HypervisorTime(() => host.monotonicNanoseconds());
    const { clock, timers, bus, time } = this;
    const apicBus = new ApicBus();
    this.interrupts = new Interrupts(bus, apicBus, {
      set: (asserted) => this.processors.boot.apic.lint0Line.set(asserted),
    });
    this.processors = new Processors({
      config,
      host,
      memory,
      ramBytes,
      bus,
      clock,
      timers,
      time,
      apicBus,
      pic: this.interrupts.pic,
      onNumericError: () => this.numericError(),
      onInit: () => this.askReset(),
    });
    this.disks = new DiskTraffic(
      () => host.monotonicNanoseconds(),
      // What a disk answers in deterministic mode comes after the instruction that asked for it.
      () => (config.deterministic ? this.cpu.leave() : this.cpu.kick()),
      () => host.diskAnswered?.(),
      (reason) => host.diskFull?.(reason),
    );
    this.wiring = {
      config,
      host,
      clock,
      timers,
      bus,
      registers: this.cpu.system,
      memory: this.cpu.system.physical,
      interrupts: this.interrupts,
      messages: messageSink(apicBus, this.cpu.system.physical),
      disks: this.disks,
      network: this.network,
      onA20: (open) => this.cpu.system.physical.setA20(open),
      onReset: () => this.askReset(),
      onProcessorReset: () => this.askProcessorReset(),
      onNumericErrorIgnored: () => ignoreNumericError(this.cpu.system.view),
      onEnd: (end) => this.finish(end),
      onConsole: (bytes) => {
        for (const byte of bytes) this.transmit(byte);
      },
      onSerial: (byte) => this.transmit(byte),
    };
  }

  /** For tests and debuggers; everyone else uses the methods below. */
  get cpu() {
    return this.processors.cpu;
  }

  /** The boot processor first, whatever else an operating system is told of. */
  protected get processorIds(): number[] {
    return this.processors.vcpus.map(({ id }) => id);
  }

  /** Everything that a reset of the machine resets, processors apart; what devices raise comes to the last of them. */
  protected abstract readonly parts: Parts;

  /** Puts the vCPU where the machine begins, with everything in memory that is needed there. */
  protected abstract powerOn(): void;

  /** Forgets what is being typed. */
  protected resetInput(): void {}

  /** What firmware is doing; null where there is none. Throws an Error with one sentence where that cannot be saved now. */
  protected saveFirmware(): SavedState | null {
    return null;
  }

  protected restoreFirmware(_state: SavedState): void {}

  /** An x87 exception while the processor reports those from outside, as the first PCs did. */
  protected numericError(): void {}

  /** A device pulled the processor's reset line. */
  protected askProcessorReset(): void {
    this.askReset();
  }

  abstract readonly balloon: GuestBalloon | undefined;

  /** What {@link askResume} asked for is to be done: between two runs. */
  protected resumeProcessor(): void {}

  /** Something goes on beside the vCPUs that must be in time. */
  protected get isBusy(): boolean {
    return this.disks.pending > 0;
  }

  /** Passes on what other outputs have collected. */
  protected flushOutputs(): void {}

  /** Loads a kernel directly, with the tables, and puts the vCPU at its entry. */
  protected loadKernel(kernel: Uint8Array, tables: FirmwareTables, more: Partial<BootOptions>): void {
    const { cpu, ramBytes } = this;
    const { initrd, append } = this.config.boot;
    const { physical } = cpu.system;
    const memory = {
      regions: ramRegions(ramBytes),
      write: (address: number, bytes: Uint8Array) => {
        if (!physical.write(address, bytes))
          throw new Error(`No guest memory at 0x${address.toString(16)} for ${bytes.length} bytes.`);
      },
      read: (address: number, length: number) => {
        const at = physical.ramAddress(address);
        if (at < 0) throw new Error(`No guest memory at 0x${address.toString(16)}.`);
        return cpu.system.u8.slice(at, at + length);
      },
    };
    for (const { address, bytes } of tables.pieces) memory.write(address, bytes);
    const options = { append, memoryMap: memoryMap(ramBytes), rsdp: tables.rsdp, prefer64: true, ...more };
    const entry = detectAndLoad(kernel, { ...options, ...(initrd ? { initrd } : {}) }, memory);
    enterKernel(cpu.system, entry);
    this.processors.programCaches();
  }

  protected askReset(): void {
    this.resetAsked = true;
    this.cpu?.leave();
  }

  private finish(end: GuestEnd): void {
    this.end ??= end;
    this.cpu.leave();
  }

  /** Firmware is to go on somewhere, with all devices as they are. */
  protected askResume(): void {
    this.resumeAsked = true;
    this.cpu.leave();
  }

  private transmit(byte: number): void {
    this.serial.push(byte);
    // A line's end is passed on at once, so that whoever watches the console reacts at the same instruction every time.
    if (byte === 10 || this.serial.length >= 256) this.flushSerial();
  }

  private flushSerial(): void {
    this.flushOutputs();
    if (this.serial.length === 0) return;
    const bytes = Uint8Array.from(this.serial);
    this.serial = [];
    this.host.serialOutput(bytes);
  }

  run(milliseconds: number): SliceResult {
    const { host, clock, timers, cpu } = this;
    const started = host.monotonicNanoseconds();
    const until = started + milliseconds * 1e6;
    if (this.isHalted) clock.slept(timers.next());
    this.isHalted = false;
    const { disks, network } = this;
    for (;;) {
      if (this.config.deterministic && disks.pending > 0) {
        this.flushSerial();
        return { state: 'waiting' };
      }
      network.poll();
      const now = clock.now();
      if (timers.next() <= now) timers.run(now);
      const runEnd = this.processors.select() ? this.turn(now) : RunEnd.halted;
      if (this.end) return this.finished(this.end);
      if (this.resumeAsked) {
        this.resumeAsked = false;
        this.resumeProcessor();
      }
      if (this.resetAsked) {
        const ended = this.reset();
        if (ended) return this.finished(ended);
      }
      if (runEnd === RunEnd.shutdown) {
        return this.finished({
          reason: 'tripleFault',
          detail: `The guest's processor shut down after a triple fault.\n${describeRegisters(cpu.system)}`,
        });
      }
      // What came meanwhile may be what a guest that halted is waiting for.
      if (runEnd === RunEnd.halted) network.poll();
      if (
        runEnd === RunEnd.halted &&
        !this.processors.areRunnable &&
        !(this.config.deterministic && disks.pending > 0)
      ) {
        const wake = timers.next();
        if (wake === Infinity || !clock.skipTo(wake)) {
          const wakeIn = wake - clock.now();
          if (wakeIn > 0) {
            this.flushSerial();
            this.isHalted = true;
            const slack = this.idleness.halted(clock.now(), cpu.executed, this.isBusy);
            return { state: 'halted', wakeIn, slack, diskBusy: disks.pending > 0 };
          }
        }
      }
      const after = host.monotonicNanoseconds();
      const isBusy = disks.pending > 0;
      if (after >= until || (isBusy && after - started >= DISK_SLICE)) {
        network.flush();
        this.flushSerial();
        return { state: 'running', diskBusy: isBusy };
      }
    }
  }

  /** The vCPU that was selected executes until there may be something else to do. */
  private turn(now: number): RunEnd {
    const { host, timers, cpu, processors } = this;
    const { deterministic } = this.config;
    const wanted = (timers.next() - now) * (deterministic ? 1 : this.speed);
    const most = processors.areContended ? TURN : BURST;
    const burst = Math.max(deterministic ? 1 : SHORTEST_BURST, Math.min(most, Math.ceil(wanted)));
    const before = host.monotonicNanoseconds();
    const executedBefore = cpu.instructions;
    const runEnd = processors.run(burst);
    const nanoseconds = host.monotonicNanoseconds() - before;
    const executed = cpu.instructions - executedBefore;
    this.time.ran(nanoseconds);
    // Whoever answers a prompt must see it after the same instruction in every run, not when host time is over.
    if (deterministic) this.flushSerial();
    if (executed > 1000) this.speed += 0.1 * (executed / nanoseconds - this.speed);
    return runEnd;
  }

  /** How a machine begins once it is built: at power-on, or with whatever {@link restore} brings. */
  protected begin(): void {
    if (!this.config.awaitsState) this.powerOn();
  }

  get memory(): Uint8Array {
    return this.cpu.system.physical.contents;
  }

  save(): SavedState {
    if (this.disks.pending > 0) throw new Error('a disk has yet to answer');
    return {
      version: STATE_VERSION,
      ...this.shape(),
      time: this.clock.now(),
      physical: this.cpu.system.physical.save(),
      parts: Object.fromEntries(Object.entries(this.parts).map(([name, part]) => [name, part.save()])),
      processors: this.processors.save(),
      firmware: this.saveFirmware(),
    };
  }

  /** What must be the same for a state to be restored. */
  private shape() {
    const { kind, memoryMiB, cpus } = this.config;
    return { kind, memoryMiB, cpus };
  }

  restore(state: SavedState): void {
    const reader = openState('machine', STATE_VERSION, state);
    for (const [name, value] of Object.entries(this.shape()))
      if (state[name] !== value)
        throw new Error(`the saved state is of a guest with ${name} ${state[name]}, not ${value}`);
    this.clock.set(reader.number('time'));
    this.cpu.system.physical.restore(state.physical as SavedState);
    reader.record('parts');
    const saved = state.parts as Readonly<Record<string, SavedState>>;
    const unknown = Object.keys(saved).find((name) => !(name in this.parts));
    if (unknown !== undefined) throw new Error(`the saved state is of a guest with a further device, ${unknown}`);
    for (const [name, part] of Object.entries(this.parts)) part.restore(saved[name]);
    // The interrupt controllers come last of the parts, and the processors' after them: what devices have raised meanwhile, as
    // they found their state, is what was raised before.
    this.processors.restore(state.processors as SavedState);
    if (state.firmware !== null) this.restoreFirmware(state.firmware as SavedState);
    const { generation } = this.config;
    if (!generation) return;
    // The same state may go on elsewhere as well: what is random must not be the same there.
    this.memory.set(generation, GENERATION_ADDRESS);
    this.tellGeneration();
  }

  /** The guest's generation is another: it is told. */
  protected tellGeneration(): void {}

  private finished(end: GuestEnd): SliceResult {
    this.network.flush();
    this.flushSerial();
    return { state: 'ended', end };
  }

  private reset(): GuestEnd | undefined {
    this.resetAsked = false;
    this.resumeAsked = false;
    if (this.config.noReboot) return { reason: 'reset', detail: 'The guest asked for a reset.' };
    for (const part of Object.values(this.parts)) part.reset();
    this.resetInput();
    this.processors.reset();
    this.powerOn();
    return undefined;
  }

  every(nanoseconds: number, act: () => void): () => void {
    const { clock, timers } = this;
    const timer = timers.create(() => {
      timer.arm(clock.now() + nanoseconds);
      act();
    });
    timer.arm(clock.now() + nanoseconds);
    return () => timer.cancel();
  }

  /** Whether the kernel's console, the last that its command line names, is that of virtio. */
  protected get isVirtualConsole(): boolean {
    const named = this.config.boot.append.match(/(?<!\S)console=\S+/g) ?? [];
    return named.at(-1)?.startsWith('console=hvc') === true;
  }

  pause(): void {
    this.clock.pause();
  }

  resume(): void {
    this.clock.resume();
  }

  retryDisks(): Promise<boolean> {
    return this.disks.retry();
  }

  publishCounters(): void {
    this.time.publish(this.host.control, engineCounts(this.cpu), engineState(this.cpu));
    this.disks.publish(this.host.control);
    this.network.publish(this.host.control);
    if (this.balloon) publishBalloon(this.host.control, this.balloon, this.ramBytes);
  }
}
