// The calls on sockets: making, naming, connecting, options (socket(2) and its kin).
// Owns their arguments and results.
// Never knows what a family does; messages.ts moves the bytes.

import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { Family, MSG_DONTWAIT, MSG_WAITFORONE, SOCK_TYPE_MASK } from '../sockets/constants.ts';
import { isFamily, makePair, makeSocket } from '../sockets/families.ts';
import type { Socket } from '../sockets/socket.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../vfs/constants.ts';
import { timespecAt } from './arguments.ts';
import {
  addressAt,
  bufferOf,
  eachMessage,
  putAddress,
  receiveBuffers,
  receiveMessage,
  sendBuffers,
  sendMessage,
  socketOf,
  waitOn,
} from './messages.ts';
import { addDescriptor, filesLimit } from './open.ts';

const OPTION_MAX = 65_536;

/** Gives a socket a descriptor; it is closed where there is none. */
function install(task: Task, socket: Socket, flags: number): number {
  const description = new Description(socket, null, O_RDWR | (flags & O_NONBLOCK)).hold();
  try {
    return addDescriptor(task, description, (flags & O_CLOEXEC) !== 0);
  } finally {
    description.drop();
  }
}

/** Type and flags of socket(2)'s second argument. Throws EINVAL. */
function typeOf(type: number): { kind: number; flags: number } {
  if (type & ~(SOCK_TYPE_MASK | O_CLOEXEC | O_NONBLOCK)) throw errno('EINVAL');
  return { kind: type & SOCK_TYPE_MASK, flags: type };
}

const socket: SystemCall = (task, family, type, protocol) => {
  const { kind, flags } = typeOf(type | 0);
  return install(task, makeSocket(task, family | 0, kind, protocol | 0), flags);
};

const socketpair: SystemCall = (task, family, type, protocol, address) => {
  const { kind, flags } = typeOf(type | 0);
  // The other families are there, but have no pairs.
  if (family !== Family.unix) throw errno(isFamily(family | 0) ? 'EOPNOTSUPP' : 'EAFNOSUPPORT');
  const [one, other] = makePair(task, kind, protocol | 0);
  let first: number;
  try {
    first = install(task, one, flags);
  } catch (error) {
    other.release();
    throw error;
  }
  let second: number;
  try {
    second = install(task, other, flags);
  } catch (error) {
    task.files.close(first);
    throw error;
  }
  task.space.writeU32(address, first);
  task.space.writeU32(address + 4, second);
  return 0;
};

const connect: SystemCall = (task, fd, at, length) => {
  const of = socketOf(task, fd);
  const address = addressAt(task, at, length);
  const nonblocking = (of.description.flags & O_NONBLOCK) !== 0;
  let isBegun = false;
  return waitOn(
    task,
    of,
    () => {
      try {
        if (!isBegun) of.socket.connect(task, address);
      } catch (error) {
        const goesOn = error === errno('EINPROGRESS') || error === errno('EALREADY');
        if (!goesOn || nonblocking) throw error;
        isBegun = true;
      }
      if (isBegun) of.socket.connecting();
      return 0;
    },
    { timeout: of.socket.sendTimeout },
  );
};

function accept(task: Task, fd: number, at: number, lengthAt: number, flags: number): number {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK)) throw errno('EINVAL');
  const of = socketOf(task, fd);
  return waitOn(
    task,
    of,
    () => {
      // Who has no number left leaves the connection to wait.
      if (!task.files.hasRoom(filesLimit(task))) throw errno('EMFILE');
      const accepted = of.socket.accept();
      const number = install(task, accepted, flags);
      if (at === 0) return number;
      try {
        putAddress(task, accepted.peerName(), at, lengthAt);
      } catch (error) {
        task.files.close(number);
        throw error === errno('ENOTCONN') ? errno('ECONNABORTED') : error;
      }
      return number;
    },
    { timeout: of.socket.receiveTimeout },
  );
}

const recvfrom: SystemCall = (task, fd, at, length, flags, addressTo, lengthAt) =>
  receiveBuffers(task, fd, {
    buffers: bufferOf(at, length),
    flags,
    deliver: ({ address, rights }) => {
      for (const description of rights) description.drop();
      if (addressTo !== 0) putAddress(task, address ?? new Uint8Array(0), addressTo, lengthAt);
    },
  });

const getsockopt: SystemCall = (task, fd, level, option, valueAt, lengthAt) => {
  const { socket: of } = socketOf(task, fd);
  const room = task.space.readI32(lengthAt);
  if (room < 0) throw errno('EINVAL');
  const value = of.getOption(task, level | 0, option | 0).subarray(0, room);
  task.space.write(valueAt, value);
  task.space.writeU32(lengthAt, value.length);
  return 0;
};

const setsockopt: SystemCall = (task, fd, level, option, valueAt, length) => {
  const { socket: of } = socketOf(task, fd);
  if ((length | 0) < 0) throw errno('EINVAL');
  of.setOption(task, level | 0, option | 0, task.space.bytes(valueAt, Math.min(length | 0, OPTION_MAX)));
  return 0;
};

const SHUT_RDWR = 2;

export const socketCalls: Record<string, SystemCall> = {
  socket,
  socketpair,
  bind: (task, fd, at, length) => {
    const { socket: of } = socketOf(task, fd);
    of.bind(task, addressAt(task, at, length));
    return 0;
  },
  listen: (task, fd, backlog) => {
    socketOf(task, fd).socket.listen(task, backlog | 0);
    return 0;
  },
  connect,
  accept: (task, fd, at, lengthAt) => accept(task, fd, at, lengthAt, 0),
  accept4: accept,
  shutdown: (task, fd, how) => {
    const { socket: of } = socketOf(task, fd);
    if (how < 0 || how > SHUT_RDWR) throw errno('EINVAL');
    of.shutdown(how + 1);
    return 0;
  },
  getsockname: (task, fd, at, lengthAt) => {
    putAddress(task, socketOf(task, fd).socket.name(), at, lengthAt);
    return 0;
  },
  getpeername: (task, fd, at, lengthAt) => {
    putAddress(task, socketOf(task, fd).socket.peerName(), at, lengthAt);
    return 0;
  },
  getsockopt,
  setsockopt,
  sendto: (task, fd, at, length, flags, addressFrom, addressLength) => {
    socketOf(task, fd);
    const address = addressFrom === 0 ? null : addressAt(task, addressFrom, addressLength);
    return sendBuffers(task, fd, { buffers: bufferOf(at, length), flags, address });
  },
  recvfrom,
  sendmsg: sendMessage,
  recvmsg: receiveMessage,
  sendmmsg: (task, fd, at, count, flags) =>
    eachMessage(task, fd, at, count, { flags, isSend: true, deadline: Infinity, onlyFirstWaits: false }),
  recvmmsg: (task, fd, at, count, flags, timeoutAt) => {
    const deadline = timeoutAt === 0 ? Infinity : task.kernel.now() + timespecAt(task, timeoutAt);
    const onlyFirstWaits = (flags & (MSG_WAITFORONE | MSG_DONTWAIT)) !== 0;
    return eachMessage(task, fd, at, count, { flags, isSend: false, deadline, onlyFirstWaits });
  },
};
