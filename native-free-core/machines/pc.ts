// The PC of full virtualization: which devices there are and how they are wired.
// Owns the wiring and the machine's life: power-on, reset, slices of execution, power-off.
// Never implements a device or an instruction.

import { Cpu, type InterruptSource, RunEnd, translationOptions } from '../cpu/cpu.ts';
import { describeRegisters } from '../cpu/describe.ts';
import { AcpiPm } from '../devices/acpi-pm.ts';
import { ApicBus } from '../devices/apic/apic-bus.ts';
import { IO_APIC_INPUTS, IoApic } from '../devices/apic/io-apic.ts';
import { LOCAL_APIC_SIZE, LocalApic } from '../devices/apic/local-apic.ts';
import { IoBus } from '../devices/bus.ts';
import type { InterruptLine } from '../devices/device.ts';
import { Cmos } from '../devices/legacy/cmos.ts';
import { KeyboardController } from '../devices/legacy/keyboard-controller.ts';
import { NumericError } from '../devices/legacy/numeric-error.ts';
import { PicPair } from '../devices/legacy/pic.ts';
import { Pit } from '../devices/legacy/pit.ts';
import { Ps2Keyboard } from '../devices/legacy/ps2-keyboard.ts';
import { Ps2Mouse } from '../devices/legacy/ps2-mouse.ts';
import { A20Gate, SystemPorts } from '../devices/legacy/system-ports.ts';
import { Uart } from '../devices/legacy/uart.ts';
import { fanOut, SharedLine } from '../devices/lines.ts';
import { HostBridge, IsaBridge } from '../devices/pci/bridges.ts';
import { PciBus } from '../devices/pci/pci-bus.ts';
import { AtaDisk } from '../devices/storage/ata-disk.ts';
import { CdDrive } from '../devices/storage/cd-drive.ts';
import type { IdeCableDrives } from '../devices/storage/ide-channel.ts';
import { IdeController } from '../devices/storage/ide-controller.ts';
import type { IdeDrive } from '../devices/storage/ide-drive.ts';
import { TimerQueue } from '../devices/timers.ts';
import { buildAcpiTables } from '../firmware/acpi/tables.ts';
import { detectAndLoad } from '../firmware/boot/load.ts';
import { memoryMap, ramRegions } from '../firmware/memory-map.ts';
import type { Guest, GuestConfig, GuestEnd, GuestHost, SliceResult } from '../hypervisor/guest.ts';
import { LOW_RAM_LIMIT, memoryPages, RAM_LIMIT } from '../memory/layout.ts';
import { DiskTraffic } from './disk-traffic.ts';
import { enterKernel } from './entry.ts';
import { type GuestClock, HostClock, InstructionClock } from './guest-clock.ts';
import { HypervisorTime } from './hypervisor-time.ts';

const MIB = 1 << 20;
/** The time-stamp counter and the APIC timer tick once a nanosecond. */
const TSC_HZ = 1_000_000_000;
/** Instructions between two looks at the clock and the timers. */
const BURST = 100_000;
/** The shortest burst: a timer that is nearly due is served a little late rather than looked at all the time. */
const SHORTEST_BURST = 500;
const COM1 = { base: 0x3f8, irq: 4 };
const PCI_MEMORY = { first: LOW_RAM_LIMIT, last: 0xfebfffff };
/** Host nanoseconds of a slice while a disk has yet to answer: how late its answer may be heard. */
const DISK_SLICE = 500_000;
/** Ports of the IDE bus master, where firmware puts them. */
const BUS_MASTER_PORTS = 0xc000;
/** Wall time of deterministic runs: 2025-01-01 00:00 UTC. */
const DETERMINISTIC_WALL = 1_735_689_600_000;

/** Cells of the ISA and GSI interrupt wiring: each IRQ reaches the 8259s and the I/O APIC; IRQ 0 is input 2 there. */
function isaLine(pic: PicPair, ioApic: IoApic, irq: number): SharedLine {
  return new SharedLine(fanOut(pic.line(irq), ioApic.line(irq === 0 ? 2 : irq)));
}

