// System V IPC: shmget, semget, msgget and their kin.
// Owns their arguments and structures (include/uapi/linux/{ipc,shm,sem,msg}.h).
// Never keeps an object: the IPC namespace does.

import { errno } from '../errno.ts';
import type { IpcObject, IpcTable } from '../kernel/ipc-objects.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { MESSAGE_MAX, MessageQueue, QUEUE_BYTES } from '../kernel/message-queues.ts';
import { IPC_NOWAIT, SEMAPHORES_MAX, type SemaphoreOperation, SemaphoreSet } from '../kernel/semaphores.ts';
import { SharedSegment } from '../kernel/shared-segments.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { PAGE } from '../memory/page-pool.ts';
import { HIGHEST } from '../memory/regions.ts';
import { SECOND, timespecAt, viewOf } from './arguments.ts';

const IPC_RMID = 0;
const IPC_SET = 1;
const IPC_STAT = 2;
const PERMISSIONS_BYTES = 48;
const READ = 0o444;
const WRITE = 0o222;

const seconds = (nanoseconds: number): bigint => BigInt(Math.floor(nanoseconds / SECOND));

/** struct ipc64_perm, and 64-bit fields behind it. */
function writeStatus(
  task: Task,
  address: number,
  object: IpcObject,
  bytes: number,
  fields: readonly [number, bigint][],
): number {
  const content = new Uint8Array(bytes);
  const view = viewOf(content);
  view.setInt32(0, object.key, true);
  view.setUint32(4, task.uidSeen(object.uid), true);
  view.setUint32(8, task.gidSeen(object.gid), true);
  view.setUint32(12, task.uidSeen(object.creatorUid), true);
  view.setUint32(16, task.gidSeen(object.creatorGid), true);
  view.setUint32(20, object.mode, true);
  for (const [at, value] of fields) view.setBigUint64(PERMISSIONS_BYTES + at, value, true);
  task.space.write(address, content);
  return 0;
}

/** IPC_SET: owner and mode. */
function setOwner<T extends IpcObject>(task: Task, table: IpcTable<T>, object: T, address: number): void {
  table.demandOwner(object, task.credentials);
  const uid = task.uidMeant(task.space.readU32(address + 4));
  const gid = task.gidMeant(task.space.readU32(address + 8));
  const mode = task.space.readU32(address + 20) & 0o777;
  Object.assign(object, { uid, gid, mode: (object.mode & ~0o777) | mode, changedAt: task.kernel.wall() });
}

// ---- shared memory

const SHM_RDONLY = 0o10000;
const SHM_RND = 0o20000;
const SHM_REMAP = 0o40000;
const SHM_EXEC = 0o100000;
const SHM_LOCK = 11;
const SHM_UNLOCK = 12;
const SHM_STATUS_BYTES = 112;

const segments = (task: Task) => task.namespaces.ipc.segments;

const shmget: SystemCall = (task, key, size, flags) => {
  const { kernel, credentials } = task;
  const found = segments(task).find(key | 0, flags, credentials, () => {
    if (size < 1 || size > HIGHEST) throw errno('EINVAL');
    return new SharedSegment(key | 0, flags, credentials, kernel.wall(), kernel.pool, size, task.process.pid);
  });
  if (size > found.size) throw errno('EINVAL');
  return found.id;
};

const shmat: SystemCall = (task, id, address, flags) => {
  const segment = segments(task).get(id);
  const isReadOnly = (flags & SHM_RDONLY) !== 0;
  const executes = (flags & SHM_EXEC) !== 0;
  segments(task).demand(segment, READ | (isReadOnly ? 0 : WRITE) | (executes ? 0o111 : 0), task.credentials);
  let to = address;
  if (to % PAGE !== 0) {
    if (!(flags & SHM_RND)) throw errno('EINVAL');
    to -= to % PAGE;
  }
  if (flags & SHM_REMAP && to === 0) throw errno('EINVAL');
  const length = Math.ceil(segment.size / PAGE) * PAGE;
  if (to !== 0 && !(flags & SHM_REMAP) && !task.space.regions.isFree(to, to + length)) throw errno('EINVAL');
  const at = task.space.map({
    address: to,
    length: segment.size,
    protection: 1 | (isReadOnly ? 0 : 2) | (executes ? 4 : 0),
    shared: true,
    pages: segment.pages,
    name: `/SYSV${(segment.key >>> 0).toString(16).padStart(8, '0')} (deleted)`,
    maxProtection: isReadOnly ? 5 : 7,
    ...(to === 0 ? {} : { fixed: 'replace' as const }),
  });
  segment.attachedAt = task.kernel.wall();
  segment.lastPid = task.process.pid;
  return at;
};

const shmdt: SystemCall = (task, address) => {
  const region = task.space.regions.find(address);
  const segment = region?.pages && segments(task).owning(region.pages);
  if (!region || !segment || region.start !== address) throw errno('EINVAL');
  segment.detachedAt = task.kernel.wall();
  segment.lastPid = task.process.pid;
  for (const { start, end, pages } of [...task.space.regions])
    if (pages === segment.pages && start >= address && start < address + segment.size)
      task.space.unmap(start, end - start);
  segments(task).collect();
  return 0;
};

