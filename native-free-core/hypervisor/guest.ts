// A guest as the host sees it: what it is made of, how it is driven, how it ends.
// Owns the types that main's worker and the machines agree on.
// Never starts a thread, opens a file or looks at a clock itself.

import type { FirstProcess } from '../containers/kernel/first-process.ts';
import type { FileSystem } from '../containers/vfs/types.ts';
import type { TranslationThread } from '../cpu/translator/translation.ts';
import type { SavedState } from '../devices/device.ts';
import type { Screen } from '../devices/display/screen.ts';
import type { PacketPort } from '../devices/packets.ts';
import type { AudioChunk } from '../devices/sound/audio-mixer.ts';
import type { BalloonStatistics } from '../devices/virtio/balloon.ts';
import type { BlockDevice } from '../disk/block.ts';
import type { HostUnpack } from '../firmware/boot/payload.ts';
import type { ControlBlock } from './control-block.ts';
import type { GuestInput } from './guest-input.ts';
import type { ParavirtInterfaceName } from './paravirt.ts';

/** How a guest begins. `kernel` is a bzImage, an ELF/PVH vmlinux or a multiboot image: the loader tells them apart. */
export interface BootSource {
  /** Without one the guest boots from its drives, by the firmware. */
  kernel?: Uint8Array;
  initrd?: Uint8Array;
  append: string;
}

/** What comes of a watchdog that is not fed; none: there is no watchdog. */
export type WatchdogAction = 'reset' | 'poweroff' | 'none';

/** When code is translated to WebAssembly. */
export const translationTimes = ['hot', 'eager', 'off'] as const;
export type TranslationTime = (typeof translationTimes)[number];

/** A container: its image and what it runs; texts, not bytes. */
export interface ContainerConfig extends FirstProcess {
  /** File systems of the image's layers, the topmost first. */
  readonly layers: readonly FileSystem[];
  /** What the guest has changed of them in earlier runs, as a layer over them. */
  readonly kept?: FileSystem | undefined;
  readonly hostName: string;
  /** The console is a terminal; otherwise standard streams are pipes, and standard error is the second serial port. */
  readonly hasTerminal: boolean;
  /** The signal that asks the first process to end; SIGTERM where nothing is said. */
  readonly stopSignal?: number;
  /** Most processes and threads at once; left out: 4096. */
  readonly tasksMax?: number;
  /** What else is mounted: a folder of the host at an absolute path. */
  readonly volumes?: readonly { readonly path: string; readonly fileSystem: FileSystem; readonly readOnly: boolean }[];
}

/** A program to run in a container beside its first one. */
export interface ProgramRequest {
  /** Program and arguments; a program without a slash is looked for along PATH. */
  readonly command: readonly string[];
  /** NAME=value each, over what the container's first program has. */
  readonly environment: readonly string[];
  /** Null: as the first program's. */
  readonly workingDirectory: string | null;
  /** Null: as the first program. Else as `findUser` takes it. */
  readonly user: string | null;
  /** Rows and columns of its terminal; null: it has none, its standard streams are pipes. */
  readonly terminal: { readonly rows: number; readonly columns: number } | null;
}

/** What the host is told of such a program. */
export interface ProgramEvents {
  /** Bytes it wrote, the callee's to keep; from a terminal all are of `output`. */
  output(bytes: Uint8Array, from: 'output' | 'error'): void;
  /** Bytes of input have been taken: as many more may be sent. */
  taken(bytes: number): void;
  /** It ended, with this status; 128 and the signal's number where a signal ended it. */
  ended(status: number): void;
}

/** A program that the host has started in a container. */
export interface RunningProgram {
  input(bytes: Uint8Array): void;
  /** There is no more input; a terminal hears nothing of it. */
  endInput(): void;
  resize(rows: number, columns: number): void;
  /** While it is held its output is not taken, and who writes waits. */
  hold(held: boolean): void;
  /** Sends the program a signal by its number. */
  signal(number: number): void;
  /** Whoever started it is gone: a terminal hangs up, pipes are closed. */
  leave(): void;
}

