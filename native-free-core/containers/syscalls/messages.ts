// Bytes and messages between sockets and programs' memory: send, recv and their kin, and read and write on sockets.
// Owns struct msghdr, control messages, the passing of descriptors, and how a call waits or stops half way.
// Never knows a family of sockets.

import { errno } from '../errno.ts';
import type { Description } from '../kernel/descriptors.ts';
import { SiCode, Signal } from '../kernel/signal-numbers.ts';
import { sendToTask } from '../kernel/signals.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import {
  ControlType,
  Level,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  RIGHTS_MAX,
} from '../sockets/constants.ts';
import { type ControlMessage, controlMax, type Received, Socket } from '../sockets/socket.ts';
import { O_NONBLOCK, O_PATH } from '../vfs/constants.ts';
import { type Buffer, descriptionOf, TRANSFER_MAX, vectorAt, viewOf } from './arguments.ts';
import { addDescriptor } from './open.ts';

/** Bytes of a stream that go through the kernel at once. */
const CHUNK = 256 << 10;
/** More is no message of any socket here. */
const MESSAGE_MAX = 1 << 20;
const ADDRESS_MAX = 128;
const HEADER_BYTES = 16;
const MSGHDR_BYTES = 56;
const EAGAIN = -11;

const aligned = (length: number): number => (length + 7) & ~7;

/** The socket of a descriptor. Throws EBADF, ENOTSOCK. */
export function socketOf(task: Task, fd: number): { socket: Socket; description: Description } {
  const description = descriptionOf(task, fd);
  if (description.flags & O_PATH) throw errno('EBADF');
  const { file } = description;
  if (!(file instanceof Socket)) throw errno('ENOTSOCK');
  return { socket: file, description };
}

/** A struct sockaddr. Throws EINVAL, EFAULT. */
export function addressAt(task: Task, address: number, length: number): Uint8Array {
  if ((length | 0) < 0 || (length | 0) > ADDRESS_MAX) throw errno('EINVAL');
  return task.space.bytes(address, length | 0);
}

/** Gives out an address as accept, getsockname and recvfrom do: cut to the room, with its whole length. */
export function putAddress(task: Task, value: Uint8Array, address: number, lengthAt: number): void {
  const room = task.space.readI32(lengthAt);
  if (room < 0) throw errno('EINVAL');
  task.space.write(address, value.subarray(0, Math.min(room, value.length)));
  task.space.writeU32(lengthAt, value.length);
}

/** Waits while `act` throws EAGAIN. `stopped` is what was done when it has to stop; 0: nothing. */
export function waitOn(
  task: Task,
  { socket, description }: { socket: Socket; description: Description },
  act: () => number,
  options: { flags?: number; timeout: number; stopped?: () => number },
): number {
  const again = errno('EAGAIN');
  const { timeout, flags = 0, stopped = () => 0 } = options;
  const nonblocking = (flags & MSG_DONTWAIT) !== 0 || (description.flags & O_NONBLOCK) !== 0;
  const deadline = task.kernel.now() + timeout;
  return task.block({
    attempt: () => {
      try {
        return act();
      } catch (error) {
        if (error !== again) throw error;
        if (!nonblocking && task.kernel.now() < deadline) return BLOCKED;
        if (stopped() > 0) return stopped();
        throw error;
      }
    },
    on: [socket.changed],
    deadline,
    timeoutResult: EAGAIN,
    interrupted: timeout === Infinity ? 'restart' : 'fail',
    onInterrupt: () => (stopped() > 0 ? stopped() : -4),
  });
}

const sizeOf = (buffers: readonly Buffer[]): number => buffers.reduce((sum, { length }) => sum + length, 0);

