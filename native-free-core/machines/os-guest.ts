// A guest of OS-level virtualization: its kernel, on the machine that all such guests of a thread have, and its first process.
// Owns the wiring and the guest's life: programs execute slice by slice until the first process ends.
// Never implements a system call; there is no machine in this machine.

import { CONSOLE_DEVICE, Devices } from '../containers/devices/devices.ts';
import { HostInput, HostOutput } from '../containers/devices/host-streams.ts';
import { Terminal } from '../containers/devices/terminal.ts';
import { Errno } from '../containers/errno.ts';
import { type Changes, changesOf } from '../containers/images/changes.ts';
import { findUser } from '../containers/images/users.ts';
import { makeCgroupFs } from '../containers/kernel/cgroup-fs.ts';
import { CredentialSet } from '../containers/kernel/credentials.ts';
import {
  type FirstProcess,
  firstTask,
  mergeEnvironment,
  type StandardStreams,
  startBeside,
  startFirstProcess,
} from '../containers/kernel/first-process.ts';
import { Kernel } from '../containers/kernel/kernel.ts';
import { mountSystem } from '../containers/kernel/mounts.ts';
import { firstNamespaces } from '../containers/kernel/namespaces.ts';
import { makeHosts, writeNetworkFiles } from '../containers/kernel/network-files.ts';
import { KernelProc } from '../containers/kernel/proc-tasks.ts';
import type { Process } from '../containers/kernel/process.ts';
import { SIGNAL_MAX, SiCode, Signal } from '../containers/kernel/signal-numbers.ts';
import { sendToProcess } from '../containers/kernel/signals.ts';
import type { Task } from '../containers/kernel/task.ts';
import { WaitQueue } from '../containers/kernel/wait-queue.ts';
import { PAGE } from '../containers/memory/page-pool.ts';
import type { EthernetLink } from '../containers/sockets/ethernet/ethernet-link.ts';
import type { NetworkNamespace } from '../containers/sockets/network-namespace.ts';
import { sysInterfaces } from '../containers/sockets/proc-network.ts';
import { callName, RELEASE } from '../containers/syscalls/names.ts';
import { callTable } from '../containers/syscalls/table.ts';
import { MS_RDONLY } from '../containers/vfs/constants.ts';
import { MountNamespace } from '../containers/vfs/mounts.ts';
import { nameToText, textToName } from '../containers/vfs/names.ts';
import { mkdirAt } from '../containers/vfs/operations.ts';
import { OverlayFs } from '../containers/vfs/overlay.ts';
import { makeProc } from '../containers/vfs/proc.ts';
import { makeSys } from '../containers/vfs/sys.ts';
import type { FileSystem, Location, WalkContext } from '../containers/vfs/types.ts';
import { resolve } from '../containers/vfs/walk.ts';
import type {
  ContainerConfig,
  Guest,
  GuestConfig,
  GuestEnd,
  GuestHost,
  NetworkCardConfig,
  ProcessSummary,
  ProgramEvents,
  ProgramRequest,
  RunningProgram,
  SliceResult,
} from '../hypervisor/guest.ts';
import { EngineShare, engineState } from './engine-counts.ts';
import { HypervisorTime } from './hypervisor-time.ts';
import { NetworkTraffic } from './network-traffic.ts';
import { MEMORY_MAX_MIB, OsMachine } from './os-machine.ts';

const MIB = 1 << 20;
/** Processes and threads of a guest where nothing is said: a fork bomb ends there. */
const TASKS_MAX = 4096;
const MEMORY_MIN_MIB = 16;
/** Nanoseconds for which programs wait to begin until the guest has its addresses, and until a full cable is tried again. */
const LEASE_PATIENCE = 1e9;
const SEND_AGAIN = 1e6;
/** Bytes of a command line that lists of processes show; a program may have two million. */
const COMMAND_MAX = 1024;
/** Nanoseconds between the stop signal and SIGKILL, as with other containers. */
const STOP_PATIENCE = 10e9;

export class OsGuest implements Guest {
  /** Interfaces on virtual networks, their frames, and how many of them have no address yet. */
  private readonly links: EthernetLink[] = [];
  private readonly traffic = new NetworkTraffic();
  private awaited = 0;
  readonly kernel: Kernel;
  private readonly host: GuestHost;
  private readonly machine: OsMachine;
  private readonly share: EngineShare;
  private readonly time: HypervisorTime;
  private readonly console: Terminal;
  private readonly container: ContainerConfig;
  private readonly root: Location;
  private readonly overlay: OverlayFs;
  /** The first process's standard input, where it has no terminal. */
  private standardInput: HostInput | undefined;
  private pausedAt = 0;
  private readonly source: KernelProc;