export class Pc implements Guest {
  private readonly config: GuestConfig;
  private readonly host: GuestHost;
  private readonly memory: WebAssembly.Memory;
  private readonly clock: GuestClock;
  private readonly timers = new TimerQueue();
  private readonly bus = new IoBus();
  /** For tests and debuggers; everyone else uses the methods below. */
  readonly cpu: Cpu;
  private readonly apic: LocalApic;
  private readonly uart: Uart;
  private readonly pm: AcpiPm;
  private readonly resettable: { reset(): void }[];
  private readonly rsdp: number;
  private readonly firmware: { address: number; bytes: Uint8Array };
  private readonly time: HypervisorTime;
  private readonly ide: IdeController;
  private readonly disks: DiskTraffic;
  private readonly raiseNumericError: () => void;
  private end: GuestEnd | undefined;
  private resetAsked = false;
  private nmi = false;
  /** Executed instructions a nanosecond, as lately measured; bounds bursts by the next timer. */
  private speed = 0.1;
  private serial: number[] = [];

  constructor(config: GuestConfig, host: GuestHost) {
    this.config = config;
    this.host = host;
    const ramBytes = config.memoryMiB * MIB;
    if (!Number.isInteger(config.memoryMiB) || config.memoryMiB < 4 || ramBytes > RAM_LIMIT) {
      throw new Error(
        `A guest has 4 to ${Math.floor(RAM_LIMIT / MIB)} MiB of memory, in whole MiB; ${config.memoryMiB} was asked for.`,
      );
    }
    const pages = memoryPages(ramBytes);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.clock = config.deterministic
      ? new InstructionClock(() => this.cpu.executed)
      : new HostClock(() => host.monotonicNanoseconds());
    this.time = new HypervisorTime(() => host.monotonicNanoseconds());
    const { clock, timers, bus } = this;

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
      this.memory,
      ramBytes,
      this.time.bus(bus),
      interrupts,
      this.time,
      {
        timestamp: () => Math.floor(clock.now()),
        timestampHz: TSC_HZ,
        crystalHz: TSC_HZ,
        tscDeadline: true,
        apicId: 0,
        processors: 1,
        readMsr: (index) => this.readMsr(index),
        writeMsr: (index, value) => this.writeMsr(index, value),
        numericError: () => this.raiseNumericError(),
        readTaskPriority: () => this.apic.taskPriorityClass,
        writeTaskPriority: (value) => {
          this.apic.taskPriorityClass = value;
        },
      },
      translationOptions(
        config.translation ?? 'hot',
        config.deterministic ? undefined : host.translationThread?.(this.memory),
      ),
    );