/** Bytes [from, from + length) of what the buffers hold together. */
function gather(task: Task, buffers: readonly Buffer[], from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let start = 0;
  let done = 0;
  for (const buffer of buffers) {
    const skip = Math.max(0, from - start);
    const part = Math.min(buffer.length - skip, length - done);
    if (part > 0) {
      task.space.read(buffer.address + skip, bytes.subarray(done, done + part));
      done += part;
    }
    start += buffer.length;
  }
  return bytes;
}

function scatter(task: Task, buffers: readonly Buffer[], from: number, bytes: Uint8Array): void {
  let start = 0;
  let done = 0;
  for (const buffer of buffers) {
    const skip = Math.max(0, from - start);
    const part = Math.min(buffer.length - skip, bytes.length - done);
    if (part > 0) {
      task.space.write(buffer.address + skip, bytes.subarray(done, done + part));
      done += part;
    }
    start += buffer.length;
  }
}

export interface Outgoing {
  readonly buffers: readonly Buffer[];
  readonly flags: number;
  readonly address: Uint8Array | null;
  readonly control?: readonly ControlMessage[];
  readonly rights?: readonly Description[];
}

interface Transfer {
  /** Does what can be done: bytes in all. Throws EAGAIN where it is not complete. */
  act(): number;
  /** Bytes done so far. */
  done(): number;
}

function sending(task: Task, socket: Socket, outgoing: Outgoing): Transfer {
  const { buffers, flags, address, control = [], rights = [] } = outgoing;
  const total = sizeOf(buffers);
  if (!socket.isStream && total > MESSAGE_MAX) throw errno('EMSGSIZE');
  let done = 0;
  const send = (data: Uint8Array): number =>
    socket.send({ data, address, flags, control, rights: done === 0 ? rights : [], sender: task });
  const act = (): number => {
    try {
      if (!socket.isStream || total === 0) return send(gather(task, buffers, 0, total));
      while (done < total) done += send(gather(task, buffers, done, Math.min(CHUNK, total - done)));
      return done;
    } catch (error) {
      if (error === errno('EAGAIN')) throw error;
      if (done > 0) return done;
      if (error === errno('EPIPE') && socket.isStream && (flags & MSG_NOSIGNAL) === 0)
        sendToTask(task.kernel, task, { signal: Signal.SIGPIPE, code: SiCode.SI_USER, pid: task.process.pid });
      throw error;
    }
  };
  return { act, done: () => done };
}

/** Sends buffers as one message, or all of their bytes. */
export function sendBuffers(task: Task, fd: number, outgoing: Outgoing): number {
  const of = socketOf(task, fd);
  const { act, done } = sending(task, of.socket, outgoing);
  return waitOn(task, of, act, { flags: outgoing.flags, timeout: of.socket.sendTimeout, stopped: done });
}

export interface Incoming {
  readonly buffers: readonly Buffer[];
  readonly flags: number;
  /** Is given what came beside the bytes, once. */
  readonly deliver?: (received: Received) => void;
}

function receiving(task: Task, socket: Socket, { buffers, flags, deliver }: Incoming): Transfer {
  const total = sizeOf(buffers);
  const isWhole = socket.isStream && (flags & MSG_WAITALL) !== 0 && (flags & MSG_PEEK) === 0;
  let done = 0;
  let isDelivered = false;
  const hand = (received: Received): void => {
    // Only the first part's: a call for all bytes of a stream ends where files came with them.
    if (!isDelivered) deliver?.(received);
    if (isDelivered || !deliver) for (const description of received.rights) description.drop();
    isDelivered = true;
  };
  const act = (): number => {
    for (;;) {
      const room = socket.isStream ? Math.min(total - done, MESSAGE_MAX) : total;
      let received: Received;
      try {
        received = socket.receive({ length: room, flags });
      } catch (error) {
        if (done > 0 && error !== errno('EAGAIN')) return done;
        throw error;
      }
      scatter(task, buffers, done, received.data);
      hand(received);
      done += received.data.length;
      const isOver = !isWhole || done >= total || received.data.length === 0 || received.rights.length > 0;
      if (isOver) return !socket.isStream && flags & MSG_TRUNC ? received.length : done;
    }
  };
  return { act, done: () => done };
}

