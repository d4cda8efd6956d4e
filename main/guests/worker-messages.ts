// What main and a guest's worker say to each other beside the control block.
// Owns the message types of both directions; everything in them survives structured cloning.
// Never carries guest memory or a counter: those are shared.

import type { ImageFormat } from '../../native-free-core/disk/images.ts';
import type {
  GuestEnd,
  MediumPlace,
  NetworkModel,
  ProcessSummary,
  ProgramRequest,
  TranslationTime,
  VirtioKind,
  VirtioTransportKind,
  WatchdogAction,
} from '../../native-free-core/hypervisor/guest.ts';
import type { KeyStroke, PointerKind } from '../../native-free-core/hypervisor/guest-input.ts';
import type { CableBuffers } from '../../native-free-core/network/ring-port.ts';
import type { RootChoice } from '../containers/guest-root.ts';
import type { GuestSettings, SerialPort, VolumeSettings } from '../contract.ts';
import type { DisplayInput, DisplayText } from '../display/display-frames.ts';
import type { OutputPaths } from './output-files.ts';
import type { PeerStart } from './peers.ts';
import type { ProgramInput, ProgramMessage } from './program-frames.ts';

/** How a guest begins: paths, not bytes, so that main never reads a kernel. */
export interface GuestStart {
  kind: 'full' | 'para' | 'os';
  /** Null but for a guest of kind os. */
  container: ContainerStart | null;
  memoryMiB: number;
  cpus: number;
  deterministic: boolean;
  /** The 16 bytes of its UUID; null: none, so that a run repeats. */
  uuid: Uint8Array | null;
  /** What tells the guest from copies of itself. Null: nothing does. */
  generation: Uint8Array | null;
  noReboot: boolean;
  /** The file of a saved state, with which the guest goes on; null: it is powered on. */
  savedState: string | null;
  watchdog: WatchdogAction;
  /** Null: the guest boots from its drives. */
  kernel: string | null;
  bootOrder: string;
  bios: string | null;
  initrd: string | null;
  append: string;
  paravirt: GuestSettings['paravirt'];
  translation: TranslationTime;
  disks: readonly DiskStart[];
  cdrom: string | null;
  cdromInterface: 'ide' | 'ahci';
  floppies: readonly (FloppyStart | null)[];
  nets: readonly NetStart[];
  /** Virtio devices beside disks and cards. */
  virtio: readonly VirtioKind[];
  virtioTransport: VirtioTransportKind;
  balloonMiB: number;
  shares: readonly ShareStart[];
  /** Where the guest finds its peers; null: it has none to know of. */
  peers: PeerStart | null;
  /** Its virtio socket; null: it has none. */
  socket: SocketStart | null;
  outputs: OutputPaths;
}

/** A folder of the host that the guest mounts. */
export interface ShareStart {
  folder: string;
  tag: string;
  readOnly: boolean;
}

/** A container: what its root is made of, and what it runs; what is empty or null is as the image's configuration says. */
export interface ContainerStart {
  root: RootChoice;
  hostName: string;
  command: readonly string[];
  env: readonly string[];
  workdir: string | null;
  user: string | null;
  volumes: readonly VolumeSettings[];
  tty: boolean;
  /** The folder of what is the guest's own, where its changes of the image are kept; null: they go with it. */
  folder: string | null;
}

/** A network card of a guest, and the cable that leads to its network. */
export interface NetStart {
  model: NetworkModel;
  /** The six bytes of its address. */
  address: Uint8Array;
  rom: string | null;
  cable: CableBuffers;
  /** Rung, at its first 32-bit word, for the thread of the networks. */
  doorbell: SharedArrayBuffer;
}

/** The virtio socket of a guest, and the cable that leads to all others. */
export type SocketStart = Pick<NetStart, 'cable' | 'doorbell'> & { cid: number };

/** A disk of a guest: its image, and how it is opened. */
export interface DiskStart {
  file: string;
  /** Null: as the file's name tells. */
  format: ImageFormat | null;
  readOnly: boolean;
  /** Writes are thrown away. */
  snapshot: boolean;
  interface: 'ide' | 'ahci' | 'virtio';
}

/** A floppy disk in a drive. */
export type FloppyStart = Pick<DiskStart, 'file' | 'readOnly' | 'snapshot'>;

/** What the worker does on its own at the serial console and the screen, in step with the guest and not with messages. */
export interface ConsoleScript {
  /** Typed once each, in order: the next pair waits until the one before has been typed. */
  type: readonly ScriptedTyping[];
  /** The run is done as soon as a line on the serial console matches. */
  until: RegExp | null;
  /** The run is done as soon as the text of the screen matches. */
  untilScreen: RegExp | null;
}

/** What is typed when `after` matches: where it matched. */
export interface ScriptedTyping {
  after: RegExp;
  /** At the serial console; null: it cannot be typed there, and `after` is of the screen alone. */
  serial: string | null;
  /** At the keyboard; null: it cannot be typed there, and `after` is of the serial console alone. */
  strokes: readonly KeyStroke[] | null;
}

export const noScript: ConsoleScript = { type: [], until: null, untilScreen: null };