const shmctl: SystemCall = (task, id, command, address) => {
  const table = segments(task);
  table.collect();
  const segment = table.get(id);
  switch (command) {
    case IPC_RMID:
      table.demandOwner(segment, task.credentials);
      table.destroy(segment);
      return 0;
    case IPC_SET:
      setOwner(task, table, segment, address);
      return 0;
    case IPC_STAT:
      table.demand(segment, READ, task.credentials);
      return writeStatus(task, address, segment, SHM_STATUS_BYTES, [
        [0, BigInt(segment.size)],
        [8, seconds(segment.attachedAt)],
        [16, seconds(segment.detachedAt)],
        [24, seconds(segment.changedAt)],
        [32, BigInt(task.pidSeen(segment.creator)) | (BigInt(task.pidSeen(segment.lastPid)) << 32n)],
        [40, BigInt(segment.attached)],
      ]);
    case SHM_LOCK:
    case SHM_UNLOCK:
      // Nothing is ever swapped out.
      return 0;
    default:
      if (command > 14) throw errno('EINVAL');
      return task.kernel.notImplemented(`shmctl: command ${command}`);
  }
};

// ---- semaphores

const GETPID = 11;
const GETVAL = 12;
const GETALL = 13;
const GETNCNT = 14;
const GETZCNT = 15;
const SETVAL = 16;
const SETALL = 17;
const SEM_STATUS_BYTES = 104;
/** semopm */
const OPERATIONS_MAX = 500;

const semget: SystemCall = (task, key, count, flags) => {
  const { kernel, credentials } = task;
  if (count < 0 || count > SEMAPHORES_MAX) throw errno('EINVAL');
  const found = task.namespaces.ipc.semaphores.find(key | 0, flags, credentials, () => {
    if (count === 0) throw errno('EINVAL');
    return new SemaphoreSet(key | 0, flags, credentials, kernel.wall(), count);
  });
  if (count > found.values.length) throw errno('EINVAL');
  return found.id;
};

function semop(task: Task, id: number, address: number, count: number, deadline: number): number {
  if (count < 1) throw errno('EINVAL');
  if (count > OPERATIONS_MAX) throw errno('E2BIG');
  const operations = Array.from({ length: count }, (_, index): SemaphoreOperation => {
    const word = task.space.readU32(address + index * 6);
    const flags = task.space.readU32(address + index * 6 + 2) >>> 16;
    return { number: word & 0xffff, change: word >> 16, flags };
  });
  const table = task.namespaces.ipc.semaphores;
  const set = table.get(id);
  const writes = operations.some(({ change }) => change !== 0);
  if (operations.some(({ number }) => number >= set.values.length)) throw errno('EFBIG');
  table.demand(set, writes ? WRITE : READ, task.credentials);
  let waits = -1;
  const countWaiter = (more: number): void => {
    if (waits < 0) return;
    const { number, change } = operations[waits];
    (change === 0 ? set.zero : set.growing)[number] += more;
  };
  return task.block({
    attempt: () => {
      countWaiter(-1);
      waits = -1;
      if (set.isGone) throw errno('EIDRM');
      const stuck = set.operate(operations, task.process, task.kernel.wall());
      if (stuck < 0) return 0;
      if (operations[stuck].flags & IPC_NOWAIT) throw errno('EAGAIN');
      waits = stuck;
      countWaiter(1);
      return BLOCKED;
    },
    on: [set.changed],
    deadline,
    timeoutResult: -11,
    interrupted: 'fail',
    finish: () => {
      countWaiter(-1);
      waits = -1;
    },
  });
}

const semctl: SystemCall = (task, id, number, command, argument) => {
  const table = task.namespaces.ipc.semaphores;
  const set = table.get(id);
  const { credentials, space } = task;
  const index = number | 0;
  const isOfOne = [GETVAL, GETPID, GETNCNT, GETZCNT, SETVAL].includes(command);
  if (isOfOne && (index < 0 || index >= set.values.length)) throw errno('EINVAL');
  switch (command) {
    case IPC_RMID:
      table.demandOwner(set, credentials);
      table.remove(set);
      set.changed.wake();
      return 0;
    case IPC_SET:
      setOwner(task, table, set, argument);
      return 0;
    case IPC_STAT:
      table.demand(set, READ, credentials);
      return writeStatus(task, argument, set, SEM_STATUS_BYTES, [
        [0, seconds(set.operatedAt)],
        [16, seconds(set.changedAt)],
        [32, BigInt(set.values.length)],
      ]);
    case GETALL:
      table.demand(set, READ, credentials);
      space.write(argument, new Uint8Array(Uint16Array.from(set.values).buffer));
      return 0;
    case SETALL: {
      table.demand(set, WRITE, credentials);
      const bytes = space.bytes(argument, set.values.length * 2);
      const values = new Uint16Array(bytes.buffer);
      if (values.some((value) => value > 32767)) throw errno('ERANGE');
      for (const [at, value] of values.entries()) set.set(at, value, task.process.pid);
      set.changedAt = task.kernel.wall();
      return 0;
    }
    case SETVAL:
      table.demand(set, WRITE, credentials);
      set.set(index, argument | 0, task.process.pid);
      set.changedAt = task.kernel.wall();
      return 0;
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
      table.demand(set, READ, credentials);
      if (command === GETVAL) return set.values[index];
      if (command === GETPID) return task.pidSeen(set.pids[index]);
      return (command === GETNCNT ? set.growing : set.zero)[index];
    default:
      if (command > 20) throw errno('EINVAL');
      return task.kernel.notImplemented(`semctl: command ${command}`);
  }
};