/** A process of a container, as lists show it. */
export interface ProcessSummary {
  pid: number;
  parent: number;
  uid: number;
  /** As in /proc: R, S, T, Z. */
  state: string;
  command: string;
  threads: number;
  /** Seconds executed, and in the kernel for it. */
  userSeconds: number;
  kernelSeconds: number;
  residentMiB: number;
}

export interface GuestConfig {
  kind: 'full' | 'para' | 'os';
  /** What a guest of kind `os` is; others have none. */
  container?: ContainerConfig;
  memoryMiB: number;
  cpus: number;
  deterministic: boolean;
  /** What firmware tells it from other machines by: the 16 bytes of a UUID. */
  uuid?: Uint8Array;
  /** 16 bytes that are others whenever the guest goes on as a copy of itself; without them it has no way to tell. */
  generation?: Uint8Array;
  /** A guest that resets ends instead of starting over. */
  noReboot: boolean;
  /** What comes of the watchdog of a PC that is not fed, `reset` where left out; none: the PC has no watchdog. */
  watchdog?: WatchdogAction;
  /**
   * When code is translated to WebAssembly: once it is hot (the default), from its first execution on, or never. For
   * tests and measurements; what the guest sees is the same.
   */
  translation?: TranslationTime;
  /** What the guest is told about its hypervisor; where left out, a guest of kind para KVM's interface, any other nothing. */
  paravirt?: ParavirtInterfaceName;
  boot: BootSource;
  /** The guest is not powered on: {@link Guest.restore} says where it goes on, once its memory is filled. */
  awaitsState?: boolean;
  /** Devices to boot from, in order, where there is no kernel: a floppy, c disk, d CD, n network. */
  bootOrder?: string;
  /** A ROM in place of the built-in firmware, where there is no kernel. */
  bios?: Uint8Array;
  /**
   * Disks on the IDE cables in the order a guest finds them, and what is in its CD drives, null for an empty drive. Each is
   * open, and closed by whoever opened it.
   */
  disks?: readonly BlockDevice[];
  cdroms?: readonly (BlockDevice | null)[];
  /** What is in the floppy drives A and B. */
  floppies?: readonly (BlockDevice | null)[];
  /** The same on the AHCI controller, which is there if anything is connected to it. */
  ahci?: { disks: readonly BlockDevice[]; cdroms: readonly (BlockDevice | null)[] };
  /** Disks on virtio, each a device of its own, in the order a guest finds them. */
  virtioDisks?: readonly BlockDevice[];
  /** Further virtio devices. */
  virtio?: readonly VirtioKind[];
  /** How a paravirtualized guest finds its virtio devices: PCI functions, which is what is chosen where nothing is said, or registers in memory. */
  virtioTransport?: VirtioTransportKind;
  /** MiB of its memory that a guest with a balloon is asked to give back from its start on. */
  balloonMiB?: number;
  /** File systems that the guest mounts over virtio, in the order it finds them. */
  shares?: readonly ShareConfig[];
  /** What its virtio socket is connected to; without it the guest has none. */
  socket?: { cid: number; port: PacketPort };
  /** Network cards, in the order a guest finds them. */
  nets?: readonly NetworkCardConfig[];
}

/** A file system that a guest mounts by its tag, over 9P. */
export interface ShareConfig {
  tag: string;
  fileSystem: FileSystem;
}

/** The models of network cards. */
export const networkModels = ['e1000', 'rtl8139', 'rtl8139c', 'ne2k_pci', 'ne2k_isa', 'virtio'] as const;
export type NetworkModel = (typeof networkModels)[number];

export const virtioTransports = ['pci', 'mmio'] as const;
export type VirtioTransportKind = (typeof virtioTransports)[number];

