// POSIX message queues: messages by priority, behind names of their own (mq_overview(7)).
// Owns the messages, their bounds, and who is told when an empty queue gets one.
// Never blocks anybody: EAGAIN does.

import { errno } from '../errno.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { POLLIN, POLLOUT } from '../vfs/constants.ts';
import type { Budget } from '../vfs/file-content.ts';
import { type Inode, OpenFile } from '../vfs/types.ts';

/** What a message without content is counted as. */
const MESSAGE_COST = 64;

export interface QueueMessage {
  readonly priority: number;
  readonly bytes: Uint8Array;
}

export interface QueueOwner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export class PosixQueue {
  readonly owner: QueueOwner;
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly changed = new WaitQueue();
  /** Whom to tell, once, when a message comes and nobody waits for it. */
  notify: { readonly process: object; readonly tell: () => void } | undefined;
  /** Calls that wait for a message. */
  receivers = 0;
  private readonly messages: QueueMessage[] = [];
  private readonly budget: Budget;
  private holders = 0;
  private isUnlinked = false;

  constructor(owner: QueueOwner, messagesMax: number, bytesMax: number, budget: Budget) {
    this.owner = owner;
    this.messagesMax = messagesMax;
    this.bytesMax = bytesMax;
    this.budget = budget;
  }

  get count(): number {
    return this.messages.length;
  }

  get used(): number {
    return this.messages.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Throws EAGAIN, ENOSPC. */
  send(message: QueueMessage): void {
    if (this.messages.length >= this.messagesMax) throw errno('EAGAIN');
    this.budget.charge(message.bytes.length + MESSAGE_COST);
    const wasEmpty = this.messages.length === 0;
    const behind = this.messages.findIndex(({ priority }) => priority < message.priority);
    this.messages.splice(behind < 0 ? this.messages.length : behind, 0, message);
    const { notify } = this;
    if (wasEmpty && this.receivers === 0 && notify) {
      this.notify = undefined;
      notify.tell();
    }
    this.changed.wake();
  }

  /** Throws EAGAIN. */
  receive(): QueueMessage {
    const message = this.messages.shift();
    if (!message) throw errno('EAGAIN');
    this.budget.release(message.bytes.length + MESSAGE_COST);
    this.changed.wake();
    return message;
  }

  hold(): void {
    this.holders++;
  }

  drop(): void {
    this.holders--;
    this.clear();
  }

  /** Its name is gone. */
  unlink(): void {
    this.isUnlinked = true;
    this.clear();
  }

  private clear(): void {
    if (this.holders > 0 || !this.isUnlinked) return;
    while (this.messages.length > 0) this.receive();
  }
}

/** An open queue. */
export class PosixQueueFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  readonly queue: PosixQueue;

  constructor(queue: PosixQueue) {
    super();
    this.queue = queue;
    queue.hold();
  }

  override poll(): number {
    const { queue } = this;
    return (queue.count > 0 ? POLLIN : 0) | (queue.count < queue.messagesMax ? POLLOUT : 0);
  }

  override onReady(waiter: () => void): () => void {
    return this.queue.changed.add(waiter);
  }

  override release(): void {
    this.queue.drop();
  }
}
