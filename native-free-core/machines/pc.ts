// The PC of full virtualization: vCPUs, a board of devices, firmware.
// Owns the machine's life: power-on, reset, slices of execution, power-off.
// Never implements a device or an instruction; what is wired where is in `board/`.

import { RunEnd } from '../cpu/cpu.ts';
import { describeRegisters } from '../cpu/describe.ts';
import { ShadowMemory } from '../cpu/system/shadow-memory.ts';
import { ApicBus } from '../devices/apic/apic-bus.ts';
import { messageSink } from '../devices/apic/interrupt-messages.ts';
import { IoBus } from '../devices/bus.ts';
import type { Screen } from '../devices/display/screen.ts';
import { AudioMixer } from '../devices/sound/audio-mixer.ts';
import { TimerQueue } from '../devices/timers.ts';
import type { BlockDevice } from '../disk/block.ts';
import type { Bios } from '../firmware/bios/bios.ts';
import { detectAndLoad } from '../firmware/boot/load.ts';
import { memoryMap, ramRegions } from '../firmware/memory-map.ts';
import type { Guest, GuestConfig, GuestEnd, GuestHost, MediumPlace, SliceResult } from '../hypervisor/guest.ts';
import { DEVICE_MEMORY_LIMIT, memoryPages, RAM_LIMIT, VCPU_LIMIT } from '../memory/layout.ts';
import { BOOT_ORDER_DEFAULT, enterFirmware, machineFirmware, tellBootOrder } from './board/firmware.ts';
import { Interrupts } from './board/interrupts.ts';
import { IsaDevices } from './board/isa-devices.ts';
import { cdDrives, changeMedium } from './board/media.ts';
import { PciDevices } from './board/pci-devices.ts';
import { boardTables } from './board/tables.ts';
import type { BoardWiring } from './board/wiring.ts';
import { ByteBatch } from './byte-batch.ts';
import { DiskTraffic } from './disk-traffic.ts';
import { enterKernel } from './entry.ts';
import { type GuestClock, HostClock, InstructionClock } from './guest-clock.ts';
import { HypervisorTime } from './hypervisor-time.ts';
import { Idleness } from './idleness.ts';
import { KeyboardAndPointer } from './keyboard-and-pointer.ts';
import { NetworkTraffic } from './network-traffic.ts';
import { Processors } from './processors.ts';

const MIB = 1 << 20;
/** Instructions between two looks at the clock and the timers. */
const BURST = 100_000;
/** The same while more than one vCPU has something to do: instructions of one's turn. */
const TURN = 50_000;
/** The shortest burst: a timer that is nearly due is served a little late rather than looked at all the time. */
const SHORTEST_BURST = 500;
/** Host nanoseconds of a slice while a disk has yet to answer: how late its answer may be heard. */
const DISK_SLICE = 500_000;

export class Pc implements Guest {
  readonly input: KeyboardAndPointer;
  private readonly config: GuestConfig;
  private readonly host: GuestHost;
  private readonly clock: GuestClock;
  private readonly timers = new TimerQueue();
  private readonly bus = new IoBus();
  private readonly processors: Processors;
  private readonly isa: IsaDevices;
  private readonly pci: PciDevices;
  private readonly resettable: readonly { reset(): void }[];
  private readonly firmware: ReturnType<typeof boardTables>;
  /** Where there is no kernel to load directly. */
  private readonly bios: Bios | undefined;
  private readonly time: HypervisorTime;
  private readonly disks: DiskTraffic;
  private readonly network = new NetworkTraffic();
  private end: GuestEnd | undefined;
  private resetAsked = false;
  /** The last slice ended with nothing to do. */
  private isHalted = false;
  private readonly idleness = new Idleness();
  private readonly audio: AudioMixer | undefined;
  private resumeAsked = false;
  /** Executed instructions a nanosecond, as lately measured; bounds bursts by the next timer. */
  private speed = 0.1;
  private serial: number[] = [];
  private readonly secondSerial: ByteBatch;
  private readonly printed: ByteBatch;

