// pidfd: a process as an open file, ready to be read once the process has ended (pidfd_open(2)).
// Owns only which process it is: the number may be another one's by now, this never is.
// Never ends or signals a process.

import type { Process } from '../kernel/process.ts';
import { POLLIN, POLLRDNORM } from '../vfs/constants.ts';
import { type Inode, OpenFile } from '../vfs/types.ts';

export class ProcessFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  readonly process: Process;

  constructor(process: Process) {
    super();
    this.process = process;
  }

  override poll(): number {
    return this.process.isZombie ? POLLIN | POLLRDNORM : 0;
  }

  override onReady(waiter: () => void): () => void {
    return this.process.ended.add(waiter);
  }
}
