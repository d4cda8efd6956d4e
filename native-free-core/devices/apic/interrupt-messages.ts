// Interrupt messages that devices write: what a write to FEEx'xxxxh means to the processors' APICs.
// Owns the encoding of address and data (Intel SDM vol. 3, 11.11).
// Never keeps anything: masks and pending messages are the writing device's.

import type { MessageSink } from '../message-signalled.ts';
import type { ApicMessage, ApicMessages } from './apic-bus.ts';

/** The 1 MiB of addresses in which a write is an interrupt message. */
const WINDOW = 0xfee00000;
const WINDOW_MASK = 0xfff00000;
const LOGICAL = 0x4;
const LEVEL = 0x8000;

/** The message that writing `data` at `address` sends, or undefined where that is memory. */
export function interruptMessage(address: number, data: number): ApicMessage | undefined {
  if (address >= 2 ** 32 || (address & WINDOW_MASK) >>> 0 !== WINDOW) return undefined;
  return {
    mode: (data >> 8) & 7,
    vector: data & 0xff,
    level: (data & LEVEL) !== 0,
    destination: (address >>> 12) & 0xff,
    logical: (address & LOGICAL) !== 0,
  };
}

/** Sends messages to the APICs of `bus`; writes elsewhere go to `memory`, as the writes they are. */
export function messageSink(
  bus: ApicMessages,
  memory: { write(address: number, bytes: Uint8Array): unknown },
): MessageSink {
  return {
    write(address, data) {
      const message = interruptMessage(address, data);
      if (message !== undefined) bus.deliver(message);
      else memory.write(address, Uint8Array.of(data, data >>> 8, data >>> 16, data >>> 24));
    },
  };
}
