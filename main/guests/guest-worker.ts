// The thread of one full or para guest: builds its machine and executes it slice by slice.
// Owns the guest, the pace (slices, sleep while halted, pause) and the guest's end.
// Never talks to a front end, the inventory or the network; a fault in it ends this guest alone.

import { randomFillSync } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { BlockDevice } from '../../native-free-core/disk/block.ts';
import { Command, ControlBlock, ControlSlot, GuestState } from '../../native-free-core/hypervisor/control-block.ts';
import { CpuClient } from '../../native-free-core/hypervisor/cpu-shares.ts';
import type {
  Guest,
  GuestConfig,
  GuestHost,
  MediumPlace,
  ShareConfig,
  SliceResult,
} from '../../native-free-core/hypervisor/guest.ts';
import type { createGuest } from '../../native-free-core/machines/create-guest.ts';
import { explainFileError } from '../files/folders.ts';
import { readBiosFile, readBootFile } from './boot-files.ts';
import { cardOf, portOf } from './cable-ports.ts';
import { ConsoleWatch } from './console-watch.ts';
import { tuneEngine } from './engine-flags.ts';
import { OutputBatch } from './output-batch.ts';
import { OutputFiles } from './output-files.ts';
import { ScreenSender, takePicture } from './screen-sender.ts';
import { seededRandomness } from './seeded-randomness.ts';
import { processorNanoseconds } from './thread-time.ts';
import { unpack } from './unpack.ts';
import type {
  Answer,
  Ask,
  FromWorker,
  GuestStart,
  Picture,
  ToWorker,
  WorkerEnd,
  WorkerStart,
} from './worker-messages.ts';
import { WorkerTranslation } from './worker-translation.ts';

/** Host milliseconds the guest executes between two looks at messages: the longest wait of a keystroke. */
const SLICE = 10;

/**
 * Milliseconds between two turns of the event loop of a guest that waits for a processor: it can do nothing about messages but
 * take them, and a turn costs as much as handing the processor on. Whoever has it next wakes at once.
 */
const PROCESSOR_WAIT = 100;

/**
 * Waits shorter than this (milliseconds) block the thread: a timer of the event loop could not keep the shortest, and
 * costs more than the tick of a kernel that has 250 a second.
 */
const SHORT_WAIT = 5;

/**
 * Milliseconds between two turns of the event loop of a guest that halts for short times. A message rings, so it does not
 * wait for this; a turn costs a third of what the tick of an idle guest does.
 */
const TURN_WHILE_IDLE = 50;

/** Milliseconds for which a guest goes on until nothing is under way in it that cannot be saved. */
const SAVE_PATIENCE = 5000;

/** Milliseconds for which a guest may tell what memory is free before it is saved. */
const HINT_PATIENCE = 1000;

/** Milliseconds between two looks whether a full host has room again. */
const ROOM_EVERY = 2000;

/** Counters are brought up to date at most this often (milliseconds) while the guest executes. */
const PUBLISH_EVERY = 50;

/** Guest nanoseconds between two looks of a script at the screen; in deterministic mode each is an instruction. */
const LOOK_EVERY = 50_000_000;
const DETERMINISTIC_LOOK_EVERY = 2_000_000;

const LOCKED = 'The guest has locked its CD drive: eject the disc there first, or use --force.';

/** Any number: what matters is that it is the same in every deterministic run. */
const DETERMINISTIC_SEED = 0x7269_7669;

/** A state that is to be written, and who is told. */
interface Saving {
  file: string;
  tell(answer: Answer): void;
}

