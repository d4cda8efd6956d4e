// Every call, event and stream a front end can use, each with the schema that is checked at the boundary.
// Owns the words both sides speak: settings, guest views, samples; frames and the typed client stand beside it.
// Never imports node:, electron or the core, so a browser bundles it as it is; never does what a call promises.

import { z } from 'zod';
import { ApplianceProgress, ApplianceView, ExportedAppliance } from './contract-appliances.ts';
import { CompareState, CompareWish } from './contract-compare.ts';
import { FileIdentity, Glance, GlanceRequest, UploadRequest } from './contract-library.ts';
import { cardIndex, LinkChange, NetworkView, path } from './contract-networks.ts';
import {
  CommandWords,
  diskFormats,
  Environment,
  GuestSettings,
  GuestSettingsChange,
  guestKinds,
  MEMORY_MAX,
  User,
} from './contract-settings.ts';
import { GuestUsage, HostUsage, usageQuery } from './contract-usage.ts';
import { keyCodes } from './keyboard/key-codes.ts';

export * from './contract-appliances.ts';
export * from './contract-client.ts';
export * from './contract-compare.ts';
export * from './contract-frames.ts';
export * from './contract-library.ts';
export * from './contract-networks.ts';
export * from './contract-settings.ts';
export * from './contract-usage.ts';
export * from './display/display-frames.ts';
export * from './guests/command-words.ts';
export * from './guests/program-frames.ts';
export { keyCodes };

// ---------------------------------------------------------------------------------------------------------------
// What a front end sees of guests and the host. Times are milliseconds since the Unix epoch unless they say otherwise.

/**
 * `off` covers every guest that is not in memory, however it ended, one whose state is saved as well; `stopping` one that
 * was asked to power off and has not yet, `saving` one whose state is being written. A guest whose vCPUs are all halted is `running`: it only has nothing to do.
 */
export const guestStates = ['off', 'starting', 'running', 'paused', 'stopping', 'saving'] as const;
export const GuestState = z.enum(guestStates);
export type GuestState = z.output<typeof GuestState>;

/**
 * `exited` is the end of a container's command, `forced` a stop that did not wait for the guest, `saved` the saving of its
 * state, `crashed` a fault of ours in its worker.
 */
export const endReasons = [
  'powerOff',
  'reset',
  'tripleFault',
  'error',
  'exited',
  'forced',
  'saved',
  'crashed',
] as const;
export const EndReason = z.enum(endReasons);
export type EndReason = z.output<typeof EndReason>;

/** How a run of a guest ended. `detail` is a sentence; registers, where there are any, follow on further lines. */
export const GuestEnd = z.object({ reason: EndReason, detail: z.string(), at: z.number() });
export type GuestEnd = z.output<typeof GuestEnd>;

export const GuestView = z.object({
  id: z.string(),
  settings: GuestSettings,
  state: GuestState,
  createdAt: z.number(),
  /** When the present run began; null while the guest is off. */
  startedAt: z.number().nullable(),
  /** Why a guest is paused that nobody paused, in one sentence; it goes on by itself when that is over. Else null. */
  pauseReason: z.string().nullable(),
  /** The image of the CD that the guest itself ejected last in this run, if none has been put in since. Else null. */
  ejectedDisc: z.string().nullable(),
  /** How the last run ended; null if it never ran or is running. */
  lastEnd: GuestEnd.nullable(),
  /** The state with which a guest that is off goes on when it is started: when it was saved, and the bytes of its file. */
  saved: z.object({ at: z.number(), bytes: z.number() }).nullable(),
  /** How many there are. */
  snapshots: z.number(),
  /** Of a guest of kind os: bytes on the host's disk of what it has changed of its image, as of its last end. */
  changedBytes: z.number().optional(),
});
export type GuestView = z.output<typeof GuestView>;

/** Demands of guests: percent of a host core, MiB of memory, KiB a second of disks and networks. */
const Demands = z.object({ cpu: z.number(), memory: z.number(), io: z.number() });