  constructor(config: GuestConfig, host: GuestHost) {
    this.config = config;
    this.host = host;
    this.secondSerial = new ByteBatch(host.secondSerialOutput?.bind(host));
    this.printed = new ByteBatch(host.printerOutput?.bind(host));
    const ramBytes = config.memoryMiB * MIB;
    if (!Number.isInteger(config.memoryMiB) || config.memoryMiB < 4 || ramBytes > RAM_LIMIT) {
      throw new Error(
        `A guest has 4 to ${Math.floor(RAM_LIMIT / MIB)} MiB of memory, in whole MiB; ${config.memoryMiB} was asked for.`,
      );
    }
    if (!Number.isInteger(config.cpus) || config.cpus < 1 || config.cpus > VCPU_LIMIT)
      throw new Error(`A guest has 1 to ${VCPU_LIMIT} vCPUs; ${config.cpus} were asked for.`);
    const pages = memoryPages(ramBytes, DEVICE_MEMORY_LIMIT, config.cpus);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.clock = config.deterministic
      ? new InstructionClock(() => this.cpu.executed)
      : new HostClock(() => host.monotonicNanoseconds());
    this.time = new HypervisorTime(() => host.monotonicNanoseconds());
    const { clock, timers, bus, time } = this;
    const apicBus = new ApicBus();
    const interrupts = new Interrupts(bus, apicBus, {
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
      pic: interrupts.pic,
      onNumericError: () => this.isa.numericError.raise(),
      onInit: () => this.askReset(),
    });
    this.disks = new DiskTraffic(
      // What a disk answers in deterministic mode comes after the instruction that asked for it.
      () => (config.deterministic ? this.cpu.leave() : this.cpu.kick()),
      () => host.diskAnswered?.(),
      (reason) => host.diskFull?.(reason),
    );
    if (host.audioOutput) this.audio = new AudioMixer({ clock, timers, output: (chunk) => host.audioOutput?.(chunk) });
    const wiring: BoardWiring = {
      config,
      host,
      clock,
      timers,
      bus,
      registers: this.cpu.system,
      memory: this.cpu.system.physical,
      interrupts,
      messages: messageSink(apicBus, this.cpu.system.physical),
      disks: this.disks,
      ...(config.bios && config.boot.kernel === undefined
        ? { shadow: new ShadowMemory(this.cpu.system.physical, config.bios) }
        : {}),
      network: this.network,
      onA20: (open) => this.cpu.system.physical.setA20(open),
      onReset: () => this.askReset(),
      onProcessorReset: () => this.askProcessorReset(),
      onEnd: (end) => this.finish(end),
      onConsole: (bytes) => {
        for (const byte of bytes) this.transmit(byte);
      },
      onSerial: (byte) => this.transmit(byte),
      onSecondSerial: (byte) => this.secondSerial.add(byte),
      audio: this.audio,
      onPrinted: host.printerOutput && ((byte) => this.printed.add(byte)),
    };
    this.isa = new IsaDevices(wiring);
    this.pci = new PciDevices(wiring, this.isa.pm);
    for (const drive of cdDrives(this.pci)) drive.onEjected = () => host.mediumEjected?.('cdrom');
    const { keyboard, mouse } = this.isa;
    this.input = new KeyboardAndPointer({
      clock,
      timers,
      deterministic: config.deterministic,
      keyboard,
      mouse,
      absolute: [this.pci.tablet, this.isa.backdoor],
    });
    this.resettable = [...interrupts.resettable, ...this.isa.resettable, ...this.pci.resettable, this.input];
    this.firmware = boardTables(
      this.cpu.system,
      ramBytes,
      this.processors.vcpus.map(({ id }) => id),
    );
    if (config.boot.kernel === undefined && config.bios === undefined)
      this.bios = machineFirmware({
        ...wiring,
        cpu: this.cpu.system,
        tables: this.firmware.pieces,
        floppies: this.isa.floppy.drives,
        ide: this.pci.ide,
        ahci: this.pci.ahci,
        programBoard: () => this.programBoard(),
        executed: () => this.cpu.executed,
      });
    if (config.bios) tellBootOrder(this.isa.cmos, config.bootOrder ?? BOOT_ORDER_DEFAULT);
    this.powerOn();
  }

  get screen(): Screen | undefined {
    return this.pci.display?.adapter;
  }

