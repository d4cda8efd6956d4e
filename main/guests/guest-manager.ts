// The guests of one home: the inventory's records joined with the runs in memory.
// Owns every run, console and history of its guests, and tells what changes as the contract's events.
// Never speaks to a front end itself, and never lets one guest's fault reach another.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import type { ProgramRequest } from '../../native-free-core/hypervisor/guest.ts';
import { checkKindOfSettings, GuestContainers } from '../containers/guest-containers.ts';
import type { Images } from '../containers/images/images.ts';
import { KernelThreads } from '../containers/kernel-threads.ts';
import {
  AHCI_DRIVES_MAX,
  balloonSettings,
  type CallOutput,
  type CallParameters,
  type EventName,
  type EventPayload,
  Failure,
  GLANCE_COLUMNS,
  GLANCE_ROWS,
  type Glance,
  type GuestEnd,
  GuestSettings,
  type GuestSettingsChange,
  type GuestUsage,
  type GuestView,
  type HostReserve,
  type HostUsage,
  hotSettings,
  type LinkSettings,
  type MemoryPoolView,
  mediaSettings,
  type PeerList,
  type ProcessView,
  type Report,
  type SerialPort,
  type SnapshotTree,
  type StatsSample,
  shareSettings,
  type TerminalSize,
  type UsageRange,
} from '../contract.ts';
import { checkUnshared, cloneDisks, deleteDisks } from '../disks/guest-disks.ts';
import { encodePng } from '../display/png.ts';
import { checkAgainstHost, defaultReserve, hostMemoryMiB } from '../host.ts';
import type { GuestRecord, Inventory } from '../inventory/inventory.ts';
import type { SnapshotRecord } from '../inventory/snapshot-table.ts';
import { combination, textStrokes } from '../keyboard/us-layout.ts';
import { checkCaptureFile } from '../networks/capture-file.ts';
import { NetworkControl } from '../networks/network-control.ts';
import { Networks } from '../networks/networks.ts';
import { SavedStates } from '../saved-states/saved-states.ts';
import { Snapshots } from '../snapshots/snapshots.ts';
import { Sampler } from '../usage/sampler.ts';
import {
  checkBiosFile,
  checkBootFile,
  checkImageFile,
  checkOptionRom,
  checkShareFolder,
  inspectKernel,
} from './boot-files.ts';
import { lastLines, smallPicture, TAIL_BYTES } from './glances.ts';
import { GuestDisplay } from './guest-display.ts';
import { GuestSound } from './guest-sound.ts';
import { hasBalloon, MemoryPool, type PooledGuest } from './memory-pool.ts';
import { Peers } from './peers.ts';
import type { ProgramMessage } from './program-frames.ts';
import { type ProgramHandle, RunningGuest } from './running-guest.ts';
import { SCROLLBACK_BYTES, SerialConsole } from './serial-console.ts';
import { type ThrowawayDisks, throwawayDisks } from './throwaway-disks.ts';
import type { WorkerEnd } from './worker-messages.ts';

/** What a guest of kind os needs to begin. */
const OS_START_MIB = 16;

/** What is changed of a guest whose saved state stays as it is: the guest itself knows nothing of it. */
const outerSettings = ['name', 'group'] as const;
/** Of the next start of Trivisor. */
const startSettings = ['autostart', 'autostartDelay'] as const;
const isOf = (names: readonly string[], name: string): boolean => names.includes(name);

/** Told of everything that happens to guests. */
export type EventSink = <Name extends EventName>(name: Name, payload: EventPayload<Name>) => void;

export interface GuestManagerOptions {
  /** The folder of the inventory, whose guests share internal networks. */
  home: string;
  inventory: Inventory;
  emit: EventSink;
  /** The images of the home. */
  images: Images;
  /** Module whose `createGuest` replaces the core's, for tests. */
  machineModule?: string | undefined;
}

export class GuestManager {
  readonly #inventory: Inventory;
  readonly #emit: EventSink;
  readonly #machineModule: string | undefined;
  readonly #networks: Networks;
  readonly #peers: Peers;
  readonly #containers: GuestContainers;
  readonly #processors: CpuShares;
  readonly #kernels: KernelThreads;
  readonly #states: SavedStates;
  readonly #snapshots: Snapshots;
  /** The networks that the guests are plugged into. */
  readonly networks: NetworkControl;
  readonly #home: string;
  /** The present run, or the last one of this session, of each guest by id. */
  readonly #runs = new Map<string, RunningGuest>();
  readonly #consoles = new Map<string, Record<SerialPort, SerialConsole>>();
  readonly #sounds = new Map<string, GuestSound>();
  /** The discs that guests have ejected in their present runs, by id. */
  readonly #ejectedDiscs = new Map<string, string>();
  readonly #displays = new Map<string, GuestDisplay>();
  /** Guests whose throwaway disks are being made, and throwaway disks that are being deleted. */
  readonly #preparing = new Set<string>();
  readonly #discarding = new Set<Promise<void>>();
  #memoryBudget: number | null;
  /** Memory of the guests with balloons. */
  readonly pool: MemoryPool;
  /** What guests and the host use, now and before. */
  readonly #sampler: Sampler;