/** A running guest as those of kind para see it. */
export const PeerView = z.object({
  id: z.string(),
  name: z.string(),
  kind: z.enum(guestKinds),
  vcpus: z.number(),
  weight: z.number(),
  /** Its address on virtio sockets. */
  cid: z.number(),
  demand: Demands,
  /** Which of them the guest itself declares; the others are what was measured of it. */
  declared: z.array(z.enum(['cpu', 'memory', 'io'])),
  /** 0 to 100. */
  urgency: z.number(),
});
export type PeerView = z.output<typeof PeerView>;

/** The guests of this process as they see each other, and what they see of the host: percent of a core, MiB. */
export const PeerList = z.object({
  host: z.object({ cpu: z.number(), memory: z.number(), load: z.number(), reserve: z.number() }),
  peers: z.array(PeerView),
});
export type PeerList = z.output<typeof PeerList>;

/** What is left of the host whatever guests want: per cent of its processors while all are taken, and memory. */
export const HostReserve = z.strictObject({
  cpuPercent: z.int('must be a whole number of per cent').min(0, 'must be at least 0').max(90, 'must be at most 90'),
  memoryMiB: z.int('must be a whole number of MiB').min(0, 'must be at least 0').max(MEMORY_MAX),
});
export type HostReserve = z.output<typeof HostReserve>;

/** What a guest can be made again. */
export const SnapshotView = z.object({
  id: z.string(),
  name: z.string(),
  /** The snapshot that it came after; null: none. */
  parent: z.string().nullable(),
  createdAt: z.number(),
  /** The guest goes on from it; otherwise it starts from its disks. */
  hasState: z.boolean(),
});
export type SnapshotView = z.output<typeof SnapshotView>;

export const SnapshotTree = z.object({
  /** The one that the guest came after as it is now; null: none. */
  current: z.string().nullable(),
  snapshots: z.array(SnapshotView),
});
export type SnapshotTree = z.output<typeof SnapshotTree>;

/** Seconds of hypervisor work, by part; the same parts for every kind of guest. */
export const HypervisorSeconds = z.object({
  exits: z.number(),
  devices: z.number(),
  paging: z.number(),
  translation: z.number(),
  scheduling: z.number(),
});
export type HypervisorSeconds = z.output<typeof HypervisorSeconds>;

/** Seconds in which a guest had something to do, by what came of it. */
export const ProcessorSeconds = z.object({
  /** One of the host's processors executed its thread. */
  executed: z.number(),
  /** It had its turn, and the host did something else. */
  stolen: z.number(),
  /** Others had their turns, or it rested for its cap or the host's reserve. */
  waited: z.number(),
  /** Of its thread's time, what finding out who has a turn took. */
  sharing: z.number(),
});
export type ProcessorSeconds = z.output<typeof ProcessorSeconds>;

/** Frames of a guest's network cards since the run began: `in` is what the guest took. */
export const NetTotals = z.object({
  packetsIn: z.number(),
  packetsOut: z.number(),
  bytesIn: z.number(),
  bytesOut: z.number(),
});

/** What a guest's disks were asked for since the run began. */
export const DiskTotals = z.object({
  reads: z.number(),
  writes: z.number(),
  bytesRead: z.number(),
  bytesWritten: z.number(),
  /** From each read's and write's request to its answer, added up. */
  seconds: z.number(),
});

/** Counters of one guest. Percentages are of one host core over `seconds`; totals are since the run began. */
export const StatsSample = z.object({
  at: z.number(),
  /** Length of the interval the percentages are over, in seconds. */
  seconds: z.number(),
  guestPercent: z.number(),
  hypervisorPercent: z.number(),
  /** Of the shared kernel, for a guest of kind os; others have their own, whose time is the guest's. */
  kernelPercent: z.number(),
  /** It had something to do, and others had the processor. */
  stealPercent: z.number(),
  idlePercent: z.number(),
  instructionsPerSecond: z.number(),
  exitsPerSecond: z.number(),
  residentMiB: z.number(),
  balloonMiB: z.number(),
  totals: z.object({
    processor: ProcessorSeconds,
    instructions: z.number(),
    guestSeconds: z.number(),
    kernelSeconds: z.number(),
    hypervisorSeconds: HypervisorSeconds,
    exits: z.record(z.string(), z.number()),
    disk: DiskTotals,
    net: NetTotals,
  }),
});
export type StatsSample = z.output<typeof StatsSample>;