/** Receives one message, or what there is of a stream. */
export function receiveBuffers(task: Task, fd: number, incoming: Incoming): number {
  const of = socketOf(task, fd);
  const { act, done } = receiving(task, of.socket, incoming);
  return waitOn(task, of, act, { flags: incoming.flags, timeout: of.socket.receiveTimeout, stopped: done });
}

// ---- struct msghdr

interface MessageHeader {
  readonly nameAt: number;
  readonly nameLength: number;
  readonly buffers: Buffer[];
  readonly controlAt: number;
  readonly controlLength: number;
}

function headerAt(task: Task, at: number): MessageHeader {
  const view = viewOf(task.space.bytes(at, MSGHDR_BYTES));
  const number = (offset: number): number => Number(view.getBigInt64(offset, true));
  const count = number(24);
  if (count < 0 || count > 1024) throw errno('EMSGSIZE');
  const nameAt = number(0);
  const nameLength = nameAt === 0 ? 0 : view.getInt32(8, true);
  if (nameLength < 0) throw errno('EINVAL');
  const controlLength = number(40);
  if (controlLength < 0) throw errno('ENOBUFS');
  return {
    nameAt,
    nameLength: Math.min(nameLength, ADDRESS_MAX),
    buffers: vectorAt(task, number(16), count),
    controlAt: number(32),
    controlLength,
  };
}

/** The control messages of a send, files taken out of SCM_RIGHTS. Throws EINVAL, EBADF, ENOBUFS. */
function controlOf(
  task: Task,
  { controlAt, controlLength }: MessageHeader,
): { control: ControlMessage[]; rights: Description[] } {
  const control: ControlMessage[] = [];
  const rights: Description[] = [];
  if (controlLength === 0) return { control, rights };
  if (controlLength > controlMax) throw errno('ENOBUFS');
  const bytes = task.space.bytes(controlAt, controlLength);
  const view = viewOf(bytes);
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = Number(view.getBigUint64(at, true));
    if (length < HEADER_BYTES || length > bytes.length - at) throw errno('EINVAL');
    const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
    const data = bytes.slice(at + HEADER_BYTES, at + length);
    if (level === Level.socket && type === ControlType.rights) {
      if (rights.length + (data.length >> 2) > RIGHTS_MAX) throw errno('EINVAL');
      for (let each = 0; each + 4 <= data.length; each += 4) {
        const description = descriptionOf(task, viewOf(data).getInt32(each, true));
        if (description.flags & O_PATH && description.location === null) throw errno('EBADF');
        rights.push(description);
      }
    } else if (level === Level.socket && type !== ControlType.credentials) throw errno('EINVAL');
    else control.push({ level, type, data });
    at += aligned(length);
  }
  return { control, rights };
}

function outgoingAt(task: Task, at: number, flags: number): Outgoing {
  const header = headerAt(task, at);
  const address = header.nameLength === 0 ? null : addressAt(task, header.nameAt, header.nameLength);
  return { buffers: header.buffers, flags, address, ...controlOf(task, header) };
}

