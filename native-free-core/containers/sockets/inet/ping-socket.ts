// Sockets of ICMP: echo requests and their answers, and raw messages for who may (icmp(7), raw(7)).
// Owns the identifier that answers are found by, and the queue of what came.
// Never answers a request: the stack does.

import { addWords, fold } from '../../../devices/packets.ts';
import { errno } from '../../errno.ts';
import type { Task } from '../../kernel/task.ts';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../vfs/constants.ts';
import { Family, Level, MSG_PEEK, MSG_TRUNC, POLLWRBAND, Protocol, SocketType } from '../constants.ts';
import type { NetworkNamespace } from '../network-namespace.ts';
import { int32, type Received, type ReceiveRequest, type SendRequest } from '../socket.ts';
import { bytesOf, endpointAddress, familyOf, type IpAddress, readEndpoint } from './inet-address.ts';
import { IpOption } from './inet-options.ts';
import { InetSocket } from './inet-socket.ts';

const HEADER_BYTES = 8;
const IP_BYTES = 20;
const LONGEST = 65_507;
export const ECHO_REPLY = 0;
export const ECHO = 8;

/** Puts in the checksum of an ICMP message. */
export function finishIcmp(message: Uint8Array): void {
  message[2] = message[3] = 0;
  const sum = ~fold(addWords(0, message, 0, message.length));
  message[2] = (sum >> 8) & 255;
  message[3] = sum & 255;
}

export class PingSocket extends InetSocket {
  override readonly isStream = false;
  private readonly queue: { from: IpAddress; data: Uint8Array; ttl: number }[] = [];
  private queued = 0;
  private identifier = 0;

  constructor(network: NetworkNamespace, type: number, owner: number) {
    super(network, Family.inet, type, Protocol.icmp, owner);
    network.stack.pings.add(this);
  }

  protected override get ports(): undefined {
    return undefined;
  }

  private get isRaw(): boolean {
    return this.type === SocketType.raw;
  }

  override bind(task: Task, address: Uint8Array): void {
    super.bind(task, address);
    if (!this.isRaw) this.identifier = this.local.port || this.network.stack.nextPing();
  }

  override name(): Uint8Array {
    return endpointAddress({ address: this.local.address, port: this.isRaw ? 0 : this.identifier }, this.family);
  }

  override connect(_task: Task, address: Uint8Array): void {
    if (familyOf(address) === Family.unspecified) {
      this.remote = undefined;
      return;
    }
    const { address: to } = readEndpoint(address, this.family);
    const way = this.way(to);
    this.local = { address: way.from, port: this.local.port };
    this.remote = { address: way.to, port: 0 };
  }

  override send({ data, address }: SendRequest): number {
    const to = address ? readEndpoint(address, this.family).address : this.remote?.address;
    if (to === undefined) throw errno('EDESTADDRREQ');
    if (data.length > LONGEST) throw errno('EMSGSIZE');
    if (data.length < HEADER_BYTES) throw errno('EINVAL');
    const message = data.slice();
    if (!this.isRaw) {
      // An ordinary user may ask for echoes, and nothing else.
      if (message[0] !== ECHO || message[1] !== 0) throw errno('EINVAL');
      this.identifier ||= this.network.stack.nextPing();
      message[4] = this.identifier >> 8;
      message[5] = this.identifier & 255;
      finishIcmp(message);
    }
    const way = this.way(to);
    this.network.stack.sendIcmp(way.from, way.to, message);
    return data.length;
  }

  /** A message has come for the guest. */
  deliver(from: IpAddress, to: IpAddress, message: Uint8Array, ttl: number): void {
    const isAnswer = message[0] === ECHO_REPLY && ((message[4] << 8) | message[5]) === this.identifier;
    if (!this.isRaw && !isAnswer) return;
    if (this.remote && this.remote.address !== from) return;
    if (this.queued > this.receiveBuffer) return;
    let data = message;
    if (this.isRaw) {
      data = new Uint8Array(IP_BYTES + message.length);
      data.set([0x45, 0, data.length >> 8, data.length & 255, 0, 0, 0, 0, ttl, Protocol.icmp]);
      data.set(bytesOf(from), 12);
      data.set(bytesOf(to), 16);
      data.set(message, IP_BYTES);
    }
    this.queued += data.length;
    this.queue.push({ from, data, ttl });
    this.changed.wake();
  }

  override receive({ length, flags }: ReceiveRequest): Received {
    this.throwError();
    const [first] = this.queue;
    if (!first) throw errno('EAGAIN');
    const { data, from, ttl } = first;
    if ((flags & MSG_PEEK) === 0) {
      this.queue.shift();
      this.queued -= data.length;
    }
    return {
      data: data.subarray(0, length),
      length: data.length,
      address: endpointAddress({ address: from, port: 0 }, this.family),
      flags: data.length > length ? MSG_TRUNC : 0,
      control: this.inetOptions.get(Level.ip, IpOption.receiveTimeToLive)
        ? [{ level: Level.ip, type: IpOption.timeToLive, data: int32(ttl) }]
        : [],
      rights: [],
    };
  }

  override shutdown(): void {
    if (!this.remote) throw errno('ENOTCONN');
  }

  override poll(): number {
    return (this.queue.length > 0 ? POLLIN | POLLRDNORM : 0) | POLLOUT | POLLWRNORM | POLLWRBAND;
  }

  protected override waiting(): { toRead: number; toSend: number } {
    return { toRead: this.queue[0]?.data.length ?? 0, toSend: 0 };
  }

  override release(): void {
    super.release();
    this.network.stack.pings.delete(this);
  }
}