/** What one of the engine's two executions did. */
const Execution = z.object({ instructions: z.number(), seconds: z.number() });

/** The engine's work in one run: together the two executions are the guest's instructions and seconds. */
export const EngineWork = z.object({
  /** `interpreter.seconds` and `translations.seconds` share the measured guest time; a part of the latter is timed. */
  interpreter: Execution,
  translations: Execution,
  /** Regions of code translated to WebAssembly, several to a module. */
  translator: z.object({
    /** Regions that were translated and installed: installed still, + invalidated + flushed. */
    regions: z.number(),
    installed: z.number(),
    /** Dropped because their code was written to. */
    invalidated: z.number(),
    /** Dropped with everything else. */
    flushed: z.number(),
    /** Never installed: out of date when their translations came. */
    discarded: z.number(),
    /** Asked for and not translated yet. */
    waiting: z.number(),
    modules: z.number(),
    /** Bytes of all those modules, and of those with regions that are installed still. */
    bytes: z.number(),
    installedBytes: z.number(),
    /** In the guest's own thread, which is a part of the hypervisor seconds, and in a thread beside it. */
    seconds: z.object({ guestThread: z.number(), beside: z.number() }),
  }),
  /** Blocks of code decoded for the interpreter, those dropped because their code was written to, and all at once. */
  blocks: z.object({ decoded: z.number(), invalidated: z.number(), flushes: z.number() }),
  tlbMisses: z.number(),
});
export type EngineWork = z.output<typeof EngineWork>;

/** The report of one run, as `trivisor run --report` writes it. Fields a machine has no device for stay zero. */
export const Report = z.object({
  kind: z.enum(guestKinds),
  wallSeconds: z.number(),
  marks: z.array(z.object({ name: z.string(), seconds: z.number() })),
  instructions: z.number(),
  guestSeconds: z.number(),
  /** In the shared kernel, of a guest of kind os, which has no hypervisor: its parts there are all 0. */
  kernelSeconds: z.number(),
  hypervisorSeconds: HypervisorSeconds,
  /** Of the guest's thread. */
  processor: ProcessorSeconds,
  /** Hypervisor seconds / (guest + hypervisor seconds), measured. */
  hypervisorShare: z.number(),
  exits: z.record(z.string(), z.number()),
  engine: EngineWork,
  memory: z.object({ configuredMiB: z.number(), residentMiB: z.number(), balloonMiB: z.number() }),
  disk: DiskTotals,
  net: NetTotals,
  /** System calls that a guest of kind os asked for in vain (ENOSYS), by name, with how often. */
  unimplemented: z.record(z.string(), z.number()),
  /** Null while the guest still runs. */
  end: z.object({ reason: z.string(), detail: z.string() }).nullable(),
});
export type Report = z.output<typeof Report>;

export const HostInfo = z.object({
  version: z.string(),
  platform: z.string(),
  architecture: z.string(),
  cores: z.number(),
  memoryTotalMiB: z.number(),
  memoryFreeMiB: z.number(),
  /** The most memory one guest can be given here. */
  guestMemoryLimitMiB: z.number(),
  /** The kinds this version can run. */
  kinds: z.array(z.enum(guestKinds)),
  /** The folder of the inventory, and the process that owns it. */
  home: z.string(),
  pid: z.number(),
});
export type HostInfo = z.output<typeof HostInfo>;

/** Memory of the running guests that have a balloon, as one pool. MiB, to tenths. */
export const MemoryPoolView = z.object({
  /** What they may have together. */
  budgetMiB: z.number(),
  /** Somebody said so; else it follows from the host's memory. */
  isBudgetOwn: z.boolean(),
  /** By how much what they keep in any case exceeds the budget. */
  shortageMiB: z.number(),
  guests: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      memoryMiB: z.number(),
      /** Bounds: what it keeps in any case, and has at most. */
      minimumMiB: z.number(),
      maximumMiB: z.number(),
      /** What it could make use of, uses, and could use more; null while it has told nothing. */
      demandMiB: z.number().nullable(),
      usedMiB: z.number().nullable(),
      availableMiB: z.number().nullable(),
      /** What it has: its memory less its balloon. */
      actualMiB: z.number(),
      /** What it is to have next. */
      targetMiB: z.number(),
    }),
  ),
});
export type MemoryPoolView = z.output<typeof MemoryPoolView>;

