// poll, select, epoll, and the files made to be waited for: eventfd, timerfd, signalfd.
// Owns their arguments, timeouts and temporary signal masks.
// Never knows what makes a file ready.

import { Epoll } from '../devices/epoll.ts';
import { EventFile, SignalFile, TimerFile } from '../devices/event-files.ts';
import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { BLOCKED, type Task } from '../kernel/task.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDWR, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI } from '../vfs/constants.ts';
import { descriptionOf, SECOND, signalSetAt, timespecAt, writeTime } from './arguments.ts';
import { addDescriptor } from './open.ts';
import { withBlocked } from './signals.ts';
import { kernelTime } from './time.ts';

const POLLNVAL = 0x20;
const POLLRDBAND = 0x80;
const POLLWRBAND = 0x200;
const ALWAYS = POLLERR | POLLHUP;
/** What select's three sets mean. */
const SELECT_READ = POLLIN | 0x40 | POLLRDBAND | POLLHUP | POLLERR;
const SELECT_WRITE = POLLOUT | 0x100 | POLLWRBAND | POLLERR;
const SELECT_MAX = 1 << 20;

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

/** Waits for `look` to give more than 0, or for the time to be over. */
function waitForAny(task: Task, files: readonly Description[], look: () => number, deadline: number): number {
  return task.block({
    attempt: () => {
      const ready = look();
      if (ready > 0) return ready;
      return deadline <= task.kernel.now() ? 0 : BLOCKED;
    },
    on: files.map(({ file }) => ({ add: (waiter: () => void) => file.onReady(waiter) })),
    deadline,
    timeoutResult: 0,
    interrupted: 'restartWithoutHandler',
  });
}

function poll(task: Task, address: number, count: number, deadline: number): number {
  if (count < 0 || count > SELECT_MAX) throw errno('EINVAL');
  const bytes = task.space.bytes(address, count * 8);
  const view = new DataView(bytes.buffer);
  const watched: { description: Description | undefined; events: number; at: number }[] = [];
  for (let index = 0; index < count; index++) {
    const fd = view.getInt32(index * 8, true);
    const at = index * 8 + 6;
    if (fd < 0) view.setUint16(at, 0, true);
    else
      watched.push({
        description: task.files.has(fd) ? task.files.get(fd) : undefined,
        events: view.getUint16(index * 8 + 4, true),
        at,
      });
  }
  const look = (): number => {
    let ready = 0;
    for (const { description, events, at } of watched) {
      const now = description ? description.file.poll() & (events | ALWAYS) : POLLNVAL;
      view.setUint16(at, now, true);
      if (now !== 0) ready++;
    }
    if (ready > 0 || deadline <= task.kernel.now()) task.space.write(address, bytes);
    return ready;
  };
  const files = watched.flatMap(({ description }) => (description ? [description] : []));
  return waitForAny(task, files, look, deadline);
}

function select(
  task: Task,
  count: number,
  addresses: readonly number[],
  deadline: number,
  finished: () => void,
): number {
  if (count < 0 || count > SELECT_MAX) throw errno('EINVAL');
  const length = Math.ceil(count / 64) * 8;
  const sets = addresses.map((address) => (address === 0 ? undefined : task.space.bytes(address, length)));
  const masks = [SELECT_READ, SELECT_WRITE, POLLPRI];
  const watched: { description: Description; set: number; fd: number }[] = [];
  sets.forEach((bytes, set) => {
    for (let fd = 0; bytes && fd < count; fd++)
      if ((bytes[fd >> 3] >> (fd & 7)) & 1) watched.push({ description: task.files.get(fd), set, fd });
  });
  const look = (): number => {
    const found = sets.map((bytes) => bytes && new Uint8Array(length));
    let ready = 0;
    for (const { description, set, fd } of watched)
      if (description.file.poll() & masks[set]) {
        found[set]![fd >> 3] |= 1 << (fd & 7);
        ready++;
      }
    if (ready > 0 || deadline <= task.kernel.now()) {
      found.forEach((bytes, set) => {
        if (bytes) task.space.write(addresses[set], bytes);
      });
      finished();
    }
    return ready;
  };
  return waitForAny(
    task,
    watched.map(({ description }) => description),
    look,
    deadline,
  );
}