class GuestThread {
  readonly #port: MessagePort;
  readonly #start: WorkerStart;
  readonly #control: ControlBlock;
  /** Who says when the guest may execute. */
  readonly #processor: CpuClient | null;
  /** A word that nobody rings. */
  readonly #nobody = new Int32Array(new SharedArrayBuffer(4));
  /** Milliseconds that the guest waited for a processor, or rested. */
  #waited = 0;
  /** Nanoseconds of this thread's processor time that it took to find out who has a processor. */
  #sharing = 0;
  /** The same of slices: executed by the host's processors, and, by the clock, given to others by the host. */
  #processed = 0;
  #stolen = 0;
  readonly #output: OutputBatch;
  readonly #secondOutput: OutputBatch;
  #isHeard = false;
  readonly #watch: ConsoleWatch;
  readonly #screen: ScreenSender;
  #guest: Guest | null = null;
  /** What came before there was a guest for it. */
  readonly #early: ToWorker[] = [];
  #translation: WorkerTranslation | undefined;
  #disks: BlockDevice[] = [];
  /** What is in the drives whose medium can be changed. */
  readonly #media = new Map<MediumPlace, BlockDevice>();
  /** Changes of media, one after the other. */
  #changing: Promise<unknown> = Promise.resolve();
  /** Why the guest stands still for want of room on the host; null: it does not. */
  #full: string | null = null;
  #outputs: OutputFiles | null = null;
  #startedAt = performance.now();
  #publishedAt = 0;
  /** Milliseconds this thread was busy for the guest outside its execution: messages, output, bookkeeping. */
  #scheduling = 0;
  /** The screen at the match that ends the run. */
  #untilPicture: Picture | null = null;
  /** Where the guest's state is to be written as soon as it can be, and who is told. */
  #saving: Saving | null = null;
  /** Resolves the wait of a halted or paused guest. */
  #wake: (() => void) | null = null;

  constructor(port: MessagePort, start: WorkerStart) {
    this.#port = port;
    this.#start = start;
    this.#control = new ControlBlock(start.control);
    this.#processor = start.processors && new CpuClient(start.processors.buffer, start.processors.client);
    const send = (message: FromWorker, buffers: ArrayBuffer[]): void => this.#send(message, buffers);
    this.#output = new OutputBatch(send, 1);
    this.#secondOutput = new OutputBatch(send, 2);
    this.#screen = new ScreenSender((change, buffer) => this.#send({ type: 'screen', change }, [buffer]));
    this.#watch = new ConsoleWatch(start.script, {
      type: ({ serial, strokes }, where) => {
        if (where === 'serial') this.#guest?.serialInput(new TextEncoder().encode(serial ?? ''));
        else this.#guest?.input?.type(strokes ?? []);
      },
      matched: (pattern, isUntil) => {
        if (isUntil && this.#guest) this.#endHere(this.#guest);
        this.#mark(isUntil ? 'until' : `type-after ${pattern.source}`);
      },
    });
    port.on('message', (message: ToWorker) => this.#receive(message));
  }