export const starterArchitectures = ['amd64', 'i386'] as const;
export const StarterArchitecture = z.enum(starterArchitectures);
export type StarterArchitecture = z.output<typeof StarterArchitecture>;

export const StarterAvailability = z.object({
  available: z.boolean(),
  /** One sentence; null where the starter is available. */
  reason: z.string().nullable(),
  architectures: z.array(StarterArchitecture),
});
export type StarterAvailability = z.output<typeof StarterAvailability>;

export const starterSteps = ['index', 'download', 'extract', 'pack', 'create', 'done'] as const;
export const StarterProgress = z.object({
  step: z.enum(starterSteps),
  /** One short sentence for a person. */
  message: z.string(),
  /** 0 to 1 over the whole way. */
  fraction: z.number(),
});
export type StarterProgress = z.output<typeof StarterProgress>;

/** What a file offered as a kernel turned out to be, so that a dialog can say so before anything is created. */
export const KernelInspection = z.object({
  /** `null`: not bootable; `problem` then says why in one sentence. */
  format: z.enum(['bzImage', 'elf', 'multiboot']).nullable(),
  description: z.string(),
  problem: z.string().nullable(),
});
export type KernelInspection = z.output<typeof KernelInspection>;

/** What a drive's medium is meant to be. */
export const mediumUses = ['disk', 'cd', 'floppy'] as const;
export type MediumUse = (typeof mediumUses)[number];

/** What a file offered as a medium turned out to be. */
export const MediumInspection = z.object({
  /** A few words: what is in it and how large it is. */
  description: z.string(),
  /** One sentence why it cannot be used so; null where it can. */
  problem: z.string().nullable(),
  /** Of a disk: what it is, or looks like where that is the problem. */
  format: z.enum(diskFormats).nullable(),
  /** Bytes of the disk; null where it could not be told. */
  size: z.number().nullable(),
});
export type MediumInspection = z.output<typeof MediumInspection>;

/** What an image of OS-level guests says about how its programs are started. */
export const ImageConfig = z.object({
  /** `NAME=value`. */
  env: z.array(z.string()),
  entrypoint: z.array(z.string()),
  cmd: z.array(z.string()),
  /** Name or number, `:` and a group; empty: root. */
  user: z.string(),
  workingDir: z.string(),
  stopSignal: z.string().nullable(),
});
export type ImageConfig = z.output<typeof ImageConfig>;

/** An image of OS-level guests in the store. */
export const ImageView = z.object({
  /** `sha256:` and the digest of its configuration. */
  id: z.string(),
  name: z.string(),
  config: ImageConfig,
  /** Digests of the uncompressed layers, the lowest first, and their bytes. */
  layers: z.array(z.object({ diffId: z.string(), size: z.number() })),
  /** Bytes of all layers; images share those that are the same. */
  size: z.number(),
  createdAt: z.number(),
});
export type ImageView = z.output<typeof ImageView>;

/** How far an import is: bytes read of its source, of how many, if that is known. */
export const ImageProgress = z.object({
  source: z.string(),
  done: z.number(),
  total: z.number(),
  doing: z.string(),
});
export type ImageProgress = z.output<typeof ImageProgress>;

/** What images are called: as references of registries are, short and without spaces. */
export const ImageName = z
  .string()
  .max(255, 'must be at most 255 characters')
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/, 'must begin with a letter or digit, and have only those and . _ : / @ -');

/** Sizes of a new disk: less holds no file system, more is beyond every format. */
const NEW_DISK_MIN = 1 << 20;
const NEW_DISK_MAX = 64 * 2 ** 40;