const deadlineIn = (task: Task, nanoseconds: number): number => task.kernel.now() + nanoseconds;

const maskAt = (task: Task, address: number, size: number): bigint | undefined =>
  address === 0 ? undefined : signalSetAt(task, address, size);

const ppoll: SystemCall = (task, address, count, timeoutAt, mask, size) => {
  const deadline = timeoutAt === 0 ? Infinity : deadlineIn(task, timespecAt(task, timeoutAt));
  return withBlocked(task, maskAt(task, mask, size), () => poll(task, address, count, deadline));
};

const selectCall: SystemCall = (task, count, reads, writes, others, timeoutAt) => {
  let deadline = Infinity;
  if (timeoutAt !== 0) {
    const seconds = task.space.readI64(timeoutAt);
    const microseconds = task.space.readI64(timeoutAt + 8);
    if (seconds < 0 || microseconds < 0) throw errno('EINVAL');
    deadline = deadlineIn(task, seconds * SECOND + microseconds * 1000);
  }
  return select(task, count, [reads, writes, others], deadline, () => {
    if (timeoutAt !== 0) writeTime(task, timeoutAt, Math.max(0, deadline - task.kernel.now()), 1e6);
  });
};

const pselect6: SystemCall = (task, count, reads, writes, others, timeoutAt, maskPair) => {
  const deadline = timeoutAt === 0 ? Infinity : deadlineIn(task, timespecAt(task, timeoutAt));
  const mask = maskPair === 0 ? 0 : task.space.readI64(maskPair);
  const size = maskPair === 0 ? 8 : task.space.readI64(maskPair + 8);
  return withBlocked(task, maskAt(task, mask, size), () =>
    select(task, count, [reads, writes, others], deadline, () => {
      if (timeoutAt !== 0) writeTime(task, timeoutAt, Math.max(0, deadline - task.kernel.now()), SECOND);
    }),
  );
};

function epollOf(task: Task, fd: number): Epoll {
  const { file } = descriptionOf(task, fd);
  if (!(file instanceof Epoll)) throw errno('EINVAL');
  return file;
}

const epollCtl: SystemCall = (task, epollFd, operation, fd, eventAt) => {
  const target = descriptionOf(task, fd);
  const epoll = epollOf(task, epollFd);
  if (operation === EPOLL_CTL_DEL) {
    epoll.remove(fd | 0, target);
    return 0;
  }
  const events = task.space.readU32(eventAt);
  const data = task.space.readBig(eventAt + 4);
  if (operation === EPOLL_CTL_ADD) epoll.add(fd | 0, target, events, data);
  else if (operation === EPOLL_CTL_MOD) epoll.modify(fd | 0, target, events, data);
  else throw errno('EINVAL');
  return 0;
};

function epollWait(task: Task, fd: number, address: number, most: number, deadline: number): number {
  const description = descriptionOf(task, fd);
  const epoll = epollOf(task, fd);
  if (most <= 0 || most > 1 << 20) throw errno('EINVAL');
  const look = (): number => {
    const events = epoll.collect(most);
    // struct epoll_event is packed on x86-64: 4 and 8 bytes.
    const bytes = new Uint8Array(events.length * 12);
    const view = new DataView(bytes.buffer);
    events.forEach((event, index) => {
      view.setUint32(index * 12, event.events, true);
      view.setBigUint64(index * 12 + 4, event.data, true);
    });
    if (bytes.length > 0) task.space.write(address, bytes);
    return events.length;
  };
  return waitForAny(task, [description], look, deadline);
}

const epollPwait: SystemCall = (task, fd, address, most, timeout, mask, size) => {
  const deadline = (timeout | 0) < 0 ? Infinity : deadlineIn(task, (timeout | 0) * 1e6);
  return withBlocked(task, maskAt(task, mask, size), () => epollWait(task, fd, address, most | 0, deadline));
};

