// One guest of the shared kernel's thread: its container, its programs' streams, and what main wants of it.
// Owns its life between `started` and `ended`, its share of the thread's time, and its counters.
// Never waits: the thread does, for all of its guests.

import { randomFillSync } from 'node:crypto';
import { Command, ControlBlock, ControlSlot, GuestState } from '../../native-free-core/hypervisor/control-block.ts';
import { WEIGHT_DEFAULT } from '../../native-free-core/hypervisor/cpu-shares.ts';
import type { GuestHost, ProgramRequest, RunningProgram } from '../../native-free-core/hypervisor/guest.ts';
import { OsGuest } from '../../native-free-core/machines/os-guest.ts';
import type { OsMachine } from '../../native-free-core/machines/os-machine.ts';
import { cardOf } from '../guests/cable-ports.ts';
import { ConsoleWatch } from '../guests/console-watch.ts';
import { OutputBatch } from '../guests/output-batch.ts';
import type { Answer, Ask, FromWorker, ToWorker, WorkerEnd, WorkerStart } from '../guests/worker-messages.ts';
import { openContainer } from './container-start.ts';
import type { GuestChanges } from './guest-changes.ts';

/** Counters are brought up to date at most this often (milliseconds) while the guest executes. */
const PUBLISH_EVERY = 50;
/** Waits longer than this (milliseconds) are worth telling the counters before. */
const LONG_WAIT = 5;
/** A cap is in 1/1000 of a processor. */
const WHOLE = 1000;

export class HostedGuest {
  /** Milliseconds of `performance.now` from which it has something to do; Infinity: nothing before something comes. */
  dueAt = 0;
  /** Nanoseconds that it has executed, by its weight. */
  virtual = 0;
  weight = WEIGHT_DEFAULT;
  readonly hasNetwork: boolean;
  readonly control: ControlBlock;
  readonly #start: WorkerStart;
  readonly #send: (message: FromWorker, buffers?: ArrayBuffer[]) => void;
  readonly #machine: OsMachine;
  readonly #output: OutputBatch;
  readonly #secondOutput: OutputBatch;
  readonly #watch: ConsoleWatch;
  readonly #programs = new Map<number, RunningProgram>();
  readonly #startedAt = performance.now();
  #guest: OsGuest | undefined;
  #closeFiles: () => void = () => {};
  #changes: GuestChanges | null = null;
  /** In 1/1000 of a processor; 0: none. */
  #cap = 0;
  /** Milliseconds of `performance.now` until which its cap holds it. */
  #restsUntil = 0;
  #isPaused = false;
  #publishedAt = 0;
  /** System calls in vain that were told of. */
  #toldInVain = 0;
  /** Milliseconds for which it had something to do and did not execute, and for which the thread was busy for it. */
  #waited = 0;
  #scheduling = 0;
  /** Nanoseconds: what it took to find out who has a processor, and of slices, executed and given to others. */
  #sharing = 0;
  #processed = 0;
  #stolen = 0;