/** Virtio devices beside disks and network cards. */
export const virtioKinds = ['console', 'rng', 'balloon', 'gpu', 'input', 'vsock'] as const;
export type VirtioKind = (typeof virtioKinds)[number];

/** A network card of a guest, and what it is plugged into. */
export interface NetworkCardConfig {
  model: NetworkModel;
  /** The six bytes of its address. */
  address: Uint8Array;
  /** An option ROM, such as a boot ROM. */
  rom?: Uint8Array;
  port: PacketPort;
}

/** What the host passes in. */
export interface GuestHost {
  control: ControlBlock;
  /** Monotonic host time in nanoseconds; ignored in deterministic mode except for the time accounts. */
  monotonicNanoseconds(): number;
  /** Milliseconds since the Unix epoch, for the RTC; ignored in deterministic mode. */
  wallMilliseconds(): number;
  randomness(into: Uint8Array): void;
  /** Nanoseconds that the guest's thread has executed on a processor of the host: what is missing was stolen from the guest. */
  processorNanoseconds?(): number;
  /**
   * A thread beside the guest's that translates its code, given the guest's memory; where there is none, and in
   * deterministic mode, the guest's own does.
   */
  translationThread?(memory: WebAssembly.Memory): TranslationThread;
  /** Undoes compressions for guests of kind para, whose kernels the host unpacks; without it each kernel unpacks itself. */
  unpack?: HostUnpack;
  /** Bytes of serial input have gone into a container's standard input: as many more may be sent. */
  inputTaken?(bytes: number): void;
  /** Bytes the guest sent on its first serial port; the buffer is the callee's to keep. */
  serialOutput(bytes: Uint8Array): void;
  /** The same of its second serial port; without it what the guest sends there is lost. */
  secondSerialOutput?(bytes: Uint8Array): void;
  /** Bytes the guest printed on its parallel port; without it no printer is connected. */
  printerOutput?(bytes: Uint8Array): void;
  /**
   * Sound of the guest's card and speaker, at most 20 ms at a time and only while something sounds and somebody listens
   * ({@link Guest.listen}); theirs to keep.
   */
  audioOutput?(chunk: AudioChunk): void;
  /** The guest itself has taken the medium out of a drive; it is not read any more, and the host's to close. */
  mediumEjected?(place: MediumPlace): void;
  /**
   * The host has no room for what a disk wants to write, in one sentence. The guest must not be executed before
   * {@link Guest.retryDisks} has found some: it has been told nothing, and nothing is lost.
   */
  diskFull?(reason: string): void;
  /** A disk answered: a guest that waits or is halted may have something to do. */
  diskAnswered?(): void;
}

/** Why a guest ended. */
export interface GuestEnd {
  reason: 'powerOff' | 'reset' | 'tripleFault' | 'error' | 'exited';
  /** Of `exited`: the status that a container's command ended with, 128 and its number where a signal ended it. */
  status?: number;
  /** One sentence; for `tripleFault` and `error` the registers follow on further lines. */
  detail: string;
}

/** What a slice came to. */
export type SliceResult =
  /** `diskBusy`: a disk has yet to answer, which it only can while the host's thread is not executing the guest. */
  | { state: 'running'; diskBusy?: boolean }
  /**
   * Every vCPU is halted; nothing happens for the next `wakeIn` nanoseconds of guest time (Infinity: input only). Where
   * nobody needs it any sooner, it may be executed again so many nanoseconds later.
   */
  | { state: 'halted'; wakeIn: number; slack?: number; diskBusy?: boolean }
  /** Only in deterministic mode: the guest's time stands still until a disk has answered. */
  | { state: 'waiting' }
  | { state: 'ended'; end: GuestEnd };

/** Drives whose medium can be changed. */
export const mediumPlaces = ['cdrom', 'floppy0', 'floppy1'] as const;
export type MediumPlace = (typeof mediumPlaces)[number];