  /** Executes the guest to its end, whichever that is. Never rejects. */
  async execute(): Promise<void> {
    this.#setState(GuestState.starting);
    let guest: Guest;
    try {
      guest = await this.#build();
      if (this.#start.guest.savedState !== null) await this.#restore(guest, this.#start.guest.savedState);
      this.#requireScreen(guest);
    } catch (error) {
      await this.#closeDisks();
      this.#outputs?.close();
      this.#setState(GuestState.dead);
      this.#send({ type: 'refused', message: (error as Error).message });
      this.#port.close();
      return;
    }
    this.#guest = guest;
    for (const message of this.#early.splice(0)) this.#receive(message);
    this.#listen();
    this.#watchScreen(guest);
    this.#mark('started');
    this.#send({ type: 'started' });
    let end: WorkerEnd;
    try {
      end = await this.#loop(guest);
    } catch (error) {
      end = {
        reason: 'crashed',
        detail: `Trivisor failed while executing the guest: ${(error as Error).stack ?? error}`,
      };
    }
    if (end.reason !== 'until' && end.reason !== 'crashed') this.#publish(guest);
    const [unclosed] = await this.#closeDisks();
    if (unclosed !== undefined)
      end = { reason: 'error', detail: `${end.detail} A disk could not be closed: ${unclosed}` };
    const [unwritten] = this.#outputs?.close() ?? [];
    if (unwritten !== undefined) end = { ...end, detail: `${end.detail} ${unwritten}` };
    this.#flush();
    this.#setState(end.reason === 'powerOff' || end.reason === 'reset' ? GuestState.off : GuestState.dead);
    const picture = this.#start.lastPicture ? (this.#untilPicture ?? this.#lastPicture(guest)) : null;
    this.#send({ type: 'ended', end, ...(picture ? { picture } : {}) }, picture ? [picture.pixels.buffer] : []);
    this.#port.close();
  }

  /** Throws where the script waits for what this guest cannot show. */
  #requireScreen({ screen }: Guest): void {
    const { type, untilScreen } = this.#start.script;
    if (!screen && (untilScreen !== null || type.some(({ serial }) => serial === null)))
      throw new Error('This guest has no display that could be waited for.');
  }

  /** Looks at the screen for the script while it has something to wait for there. */
  #watchScreen(guest: Guest): void {
    const { screen, input } = guest;
    if (!screen || !this.#watch.watchesScreen) return;
    const pace = this.#start.guest.deterministic ? DETERMINISTIC_LOOK_EVERY : LOOK_EVERY;
    const stop = guest.every?.(pace, () => {
      if (!this.#watch.watchesScreen) stop?.();
      // What answers a screen is not typed yet: it still looks as if it had not been answered.
      else if ((input?.typing ?? 0) === 0) this.#watch.look(screen.text() ?? '');
    });
  }

  /** What is told of a run ends at the match: its slice goes on for a while, and not equally long in every run. */
  #endHere(guest: Guest): void {
    this.#publish(guest);
    if (this.#start.lastPicture) this.#untilPicture = this.#lastPicture(guest);
  }

  /** What the screen shows at the end, whatever the end is: after a fault of ours there may be nothing to show. */
  #lastPicture(guest: Guest): Picture | null {
    try {
      return takePicture(guest);
    } catch {
      return null;
    }
  }

  /** Fills a guest that awaits its state. Rejects with an Error of one sentence. */
  async #restore(guest: Guest, file: string): Promise<void> {
    if (!guest.memory || !guest.restore) throw new Error('A guest of this kind has no state that could be restored.');
    const { openStateFile } = await import('../saved-states/state-file.ts');
    const saved = await openStateFile(file);
    try {
      await saved.fill(guest.memory);
      try {
        guest.restore(saved.state);
      } catch (error) {
        throw new Error(`The saved state cannot be gone on with: ${(error as Error).message}.`, { cause: error });
      }
    } finally {
      await saved.close();
    }
  }