/** A disk image that is made together with its guest. */
export const NewDisk = z.strictObject({
  /** Must not be there yet; in the home's folder `disks`, that is made too. */
  file: path,
  format: z.enum(diskFormats),
  size: z
    .int('must be a whole number of bytes')
    .min(NEW_DISK_MIN, 'must be at least 1 MiB')
    .max(NEW_DISK_MAX, 'must be at most 64 TiB'),
});
export type NewDisk = z.output<typeof NewDisk>;

/** A folder of the host, for choosing a file there; folders first, hidden entries left out. */
export const FolderListing = z.object({
  folder: z.string(),
  /** Null at the top. */
  parent: z.string().nullable(),
  entries: z.array(
    z.object({ name: z.string(), path: z.string(), kind: z.enum(['folder', 'file']), bytes: z.number() }),
  ),
  /** False where there are more entries than a listing tells. */
  isWhole: z.boolean(),
});
export type FolderListing = z.output<typeof FolderListing>;

// ---------------------------------------------------------------------------------------------------------------
// Calls, events, streams.

/** A guest by its id or by its name. */
const guestRef = z.strictObject({ guest: z.string().min(1) });
/** By id, or else by name. */
const snapshotRef = guestRef.extend({ snapshot: z.string().min(1) });
const snapshotName = z
  .string()
  .regex(/^[\p{L}\p{N}][^\p{Cc}]{0,62}$/u, 'must be 1 to 63 characters, the first a letter or a digit')
  .regex(/\S$/, 'must not end with a space');
const nothing = z.strictObject({});

/** Characters of one text that is typed, which take a guest some minutes. */
export const TYPED_MAX = 8192;
/** Keys pressed together: a person has ten fingers. */
const KEYS_MAX = 10;
/** A key's place as `KeyboardEvent.code` names it. */
const KeyCode = z.string().refine((code) => keyCodes.has(code), 'names no key');

/** Rows and columns of a window. */
export const TerminalSize = z.strictObject({
  rows: z.int().min(1).max(0xffff),
  columns: z.int().min(1).max(0xffff),
});
export type TerminalSize = z.output<typeof TerminalSize>;

/** A process in a guest of kind os. */
export const ProcessView = z.object({
  pid: z.number(),
  parent: z.number(),
  uid: z.number(),
  /** R: executes or could, S: waits, T: is stopped, Z: has ended and nobody asked how. */
  state: z.string(),
  command: z.string(),
  threads: z.number(),
  userSeconds: z.number(),
  kernelSeconds: z.number(),
  residentMiB: z.number(),
});
export type ProcessView = z.output<typeof ProcessView>;

/** Disks made in one call: more than a machine takes. */
const newDisks = z.array(NewDisk).max(16).default([]);