  constructor(options: GuestManagerOptions) {
    this.#inventory = options.inventory;
    this.#emit = options.emit;
    this.#machineModule = options.machineModule;
    this.#processors = CpuShares.create(availableParallelism(), this.reserve.cpuPercent * 10);
    this.#kernels = new KernelThreads({ processors: this.#processors });
    this.#states = new SavedStates(options.home);
    this.#home = options.home;
    this.#snapshots = new Snapshots({ ...options, states: this.#states });
    this.#networks = new Networks({ home: options.home });
    this.#peers = new Peers({ changed: () => this.#emit('peers.changed', this.peers), isByUrgency: true });
    this.#containers = new GuestContainers(options.home, options.images);
    // Read once a change: the pool looks twice a second.
    this.#memoryBudget = options.inventory.memoryBudgetMiB;
    this.pool = new MemoryPool({
      guests: () => this.#pooled(),
      budgetMiB: () => this.#memoryBudget,
      hostMiB: hostMemoryMiB(),
      changed: (view) => this.#emit('pool.changed', view),
      wish: (id) => this.#peers.memoryWish(id),
    });
    this.#sampler = new Sampler({
      table: options.inventory.usage,
      runs: () => this.#runs,
      reserve: () => this.reserve,
      emit: this.#emit,
    });
    this.networks = new NetworkControl(this.#networks, {
      list: () => this.list(),
      get: (guest) => this.get(guest),
      cablesOf: (id) => this.#present(id)?.cables,
      recordLink: (id, card, link) => this.#recordLink(id, card, link),
    });
  }

  #pooled(): PooledGuest[] {
    return [...this.#runs].flatMap(([id, run]) => {
      if (run.end !== null || run.state === 'starting') return [];
      return [
        {
          id,
          settings: this.#find(id).settings,
          isPaused: run.state === 'paused',
          told: run.memory,
          setBalloon: (pages: number, ask: boolean) => run.setBalloon(pages, ask),
        },
      ];
    });
  }

  /** What guests with balloons may have together; null: as follows from the host's memory. */
  setMemoryBudget(budgetMiB: number | null): MemoryPoolView {
    this.#inventory.memoryBudgetMiB = budgetMiB;
    this.#memoryBudget = budgetMiB;
    this.pool.tick();
    return this.pool.view;
  }

  list(): GuestView[] {
    return this.#inventory.list().map((record) => this.#view(record));
  }

  /** The guests that run, as they see each other. */
  get peers(): PeerList {
    return { host: this.#peers.host, peers: this.#peers.list() };
  }

  get(guest: string): GuestView {
    return this.#view(this.#find(guest));
  }

  /** Adds a guest that could start: what cannot be is refused here and leaves nothing behind. */
  create(settings: GuestSettings): GuestView {
    checkSettings(settings);
    const record = this.#inventory.add(settings);
    if (!record) throw new Failure('conflict', `There is a guest called ${settings.name} already.`);
    const view = this.#view(record);
    this.#emit('guest.added', view);
    return view;
  }

  /** The same, importing the image of a guest of kind os where it is an archive. */
  async createWithImage(settings: GuestSettings): Promise<GuestView> {
    return this.create(await this.#containers.prepared(settings));
  }

  /** Changes settings of a guest that is off, or of one that runs its balloon and what is in its removable drives. */
  async set(guest: string, change: GuestSettingsChange, force: boolean): Promise<GuestView> {
    const record = this.#find(guest);
    // Whatever the guest does now.
    if (Object.keys(change).every((name) => isOf(startSettings, name))) {
      this.#inventory.set(record.id, GuestSettings.parse({ ...record.settings, ...change }));
      return this.#changed(record.id);
    }
    const settings = await this.#containers.prepared(GuestSettings.parse({ ...record.settings, ...change }));
    if (record.saved && !Object.keys(change).every((name) => isOf(outerSettings, name)))
      throw new Failure(
        'conflict',
        `${record.settings.name} has a saved state, which fits its settings alone: start it, or discard the state first.`,
      );
    const run = this.#present(record.id);
    const names = Object.keys(change);
    if (run && names.every((name) => isOf(hotSettings, name))) {
      if (names.includes('group')) this.#changeGroup(record.id, settings.group);
      if (names.some((name) => isOf(shareSettings, name))) this.#changeShare(this.#find(record.id), run, settings);
      if (names.some((name) => isOf(balloonSettings, name))) this.#changeBalloon(this.#find(record.id), settings);
      if (!names.some((name) => isOf(mediaSettings, name))) return this.get(record.id);
      return this.#changeMedia(this.#find(record.id), run, settings, force);
    }
    this.#requireOff(record, 'changed');
    checkSettings(settings);
    if (!this.#inventory.set(record.id, settings))
      throw new Failure('conflict', `There is a guest called ${settings.name} already.`);
    // What it has changed was of the image that it had.
    if (settings.kind === 'os' && settings.image !== record.settings.image)
      this.#containers.changes(record.id).remove();
    return this.#changed(record.id);
  }

  #changeGroup(id: string, group: string | null): void {
    this.#inventory.set(id, { ...this.#find(id).settings, group });
    this.#changed(id);
  }

  /** Changes what a running guest may have of its memory; the pool tells its balloon. */
  #changeBalloon(record: GuestRecord, wanted: GuestSettings): void {
    const { settings } = record;
    if (!hasBalloon(settings)) throw new Failure('wrong', `${settings.name} has no balloon.`);
    checkMemory(wanted);
    const { balloonMiB, memoryMinMiB } = wanted;
    this.#inventory.set(record.id, { ...settings, balloonMiB, memoryMinMiB });
    this.#changed(record.id);
    this.pool.tick();
  }

  /** Changes what a running guest has of the processors. */
  #changeShare(record: GuestRecord, run: RunningGuest, { cpuWeight, cpuCap }: GuestSettings): void {
    this.#inventory.set(record.id, { ...record.settings, cpuWeight, cpuCap });
    run.setShare({ cpuWeight, cpuCap });
    this.#changed(record.id);
  }

  get reserve(): HostReserve {
    return this.#inventory.reserve ?? defaultReserve();
  }

  setReserve(reserve: HostReserve): HostReserve {
    this.#inventory.reserve = reserve;
    this.#processors.setReserve(reserve.cpuPercent * 10);
    return reserve;
  }

  /** Refuses a guest whose memory, with that of those that run, would be more than the host has beside its reserve. */
  #admit({ settings }: GuestRecord): void {
    const running = [...this.#runs.values()].filter(({ end }) => end === null);
    // The memory of a guest of kind os is a limit: what it has not used is anybody's.
    const taken = running.reduce((sum, run) => sum + (run.residentMiB ?? reservedMiB(run.settings)), 0);
    const wanted = settings.kind === 'os' ? OS_START_MIB : reservedMiB(settings);
    const { memoryMiB: reserve } = this.reserve;
    const [sum, total] = [Math.ceil(taken) + wanted + reserve, hostMemoryMiB()];
    if (sum <= total) return;
    throw new Failure(
      'conflict',
      `${settings.name} wants ${wanted} MiB: with ${Math.ceil(taken)} MiB of the guests that run and ${reserve} MiB of reserve that is ${sum} MiB, more than this host’s ${total} MiB.`,
    );
  }

  /** Changes one drive after the other; what was changed stays so where a later one cannot be, and is recorded at once. */
  async #changeMedia(
    record: GuestRecord,
    run: RunningGuest,
    wanted: GuestSettings,
    force: boolean,
  ): Promise<GuestView> {
    const { name } = record.settings;
    if (run.settings.kind !== 'full') throw new Failure('wrong', `${name} has no drives whose medium can be changed.`);
    checkMedia(wanted);
    const disc = (file: string | null) => (file === null ? null : { file, readOnly: true, snapshot: false });
    const isSame = (one: object | null, other: object | null) => JSON.stringify(one) === JSON.stringify(other);
    if (wanted.cdrom !== record.settings.cdrom) {
      await run.changeMedium('cdrom', disc(wanted.cdrom), force);
      this.#ejectedDiscs.delete(record.id);
      this.#recordMedia(record.id, { cdrom: wanted.cdrom });
    }
    for (const [unit, place] of (['floppy0', 'floppy1'] as const).entries()) {
      const floppy = wanted.floppies[unit] ?? null;
      if (isSame(floppy, record.settings.floppies[unit] ?? null)) continue;
      await run.changeMedium(place, floppy && { ...floppy, snapshot: floppy.snapshot || wanted.disposable }, force);
      const floppies = [...this.#find(record.id).settings.floppies];
      while (floppies.length <= unit) floppies.push(null);
      floppies[unit] = floppy;
      // An empty drive B stays one; drive A needs no word.
      while (floppies.length > run.settings.floppies.length && floppies.at(-1) === null) floppies.pop();
      this.#recordMedia(record.id, { floppies });
    }
    return this.get(record.id);
  }

  /** Notes what is in the drives of a running guest. */
  #recordMedia(id: string, media: Partial<Pick<GuestSettings, 'cdrom' | 'floppies'>>): void {
    this.#inventory.set(id, { ...this.#find(id).settings, ...media });
    this.#changed(id);
  }

  #recordLink(id: string, card: number, link: LinkSettings): GuestView {
    const { settings } = this.#find(id);
    const nets = settings.nets.map((net, index) => (index === card ? { ...net, link } : net));
    this.#inventory.set(id, { ...settings, nets });
    return this.#changed(id);
  }

  /** The guest itself has ejected its CD: the drive is empty from now on, in later runs too. */
  #ejected(id: string): void {
    const { cdrom } = this.#find(id).settings;
    if (cdrom !== null) this.#ejectedDiscs.set(id, cdrom);
    this.#recordMedia(id, { cdrom: null });
  }

  async clone(guest: string, name: string, isLinked: boolean): Promise<GuestView> {
    const record = this.#find(guest);
    const { settings } = record;
    if (settings.kind === 'os') throw new Failure('wrong', 'A guest of kind os cannot be cloned: create another.');
    this.#requireCloneable(record);
    if (this.#inventory.find(name)) throw new Failure('conflict', `There is a guest called ${name} already.`);
    const hasSnapshots = this.#inventory.snapshots.count(record.id) > 0;
    if (isLinked && hasSnapshots)
      throw new Failure(
        'conflict',
        `${settings.name} has snapshots, whose disks change as they are deleted: a clone of it needs disks of its own.`,
      );
    if (isLinked) await checkUnshared(settings, this.#others(record.id));
    // The folder of its snapshots is not the clone's.
    const made = await cloneDisks(settings, name, isLinked, hasSnapshots ? join(this.#home, 'disks') : null);
    try {
      this.#requireCloneable(this.#find(record.id));
      // The original first: it must never write again to what the clone stands on.
      if (isLinked) this.#inventory.set(record.id, { ...this.#find(record.id).settings, disks: made.original });
      const nets = settings.nets.map((net) => ({ ...net, mac: null, capture: null }));
      return this.create({ ...settings, name, nets, serial2: null, printer: null, audio: null, ...made.clone });
    } catch (error) {
      if (isLinked) this.#inventory.set(record.id, { ...this.#find(record.id).settings, disks: settings.disks });
      await made.undo();
      throw error;
    } finally {
      if (isLinked) this.#changed(record.id);
    }
  }

  #requireCloneable(record: GuestRecord): void {
    this.#requireOff(record, 'cloned');
    if (record.saved)
      throw new Failure(
        'conflict',
        `${record.settings.name} has a saved state, which fits its disks as they are: start it, or discard the state first.`,
      );
  }

  /** The settings of all guests but one, with those that their snapshots would bring back. */
  #others(id: string): GuestSettings[] {
    return this.#inventory
      .list()
      .filter((record) => record.id !== id)
      .flatMap((record) => [record.settings, ...this.#inventory.snapshots.list(record.id).map((one) => one.settings)]);
  }

  async remove(guest: string, withSnapshots = false, withDisks = false): Promise<CallOutput<'guests.remove'>> {
    const record = this.#find(guest);
    this.#requireOff(record, 'removed');
    const length = this.#inventory.snapshots.count(record.id);
    if (length > 0 && !withSnapshots)
      throw new Failure(
        'conflict',
        `${record.settings.name} has ${length} ${length === 1 ? 'snapshot' : 'snapshots'}, without which its disks are as they were at the first: delete ${length === 1 ? 'it' : 'them'}, or remove the guest with ${length === 1 ? 'it' : 'them'}.`,
      );
    const all = [record.settings, ...this.#inventory.snapshots.list(record.id).map(({ settings }) => settings)];
    await this.#snapshots.removeAll(record.id);
    await this.#states.remove(record.id);
    this.#sampler.forget(record.id);
    this.#inventory.remove(record.id);
    this.#containers.remove(record.id);
    this.#runs.delete(record.id);
    for (const console of Object.values(this.#consoles.get(record.id) ?? {})) console.close();
    this.#consoles.delete(record.id);
    this.#sounds.get(record.id)?.close();
    this.#sounds.delete(record.id);
    this.#displays.get(record.id)?.close();
    this.#displays.delete(record.id);
    this.#emit('guest.removed', { id: record.id });
    const files = withDisks ? await deleteDisks(all, this.#others(record.id)) : { deleted: [], kept: [] };
    return { id: record.id, ...files };
  }

  async start(guest: string): Promise<GuestView> {
    const record = this.#find(guest);
    if (this.#present(record.id)) throw new Failure('conflict', `${record.settings.name} is running already.`);
    checkSettings(record.settings);
    this.#admit(record);
    if (!record.settings.disposable) return this.#run(record, null);
    // Nobody else may start it while its disks are made.
    if (this.#preparing.has(record.id))
      throw new Failure('conflict', `${record.settings.name} is being started already.`);
    this.#preparing.add(record.id);
    try {
      const throwaway = await throwawayDisks(this.#home, record.settings);
      try {
        return await this.#run(record, throwaway);
      } catch (error) {
        if (!this.#present(record.id)) await throwaway.discard();
        throw error;
      }
    } finally {
      this.#preparing.delete(record.id);
    }
  }

  /** Starts a run of a guest that is off, over disks that are thrown away behind it if there are such. */
  async #run(record: GuestRecord, throwaway: ThrowawayDisks | null): Promise<GuestView> {
    const settings = throwaway?.settings ?? record.settings;
    if (record.saved) this.#states.check(record.id, record.settings.name, record.saved);
    const console = this.console(record.id);
    const second = this.console(record.id, 2);
    const display = this.display(record.id);
    const sound = this.sound(record.id);
    const container = record.settings.kind === 'os' ? this.#containers.start(record.id, record.settings) : undefined;
    const log = container && this.#containers.log(record.id);
    // Standard error stands between the lines of standard output, as it would on a terminal.
    const output = (bytes: Uint8Array): void => {
      log?.write(bytes);
      console.write(bytes);
    };
    this.#ejectedDiscs.delete(record.id);
    const run = new RunningGuest({
      settings,
      output,
      secondOutput: container ? output : (bytes) => second.write(bytes),
      ...(container ? { container } : {}),
      sound: (bytes) => sound.play(bytes),
      screen: (change) => display.change(change),
      // A guest's floppy drives have a button and no motor: only its CD leaves by the guest's will.
      ejected: () => this.#ejected(record.id),
      changed: () => this.#changed(record.id),
      machineModule: this.#machineModule,
      networks: this.#networks,
      peers: this.#peers,
      vsock: record.settings.name,
      complained: (sentence) => process.emitWarning(`${record.settings.name}: ${sentence}`),
      identity: record.id,
      lineage: this.#inventory.snapshots.current(record.id),
      processors: this.#processors,
      kernels: this.#kernels,
      savedState: record.saved ? this.#states.file(record.id) : null,
    });
    this.#runs.set(record.id, run);
    display.begin(run);
    sound.begin(run);
    const number = this.#inventory.runStarted(record.id, run.startedAt);
    void run.ended.then((end) => {
      if (throwaway) this.#discard(throwaway);
      this.#ended(record.id, number, end);
    });
    this.#sampler.begin();
    this.#changed(record.id);
    await run.started;
    this.pool.begin();
    // From now on its disks change: nobody may go back to the state.
    if (record.saved) await this.#forgetState(record.id);
    return this.get(record.id);
  }

  /** What a run wrote goes; closing waits for it. */
  #discard(throwaway: ThrowawayDisks): void {
    const done = throwaway
      .discard()
      .catch((error: Error) => process.emitWarning(`A throwaway disk could not be deleted: ${error.message}`))
      .finally(() => this.#discarding.delete(done));
    this.#discarding.add(done);
  }

  async #forgetState(id: string): Promise<void> {
    this.#inventory.setSaved(id, null);
    await this.#states.remove(id);
    this.#changed(id);
  }

  /** Writes a guest's state to a file and ends its run. Where that cannot be, it goes on. */
  async save(guest: string): Promise<GuestView> {
    const { record, run } = this.#requirePresent(guest);
    const { name, kind, disks } = record.settings;
    if (kind === 'os')
      throw new Failure('wrong', `${name} is a guest of kind os, whose processes have no state to save.`);
    if (record.settings.disposable)
      throw new Failure(
        'wrong',
        `${name} is disposable: what it is now ends with it, so it has no state to go on with.`,
      );
    if (disks.some(({ snapshot }) => snapshot))
      throw new Failure(
        'wrong',
        `${name} has a disk whose writes are thrown away, so its state cannot be gone on with.`,
      );
    if (run.state !== 'running' && run.state !== 'paused')
      throw new Failure('conflict', `${name} is ${run.state}; it can be saved while it runs or is paused.`);
    await run.save(this.#states.file(record.id));
    // The guest may have changed what is in its drives.
    this.#inventory.setSaved(record.id, await this.#states.record(record.id, this.#find(record.id).settings));
    return this.#changed(record.id);
  }

  /** Throws a guest's saved state away. */
  async discard(guest: string): Promise<GuestView> {
    const record = this.#find(guest);
    this.#requireOff(record, 'discarded');
    if (!record.saved) throw new Failure('conflict', `${record.settings.name} has no saved state.`);
    await this.#forgetState(record.id);
    return this.get(record.id);
  }

  snapshots(guest: string): SnapshotTree {
    return this.#snapshots.tree(this.#find(guest));
  }

  /** A guest that runs is saved for it, and goes on at once, whatever comes of the snapshot. */
  async takeSnapshot(guest: string, name: string): Promise<SnapshotTree> {
    const record = this.#find(guest);
    this.#snapshots.check(record, name);
    const run = this.#present(record.id);
    if (!run) await this.#snapshots.take(record, name);
    else {
      const wasPaused = run.state === 'paused';
      await this.save(guest);
      try {
        await this.#snapshots.take(this.#find(record.id), name);
      } finally {
        await this.start(record.id);
        if (wasPaused) this.pause(record.id);
      }
    }
    this.#changed(record.id);
    return this.snapshots(record.id);
  }

  async restoreSnapshot(guest: string, snapshot: string): Promise<GuestView> {
    const record = this.#find(guest);
    this.#requireOff(record, 'made what it was');
    await this.#snapshots.restore(record, this.#findSnapshot(record, snapshot));
    return this.#changed(record.id);
  }

  async deleteSnapshot(guest: string, snapshot: string): Promise<SnapshotTree> {
    const record = this.#find(guest);
    const found = this.#findSnapshot(record, snapshot);
    if (this.#present(record.id))
      throw new Failure(
        'conflict',
        `${record.settings.name} is running; its snapshots can be deleted when it is off or saved.`,
      );
    await this.#snapshots.delete(record, found);
    this.#changed(record.id);
    return this.snapshots(record.id);
  }

  #findSnapshot(record: GuestRecord, snapshot: string): SnapshotRecord {
    const all = this.#inventory.snapshots.list(record.id);
    const found =
      all.find(({ id }) => id === snapshot) ?? all.find(({ name }) => name.toLowerCase() === snapshot.toLowerCase());
    if (!found) throw new Failure('notFound', `${record.settings.name} has no snapshot called ${snapshot}.`);
    return found;
  }

  async stop(guest: string, force: boolean): Promise<GuestView> {
    const { record, run } = this.#requirePresent(guest);
    if (force) await run.forceStop();
    else run.powerButton();
    return this.get(record.id);
  }

  pause(guest: string): GuestView {
    const { record, run } = this.#requirePresent(guest);
    if (run.state === 'starting') throw new Failure('conflict', `${record.settings.name} is still starting.`);
    run.pause();
    return this.get(record.id);
  }

  /** Fails with the reason where the host still has no room for what the guest is to write. */
  async resume(guest: string): Promise<GuestView> {
    const { record, run } = this.#requirePresent(guest);
    if (run.state !== 'paused') throw new Failure('conflict', `${record.settings.name} is not paused.`);
    run.resume();
    if (run.pauseReason !== null) await run.retryDisks();
    return this.get(record.id);
  }

  async reset(guest: string): Promise<GuestView> {
    const { record, run } = this.#requirePresent(guest);
    await run.forceStop();
    return this.start(record.id);
  }

  report(guest: string): Report {
    const record = this.#find(guest);
    const run = this.#runs.get(record.id);
    if (!run) throw new Failure('notFound', `${record.settings.name} has not run in this session.`);
    return run.report();
  }

  /** Processes of a running guest of kind os. */
  async processes(guest: string): Promise<ProcessView[]> {
    return this.#requireContainer(guest).processes();
  }

  /** Runs a program in a running guest of kind os; see {@link RunningGuest.execute}. */
  execute(guest: string, request: ProgramRequest, told: (message: ProgramMessage) => void): Promise<ProgramHandle> {
    return this.#requireContainer(guest).execute(request, told);
  }

  resize(guest: string, { rows, columns }: TerminalSize): void {
    this.#requireContainer(guest).resize(rows, columns);
  }

  endInput(guest: string): void {
    this.#requireContainer(guest).endInput();
  }

  #requireContainer(guest: string): RunningGuest {
    const { record, run } = this.#requirePresent(guest);
    if (record.settings.kind !== 'os')
      throw new Failure(
        'wrong',
        `${record.settings.name} is of kind ${record.settings.kind}: only one of kind os can do that.`,
      );
    return run;
  }

  history(guest: string): StatsSample[] {
    return [...(this.#runs.get(this.#find(guest).id)?.history.samples ?? [])];
  }

  /** What a guest used, whether it runs or not. */
  usage(guest: string, range: UsageRange, since: number): GuestUsage {
    return this.#sampler.guest(this.#find(guest).id, range, since);
  }

  hostUsage(range: UsageRange, since: number): HostUsage {
    return this.#sampler.host(range, since);
  }

  /** A serial console of a guest, there before its first start and after its last. */
  console(guest: string, port: SerialPort = 1): SerialConsole {
    const { id, settings } = this.#find(guest);
    let consoles = this.#consoles.get(id);
    if (!consoles) {
      this.#consoles.set(id, (consoles = { 1: new SerialConsole(), 2: new SerialConsole() }));
      const before = settings.kind === 'os' ? this.#containers.log(id).tail(SCROLLBACK_BYTES) : null;
      if (before && before.length > 0) consoles[1].write(before);
    }
    return consoles[port];
  }

  /** What a guest plays, there before its first start and after its last. */
  sound(guest: string): GuestSound {
    const { id } = this.#find(guest);
    let sound = this.#sounds.get(id);
    if (!sound) this.#sounds.set(id, (sound = new GuestSound()));
    return sound;
  }

  /** The display of a guest, there before its first start and after its last. */
  display(guest: string): GuestDisplay {
    const { id } = this.#find(guest);
    let display = this.#displays.get(id);
    if (!display) this.#displays.set(id, (display = new GuestDisplay()));
    return display;
  }

  /** Types a text at a guest's keyboard; the answer tells how many strokes it takes. */
  async type(guest: string, text: string): Promise<CallOutput<'guests.type'>> {
    const strokes = textStrokes(text);
    await this.#requirePresent(guest).run.type(strokes);
    return { strokes: strokes.length };
  }

  /** Presses keys together, after what is being typed. */
  async press(guest: string, keys: readonly string[]): Promise<CallOutput<'guests.press'>> {
    const strokes = combination(keys);
    await this.#requirePresent(guest).run.type(strokes);
    return { strokes: strokes.length };
  }

  /** What a guest's display shows, as a PNG. */
  async screenshot(guest: string): Promise<CallOutput<'guests.screenshot'>> {
    const { width, height, pixels } = await this.#requirePresent(guest).run.screenshot();
    const png = await encodePng(width, height, pixels);
    return { width, height, png: Buffer.from(png).toString('base64') };
  }

  /** What a list shows of guests; of those that are not in memory, and of those it knows already, nothing. */
  async glance({ guests, width }: CallParameters<'guests.glance'>): Promise<Glance[]> {
    const seen = await Promise.all(guests.map(({ id, known }) => this.#glance(id, known, width)));
    return seen.filter((glance) => glance !== null);
  }

  async #glance(id: string, known: string | null, width: number): Promise<Glance | null> {
    const run = this.#present(id);
    if (!run) return null;
    const shown = run.settings.kind === 'os' ? null : this.display(id).glance();
    if (shown && shown.picture.width > 0) {
      const name = `${run.startedAt} ${shown.drawn} ${width}`;
      if (name === known) return null;
      const png = await smallPicture(shown.picture, width);
      return { id, known: name, png: Buffer.from(png).toString('base64'), lines: null };
    }
    const console = this.console(id);
    const name = `${run.startedAt} console ${console.written}`;
    if (name === known) return null;
    return { id, known: name, png: null, lines: lastLines(console.tail(TAIL_BYTES), GLANCE_ROWS, GLANCE_COLUMNS) };
  }

  /** Types at a serial console; without effect while the guest is off. */
  input(id: string, bytes: Uint8Array, port: SerialPort): void {
    this.#present(id)?.input(bytes, port);
  }

  /** Whether any guest is in memory. */
  get isBusy(): boolean {
    return [...this.#runs.values()].some((run) => run.end === null);
  }

  /** Ends every run without asking the guests, and answers when all are recorded. */
  async close(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.forceStop()));
    await this.#kernels.close();
    await Promise.all(this.#discarding);
    this.#sampler.end();
    this.pool.end();
  }

  #find(guest: string): GuestRecord {
    const record = this.#inventory.find(guest);
    if (!record) throw new Failure('notFound', `There is no guest called ${guest}.`);
    return record;
  }

  #present(id: string): RunningGuest | undefined {
    const run = this.#runs.get(id);
    return run?.end === null ? run : undefined;
  }

  #requirePresent(guest: string): { record: GuestRecord; run: RunningGuest } {
    const record = this.#find(guest);
    const run = this.#present(record.id);
    if (!run) throw new Failure('conflict', `${record.settings.name} is not running.`);
    return { record, run };
  }

  #requireOff(record: GuestRecord, act: string): void {
    if (this.#present(record.id))
      throw new Failure('conflict', `${record.settings.name} is running; it can be ${act} when it is off.`);
  }

  #view(record: GuestRecord): GuestView {
    const run = this.#present(record.id);
    return {
      id: record.id,
      settings: record.settings,
      state: run?.state ?? 'off',
      createdAt: record.createdAt,
      startedAt: run?.startedAt ?? null,
      pauseReason: run?.pauseReason ?? null,
      ejectedDisc: run ? (this.#ejectedDiscs.get(record.id) ?? null) : null,
      lastEnd: run ? null : record.lastEnd,
      snapshots: this.#inventory.snapshots.count(record.id),
      ...(record.settings.kind === 'os' ? { changedBytes: this.#containers.changes(record.id).bytes } : {}),
      saved: record.saved && { at: record.saved.at, bytes: record.saved.bytes },
    };
  }

  #changed(id: string): GuestView {
    const view = this.get(id);
    this.#emit('guest.changed', view);
    return view;
  }

  #ended(id: string, run: number, workerEnd: WorkerEnd): void {
    this.#displays.get(id)?.end();
    this.#sounds.get(id)?.end();
    // `until` belongs to a script, and runs of the inventory have none.
    const reason = workerEnd.reason === 'until' ? 'forced' : workerEnd.reason;
    const end: GuestEnd = { reason, detail: workerEnd.detail, at: Date.now() };
    try {
      this.#inventory.runEnded(run, end);
    } catch (error) {
      // A full disk must not take the other guests down; this run will be told as lost at the next start.
      process.emitWarning(`The end of a run could not be recorded: ${(error as Error).message}`);
    }
    const { settings } = this.#changed(id);
    this.pool.tick();
    this.#emit('guest.ended', { id, name: settings.name, end });
  }
}

/** What a guest of a machine may take at any time. */
const reservedMiB = ({ memoryMiB, balloonMiB }: GuestSettings): number => memoryMiB - balloonMiB;

/** Throws a {@link Failure} with one sentence if a guest of these settings could not start on this host. */
export function checkSettings(settings: GuestSettings): void {
  if (settings.deterministic && settings.nets.length > 0)
    throw new Failure(
      'wrong',
      'A deterministic guest has no network: when frames come is nothing that could be repeated.',
    );
  if (settings.deterministic && settings.shares.length > 0)
    throw new Failure(
      'wrong',
      'A deterministic guest shares no folders: what others do in one is nothing that could be repeated.',
    );
  checkKindOfSettings(settings);
  checkAgainstHost(settings);
  if (settings.kind === 'os') return;
  const onAhci = settings.disks.filter((disk) => disk.interface === 'ahci').length;
  if (settings.cdromInterface === 'ahci' && onAhci >= AHCI_DRIVES_MAX)
    throw new Failure(
      'wrong',
      `The AHCI controller has ${AHCI_DRIVES_MAX} ports: ${onAhci} disks leave none for the CD drive.`,
    );
  const { kernel, kind, disks, cdrom, floppies, nets, bios } = settings;
  if (kernel === null && kind === 'para') throw new Failure('wrong', 'A guest of kind para needs a kernel.');
  if (kind === 'para') checkPara(settings);
  checkMemory(settings);
  const hasDrive =
    disks.length > 0 ||
    floppies.some((floppy) => floppy !== null) ||
    cdrom !== null ||
    nets.some(({ rom }) => rom !== null);
  if (kernel === null && bios === null && !hasDrive)
    throw new Failure('wrong', 'There is nothing to boot: give the guest a disk, a CD, a floppy or a kernel.');
  const problem = kernel === null ? null : inspectKernel(kernel).problem;
  if (problem) throw new Failure('wrong', problem);
  try {
    if (kernel !== null) checkBootFile(kernel, 'kernel', settings.memoryMiB);
    if (kernel === null && bios !== null) checkBiosFile(bios);
    for (const { rom } of settings.nets) if (rom !== null) checkOptionRom(rom);
    if (settings.initrd !== null) checkBootFile(settings.initrd, 'initrd', settings.memoryMiB);
    for (const { capture } of settings.nets) if (capture !== null) checkCaptureFile(capture);
    for (const { folder, readOnly } of settings.shares) checkShareFolder(folder, !readOnly);
    for (const disk of settings.disks) checkImageFile(disk.file, 'disk', !disk.readOnly && !disk.snapshot);
  } catch (error) {
    throw new Failure('wrong', (error as Error).message, { cause: error });
  }
  checkMedia(settings);
}

/** Throws where the bounds of a guest's memory are none, or nothing could keep to them. */
function checkMemory(settings: GuestSettings): void {
  const { balloonMiB, memoryMiB, memoryMinMiB } = settings;
  if (balloonMiB >= memoryMiB)
    throw new Failure('wrong', `A balloon of ${balloonMiB} MiB leaves nothing of ${memoryMiB} MiB of memory.`);
  if (memoryMinMiB !== null && memoryMinMiB > memoryMiB - balloonMiB)
    throw new Failure(
      'wrong',
      `A guest that has at most ${memoryMiB - balloonMiB} MiB cannot keep ${memoryMinMiB} MiB.`,
    );
  if ((balloonMiB > 0 || memoryMinMiB !== null) && !hasBalloon(settings))
    throw new Failure('wrong', 'A guest of kind full gives memory back only with --virtio balloon.');
}

/** Throws where settings name what a microvm does not have; its disks and cards are those of virtio, whatever is left at its default. */
function checkPara({ cdrom, floppies, bios, serial2, printer, audio, watchdog, disks, nets }: GuestSettings): void {
  const lacks = (what: string): never => {
    throw new Failure('wrong', `A guest of kind para has no ${what}.`);
  };
  if (cdrom !== null) lacks('CD drive: give the image as a disk, read-only');
  if (floppies.some((floppy) => floppy !== null)) lacks('floppy drives');
  if (bios !== null) lacks('BIOS');
  if (serial2 !== null) lacks('second serial port');
  if (printer !== null) lacks('parallel port');
  if (audio !== null) lacks('sound card');
  if (watchdog === 'poweroff') lacks('watchdog');
  if (disks.some((disk) => disk.interface === 'ahci')) lacks('AHCI controller: its disks are on virtio');
  for (const { model, rom } of nets) {
    if (model !== 'virtio' && model !== 'e1000') lacks(`network card ${model}: its cards are of virtio`);
    if (rom !== null) lacks('firmware that would look at a boot ROM');
  }
}

/** The same of what is in the removable drives. */
function checkMedia({ cdrom, floppies }: GuestSettings): void {
  try {
    if (cdrom !== null) checkImageFile(cdrom, 'CD', false);
    for (const disk of floppies) if (disk) checkImageFile(disk.file, 'floppy', !disk.readOnly && !disk.snapshot);
  } catch (error) {
    throw new Failure('wrong', (error as Error).message, { cause: error });
  }
}
