// inotify_init, inotify_add_watch, inotify_rm_watch.
// Owns their flags and arguments.
// Never tells of an event.

import { demandWatchable, IN_DONT_FOLLOW, Inotify } from '../devices/inotify.ts';
import { errno } from '../errno.ts';
import { Description } from '../kernel/descriptors.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { demand } from '../vfs/access.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, R_OK } from '../vfs/constants.ts';
import { resolve } from '../vfs/walk.ts';
import { descriptionOf, pathAt } from './arguments.ts';
import { addDescriptor } from './open.ts';

function init(task: Task, flags: number): number {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK)) throw errno('EINVAL');
  const description = new Description(new Inotify(), null, O_RDONLY | (flags & O_NONBLOCK));
  return addDescriptor(task, description, (flags & O_CLOEXEC) !== 0);
}

function instanceOf(task: Task, fd: number): Inotify {
  const { file } = descriptionOf(task, fd);
  if (!(file instanceof Inotify)) throw errno('EINVAL');
  return file;
}

const KNOWN = 0xf7000fff | 0;

export const inotifyCalls: Record<string, SystemCall> = {
  inotify_init: (task) => init(task, 0),
  inotify_init1: init,
  inotify_add_watch: (task, fd, path, mask) => {
    if ((mask | 0) & ~KNOWN || ((mask | 0) & KNOWN) === 0) throw errno('EINVAL');
    const instance = instanceOf(task, fd);
    const { inode } = resolve(task.walk, null, pathAt(task, path), (mask & IN_DONT_FOLLOW) === 0).dentry;
    demandWatchable(inode, mask);
    demand(inode, R_OK, task.credentials);
    return instance.add(inode, mask | 0);
  },
  inotify_rm_watch: (task, fd, number) => {
    instanceOf(task, fd).remove(number | 0);
    return 0;
  },
};