    const apicBus = new ApicBus();
    const ioApic = new IoApic(apicBus, 1);
    const pic = new PicPair({ set: (asserted) => this.apic.lint0Line.set(asserted) });
    let apicAt: number | undefined;
    this.apic = new LocalApic({
      id: 0,
      bootstrap: true,
      bus: apicBus,
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
        init: () => this.askReset(),
        startup: () => {
          // The boot processor is running: a start-up message does nothing (SDM volume 3, 10.6.1).
        },
      },
      external: pic,
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
    apicBus.add(this.apic);
    apicBus.listen(ioApic);
    ioApic.attach(bus);
    pic.attach(bus);

    const isa = Array.from({ length: 16 }, (_, irq) => isaLine(pic, ioApic, irq));
    const irq = (number: number): InterruptLine => isa[number].input();
    const pit = new Pit({ clock, timers, line: irq(0) });
    pit.attach(bus);
    const cmos = new Cmos({
      clock,
      timers,
      wallTime: () => (config.deterministic ? DETERMINISTIC_WALL : host.wallMilliseconds()),
      line: irq(8),
      memory: { low: Math.min(ramBytes, LOW_RAM_LIMIT), high: Math.max(0, ramBytes - LOW_RAM_LIMIT) },
    });
    cmos.attach(bus);
    // Guests of direct boot run with A20 open; a closed gate wraps at 1 MiB only in real mode, which firmware needs.
    const a20 = new A20Gate(() => {});
    const keyboard = new Ps2Keyboard();
    const mouse = new Ps2Mouse();
    const controller = new KeyboardController({
      clock,
      timers,
      keyboard,
      mouse,
      keyboardLine: irq(1),
      mouseLine: irq(12),
      onA20: a20.source(),
      onReset: () => this.askReset(),
    });
    controller.attach(bus);
    const systemPorts = new SystemPorts({ onA20: a20.source(), onReset: () => this.askReset() });
    systemPorts.attach(bus);
    const numericError = new NumericError(irq(13));
    numericError.attach(bus);
    this.raiseNumericError = () => numericError.raise();
    this.uart = new Uart({ clock, timers, line: irq(COM1.irq), output: (byte) => this.transmit(byte) });
    this.uart.attach(bus, COM1.base);
    this.pm = new AcpiPm({
      clock,
      timers,
      line: irq(9),
      onPowerOff: () => this.finish({ reason: 'powerOff', detail: 'The guest powered off.' }),
      onReset: () => this.askReset(),
    });
    this.pm.attach(bus);
    this.disks = new DiskTraffic(
      // What a disk answers in deterministic mode comes after the instruction that asked for it.
      () => (config.deterministic ? this.cpu.leave() : this.cpu.kick()),
      () => host.diskAnswered?.(),
    );
    const [primary, secondary] = this.cables();
    this.ide = new IdeController({ memory: this.cpu.system.physical, lines: [irq(14), irq(15)] }, primary, secondary);
    this.ide.attach(bus);
    const isaBridge = new IsaBridge({
      isaInput: irq,
      gsiInputs: Array.from({ length: IO_APIC_INPUTS - 20 }, (_, index) => ioApic.line(16 + index)),
    });
    const pci = new PciBus(bus, isaBridge.pirqs);
    pci.attach();
    const hostBridge = new HostBridge();
    pci.add(0, 0, hostBridge.pci);
    pci.add(1, 0, isaBridge.pci);
    pci.add(1, 1, this.ide.pci);
    this.resettable = [
      pic,
      ioApic,
      this.apic,
      pit,
      cmos,
      keyboard,
      mouse,
      controller,
      systemPorts,
      numericError,
      this.uart,
      this.pm,
      pci,
      hostBridge,
      isaBridge,
      this.ide,
    ];

    const tables = buildAcpiTables({ processors: [0], serialPorts: [COM1], pciMemory: PCI_MEMORY, ioApicId: 1 });
    this.rsdp = tables.rsdp;
    this.firmware = tables;
    this.powerOn();
  }

  /** Loads firmware tables and the kernel and puts the vCPU at its entry. */
  private powerOn(): void {
    const { config, cpu } = this;
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
    // As firmware leaves it: the 8259s reach the processor through LINT0, the IDE function decodes.
    this.apic.programVirtualWire();
    this.ide.program(BUS_MASTER_PORTS);
    memory.write(this.firmware.address, this.firmware.bytes);
    const { initrd } = config.boot;
    const entry = detectAndLoad(
      config.boot.kernel,
      {
        append: config.boot.append,
        memoryMap: memoryMap(ramBytes),
        rsdp: this.rsdp,
        prefer64: true,
        ...(initrd ? { initrd } : {}),
      },
      memory,
    );
    enterKernel(cpu.system, entry);
  }

