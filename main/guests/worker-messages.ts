// What main and a guest's worker say to each other beside the control block.
// Owns the message types of both directions; everything in them survives structured cloning.
// Never carries guest memory or a counter: those are shared.

import type { ImageFormat } from '../../native-free-core/disk/images.ts';
import type { GuestEnd, TranslationTime } from '../../native-free-core/hypervisor/guest.ts';

/** How a guest begins: paths, not bytes, so that main never reads a kernel. */
export interface GuestStart {
  kind: 'full' | 'para';
  memoryMiB: number;
  cpus: number;
  deterministic: boolean;
  noReboot: boolean;
  kernel: string;
  initrd: string | null;
  append: string;
  translation: TranslationTime;
  disks: readonly DiskStart[];
  cdrom: string | null;
  floppies: readonly FloppyStart[];
}

/** A disk of a guest: its image, and how it is opened. */
export interface DiskStart {
  file: string;
  /** Null: as the file's name tells. */
  format: ImageFormat | null;
  readOnly: boolean;
  /** Writes are thrown away. */
  snapshot: boolean;
  interface: 'ide' | 'ahci';
}

/** A floppy disk in a drive. */
export type FloppyStart = Pick<DiskStart, 'file' | 'readOnly' | 'snapshot'>;

/** What the worker does on its own at the serial console, in step with the guest and not with messages. */
export interface ConsoleScript {
  /** Typed once each, in order: the next pair waits until the one before has been typed. */
  type: readonly { after: RegExp; text: string }[];
  /** The run is done as soon as a line matches. */
  until: RegExp | null;
}

/** `workerData` of a guest's worker. */
export interface WorkerStart {
  control: SharedArrayBuffer;
  guest: GuestStart;
  script: ConsoleScript;
  /** Module with a `createGuest` to use in place of the core's: tests inject theirs here. */
  machineModule: string | null;
}

export type ToWorker =
  | { type: 'input'; bytes: Uint8Array }
  | { type: 'powerButton' }
  /** The command slot of the control block changed: look. */
  | { type: 'look' };

export type FromWorker =
  /** The machine is built and begins to execute. */
  | { type: 'started' }
  /** There is no machine; one sentence why. */
  | { type: 'refused'; message: string }
  | { type: 'output'; bytes: Uint8Array }
  /** A moment worth telling in the report; seconds since the guest was started. */
  | { type: 'mark'; name: string; seconds: number }
  | { type: 'ended'; end: WorkerEnd };

/** `until`: the script's end; `forced`: main's stop command; `crashed`: a fault of ours. */
export type WorkerEnd = GuestEnd | { reason: 'until' | 'forced' | 'crashed'; detail: string };
