// The one server of the contract: answers calls, tells events, carries streams, over whatever connects to it.
// Owns the connections' sessions and the check of everything that comes in.
// Never knows what carries a connection, and never trusts what arrives on one.

import { setTimeout as sleep } from 'node:timers/promises';
import { Appliances } from './appliances/appliances.ts';
import { Comparisons, type ComparisonsOptions } from './compare/comparisons.ts';
import { Images } from './containers/images/images.ts';
import {
  type CallName,
  type CallOutput,
  type CallParameters,
  ClientFrame,
  calls,
  decodeProgramInput,
  type EventName,
  encodeProgramMessage,
  events,
  explain,
  Failure,
  type GuestView,
  PROGRAM_INPUT_MAX,
  type ProgramInput,
  type ProgramMessage,
  type SerialPort,
  type ServerFrame,
  SOUND_FRAME_BYTES,
  SOUND_HZ,
  type StreamName,
  type StreamParameters,
  streams,
  type Transport,
} from './contract.ts';
import { withNewDisks } from './disks/disks.ts';
import { inspectMedium } from './disks/inspect.ts';
import { listFolder } from './files/browse.ts';
import { identifyFile } from './files/identify.ts';
import { clearUploads, Upload } from './files/upload.ts';
import { autostart } from './guests/autostart.ts';
import { inspectKernel } from './guests/boot-files.ts';
import { GuestManager } from './guests/guest-manager.ts';
import type { ProgramHandle } from './guests/running-guest.ts';
import { type Recovered, recover } from './home/recovery.ts';
import { hostInfo } from './host.ts';
import { Inventory } from './inventory/inventory.ts';
import { Starter, type StarterOptions } from './starter/starter.ts';

/**
 * A front end that is this many bytes behind misses console output until it has caught up: a guest can print faster
 * than any page can draw, and what waits is our memory.
 */
const OUTPUT_BACKLOG_MAX = 2 * 2 ** 20;

/**
 * One that is this many bytes behind does not listen any more, and is cut off. The largest thing ever sent at once is a
 * display of 2560 × 1600, in base64 where the carrier needs that: 22 MiB.
 */
const BACKLOG_MAX = 48 * 2 ** 20;

/** A front end that is this many bytes behind misses sound: half a second of it, which is late enough. */
const SOUND_BACKLOG_MAX = (SOUND_HZ * SOUND_FRAME_BYTES) / 2;

/** Milliseconds between two looks whether a front end has caught up with what a program writes. */
const CATCH_UP_EVERY = 20;

const SKIPPED = new TextEncoder().encode('\r\n[output skipped]\r\n');

/** Streams one connection may have open: far more than windows on a screen. */
const STREAMS_MAX = 256;

/** The way back to a front end. */
export interface Peer {
  send(frame: ServerFrame): void;
  close(): void;
  /** Bytes sent but not yet taken; 0 where the carrier does not know. */
  backlog?(): number;
}

/** The server's half of one connection. */
export interface Connection {
  /** A frame of the front end, unchecked. */
  receive(frame: unknown): void;
  /** The front end is gone. */
  close(): void;
}

export interface ServerOptions {
  home: string;
  /** Whether this process owns the home: one at a time does, and sees to what the last one left behind. */
  isOwner: boolean;
  /** Module whose `createGuest` replaces the core's, for tests. */
  machineModule?: string | undefined;
  /** Compares the kinds in place of the real way, for tests. */
  compare?: ComparisonsOptions['compare'];
  /** Makes the starter's files in place of the real way, for tests. */
  linuxFiles?: StarterOptions['linuxFiles'];
}

type Handlers = {
  [Name in CallName]: (input: CallParameters<Name>) => CallOutput<Name> | Promise<CallOutput<Name>>;
};