export const calls = {
  'host.info': { input: nothing, output: HostInfo },
  'guests.list': { input: nothing, output: z.array(GuestView) },
  'guests.get': { input: guestRef, output: GuestView },
  /** Disks of the settings that are not there yet are made first; where anything fails, none of them stays. */
  'guests.create': { input: z.strictObject({ settings: GuestSettings, newDisks }), output: GuestView },
  /**
   * While the guest is off; those of {@link hotSettings} also while it runs: `balloonMiB` and `memoryMinMiB` if it has a balloon,
   * and for `cdrom` and `floppies` the medium is changed then. A guest that has locked
   * its drive is asked to let the medium go, and the call fails as `locked`, unless `force` is set. New disks as with
   * `guests.create`.
   */
  'guests.set': {
    input: guestRef.extend({ settings: GuestSettingsChange, newDisks, force: z.boolean().default(false) }),
    output: GuestView,
  },
  /** Answers once the guest executes, where its saved state left off if it has one, or fails with the reason it cannot. */
  'guests.start': { input: guestRef, output: GuestView },
  /**
   * Presses the power button and answers at once; watch for `guest.ended`. With `force` the guest is ended without
   * being asked, and the answer comes when it is off.
   */
  'guests.stop': { input: guestRef.extend({ force: z.boolean().default(false) }), output: GuestView },
  'guests.pause': { input: guestRef, output: GuestView },
  'guests.resume': { input: guestRef, output: GuestView },
  /**
   * Writes the guest's state to a file of the home, and ends the run without asking the guest: `guests.start` goes on there.
   * Answers when it is off. Fails where something is under way in the guest that cannot be saved; it then goes on.
   */
  'guests.save': { input: guestRef, output: GuestView },
  /** Throws the saved state of a guest away, which then starts as one that was stopped by force. */
  'guests.discard': { input: guestRef, output: GuestView },
  /** Ends the run without asking the guest and starts it anew. */
  'guests.reset': { input: guestRef, output: GuestView },
  /**
   * Makes another guest like one that is off, with disks of its own: copies beside the original's, or, `linked`, images over
   * them, over which the original then goes on as well. Disks that are only read are shared; addresses of cards and files that take
   * what a guest puts out are not taken over.
   */
  'guests.clone': {
    input: guestRef.extend({ name: GuestSettings.shape.name, linked: z.boolean().default(false) }),
    output: GuestView,
  },
  /**
   * Only while the guest is off. Files the guest was made from stay, as they were at its first snapshot: a guest that has any is
   * only removed with `snapshots`, which are gone then with all that came after them. With `disks` what the guest wrote to, disks
   * and floppies, is deleted, unless another guest needs it.
   */
  'guests.remove': {
    input: guestRef.extend({ snapshots: z.boolean().default(false), disks: z.boolean().default(false) }),
    output: z.object({
      id: z.string(),
      deleted: z.array(z.string()),
      kept: z.array(z.object({ file: z.string(), reason: z.string() })),
    }),
  },
  /** What guests may not take of this host, which is the hypervisor's and the host's own. */
  'reserve.get': { input: nothing, output: HostReserve },
  'reserve.set': { input: HostReserve, output: HostReserve },
  /** The snapshots of a guest, each parent before what came after it. */
  'snapshots.list': { input: guestRef, output: SnapshotTree },
  /** Keeps settings, disks and state of a guest. One that runs is saved for it, and goes on at once. */
  'snapshots.take': { input: guestRef.extend({ name: snapshotName }), output: SnapshotTree },
  /** Makes a guest that is off what it was; with a state it goes on there when it is started. What it is now is lost. */
  'snapshots.restore': { input: snapshotRef, output: GuestView },
  /** Of a guest that is off. What came after the snapshot stays as it is. */
  'snapshots.delete': { input: snapshotRef, output: SnapshotTree },
  /**
   * Types text at the guest's keyboard, as on a US one: line ends are Enter, U+001B is Escape. Answers when it is in the
   * guest's queue; a character without a key is refused, and nothing is typed.
   */
  'guests.type': {
    input: guestRef.extend({
      text: z.string().min(1, 'needs a text').max(TYPED_MAX, `must be at most ${TYPED_MAX} characters`),
    }),
    output: z.object({ strokes: z.number() }),
  },
  /** Presses keys in this order and releases them in reverse: `ControlLeft`, `AltLeft`, `Delete`. */
  'guests.press': {
    input: guestRef.extend({
      keys: z.array(KeyCode).min(1, 'needs a key').max(KEYS_MAX, `must be at most ${KEYS_MAX}`),
    }),
    output: z.object({ strokes: z.number() }),
  },
  /** The guest's display as it is now: a PNG, in base64. */
  'guests.screenshot': {
    input: guestRef,
    output: z.object({ width: z.number(), height: z.number(), png: z.base64() }),
  },
  /** Small pictures of displays, or a console's last lines, of guests in memory: what a list shows of them. */
  'guests.glance': { input: GlanceRequest, output: z.array(Glance) },
  /** Of a running guest of kind os. */
  'guests.processes': { input: guestRef, output: z.array(ProcessView) },
  /** The window of a guest's console has another size: of a guest of kind os with a terminal. */
  'guests.resize': { input: guestRef.extend({ size: TerminalSize }), output: z.object({}) },
  /** There is no more input at a guest's console: of a guest of kind os without a terminal. */
  'guests.endInput': { input: guestRef, output: z.object({}) },
  /** The report of the present or else the last run in this session; fails if there was none. */
  'guests.report': { input: guestRef, output: Report },
  /** One sample a second, oldest first, of the present or last run: at most the last ten minutes. */
  'stats.history': { input: guestRef, output: z.array(StatsSample) },
  /** What a guest used, at most as far back as the range goes, whether it runs or not. */
  'usage.guest': { input: usageQuery.extend({ guest: z.string().min(1) }), output: GuestUsage },
  /** The same of the host, while guests ran or somebody asked for it. */
  'usage.host': { input: usageQuery, output: HostUsage },
  'peers.list': { input: nothing, output: PeerList },
  'pool.get': { input: nothing, output: MemoryPoolView },
  /** How much the guests with balloons may have together; null: as much as follows from the host's memory. */
  'pool.set': {
    input: z.strictObject({
      budgetMiB: z
        .int('must be a whole number of MiB')
        .min(1, 'must be at least 1 MiB')
        .max(MEMORY_MAX, `must be at most ${MEMORY_MAX} MiB`)
        .nullable(),
    }),
    output: MemoryPoolView,
  },
  'media.inspect': {
    input: z.strictObject({ path, use: z.enum(mediumUses), format: z.enum(diskFormats).nullable().default(null) }),
    output: MediumInspection,
  },
  /** All networks of the guests' settings, in the order of their names. Guests of other processes are not among them. */
  'networks.list': { input: nothing, output: z.array(NetworkView) },
  /** Changes a card's cable, of a guest that is off as of one that runs; what is not named stays. */
  'networks.link': {
    input: guestRef.extend({ card: cardIndex, link: LinkChange }),
    output: GuestView,
  },
  /** Records a running guest's card, or all that passes a network in use, in a pcapng file; null ends the recording. */
  'networks.capture': {
    input: z.strictObject({
      of: z.union([guestRef.extend({ card: cardIndex }), z.strictObject({ network: z.string().min(1) })]),
      file: path.nullable(),
    }),
    output: z.array(NetworkView),
  },
  'images.list': { input: nothing, output: z.array(ImageView) },
  /**
   * Takes an image into the store: a folder or tar archive of a root file system, an OCI image layout, or a `docker save`
   * archive. Tells its way by `images.progress`. A name that another image has is a conflict.
   */
  'images.import': {
    input: z.strictObject({
      source: path,
      /** By default what the source calls it, or the source's file name. */
      name: ImageName.nullable().default(null),
      /** Which of several images in the source. */
      ref: z.string().min(1).max(255).nullable().default(null),
    }),
    output: ImageView,
  },
  /** By name or id; layers that no other image has are deleted. */
  'images.remove': { input: z.strictObject({ image: z.string().min(1) }), output: z.object({ id: z.string() }) },
  /** Writes a guest that is off to an OVF package (.ova) that is not there yet. Tells its way by `appliances.progress`. */
  'appliances.export': { input: guestRef.extend({ file: path }), output: ExportedAppliance },
  'appliances.inspect': { input: z.strictObject({ file: path }), output: ApplianceView },
  /** Makes a guest of an OVF package (.ova, or .ovf with its files beside it), with disks of its own in the home. */
  'appliances.import': {
    input: z.strictObject({ file: path, name: GuestSettings.shape.name.nullable().default(null) }),
    output: z.object({ guest: GuestView, leftOut: z.array(z.string()) }),
  },
  'kernels.inspect': { input: z.strictObject({ path }), output: KernelInspection },
  /** The person's own folder if none is named. */
  'files.list': { input: z.strictObject({ folder: path.nullable() }), output: FolderListing },
  /** What a file is to a guest, by what is in it; a folder may be an image of OS-level guests. */
  'files.identify': { input: z.strictObject({ path }), output: FileIdentity },
  'compare.get': { input: nothing, output: CompareState },
  /** Compares the kinds of guests by the same work; tells its way by `compare.changed`. One at a time. */
  'compare.start': { input: CompareWish, output: CompareState },
  'compare.stop': { input: nothing, output: CompareState },
  'starter.available': { input: nothing, output: StarterAvailability },
  /** Brings a Debian kernel and busybox and creates a guest of them; tells its way by `starter.progress` events. */
  'starter.create': {
    input: z.strictObject({
      architecture: StarterArchitecture.default('amd64'),
      /** A free name is found if this is left out. */
      name: GuestSettings.shape.name.optional(),
    }),
    output: GuestView,
  },
} as const;

