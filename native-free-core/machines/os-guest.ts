// A guest of OS-level virtualization: the shared kernel, its engine, and a container's first process.
// Owns the wiring and the guest's life: programs execute slice by slice until the first process ends.
// Never implements a system call; there is no machine in this machine.

import { Devices } from '../containers/devices/devices.ts';
import { Terminal } from '../containers/devices/terminal.ts';
import { startFirstProcess } from '../containers/kernel/first-process.ts';
import { Kernel } from '../containers/kernel/kernel.ts';
import { mountSystem } from '../containers/kernel/mounts.ts';
import { KernelProc } from '../containers/kernel/proc-tasks.ts';
import { SiCode, Signal } from '../containers/kernel/signal-numbers.ts';
import { sendToProcess } from '../containers/kernel/signals.ts';
import { WaitQueue } from '../containers/kernel/wait-queue.ts';
import { ProgramTranslation } from '../containers/memory/translation.ts';
import { callName } from '../containers/syscalls/names.ts';
import { RELEASE } from '../containers/syscalls/system.ts';
import { callTable } from '../containers/syscalls/table.ts';
import { MountNamespace } from '../containers/vfs/mounts.ts';
import { OverlayFs } from '../containers/vfs/overlay.ts';
import { makeProc } from '../containers/vfs/proc.ts';
import { makeSys } from '../containers/vfs/sys.ts';
import type { FileSystem } from '../containers/vfs/types.ts';
import { Cpu, type InterruptSource, translationOptions } from '../cpu/cpu.ts';
import type { PortBus } from '../cpu/system/hooks.ts';
import type { MmioBus } from '../cpu/system/physical.ts';
import type { Guest, GuestConfig, GuestEnd, GuestHost, SliceResult } from '../hypervisor/guest.ts';
import { memoryPages } from '../memory/layout.ts';
import { HypervisorTime } from './hypervisor-time.ts';

const MIB = 1 << 20;
const MEMORY_MIN_MIB = 16;
/** Pages are named by 20 bits, and lie below the hole of a PC's memory. */
const MEMORY_MAX_MIB = 3072;

const NO_INTERRUPTS: InterruptSource = { pending: () => false, acknowledge: () => 0, takeNmi: () => false };
/** Programs reach no ports, and all their memory is RAM. */
const NO_DEVICES: PortBus & MmioBus = {
  readPort: () => 0xffffffff,
  writePort: () => {},
  readMmio: () => 0xffffffff,
  writeMmio: () => {},
};

export class OsGuest implements Guest {
  readonly kernel: Kernel;
  private readonly host: GuestHost;
  private readonly cpu: Cpu;
  private readonly time: HypervisorTime;
  private readonly console: Terminal;
  private readonly room = new WaitQueue();

  /** Throws an Error with one sentence where the container cannot be started. */
  constructor(config: GuestConfig, host: GuestHost) {
    this.host = host;
    const { container } = config;
    if (!container) throw new Error('A guest of kind os needs a container.');
    if (config.memoryMiB < MEMORY_MIN_MIB || config.memoryMiB > MEMORY_MAX_MIB)
      throw new Error(
        `A guest of kind os has ${MEMORY_MIN_MIB} to ${MEMORY_MAX_MIB} MiB of memory; ${config.memoryMiB} was asked for.`,
      );
    const ramBytes = config.memoryMiB * MIB;
    const pages = memoryPages(ramBytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.time = new HypervisorTime(() => host.monotonicNanoseconds());
    this.kernel = new Kernel({
      host: {
        monotonicNanoseconds: () => host.monotonicNanoseconds(),
        wallMilliseconds: () => host.wallMilliseconds(),
        randomness: (into) => host.randomness(into),
      },
      translation: new ProgramTranslation(),
      calls: callTable(),
      nameOf: callName,
    });
    const { kernel } = this;
    this.cpu = new Cpu(
      memory,
      ramBytes,
      NO_DEVICES,
      NO_INTERRUPTS,
      this.time,
      {
        supervisor: kernel,
        timestamp: () => Math.floor(kernel.now()),
      },
      translationOptions(config.translation ?? 'hot', host.translationThread?.(memory)),
    );
    kernel.attach(this.cpu);
    kernel.hostName = container.hostName;
    this.console = new Terminal(kernel, {
      room: this.room,
      show: (bytes) => {
        host.serialOutput(bytes.slice());
        return bytes.length;
      },
    });
    const devices = new Devices(kernel, this.console);
    kernel.devices = devices;
    const now = (): bigint => BigInt(Math.floor(kernel.wall()));
    const root = new OverlayFs({ device: 1, now, lowers: container.layers.map((layer) => layer.root) });
    const mounts = new MountNamespace(root);
    const source = new KernelProc(kernel, mounts, RELEASE);
    const more = new Map<string, FileSystem>([
      ['/proc', makeProc({ device: 5, now, source })],
      ['/sys', makeSys({ device: 6, now, cpus: 1 })],
    ]);
    mountSystem(mounts, devices, now, 2, more);
    startFirstProcess(kernel, mounts.rootLocation, devices, container);
  }

  run(milliseconds: number): SliceResult {
    const { host, kernel } = this;
    const until = host.monotonicNanoseconds() + milliseconds * 1e6;
    for (;;) {
      const before = host.monotonicNanoseconds();
      const ran = kernel.runOne();
      const after = host.monotonicNanoseconds();
      this.time.ran(after - before);
      if (kernel.endStatus !== undefined) return { state: 'ended', end: endOf(kernel.endStatus) };
      if (!ran) {
        const wakeIn = kernel.timers.next - kernel.now();
        if (wakeIn > 0) return { state: 'halted', wakeIn, slack: 0 };
      }
      if (after >= until) return { state: 'running' };
    }
  }

  serialInput(bytes: Uint8Array): void {
    this.console.type(bytes);
  }

  /** The first process is asked to end. */
  powerButton(): void {
    const first = this.kernel.processes.get(1);
    if (first) sendToProcess(this.kernel, first, { signal: Signal.SIGTERM, code: SiCode.SI_USER, pid: 0 });
  }

  // The clock is the host's: it goes on.
  pause(): void {}

  resume(): void {}

  publishCounters(): void {
    this.time.publish(this.host.control, this.cpu);
  }
}

function endOf(status: number): GuestEnd {
  const signal = status & 0x7f;
  if (signal === 0) {
    const code = status >> 8;
    return { reason: 'exited', status: code, detail: `The command ended with status ${code}.` };
  }
  // As shells tell it.
  return { reason: 'exited', status: 128 + signal, detail: `The command was ended by signal ${signal}.` };
}