  /** Drives on the two IDE cables: the CD at the head of the second, as boards are wired, disks in the order that is left. */
  private cables(): [IdeCableDrives, IdeCableDrives] {
    const { disks = [], cdroms = [] } = this.config;
    const places: (IdeDrive | null)[] = [null, null, null, null];
    if (disks.length + cdroms.length > places.length)
      throw new Error(
        `A guest has at most ${places.length} IDE drives; ${disks.length + cdroms.length} were asked for.`,
      );
    cdroms.forEach((disc, index) => {
      const names = { serial: `TV-CD-${index + 1}`, firmware: '1.0', model: 'Trivisor CD-ROM' };
      places[2 + index < places.length ? 2 + index : places.indexOf(null)] = new CdDrive(
        this.disks.medium(disc),
        names,
      );
    });
    disks.forEach((disk, index) => {
      const names = { serial: `TV-HD-${index + 1}`, firmware: '1.0', model: 'Trivisor Hard Disk' };
      places[places.indexOf(null)] = new AtaDisk(this.disks.medium(disk), names);
    });
    return [
      [places[0], places[1]],
      [places[2], places[3]],
    ];
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
    if (this.serial.length === 0) return;
    const bytes = Uint8Array.from(this.serial);
    this.serial = [];
    this.host.serialOutput(bytes);
  }

  private readMsr(index: number): bigint | undefined {
    if (index === 0x1b) return this.apic.base;
    if (index === 0x6e0) return this.apic.tscDeadline;
    return undefined;
  }

  private writeMsr(index: number, value: bigint): boolean | undefined {
    if (index === 0x1b) return this.apic.writeBase(value);
    if (index === 0x6e0) {
      this.apic.tscDeadline = value;
      return true;
    }
    return undefined;
  }

  run(milliseconds: number): SliceResult {
    const { host, clock, timers, cpu } = this;
    const started = host.monotonicNanoseconds();
    const until = started + milliseconds * 1e6;
    const { disks } = this;
    for (;;) {
      if (this.config.deterministic && disks.pending > 0) {
        this.flushSerial();
        return { state: 'waiting' };
      }
      const now = clock.now();
      if (timers.next() <= now) timers.run(now);
      const next = timers.next();
      const wanted = (next - now) * (this.config.deterministic ? 1 : this.speed);
      const burst = Math.max(this.config.deterministic ? 1 : SHORTEST_BURST, Math.min(BURST, Math.ceil(wanted)));
      const before = host.monotonicNanoseconds();
      const executedBefore = cpu.instructions;
      const runEnd = cpu.run(burst);
      const after = host.monotonicNanoseconds();
      const executed = cpu.instructions - executedBefore;
      this.time.ran(after - before);
      // Whoever answers a prompt must see it after the same instruction in every run, not when host time is over.
      if (this.config.deterministic) this.flushSerial();
      if (executed > 1000) this.speed += 0.1 * (executed / (after - before) - this.speed);
      if (this.end) return this.finished(this.end);
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
      if (runEnd === RunEnd.halted && !this.apic.pending && !(this.config.deterministic && disks.pending > 0)) {
        const wake = timers.next();
        if (wake === Infinity || !clock.skipTo(wake)) {
          const wakeIn = wake - clock.now();
          if (wakeIn > 0) {
            this.flushSerial();
            return { state: 'halted', wakeIn, diskBusy: disks.pending > 0 };
          }
        }
      }
      const isBusy = disks.pending > 0;
      if (after >= until || (isBusy && after - started >= DISK_SLICE)) {
        this.flushSerial();
        return { state: 'running', diskBusy: isBusy };
      }
    }
  }

  private finished(end: GuestEnd): SliceResult {
    this.flushSerial();
    return { state: 'ended', end };
  }

  private reset(): GuestEnd | undefined {
    this.resetAsked = false;
    if (this.config.noReboot) return { reason: 'reset', detail: 'The guest asked for a reset.' };
    for (const device of this.resettable) device.reset();
    this.cpu.reset();
    this.powerOn();
    return undefined;
  }

  serialInput(bytes: Uint8Array): void {
    this.uart.input(bytes);
  }

  powerButton(): void {
    this.pm.pressPowerButton();
  }

  pause(): void {
    this.clock.pause();
  }

  resume(): void {
    this.clock.resume();
  }

  publishCounters(): void {
    this.time.publish(this.host.control, this.cpu);
    this.disks.publish(this.host.control);
  }
}