export const events = {
  'guest.added': GuestView,
  'guest.changed': GuestView,
  'guest.removed': z.object({ id: z.string() }),
  'guest.ended': z.object({ id: z.string(), name: z.string(), end: GuestEnd }),
  /** Once a second for each guest that is in memory. */
  'guest.counters': z.object({ id: z.string(), sample: StatsSample }),
  /** Once a second while guests run, and when one comes or goes. */
  'peers.changed': PeerList,
  /** Whenever anything of it is another. */
  'pool.changed': MemoryPoolView,
  'starter.progress': StarterProgress,
  'compare.changed': CompareState,
  'image.added': ImageView,
  'image.removed': z.object({ id: z.string() }),
  'images.progress': ImageProgress,
  'appliances.progress': ApplianceProgress,
} as const;

/** Frames a second of the stream `sound`, and bytes of a frame: two samples of 16 bits, left and right, low byte first. */
export const SOUND_HZ = 48_000;
export const SOUND_FRAME_BYTES = 4;

/** Serial ports of a guest that can be talked to. */
export const serialPorts = [1, 2] as const;
export type SerialPort = (typeof serialPorts)[number];

/**
 * Two-way byte streams. `console` is a serial port of a guest: it begins with the scrollback, stays open across stops and
 * starts, and is closed by the server when the guest is removed.
 */
