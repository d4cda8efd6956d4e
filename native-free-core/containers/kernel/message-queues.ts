// System V message queues: messages of a kind each, in order (msgop(2)).
// Owns the messages of a queue, its bound, and which one a receiver gets.
// Never decodes a call's arguments.

import { errno } from '../errno.ts';
import type { Budget } from '../vfs/file-content.ts';
import type { CredentialSet } from './credentials.ts';
import { IpcObject } from './ipc-objects.ts';
import { WaitQueue } from './wait-queue.ts';

/** msgmax, msgmnb */
export const MESSAGE_MAX = 8192;
export const QUEUE_BYTES = 16384;
/** What a message without content is counted as. */
const MESSAGE_COST = 64;

export interface Message {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export class MessageQueue extends IpcObject {
  readonly messages: Message[] = [];
  readonly changed = new WaitQueue();
  capacity = QUEUE_BYTES;
  used = 0;
  sentAt = 0;
  receivedAt = 0;
  sender = 0;
  receiver = 0;
  private readonly budget: Budget;

  constructor(key: number, mode: number, who: CredentialSet, now: number, budget: Budget) {
    super(key, mode, who, now);
    this.budget = budget;
  }

  /** Whether there is room for it now. */
  hasRoom(length: number): boolean {
    return this.used + length <= this.capacity && this.messages.length < this.capacity;
  }

  put(message: Message): void {
    this.budget.charge(message.bytes.length + MESSAGE_COST);
    this.messages.push(message);
    this.used += message.bytes.length;
    this.changed.wake();
  }

  /** Index of the message that `type` asks for; -1: none is there. `except`: MSG_EXCEPT. */
  indexOf(type: number, except: boolean): number {
    const { messages } = this;
    if (type === 0) return messages.length > 0 ? 0 : -1;
    if (type > 0) return messages.findIndex((message) => (message.type === type) !== except);
    let lowest = -1;
    messages.forEach((message, index) => {
      if (message.type <= -type && (lowest < 0 || message.type < messages[lowest].type)) lowest = index;
    });
    return lowest;
  }

  take(index: number): Message {
    const [message] = this.messages.splice(index, 1);
    if (!message) throw errno('ENOMSG');
    this.used -= message.bytes.length;
    this.budget.release(message.bytes.length + MESSAGE_COST);
    this.changed.wake();
    return message;
  }

  clear(): void {
    while (this.messages.length > 0) this.take(0);
    this.changed.wake();
  }
}
