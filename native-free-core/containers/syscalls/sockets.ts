// The calls on sockets. There are none yet but for pairs, and these calls say so as Linux does for what is no socket.
// Owns the refusals, and socketpair.
// Never reaches a network.

import { SocketPair } from '../devices/socket-pair.ts';
import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../vfs/constants.ts';
import { descriptionOf } from './arguments.ts';
import { addDescriptor } from './open.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_TYPE = 15;

const notASocket =
  (name: string): SystemCall =>
  (task, fd) => {
    if (descriptionOf(task, fd).file instanceof SocketPair) return task.kernel.notImplemented(`${name}: of a pair`);
    throw errno('ENOTSOCK');
  };

const refused = [
  'connect',
  'accept',
  'accept4',
  'sendto',
  'recvfrom',
  'sendmsg',
  'recvmsg',
  'bind',
  'listen',
  'getsockname',
  'getpeername',
  'setsockopt',
  'getsockopt',
  'recvmmsg',
  'sendmmsg',
];

const socketpair: SystemCall = (task, family, type, _protocol, address) => {
  if (family !== AF_UNIX) throw errno('EOPNOTSUPP');
  if ((type & SOCK_TYPE) !== SOCK_STREAM) {
    task.kernel.notImplemented(`socketpair: type ${type & SOCK_TYPE}`);
    throw errno('EPROTONOSUPPORT');
  }
  const closeOnExec = (type & O_CLOEXEC) !== 0;
  const [first, second] = SocketPair.make().map((file) =>
    addDescriptor(task, new Description(file, null, O_RDWR | (type & O_NONBLOCK)), closeOnExec),
  );
  task.space.writeU32(address, first);
  task.space.writeU32(address + 4, second);
  return 0;
};

export const socketCalls: Record<string, SystemCall> = {
  ...Object.fromEntries(refused.map((name) => [name, notASocket(name)])),
  socketpair,
  socket: (task, family) => {
    task.kernel.notImplemented(`socket: family ${family}`);
    throw errno('EAFNOSUPPORT');
  },
  shutdown: (task, fd, how) => {
    const { file } = descriptionOf(task, fd);
    if (!(file instanceof SocketPair)) throw errno('ENOTSOCK');
    if (how < 0 || how > 2) throw errno('EINVAL');
    file.shutdown(how);
    return 0;
  },
};