export const streams = {
  console: {
    input: guestRef.extend({ port: z.literal(serialPorts, 'must be 1 or 2').default(1) }),
  },
  /**
   * A guest's display, keyboard and pointer: {@link DisplayMessage} one way, {@link DisplayInput} the other, each one
   * data frame. It stays open across stops and starts as `console` does, and the next picture waits until the one
   * before has been taken.
   */
  display: { input: guestRef },
  /**
   * What a guest plays, while something sounds: pieces of at most 20 ms, each one data frame of {@link SOUND_HZ}. It stays open
   * as `console` does. A front end that is behind misses pieces rather than hear them late.
   */
  sound: { input: guestRef },
  /**
   * A program that runs in a guest of kind os beside its first: {@link ProgramInput} one way, {@link ProgramMessage} the other,
   * each one data frame. It is closed by the server behind the program's end; a front end that closes it hangs up.
   */
  program: {
    input: guestRef.extend({
      command: CommandWords.min(1, 'needs a command'),
      env: Environment.default([]),
      workdir: path.nullable().default(null),
      user: User.nullable().default(null),
      terminal: TerminalSize.nullable().default(null),
    }),
  },
  /**
   * A file that a page has and the host does not: its bytes one way, {@link UploadMessage} the other. It is kept in the home's
   * folder `media`, under a free name like its own, once all of it has come; the server closes the stream then. No more than
   * {@link UPLOAD_WINDOW} bytes are sent ahead of what is written. A front end that closes the stream before leaves nothing behind.
   */
  upload: { input: UploadRequest },
} as const;

export type CallName = keyof typeof calls;
export type CallInput<Name extends CallName> = z.input<(typeof calls)[Name]['input']>;
/** What the server works on: the input with its defaults filled in. */
export type CallParameters<Name extends CallName> = z.output<(typeof calls)[Name]['input']>;
export type CallOutput<Name extends CallName> = z.output<(typeof calls)[Name]['output']>;
export type EventName = keyof typeof events;
export type EventPayload<Name extends EventName> = z.output<(typeof events)[Name]>;
export type StreamName = keyof typeof streams;
/** What the server works on: the input with its defaults filled in. */
export type StreamParameters<Name extends StreamName> = z.output<(typeof streams)[Name]['input']>;
export type StreamInput<Name extends StreamName> = z.input<(typeof streams)[Name]['input']>;