export class Server {
  readonly home: string;
  readonly guests: GuestManager;
  /** What was found of an owner before that was killed. */
  readonly recovered: Recovered;
  readonly #inventory: Inventory;
  readonly #images: Images;
  readonly #comparisons: Comparisons;
  readonly #sessions = new Set<Session>();
  readonly #handlers: Handlers;
  /** Called whenever a connection or a guest came or went. */
  onActivity: () => void = () => {};

  /** Throws a `HomeError` with one sentence if the home cannot be used. */
  constructor(options: ServerOptions) {
    this.home = options.home;
    this.#inventory = Inventory.open(options.home);
    this.recovered = options.isOwner ? recover(options.home, this.#inventory) : { crashed: [], swept: [] };
    if (options.isOwner) clearUploads(options.home);
    const emit = (name: EventName, payload: unknown): void => {
      for (const session of this.#sessions) session.tell(name, payload);
      if (name === 'guest.changed') this.onActivity();
    };
    const images = new Images({
      home: options.home,
      inventory: this.#inventory,
      added: (image) => emit('image.added', image),
      removed: (id) => emit('image.removed', { id }),
      progress: (progress) => emit('images.progress', progress),
    });
    this.#images = images;
    const guests = new GuestManager({
      home: options.home,
      inventory: this.#inventory,
      emit,
      images,
      machineModule: options.machineModule,
    });
    this.guests = guests;
    this.#comparisons = new Comparisons({
      changed: (state) => emit('compare.changed', state),
      compare: options.compare,
    });
    const starter = new Starter({
      guests,
      progress: (progress) => emit('starter.progress', progress),
      linuxFiles: options.linuxFiles,
    });
    const appliances = new Appliances({
      home: options.home,
      guests,
      progress: (progress) => emit('appliances.progress', progress),
    });
    this.#handlers = {
      'host.info': () => hostInfo(options.home),
      'guests.list': () => guests.list(),
      'guests.get': ({ guest }) => guests.get(guest),
      'guests.create': ({ settings, newDisks }) =>
        withNewDisks(options.home, newDisks, () => guests.createWithImage(settings)),
      'guests.set': ({ guest, settings, newDisks, force }) =>
        withNewDisks(options.home, newDisks, () => guests.set(guest, settings, force)),
      'guests.start': ({ guest }) => guests.start(guest),
      'guests.stop': ({ guest, force }) => guests.stop(guest, force),
      'guests.pause': ({ guest }) => guests.pause(guest),
      'guests.resume': ({ guest }) => guests.resume(guest),
      'guests.save': ({ guest }) => guests.save(guest),
      'guests.discard': ({ guest }) => guests.discard(guest),
      'guests.reset': ({ guest }) => guests.reset(guest),
      'guests.clone': ({ guest, name, linked }) => guests.clone(guest, name, linked),
      'guests.remove': ({ guest, snapshots, disks }) => guests.remove(guest, snapshots, disks),
      'reserve.get': () => guests.reserve,
      'reserve.set': (reserve) => guests.setReserve(reserve),
      'snapshots.list': ({ guest }) => guests.snapshots(guest),
      'snapshots.take': ({ guest, name }) => guests.takeSnapshot(guest, name),
      'snapshots.restore': ({ guest, snapshot }) => guests.restoreSnapshot(guest, snapshot),
      'snapshots.delete': ({ guest, snapshot }) => guests.deleteSnapshot(guest, snapshot),
      'guests.type': ({ guest, text }) => guests.type(guest, text),
      'guests.press': ({ guest, keys }) => guests.press(guest, keys),
      'guests.screenshot': ({ guest }) => guests.screenshot(guest),
      'guests.glance': (input) => guests.glance(input),
      'guests.processes': ({ guest }) => guests.processes(guest),
      'guests.resize': ({ guest, size }) => {
        guests.resize(guest, size);
        return {};
      },
      'guests.endInput': ({ guest }) => {
        guests.endInput(guest);
        return {};
      },
      'guests.report': ({ guest }) => guests.report(guest),
      'networks.list': () => guests.networks.list(),
      'networks.link': (input) => guests.networks.link(input),
      'networks.capture': (input) => guests.networks.capture(input),
      'stats.history': ({ guest }) => guests.history(guest),
      'usage.guest': ({ guest, range, since }) => guests.usage(guest, range, since),
      'usage.host': ({ range, since }) => guests.hostUsage(range, since),
      'peers.list': () => guests.peers,
      'pool.get': () => guests.pool.view,
      'pool.set': ({ budgetMiB }) => guests.setMemoryBudget(budgetMiB),
      'media.inspect': ({ path, use, format }) => inspectMedium(path, use, format),
      'kernels.inspect': ({ path }) => inspectKernel(path),
      'files.list': ({ folder }) => listFolder(folder),
      'files.identify': ({ path }) => identifyFile(path),
      'images.list': () => images.list(),
      'images.import': (input) => images.import(input),
      'images.remove': ({ image }) => images.remove(image),
      'appliances.export': ({ guest, file }) => appliances.export(guest, file),
      'appliances.inspect': ({ file }) => appliances.inspect(file),
      'appliances.import': ({ file, name }) => appliances.import(file, name),
      'compare.get': () => this.#comparisons.state,
      'compare.start': (wish) => this.#comparisons.start(wish),
      'compare.stop': () => this.#comparisons.stop(),
      'starter.available': () => starter.availability(),
      'starter.create': (input) => starter.create(input),
    };
  }

  /** Starts the guests that start with Trivisor. `failed` is told of those that cannot be started. */
  autostart(signal: AbortSignal, failed: (guest: GuestView, sentence: string) => void): Promise<number> {
    return autostart({
      list: () => this.guests.list(),
      start: (id) => this.guests.start(id),
      failed,
      wait: (milliseconds) => sleep(milliseconds, undefined, { signal }).catch(() => {}),
      signal,
    });
  }

  /** Connections open now. */
  get connections(): number {
    return this.#sessions.size;
  }

  connect(peer: Peer): Connection {
    const session = new Session(peer, this, (name, input) => this.#call(name, input));
    this.#sessions.add(session);
    return {
      receive: (frame) => session.receive(frame),
      close: () => {
        session.close();
        if (this.#sessions.delete(session)) this.onActivity();
      },
    };
  }

  /** A transport for a client in this very process. */
  connectDirectly(): Transport {
    let receive: (frame: unknown) => void = () => {};
    let closed: (reason: string) => void = () => {};
    // Deferred both ways, as over any other carrier: nobody is called back from within their own call.
    const connection = this.connect({
      send: (frame) => queueMicrotask(() => receive(frame)),
      close: () => queueMicrotask(() => closed('The server closed the connection.')),
    });
    return {
      send: (frame) => queueMicrotask(() => connection.receive(frame)),
      onFrame: (listener) => (receive = listener),
      onClose: (listener) => (closed = listener),
      close: () => connection.close(),
    };
  }

  /** Ends every guest without asking it, and every connection. */
  async close(): Promise<void> {
    await this.#comparisons.stop();
    await this.guests.close();
    await this.#images.close();
    for (const session of this.#sessions) session.end();
    this.#sessions.clear();
    this.#inventory.close();
  }

  async #call(name: string, input: unknown): Promise<unknown> {
    if (!Object.hasOwn(calls, name)) throw new Failure('wrong', `There is no call ${name}.`);
    const checked = calls[name as CallName].input.safeParse(input);
    if (!checked.success) throw new Failure('wrong', `${explain(checked.error)}.`);
    // The name chose both the schema and the handler, which the types cannot see.
    return (this.#handlers[name as CallName] as (input: unknown) => unknown)(checked.data);
  }
}

/** A stream that a front end opened. */
interface OpenStream {
  receive(bytes: Uint8Array): void;
  detach(): void;
}

/** One connected front end. */
class Session {
  readonly #peer: Peer;
  readonly #guests: GuestManager;
  readonly #home: string;
  readonly #call: (name: string, input: unknown) => Promise<unknown>;
  readonly #subscriptions = new Set<string>();
  readonly #streams = new Map<number, OpenStream>();
  #isOpen = true;

  constructor(
    peer: Peer,
    { guests, home }: Pick<Server, 'guests' | 'home'>,
    call: (name: string, input: unknown) => Promise<unknown>,
  ) {
    this.#peer = peer;
    this.#guests = guests;
    this.#home = home;
    this.#call = call;
  }

  receive(raw: unknown): void {
    if (!this.#isOpen) return;
    const parsed = ClientFrame.safeParse(raw);
    // Whoever does not speak the contract is another program or another version; there is nothing to answer.
    if (!parsed.success) {
      this.end();
      return;
    }
    const frame = parsed.data;
    switch (frame.type) {
      case 'call':
        void this.#answer(frame.id, frame.name, frame.input);
        return;
      case 'subscribe':
        if (Object.hasOwn(events, frame.event)) this.#subscriptions.add(frame.event);
        return;
      case 'unsubscribe':
        this.#subscriptions.delete(frame.event);
        return;
      case 'open':
        this.#open(frame.id, frame.stream, frame.input);
        return;
      case 'data':
        this.#streams.get(frame.id)?.receive(frame.bytes);
        return;
      case 'close':
        this.#streams.get(frame.id)?.detach();
        this.#streams.delete(frame.id);
    }
  }

  tell(event: EventName, payload: unknown): void {
    if (this.#subscriptions.has(event)) this.#send({ type: 'event', event, payload });
  }

  /** The front end is gone, or is to go. */
  close(): void {
    this.#isOpen = false;
    for (const { detach } of this.#streams.values()) detach();
    this.#streams.clear();
  }

  end(): void {
    if (!this.#isOpen) return;
    this.close();
    this.#peer.close();
  }

  async #answer(id: number, name: string, input: unknown): Promise<void> {
    try {
      const output = await this.#call(name, input);
      this.#send({ type: 'result', id, output });
    } catch (error) {
      const code = error instanceof Failure ? error.code : 'failed';
      this.#send({ type: 'failure', id, code, message: error instanceof Error ? error.message : String(error) });
    }
  }

  #open(id: number, stream: string, input: unknown): void {
    try {
      if (this.#streams.has(id)) throw new Failure('wrong', 'A stream of this number is open already.');
      if (this.#streams.size >= STREAMS_MAX) throw new Failure('failed', 'Too many streams are open.');
      if (!Object.hasOwn(streams, stream)) throw new Failure('wrong', `There is no stream ${stream}.`);
      const checked = streams[stream as StreamName].input.safeParse(input);
      if (!checked.success) throw new Failure('wrong', `${explain(checked.error)}.`);
      if (stream === 'upload') {
        this.#openUpload(id, streams.upload.input.parse(input));
        return;
      }
      const { id: guest } = this.#guests.get((checked.data as { guest: string }).guest);
      if (stream === 'display') this.#openDisplay(id, guest);
      else if (stream === 'sound') this.#openSound(id, guest);
      else if (stream === 'program') this.#openProgram(id, guest, streams.program.input.parse(input));
      else this.#openConsole(id, guest, streams.console.input.parse(input).port);
    } catch (error) {
      this.#send({ type: 'closed', id, reason: (error as Error).message });
    }
  }

  #openConsole(id: number, guest: string, port: SerialPort): void {
    // Noted before it is attached: the scrollback comes from within `attach`.
    const receive = (bytes: Uint8Array): void => this.#guests.input(guest, bytes, port);
    const entry = { isSkipping: false, receive, detach: (): void => {} };
    this.#streams.set(id, entry);
    entry.detach = this.#guests.console(guest, port).attach(
      (bytes) => {
        const isBehind = (this.#peer.backlog?.() ?? 0) > OUTPUT_BACKLOG_MAX;
        if (isBehind && !entry.isSkipping) this.#send({ type: 'data', id, bytes: SKIPPED });
        entry.isSkipping = isBehind;
        if (!isBehind) this.#send({ type: 'data', id, bytes });
      },
      () => this.#closeStream(id, 'The guest was removed.'),
    );
  }

  #openDisplay(id: number, guest: string): void {
    // A window that does not keep up is waited for, frame by frame: nothing piles up that could be skipped.
    const window = this.#guests.display(guest).attach(
      (bytes) => this.#send({ type: 'data', id, bytes }),
      () => this.#closeStream(id, 'The guest was removed.'),
    );
    this.#streams.set(id, window);
  }

  #openSound(id: number, guest: string): void {
    const detach = this.#guests.sound(guest).attach(
      (bytes) => {
        if ((this.#peer.backlog?.() ?? 0) <= SOUND_BACKLOG_MAX) this.#send({ type: 'data', id, bytes });
      },
      () => this.#closeStream(id, 'The guest was removed.'),
    );
    this.#streams.set(id, { receive: () => {}, detach });
  }

  #openProgram(
    id: number,
    guest: string,
    { command, env, workdir, user, terminal }: StreamParameters<'program'>,
  ): void {
    const request = { command, environment: env, workingDirectory: workdir, user, terminal };
    // What is sent before the program has started waits; the stream may be closed meanwhile too.
    let handle: ProgramHandle | null = null;
    const early: ProgramInput[] = [];
    let untaken = 0;
    let isLeft = false;
    let held: NodeJS.Timeout | undefined;
    const isBehind = (): boolean => (this.#peer.backlog?.() ?? 0) > OUTPUT_BACKLOG_MAX;
    const letGo = (): void => {
      clearInterval(held);
      held = undefined;
    };
    const send = (message: ProgramMessage): void => {
      if (isLeft) return;
      if (message.type === 'taken') untaken -= message.bytes;
      this.#send({ type: 'data', id, bytes: encodeProgramMessage(message) });
      if (message.type === 'ended') {
        letGo();
        this.#closeStream(id, 'The program has ended.');
      } else if (handle && !held && isBehind()) {
        // Nothing of its output is skipped: the program waits until its front end has caught up.
        handle.hold(true);
        held = setInterval(() => {
          if (isBehind()) return;
          letGo();
          handle?.hold(false);
        }, CATCH_UP_EVERY);
      }
    };
    const detach = (): void => {
      isLeft = true;
      letGo();
      handle?.leave();
    };
    const receive = (bytes: Uint8Array): void => {
      const input = decodeProgramInput(bytes);
      if (input?.type === 'input') untaken += input.bytes.length;
      if (!input || untaken > PROGRAM_INPUT_MAX) {
        detach();
        this.#closeStream(
          id,
          input ? 'More was sent than the program takes.' : 'What was sent is no input of a program.',
        );
      } else if (handle) handle.send(input);
      else early.push(input);
    };
    this.#streams.set(id, { receive, detach });
    this.#guests.execute(guest, request, send).then(
      (started) => {
        handle = started;
        if (isLeft) started.leave();
        for (const input of early.splice(0)) started.send(input);
      },
      (error: Error) => this.#closeStream(id, error.message),
    );
  }

  #openUpload(id: number, request: StreamParameters<'upload'>): void {
    const upload = new Upload(this.#home, request, {
      tell: (message) => this.#send({ type: 'data', id, bytes: Buffer.from(JSON.stringify(message)) }),
      ended: (reason) => this.#closeStream(id, reason),
    });
    this.#streams.set(id, { receive: (bytes) => upload.receive(bytes), detach: () => upload.leave() });
  }

  #closeStream(id: number, reason: string): void {
    if (this.#streams.delete(id)) this.#send({ type: 'closed', id, reason });
  }

  #send(frame: ServerFrame): void {
    if (!this.#isOpen) return;
    this.#peer.send(frame);
    if ((this.#peer.backlog?.() ?? 0) > BACKLOG_MAX) this.end();
  }
}
