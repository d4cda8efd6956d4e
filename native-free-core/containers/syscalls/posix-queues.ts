// mq_open and its kin: POSIX message queues.
// Owns their arguments (struct mq_attr, struct sigevent) and who may open a queue.
// Never keeps a message: devices/posix-queue.ts does.

import { PosixQueue, PosixQueueFile } from '../devices/posix-queue.ts';
import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { SIGNAL_MAX, SiCode } from '../kernel/signal-numbers.ts';
import { sendToProcess } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import { NAME_MAX, O_ACCMODE, O_CLOEXEC, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../vfs/constants.ts';
import { descriptionOf, timespecAt, waitFor } from './arguments.ts';
import { addDescriptor } from './open.ts';
import { kernelTime } from './time.ts';

/** fs.mqueue: what a queue has where nothing is said, and the most of who has no CAP_SYS_RESOURCE, and of all. */
const MESSAGES_DEFAULT = 10;
const BYTES_DEFAULT = 8192;
const MESSAGES_HARD = 65536;
const BYTES_HARD = 16 << 20;
const QUEUES_MAX = 256;
const PRIORITY_MAX = 32768;
const ATTRIBUTES_BYTES = 64;
const CAP_SYS_RESOURCE = 24;
const CAP_DAC_OVERRIDE = 1;
const SIGEV_SIGNAL = 0;
const SIGEV_NONE = 1;
const CLOCK_REALTIME = 0;

const queues = (task: Task): Map<string, PosixQueue> => task.namespaces.ipc.queues;

function nameAt(task: Task, address: number): string {
  const name = task.space.readString(address, NAME_MAX + 1);
  if (name === '') throw errno('ENOENT');
  if (name.includes('/') || name === '.' || name === '..') throw errno('EACCES');
  return name;
}

function make(task: Task, mode: number, attributesAt: number): PosixQueue {
  const { credentials, space, kernel, fs } = task;
  if (queues(task).size >= QUEUES_MAX) throw errno('ENOSPC');
  let [messages, bytes] = [MESSAGES_DEFAULT, BYTES_DEFAULT];
  if (attributesAt !== 0) {
    [messages, bytes] = [space.readI64(attributesAt + 8), space.readI64(attributesAt + 16)];
    const isFree = credentials.capableIn(task.namespaces.ipc.owner, CAP_SYS_RESOURCE);
    const [most, longest] = isFree ? [MESSAGES_HARD, BYTES_HARD] : [MESSAGES_DEFAULT, BYTES_DEFAULT];
    if (messages <= 0 || bytes <= 0 || messages > most || bytes > longest) throw errno('EINVAL');
  }
  const { fsuid: uid, fsgid: gid } = credentials;
  return new PosixQueue({ uid, gid, mode: mode & 0o777 & ~fs.umask }, messages, bytes, kernel.fileBudget);
}

/** Throws EACCES. */
function demandAccess(task: Task, { owner }: PosixQueue, access: number): void {
  const { credentials } = task;
  const wanted = access === O_RDONLY ? 4 : access === O_WRONLY ? 2 : 6;
  const isGroup = credentials.fsgid === owner.gid || credentials.groups.includes(owner.gid);
  const granted = owner.mode >> (credentials.fsuid === owner.uid ? 6 : isGroup ? 3 : 0);
  if (wanted & ~granted && !credentials.capable(CAP_DAC_OVERRIDE, owner)) throw errno('EACCES');
}

const open: SystemCall = (task, nameAddress, flags, mode, attributesAt) => {
  const name = nameAt(task, nameAddress);
  let queue = queues(task).get(name);
  if (queue) {
    if (flags & O_CREAT && flags & O_EXCL) throw errno('EEXIST');
    demandAccess(task, queue, flags & O_ACCMODE);
  } else {
    if (!(flags & O_CREAT)) throw errno('ENOENT');
    queue = make(task, mode, attributesAt);
    queues(task).set(name, queue);
  }
  const description = new Description(new PosixQueueFile(queue), null, flags & (O_ACCMODE | O_NONBLOCK));
  return addDescriptor(task, description, (flags & O_CLOEXEC) !== 0);
};

/** The queue of a descriptor. Throws EBADF. */
function queueOf(task: Task, fd: number): { queue: PosixQueue; description: Description } {
  const description = descriptionOf(task, fd);
  if (!(description.file instanceof PosixQueueFile)) throw errno('EBADF');
  return { queue: description.file.queue, description };
}

const deadlineAt = (task: Task, address: number): number =>
  address === 0 ? Infinity : kernelTime(task, CLOCK_REALTIME, timespecAt(task, address));

const send: SystemCall = (task, fd, address, length, priority, timeoutAt) => {
  const { queue, description } = queueOf(task, fd);
  if ((description.flags & O_ACCMODE) === O_RDONLY) throw errno('EBADF');
  if (priority < 0 || priority >= PRIORITY_MAX) throw errno('EINVAL');
  if (length < 0 || length > queue.bytesMax) throw errno('EMSGSIZE');
  const bytes = task.space.bytes(address, length);
  const act = (): number => {
    queue.send({ priority, bytes });
    return 0;
  };
  return waitFor(task, description, act, { deadline: deadlineAt(task, timeoutAt), timeoutResult: -110 });
};

const receive: SystemCall = (task, fd, address, length, priorityAt, timeoutAt) => {
  const { queue, description } = queueOf(task, fd);
  if ((description.flags & O_ACCMODE) === O_WRONLY) throw errno('EBADF');
  if (length < queue.bytesMax) throw errno('EMSGSIZE');
  const act = (): number => {
    const { bytes, priority } = queue.receive();
    task.space.write(address, bytes);
    if (priorityAt !== 0) task.space.writeU32(priorityAt, priority);
    return bytes.length;
  };
  queue.receivers++;
  return waitFor(task, description, act, {
    deadline: deadlineAt(task, timeoutAt),
    timeoutResult: -110,
    finish: () => {
      queue.receivers--;
    },
  });
};

const notify: SystemCall = (task, fd, eventAt) => {
  const { process, kernel, space } = task;
  const { queue } = queueOf(task, fd);
  if (eventAt === 0) {
    if (queue.notify?.process === process) queue.notify = undefined;
    return 0;
  }
  const value = space.readBig(eventAt);
  const signal = space.readI32(eventAt + 8);
  const how = space.readI32(eventAt + 12);
  if (how !== SIGEV_SIGNAL && how !== SIGEV_NONE) return kernel.notImplemented('mq_notify: by a thread');
  if (how === SIGEV_SIGNAL && (signal < 1 || signal > SIGNAL_MAX)) throw errno('EINVAL');
  if (queue.notify) throw errno('EBUSY');
  const tell = (): void => {
    if (how === SIGEV_NONE) return;
    const sender = kernel.current;
    const [pid, uid] = [sender?.process.pid ?? 0, sender?.credentials.uid ?? 0];
    sendToProcess(kernel, process, { signal, code: SiCode.SI_MESGQ, pid, uid, value });
  };
  queue.notify = { process, tell };
  return 0;
};

const attributes: SystemCall = (task, fd, newAt, oldAt) => {
  const { queue, description } = queueOf(task, fd);
  const { space } = task;
  const flags = newAt === 0 ? undefined : space.readI64(newAt);
  if (flags !== undefined && flags & ~O_NONBLOCK) throw errno('EINVAL');
  if (oldAt !== 0) {
    space.write(oldAt, new Uint8Array(ATTRIBUTES_BYTES));
    const fields = [description.flags & O_NONBLOCK, queue.messagesMax, queue.bytesMax, queue.count];
    fields.forEach((value, index) => {
      space.writeI64(oldAt + index * 8, value);
    });
  }
  if (flags !== undefined) description.flags = (description.flags & ~O_NONBLOCK) | flags;
  return 0;
};

export const posixQueueCalls: Record<string, SystemCall> = {
  mq_open: open,
  mq_timedsend: send,
  mq_timedreceive: receive,
  mq_notify: notify,
  mq_getsetattr: attributes,
  mq_unlink: (task, nameAddress) => {
    const name = nameAt(task, nameAddress);
    const queue = queues(task).get(name);
    if (!queue) throw errno('ENOENT');
    const { credentials } = task;
    if (credentials.fsuid !== queue.owner.uid && !credentials.capable(CAP_DAC_OVERRIDE, queue.owner))
      throw errno('EPERM');
    queues(task).delete(name);
    queue.unlink();
    return 0;
  },
};