const EFD_SEMAPHORE = 1;

function eventfd(task: Task, count: number, flags: number): number {
  if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) throw errno('EINVAL');
  const file = new EventFile(count >>> 0, (flags & EFD_SEMAPHORE) !== 0);
  return addDescriptor(task, new Description(file, null, O_RDWR | (flags & O_NONBLOCK)), (flags & O_CLOEXEC) !== 0);
}

function signalfd(task: Task, fd: number, maskAddress: number, size: number, flags: number): number {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK)) throw errno('EINVAL');
  const mask = signalSetAt(task, maskAddress, size);
  if ((fd | 0) !== -1) {
    const { file } = descriptionOf(task, fd);
    if (!(file instanceof SignalFile)) throw errno('EINVAL');
    file.mask = mask;
    return fd | 0;
  }
  const file = new SignalFile(task.kernel, task, mask);
  return addDescriptor(task, new Description(file, null, O_RDWR | (flags & O_NONBLOCK)), (flags & O_CLOEXEC) !== 0);
}

function timerOf(task: Task, fd: number): TimerFile {
  const { file } = descriptionOf(task, fd);
  if (!(file instanceof TimerFile)) throw errno('EINVAL');
  return file;
}

function writeTimer(task: Task, timer: TimerFile, address: number): void {
  writeTime(task, address, timer.interval, SECOND);
  writeTime(task, address + 16, timer.left, SECOND);
}

const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;

export const pollCalls: Record<string, SystemCall> = {
  poll: (task, address, count, timeout) =>
    poll(task, address, count, (timeout | 0) < 0 ? Infinity : deadlineIn(task, (timeout | 0) * 1e6)),
  ppoll,
  select: selectCall,
  pselect6,
  epoll_create: (task, size) => {
    if ((size | 0) <= 0) throw errno('EINVAL');
    return addDescriptor(task, new Description(new Epoll(), null, O_RDWR), false);
  },
  epoll_create1: (task, flags) => {
    if (flags & ~O_CLOEXEC) throw errno('EINVAL');
    return addDescriptor(task, new Description(new Epoll(), null, O_RDWR), flags !== 0);
  },
  epoll_ctl: epollCtl,
  epoll_wait: (task, fd, address, most, timeout) => epollPwait(task, fd, address, most, timeout, 0, 8),
  epoll_pwait: epollPwait,
  epoll_pwait2: (task, fd, address, most, timeoutAt, mask) => {
    const deadline = timeoutAt === 0 ? Infinity : deadlineIn(task, timespecAt(task, timeoutAt));
    return withBlocked(task, maskAt(task, mask, 8), () => epollWait(task, fd, address, most | 0, deadline));
  },
  eventfd: (task, count) => eventfd(task, count, 0),
  eventfd2: eventfd,
  signalfd: (task, fd, mask, size) => signalfd(task, fd, mask, size, 0),
  signalfd4: signalfd,
  timerfd_create: (task, clock, flags) => {
    if (flags & ~(O_CLOEXEC | O_NONBLOCK)) throw errno('EINVAL');
    kernelTime(task, clock, 0);
    const file = new TimerFile(task.kernel, clock);
    return addDescriptor(task, new Description(file, null, O_RDWR | (flags & O_NONBLOCK)), (flags & O_CLOEXEC) !== 0);
  },
  timerfd_settime: (task, fd, flags, newAt, oldAt) => {
    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) throw errno('EINVAL');
    const timer = timerOf(task, fd);
    const interval = timespecAt(task, newAt);
    const value = timespecAt(task, newAt + 16);
    if (oldAt !== 0) writeTimer(task, timer, oldAt);
    if (value === 0) timer.set(Infinity, 0);
    else if (flags & TFD_TIMER_ABSTIME) timer.set(kernelTime(task, timer.clock, value), interval);
    else timer.set(deadlineIn(task, value), interval);
    return 0;
  },
  timerfd_gettime: (task, fd, address) => {
    writeTimer(task, timerOf(task, fd), address);
    return 0;
  },
};
