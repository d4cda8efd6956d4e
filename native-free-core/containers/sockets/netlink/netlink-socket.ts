// Netlink sockets (netlink(7)): requests to the kernel, which are answered at once.
// Owns ports, groups and the queue of answers.
// Never carries a message between two programs.

import { Errno, errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../vfs/constants.ts';
import { CAP_NET_ADMIN, Family, Level, MSG_OOB, MSG_PEEK, MSG_TRUNC, POLLWRBAND } from '../constants.ts';
import { familyOf } from '../inet/inet-address.ts';
import { int32, numberIn, type Received, type ReceiveRequest, type SendRequest, Socket } from '../socket.ts';
import { joined } from '../unix/unix-stream.ts';
import { errorMessage, NLM_F_ACK, requestsIn } from './messages.ts';
import { answerRoute } from './route.ts';

const ADDRESS_BYTES = 12;
/** Bytes of messages that come together: what readers without a peek have room for. */
const TOGETHER = 4096;
/** Bytes of answers that wait; a program that never reads gets no more. */
const QUEUE_MAX = 1 << 20;
const NLM_F_REQUEST = 1;
/** Options that are kept: NETLINK_ADD_MEMBERSHIP to NETLINK_GET_STRICT_CHK. */
const OPTION_LAST = 12;

export class NetlinkSocket extends Socket {
  readonly family = Family.netlink;
  readonly isStream = false;
  port = 0;
  private groups = 0;
  private readonly queue: Uint8Array[] = [];
  private queued = 0;
  private readonly options = new Map<number, number>();

  private readAddress(address: Uint8Array): { port: number; groups: number } {
    if (address.length < ADDRESS_BYTES || familyOf(address) !== Family.netlink) throw errno('EINVAL');
    const view = new DataView(address.buffer, address.byteOffset);
    return { port: view.getUint32(4, true), groups: view.getUint32(8, true) };
  }

  private addressOf(port: number, groups: number): Uint8Array {
    return new Uint8Array(Uint32Array.of(Family.netlink, port, groups).buffer);
  }

  private isTaken(port: number): boolean {
    for (const socket of this.network.sockets)
      if (socket instanceof NetlinkSocket && socket.protocol === this.protocol && socket.port === port) return true;
    return false;
  }

  override bind(task: Task, address: Uint8Array): void {
    const { port, groups } = this.readAddress(address);
    if (this.port !== 0 && port !== this.port) throw errno('EINVAL');
    if (this.port === 0 && port !== 0) {
      if (this.isTaken(port)) throw errno('EADDRINUSE');
      this.port = port;
    }
    this.groups = groups;
    if (this.port === 0) this.autobind(task);
  }

  private autobind(task: Task): void {
    let port = task.process.pid;
    while (this.isTaken(port)) port = (port + 0x10000) >>> 0;
    this.port = port;
  }

  override connect(task: Task, address: Uint8Array): void {
    if (this.readAddress(address).port !== 0) throw errno('ECONNREFUSED');
    if (this.port === 0) this.autobind(task);
  }

  override send({ data, address, flags, sender }: SendRequest): number {
    if (flags & MSG_OOB) throw errno('EOPNOTSUPP');
    if (address && this.readAddress(address).port !== 0) throw errno('ECONNREFUSED');
    if (!sender) throw errno('ENOTCONN');
    if (this.port === 0) this.autobind(sender);
    const { stack, owner } = this.network;
    const isAdmin = sender.credentials.capableIn(owner, CAP_NET_ADMIN);
    for (const request of requestsIn(data)) {
      if ((request.flags & NLM_F_REQUEST) === 0) continue;
      let answers: Uint8Array[];
      try {
        answers = answerRoute(stack, request, this.port, isAdmin);
        if (request.flags & NLM_F_ACK && answers.length === 0) answers = [errorMessage(request, this.port, 0)];
      } catch (error) {
        if (!(error instanceof Errno)) throw error;
        answers = [errorMessage(request, this.port, error.number)];
      }
      this.answer(answers);
    }
    return data.length;
  }

  private answer(messages: readonly Uint8Array[]): void {
    let together: Uint8Array[] = [];
    let length = 0;
    const flush = (): void => {
      if (length > 0) this.queue.push(joined(together, length));
      this.queued += length;
      together = [];
      length = 0;
    };
    if (this.queued > QUEUE_MAX) {
      this.pendingError = 'ENOBUFS';
      return;
    }
    for (const message of messages) {
      if (length + message.length > TOGETHER) flush();
      together.push(message);
      length += message.length;
    }
    flush();
    this.changed.wake();
  }

  override receive({ length, flags }: ReceiveRequest): Received {
    this.throwError();
    const [message] = this.queue;
    if (!message) throw errno('EAGAIN');
    if ((flags & MSG_PEEK) === 0) {
      this.queue.shift();
      this.queued -= message.length;
    }
    return {
      data: message.subarray(0, length),
      length: message.length,
      address: this.addressOf(0, 0),
      flags: message.length > length ? MSG_TRUNC : 0,
      control: [],
      rights: [],
    };
  }

  override shutdown(): void {
    throw errno('EOPNOTSUPP');
  }

  override name(): Uint8Array {
    return this.addressOf(this.port, this.groups);
  }

  override peerName(): Uint8Array {
    return this.addressOf(0, 0);
  }

  override getOption(task: Task, level: number, option: number): Uint8Array {
    if (level !== Level.netlink) return super.getOption(task, level, option);
    if (option < 1 || option > OPTION_LAST) throw errno('ENOPROTOOPT');
    return int32(this.options.get(option) ?? 0);
  }

  override setOption(task: Task, level: number, option: number, value: Uint8Array): void {
    if (level !== Level.netlink) {
      super.setOption(task, level, option, value);
      return;
    }
    if (option < 1 || option > OPTION_LAST) throw errno('ENOPROTOOPT');
    this.options.set(option, numberIn(value));
  }

  protected override waiting(): { toRead: number; toSend: number } {
    return { toRead: this.queue[0]?.length ?? 0, toSend: 0 };
  }

  override poll(): number {
    return (this.queue.length > 0 ? POLLIN | POLLRDNORM : 0) | POLLOUT | POLLWRNORM | POLLWRBAND;
  }
}
