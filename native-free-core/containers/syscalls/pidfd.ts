// pidfd_open, pidfd_send_signal, pidfd_getfd.
// Owns their arguments, and who may take a descriptor out of another process.
// Never waits: waitid and poll do.

import { ProcessFile } from '../devices/process-file.ts';
import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import { mayInspect } from '../kernel/inspect.ts';
import type { Kernel, SystemCall } from '../kernel/kernel.ts';
import type { Process } from '../kernel/process.ts';
import { SiCode } from '../kernel/signal-numbers.ts';
import { maySignal, reaches, sendToProcess } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import { O_EXCL, O_NONBLOCK, O_RDWR } from '../vfs/constants.ts';
import { descriptionOf } from './arguments.ts';
import { addDescriptor } from './open.ts';
import { checkedSignal, queuedInformation } from './signals.ts';

/** Of one thread instead of a process: Linux has it from 6.9 on. */
const PIDFD_THREAD = O_EXCL;

/** A descriptor for a process, closed by exec. */
export const addProcessDescriptor = (task: Task, process: Process, flags = 0): number =>
  addDescriptor(task, new Description(new ProcessFile(process), null, O_RDWR | flags), true);

/** The process behind a pidfd. Throws EBADF. */
export function processBehind(task: Task, fd: number): Process {
  const { file } = descriptionOf(task, fd);
  if (!(file instanceof ProcessFile)) throw errno('EBADF');
  return file.process;
}

const isThere = (kernel: Kernel, process: Process): boolean => kernel.processes.get(process.pid) === process;

const sendSignal: SystemCall = (task, fd, signal, informationAt, flags) => {
  if (flags !== 0) throw errno('EINVAL');
  const process = processBehind(task, fd);
  const number = checkedSignal(signal);
  const information =
    informationAt === 0
      ? { signal: number, code: SiCode.SI_USER, pid: task.process.pid, uid: task.credentials.uid }
      : queuedInformation(task, number, informationAt, process === task.process);
  if (informationAt !== 0 && task.space.readI32(informationAt) !== number) throw errno('EINVAL');
  if (!isThere(task.kernel, process)) throw errno('ESRCH');
  if (!maySignal(task, process, number)) throw errno('EPERM');
  if (number === 0 || !reaches(task, process, number)) return 0;
  if (!sendToProcess(task.kernel, process, information)) throw errno('EAGAIN');
  return 0;
};

export const pidfdCalls: Record<string, SystemCall> = {
  pidfd_open: (task, pid, flags) => {
    if (flags & ~(O_NONBLOCK | PIDFD_THREAD) || (pid | 0) <= 0) throw errno('EINVAL');
    if (flags & PIDFD_THREAD) {
      task.kernel.notImplemented('pidfd_open: PIDFD_THREAD');
      throw errno('EINVAL');
    }
    const found = task.other(pid | 0);
    if (!found) throw errno('ESRCH');
    if (!found.isLeader) throw errno('EINVAL');
    return addProcessDescriptor(task, found.process, flags & O_NONBLOCK);
  },
  pidfd_send_signal: sendSignal,
  pidfd_getfd: (task, fd, of, flags) => {
    if (flags !== 0) throw errno('EINVAL');
    const process = processBehind(task, fd);
    if (process.isZombie || !isThere(task.kernel, process)) throw errno('ESRCH');
    if (!mayInspect(task, process)) throw errno('EPERM');
    return addDescriptor(task, process.leader.files.get(of | 0), true);
  },
};
