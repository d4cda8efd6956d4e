// Open files on their way from socket to socket: sent by SCM_RIGHTS and not received yet.
// Owns their number, its bound, and the search for sockets that only reach each other (net/unix/garbage.c).
// Never delivers a message.

import { errno } from '../../errno.ts';
import type { Description } from '../../kernel/descriptors.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { OpenFile } from '../../vfs/types.ts';
import type { UnixSocket } from './unix-socket.ts';

/** Most that are under way at once: a bound on memory for programs that send and never receive. */
const IN_FLIGHT_MAX = 65_536;
/** Nanoseconds until sockets are looked through after one was closed: many are often closed together. */
const COLLECT_AFTER = 2e6;

/** Open files of one message, which hold them. */
export class Passed {
  private readonly owner: InFlight;
  private descriptions: readonly Description[];
  /** In whose queue they lie. */
  readonly receiver: UnixSocket;

  constructor(owner: InFlight, descriptions: readonly Description[], receiver: UnixSocket) {
    this.owner = owner;
    this.descriptions = descriptions;
    this.receiver = receiver;
    for (const description of descriptions) description.hold();
  }

  get files(): readonly Description[] {
    return this.descriptions;
  }

  /** They are the caller's to drop from here on. */
  take(): readonly Description[] {
    const { descriptions } = this;
    this.descriptions = [];
    this.owner.remove(this, descriptions.length);
    return descriptions;
  }

  /** Another hold of each, for who only looks at the message. */
  copy(): readonly Description[] {
    return this.descriptions.map((description) => description.hold());
  }

  drop(): void {
    for (const description of this.take()) description.drop();
  }
}

export class InFlight {
  private readonly kernel: Kernel;
  private readonly messages = new Set<Passed>();
  private count = 0;
  private isDue = false;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Takes files under way. Throws ETOOMANYREFS. */
  pass(descriptions: readonly Description[], receiver: UnixSocket): Passed {
    if (this.count + descriptions.length > IN_FLIGHT_MAX) {
      this.collect();
      if (this.count + descriptions.length > IN_FLIGHT_MAX) throw errno('ETOOMANYREFS');
    }
    const passed = new Passed(this, descriptions, receiver);
    this.count += descriptions.length;
    this.messages.add(passed);
    return passed;
  }

  remove(passed: Passed, count: number): void {
    if (this.messages.delete(passed)) this.count -= count;
  }

  /** A socket was closed: those that were sent to it may be out of reach now. */
  socketClosed(): void {
    if (this.isDue || this.messages.size === 0) return;
    this.isDue = true;
    this.kernel.timers.at(this.kernel.now() + COLLECT_AFTER, () => {
      this.isDue = false;
      this.collect();
    });
  }

  /** Releases what nobody can receive any more. */
  collect(): void {
    const onTheWay = new Map<Description, number>();
    for (const { files } of this.messages)
      for (const description of files)
        if (isUnixSocket(description.file)) onTheWay.set(description, (onTheWay.get(description) ?? 0) + 1);
    /** Sockets that no descriptor leads to, only messages. */
    const hidden = new Set<UnixSocket>();
    for (const [description, count] of onTheWay)
      if (description.holderCount === count) hidden.add(description.file as UnixSocket);
    if (hidden.size === 0) return;
    const byReceiver = new Map<UnixSocket, Passed[]>();
    for (const message of this.messages) {
      const { holder } = message.receiver;
      const list = byReceiver.get(holder);
      if (list) list.push(message);
      else byReceiver.set(holder, [message]);
    }
    const reached: UnixSocket[] = [...byReceiver.keys()].filter((socket) => !hidden.has(socket));
    const isReached = new Set(reached);
    for (let socket = reached.pop(); socket; socket = reached.pop())
      for (const { files } of byReceiver.get(socket) ?? [])
        for (const { file } of files)
          if (isUnixSocket(file) && !isReached.has(file)) {
            isReached.add(file);
            reached.push(file);
          }
    for (const socket of hidden)
      if (!isReached.has(socket)) for (const message of byReceiver.get(socket) ?? []) message.drop();
  }
}

/** Told by what only these have: their class knows this module already. */
const isUnixSocket = (file: OpenFile): file is UnixSocket => 'waitsAt' in file;
