// One run of a guest, seen from main: its thread, its state, its end.
// Owns the worker and the control block from start to end.
// Never executes guest code, never knows the inventory, and never outlives a crash of the worker unnoticed.

import { Command, ControlBlock, ControlSlot, GuestState } from '../../native-free-core/hypervisor/control-block.ts';
import type { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import type {
  MediumPlace,
  ProcessSummary,
  ProgramRequest,
  TranslationTime,
} from '../../native-free-core/hypervisor/guest.ts';
import { KernelThreads } from '../containers/kernel-threads.ts';
import { Failure, type GuestSettings, type GuestView, type Report, type SerialPort } from '../contract.ts';
import { cardAddress } from '../networks/addresses.ts';
import { linkConditions } from '../networks/link-settings.ts';
import type { Networks, Plug } from '../networks/networks.ts';
import { History, makeReport, readMemory, readTotals } from './accounts.ts';
import type { DisplaySource } from './guest-display.ts';
import { type GuestThread, OwnThread } from './guest-thread.ts';
import type { ToldMemory } from './memory-pool.ts';
import type { Membership, Peers } from './peers.ts';
import type { ProgramInput, ProgramMessage } from './program-frames.ts';
import { usualTranslation } from './translation-time.ts';
import { generationOf, uuidBytes } from './uuid.ts';
import {
  type Answer,
  type Ask,
  type ConsoleScript,
  type ContainerStart,
  type FloppyStart,
  type FromWorker,
  noScript,
  type Picture,
  type ScreenChange,
  type ScreenWish,
  type ToWorker,
  type WorkerEnd,
  type WorkerStart,
} from './worker-messages.ts';

/** A stop command that a worker does not follow within this time (milliseconds) ends its thread. */
const FORCE_PATIENCE = 2000;
/** The same of the thread of the shared kernel, which is other guests' too: they end with it. */
const KERNEL_PATIENCE = 15_000;

/** The longest an answer of the machine may take (milliseconds); it is between two slices otherwise. */
const ANSWER_PATIENCE = 15_000;

/** The longest that writing a guest's state may take (milliseconds): gigabytes to a slow disk. */
const SAVE_PATIENCE = 10 * 60_000;

/** A program that runs beside a container's first. */
export interface ProgramHandle {
  send(input: ProgramInput): void;
  /** While it is held its output is not taken, and who writes waits. */
  hold(held: boolean): void;
  /** Its terminal hangs up, its pipes are closed. */
  leave(): void;
}

export interface RunOptions {
  settings: GuestSettings;
  /** The guest's serial output. */
  output(bytes: Uint8Array): void;
  /** The same of the second serial port; without it nobody wants that. */
  secondOutput?(bytes: Uint8Array): void;
  /** Bytes of {@link RunningGuest.input} that a container took. */
  taken?(bytes: number): void;
  /** What the guest plays, as the contract's stream has it, while {@link RunningGuest.listen} says so. */
  sound?(bytes: Uint8Array): void;
  /** The guest itself has ejected what was in a drive. */
  ejected?(place: MediumPlace): void;
  /** Called on every change of {@link RunningGuest.state}, the last one excepted: that is `ended`. */
  changed?(): void;
  script?: ConsoleScript;
  /** What the guest's network cards are plugged into; needed if it has any. */
  networks?: Networks | undefined;
  /** The guests of this process, which a guest of kind para knows; without them it knows nobody. */
  peers?: Peers | undefined;
  /** What the guest's virtio socket is called on the host; without it the host's end is closed to the guest. */
  vsock?: string | undefined;
  /** Told of nonsense that the guest does, in one sentence; not often. */
  complained?(sentence: string): void;
  /** What tells this guest from all others: its cards' addresses are made from it. The name where nothing is said. */
  identity?: string;
  /** Called with what was wished for by {@link RunningGuest.wishScreen}. */
  screen?(change: ScreenChange): void;
  /** Keeps the last picture of the screen: {@link RunningGuest.lastPicture}. */
  lastPicture?: boolean;
  /** When the guest's code is translated, for tests and measurements; {@link usualTranslation} where nothing is said. */
  translation?: TranslationTime | undefined;
  /** The host's processors, which this guest shares with others; without them it executes whenever it has something to do. */
  processors?: CpuShares;
  /** The threads of the shared kernel, for a guest of kind os; without them it has one to itself. */
  kernels?: KernelThreads;
  /** What the guest's disks came after, such as a snapshot: what tells it from what it was there. */
  lineage?: string | null;
  /** The file of a saved state, with which the guest goes on. */
  savedState?: string | null;
  /** Of a guest of kind os. */
  container?: ContainerStart;
  /** Module whose `createGuest` replaces the core's, for tests. */
  machineModule?: string | undefined;
}

export class RunningGuest implements DisplaySource {
  readonly settings: GuestSettings;
  readonly startedAt = Date.now();
  readonly history: History;
  /** Resolves once the guest executes; rejects with a {@link Failure} if there is no machine. */
  readonly started: Promise<void>;
  /** Resolves when the run is over, however it ended. Never rejects. */
  readonly ended: Promise<WorkerEnd>;
  readonly #thread: GuestThread;
  readonly #control = new ControlBlock();
  readonly #plugs: readonly Plug[];
  /** That of its virtio socket. */
  readonly #socketPlug: Plug | undefined;
  readonly #arePlugged: Promise<unknown>;
  /** Why a cable could not be plugged in, in one sentence. */
  #unplugged: string | null = null;
  readonly #membership: Membership | undefined;
  readonly #complained: (sentence: string) => void;
  readonly #changed: () => void;
  readonly #output: Record<SerialPort, (bytes: Uint8Array) => void>;
  readonly #sound: (bytes: Uint8Array) => void;
  readonly #ejected: (place: MediumPlace) => void;
  readonly #screen: (change: ScreenChange) => void;
  readonly #programs = new Map<number, (message: Extract<FromWorker, { type: 'program' }>['message']) => void>();
  readonly #taken: (bytes: number) => void;
  #unimplemented: Record<string, number> = {};
  readonly #asked = new Map<number, { answered(answer: Answer): void; failed(failure: Failure): void }>();
  #asks = 0;
  #lastPicture: Picture | null = null;
  readonly #startedAt = performance.now();
  readonly #marks: Report['marks'] = [];
  #state: Exclude<GuestView['state'], 'off'> = 'starting';
  #pauseReason: string | null = null;
  #end: WorkerEnd | null = null;
  #wallSeconds = 0;
  #settleStarted: (failure: Failure | null) => void;
  #settleEnded: (end: WorkerEnd) => void;
  #forceTimer: NodeJS.Timeout | undefined;
  /** What the guest has changed is being written. */
  #isKeeping = false;

  constructor(options: RunOptions) {
    const { kind, memoryMiB, cpus, deterministic, noReboot, kernel, initrd, append, disks, cdrom, floppies, nets } =
      options.settings;
    const { bootOrder, bios, cdromInterface, virtio, virtioTransport, balloonMiB, shares } = options.settings;
    const { serial2, printer, audio, paravirt, watchdog } = options.settings;
    if ((kind === 'os') !== (options.container !== undefined))
      throw new Failure('wrong', 'A guest of kind os, and no other, has an image and a command.');
    const translation = options.translation ?? usualTranslation();
    const { networks } = options;
    if (nets.length > 0 && !networks) throw new Failure('failed', 'There are no networks to plug this guest into.');
    this.settings = options.settings;
    this.#thread = this.#place(options);
    this.#output = { 1: options.output, 2: options.secondOutput ?? (() => {}) };
    this.#sound = options.sound ?? (() => {});
    this.#ejected = options.ejected ?? (() => {});
    this.#screen = options.screen ?? (() => {});
    this.#changed = options.changed ?? (() => {});
    this.#complained = options.complained ?? (() => {});
    this.#taken = options.taken ?? (() => {});
    this.history = new History(this.#control, options.settings.kind);
    const started = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<WorkerEnd>();
    this.started = started.promise;
    this.ended = ended.promise;
    this.#settleStarted = (failure) => (failure ? started.reject(failure) : started.resolve());
    this.#settleEnded = ended.resolve;
    // Whoever does not ask for the start still learns of its failure through `ended`.
    this.started.catch(() => {});
    const stations = nets.map(({ mac }, index) => cardAddress(mac, options.identity ?? options.settings.name, index));
    this.#plugs = networks
      ? nets.map(({ network, capture, forwards, vlan, mtu, link }, index) =>
          networks.plug(network, this.#thread.bell, {
            station: stations[index]!,
            name: options.settings.name,
            link: linkConditions(link),
            ...{ capture, forwards, vlan, mtu },
          }),
        )
      : [];
    this.#arePlugged = Promise.all(this.#plugs.map(({ ready }) => ready));
    // Asked about once the guest executes, if it ever does.
    this.#arePlugged.catch(() => {});
    this.#membership = options.peers?.join(options.identity ?? options.settings.name, options.settings, this.#control);
    // A full guest knows nobody, and what a deterministic one would read could not be repeated.
    const isAware = kind === 'para' && !deterministic;
    const hasSocket = !deterministic && (isAware || (kind === 'full' && virtio.includes('vsock')));
    const cid = this.#membership?.cid;
    const wires =
      hasSocket && cid !== undefined ? networks?.plugSocket(cid, this.#control.buffer, options.vsock) : undefined;
    this.#socketPlug = wires;
    const start: Omit<WorkerStart, 'processors'> = {
      control: this.#control.buffer,
      guest: {
        kind,
        container: options.container ?? null,
        memoryMiB,
        cpus,
        deterministic,
        uuid: deterministic || options.identity === undefined ? null : uuidBytes(options.identity),
        generation: deterministic || options.identity === undefined ? null : generationOf(options.identity, options),
        noReboot,
        savedState: options.savedState ?? null,
        watchdog,
        kernel,
        bootOrder,
        bios,
        initrd,
        append,
        paravirt,
        disks,
        cdrom,
        cdromInterface,
        floppies,
        nets: this.#plugs.map(({ cable, doorbell }, index) => ({
          model: nets[index].model,
          address: stations[index],
          rom: nets[index].rom,
          cable,
          doorbell,
        })),
        virtio,
        virtioTransport,
        balloonMiB,
        shares,
        socket: wires && cid !== undefined ? { cid, cable: wires.cable, doorbell: wires.doorbell } : null,
        peers: (isAware && this.#membership?.start) || null,
        outputs: { serial2, printer, audio },
        translation,
      },
      script: options.script ?? noScript,
      wants: { secondSerial: options.secondOutput !== undefined, sound: options.sound !== undefined },
      lastPicture: options.lastPicture === true,
      machineModule: options.machineModule ?? null,
    };
    this.#thread.start(start, {
      message: (message) => this.#receive(message),
      failed: (error) => this.#finish(crash(error)),
    });
    this.setShare(options.settings);
  }

  /** Guests of kind os share a thread; tests' machines, and guests of other kinds, have their own. */
  #place({ settings, processors, kernels, machineModule, translation }: RunOptions): GuestThread {
    const { name, kind, memoryMiB } = settings;
    if (kind !== 'os' || machineModule !== undefined)
      return new OwnThread(this.#control.buffer, `guest ${name}`, processors);
    // Without others to share one with, its thread ends with it.
    return (kernels ?? new KernelThreads({ processors, translation, memoryMiB, keep: 0 })).place();
  }

  /** Meaningless after the end. */
  get state(): Exclude<GuestView['state'], 'off'> {
    return this.#state;
  }

  /** Why the guest stands still without having been told to, in one sentence: the host's disk is full. Else null. */
  get pauseReason(): string | null {
    return this.#pauseReason;
  }

  /** The cables of the guest's cards, as {@link Networks.ask} names them. */
  get cables(): number[] {
    return this.#plugs.map(({ id }) => id);
  }

  /** How the run ended; null while it has not. */
  get end(): WorkerEnd | null {
    return this.#end;
  }

  /** Whether every vCPU waits for something to happen. */
  get isHalted(): boolean {
    return Atomics.load(this.#control.slots, ControlSlot.state) === GuestState.halted;
  }

  /** Bytes typed at a serial console; dropped once the guest has ended. */
  input(bytes: Uint8Array, port: SerialPort = 1): void {
    this.#post({ type: 'input', port, bytes });
  }

  /** Whether anybody listens to what the guest plays; nobody does at first. */
  listen(listening: boolean): void {
    this.#post({ type: 'listen', listening });
  }

  /** There is no more input: of a container without a terminal. */
  endInput(): void {
    this.#post({ type: 'endInput' });
  }

  /** The console's window has another size: of a container with a terminal. */
  resize(rows: number, columns: number): void {
    this.#post({ type: 'resize', rows, columns });
  }

  /**
   * Runs a program beside a container's first. `told` gets what it says, `ended` being the last; rejects with a
   * {@link Failure} where it cannot be started. Whoever leaves hears nothing any more.
   */
  execute(request: ProgramRequest, told: (message: ProgramMessage) => void): Promise<ProgramHandle> {
    return new Promise((started, failed) => {
      if (this.#end) return failed(new Failure('conflict', 'The guest is not running.'));
      const id = ++this.#asks;
      const handle: ProgramHandle = {
        send: (input) => {
          if (this.#programs.has(id)) this.#post({ type: 'program', id, input });
        },
        hold: (held) => {
          if (this.#programs.has(id)) this.#post({ type: 'program', id, input: { type: 'hold', held } });
        },
        leave: () => {
          if (this.#programs.delete(id)) this.#post({ type: 'program', id, input: { type: 'leave' } });
        },
      };
      this.#programs.set(id, (message) => {
        if (message.type === 'refused') {
          this.#programs.delete(id);
          failed(new Failure('failed', message.problem));
          return;
        }
        if (message.type === 'ended') this.#programs.delete(id);
        if (message.type === 'started') started(handle);
        told(message);
      });
      this.#post({ type: 'execute', id, request });
    });
  }

  /** Processes of a container. Rejects with a {@link Failure} where the guest is none. */
  async processes(): Promise<ProcessSummary[]> {
    const { processes } = await this.#ask({ type: 'processes' });
    return processes ?? [];
  }

  /** What a person does at the guest's window; dropped once the guest has ended. */
  control(input: Extract<ToWorker, { type: 'control' }>['input']): void {
    this.#post({ type: 'control', input });
  }

  /** Asks for the next change of the screen, or all of it; each is answered once, when there is one. */
  wishScreen(wish: ScreenWish): void {
    this.#post({ type: 'screen', wish });
  }

  /** MiB that a guest of kind os has of its host's memory; null: what it may take is its own. */
  get residentMiB(): number | null {
    return this.settings.kind === 'os' ? readTotals(this.#control, 'os').residentMiB : null;
  }

  /** What the guest's balloon has told of its memory. */
  get memory(): ToldMemory {
    return readMemory(this.#control);
  }

  /** Sets what the balloon is to hold; the guest is asked for its statistics too where `ask` says so. */
  setBalloon(pages: number, ask: boolean): void {
    this.#post({ type: 'balloon', pages, ask });
  }

  /** Types at the guest's keyboard. Rejects with a {@link Failure} if it has none, or does not keep up. */
  async type(strokes: Extract<Ask, { type: 'type' }>['strokes']): Promise<void> {
    await this.#ask({ type: 'type', strokes });
  }

  /** What the screen shows now. Rejects with a {@link Failure} where there is none. */
  async screenshot(): Promise<Picture> {
    const { picture } = await this.#ask({ type: 'screenshot' });
    return picture!;
  }

  /** The rows of the screen's text mode joined by newlines; null in a graphics mode. Rejects like {@link screenshot}. */
  async screenText(): Promise<string | null> {
    const { text } = await this.#ask({ type: 'screenText' });
    return text ?? null;
  }

  /** What the screen showed at the end, where it was asked for and could be told. */
  get lastPicture(): Picture | null {
    return this.#lastPicture;
  }

  #ask(ask: Ask, patience = ANSWER_PATIENCE): Promise<Answer> {
    return new Promise((answered, failed) => {
      if (this.#end) return failed(new Failure('conflict', 'The guest is not running.'));
      const id = ++this.#asks;
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        failed(new Failure('failed', 'The guest’s thread does not answer.'));
      }, patience);
      const settle =
        <Value>(settled: (value: Value) => void) =>
        (value: Value) => {
          clearTimeout(timer);
          settled(value);
        };
      this.#asked.set(id, { answered: settle(answered), failed: settle(failed) });
      this.#post({ type: 'ask', id, ask });
    });
  }

  /** Asks the guest to power off; it may take its time or ignore it. */
  powerButton(): void {
    if (this.#state === 'paused') this.resume();
    this.#setState('stopping');
    this.#post({ type: 'powerButton' });
  }

  pause(): void {
    this.#command(Command.pause);
    this.#setState('paused');
  }

  resume(): void {
    this.#command(Command.run);
    if (this.#pauseReason === null) this.#setState('running');
  }

  /** Looks at once whether the host has room for what the guest is to write; rejects with the reason if it has not. */
  async retryDisks(): Promise<void> {
    await this.#ask({ type: 'retryDisks' });
  }

  /**
   * Puts a medium into a drive, or takes out (null) what is in it. Rejects with a {@link Failure} where it cannot be opened, the
   * drive does not take it, or the guest has locked the drive and `force` is not set.
   */
  async changeMedium(place: MediumPlace, medium: FloppyStart | null, force: boolean): Promise<void> {
    await this.#ask({ type: 'changeMedium', place, medium, force });
  }

  /**
   * Writes the guest's state to a file and ends the run as `saved`. Rejects with a {@link Failure} where that cannot be, and the
   * guest goes on as it was.
   */
  async save(file: string): Promise<WorkerEnd> {
    const before = this.#state;
    this.#setState('saving');
    try {
      await this.#ask({ type: 'save', file }, SAVE_PATIENCE);
    } catch (error) {
      this.#setState(before);
      throw error;
    }
    return this.ended;
  }

  /** Changes what the guest has of the host's processors; at once. */
  setShare({ cpuWeight, cpuCap }: Pick<GuestSettings, 'cpuWeight' | 'cpuCap'>): void {
    this.#membership?.reweigh(cpuWeight);
    this.#thread.share(cpuWeight, cpuCap === null ? 0 : cpuCap * 10);
  }

  /** Ends the run without asking the guest. */
  async forceStop(): Promise<WorkerEnd> {
    if (this.#end) return this.#end;
    if (this.#isKeeping) return this.ended;
    this.#command(Command.stop);
    this.#forceTimer ??= setTimeout(
      () => {
        this.#finish({ reason: 'forced', detail: 'The guest was stopped; its thread did not answer and was ended.' });
      },
      this.settings.kind === 'os' ? KERNEL_PATIENCE : FORCE_PATIENCE,
    );
    return this.ended;
  }

  /** The report of the run as it stands. */
  report(): Report {
    const { kind, memoryMiB } = this.settings;
    const wallSeconds = this.#end ? this.#wallSeconds : this.#elapsed();
    return makeReport(this.#control, {
      kind,
      memoryMiB,
      wallSeconds,
      marks: [...this.#marks],
      unimplemented: this.#unimplemented,
      end: this.#end,
    });
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'started':
        void this.#begin();
        return;
      case 'refused':
        this.#settleStarted(new Failure('failed', message.message));
        this.#finish({ reason: 'error', detail: message.message });
        return;
      case 'output':
        if (!this.#end) this.#output[message.port](message.bytes);
        return;
      case 'taken':
        if (!this.#end) this.#taken(message.bytes);
        return;
      case 'program':
        if (!this.#end) this.#programs.get(message.id)?.(message.message);
        return;
      case 'unimplemented':
        this.#unimplemented = message.calls;
        return;
      case 'sound':
        if (!this.#end) this.#sound(message.bytes);
        return;
      case 'ejected':
        if (!this.#end) this.#ejected(message.place);
        return;
      case 'keeping':
        this.#isKeeping = true;
        clearTimeout(this.#forceTimer);
        return;
      case 'mark':
        this.#marks.push({ name: message.name, seconds: message.seconds });
        return;
      case 'full':
        this.#holdFor(message.reason);
        return;
      case 'complaint':
        this.#complained(message.sentence);
        return;
      case 'screen':
        if (!this.#end) this.#screen(message.change);
        return;
      case 'answer': {
        const asked = this.#asked.get(message.id);
        this.#asked.delete(message.id);
        const { problem, isLocked } = message.answer;
        if (problem === undefined) asked?.answered(message.answer);
        else asked?.failed(new Failure(isLocked ? 'locked' : 'conflict', problem));
        return;
      }
      case 'ended':
        this.#lastPicture = message.picture ?? null;
        this.#finish(this.#unplugged === null ? message.end : { reason: 'error', detail: this.#unplugged });
    }
  }

  /** The guest executes; it has started once its cables are plugged in as well. */
  async #begin(): Promise<void> {
    try {
      await this.#arePlugged;
    } catch (error) {
      this.#unplugged = (error as Error).message;
      this.#settleStarted(new Failure('failed', this.#unplugged));
      // It may have written to its disks already: it ends as one that is stopped.
      await this.forceStop();
      return;
    }
    this.#settleStarted(null);
    if (this.#state === 'starting') this.#setState('running');
  }

  /** The worker holds the guest by itself, or lets it go on again (null). */
  #holdFor(reason: string | null): void {
    if (this.#end) return;
    this.#pauseReason = reason;
    const isHeld = reason !== null || Atomics.load(this.#control.slots, ControlSlot.command) === Command.pause;
    const state = isHeld ? 'paused' : 'running';
    if (this.#state === state) this.#changed();
    else this.#setState(state);
  }

  #finish(end: WorkerEnd): void {
    if (this.#end) return;
    this.#end = end;
    this.#wallSeconds = this.#elapsed();
    clearTimeout(this.#forceTimer);
    this.#settleStarted(new Failure('failed', end.detail));
    for (const { failed } of this.#asked.values()) failed(new Failure('conflict', 'The guest has ended.'));
    this.#asked.clear();
    // Programs end with their container: by SIGKILL, which those that have told of their end already did not need.
    for (const told of [...this.#programs.values()]) told({ type: 'ended', status: 137 });
    this.#programs.clear();
    this.#thread.leave();
    for (const plug of this.#plugs) plug.close();
    this.#socketPlug?.close();
    this.#membership?.leave();
    this.#settleEnded(end);
  }

  #elapsed(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  #setState(state: Exclude<GuestView['state'], 'off'>): void {
    if (this.#end || this.#state === state) return;
    this.#state = state;
    this.#changed();
  }

  #command(command: Command): void {
    Atomics.store(this.#control.slots, ControlSlot.command, command);
    this.#post({ type: 'look' });
  }

  #post(message: ToWorker): void {
    if (this.#end) return;
    this.#thread.post(message);
  }
}

function crash(error: Error): WorkerEnd {
  return { reason: 'crashed', detail: `Trivisor failed while executing the guest: ${error.message}` };
}
