// What split and packed rings have in common: their interface to the queue, and descriptor flags.
// Owns the interface and the numbers that both share (VIRTIO 1.2, 2.7 and 2.8).
// Never knows a device.

import type { Chain, ChainOrigin } from './chain.ts';
import { QueueFault } from './memory.ts';

export const DescriptorFlag = { next: 1, write: 2, indirect: 4 } as const;
export const DESCRIPTOR_BYTES = 16;

export interface RingPlaces {
  size: number;
  /** Guest-physical addresses of the descriptor, driver and device areas. */
  descriptors: number;
  driver: number;
  device: number;
}

export interface RingFeatures {
  indirect: boolean;
  eventIndex: boolean;
}

/** A ring in guest memory. Each method throws a QueueFault where the driver broke the rules. */
export interface Ring extends ChainOrigin {
  /** Whether the driver has made a chain available. */
  readonly hasAvailable: boolean;
  pop(): Chain | undefined;
  /** Gives a chain back, `written` bytes of its writable part filled. */
  push(chain: Chain, written: number): void;
  /** Whether the driver wants an interrupt for what was pushed since this was last asked. */
  takeInterrupt(): boolean;
  /** Asks the driver to notify of the next chain, or not to. */
  wantNotifications(wanted: boolean): void;
  /** Positions, to be saved. */
  save(): readonly number[];
  restore(positions: readonly number[]): void;
}

/** Entries of an indirect table of so many bytes. Throws a QueueFault where it is none. */
export function indirectEntries(length: number, flags: number, features: RingFeatures): number {
  if (!features.indirect) throw new QueueFault('A descriptor is indirect, which was not negotiated.');
  if ((flags & DescriptorFlag.next) !== 0) throw new QueueFault('An indirect descriptor has another one behind it.');
  if (length === 0 || length % DESCRIPTOR_BYTES !== 0)
    throw new QueueFault(`An indirect table of ${length} bytes is not a number of descriptors.`);
  return length / DESCRIPTOR_BYTES;
}
