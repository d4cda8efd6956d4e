// What the three types of AF_UNIX sockets have in common (unix(7)): names, credentials, halves shut down, files passed on.
// Owns the binding of a name, in the file system or in the network namespace, and how one is found again.
// Never moves a message: its subclasses do.

import { type ErrnoCode, errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { demand } from '../../vfs/access.ts';
import { S_IFMT, S_IFSOCK, W_OK } from '../../vfs/constants.ts';
import { mknodAt } from '../../vfs/operations.ts';
import type { Inode } from '../../vfs/types.ts';
import { resolve } from '../../vfs/walk.ts';
import {
  ControlType,
  Family,
  Level,
  RIGHTS_MAX,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SocketOption,
} from '../constants.ts';
import { type ControlMessage, type SendRequest, Socket, type UnixCredentials } from '../socket.ts';
import type { Passed } from './in-flight.ts';
import { readUnixAddress, type UnixName, unixAddress } from './unix-address.ts';

const CAP_SYS_ADMIN = 21;
const CAP_SETGID = 6;
const CAP_SETUID = 7;
/** Who sent a message whose sender was not noted. */
const NOBODY: UnixCredentials = { pid: 0, uid: 65534, gid: 65534 };
/** What a message takes of a buffer beside its bytes, and in what units: small ones take 768 bytes, as on Linux. */
const MESSAGE_BYTES = 576;
const MESSAGE_UNIT = 256;
/** What an autobound name is counted in: five hexadecimal digits. */
const AUTOBIND_NAMES = 0x100000;

/** Sockets by the file that bind made. */
const byInode = new WeakMap<Inode, UnixSocket>();

/** A message in a receiver's queue. */
export interface UnixMessage {
  data: Uint8Array;
  readonly credentials: UnixCredentials | undefined;
  passed: Passed | undefined;
  /** The sender's address. */
  readonly address: Uint8Array;
  /** Who has room again when it was read. */
  readonly from: UnixSocket;
  readonly charge: number;
}

export abstract class UnixSocket extends Socket {
  readonly family = Family.unix;
  protected localName: UnixName = { kind: 'none' };
  private boundInode: Inode | undefined;
  /** Halves that are shut down. */
  shut = 0;
  isDead = false;
  peer: UnixSocket | undefined;
  peerCredentials: UnixCredentials | undefined;
  peerGroups: readonly number[] | undefined;
  protected readonly queue: UnixMessage[] = [];
  /** Bytes that this socket has sent and nobody has read. */
  protected sent = 0;
  /** Somebody found no room to send. */
  protected wantsRoom = false;
  /** The listening socket that this connection waits at. */
  waitsAt: UnixSocket | undefined;

  /** Who holds what lies in this socket's queue: the listening socket until it was accepted. */
  get holder(): UnixSocket {
    return this.waitsAt ?? this;
  }

  /** Path or @name, for /proc/net/unix; empty: none. */
  get shownName(): string {
    const { localName } = this;
    if (localName.kind === 'none') return '';
    return localName.kind === 'path' ? localName.path : `@${localName.name.replaceAll('\0', '@')}`;
  }

  // ---- names

  override bind(task: Task, address: Uint8Array): void {
    const name = readUnixAddress(address);
    if (name.kind === 'none') {
      this.autobind();
      return;
    }
    if (this.localName.kind !== 'none') throw errno('EINVAL');
    if (name.kind === 'abstract') {
      this.bindAbstract(name.name);
      return;
    }
    try {
      const { inode } = mknodAt(task.walk, null, name.path, S_IFSOCK | 0o777, 0);
      this.boundInode = inode;
      byInode.set(inode, this);
    } catch (error) {
      throw error === errno('EEXIST') ? errno('EADDRINUSE') : error;
    }
    this.localName = name;
  }

  private bindAbstract(name: string): void {
    const { abstractNames } = this.network;
    if (abstractNames.has(name)) throw errno('EADDRINUSE');
    abstractNames.set(name, this);
    this.localName = { kind: 'abstract', name };
  }

  /** A name of five hexadecimal digits that nobody has. */
  protected autobind(): void {
    if (this.localName.kind !== 'none') return;
    const { network } = this;
    for (let tries = 0; tries < AUTOBIND_NAMES; tries++) {
      const name = network.nextAutobind().toString(16).padStart(5, '0');
      if (network.abstractNames.has(name)) continue;
      this.bindAbstract(name);
      return;
    }
    throw errno('ENOSPC');
  }

  /** The socket of a name. Throws ECONNREFUSED, EPROTOTYPE, EACCES and what walking a path does. */
  protected find(task: Task, name: UnixName): UnixSocket {
    let found: UnixSocket | undefined;
    if (name.kind === 'abstract') found = this.network.abstractNames.get(name.name);
    else if (name.kind === 'path') {
      const { inode } = resolve(task.walk, null, name.path).dentry;
      demand(inode, W_OK, task.credentials);
      if ((inode.mode & S_IFMT) === S_IFSOCK) found = byInode.get(inode);
    }
    if (!found || found.isDead) throw errno('ECONNREFUSED');
    if (found.type !== this.type) throw errno('EPROTOTYPE');
    return found;
  }

  override name(): Uint8Array {
    return unixAddress(this.localName);
  }

  override peerName(): Uint8Array {
    if (!this.peer) throw errno('ENOTCONN');
    return this.peer.name();
  }

  protected nameAs(other: UnixSocket): void {
    this.localName = other.localName;
  }

  // ---- credentials and files that go with a message

  /** Both ends of a pair. */
  static join(first: UnixSocket, second: UnixSocket, task: Task): void {
    first.peer = second;
    second.peer = first;
    for (const socket of [first, second]) socket.meet(credentialsOf(task), task.credentials.groups);
  }

  protected meet(credentials: UnixCredentials | undefined, groups: readonly number[] | undefined): void {
    this.peerCredentials = credentials;
    this.peerGroups = groups;
  }

  get wantsCredentials(): boolean {
    return this.option(SocketOption.passCredentials) !== 0;
  }

  /** What a message to `receiver` is, its files already under way. Throws EPERM, EINVAL, ETOOMANYREFS. */
  protected message(request: SendRequest, receiver: UnixSocket, data: Uint8Array, withRights: boolean): UnixMessage {
    const told = request.control.find(({ level, type }) => level === Level.socket && type === ControlType.credentials);
    const { sender } = request;
    let credentials = told && readCredentials(told, sender);
    if (!credentials && sender && (this.wantsCredentials || receiver.wantsCredentials || receiver.waitsAt)) {
      const { uid, gid } = sender.credentials;
      credentials = { pid: sender.process.pid, uid, gid };
    }
    if (request.rights.length > RIGHTS_MAX) throw errno('EINVAL');
    const passed =
      withRights && request.rights.length > 0 ? this.network.kernel.inFlight.pass(request.rights, receiver) : undefined;
    const charge = Math.ceil((data.length + MESSAGE_BYTES) / MESSAGE_UNIT) * MESSAGE_UNIT;
    return { data, credentials, passed, address: this.name(), from: this, charge };
  }

  /** The control message that tells a receiver who asked for it of the sender. */
  protected credentialsMessage(credentials: UnixCredentials | undefined): ControlMessage[] {
    if (!this.wantsCredentials) return [];
    const { pid, uid, gid } = credentials ?? NOBODY;
    const reader = this.network.kernel.current;
    const data =
      reader && credentials ? shownTo(reader, credentials) : new Uint8Array(Int32Array.of(pid, uid, gid).buffer);
    return [{ level: Level.socket, type: ControlType.credentials, data }];
  }

  // ---- room

  protected get hasRoom(): boolean {
    return 4 * this.sent <= this.sendBuffer;
  }

  protected enqueue(message: UnixMessage, receiver: UnixSocket): void {
    this.sent += message.charge;
    receiver.queue.push(message);
    receiver.changed.wake();
  }

  /** A message was read or is thrown away: its sender has the room again. */
  protected discharge(message: UnixMessage): void {
    const { from } = message;
    from.sent -= message.charge;
    if (!from.wantsRoom || !from.hasRoom) return;
    from.wantsRoom = false;
    from.changed.wake();
  }

  protected purge(): void {
    for (const message of this.queue.splice(0)) {
      message.passed?.drop();
      this.discharge(message);
    }
  }

  protected writable(): boolean {
    if (this.hasRoom) return true;
    this.wantsRoom = true;
    return false;
  }

  // ---- the rest of its life

  override shutdown(how: number): void {
    this.shut |= how;
    const { peer } = this;
    if (peer && peer.peer === this && this.isConnectionBased) {
      peer.shut |= (how & SHUT_RECEIVE ? SHUT_SEND : 0) | (how & SHUT_SEND ? SHUT_RECEIVE : 0);
      peer.changed.wake();
    }
    this.changed.wake();
  }

  abstract readonly isConnectionBased: boolean;

  override getOption(task: Task, level: number, option: number): Uint8Array {
    if (level === Level.socket && option === SocketOption.peerCredentials) {
      if (!this.peerCredentials) return new Uint8Array(Int32Array.of(0, -1, -1).buffer);
      return shownTo(task, this.peerCredentials);
    }
    if (level === Level.socket && option === SocketOption.peerGroups) {
      if (!this.peerGroups) throw errno('ENODATA');
      return new Uint8Array(Int32Array.from(this.peerGroups, (group) => task.gidSeen(group)).buffer);
    }
    return super.getOption(task, level, option);
  }

  protected override waiting(): { toRead: number; toSend: number } {
    let toRead = 0;
    for (const { data } of this.queue) toRead += data.length;
    return { toRead: this.isConnectionBased ? toRead : (this.queue[0]?.data.length ?? 0), toSend: this.sent };
  }

  /** The other end of a connection learns that this one is gone. */
  protected leavePeer(error: ErrnoCode | null): void {
    const { peer } = this;
    if (!peer) return;
    if (this.isConnectionBased) {
      peer.shut = SHUT_BOTH;
      if (error) peer.pendingError = error;
    }
    peer.changed.wake();
  }

  override release(): void {
    super.release();
    if (this.isDead) return;
    this.isDead = true;
    const { localName, boundInode } = this;
    const { abstractNames } = this.network;
    if (localName.kind === 'abstract' && abstractNames.get(localName.name) === this)
      abstractNames.delete(localName.name);
    if (boundInode && byInode.get(boundInode) === this) byInode.delete(boundInode);
    this.leavePeer(this.queue.length > 0 ? 'ECONNRESET' : null);
    this.purge();
    this.shut = SHUT_BOTH;
    this.changed.wake();
    this.network.kernel.inFlight.socketClosed();
  }
}

/** Who a task is to its peers: its effective user and group. */
export function credentialsOf(task: Task): UnixCredentials {
  return { pid: task.process.pid, uid: task.credentials.euid, gid: task.credentials.egid };
}

/** Credentials with the numbers that a reader knows them by. */
const shownTo = (reader: Task, { pid, uid, gid }: UnixCredentials): Uint8Array =>
  new Uint8Array(Int32Array.of(reader.pidSeen(pid), reader.uidSeen(uid), reader.gidSeen(gid)).buffer);

/** SCM_CREDENTIALS, checked against who sends them (net/core/scm.c). Throws EINVAL, EPERM. */
function readCredentials({ data }: ControlMessage, sender: Task | undefined): UnixCredentials {
  if (data.length !== 12 || !sender) throw errno('EINVAL');
  const view = new DataView(data.buffer, data.byteOffset);
  const pid = sender.pidMeant(view.getInt32(0, true));
  const uid = sender.uidMeant(view.getInt32(4, true));
  const gid = sender.gidMeant(view.getInt32(8, true));
  const { credentials } = sender;
  const may = (own: readonly number[], value: number, capability: number): boolean =>
    own.includes(value) || credentials.capable(capability);
  const isAllowed =
    may([sender.process.pid], pid, CAP_SYS_ADMIN) &&
    may([credentials.uid, credentials.euid, credentials.suid], uid, CAP_SETUID) &&
    may([credentials.gid, credentials.egid, credentials.sgid], gid, CAP_SETGID);
  if (!isAllowed) throw errno('EPERM');
  return { pid, uid, gid };
}