/** A guest's memory balloon. A page has 4096 bytes. */
export interface GuestBalloon {
  /** Pages that the guest is asked to keep in it; throws a RangeError where no guest has so many. */
  target: number;
  /** Pages that are in it. */
  readonly pages: number;
  /** What the guest told last of its memory: bytes, but for faults, which are counts. */
  readonly statistics: BalloonStatistics;
  /** Pages that were in it then, and how often the guest has told. */
  readonly pagesAtStatistics: number;
  readonly tellings: number;
  /** Asks for another telling, which comes later. */
  askStatistics(): void;
  /**
   * Asks which memory is free, and clears that while {@link isHinting}: a saved state then is without it. The guest keeps it aside
   * until {@link endHints}. False where it cannot tell.
   */
  clearFree(): boolean;
  readonly isHinting: boolean;
  endHints(): void;
}

/** A full or para guest, powered on. Made by `createGuest` of `machines/`. */
export interface Guest {
  /** The display, where the guest has one. */
  readonly screen?: Screen | undefined;
  /** The balloon, where the guest has one. */
  readonly balloon?: GuestBalloon | undefined;
  /** Executes for at most about `milliseconds` of host time. */
  run(milliseconds: number): SliceResult;
  /** Keyboard and pointer; none where the machine has no such devices. */
  readonly input?: GuestInput | undefined;
  /**
   * Calls `act` every so many nanoseconds of guest time, between two instructions and always at the same ones in
   * deterministic mode: for whoever watches the screen and acts on it. The answer stops it.
   */
  every?(nanoseconds: number, act: () => void): () => void;
  /** Bytes typed into the first serial port; queued until the guest takes them. */
  serialInput(bytes: Uint8Array): void;
  /** The same of the second serial port, where there is one. */
  secondSerialInput?(bytes: Uint8Array): void;
  /** Whether anybody listens to the guest's sound; without a listener, as at first, none is made. */
  listen?(listening: boolean): void;
  /** There is no more serial input: only of a container without a terminal. */
  endInput?(): void;
  /** The console's window has another size: only of a container with a terminal. */
  resize?(rows: number, columns: number): void;
  /** Runs a further program in a container. Throws an Error with one sentence where it cannot be started. */
  execute?(request: ProgramRequest, events: ProgramEvents): RunningProgram;
  /** Processes of a container. */
  processes?(): ProcessSummary[];
  /** System calls that a container's programs asked for in vain, with how often. */
  unimplemented?(): Record<string, number>;
  /** Presses the ACPI power button; a container's first process gets its stop signal, and SIGKILL ten seconds later. */
  powerButton(): void;
  /** While paused the guest's clock stands still. */
  pause(): void;
  resume(): void;
  /** Tries again what the host had no room for; resolves with whether all of it could be done. Never rejects. */
  retryDisks?(): Promise<boolean>;
  /**
   * Puts another medium into a drive, or takes out what is in it (null). The guest's operating system sees the change. Answers
   * false where the guest has locked the drive, which is asked to let the medium go then as by the button at it; with `force`
   * a lock does not count. Throws an Error with one sentence where there is no such drive, or it does not take the medium.
   * What was in the drive is the caller's to close afterwards.
   */
  changeMedium?(place: MediumPlace, medium: BlockDevice | null, force: boolean): boolean;
  /** RAM, and memory of devices behind it: what belongs to a saved state beside {@link save}. */
  readonly memory?: Uint8Array;
  /**
   * The machine's state but for its memory, as plain data with byte arrays and bigints. Between two slices. Throws an Error with
   * a part of a sentence where something is under way that cannot be saved; a moment later it may be over.
   */
  save?(): SavedState;
  /**
   * Goes on where {@link save} was called: of a guest of the same configuration, whose {@link memory} holds what it did then. Only
   * before the first slice of a guest that `awaitsState`. Throws an Error with one sentence where the state does not fit.
   */
  restore?(state: SavedState): void;
  /** Brings the counters of the control block up to date. */
  publishCounters(): void;
}