  constructor(start: WorkerStart, machine: OsMachine, send: (message: FromWorker, buffers?: ArrayBuffer[]) => void) {
    this.#start = start;
    this.#machine = machine;
    this.#send = send;
    this.hasNetwork = start.guest.nets.length > 0;
    this.control = new ControlBlock(start.control);
    this.#output = new OutputBatch(send, 1);
    this.#secondOutput = new OutputBatch(send, 2);
    this.#watch = new ConsoleWatch(start.script, {
      type: ({ serial }, where) => {
        if (where === 'serial') this.#guest?.serialInput(new TextEncoder().encode(serial ?? ''));
      },
      matched: (pattern, isUntil) => this.#mark(isUntil ? 'until' : `type-after ${pattern.source}`),
    });
  }

  /** Builds the container. False: it cannot be started, which has been told. */
  begin(): boolean {
    this.#setState(GuestState.starting);
    const { guest, script } = this.#start;
    const { kind, memoryMiB, cpus, deterministic, noReboot, append, nets } = guest;
    try {
      if (script.untilScreen !== null || script.type.some(({ serial }) => serial === null))
        throw new Error('This guest has no display that could be waited for.');
      const { container, changes, close } = openContainer(guest.container!);
      this.#closeFiles = close;
      this.#changes = changes;
      const boot = { append };
      const config = { kind, memoryMiB, cpus, deterministic, noReboot, boot, nets: nets.map(cardOf), container };
      this.#guest = new OsGuest(config, this.#host(), this.#machine);
    } catch (error) {
      this.#closeFiles();
      this.#setState(GuestState.dead);
      this.#send({ type: 'refused', message: (error as Error).message });
      return false;
    }
    this.#mark('started');
    this.#send({ type: 'started' });
    return true;
  }

  #host(): GuestHost {
    return {
      control: this.control,
      monotonicNanoseconds: () => performance.now() * 1e6,
      wallMilliseconds: () => Date.now(),
      randomness: (into) => void randomFillSync(into),
      inputTaken: (bytes) => this.#send({ type: 'taken', bytes }),
      serialOutput: (bytes) => {
        this.#watch.write(bytes);
        this.#output.add(bytes);
      },
      ...(this.#start.wants.secondSerial
        ? { secondSerialOutput: (bytes: Uint8Array) => this.#secondOutput.add(bytes) }
        : {}),
    };
  }

  /** Whether main wants another state of it than it is in. */
  get isCommanded(): boolean {
    const command = Atomics.load(this.control.slots, ControlSlot.command);
    return command !== (this.#isPaused ? Command.pause : Command.run);
  }

  /** What main wants at once; a guest that was paused may go on, and one that was stopped is over. */
  obey(): WorkerEnd | undefined {
    const command = Atomics.load(this.control.slots, ControlSlot.command);
    if (command === Command.stop) return { reason: 'forced', detail: 'The guest was stopped without being asked.' };
    const isPaused = command === Command.pause;
    if (isPaused === this.#isPaused) return undefined;
    this.#isPaused = isPaused;
    if (isPaused) {
      this.#guest!.pause();
      this.#setState(GuestState.paused);
      this.#publish();
      this.#flush();
    } else {
      this.#guest!.resume();
      this.dueAt = performance.now();
    }
    return undefined;
  }

  /** Milliseconds of `performance.now` from which it may execute; Infinity: not before something comes. */
  get readyAt(): number {
    return this.#isPaused ? Number.POSITIVE_INFINITY : Math.max(this.dueAt, this.#restsUntil);
  }

  /** Something has come for it. */
  wake(): void {
    this.dueAt = Math.min(this.dueAt, performance.now());
  }

  /** Executes for at most about so many milliseconds. Its end, if that has come. */
  run(milliseconds: number): WorkerEnd | undefined {
    const began = performance.now();
    this.#waited += Math.max(0, began - this.dueAt);
    this.#setState(GuestState.running);
    const result = this.#guest!.run(milliseconds);
    const now = performance.now();
    this.#flush();
    if (this.#watch.isDone) return { reason: 'until', detail: 'The awaited line came.' };
    if (result.state === 'ended') return result.end;
    if (result.state === 'halted') {
      const wait = Math.max(0, (result.wakeIn + (result.slack ?? 0)) / 1e6);
      this.dueAt = now + wait;
      if (wait > 0) this.#setState(GuestState.halted);
      if (wait >= LONG_WAIT) this.#publish();
    } else this.dueAt = now;
    if (now - this.#publishedAt >= PUBLISH_EVERY) this.#publish();
    this.#scheduling += performance.now() - now;
    return undefined;
  }

  /**
   * It has executed for so many nanoseconds of the host's processors, which took so many milliseconds; to find out who has one took
   * the thread so many nanoseconds.
   */
  charge(nanoseconds: number, milliseconds: number, sharing: number): void {
    this.#processed += nanoseconds;
    this.#stolen += Math.max(0, milliseconds * 1e6 - nanoseconds);
    this.#sharing += sharing;
    this.virtual += (nanoseconds * WEIGHT_DEFAULT) / this.weight;
    if (this.#cap > 0) this.#restsUntil = performance.now() + Math.max(0, nanoseconds * (WHOLE / this.#cap - 1)) / 1e6;
  }

  receive(message: ToWorker): void {
    const guest = this.#guest!;
    this.wake();
    switch (message.type) {
      case 'input':
        if (message.port === 1) guest.serialInput(message.bytes);
        return;
      case 'powerButton':
        guest.powerButton();
        return;
      case 'endInput':
        guest.endInput();
        return;
      case 'resize':
        guest.resize(message.rows, message.columns);
        return;
      case 'share':
        this.weight = message.weight;
        this.#cap = message.cap;
        return;
      case 'execute':
        this.#execute(message.id, message.request);
        return;
      case 'program':
        this.#direct(message.id, message.input);
        return;
      case 'ask':
        this.#send({ type: 'answer', id: message.id, answer: this.#answer(message.ask) });
    }
  }

  /** Starts a program beside the container's first. */
  #execute(id: number, request: ProgramRequest): void {
    const tell = (message: Extract<FromWorker, { type: 'program' }>['message']): void =>
      this.#send({ type: 'program', id, message });
    try {
      const program = this.#guest!.execute(request, {
        output: (bytes, type) => tell({ type, bytes }),
        taken: (bytes) => tell({ type: 'taken', bytes }),
        ended: (status) => {
          this.#programs.delete(id);
          tell({ type: 'ended', status });
        },
      });
      this.#programs.set(id, program);
      tell({ type: 'started' });
    } catch (error) {
      tell({ type: 'refused', problem: (error as Error).message });
    }
  }

  /** What whoever started a program wants of it. */
  #direct(id: number, input: Extract<ToWorker, { type: 'program' }>['input']): void {
    const program = this.#programs.get(id);
    switch (input.type) {
      case 'input':
        program?.input(input.bytes);
        break;
      case 'resize':
        program?.resize(input.rows, input.columns);
        break;
      case 'signal':
        program?.signal(input.number);
        break;
      case 'hold':
        program?.hold(input.held);
        break;
      default:
        program?.[input.type]();
    }
  }

  #answer(ask: Ask): Answer {
    if (ask.type === 'processes') return { processes: this.#guest!.processes() };
    return { problem: 'A guest of kind os has neither display nor drives, and no state that could be saved.' };
  }

  /** The guest is over: nothing of it stays with the thread, its changes are kept, and main is told. Never rejects. */
  async end(end: WorkerEnd): Promise<void> {
    const problems: string[] = [];
    const attempt = (act: () => void): void => {
      try {
        act();
      } catch (error) {
        problems.push(`What it had could not be put away in order: ${(error as Error).stack ?? error}`);
      }
    };
    // What it says after its end, its programs' ends among it, is main's to know already.
    attempt(() => this.#publish());
    attempt(() => this.#flush());
    this.#programs.clear();
    attempt(() => this.#guest!.close());
    try {
      await this.#keep();
    } catch (error) {
      problems.push(`What it has changed could not be kept: ${(error as Error).message}`);
    }
    attempt(() => this.#closeFiles());
    this.#setState(GuestState.dead);
    const detail = [end.detail, ...problems].join(' ');
    this.#send({ type: 'ended', end: problems.length === 0 ? end : { ...end, detail } });
  }

  /** Writes what the guest has changed of its image to the host's disk. */
  async #keep(): Promise<void> {
    const kept = this.#changes;
    const changes = kept && this.#guest!.changes();
    if (!kept || (!changes && kept.bytes === 0)) return;
    this.#send({ type: 'keeping' });
    await kept.keep(changes);
  }

  #flush(): void {
    this.#output.flush();
    this.#secondOutput.flush();
  }

  /** Brings all counters up to date. */
  #publish(): void {
    const { control } = this;
    const guest = this.#guest!;
    guest.publishCounters();
    control.set('schedulingNanoseconds', control.get('schedulingNanoseconds') + this.#scheduling * 1e6);
    control.set('waitedNanoseconds', this.#waited * 1e6);
    control.set('processorNanoseconds', this.#processed);
    control.set('stolenNanoseconds', this.#stolen);
    control.set('sharesNanoseconds', this.#sharing);
    const calls = guest.unimplemented();
    const inVain = Object.values(calls).reduce((total, count) => total + count, 0);
    if (inVain > this.#toldInVain) this.#send({ type: 'unimplemented', calls });
    this.#toldInVain = inVain;
    this.#publishedAt = performance.now();
  }

  #setState(state: GuestState): void {
    Atomics.store(this.control.slots, ControlSlot.state, state);
  }

  #mark(name: string): void {
    this.#send({ type: 'mark', name, seconds: (performance.now() - this.#startedAt) / 1000 });
  }
}