// ---- messages

const MSG_NOERROR = 0o10000;
const MSG_EXCEPT = 0o20000;
const MSG_COPY = 0o40000;
const MSG_STATUS_BYTES = 120;

const queues = (task: Task): IpcTable<MessageQueue> => task.namespaces.ipc.messages;

const msgsnd: SystemCall = (task, id, address, length, flags) => {
  const type = task.space.readI64(address);
  if (length < 0 || length > MESSAGE_MAX || type < 1) throw errno('EINVAL');
  const bytes = task.space.bytes(address + 8, length);
  const queue = queues(task).get(id);
  return task.block({
    attempt: () => {
      if (queue.isGone) throw errno('EIDRM');
      queues(task).demand(queue, WRITE, task.credentials);
      if (!queue.hasRoom(length)) {
        if (flags & IPC_NOWAIT) throw errno('EAGAIN');
        return BLOCKED;
      }
      queue.put({ type, bytes });
      queue.sentAt = task.kernel.wall();
      queue.sender = task.process.pid;
      return 0;
    },
    on: [queue.changed],
    interrupted: 'fail',
  });
};

const msgrcv: SystemCall = (task, id, address, length, type, flags) => {
  if (flags & MSG_COPY) return task.kernel.notImplemented('msgrcv: MSG_COPY');
  if (length < 0) throw errno('EINVAL');
  const queue = queues(task).get(id);
  return task.block({
    attempt: () => {
      if (queue.isGone) throw errno('EIDRM');
      queues(task).demand(queue, READ, task.credentials);
      const index = queue.indexOf(type, (flags & MSG_EXCEPT) !== 0);
      if (index < 0) {
        if (flags & IPC_NOWAIT) throw errno('ENOMSG');
        return BLOCKED;
      }
      if (queue.messages[index].bytes.length > length && !(flags & MSG_NOERROR)) throw errno('E2BIG');
      const message = queue.take(index);
      const content = message.bytes.subarray(0, length);
      task.space.writeI64(address, message.type);
      task.space.write(address + 8, content);
      queue.receivedAt = task.kernel.wall();
      queue.receiver = task.process.pid;
      return content.length;
    },
    on: [queue.changed],
    interrupted: 'fail',
  });
};

const CAP_SYS_RESOURCE = 24;

const msgctl: SystemCall = (task, id, command, address) => {
  const table = queues(task);
  const queue = table.get(id);
  switch (command) {
    case IPC_RMID:
      table.demandOwner(queue, task.credentials);
      table.remove(queue);
      queue.clear();
      return 0;
    case IPC_SET: {
      const capacity = task.space.readI64(address + PERMISSIONS_BYTES + 40);
      if (capacity > QUEUE_BYTES && !task.credentials.capable(CAP_SYS_RESOURCE)) throw errno('EPERM');
      setOwner(task, table, queue, address);
      queue.capacity = Math.min(capacity, 1 << 24);
      queue.changed.wake();
      return 0;
    }
    case IPC_STAT:
      table.demand(queue, READ, task.credentials);
      return writeStatus(task, address, queue, MSG_STATUS_BYTES, [
        [0, seconds(queue.sentAt)],
        [8, seconds(queue.receivedAt)],
        [16, seconds(queue.changedAt)],
        [24, BigInt(queue.used)],
        [32, BigInt(queue.messages.length)],
        [40, BigInt(queue.capacity)],
        [48, BigInt(task.pidSeen(queue.sender)) | (BigInt(task.pidSeen(queue.receiver)) << 32n)],
      ]);
    default:
      if (command > 13) throw errno('EINVAL');
      return task.kernel.notImplemented(`msgctl: command ${command}`);
  }
};

export const ipcCalls: Record<string, SystemCall> = {
  shmget,
  shmat,
  shmdt,
  shmctl,
  semget,
  semop: (task, id, address, count) => semop(task, id, address, count, Infinity),
  semtimedop: (task, id, address, count, timeoutAt) =>
    semop(task, id, address, count, timeoutAt === 0 ? Infinity : task.kernel.now() + timespecAt(task, timeoutAt)),
  semctl,
  msgget: (task, key, flags) =>
    queues(task).find(
      key | 0,
      flags,
      task.credentials,
      () => new MessageQueue(key | 0, flags, task.credentials, task.kernel.wall(), task.kernel.fileBudget),
    ).id,
  msgsnd,
  msgrcv,
  msgctl,
};