  /** For tests and debuggers; everyone else uses the methods below. */
  get cpu() {
    return this.processors.cpu;
  }

  /** Loads firmware tables and the kernel and puts the vCPU at its entry. */
  private powerOn(): void {
    const { config, cpu } = this;
    const { kernel, initrd, append } = config.boot;
    if (kernel === undefined) {
      if (this.bios) {
        this.bios.install();
        enterFirmware(cpu.system);
      } else cpu.reset();
      return;
    }
    const ramBytes = config.memoryMiB * MIB;
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
    this.programBoard();
    for (const { address, bytes } of this.firmware.pieces) memory.write(address, bytes);
    const { display } = this.pci;
    const entry = detectAndLoad(
      kernel,
      {
        append,
        memoryMap: memoryMap(ramBytes),
        rsdp: this.firmware.rsdp,
        prefer64: true,
        ...(config.kind === 'para' && this.host.unpack ? { unpack: this.host.unpack } : {}),
        ...(display ? { setVideoMode: (number: number | undefined) => display.setLinuxMode(number) } : {}),
        ...(initrd ? { initrd } : {}),
      },
      memory,
    );
    enterKernel(cpu.system, entry);
  }

  /** As firmware leaves the board: the 8259s reach the processor through LINT0, PCI functions decode. */
  private programBoard(): void {
    this.processors.boot.apic.programVirtualWire();
    this.pci.program();
    this.isa.program();
  }

  /** Firmware that is to go on somewhere after the reset keeps all devices as they are; otherwise everything is reset. */
  private askProcessorReset(): void {
    if (!this.bios?.isToResume) this.askReset();
    else {
      this.resumeAsked = true;
      this.cpu.leave();
    }
  }

  private askReset(): void {
    this.resetAsked = true;
    this.cpu?.leave();
  }

  private finish(end: GuestEnd): void {
    this.end ??= end;
    this.cpu.leave();
  }

  private transmit(byte: number): void {
    this.serial.push(byte);
    // A line's end is passed on at once, so that whoever watches the console reacts at the same instruction every time.
    if (byte === 10 || this.serial.length >= 256) this.flushSerial();
  }

  private flushSerial(): void {
    this.secondSerial.flush();
    this.printed.flush();
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
        enterFirmware(this.cpu.system);
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
        this.flushSerial();
        return { state: 'running', diskBusy: isBusy };
      }
    }
  }

  /** Something goes on beside the vCPUs that must be in time. */
  private get isBusy(): boolean {
    return this.disks.pending > 0 || (this.audio?.isSounding ?? false);
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

  private finished(end: GuestEnd): SliceResult {
    this.flushSerial();
    return { state: 'ended', end };
  }

  private reset(): GuestEnd | undefined {
    this.resetAsked = false;
    this.resumeAsked = false;
    if (this.config.noReboot) return { reason: 'reset', detail: 'The guest asked for a reset.' };
    for (const device of this.resettable) device.reset();
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

  serialInput(bytes: Uint8Array): void {
    const { console } = this.pci.virtio;
    if (console?.isInUse && this.isVirtualConsole) console.input(0, bytes);
    else this.isa.com1.input(bytes);
  }

  /** Whether the kernel's console, the last that its command line names, is that of virtio. */
  private get isVirtualConsole(): boolean {
    const named = this.config.boot.append.match(/(?<!\S)console=\S+/g) ?? [];
    return named.at(-1)?.startsWith('console=hvc') === true;
  }

  secondSerialInput(bytes: Uint8Array): void {
    this.isa.com2.input(bytes);
  }

  listen(listening: boolean): void {
    this.audio?.listen(listening);
  }

  powerButton(): void {
    this.isa.pm.pressPowerButton();
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

  changeMedium(place: MediumPlace, medium: BlockDevice | null, force: boolean): boolean {
    const { ide, ahci } = this.pci;
    const drives = { floppy: this.isa.floppy, ide, ahci };
    return changeMedium(drives, place, medium && this.disks.medium(medium), force);
  }

  publishCounters(): void {
    this.time.publish(this.host.control, this.cpu);
    this.disks.publish(this.host.control);
    this.network.publish(this.host.control);
  }
}