/** Writes control messages and new descriptors into the room there is. Gives MSG_CTRUNC or 0, and the bytes used. */
function putControl(
  task: Task,
  { controlAt, controlLength }: MessageHeader,
  received: Received,
  flags: number,
): { flags: number; used: number } {
  const room = controlAt === 0 ? 0 : controlLength;
  let used = 0;
  let truncated = 0;
  const put = (level: number, type: number, data: Uint8Array): void => {
    if (room - used < HEADER_BYTES) {
      truncated = MSG_CTRUNC;
      return;
    }
    const whole = HEADER_BYTES + data.length;
    const length = Math.min(whole, room - used);
    if (length < whole) truncated = MSG_CTRUNC;
    const bytes = new Uint8Array(length);
    viewOf(bytes).setBigUint64(0, BigInt(length), true);
    viewOf(bytes).setInt32(8, level, true);
    viewOf(bytes).setInt32(12, type, true);
    bytes.set(data.subarray(0, length - HEADER_BYTES), HEADER_BYTES);
    task.space.write(controlAt + used, bytes);
    used += Math.min(aligned(length), room - used);
  };
  for (const { level, type, data } of received.control) put(level, type, data);
  const { rights } = received;
  if (rights.length > 0) {
    const most = Math.max(0, Math.floor((room - used - HEADER_BYTES) / 4));
    const numbers: number[] = [];
    try {
      for (const description of rights.slice(0, most))
        numbers.push(addDescriptor(task, description, (flags & MSG_CMSG_CLOEXEC) !== 0));
    } catch (error) {
      if (error !== errno('EMFILE')) throw error;
    } finally {
      for (const description of rights) description.drop();
    }
    if (numbers.length > 0) put(Level.socket, ControlType.rights, new Uint8Array(Int32Array.from(numbers).buffer));
    if (numbers.length < rights.length) truncated = MSG_CTRUNC;
  }
  return { flags: truncated, used };
}

function incomingAt(task: Task, at: number, flags: number): Incoming {
  const header = headerAt(task, at);
  return {
    buffers: header.buffers,
    flags,
    deliver: (received) => {
      const control = putControl(task, header, received, flags);
      const { address } = received;
      if (header.nameAt !== 0) {
        const name = address ?? new Uint8Array(0);
        task.space.write(header.nameAt, name.subarray(0, header.nameLength));
        task.space.writeU32(at + 8, name.length);
      }
      task.space.writeI64(at + 40, control.used);
      const closeOnExec = flags & MSG_CMSG_CLOEXEC;
      task.space.writeU32(at + 48, (received.flags | control.flags | closeOnExec) >>> 0);
    },
  };
}

export function sendMessage(task: Task, fd: number, at: number, flags: number): number {
  socketOf(task, fd);
  return sendBuffers(task, fd, outgoingAt(task, at, flags));
}

export function receiveMessage(task: Task, fd: number, at: number, flags: number): number {
  socketOf(task, fd);
  return receiveBuffers(task, fd, incomingAt(task, at, flags));
}

const MMSGHDR_BYTES = 64;

/** sendmmsg and recvmmsg: one message after the other, until one has to wait or fails. */
export function eachMessage(
  task: Task,
  fd: number,
  at: number,
  count: number,
  way: { flags: number; isSend: boolean; deadline: number; onlyFirstWaits: boolean },
): number {
  const of = socketOf(task, fd);
  const { socket } = of;
  const { flags, isSend, deadline, onlyFirstWaits } = way;
  const most = Math.min(count >>> 0, 1024);
  let index = 0;
  let transfer: Transfer | undefined;
  const act = (): number => {
    while (index < most) {
      const header = at + index * MMSGHDR_BYTES;
      try {
        transfer ??= isSend
          ? sending(task, socket, outgoingAt(task, header, flags))
          : receiving(task, socket, incomingAt(task, header, flags));
        task.space.writeU32(header + MSGHDR_BYTES, transfer.act());
      } catch (error) {
        const isOver = error !== errno('EAGAIN') || onlyFirstWaits || task.kernel.now() >= deadline;
        if (index > 0 && isOver) return index;
        throw error;
      }
      transfer = undefined;
      index++;
    }
    return index;
  };
  const timeout = isSend ? socket.sendTimeout : Math.min(socket.receiveTimeout, deadline - task.kernel.now());
  return waitOn(task, of, act, { flags, timeout, stopped: () => index });
}

/** One buffer of a call without a vector. */
export function bufferOf(address: number, length: number): Buffer[] {
  if (length < 0) throw errno('EINVAL');
  return [{ address, length: Math.min(length, TRANSFER_MAX) }];
}