  /**
   * `machine`: what it shares with other guests; without one it has its own. Throws an Error with one sentence where the container
   * cannot be started.
   */
  constructor(config: GuestConfig, host: GuestHost, machine?: OsMachine) {
    this.host = host;
    const { container } = config;
    if (!container) throw new Error('A guest of kind os needs a container.');
    this.container = container;
    if (config.memoryMiB < MEMORY_MIN_MIB || config.memoryMiB > MEMORY_MAX_MIB)
      throw new Error(
        `A guest of kind os has ${MEMORY_MIN_MIB} to ${MEMORY_MAX_MIB} MiB of memory; ${config.memoryMiB} was asked for.`,
      );
    const { memoryMiB, translation } = config;
    const { translationThread } = host;
    this.machine =
      machine ??
      new OsMachine({
        memoryMiB,
        ...(translation ? { translation } : {}),
        ...(translationThread ? { translationThread: (memory) => translationThread(memory) } : {}),
      });
    const { processor, cpu } = this.machine;
    this.share = new EngineShare(cpu);
    this.time = new HypervisorTime(() => host.monotonicNanoseconds());
    this.kernel = new Kernel({
      host: {
        monotonicNanoseconds: () => host.monotonicNanoseconds(),
        wallMilliseconds: () => host.wallMilliseconds(),
        randomness: (into) => host.randomness(into),
      },
      release: RELEASE,
      processor,
      calls: callTable(),
      nameOf: callName,
    });
    const { kernel } = this;
    kernel.cgroup.memoryMax = memoryMiB * MIB;
    kernel.cgroup.tasksMax = container.tasksMax ?? TASKS_MAX;
    try {
      this.console = new Terminal(kernel, CONSOLE_DEVICE, {
        room: new WaitQueue(),
        show: (bytes) => {
          host.serialOutput(bytes.slice());
          return bytes.length;
        },
      });
      const devices = new Devices(kernel, this.console);
      kernel.devices = devices;
      const now = (): bigint => BigInt(Math.floor(kernel.wall()));
      const { kept, layers } = container;
      const lowers = [...(kept ? [kept] : []), ...layers].map((layer) => layer.root);
      const root = new OverlayFs({ device: 1, now, lowers });
      if (kept) root.takeIn(kept.root);
      this.overlay = root;
      const mounts = new MountNamespace(root);
      kernel.namespaces = firstNamespaces(mounts, container.hostName, kernel.cgroup);
      const source = new KernelProc(kernel, kernel.namespaces.pid);
      this.source = source;
      /** The network of whoever asks. */
      const networkNow = (): NetworkNamespace => (kernel.current ?? kernel.processes.get(1)!.leader).network;
      const more = new Map<string, FileSystem>([
        ['/proc', makeProc({ device: 5, now, source })],
        ['/sys', makeSys({ device: 6, now, cpus: 1, interfaces: () => sysInterfaces(networkNow()) })],
        ['/sys/fs/cgroup', makeCgroupFs(kernel, kernel.cgroup, { device: 7, now })],
      ]);
      mountSystem(mounts, devices, now, 2, more, { account: kernel.fileBudget, bytes: memoryMiB * MIB });
      this.root = mounts.rootLocation;
      for (const volume of container.volumes ?? []) mountVolume(mounts, this.root, volume);
      makeHosts(this.root);
      const first = startFirstProcess(kernel, this.root, container, this.firstStreams());
      for (const card of config.nets ?? []) this.plug(first.leader.network, card, container.hostName);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A network card of the guest: an interface of its network, with an address that the network gives. */
  private plug(network: NetworkNamespace, { port, address }: NetworkCardConfig, hostName: string): void {
    let isTold = false;
    this.awaited++;
    const told = (): void => {
      if (!isTold) this.awaited--;
      isTold = true;
    };
    const link = network.plug(this.traffic.port(port), address, hostName, (lease) => {
      if (lease) writeNetworkFiles(this.root, hostName, lease);
      told();
    });
    this.kernel.timers.at(this.kernel.now() + LEASE_PATIENCE, told);
    this.links.push(link);
    this.traffic.add(link);
  }

  private firstStreams(): StandardStreams {
    const { root, host } = this;
    if (this.container.hasTerminal) {
      const node = resolve({ root, cwd: root, umask: 0, credentials: CredentialSet.of(0, 0) }, null, '/dev/console');
      return { terminal: this.console, node, inode: node.dentry.inode };
    }
    this.standardInput = new HostInput((bytes) => host.inputTaken?.(bytes));
    const error = host.secondSerialOutput ?? host.serialOutput;
    return {
      files: [
        this.standardInput.open(),
        new HostOutput((bytes) => host.serialOutput(bytes)),
        new HostOutput((bytes) => error.call(host, bytes)),
      ],
    };
  }

  run(milliseconds: number): SliceResult {
    const { machine, share } = this;
    machine.time = this.time;
    share.begin();
    const result = this.turns(milliseconds);
    share.take();
    return result;
  }

  private turns(milliseconds: number): SliceResult {
    const { host, kernel } = this;
    const until = host.monotonicNanoseconds() + milliseconds * 1e6;
    for (;;) {
      const before = host.monotonicNanoseconds();
      this.traffic.poll();
      // Programs begin when the guest has its addresses, so that their first connection finds a network.
      if (this.awaited > 0) kernel.timers.run(kernel.now());
      const ran = this.awaited === 0 && kernel.runOne();
      const after = host.monotonicNanoseconds();
      this.time.ran(after - before);
      if (kernel.endStatus !== undefined) return { state: 'ended', end: endOf(kernel.endStatus) };
      if (!ran) {
        const wakeIn = kernel.timers.next - kernel.now();
        if (wakeIn > 0)
          return { state: 'halted', wakeIn: this.isSending ? Math.min(wakeIn, SEND_AGAIN) : wakeIn, slack: 0 };
      }
      if (after >= until) {
        this.traffic.poll();
        return { state: 'running' };
      }
    }
  }

  /** Frames wait for room in a cable, of which nobody tells. */
  private get isSending(): boolean {
    return this.links.some(({ isSending }) => isSending);
  }

  serialInput(bytes: Uint8Array): void {
    if (this.standardInput) this.standardInput.write(bytes.slice());
    else {
      this.console.type(bytes);
      this.host.inputTaken?.(bytes.length);
    }
  }

  endInput(): void {
    this.standardInput?.finish();
  }

  resize(rows: number, columns: number): void {
    this.console.resize(Uint16Array.of(rows, columns, 0, 0));
  }

  execute(request: ProgramRequest, events: ProgramEvents): RunningProgram {
    const { kernel, container } = this;
    const { root } = firstTask(kernel).fs;
    const context: WalkContext = { root, cwd: root, umask: 0, credentials: CredentialSet.of(0, 0) };
    const user = request.user === null ? null : findUser(context, request.user);
    const { uid, gid, groups } = user ?? container;
    const added = user ? [`HOME=${user.home}`] : [];
    const program: FirstProcess = {
      command: request.command,
      environment: mergeEnvironment([...container.environment, ...added, ...request.environment]),
      workingDirectory: request.workingDirectory ?? container.workingDirectory,
      uid,
      gid,
      groups,
    };
    const ended = (process: Process): void => {
      void process.ended.add(() => events.ended(commandStatus(process.exitStatus!)));
    };
    const signalOf = (process: Process) => (number: number) => {
      if (process.isZombie || number < 1 || number > SIGNAL_MAX) return;
      sendToProcess(kernel, process, { signal: number, code: SiCode.SI_USER, pid: 0 });
    };
    if (request.terminal) {
      const { rows, columns } = request.terminal;
      const opened = kernel.devices.pseudoTerminals.openForHost((bytes) => events.output(bytes, 'output'));
      const { terminal, node } = opened;
      terminal.size = Uint16Array.of(rows, columns, 0, 0);
      let process: Process;
      try {
        process = startBeside(kernel, program, { terminal, node, inode: node.dentry.inode });
      } catch (error) {
        opened.close();
        throw error;
      }
      ended(process);
      process.ended.add(() => opened.close());
      return {
        input: (bytes) => {
          terminal.type(bytes);
          events.taken(bytes.length);
        },
        endInput: () => {},
        resize: (height, width) => terminal.resize(Uint16Array.of(height, width, 0, 0)),
        hold: (held) => opened.hold(held),
        signal: signalOf(process),
        leave: () => opened.close(),
      };
    }
    const input = new HostInput((bytes) => events.taken(bytes));
    const outputs = [
      new HostOutput((bytes) => events.output(bytes, 'output')),
      new HostOutput((bytes) => events.output(bytes, 'error')),
    ] as const;
    const process = startBeside(kernel, program, {
      files: [input.open(), ...outputs],
    });
    ended(process);
    return {
      input: (bytes) => input.write(bytes),
      endInput: () => input.finish(),
      resize: () => {},
      hold: (held) => {
        for (const output of outputs) output.hold(held);
      },
      signal: signalOf(process),
      leave: () => input.finish(),
    };
  }

  processes(): ProcessSummary[] {
    return [...this.kernel.processes.values()].map((process) => {
      const { leader, pid, parent, times, isZombie } = process;
      const state = isZombie ? 'Z' : process.isStopped ? 'T' : leader.state === 'ready' ? 'R' : 'S';
      return {
        pid,
        parent: parent?.pid ?? 0,
        uid: leader.credentials.euid,
        state,
        command: this.commandOf(leader),
        threads: process.threads.size,
        userSeconds: times.user / 1e9,
        kernelSeconds: times.system / 1e9,
        residentMiB: isZombie ? 0 : (leader.space.resident ?? 0) / MIB,
      };
    });
  }

  /** As `ps` shows it. */
  private commandOf(leader: Task): string {
    const words = leader.process.isZombie ? '' : this.source.view(leader).commandLine().replace(/\0+$/, '');
    return words === '' ? `[${leader.name}]` : nameToText(words.replaceAll('\0', ' ').slice(0, COMMAND_MAX));
  }

  unimplemented(): Record<string, number> {
    return Object.fromEntries(this.kernel.unimplemented);
  }

  /** The first process is asked to end; where it does not, it is ended. */
  powerButton(): void {
    const { kernel } = this;
    const first = kernel.processes.get(1);
    if (!first || first.isZombie) return;
    const send = (signal: number): void => {
      sendToProcess(kernel, first, { signal, code: SiCode.SI_USER, pid: 0 });
    };
    send(this.container.stopSignal ?? Signal.SIGTERM);
    kernel.timers.at(kernel.now() + STOP_PATIENCE, () => {
      if (!first.isZombie) send(Signal.SIGKILL);
    });
  }

  pause(): void {
    this.pausedAt = this.host.monotonicNanoseconds();
  }

  resume(): void {
    this.kernel.wasPaused(this.host.monotonicNanoseconds() - this.pausedAt);
  }

  /** What the guest has changed of its image so far, in earlier runs too; null: nothing. At the end {@link close} comes first. */
  changes(): Changes | null {
    return changesOf(
      this.overlay,
      this.container.layers.map((layer) => layer.root),
    );
  }

  /** Gives back all that the guest has of the machine; it is over, however that came. */
  close(): void {
    const problem = this.kernel.end();
    if (this.machine.time === this.time) this.machine.time = undefined;
    if (problem !== undefined) throw problem;
  }

  publishCounters(): void {
    const { control } = this.host;
    if (this.machine.time === this.time) this.share.take();
    this.time.publish(control, this.share.counts, engineState(this.machine.cpu));
    this.traffic.publish(control);
    // What translations have touched is less than what programs have: files that were read, copies of pages.
    control.set('residentPages', this.kernel.cgroup.memoryUsed / PAGE);
  }
}

/** As shells tell it: the status of an exit, 128 and its number for a signal. */
function commandStatus(waitStatus: number): number {
  const signal = waitStatus & 0x7f;
  return signal === 0 ? waitStatus >> 8 : 128 + signal;
}

function endOf(waitStatus: number): GuestEnd {
  const signal = waitStatus & 0x7f;
  const status = commandStatus(waitStatus);
  const how = signal === 0 ? `ended with status ${status}` : `was ended by signal ${signal}`;
  return { reason: 'exited', status, detail: `The command ${how}.` };
}

/** Mounts a folder of the host, whose mount point is made where it is missing. Throws an Error with one sentence. */
function mountVolume(
  mounts: MountNamespace,
  root: Location,
  { path, fileSystem, readOnly }: NonNullable<ContainerConfig['volumes']>[number],
): void {
  const context: WalkContext = { root, cwd: root, umask: 0, credentials: CredentialSet.of(0, 0) };
  try {
    const parts = textToName(path)
      .split('/')
      .filter((part) => part !== '');
    for (const [at] of parts.entries())
      try {
        mkdirAt(context, null, `/${parts.slice(0, at + 1).join('/')}`, 0o755);
      } catch (error) {
        if (!(error instanceof Errno) || error.code !== 'EEXIST') throw error;
      }
    mounts.mount(resolve(context, null, `/${parts.join('/')}`), fileSystem, readOnly ? MS_RDONLY : 0);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    throw new Error(`The volume cannot be mounted at ${path} (${error.code}).`, { cause: error });
  }
}