  /**
   * Writes the guest's state, once nothing is under way in it that cannot be saved: it goes on until then, for so long at most.
   * Answers whether it was written; otherwise the guest is as it was.
   */
  async #save(guest: Guest, { file, tell }: Saving): Promise<boolean> {
    await this.#clearFree(guest);
    const problem = await this.#written(guest, file);
    this.#saving = null;
    tell(problem === null ? {} : { problem });
    return problem === null;
  }

  /** Has a guest that executes, and can tell, clear the memory that it does not use: zeros are not written. */
  async #clearFree(guest: Guest): Promise<void> {
    const { balloon } = guest;
    const isPaused = Atomics.load(this.#control.slots, ControlSlot.command) === Command.pause;
    if (isPaused || this.#full !== null || balloon?.clearFree() !== true) return;
    const until = performance.now() + HINT_PATIENCE;
    while (balloon.isHinting && performance.now() < until) {
      await nextTurn();
      if (guest.run(1).state === 'ended') return;
      this.#flush();
    }
    balloon.endHints();
  }

  /** A sentence why the state could not be written. */
  async #written(guest: Guest, file: string): Promise<string | null> {
    if (!guest.save || !guest.memory) return 'A guest of this kind has no state that could be saved.';
    const until = performance.now() + SAVE_PATIENCE;
    for (;;) {
      try {
        const state = guest.save();
        const { writeStateFile } = await import('../saved-states/state-file.ts');
        for (const disk of this.#disks) if (!disk.isReadOnly) await disk.flush();
        await writeStateFile(file, state, guest.memory);
        return null;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code !== undefined) return explainFileError(error, `The state cannot be written to ${file}`);
        if (performance.now() >= until) return `The guest cannot be saved now: ${message}.`;
      }
      // What disks answer, and what follows from it.
      await nextTurn();
      if (guest.run(1).state === 'ended') return 'The guest has ended.';
      this.#flush();
    }
  }

  async #build(): Promise<Guest> {
    const { guest, machineModule } = this.#start;
    if (!machineModule && !guest.deterministic && guest.translation === 'hot')
      this.#translation = new WorkerTranslation();
    // The core is loaded here, and only if it is wanted: a fault in loading it then is this guest's end, with a reason.
    const machines: { createGuest: typeof createGuest } = machineModule
      ? await import(machineModule)
      : await import('../../native-free-core/machines/create-guest.ts');
    if (!machineModule) (await import('./prepared-interpreter.ts')).loadPreparedInterpreter();
    const socket = guest.socket === null ? {} : { socket: { cid: guest.socket.cid, port: portOf(guest.socket) } };
    const config = { ...configOf(guest), nets: guest.nets.map(cardOf), ...socket, shares: await this.#shares(guest) };
    this.#outputs = new OutputFiles(guest.outputs);
    // Every PC has a CD drive and a floppy drive, which may be empty.
    const onAhci = guest.cdromInterface === 'ahci';
    const empty = { floppies: [null], ...(onAhci ? { ahci: { disks: [], cdroms: [null] } } : { cdroms: [null] }) };
    if (guest.disks.length + guest.floppies.length === 0 && guest.cdrom === null)
      return machines.createGuest({ ...config, ...empty }, this.#host(guest.deterministic));
    // Loaded only if wanted: locks and formats make the start of a guest longer.
    const { openCd, openDisk, openFloppy } = await import('./disk-files.ts');
    const disks: BlockDevice[] = [];
    const ahciDisks: BlockDevice[] = [];
    const virtioDisks: BlockDevice[] = [];
    for (const disk of guest.disks) {
      const opened = await this.#opened(openDisk(disk));
      // A microvm has no controllers.
      const place = guest.kind === 'para' ? 'virtio' : disk.interface;
      ({ ide: disks, ahci: ahciDisks, virtio: virtioDisks })[place].push(opened);
    }
    const cdroms = guest.cdrom === null ? [null] : [await this.#inserted('cdrom', openCd(guest.cdrom))];
    const floppies: (BlockDevice | null)[] = guest.floppies.length === 0 ? [null] : [];
    for (const [unit, floppy] of guest.floppies.entries())
      floppies.push(floppy && (await this.#inserted(unit === 0 ? 'floppy0' : 'floppy1', openFloppy(floppy))));
    const ahci = { disks: ahciDisks, cdroms: onAhci ? cdroms : [] };
    const drives = { disks, cdroms: onAhci ? [] : cdroms, floppies, ahci, virtioDisks };
    return machines.createGuest({ ...config, ...drives }, this.#host(guest.deterministic));
  }

  /** What the guest mounts over 9P; the code of it is loaded only if it is wanted. */
  async #shares({ shares, peers }: GuestStart): Promise<ShareConfig[]> {
    if (shares.length === 0 && peers === null) return [];
    const { awarenessShare, openShares } = await import('./shares.ts');
    const complain = (sentence: string) => this.#send({ type: 'complaint', sentence });
    const hurried = (urgency: number) => this.#processor?.hurry(urgency);
    return [...(peers === null ? [] : awarenessShare(peers, { complain, hurried })), ...openShares(shares)];
  }

  /** Notes a disk that will have to be closed. */
  async #opened(opening: Promise<BlockDevice>): Promise<BlockDevice> {
    const disk = await opening;
    this.#disks.push(disk);
    return disk;
  }

  /** The same of a medium that can be changed. */
  async #inserted(place: MediumPlace, opening: Promise<BlockDevice>): Promise<BlockDevice> {
    const medium = await this.#opened(opening);
    this.#media.set(place, medium);
    return medium;
  }

  /** Changes a medium, and closes the one that was there: its lock is given up. A sentence where that went wrong. */
  async #changeMedium({ place, medium, force }: Extract<Ask, { type: 'changeMedium' }>): Promise<Answer> {
    const guest = this.#guest;
    if (!guest?.changeMedium) return { problem: 'The guest has no drives whose medium can be changed.' };
    const { openCd, openFloppy } = await import('./disk-files.ts');
    let opened: BlockDevice | null = null;
    try {
      if (medium !== null) opened = await (place === 'cdrom' ? openCd(medium.file) : openFloppy(medium));
      if (!guest.changeMedium(place, opened, force)) {
        await opened?.close();
        return { problem: LOCKED, isLocked: true };
      }
    } catch (error) {
      await opened?.close();
      return { problem: (error as Error).message };
    }
    const before = this.#media.get(place);
    if (opened === null) this.#media.delete(place);
    else {
      this.#media.set(place, opened);
      this.#disks.push(opened);
    }
    return this.#taken(before);
  }

  /** The guest itself has ejected a medium: its lock is given up. */
  #ejected(place: MediumPlace): void {
    const medium = this.#media.get(place);
    this.#media.delete(place);
    this.#send({ type: 'ejected', place });
    // A medium that is put in at this moment comes after it.
    this.#changing = this.#changing.then(async () => {
      const { problem } = await this.#taken(medium);
      if (problem !== undefined) process.emitWarning(problem);
    });
  }

  /** Closes what was in a drive. */
  async #taken(before: BlockDevice | undefined): Promise<Answer> {
    if (before === undefined) return {};
    this.#disks = this.#disks.filter((disk) => disk !== before);
    try {
      await before.close();
    } catch (error) {
      return { problem: `What was in the drive could not be closed: ${(error as Error).message}` };
    }
    return {};
  }

  /** Closes the disks, with what they have yet to write. A sentence for each that could not be. */
  async #closeDisks(): Promise<string[]> {
    const results = await Promise.allSettled(this.#disks.splice(0).map((disk) => disk.close()));
    return results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []));
  }

  #host(deterministic: boolean): GuestHost {
    const translation = this.#translation;
    return {
      control: this.#control,
      monotonicNanoseconds: () => performance.now() * 1e6,
      processorNanoseconds,
      wallMilliseconds: () => Date.now(),
      randomness: deterministic ? seededRandomness(DETERMINISTIC_SEED) : (into) => void randomFillSync(into),
      ...(translation ? { translationThread: (memory) => translation.attach(memory) } : {}),
      diskAnswered: () => this.#wake?.(),
      ...this.#outputHost(),
      mediumEjected: (place) => this.#ejected(place),
      unpack,
      diskFull: (reason) => {
        if (this.#full === reason) return;
        this.#full = reason;
        this.#send({ type: 'full', reason });
        this.#wake?.();
      },
      serialOutput: (bytes) => {
        this.#watch.write(bytes);
        this.#output.add(bytes);
      },
    };
  }

  /** Where the rest of what the guest puts out goes: to files, and to whoever in main may want it. */
  #outputHost(): Pick<GuestHost, 'secondSerialOutput' | 'printerOutput' | 'audioOutput'> {
    const files = this.#outputs?.host ?? {};
    const { secondSerial, sound } = this.#start.wants;
    const audioOutput: GuestHost['audioOutput'] = (chunk) => {
      files.audioOutput?.(chunk);
      if (!this.#isHeard) return;
      const samples = chunk.samples.slice();
      this.#send({ type: 'sound', bytes: new Uint8Array(samples.buffer) }, [samples.buffer]);
    };
    return {
      ...files,
      ...(sound ? { audioOutput } : {}),
      ...(secondSerial
        ? {
            secondSerialOutput: (bytes) => {
              files.secondSerialOutput?.(bytes);
              this.#secondOutput.add(bytes);
            },
          }
        : {}),
    };
  }

  /** Lets the guest make sound if anybody hears it or a file takes it. */
  #listen(): void {
    this.#guest?.listen?.(this.#isHeard || this.#start.guest.outputs.audio !== null);
  }

  #flush(): void {
    this.#output.flush();
    this.#secondOutput.flush();
  }

  async #loop(guest: Guest): Promise<WorkerEnd> {
    let lastTurn = performance.now();
    let busySince = lastTurn;
    for (;;) {
      const doorbell = Atomics.load(this.#control.slots, ControlSlot.doorbell);
      const letters = Atomics.load(this.#control.slots, ControlSlot.letters);
      const command = Atomics.load(this.#control.slots, ControlSlot.command);
      if (command === Command.stop) return { reason: 'forced', detail: 'The guest was stopped without being asked.' };
      if (this.#saving !== null && (await this.#save(guest, this.#saving)))
        return { reason: 'saved', detail: 'The guest’s state was saved.' };
      if (command === Command.pause || this.#full !== null) {
        await this.#pause(guest);
        busySince = lastTurn = performance.now();
        continue;
      }
      this.#scheduling += performance.now() - busySince;
      if (!(await this.#hasProcessor(doorbell))) {
        busySince = lastTurn = performance.now();
        continue;
      }
      this.#setState(GuestState.running);
      const before = processorNanoseconds();
      const began = performance.now();
      const result = guest.run(SLICE);
      const rest = this.#executed(result, before, began);
      const now = (busySince = performance.now());
      this.#flush();
      this.#screen.show(guest, now);
      if (this.#watch.isDone) return { reason: 'until', detail: 'The awaited line came.' };
      if (result.state === 'ended') return result.end;

      if (result.state === 'waiting') {
        await this.#sleep(this.#screen.dueIn(now), doorbell);
        busySince = lastTurn = performance.now();
        continue;
      }
      const diskBusy = result.diskBusy === true;
      const wakeIn = result.state === 'halted' ? Math.max(0, (result.wakeIn + (result.slack ?? 0)) / 1e6) : 0;
      // What the guest drew before it halted, and a cursor that blinks, are shown in their time.
      const shown = wakeIn > 0 ? Math.min(wakeIn, Math.max(1, this.#screen.dueIn(now))) : 0;
      const wait = Math.max(shown, rest);
      if (wait >= SHORT_WAIT || now - this.#publishedAt >= PUBLISH_EVERY) this.#publish(guest);
      if (wait > 0) {
        this.#setState(GuestState.halted);
        this.#scheduling += performance.now() - busySince;
        const isBlocked = !diskBusy && (wait < SHORT_WAIT || this.#converses);
        const blocked = isBlocked ? Math.min(wait, SHORT_WAIT) : 0;
        const isRung = isBlocked && this.#block(blocked, doorbell);
        if (wait > blocked && !isRung) {
          await this.#sleep(wait - blocked, doorbell);
          lastTurn = performance.now();
        }
        busySince = performance.now();
      }
      // Messages arrive only between turns of the event loop; a guest of many short halts must not starve them.
      const turnAfter = wait > 0 ? TURN_WHILE_IDLE : SLICE / 2;
      const isTurnDue = busySince - lastTurn >= turnAfter || (diskBusy && wait === 0);
      if (isTurnDue || Atomics.load(this.#control.slots, ControlSlot.letters) !== letters) {
        await nextTurn();
        lastTurn = performance.now();
      }
    }
  }

  /** Whether the guest may execute now. Otherwise messages have had their turn, and it waits on. */
  async #hasProcessor(doorbell: number): Promise<boolean> {
    const processor = this.#processor;
    if (!processor || processor.has) return true;
    const asked = processorNanoseconds();
    let has = processor.ask();
    if (!has) {
      const since = performance.now();
      has = processor.wait(PROCESSOR_WAIT);
      this.#waited += performance.now() - since;
    }
    this.#sharing += processorNanoseconds() - asked;
    // What came while it waited is taken, and looked at by the loop, before the guest goes on: it may halt for ever.
    const isRung = Atomics.load(this.#control.slots, ControlSlot.doorbell) !== doorbell;
    if (!has || isRung) await nextTurn();
    return has && !isRung;
  }

  /** Accounts for a slice that began at a processor time, and a time. Milliseconds for which the guest is not to execute. */
  #executed({ state }: SliceResult, before: number, began: number): number {
    const processor = this.#processor;
    const wall = (performance.now() - began) * 1e6;
    const ended = processorNanoseconds();
    const nanoseconds = ended - before;
    this.#processed += nanoseconds;
    this.#stolen += Math.max(0, wall - nanoseconds);
    if (!processor) return 0;
    const { keeps, rest } = state === 'running' ? processor.renew(nanoseconds) : processor.release(nanoseconds);
    this.#sharing += processorNanoseconds() - ended;
    if (state !== 'running') return rest / 1e6;
    this.#waited += rest / 1e6;
    if (!keeps || rest === 0) return rest / 1e6;
    // Too short for the event loop, and nobody else is to have the processor meanwhile.
    Atomics.wait(this.#nobody, 0, 0, rest / 1e6);
    processor.renew(0);
    return 0;
  }

  async #pause(guest: Guest): Promise<void> {
    this.#processor?.withdraw();
    guest.pause();
    this.#setState(GuestState.paused);
    this.#publish(guest);
    this.#flush();
    let triedAt = performance.now();
    for (;;) {
      const doorbell = Atomics.load(this.#control.slots, ControlSlot.doorbell);
      const command = Atomics.load(this.#control.slots, ControlSlot.command);
      const isHeld = command === Command.pause || this.#full !== null;
      if (command === Command.stop || !isHeld || this.#saving !== null) break;
      const now = performance.now();
      if (this.#full !== null && now - triedAt >= ROOM_EVERY) {
        await this.#tryAgain();
        triedAt = performance.now();
        continue;
      }
      this.#screen.show(guest, now);
      const patience = this.#full === null ? Infinity : ROOM_EVERY;
      await this.#sleep(Math.min(this.#screen.dueIn(now), patience), doorbell);
    }
    guest.resume();
  }

  /** Looks whether the host has room again for what the guest's disks are to write. */
  async #tryAgain(): Promise<Answer> {
    if (this.#full === null) return {};
    if ((await this.#guest?.retryDisks?.()) === false) return { problem: this.#full };
    this.#full = null;
    this.#send({ type: 'full', reason: null });
    this.#wake?.();
    return {};
  }

  /** Brings all counters up to date: the machine's, and on top of them the time this loop itself took. */
  #publish(guest: Guest): void {
    guest.publishCounters();
    const machine = this.#control.get('schedulingNanoseconds');
    this.#control.set('schedulingNanoseconds', machine + this.#scheduling * 1e6);
    this.#control.set('waitedNanoseconds', this.#waited * 1e6);
    this.#control.set('processorNanoseconds', this.#processed);
    this.#control.set('stolenNanoseconds', this.#stolen);
    this.#control.set('sharesNanoseconds', this.#sharing);
    this.#publishedAt = performance.now();
  }

  /** Whether others send it what may come at any time, and is to be answered at once. */
  get #converses(): boolean {
    return this.#start.guest.nets.length > 0 || this.#start.guest.socket !== null;
  }

  /** Stands still until the time is over (milliseconds) or the doorbell has another value; gives whether it has. */
  #block(milliseconds: number, doorbell: number): boolean {
    return Atomics.wait(this.#control.slots, ControlSlot.doorbell, doorbell, milliseconds) !== 'timed-out';
  }

  /**
   * Sleeps until the time is over (milliseconds) or a message comes; for a guest with network cards also until the
   * doorbell has another value than `doorbell`.
   */
  async #sleep(milliseconds: number, doorbell: number): Promise<void> {
    if (this.#converses) {
      // A wait for a shared word cannot be given up: it has to end by itself in time.
      const bell = Atomics.waitAsync(this.#control.slots, ControlSlot.doorbell, doorbell, milliseconds);
      if (!bell.async) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        void bell.value.then(() => resolve());
      });
      this.#wake = null;
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      // Longer than a timer can hold; waking early is harmless.
      if (milliseconds !== Infinity) timer = setTimeout(resolve, Math.min(milliseconds, 0x7fff_ffff));
    });
    clearTimeout(timer);
    this.#wake = null;
  }

  #receive(message: ToWorker): void {
    const guest = this.#guest;
    if (!guest && message.type === 'input') {
      // Typed ahead: it is there once the guest is.
      this.#early.push(message);
      return;
    }
    switch (message.type) {
      case 'input':
        if (message.port === 1) guest?.serialInput(message.bytes);
        else guest?.secondSerialInput?.(message.bytes);
        break;
      case 'listen':
        this.#isHeard = message.listening;
        this.#listen();
        break;
      case 'powerButton':
        guest?.powerButton();
        break;
      case 'control':
        this.#operate(message.input);
        break;
      case 'balloon':
        if (guest?.balloon) guest.balloon.target = message.pages;
        if (message.ask) guest?.balloon?.askStatistics();
        break;
      case 'ask':
        void this.#answer(message.id, message.ask);
        break;
      case 'screen':
        this.#screen.wish(message.wish);
    }
    this.#wake?.();
  }

  /** A key or the pointer of a person at the guest's window. */
  #operate(action: Extract<ToWorker, { type: 'control' }>['input']): void {
    const input = this.#guest?.input;
    if (!input) return;
    this.#screen.hurry();
    switch (action.type) {
      case 'key':
        input.key(action.code, action.pressed);
        return;
      case 'move':
        input.move(action.dx, action.dy, action.wheel);
        return;
      case 'moveTo':
        input.moveTo(action.x, action.y);
        return;
      case 'buttons':
        input.buttons(action.held);
    }
  }

  async #answer(id: number, ask: Ask): Promise<void> {
    let answer: Answer;
    try {
      if (!this.#guest) answer = { problem: 'The guest is still starting.' };
      else if (ask.type === 'retryDisks') answer = await this.#tryAgain();
      else if (ask.type === 'save') answer = await this.#askSave(ask.file);
      else if (ask.type === 'changeMedium') {
        const change = this.#changing.then(() => this.#changeMedium(ask));
        this.#changing = change.catch(() => {});
        answer = await change;
      } else answer = answerOf(this.#guest, ask);
    } catch (error) {
      answer = { problem: (error as Error).message };
    }
    this.#screen.hurry();
    this.#send({ type: 'answer', id, answer }, answer.picture ? [answer.picture.pixels.buffer] : []);
  }

  /** Has the state saved by the loop, which alone knows when the guest stands still. */
  #askSave(file: string): Promise<Answer> {
    if (this.#saving) return Promise.resolve({ problem: 'The guest is being saved already.' });
    return new Promise((tell) => {
      this.#saving = { file, tell };
      this.#wake?.();
    });
  }

  #setState(state: GuestState): void {
    Atomics.store(this.#control.slots, ControlSlot.state, state);
  }

  #mark(name: string): void {
    this.#send({ type: 'mark', name, seconds: (performance.now() - this.#startedAt) / 1000 });
  }

  #send(message: FromWorker, buffers: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, buffers);
  }
}

function answerOf(guest: Guest, ask: Exclude<Ask, { type: 'changeMedium' | 'retryDisks' | 'save' }>): Answer {
  if (ask.type === 'type') {
    if (!guest.input) return { problem: 'The guest has no keyboard.' };
    return guest.input.type(ask.strokes) ? {} : { problem: 'The guest has yet to take what was typed before.' };
  }
  if (ask.type === 'processes') return { problem: 'Only guests of kind os tell of processes.' };
  if (!guest.screen) return { problem: 'The guest has no display.' };
  return ask.type === 'screenText' ? { text: guest.screen.text() ?? null } : { picture: takePicture(guest)! };
}

function configOf(start: GuestStart): GuestConfig {
  const {
    kind,
    memoryMiB,
    cpus,
    deterministic,
    noReboot,
    watchdog,
    append,
    translation,
    bootOrder,
    virtio,
    virtioTransport,
    balloonMiB,
  } = start;
  const paravirt = start.paravirt === 'auto' ? {} : { paravirt: start.paravirt };
  const kernel = start.kernel === null ? {} : { kernel: readBootFile(start.kernel, 'kernel', memoryMiB) };
  const bios = start.kernel !== null || start.bios === null ? {} : { bios: readBiosFile(start.bios) };
  const initrd = start.initrd === null ? {} : { initrd: readBootFile(start.initrd, 'initrd', memoryMiB) };
  const boot = { ...kernel, ...initrd, append };
  const uuid = start.uuid === null ? {} : { uuid: start.uuid };
  const generation = start.generation === null ? {} : { generation: start.generation };
  return {
    kind,
    memoryMiB,
    cpus,
    deterministic,
    noReboot,
    watchdog,
    translation,
    boot,
    awaitsState: start.savedState !== null,
    bootOrder,
    virtio,
    virtioTransport,
    balloonMiB,
    ...bios,
    ...paravirt,
    ...uuid,
    ...generation,
  };
}

if (!parentPort) throw new Error('This module is the thread of a guest; start it as a worker.');
tuneEngine();
await new GuestThread(parentPort, workerData as WorkerStart).execute();