/** What a front end may ask the machine of a running guest; the answer comes as `answer` of the same number. */
export type Ask =
  | { type: 'screenshot' }
  | { type: 'screenText' }
  | { type: 'type'; strokes: readonly KeyStroke[] }
  /** Puts a medium into a drive, null: takes it out. A CD is only read. */
  | { type: 'changeMedium'; place: MediumPlace; medium: FloppyStart | null; force: boolean }
  /** Tries again what the host had no room for. */
  | { type: 'retryDisks' }
  /** Of a container. */
  | { type: 'processes' }
  /** Writes the guest's state to a file, and ends the run as `saved`. */
  | { type: 'save'; file: string };

/** What came of an {@link Ask}; `problem`: one sentence why nothing did. */
export interface Answer {
  picture?: Picture;
  /** Of the screen; null in a graphics mode. */
  text?: string | null;
  processes?: ProcessSummary[];
  problem?: string;
  /** The problem is that the guest has locked the drive. */
  isLocked?: boolean;
}

/** A picture of the screen: red, green, blue, alpha, rows without gaps. */
export interface Picture {
  width: number;
  height: number;
  pixels: Uint8ClampedArray<ArrayBuffer>;
}

/** What changed on the screen since the last of these. */
export interface ScreenChange {
  /** 0 × 0: the guest has no display. */
  width: number;
  height: number;
  tiles: readonly { x: number; y: number; width: number; height: number }[];
  /** The tiles' pixels, one after the other. */
  pixels: Uint8ClampedArray<ArrayBuffer>;
  /** Undefined: as before. */
  text: DisplayText | null | undefined;
  pointer: PointerKind;
}

/** Which changes of the screen main is ready for: each is one answer, so that none wait in between. */
export type ScreenWish = 'none' | 'changes' | 'everything';

/** `workerData` of a guest's worker. */
export interface WorkerStart {
  control: SharedArrayBuffer;
  /** The host's processors (cpu-shares.ts), and the guest's place among those that share them; null: it is not told when to execute. */
  processors: { buffer: SharedArrayBuffer; client: number } | null;
  guest: GuestStart;
  script: ConsoleScript;
  /** Somebody may want what the guest sends on its second serial port, and what it plays. */
  wants: { secondSerial: boolean; sound: boolean };
  /** The end brings the last picture of the screen. */
  lastPicture: boolean;
  /** Module with a `createGuest` to use in place of the core's: tests inject theirs here. */
  machineModule: string | null;
}

export type ToWorker =
  | { type: 'input'; port: SerialPort; bytes: Uint8Array }
  /** Whether somebody listens to what the guest plays. */
  | { type: 'listen'; listening: boolean }
  | { type: 'powerButton' }
  /** Of a container: there is no more serial input; its console's window has another size. */
  | { type: 'endInput' }
  | { type: 'resize'; rows: number; columns: number }
  /** Its share of the host's processors: a weight, and a cap in 1/1000 of one (0: none). Others have a place of their own. */
  | { type: 'share'; weight: number; cap: number }
  /** Runs a program beside a container's first; what comes of it is told by `program` messages of the same number. */
  | { type: 'execute'; id: number; request: ProgramRequest }
  | { type: 'program'; id: number; input: ProgramInput | { type: 'leave' } | { type: 'hold'; held: boolean } }
  /** Of a person at the guest's window. */
  | { type: 'control'; input: Exclude<DisplayInput, { type: 'taken' }> }
  /** What the balloon is to hold, and whether the guest is asked for statistics of its memory. */
  | { type: 'balloon'; pages: number; ask: boolean }
  | { type: 'ask'; id: number; ask: Ask }
  | { type: 'screen'; wish: ScreenWish }
  /** The command slot of the control block changed: look. */
  | { type: 'look' };

export type FromWorker =
  /** The machine is built and begins to execute. */
  | { type: 'started' }
  /** There is no machine; one sentence why. */
  | { type: 'refused'; message: string }
  | { type: 'output'; port: SerialPort; bytes: Uint8Array }
  /** Serial input went into a container's standard input. */
  | { type: 'taken'; bytes: number }
  /** Of a program that was asked for by `execute`; `refused` is the only one where it could not be started. */
  | { type: 'program'; id: number; message: ProgramMessage | { type: 'refused'; problem: string } }
  /** System calls that a container asked for in vain since its start. */
  | { type: 'unimplemented'; calls: Record<string, number> }
  /** A piece of what the guest plays, as the contract's stream has it; only while somebody listens. */
  | { type: 'sound'; bytes: Uint8Array }
  /** The guest itself has ejected what was in a drive. */
  | { type: 'ejected'; place: MediumPlace }
  /** A moment worth telling in the report; seconds since the guest was started. */
  | { type: 'mark'; name: string; seconds: number }
  /** One sentence about nonsense that the guest did; not often. */
  | { type: 'complaint'; sentence: string }
  | { type: 'screen'; change: ScreenChange }
  | { type: 'answer'; id: number; answer: Answer }
  /** The guest stands still because the host has no room, in one sentence; null: it goes on. */
  | { type: 'full'; reason: string | null }
  /** The guest is over, and what it has changed is being written: however long that takes, it is not to be ended. */
  | { type: 'keeping' }
  | { type: 'ended'; end: WorkerEnd; picture?: Picture };

/** `until`: the script's end; `forced`: main's stop command; `saved`: its state was; `crashed`: a fault of ours. */
export type WorkerEnd = GuestEnd | { reason: 'until' | 'forced' | 'saved' | 'crashed'; detail: string };
